"""The compiled method of dense chains: inner products by BLAS, all layers in one pass over them.

In float64 what passes through the layers are covariances. The tangent kernel of a ReLU depends on the angle of two
inputs, and a float32 cosine of an angle near 0 or pi has lost it: an error of 1e-7 in the cosine is one of 5e-4 in the
angle. So in float32 what passes through piecewise linear layers is the gap between the cosine and one, to full relative
precision; where inner products in float32 cannot give it, they are taken in float64. Float32 inputs of networks with
erf, or of numbers beyond the range of float32, are computed in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS
from lebench.architectures import Layer
from lebench.kernels.dense_loops import (
    ERF,
    NONE,
    PIECEWISE,
    constants,
    correct_gaps,
    dense_block,
    dense_gaps,
    squared_norms,
    to_gaps,
)
from lebench.kernels.methods import Inputs, Kind, require
from lebench.kernels.recursion import Kernels, Recursion
from lebench.kernels.width_limit import Limit

Array = NDArray[Any]
#: Rows and columns of a block.
_EDGE = 512
#: Inner products in float32 leave too few digits to gaps below this.
_NEAR = 0.02
#: Above this share of pairs with too few digits all of a block is multiplied in float64.
_MANY = 1 / 16
#: Bytes of the inputs that are converted at once.
_PART = 2**24
#: Roots of the largest variances between which float32 neither overflows nor underflows.
RANGE = 1e-12, 1e15
#: Roots below this are zero beside the largest one, and the product of two inverses of others is finite in float32.
NEGLIGIBLE = 1e-18
#: Inner products below this are zero: an angle of exactly pi keeps its sign.
_TINY = np.float32(1e-30)


def activation_code(layer: Layer) -> tuple[int, float, float]:
    """Return the code of an activation and its two numbers; NONE for what is no activation, or the identity."""
    if not isinstance(layer, arch.Activation) or layer == arch.Identity:
        return NONE, 0.0, 0.0
    entry = ACTIVATIONS[layer.name]
    if entry.compiled == "erf":
        return ERF, 0.0, 0.0
    assert entry.slope is not None
    return PIECEWISE, entry.slope, (1 - entry.slope) ** 2 / (2 * math.pi)


def inverse(values: Array, least: float = 0.0) -> Array:
    """Return 1 / values, 0 for those that are not above `least`."""
    inverted: Array = np.divide(1, values, out=np.zeros_like(values), where=values > least)
    return inverted


def roots(codes: list[int], variances: tuple[Array, ...]) -> tuple[list[Array], list[Array]]:
    """Return roots of variances and their inverses, for erf the inverses of those of 1 + 2 variance."""
    made, inverses = [], []
    for code, variance in zip(codes, variances, strict=True):
        made.append(np.sqrt(variance))
        inverses.append(1 / np.sqrt(1 + 2 * variance) if code == ERF else inverse(made[-1]))
    return made, inverses


@dataclass(frozen=True)
class _Vectors(Inputs):
    """Inputs with what the loops read of them, all in float64.

    Attributes
    ----------
    scales : array of shape (2, activations, n)
        Roots of the variances at every activation, and their inverses.
    course : array of shape (steps + 1, n)
        Roots of the variances before every step and at the end.
    """

    scales: Array
    course: Array


def dense_method(limit: Limit, kind: Kind, itemsize: int, memory: int) -> DenseMethod | None:
    """Return the compiled method of a dense chain, or None if an architecture is another one.

    Raises
    ------
    ParameterError
        If the memory is too small for a single pair of inputs.
    """
    if not all(isinstance(layer, arch.Dense) or has_loop(layer) for layer in limit.layers):
        return None
    return DenseMethod(limit, kind, itemsize, memory)


def has_loop(layer: Layer) -> bool:
    """Return whether a layer is an activation with a compiled loop."""
    return isinstance(layer, arch.Activation) and ACTIVATIONS[layer.name].compiled is not None


class DenseMethod:
    """Dense layers and activations."""

    def __init__(self, limit: Limit, kind: Kind, itemsize: int, memory: int) -> None:
        self._limit, self._ntk = limit, kind == "ntk"
        # A block on the diagonal of the kernel is mirrored, with copies; one in float32 may be computed in float64.
        each = 64 if itemsize == 8 else 48
        require(memory, each)
        self.edge = min(_EDGE, math.isqrt(memory // each))
        self._steps = [
            layer for layer in limit.layers if isinstance(layer, arch.Dense) or activation_code(layer)[0] != NONE
        ]
        activations = [activation_code(layer) for layer in self._steps]
        self._kinds = np.array([code for code, _, _ in activations], dtype=np.int64)
        self._shapes = np.array([numbers for _, *numbers in activations]).reshape(len(activations), 2)
        self._codes = [code for code in self._kinds if code != NONE]

    def prepare(self, x: Array) -> _Vectors:
        """Pair each input with itself, in float64."""
        recursion = Recursion(xp, self._limit)
        own = squared_norms(np.ascontiguousarray(x)) / x.shape[1]
        kernels = Kernels(own, np.zeros_like(own) if self._ntk else None, (), False)
        course = [own]
        for layer in self._steps:
            kernels = recursion.chain((layer,), kernels)
            course.append(kernels.nngp)
        diagonal = kernels.ntk if self._ntk else kernels.nngp
        shape = (len(self._codes), len(x))
        scales = np.stack([np.reshape(part, shape) for part in roots(self._codes, tuple(recursion.kept))])
        return _Vectors(x, (), diagonal, scales, np.sqrt(course))

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Multiply, then take the products through the layers."""
        assert isinstance(rows, _Vectors)
        assert isinstance(columns, _Vectors)
        single = rows.x.dtype == np.float32 and ERF not in self._codes
        if single and all(RANGE[0] < largest < RANGE[1] for v in (rows, columns) for largest in v.course.max(axis=1)):
            return self._by_gaps(rows, columns, part1, part2)
        return self._by_covariances(rows, columns, part1, part2)

    def _by_covariances(self, rows: _Vectors, columns: _Vectors, part1: slice, part2: slice) -> Array:
        block = _product(rows.x[part1], columns.x[part2])
        block /= self._limit.input_shape[0]
        r1, i1 = (np.ascontiguousarray(v[:, part1]) for v in rows.scales)
        r2, i2 = (np.ascontiguousarray(v[:, part2]) for v in columns.scales)
        numbers = constants(np.float64, self._limit.weight_variance, self._limit.bias_variance)
        dense_block(block, self._kinds, self._shapes, r1, i1, r2, i2, numbers, self._ntk)
        return block

    def _by_gaps(self, rows: _Vectors, columns: _Vectors, part1: slice, part2: slice) -> Array:
        x1, x2 = rows.x[part1], columns.x[part2]
        norms = [
            inputs.course[0, part] * math.sqrt(inputs.x.shape[1]) for inputs, part in ((rows, part1), (columns, part2))
        ]
        i1, i2 = (inverse(v, NEGLIGIBLE) for v in norms)
        gaps: Array = x1 @ x2.T
        near = np.float32(_NEAR)
        count = to_gaps(gaps, i1.astype(np.float32), i2.astype(np.float32), near)
        if count > _MANY * gaps.size:
            cosines = _product(x1, x2) * i1[:, None] * i2
            exact = 1 - np.abs(cosines)
            exact[exact < 4 * np.finfo(np.float64).eps] = 0
            gaps = np.where(cosines < 0, -np.maximum(exact, _TINY), exact).astype(np.float32)
        elif count:
            correct_gaps(gaps, x1, x2, i1, i2, near)
        r1, r2 = (
            np.ascontiguousarray(inputs.course[:, part], dtype=np.float32)
            for inputs, part in ((rows, part1), (columns, part2))
        )
        numbers = constants(np.float32, self._limit.weight_variance, self._limit.bias_variance)
        dense_gaps(gaps, self._kinds, self._shapes.astype(np.float32), r1, r2, numbers, self._ntk)
        return np.asarray(gaps)


def _product(x1: Array, x2: Array) -> Array:
    """Return inner products in float64; float32 inputs are converted some features at a time."""
    if x1.dtype == np.float64:
        product: Array = x1 @ x2.T
        return product
    features = max(1, _PART // (8 * (len(x1) + len(x2))))
    total = np.zeros((len(x1), len(x2)))
    for start in range(0, x1.shape[1], features):
        a, b = (x[:, start : start + features].astype(np.float64) for x in (x1, x2))
        total += a @ b.T
    return total
