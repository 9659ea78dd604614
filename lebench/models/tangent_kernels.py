"""Kernel machines with the kernels of networks: of infinite width, at initialization, and after training.

One description of an architecture gives the trained network, its expansion, and these. The kernels of infinite width
are in the neural tangent parametrization, all layers trained. Their biases have variance 0.1, as in Lee et al. 2020:
without biases the kernel of a ReLU network spans only functions with f(c x) = c f(x), which the targets are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt

from lebench import architectures, registry
from lebench.architectures import Architecture, Depth, Width
from lebench.arrays import FloatArray
from lebench.data.base import Split
from lebench.kernels import (
    KernelOperator,
    infinite_width_diagonal,
    infinite_width_kernel,
    infinite_width_operator,
)
from lebench.models.kernel_machine import Kernel, KernelMachine
from lebench.models.network import Network
from lebench.models.spec import ANY, NUMPY


@dataclass(frozen=True)
class InfiniteWidth:
    """The kernel of an architecture as its widths go to infinity.

    Attributes
    ----------
    architecture : Architecture
        With the variances of weights and biases.
    kind : {"ntk", "nngp"}
        The tangent kernel, or the covariance of the random network.
    """

    architecture: Architecture
    kind: Literal["ntk", "nngp"]

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return the kernel, computed by a backend."""
        return _InfiniteWidthKernel(self.architecture, self.kind, backend)


@dataclass(frozen=True)
class _InfiniteWidthKernel:
    architecture: Architecture
    kind: Literal["ntk", "nngp"]
    backend: str

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        backend: Any = registry.backends.get(self.backend) if self.backend != NUMPY else None
        if hasattr(backend, "infinite_width_kernel"):
            kernel: FloatArray = backend().infinite_width_kernel(self.architecture, x1, x2, self.kind)
            return kernel
        same = x1 is x2 or (x1.shape == x2.shape and np.array_equal(x1, x2))
        return np.asarray(infinite_width_kernel(self.architecture, x1, None if same else x2, kind=self.kind))

    def operator(self, x: FloatArray) -> KernelOperator:
        return infinite_width_operator(self.architecture, x.astype(np.float32), kind=self.kind)

    def diagonal(self, x: FloatArray) -> FloatArray:
        return np.asarray(infinite_width_diagonal(self.architecture, x, kind=self.kind))


@dataclass(frozen=True)
class EmpiricalTangent:
    """The empirical tangent kernel of a finite network, averaged over outputs, at its initialization or after training.

    Attributes
    ----------
    trained : Network
        The network with its recipe.
    after : bool
        Whether it is trained first.
    """

    trained: Network
    after: bool

    @property
    def architecture(self) -> Architecture | None:
        """The network's."""
        return self.trained.network if isinstance(self.trained.network, Architecture) else None

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return the kernel of the network, initialized or trained on the split."""
        network = replace(self.trained, backend=backend)
        if not self.after:
            network = network.with_recipe((("epochs", 0),))
        return _EmpiricalKernel(network.fit(split, seed))


@dataclass(frozen=True)
class _EmpiricalKernel:
    fitted: Any

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        same = x1 is x2 or (x1.shape == x2.shape and np.array_equal(x1, x2))
        gram: FloatArray = self.fitted.gram(x1, x1 if same else x2)
        return (gram + gram.T) / 2 if same else gram

    def diagonal(self, x: FloatArray) -> FloatArray:
        # In small blocks: only the diagonals of the blocks are wanted.
        blocks = (x[start : start + 16] for start in range(0, len(x), 16))
        return np.concatenate([np.diagonal(self.gram(block, block)) for block in blocks])


_WeightVariance = Annotated[float, Gt(0)]
_BiasVariance = Annotated[float, Ge(0)]
_Kind = Literal["ntk", "nngp"]


def _infinite(architecture: Architecture, kind: _Kind, weights: float, biases: float) -> KernelMachine:
    described = replace(architecture, weight_variance=weights, bias_variance=biases)
    return KernelMachine(InfiniteWidth(described, kind), NUMPY, (NUMPY, ANY))


def _of_mlp(kind: _Kind) -> Callable[..., KernelMachine]:
    def machine(
        depth: Depth = 2,
        activation: Literal["relu", "leaky_relu", "erf", "gelu"] = "relu",
        weight_variance: _WeightVariance = 2.0,
        bias_variance: _BiasVariance = 0.1,
    ) -> KernelMachine:
        network = architectures.mlp(depth=depth, activation=activation)
        return _infinite(network, kind, weight_variance, bias_variance)

    return machine


def _of_cnn(kind: _Kind) -> Callable[..., KernelMachine]:
    def machine(weight_variance: _WeightVariance = 2.0, bias_variance: _BiasVariance = 0.1) -> KernelMachine:
        return _infinite(architectures.cnn(), kind, weight_variance, bias_variance)

    return machine


def _of_resnet_nf(kind: _Kind) -> Callable[..., KernelMachine]:
    def machine(
        blocks: Depth = 1, weight_variance: _WeightVariance = 2.0, bias_variance: _BiasVariance = 0.1
    ) -> KernelMachine:
        return _infinite(architectures.resnet_nf(blocks=blocks), kind, weight_variance, bias_variance)

    return machine


def _empirical(name: str, architecture: Architecture, after: bool) -> KernelMachine:
    published: Network = registry.models.get(name)()
    family = EmpiricalTangent(replace(published, network=architecture), after)
    return KernelMachine(family, "torch", Network.backends)


def _empirical_mlp(after: bool) -> Callable[..., KernelMachine]:
    def machine(width: Width = 512, depth: Depth = 2) -> KernelMachine:
        return _empirical("mlp", architectures.mlp(width, depth), after)

    return machine


def _empirical_cnn(after: bool) -> Callable[..., KernelMachine]:
    def machine(width: Width = 8) -> KernelMachine:
        return _empirical("cnn", architectures.cnn(width), after)

    return machine


def _empirical_resnet_nf(after: bool) -> Callable[..., KernelMachine]:
    def machine(width: Width = 16, blocks: Depth = 1) -> KernelMachine:
        return _empirical("resnet-nf", architectures.resnet_nf(width, blocks), after)

    return machine


_KINDS: tuple[tuple[_Kind, str], ...] = (("ntk", "tangent kernel"), ("nngp", "Gaussian-process kernel"))
_INFINITE = {"mlp": _of_mlp, "cnn": _of_cnn, "resnet-nf": _of_resnet_nf}
_EMPIRICAL = {"mlp": _empirical_mlp, "cnn": _empirical_cnn, "resnet-nf": _empirical_resnet_nf}

for _name, _make in _INFINITE.items():
    for _kind, _words in _KINDS:
        registry.models.register(
            f"{_kind}-{_name}",
            _make(_kind),
            summary=f"Ridge regression with the {_words} of {_name} at infinite width",
            tags=("kernel", _kind),
        )
for _name, _make_empirical in _EMPIRICAL.items():
    for _suffix, _after, _when in (("", False, "at initialization"), ("-trained", True, "after training")):
        registry.models.register(
            f"entk-{_name}{_suffix}",
            _make_empirical(_after),
            summary=f"Ridge regression with the empirical tangent kernel of {_name} {_when}",
            tags=("kernel", "entk"),
        )
