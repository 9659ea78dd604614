"""Architectures as plain JAX functions of weights and inputs. Inputs are (n, height, width, channels) or (n, d).

Weights are a tuple of dictionaries, one for each layer that has any, depth first (the body of a residual block before
its shortcut). Dense weights are (in, out), convolutions (height, width, in, out). The running statistics of batch
normalization are a second tuple of the same form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS
from lebench.errors import LebenchError

#: Weights, or anything of their form.
Weights = Any

#: What normalizations add to a variance.
EPSILON = 1e-5
_BATCH_NORM_MOMENTUM = 0.1


@dataclass
class Use:
    """How a layer with weights was used in a pass: what its gradients are made of.

    Attributes
    ----------
    kind : {"matrix", "affine"}
        Whether the output is a product of weights (in, out) and patches, or channelwise scale and shift.
    patches : Array of shape (n, positions, in)
        What is multiplied by the weights; for ``"affine"`` what is scaled.
    shape : tuple of int
        Of the output without the batch.
    """

    kind: Literal["matrix", "affine"]
    patches: Array
    shape: tuple[int, ...]


@dataclass
class Pass:
    """One pass of inputs through an architecture.

    Attributes
    ----------
    architecture, outputs
        What is computed, and the number of scores.
    weights, statistics : sequence
        One entry for each layer that has any.
    shares : Array of shape (n,), optional
        In training the weight of each example in the batch, which sums to 1; normalization is by the batch then.
        Without them by running statistics.
    taps : sequence of Array, optional
        Added to the outputs of the layers with weights, so that gradients in them can be had.
    rng : numpy.random.Generator, optional
        Draws the weights, which are appended as layers are met.
    """

    architecture: arch.Architecture
    outputs: int
    weights: list[Any] = field(default_factory=list)
    statistics: list[Any] = field(default_factory=list)
    shares: Array | None = None
    taps: Sequence[Array] | None = None
    rng: np.random.Generator | None = None
    uses: list[Use] = field(default_factory=list)
    updated: list[Any] = field(default_factory=list)
    head_input: Array | None = None

    def run(self, x: Array) -> Array:
        """Return the scores (n, outputs)."""
        return self._chain(self.architecture.layers, x)

    def _chain(self, layers: tuple[arch.Layer, ...], x: Array) -> Array:
        for layer in layers:
            x = self._layer(layer, x)
        return x

    def _layer(self, layer: arch.Layer, x: Array) -> Array:
        match layer:
            case arch.Dense(units):
                self._expect(layer, x, 2)
                out = self.outputs if units is None else units
                weights = self._next(lambda: self._draw((x.shape[1], out), x.shape[1]))
                self.head_input = x
                return self._tapped("matrix", x[:, None], x @ weights["w"] + weights["b"])
            case arch.Conv():
                return self._convolution(layer, x)
            case arch.Activation(name):
                activated: Array = ACTIVATIONS[name].jax(jax)(x)
                return activated
            case arch.AvgPool(size) | arch.MaxPool(size):
                self._expect(layer, x, 4)
                height, width = (s // size for s in x.shape[1:3])
                self._expect_room(layer, x, (height, width))
                windows = _windows(x[:, : height * size, : width * size], size, size)
                return windows.mean(axis=3) if isinstance(layer, arch.AvgPool) else _first_maximum(windows)
            case arch.GlobalAvgPool():
                self._expect(layer, x, 4)
                return x.mean(axis=(1, 2))
            case arch.Flatten():
                return x.reshape(len(x), -1)
            case arch.BatchNorm():
                return self._affine(self._batch_normalized(x))
            case arch.LayerNorm():
                axes = tuple(range(1, x.ndim))
                centred = x - x.mean(axis=axes, keepdims=True)
                variance = jnp.square(centred).mean(axis=axes, keepdims=True)
                return self._affine(centred / jnp.sqrt(variance + EPSILON))
            case arch.Residual(body, shortcut):
                left, right = self._chain(body, x), self._chain(shortcut, x)
                if left.shape != right.shape:
                    raise LebenchError(
                        f"{arch.describe(layer)}: the body gives shape {left.shape[1:]}, the shortcut "
                        f"{right.shape[1:]}; add a 1x1 convolution with the same stride to the shortcut"
                    )
                return left + right
        raise LebenchError(f"the jax backend cannot build {arch.describe(layer)}")

    def _convolution(self, layer: arch.Conv, x: Array) -> Array:
        self._expect(layer, x, 4)
        kernel, channels = layer.kernel, x.shape[3]
        if layer.padding == "same" and kernel % 2 == 0:
            raise LebenchError(f"{arch.describe(layer)}: 'same' padding needs an odd kernel size")
        pad = kernel // 2 if layer.padding == "same" else 0
        size = [(s + 2 * pad - kernel) // layer.stride + 1 for s in x.shape[1:3]]
        self._expect_room(layer, x, size)
        fan_in = channels * kernel**2
        weights = self._next(lambda: self._draw((kernel, kernel, channels, layer.channels), fan_in))
        # As one matrix product: on the CPU XLA's convolution in float64 is neither fast nor safe, and the gradient of
        # the one in float32 is slow, too.
        windows = _windows(jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))), kernel, layer.stride)
        patches = windows.reshape(len(x), -1, fan_in)
        scores = patches @ weights["w"].reshape(fan_in, -1) + weights["b"]
        return self._tapped("matrix", patches, scores.reshape(len(x), *size, layer.channels))

    def _batch_normalized(self, x: Array) -> Array:
        channels, axes = x.shape[-1], tuple(range(x.ndim - 1))
        index = len(self.updated)
        if self.rng is not None:
            self.statistics.append({"mean": np.zeros(channels), "var": np.ones(channels)})
        kept = self.statistics[index]
        if self.shares is None:
            mean, variance = kept["mean"], kept["var"]
            self.updated.append(kept)
        else:
            share = self.shares.reshape(-1, *[1] * (x.ndim - 1)) / math.prod(x.shape[1:-1])
            mean = (share * x).sum(axis=axes)
            variance = (share * jnp.square(x - mean)).sum(axis=axes)
            # All examples that count, count alike, so this is their number.
            count = math.prod(x.shape[1:-1]) / jnp.square(self.shares).sum()
            new = {"mean": mean, "var": variance * count / jnp.maximum(count - 1, 1)}
            momentum = _BATCH_NORM_MOMENTUM
            self.updated.append({name: (1 - momentum) * kept[name] + momentum * new[name] for name in new})
        normalized: Array = (x - mean) / jnp.sqrt(variance + EPSILON)
        return normalized

    def _affine(self, x: Array) -> Array:
        channels = x.shape[-1]
        weights = self._next(lambda: {"w": np.ones(channels), "b": np.zeros(channels)})
        return self._tapped("affine", x.reshape(len(x), -1, channels), x * weights["w"] + weights["b"])

    def _tapped(self, kind: Literal["matrix", "affine"], patches: Array, output: Array) -> Array:
        index = len(self.uses)
        self.uses.append(Use(kind, patches, output.shape[1:]))
        return output if self.taps is None else output + self.taps[index]

    def _next(self, draw: Callable[[], Any]) -> Any:
        if self.rng is not None:
            self.weights.append(draw())
        return self.weights[len(self.uses)]

    def _draw(self, shape: tuple[int, ...], fan_in: int) -> dict[str, np.ndarray[Any, Any]]:
        assert self.rng is not None
        spread = math.sqrt(self.architecture.weight_variance / fan_in)
        weights = spread * self.rng.standard_normal(shape)
        biases = math.sqrt(self.architecture.bias_variance) * self.rng.standard_normal(shape[-1])
        return {"w": weights, "b": biases}

    @staticmethod
    def _expect(layer: arch.Layer, x: Array, dimensions: int) -> None:
        if x.ndim != dimensions:
            what, cure = ("a vector", "put Flatten before it") if dimensions == 2 else ("an image", "use image data")
            raise LebenchError(f"{arch.describe(layer)} needs {what} as input, got shape {x.shape[1:]}; {cure}")

    @staticmethod
    def _expect_room(layer: arch.Layer, x: Array, size: Sequence[int]) -> None:
        if min(size) < 1:
            raise LebenchError(
                f"{arch.describe(layer)} leaves nothing of an input of shape {x.shape[1:]}; use fewer of them"
            )


def _windows(x: Array, kernel: int, stride: int) -> Array:
    """Return all windows of (n, h, w, c), (n, h', w', kernel * kernel, c), their positions in row-major order."""
    height, width = ((s - kernel) // stride + 1 for s in x.shape[1:3])
    parts = [
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(kernel)
        for j in range(kernel)
    ]
    return jnp.stack(parts, axis=3)


def _first_maximum(windows: Array) -> Array:
    """Return the maximum over positions; of equal ones the first gets the gradient, as in torch."""
    first = jnp.argmax(jax.lax.stop_gradient(windows), axis=3, keepdims=True)
    return jnp.take_along_axis(windows, first, axis=3)[:, :, :, 0]


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return what stands for an array where only shapes are computed."""
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def draw(
    architecture: arch.Architecture, input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator
) -> tuple[Weights, Weights]:
    """Return weights, drawn from N(0, variance / fan_in), and the initial running statistics, arrays in float64.

    Raises
    ------
    LebenchError
        If a layer does not fit the shape it gets; the message names the layer.
    """
    made = Pass(architecture, outputs, rng=rng)
    # Only shapes are computed; what the generator draws on the way is real.
    jax.eval_shape(made.run, shape_of((1, *input_shape), jnp.float32))
    return tuple(made.weights), tuple(made.statistics)
