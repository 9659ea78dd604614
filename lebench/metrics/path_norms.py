"""Path norms: the sum over all paths through a network of the products of their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lebench.architectures import (
    Activation,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    MaxPool,
    Residual,
    describe,
)
from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.capacity import CAPACITY_TAGS
from lebench.metrics.layer_norms import read_weights

_Parameters = Iterator[tuple[int, FloatArray, FloatArray | float]]


def _two_layers(p: float) -> dict[str, Any]:
    return {"weights": [np.array([[3.0, -4.0], [0.0, 5.0]]), np.array([[-1.0, 2.0]])], "p": p}


def _convolution(p: float) -> dict[str, Any]:
    # At every pixel of a 2 x 2 image, four of the nine weights of a 3 x 3 kernel meet the image.
    layers = (Conv(1), Activation("relu"), Flatten(), Dense())
    return {"weights": [np.ones((1, 1, 3, 3)), np.ones((1, 4))], "layers": layers, "shape": (2, 2, 1), "p": p}


@metric(
    symbol=r"\Phi_p",
    equation=r"\left(\sum_{\mathrm{paths}}\prod_{e\in\mathrm{path}}|w_e|^p\right)^{1/p}",
    source="Neyshabur, Tomioka & Srebro 2015: what the network of |w|^p gives for an input of ones",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rescaling"),
    known_answers=(
        KnownAnswer("two dense layers, p = 1", lambda: _two_layers(1.0), 17.0, "7 + 2 * 5"),
        KnownAnswer("two dense layers, p = 2", lambda: _two_layers(2.0), math.sqrt(125), "25 + 4 * 25"),
        KnownAnswer("a convolution, p = 1", lambda: _convolution(1.0), 16.0, "counting"),
        KnownAnswer("a convolution, p = 2", lambda: _convolution(2.0), 4.0, "counting"),
    ),
    tags=CAPACITY_TAGS,
)
def path_norm(
    weights: Sequence[Any],
    p: float = 2.0,
    *,
    biases: Sequence[Any] | None = None,
    layers: Sequence[Layer] | None = None,
    shape: tuple[int, ...] | None = None,
) -> float:
    """Sum over paths from input to output of the products of |weight|^p, to the power 1/p.

    Invariant to rescaling one unit's incoming weights (and bias) by c > 0 and its outgoing ones by 1/c.

    Parameters
    ----------
    weights : sequence of array, float32 or float64
        Dense (outputs, inputs) and convolutional (outputs, channels, height, width) layers, from input to output.
    p : float
        At least 1.
    biases : sequence of array of shape (outputs,) or None, optional
        One per layer: a bias is a path that begins in its unit. By default there are none.
    layers : sequence of lebench.architectures.Layer, optional
        What the network is made of, as ``Architecture.layers``; by default dense layers only. Strides and padding are
        read from it, sizes from the weights. Every activation counts as a ReLU; pooling is applied as it is; batch
        normalization is taken as folded into the weights (:func:`fold_batch_norm`).
    shape : tuple of int, optional
        Of the input, (height, width, channels); needed with `layers`.

    Raises
    ------
    DataError
        If `p` is out of range, weights, biases, layers and shape do not fit, an array is empty or not finite, or there
        is a layer normalization, which has no paths.
    """
    if not 1 <= p < math.inf:
        raise DataError(f"p is {p}: a finite number of at least 1 is needed")
    arrays = read_weights(weights)
    offsets: Sequence[Any] = [None] * len(arrays) if biases is None else biases
    if len(offsets) != len(arrays):
        raise DataError(f"there are {len(offsets)} biases for {len(arrays)} layers: one per layer is needed, or None")
    parameters: _Parameters = iter(
        [(index, np.abs(array) ** p, _offset(index, array, offsets[index], p)) for index, array in enumerate(arrays)]
    )
    if layers is None:
        layers, shape = (Dense(),) * len(arrays), (arrays[0].shape[1],)
    if shape is None:
        raise DataError("shape, the input's (height, width, channels), is needed with layers")
    total = float(_forward(tuple(layers), np.ones(shape), parameters).sum())
    if left := len(list(parameters)):
        raise DataError(f"there are {len(arrays)} weights, {left} more than the layers have")
    return float(total ** (1 / p))


def _offset(index: int, array: FloatArray, bias: Any, p: float) -> FloatArray | float:
    if bias is None:
        return 0.0
    values = as_floats(f"biases of layer {index}", bias, 1)
    if len(values) != len(array):
        raise DataError(f"biases of layer {index} have shape {values.shape}: ({len(array)},) is needed")
    return np.asarray(np.abs(values) ** p)


def _forward(layers: tuple[Layer, ...], x: FloatArray, parameters: _Parameters) -> FloatArray:
    for layer in layers:
        x = _apply(layer, x, parameters)
    return x


def _apply(layer: Layer, x: FloatArray, parameters: _Parameters) -> FloatArray:
    """Apply one layer to values that are not negative, so that a ReLU does nothing."""
    if isinstance(layer, Residual):
        body = _forward(layer.body, x, parameters)
        return body + _forward(layer.shortcut, x, parameters)
    if isinstance(layer, Flatten):
        return x.reshape(-1)
    if isinstance(layer, GlobalAvgPool):
        return np.asarray(x.mean(axis=(0, 1)))
    if isinstance(layer, AvgPool | MaxPool):
        return _pool(layer, x)
    if isinstance(layer, Activation | BatchNorm):
        return x
    if isinstance(layer, LayerNorm):
        raise DataError("layers contain LayerNorm, which is no sum over paths")
    try:
        index, weight, bias = next(parameters)
    except StopIteration:
        raise DataError(f"layers contain {describe(layer)}, for which there are no weights left") from None
    return np.asarray(
        (_convolve(layer, weight, x, index) if isinstance(layer, Conv) else _dense(weight, x, index)) + bias
    )


def _dense(weight: FloatArray, x: FloatArray, index: int) -> FloatArray:
    if weight.ndim != 2 or x.shape != weight.shape[1:]:
        raise DataError(f"weights of layer {index} have shape {weight.shape}: (outputs, {x.size}) is needed")
    return weight @ x


def _pool(layer: AvgPool | MaxPool, x: FloatArray) -> FloatArray:
    size = layer.size
    high, wide = x.shape[0] // size, x.shape[1] // size
    windows = x[: high * size, : wide * size].reshape(high, size, wide, size, -1)
    return np.asarray(windows.max(axis=(1, 3)) if isinstance(layer, MaxPool) else windows.mean(axis=(1, 3)))


def _convolve(layer: Conv, weight: FloatArray, x: FloatArray, index: int) -> FloatArray:
    if weight.ndim != 4 or x.ndim != 3 or weight.shape[1] != x.shape[2]:
        raise DataError(f"weights of layer {index} have shape {weight.shape}: no convolution of shape {x.shape}")
    kernel = weight.shape[2:]
    if layer.padding == "same":
        if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
            raise DataError(f"the kernel {kernel} of layer {index} is even: 'same' padding needs an odd one")
        # As many zeros before as after whatever the stride, as the networks and their kernels have.
        x = np.pad(x, [*((size // 2, size // 2) for size in kernel), (0, 0)])
    if x.shape[0] < kernel[0] or x.shape[1] < kernel[1]:
        raise DataError(f"the kernel {kernel} of layer {index} is larger than its input {x.shape[:2]}")
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(0, 1))[:: layer.stride, :: layer.stride]
    return np.tensordot(windows, weight, axes=((2, 3, 4), (1, 2, 3)))
