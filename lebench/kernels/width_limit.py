"""Which architectures have an infinite-width kernel here, and what computing it takes.

The limit is taken layer by layer, so each layer needs an input whose covariance it can map: an activation needs
Gaussian preactivations, a sum needs branches without correlation. What does not meet this is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS, Dual
from lebench.architectures import Architecture, Layer, describe
from lebench.errors import LebenchError


def dual_activations(layer: arch.Activation) -> Dual:
    """Return the dual activations of an activation.

    Raises
    ------
    LebenchError
        If they have no closed form.
    """
    dual = ACTIVATIONS[layer.name].dual
    if dual is None:
        known = ", ".join(name for name, entry in ACTIVATIONS.items() if entry.dual)
        raise LebenchError(f"{describe(layer)} has no closed-form infinite-width kernel: use one of {known}")
    return dual


@dataclass(frozen=True)
class Limit:
    """A checked architecture for inputs of one shape.

    Attributes
    ----------
    layers : tuple of Layer
        The layers; a leading ``Flatten`` is gone.
    input_shape : tuple of int
        Shape of the inputs that these layers see: (height, width, channels) or (features,).
    weight_variance, bias_variance : float
        Those of the architecture.
    full : bool
        Whether covariances between different positions are needed, because positions are averaged.
    positions : int
        The largest number of positions (height times width) that a layer sees.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    weight_variance: float
    bias_variance: float
    full: bool
    positions: int

    @property
    def entries(self) -> int:
        """Covariances per pair of inputs in the largest layer."""
        return self.positions**2 if self.full else self.positions


@dataclass
class _Flow:
    """What is known of the representation between two layers."""

    shape: tuple[int, ...]  # (height, width) or ()
    gaussian: bool  # Gaussian with mean zero, independent between channels, equally distributed
    fresh: bool  # a dense or convolutional layer lies between it and the start of the residual branch


class _Check:
    def __init__(self, architecture: Architecture) -> None:
        self.full = False
        self.positions = 1
        self.architecture = architecture

    def chain(self, layers: tuple[Layer, ...], flow: _Flow) -> _Flow:
        for layer in layers:
            flow = self.layer(layer, flow)
            self.positions = max(self.positions, flow.shape[0] * flow.shape[1] if flow.shape else 1)
        return flow

    def layer(self, layer: Layer, flow: _Flow) -> _Flow:
        match layer:
            case arch.Dense():
                if flow.shape:
                    raise LebenchError(
                        f"{describe(layer)} needs a vector as input, got an image; put Flatten before it"
                    )
                return _Flow((), True, True)
            case arch.Conv(_, kernel, stride, padding):
                if padding == "same" and kernel % 2 == 0:
                    raise LebenchError(f"{describe(layer)}: 'same' padding needs an odd kernel size")
                pad = kernel // 2 if padding == "same" else 0
                return _Flow(self._size(layer, flow, kernel, stride, pad), True, True)
            case arch.Activation():
                dual_activations(layer)
                if layer == arch.Identity:
                    return flow
                if not flow.gaussian:
                    raise LebenchError(
                        f"{describe(layer)} follows no dense or convolutional layer, so its inputs are not Gaussian "
                        "and it has no infinite-width kernel: put Dense or Conv directly before it"
                    )
                return _Flow(flow.shape, False, flow.fresh)
            case arch.AvgPool(size):
                shape = self._size(layer, flow, size, size, 0)
                self.full = self.full or size > 1
                return _Flow(shape, flow.gaussian, flow.fresh)
            case arch.GlobalAvgPool():
                self._size(layer, flow, 1, 1, 0)
                self.full = True
                return _Flow((), flow.gaussian, flow.fresh)
            case arch.Flatten():
                # The coordinates of a flattened image are not equally distributed.
                return _Flow((), flow.gaussian and not flow.shape, flow.fresh)
            case arch.Residual(body, shortcut):
                start = _Flow(flow.shape, flow.gaussian, False)
                left, right = self.chain(body, start), self.chain(shortcut, start)
                fresh = flow.fresh or (left.fresh and right.fresh)
                return _Flow(self._sum(layer, left, right), left.gaussian and right.gaussian, fresh)
            case arch.MaxPool(size):
                raise self._unsupported(layer, f"AvgPool({size})" if size != 2 else "AvgPool()")
            case _:
                raise self._unsupported(layer, "no normalization (resnet_nf in place of resnet)")

    def _sum(self, layer: Layer, left: _Flow, right: _Flow) -> tuple[int, ...]:
        if left.shape != right.shape:
            raise LebenchError(
                f"{describe(layer)}: the body gives positions {left.shape}, the shortcut {right.shape}; "
                "add a 1x1 convolution with the same stride to the shortcut"
            )
        # A Gaussian behind weights of its own has mean zero whatever the other branch is.
        if not any(branch.gaussian and branch.fresh for branch in (left, right)):
            raise LebenchError(
                f"{describe(layer)}: neither branch ends with a dense or convolutional layer of its own, so they are "
                "correlated and have no infinite-width kernel here: end the body with Dense or Conv"
            )
        return left.shape

    def _size(self, layer: Layer, flow: _Flow, kernel: int, stride: int, pad: int) -> tuple[int, ...]:
        if not flow.shape:
            raise LebenchError(f"{describe(layer)} needs an image as input, got a vector; use image data")
        size = tuple((s + 2 * pad - kernel) // stride + 1 for s in flow.shape)
        if min(size) < 1:
            raise LebenchError(f"{describe(layer)} leaves nothing of an image of {flow.shape}; use fewer of them")
        return size

    def _unsupported(self, layer: Layer, cure: str) -> LebenchError:
        return LebenchError(f"{describe(layer)} has no infinite-width kernel: use an architecture with {cure}")


def limit_of(architecture: Architecture, input_shape: tuple[int, ...]) -> Limit:
    """Return what is needed to compute the infinite-width kernel of an architecture for inputs of a shape.

    Raises
    ------
    LebenchError
        If a layer has no known limit, or does not fit what it gets; the message names it and what to use instead.
    """
    layers = architecture.layers
    if layers and layers[0] == arch.Flatten():
        size = 1
        for side in input_shape:
            size *= side
        layers, input_shape = layers[1:], (size,)
    check = _Check(architecture)
    check.positions = input_shape[0] * input_shape[1] if len(input_shape) == 3 else 1
    end = check.chain(layers, _Flow(input_shape[:2] if len(input_shape) == 3 else (), False, False))
    if end.shape:
        raise LebenchError("the last layer gives an image, but a kernel compares scores: end with Flatten and Dense")
    return Limit(
        layers, input_shape, architecture.weight_variance, architecture.bias_variance, check.full, check.positions
    )
