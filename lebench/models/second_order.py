"""Kernel machines with the second-order kernel of a perceptron: more than its linearization, less than the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from lebench import registry
from lebench.architectures import Depth
from lebench.arrays import FloatArray
from lebench.data.base import Split
from lebench.kernels.second_order import check_options, second_order_diagonal, second_order_kernel
from lebench.models.kernel_machine import Kernel, KernelMachine
from lebench.models.kernel_scores import flat


@dataclass(frozen=True)
class SecondOrder:
    """The expected product of Hessians of a perceptron at infinite width.

    Attributes
    ----------
    depth : int
        Hidden layers.
    activation : {"relu", "erf"}
        Of the hidden units.
    smoothing : float
        Standard deviation of the noise by which a ReLU is smoothed, relative to the weights'.
    weight_variance, bias_variance : float
        Of all layers.
    tangent : bool
        Whether the tangent kernel is added.
    """

    depth: int
    activation: Literal["relu", "erf"]
    smoothing: float
    weight_variance: float
    bias_variance: float
    tangent: bool

    def __post_init__(self) -> None:
        check_options(self.depth, self.activation, self.smoothing, self.weight_variance, self.bias_variance)

    def kernel(self, split: Split, seed: int, backend: str) -> Kernel:
        """Return itself: it does not depend on the split."""
        return self

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        return second_order_kernel(flat(x1), flat(x2), **self._options)

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        return second_order_diagonal(flat(x), **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "depth": self.depth,
            "activation": self.activation,
            "smoothing": self.smoothing,
            "weight_variance": self.weight_variance,
            "bias_variance": self.bias_variance,
            "tangent": self.tangent,
        }


@registry.models.register("second-order-mlp", tags=("kernel", "second-order"))
def second_order_mlp(
    depth: Depth = 1,
    activation: Literal["relu", "erf"] = "relu",
    smoothing: Annotated[float, Ge(0)] = 0.3,
    weight_variance: Annotated[float, Gt(0)] = 2.0,
    bias_variance: Annotated[float, Ge(0)] = 0.1,
    tangent: bool = False,
) -> KernelMachine:
    """Ridge regression with the second-order kernel of mlp at infinite width: products of Hessians, not of gradients.

    Parameters
    ----------
    depth : int
        Hidden layers; more than one need ``smoothing=0``.
    activation : str
        Nonlinearity; erf needs ``smoothing=0``.
    smoothing : float
        Gaussian noise on the first layer's weights over which a ReLU is averaged, in their standard deviations. With 0
        active units are frozen, and the kernel is made of the parts of the tangent kernel.
    weight_variance, bias_variance : float
        Of all layers.
    tangent : bool
        Whether the tangent kernel is added: the network's expansion up to second order, its weights set free.
    """
    family = SecondOrder(depth, activation, smoothing, weight_variance, bias_variance, tangent)
    return KernelMachine(family)
