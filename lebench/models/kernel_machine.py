"""Kernel machines: ridge regression with the kernel of a network, or a classical one, offering what a network offers.

A kernel machine is trained by gradient flow on the ridge-regularized square loss, in closed form. Targets are one-hot
minus 1/C, the ridge is chosen by leave-one-out over one grid relative to the mean diagonal, the same for every kernel.
A gradient step on one point moves its scores by the kernel times the gradient of the loss in the scores.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Gt

from lebench import metrics, registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import Checkpoint, Trajectory
from lebench.data.base import Split
from lebench.kernels import (
    GradientFlow,
    RidgeRegression,
    gradient_flow,
    one_hot_targets,
    ridge_regression,
)
from lebench.models.kernel_scores import KernelScores, flat
from lebench.models.kernel_scores import kernel_similarity as kernel_similarity
from lebench.models.large_kernel_machine import LargeKernelMachine, solver_for
from lebench.models.spec import NUMPY
from lebench.seeds import generator

#: Number of times at which the course of gradient flow is looked at, and of points whose scores are followed.
_MOMENTS, _PROBES = 24, 50
#: Gradient flow ends when the slowest direction has come this many times closer, in natural logarithms.
_TO_THE_END = 40.0


class Kernel(Protocol):
    """A positive semidefinite function of two inputs."""

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m); of a set with itself it is symmetric."""
        ...

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        ...


class KernelFamily(Protocol):
    """What makes a kernel for a split: a formula, an architecture, or a network to be initialized or trained."""

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return the kernel for the inputs of a split."""
        ...


@dataclass(frozen=True)
class KernelMachine:
    """Kernel ridge regression with the ridge chosen by leave-one-out.

    Attributes
    ----------
    family : KernelFamily
        Makes the kernel.
    backend : str
        What computes it.
    backends : tuple of str
        What can.
    """

    family: KernelFamily
    backend: str = NUMPY
    backends: tuple[str, ...] = (NUMPY,)

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"predict", "similarity", "gram", "trajectory", "checkpoints", "diagnostics"}
    )
    #: It is fitted to real-valued targets where a split has them.
    fits_targets: ClassVar[bool] = True

    @property
    def network(self) -> Architecture | None:
        """The architecture whose kernel it is, if it is one's."""
        return getattr(self.family, "architecture", None)

    def fit(self, split: Split, seed: int) -> FittedKernelMachine | LargeKernelMachine:
        """Compute the kernel of the training points and solve for the coefficients, by what the memory has room for."""
        kernel = self.family.kernel(split, seed, self.backend)
        solver = solver_for(len(split.x_train))
        targets = one_hot_targets(split.y_train, split.classes) if split.target_train is None else split.target_train
        if solver != "whole":
            return LargeKernelMachine(kernel, split.x_train, targets, solver, seed)
        gram = kernel.gram(split.x_train, split.x_train)
        regression = ridge_regression(gram, targets)
        probe = np.sort(generator(seed, "probe").permutation(len(targets))[:_PROBES])
        labelled = split.target_train is None
        return FittedKernelMachine(kernel, split.x_train, gram, targets, regression, probe, labelled)


class _Predictor(KernelScores):
    """Scores, similarities and the Gram matrix of a kernel with coefficients."""

    def __init__(self, kernel: Kernel, x: FloatArray, gram: FloatArray, coefficients: FloatArray) -> None:
        self._kernel = kernel
        self._x = x
        self._gram = gram
        self._coefficients = coefficients
        self._known = _digest(x)

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C)."""
        scores: FloatArray = self.gram(x, self._x) @ self._coefficients
        return scores

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        # Of the training points it is known, and is what costs most.
        if len(x1) == len(x2) == len(self._x) and _digest(x1) == _digest(x2) == self._known:
            return self._gram.copy()
        return np.ascontiguousarray(self._kernel.gram(x1, x2), dtype=np.float64)

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        return self._kernel.diagonal(x)


class FittedKernelMachine(_Predictor):
    """A kernel machine after its training, with its course.

    Attributes
    ----------
    regression : RidgeRegression
        Coefficients, the chosen ridge and what was found on the way.
    """

    def __init__(
        self,
        kernel: Kernel,
        x: FloatArray,
        gram: FloatArray,
        targets: FloatArray,
        regression: RidgeRegression,
        probe: IntArray,
        labelled: bool = True,
    ) -> None:
        super().__init__(kernel, x, gram, regression.coefficients)
        self.regression = regression
        self._targets = targets
        self._probe = probe
        self._labelled = labelled
        self._flow_times: tuple[GradientFlow, FloatArray] | None = None

    def trajectory(self) -> Trajectory:
        """Return loss, error and scores of probe points under gradient flow of the regularized loss.

        The loss is |f - y|^2 / 2, averaged over points, without the ridge's part; the time is that of the loss
        1/(2n) sum |f - y|^2, in units of learning rate times steps. The error on real-valued targets is the mean
        squared error in units of their variance.
        """
        flow, times = self._flow()
        labels, spread = self._targets.argmax(axis=1), float(self._targets.var(axis=0).sum()) or 1.0
        rows = []
        for time in times:
            scores = self._gram @ flow.coefficients(time)
            loss = float(np.square(scores - self._targets).sum(axis=1).mean() / 2)
            error = float((scores.argmax(axis=1) != labels).mean()) if self._labelled else 2 * loss / spread
            rows.append((loss, error, scores[self._probe]))
        losses, errors, scores_of_probes = zip(*rows, strict=True)
        return Trajectory(times, np.array(losses), np.array(errors), self._probe, np.stack(scores_of_probes))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the machine at the times of its trajectory; the kernel stays, the coefficients grow."""
        flow, times = self._flow()
        return tuple(Checkpoint(float(time), partial(self._at, flow, float(time))) for time in times)

    def diagnostics(self) -> dict[str, float]:
        """Return the chosen ridge and the smallest eigenvalue of the kernel on the training points."""
        return {
            "relative_ridge": metrics.relative_ridge(self.regression.ridge, np.diagonal(self._gram)),
            "smallest_eigenvalue": metrics.smallest_eigenvalue(self._gram),
        }

    def _at(self, flow: GradientFlow, time: float) -> _Predictor:
        return _Predictor(self._kernel, self._x, self._gram, flow.coefficients(time))

    def _flow(self) -> tuple[GradientFlow, FloatArray]:
        """Return the flow of H + ridge, which ends in the ridge solution, and times until it has ended."""
        if self._flow_times is None:
            n = len(self._gram)
            flow = gradient_flow(self._gram + self.regression.ridge * np.eye(n), self._targets)
            slowest, fastest = max(float(flow.values[0]), self.regression.ridge), float(flow.values[-1])
            course = np.geomspace(0.1 * n / fastest, _TO_THE_END * n / slowest, _MOMENTS - 1)
            self._flow_times = flow, np.concatenate([[0.0], course])
        return self._flow_times


def _digest(x: FloatArray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(x).tobytes()).digest()


@dataclass(frozen=True)
class Radial:
    """A function of the distance: exp(-r^2/2) (Gaussian) or exp(-r) (Laplace), r = |x - x'| / (s sqrt(d)).

    Attributes
    ----------
    shape : {"gaussian", "laplace"}
        Which function.
    scale : float
        Length scale s in units of the square root of the input dimension d.
    """

    shape: Literal["gaussian", "laplace"]
    scale: float

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return itself: it does not depend on the split."""
        return self

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        from scipy.spatial.distance import cdist

        a, b = flat(x1), flat(x2)
        distance = cdist(a, b) / (self.scale * math.sqrt(a.shape[1]))
        kernel: FloatArray = np.exp(-(distance**2) / 2 if self.shape == "gaussian" else -distance)
        return kernel

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return ones (n,)."""
        return np.ones(len(x))


@dataclass(frozen=True)
class Linear:
    """<x, x'>/d + 1, the kernel of a linear model with a bias, d the input dimension."""

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return itself: it does not depend on the split."""
        return self

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        a, b = flat(x1), flat(x2)
        kernel: FloatArray = a @ b.T / a.shape[1] + 1.0
        return kernel

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        a = flat(x)
        return np.asarray(np.einsum("nd,nd->n", a, a) / a.shape[1] + 1.0)


@registry.models.register("rbf", tags=("kernel",))
def rbf(scale: Annotated[float, Gt(0)] = 0.5) -> KernelMachine:
    """Ridge regression with the Gaussian kernel exp(-|x - x'|^2 / (2 d s^2)), ridge by leave-one-out.

    Parameters
    ----------
    scale : float
        Length scale s in units of the square root of the input dimension d.
    """
    return KernelMachine(Radial("gaussian", scale))


@registry.models.register("laplace", tags=("kernel",))
def laplace(scale: Annotated[float, Gt(0)] = 1.0) -> KernelMachine:
    """Ridge regression with the Laplace kernel exp(-|x - x'| / (s sqrt(d))), ridge by leave-one-out.

    Its function space is that of the tangent kernel of a ReLU network on the sphere (Geifman et al. 2020).

    Parameters
    ----------
    scale : float
        Length scale s in units of the square root of the input dimension d.
    """
    return KernelMachine(Radial("laplace", scale))


@registry.models.register("linear-kernel", tags=("kernel",))
def linear_kernel() -> KernelMachine:
    """Ridge regression on the pixels with a bias: the kernel <x, x'>/d + 1, ridge by leave-one-out."""
    return KernelMachine(Linear())
