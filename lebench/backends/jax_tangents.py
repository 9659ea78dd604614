"""Empirical tangent kernels and first-order changes of JAX networks, in bounded memory.

The gradient of a score in the weights of a dense or convolutional layer is a product of its input patches and of the
gradient in its outputs. Kernels need only inner products of such gradients: for a dense layer the product of two Gram
matrices, for a convolution whichever is cheaper of the explicit gradients and of tables over pairs of positions. A
function whose layers are not known gets explicit gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lebench.arrays import FloatArray
from lebench.backends.jax_build import Weights, shape_of

#: Working memory of a kernel, as far as chunks can bound it.
_BUDGET_BYTES = 2**28
_LARGEST_CHUNK = 1024


class Factor(NamedTuple):
    """Gradients of k scores of n samples in one layer: ``signals`` times ``patches`` summed over positions.

    Without patches, ``signals`` (k, n, weights) are the gradients themselves.
    """

    patches: Array | None
    signals: Array


class Tangents:
    """Compiled functions that measure a network at some weights, in float64.

    Parameters
    ----------
    factors : callable
        ``(weights, statistics, x (n, ...), cotangents (k, n, C))`` to a list of :class:`Factor`.
    scores : callable
        ``(weights, statistics, x)`` to scores (n, C).
    compiled : callable
        Compiles a function.
    """

    def __init__(
        self,
        factors: Callable[[Weights, Weights, Array, Array], list[Factor]],
        scores: Callable[[Weights, Weights, Array], Array],
        compiled: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self.factors, self.scores = factors, scores
        self._all_factors, self._gram = compiled(self._all), compiled(_gram_block)
        self._changes = compiled(self._change_block)
        self._own = compiled(self._own_changes)

    def gram(self, weights: Weights, statistics: Weights, x1: FloatArray, x2: FloatArray | None) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over scores; without `x2` that of `x1` with itself."""
        size = self.chunk(weights, statistics, x1)
        second = x1 if x2 is None else x2
        result = np.empty((len(x1), len(second)))
        for rows in _slices(len(x1), size):
            # Once for a whole row of blocks.
            left = self._all_factors(weights, statistics, _padded(x1[rows], size))
            for columns in _slices(len(second), size):
                if x2 is None and columns.start < rows.start:
                    result[rows, columns] = result[columns, rows].T
                    continue
                same = x2 is None and columns == rows
                right = left if same else self._all_factors(weights, statistics, _padded(second[columns], size))
                block = np.asarray(self._gram(left, right))
                result[rows, columns] = block[: rows.stop - rows.start, : columns.stop - columns.start]
        return result

    def first_order(
        self, weights: Weights, statistics: Weights, sources: FloatArray, cotangents: FloatArray, targets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return J(x'_j) J(x_i)^T e_i at the targets, (n, m, C), and at the sources themselves, (n, C)."""
        size = self.chunk(weights, statistics, sources)
        n, outputs = cotangents.shape
        at_targets, at_sources = np.empty((n, len(targets), outputs)), np.empty((n, outputs))
        for rows in _slices(n, size):
            part, given = _padded(sources[rows], size), _padded(cotangents[rows], size)
            kept = rows.stop - rows.start
            at_sources[rows] = np.asarray(self._own(weights, statistics, part, given))[:kept]
            for columns in _slices(len(targets), size):
                block = self._changes(weights, statistics, part, given, _padded(targets[columns], size))
                at_targets[rows, columns] = np.asarray(block)[:kept, : columns.stop - columns.start]
        return at_targets, at_sources

    def chunk(self, weights: Weights, statistics: Weights, x: FloatArray) -> int:
        """Return how many samples to treat at once: a power of two, as large as the budget allows."""
        one = shape_of((1, *x.shape[1:]), jnp.float64)
        outputs = jax.eval_shape(self.scores, weights, statistics, one).shape[1]
        all_scores = shape_of((outputs, 1, outputs), jnp.float64)
        factors = jax.eval_shape(self.factors, weights, statistics, one, all_scores)
        # Patches and signals are kept for all layers, explicit gradients for one at a time.
        kept = sum(math.prod(f.signals.shape) + (math.prod(f.patches.shape) if f.patches else 0) for f in factors)
        # Where there is one position, they are never formed.
        explicit = max(
            outputs * f.patches.shape[-1] * f.signals.shape[-1] if f.patches and f.patches.shape[1] > 1 else 0
            for f in factors
        )
        size = _BUDGET_BYTES // (8 * 2 * (2 * kept + explicit))
        largest = min(_LARGEST_CHUNK, _power_of_two(len(x)))
        return largest if size >= largest else max(1, _power_of_two(size + 1) // 2)

    def _all(self, weights: Weights, statistics: Weights, x: Array) -> list[Factor]:
        outputs = jax.eval_shape(self.scores, weights, statistics, x).shape[1]
        unit = jnp.broadcast_to(jnp.eye(outputs)[:, None], (outputs, len(x), outputs))
        return self.factors(weights, statistics, x, unit)

    def _change_block(
        self, weights: Weights, statistics: Weights, sources: Array, cotangents: Array, targets: Array
    ) -> Array:
        left = self.factors(weights, statistics, sources, cotangents[None])
        right = self._all(weights, statistics, targets)
        return jnp.asarray(sum(_paired(one, other) for one, other in zip(left, right, strict=True)))

    def _own_changes(self, weights: Weights, statistics: Weights, x: Array, cotangents: Array) -> Array:
        def one(inputs: tuple[Array, Array]) -> Array:
            point, cotangent = inputs

            def scores(values: Weights) -> Array:
                return self.scores(values, statistics, point[None])[0]

            _, pull = jax.vjp(scores, weights)
            change: Array = jax.jvp(scores, (weights,), pull(cotangent))[1]
            return change

        changes: Array = jax.lax.map(one, (x, cotangents))
        return changes


def _gram_block(left: list[Factor], right: list[Factor]) -> Array:
    total = sum(_traced(one, other) for one, other in zip(left, right, strict=True))
    return jnp.asarray(total) / left[0].signals.shape[0]


def _explicit(factor: Factor) -> Array:
    """Return gradients (k, n, weights)."""
    if factor.patches is None:
        return factor.signals
    rows = jnp.einsum("ntp,kntq->knpq", factor.patches, factor.signals)
    return rows.reshape(*rows.shape[:2], -1)


def _tables_are_cheaper(left: Factor, right: Factor, pairs: int) -> bool:
    assert left.patches is not None
    assert right.patches is not None
    n, positions, p = left.patches.shape
    m = len(right.patches)
    (k1, *_, q), k2 = left.signals.shape, len(right.signals)
    tables = n * m * positions**2 * (p + pairs * q)
    explicit = p * q * (pairs * n * m + positions * (k1 * n + k2 * m))
    return tables < explicit


def _traced(left: Factor, right: Factor) -> Array:
    """Return inner products of gradients (n, m), summed over scores."""
    if left.patches is not None and right.patches is not None:
        if left.patches.shape[1] == 1:
            aligned = _rows(left.signals) @ _rows(right.signals).T
            return aligned * (left.patches[:, 0] @ right.patches[:, 0].T)
        if _tables_are_cheaper(left, right, len(left.signals)):
            similar = jnp.einsum("ntp,msp->ntms", left.patches, right.patches)
            return (similar * jnp.einsum("kntq,kmsq->ntms", left.signals, right.signals)).sum(axis=(1, 3))
    return _rows(_explicit(left)) @ _rows(_explicit(right)).T


def _rows(values: Array) -> Array:
    """Return (k, n, ...) as one row for each sample: XLA makes one fast product of what it would else batch over k."""
    return jnp.moveaxis(values, 0, 1).reshape(values.shape[1], -1)


def _paired(left: Factor, right: Factor) -> Array:
    """Return inner products (n, m, k) of one gradient of each sample on the left with k of each on the right."""
    if left.patches is not None and right.patches is not None:
        if left.patches.shape[1] == 1:
            similar = left.patches[:, 0] @ right.patches[:, 0].T
            return similar[:, :, None] * jnp.einsum("nq,kmq->nmk", left.signals[0, :, 0], right.signals[:, :, 0])
        if _tables_are_cheaper(left, right, len(right.signals)):
            similar = jnp.einsum("ntp,msp->ntms", left.patches, right.patches)
            aligned = jnp.einsum("ntq,kmsq->kntms", left.signals[0], right.signals)
            return jnp.einsum("ntms,kntms->nmk", similar, aligned)
    return jnp.einsum("na,kma->nmk", _explicit(left)[0], _explicit(right))


def _power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def _slices(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _padded(x: FloatArray, size: int) -> FloatArray:
    """Repeat the first row until there are `size`, so that one compiled function serves all lengths."""
    return x if len(x) == size else np.concatenate([x, np.broadcast_to(x[:1], (size - len(x), *x.shape[1:]))])
