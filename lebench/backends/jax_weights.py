"""The layers of an architecture with their weights, from the weights of the jax backend."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from lebench import architectures as arch
from lebench.arrays import FloatArray
from lebench.backends.jax_build import EPSILON, Weights
from lebench.capabilities import LayerWeights, Normalization
from lebench.errors import LebenchError


def layer_weights(architecture: arch.Architecture, weights: Weights, statistics: Weights) -> tuple[LayerWeights, ...]:
    """Return copies of the weights of all layers, each with the batch normalization of its outputs if there is one.

    Raises
    ------
    LebenchError
        If a normalization is no batch normalization of a layer's outputs.
    """
    return tuple(_layers(architecture.layers, iter(weights), iter(statistics)))


def _layers(
    layers: tuple[arch.Layer, ...], weights: Iterator[Any], statistics: Iterator[Any]
) -> Iterator[LayerWeights]:
    before: arch.Layer | None = None
    for layer, after in zip_longest(layers, layers[1:]):
        if isinstance(layer, arch.Dense | arch.Conv):
            own = next(weights)
            norm = _normalization(next(weights), next(statistics)) if isinstance(after, arch.BatchNorm) else None
            yield LayerWeights(_output_first(own["w"]), _copy(own["b"]), norm)
        elif isinstance(layer, arch.Residual):
            yield from _layers(layer.body, weights, statistics)
            yield from _layers(layer.shortcut, weights, statistics)
        elif isinstance(layer, arch.LayerNorm) or (
            isinstance(layer, arch.BatchNorm) and not isinstance(before, arch.Dense | arch.Conv)
        ):
            raise LebenchError(
                f"{arch.describe(layer)} is part of no dense or convolutional layer and of no batch normalization of "
                "its outputs; capacities are defined for such layers only"
            )
        before = layer


def _normalization(affine: Any, kept: Any) -> Normalization:
    return Normalization(_copy(affine["w"]), _copy(affine["b"]), _copy(kept["mean"]), _copy(kept["var"]), EPSILON)


def _output_first(weight: Any) -> FloatArray:
    """Return (in, out) as (out, in), (height, width, in, out) as (out, in, height, width)."""
    values = np.asarray(weight)
    return _copy(values.T if values.ndim == 2 else values.transpose(3, 2, 0, 1))


def _copy(values: Any) -> FloatArray:
    return np.array(values, dtype=np.float64, order="C")
