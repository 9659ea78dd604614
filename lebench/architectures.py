"""Architectures: frozen descriptions of networks as layers, without any framework.

From one description a backend builds the trained network, its empirical kernel and, where the limit exists, its
infinite-width kernel. Weights are drawn from N(0, weight_variance / fan_in), biases from N(0, bias_variance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le

from lebench.activations import ActivationName
from lebench.errors import ParameterError

Width = Annotated[int, Ge(1), Le(1_000_000)]
Depth = Annotated[int, Ge(1), Le(1_000)]


@dataclass(frozen=True)
class Dense:
    """Fully connected layer; ``units=None`` stands for the number of outputs."""

    units: int | None = None


@dataclass(frozen=True)
class Conv:
    """Two-dimensional convolution, square kernel; ``"same"`` pads with zeros to ceil(size / stride)."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: Literal["same", "valid"] = "same"


@dataclass(frozen=True)
class Activation:
    """Pointwise nonlinearity."""

    name: ActivationName


Relu = Activation("relu")
Identity = Activation("identity")


@dataclass(frozen=True)
class AvgPool:
    """Average over non-overlapping windows; what does not fill a window is dropped."""

    size: int = 2


@dataclass(frozen=True)
class MaxPool:
    """Maximum over non-overlapping windows; what does not fill a window is dropped."""

    size: int = 2


@dataclass(frozen=True)
class GlobalAvgPool:
    """Average over all positions: (height, width, channels) to (channels,)."""


@dataclass(frozen=True)
class Flatten:
    """All coordinates in one vector, ordered (height, width, channels)."""


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization per channel, affine; running statistics in evaluation."""


@dataclass(frozen=True)
class LayerNorm:
    """Normalization over all coordinates of one example, affine per channel."""


@dataclass(frozen=True)
class Residual:
    """The sum of a body and a shortcut; an empty shortcut is the identity."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


Layer = Dense | Conv | Activation | AvgPool | MaxPool | GlobalAvgPool | Flatten | BatchNorm | LayerNorm | Residual


_SPATIAL = (Conv, AvgPool, MaxPool, GlobalAvgPool)


@dataclass(frozen=True)
class Architecture:
    """A network without weights.

    Attributes
    ----------
    layers : tuple of Layer
        From the input, images as (height, width, channels), to the scores. The last layer is the head.
    weight_variance, bias_variance : float
        Variances of the initialization: weights N(0, weight_variance / fan_in), biases N(0, bias_variance).
    """

    layers: tuple[Layer, ...]
    weight_variance: float = 2.0
    bias_variance: float = 0.0

    def with_width(self, width: int) -> Architecture:
        """Return the same perceptron with another number of units in every hidden layer.

        Raises
        ------
        ParameterError
            If the width is below 1, or the network is no perceptron with hidden layers.
        """
        if width < 1:
            raise ParameterError(f"width is {width}: at least 1 unit is needed")
        if problem := width_problem(self):
            raise ParameterError(f"its width cannot be changed: it {problem}")
        return replace(
            self,
            layers=tuple(Dense(width) if isinstance(layer, Dense) and layer.units else layer for layer in self.layers),
        )

    def walk(self) -> Iterator[Layer]:
        """Yield every layer, those inside residual blocks included, depth first."""
        yield from _walk(self.layers)


def _walk(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        if isinstance(layer, Residual):
            yield from _walk(layer.body)
            yield from _walk(layer.shortcut)


def describe(layer: Layer) -> str:
    """Return a layer as short text: ``Conv(16, stride=2)``."""
    if isinstance(layer, Residual):
        inner = ", ".join(describe(part) for part in layer.body)
        return f"Residual({inner})"
    values = [f"{f.name}={getattr(layer, f.name)}" for f in fields(layer) if getattr(layer, f.name) != f.default]
    return f"{type(layer).__name__}({', '.join(values)})"


def input_problem(architecture: Architecture, input_shape: tuple[int, ...]) -> str | None:
    """Return why an architecture cannot take inputs of a shape, or None if it can.

    Parameters
    ----------
    architecture : Architecture
        What would be built.
    input_shape : tuple of int
        (height, width, channels) or (features,).
    """
    spatial = next((layer for layer in architecture.walk() if isinstance(layer, _SPATIAL)), None)
    if spatial is None or len(input_shape) == 3:
        return None
    return f"needs images for {describe(spatial)}; an input of this task has shape {input_shape}"


def width_problem(architecture: Architecture) -> str | None:
    """Return why the width of a network cannot be changed, or None if it is a perceptron with hidden layers."""
    other = [layer for layer in architecture.layers if not isinstance(layer, Dense | Activation | Flatten)]
    if other:
        return f"has {describe(other[0])}, and only perceptrons are compared by width"
    if not any(isinstance(layer, Dense) and layer.units for layer in architecture.layers):
        return "has no hidden layer"
    return None


def linear() -> Architecture:
    """Linear network: one dense layer on the pixels."""
    return Architecture((Flatten(), Dense()), weight_variance=1.0)


def deep_linear(width: Width = 256, depth: Depth = 2) -> Architecture:
    """Deep linear network: dense layers without nonlinearity between them.

    Parameters
    ----------
    width : int
        Units per hidden layer.
    depth : int
        Hidden layers.
    """
    return Architecture((Flatten(), *[Dense(width)] * depth, Dense()), weight_variance=1.0)


def mlp(
    width: Width = 512,
    depth: Depth = 2,
    activation: Literal["relu", "leaky_relu", "erf", "tanh", "gelu"] = "relu",
) -> Architecture:
    """Multilayer perceptron: dense layers with a nonlinearity between them.

    Parameters
    ----------
    width : int
        Units per hidden layer.
    depth : int
        Hidden layers.
    activation : str
        Nonlinearity.
    """
    hidden = [part for _ in range(depth) for part in (Dense(width), Activation(activation))]
    return Architecture((Flatten(), *hidden, Dense()), weight_variance=2.0 if "relu" in activation else 1.0)


def lenet() -> Architecture:
    """LeNet-like convolutional network of the LE-SDE paper, with same-padding so that 8x8 images fit.

    Zhang, Wang & Su 2021, section 4: 5x5 convolutions with 6 and 16 channels, each with ReLU and 2x2 max pooling,
    then dense layers of 120 and 84 units.
    """
    convolutions = (Conv(6, kernel=5), Relu, MaxPool(), Conv(16, kernel=5), Relu, MaxPool())
    return Architecture((*convolutions, Flatten(), Dense(120), Relu, Dense(84), Relu, Dense()))


def cnn(width: Width = 8) -> Architecture:
    """Convolutional network of the LANTK paper: seven 3x3 convolutions, no pooling, one dense layer.

    Chen, He & Su 2020: channels 16, 64, 64, 128, 128, 256, 256 at width 16, strides 2 at the fourth and sixth
    convolution, no activation after the last.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the others are 4, 4, 8, 8, 16 and 16 times as many. The paper's is 16.
    """
    plan = ((4, 1), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1))
    layers: list[Layer] = [Conv(width)]
    for factor, stride in plan:
        layers += [Relu, Conv(factor * width, stride=stride)]
    return Architecture((*layers, Flatten(), Dense()))


def resnet(width: Width = 16, blocks: Depth = 1) -> Architecture:
    """Residual network with batch normalization (He et al. 2016, CIFAR form): depth 6 blocks + 2.

    Parameters
    ----------
    width : int
        Channels of the first of three stages; each later stage halves the image and doubles the channels.
    blocks : int
        Residual blocks per stage.
    """
    return _residual_network(width, blocks, _normalized_block, (Conv(width), BatchNorm(), Relu), ())


def resnet_nf(width: Width = 16, blocks: Depth = 1) -> Architecture:
    """Residual network without normalization, which has an infinite-width limit: pre-activation blocks.

    Parameters
    ----------
    width : int
        Channels of the first of three stages; each later stage halves the image and doubles the channels.
    blocks : int
        Residual blocks per stage.
    """
    return _residual_network(width, blocks, _plain_block, (Conv(width),), (Relu,))


def resnet18() -> Architecture:
    """ResNet-18 for images of 32 x 32 (He et al. 2016): a 3x3 stem of 64 channels without pooling, four stages.

    11.2 million weights for 10 classes. By its recipe, that of DeVries & Taylor 2017 (arXiv 1708.04552, without
    cutout), the mean of five runs on all of CIFAR-10 is an accuracy of 0.9528, on CIFAR-100 of 0.7754.
    """
    return _residual_network(64, 2, _normalized_block, (Conv(64), BatchNorm(), Relu), (), stages=4)


def wrn_16_4() -> Architecture:
    """Wide residual network of depth 16 and width 4 (Zagoruyko & Komodakis 2016), without dropout.

    2.7 million weights for 10 classes. By its recipe, that of the paper, the median of five runs on all of CIFAR-10 is
    an accuracy of 0.9498, on CIFAR-100 of 0.7597 (Table 6).
    """
    layers: list[Layer] = [Conv(16)]
    for stage in range(3):
        for number in range(2):
            channels, stride = 64 * 2**stage, 2 if stage > 0 and number == 0 else 1
            body = (Conv(channels, stride=stride), BatchNorm(), Relu, Conv(channels))
            if number == 0:
                # The projection sees the activations.
                layers += [BatchNorm(), Relu, Residual(body, (Conv(channels, kernel=1, stride=stride),))]
            else:
                layers += [Residual((BatchNorm(), Relu, *body))]
    return Architecture((*layers, BatchNorm(), Relu, GlobalAvgPool(), Dense()))


def _normalized_block(channels: int, stride: int, project: bool) -> tuple[Layer, ...]:
    body = (Conv(channels, stride=stride), BatchNorm(), Relu, Conv(channels), BatchNorm())
    shortcut = (Conv(channels, kernel=1, stride=stride), BatchNorm()) if project else ()
    return (Residual(body, shortcut), Relu)


def _plain_block(channels: int, stride: int, project: bool) -> tuple[Layer, ...]:
    body = (Relu, Conv(channels, stride=stride), Relu, Conv(channels))
    shortcut = (Conv(channels, kernel=1, stride=stride),) if project else ()
    return (Residual(body, shortcut),)


def _residual_network(
    width: int,
    blocks: int,
    block: Callable[[int, int, bool], tuple[Layer, ...]],
    stem: tuple[Layer, ...],
    end: tuple[Layer, ...],
    stages: int = 3,
) -> Architecture:
    layers = list(stem)
    for stage in range(stages):
        for number in range(blocks):
            first_of_later_stage = stage > 0 and number == 0
            layers += block(width * 2**stage, 2 if first_of_later_stage else 1, first_of_later_stage)
    return Architecture((*layers, *end, GlobalAvgPool(), Dense()))


def vgg(width: Width = 16) -> Architecture:
    """VGG-like network with batch normalization: pairs of 3x3 convolutions between max poolings.

    Simonyan & Zisserman 2015, shortened for small images: three pairs, then a dense layer.

    Parameters
    ----------
    width : int
        Channels of the first pair; each later pair has twice as many.
    """
    layers: list[Layer] = []
    for stage in range(3):
        for _ in range(2):
            layers += [Conv(width * 2**stage), BatchNorm(), Relu]
        layers += [MaxPool()]
    return Architecture((*layers, Flatten(), Dense(4 * width), Relu, Dense()))
