"""Kernel machines that approximate an exact one: in the span of the kernel at some centres, or by random features.

Their diagnostics say how far their scores at the training points are from exact ones, where both can be had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from lebench import architectures, registry
from lebench.architectures import Depth
from lebench.arrays import FloatArray
from lebench.data.base import Split
from lebench.kernels import one_hot_targets
from lebench.models.kernel_machine import KernelFamily, Radial
from lebench.models.kernel_scores import flat
from lebench.models.large_kernel_machine import LargeKernelMachine
from lebench.models.spec import NUMPY
from lebench.models.tangent_kernels import InfiniteWidth
from lebench.seeds import generator

Rank = Annotated[int, Ge(1)]
_Scale = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class ApproximateMachine:
    """Kernel ridge regression, approximately, with the ridge chosen by leave-one-out on at most 2,000 points.

    Attributes
    ----------
    family : KernelFamily
        Makes the kernel.
    rank : int
        Centres, fewer where there are fewer points, or features.
    features : bool
        Whether by random features.
    """

    family: KernelFamily
    rank: int
    features: bool = False

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "similarity", "gram", "diagnostics"})
    fits_targets: ClassVar[bool] = True

    def fit(self, split: Split, seed: int) -> LargeKernelMachine:
        """Solve for the coefficients."""
        exact = self.family.kernel(split, seed, NUMPY)
        targets = one_hot_targets(split.y_train, split.classes) if split.target_train is None else split.target_train
        if not self.features:
            return LargeKernelMachine(exact, split.x_train, targets, "nystrom", seed, rank=self.rank)
        assert isinstance(exact, Radial)
        dimension = flat(split.x_train[:1]).shape[1]
        kernel = RadialFeatures.drawn(exact, dimension, self.rank, generator(seed, "init"))
        return LargeKernelMachine(kernel, split.x_train, targets, "features", seed, exact=exact)


@dataclass(frozen=True, eq=False)
class RadialFeatures:
    """The kernel z(x) . z(x') with z(x) = sqrt(2/D) cos(W x + b), on average a radial one.

    Rows of W are drawn from its Fourier transform, b uniformly (Rahimi & Recht 2007, algorithm 1): normal ones for the
    Gaussian kernel, multivariate Cauchy ones for the Laplace kernel.

    Attributes
    ----------
    frequencies : ndarray of shape (d, D)
    phases : ndarray of shape (D,)
    """

    frequencies: FloatArray
    phases: FloatArray

    @classmethod
    def drawn(cls, kernel: Radial, dimension: int, count: int, rng: np.random.Generator) -> RadialFeatures:
        """Draw D features for inputs of d dimensions."""
        frequencies = rng.standard_normal((dimension, count))
        if kernel.shape == "laplace":
            frequencies /= np.abs(rng.standard_normal(count))
        return cls(frequencies / (kernel.scale * dimension**0.5), rng.uniform(0, 2 * np.pi, count))

    def features(self, x: FloatArray) -> FloatArray:
        """Return z (n, D)."""
        angles = flat(x) @ self.frequencies
        angles += self.phases
        return np.asarray(np.cos(angles, out=angles) * (2 / len(self.phases)) ** 0.5)

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        left = self.features(x1)
        return np.asarray(left @ (left if x1 is x2 else self.features(x2)).T)

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        return np.asarray(np.square(self.features(x)).sum(axis=1))


def _nystrom_of_mlp(kind: Literal["ntk", "nngp"]) -> Callable[..., ApproximateMachine]:
    def machine(rank: Rank = 1000, depth: Depth = 2) -> ApproximateMachine:
        described = replace(architectures.mlp(depth=depth), weight_variance=2.0, bias_variance=0.1)
        return ApproximateMachine(InfiniteWidth(described, kind), rank)

    return machine


def _of_radial(shape: Literal["gaussian", "laplace"], length: float, features: bool) -> Callable[..., Any]:
    def machine(rank: Rank = 1000, scale: _Scale = length) -> ApproximateMachine:
        return ApproximateMachine(Radial(shape, scale), rank, features)

    return machine


_BY_CENTRES = "in the span of its kernel at randomly pivoted centres (Nyström)"
_APPROXIMATE: dict[str, tuple[Callable[..., Any], str]] = {
    "nystrom-ntk-mlp": (_nystrom_of_mlp("ntk"), f"ntk-mlp approximately, {_BY_CENTRES}"),
    "nystrom-nngp-mlp": (_nystrom_of_mlp("nngp"), f"nngp-mlp approximately, {_BY_CENTRES}"),
    "nystrom-rbf": (_of_radial("gaussian", 0.5, False), f"rbf approximately, {_BY_CENTRES}"),
    "nystrom-laplace": (_of_radial("laplace", 1.0, False), f"laplace approximately, {_BY_CENTRES}"),
    "features-rbf": (_of_radial("gaussian", 0.5, True), "rbf approximately, by random Fourier features"),
    "features-laplace": (_of_radial("laplace", 1.0, True), "laplace approximately, by random Fourier features"),
}
for _name, (_make, _words) in _APPROXIMATE.items():
    registry.models.register(_name, _make, summary=_words, tags=("kernel", "approximate"))
