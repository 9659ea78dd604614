"""Trained networks: what they offer in JAX, and the tangent kernel by neural-tangents, against torch in float64.

Each network is trained by torch for one epoch, so that its normalizations and biases are not those of a new network;
then the same weights are measured by both backends.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from lebench import registry
from lebench.agree.checks import Check, rounding
from lebench.architectures import (
    Architecture,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Relu,
    Residual,
    mlp,
)
from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Recipe

REFERENCE = "torch in float64"

#: Name, what it is, and the architecture; small, because JAX compiles every derivative of each.
NETWORKS = {
    "small-mlp": ("two hidden layers of 32 units", mlp(width=32)),
    "small-cnn": (
        "two convolutions, one strided, flattened",
        Architecture((Conv(4), Relu, Conv(6, stride=2), Relu, Flatten(), Dense())),
    ),
    "small-resnet": (
        "one residual block with batch normalization, global average pooling",
        Architecture((Conv(4, stride=2), Relu, Residual((Conv(4), BatchNorm())), Relu, GlobalAvgPool(), Dense())),
    ),
}

#: The norm of a real step; what it changes is a difference of scores, right to about the machine epsilon over it.
_STEP = 1e-3
_CLASSES = 10

_Measure = Callable[[Any, FloatArray, IntArray, FloatArray], FloatArray]


def _similarity(kind: str, step: float | None = None) -> _Measure:
    return lambda net, x, labels, z: net.similarity(x, labels, z, kind, step)


_QUANTITIES: dict[str, _Measure] = {
    "predictions": lambda net, x, labels, z: net.predict(z),
    "features": lambda net, x, labels, z: net.features(z),
    "empirical-ntk": lambda net, x, labels, z: net.gram(x, z),
    "relative-similarity": _similarity("relative"),
    "signed-similarity": _similarity("signed"),
    "kernel-similarity": _similarity("kernel"),
    "real-step-similarity": _similarity("relative", _STEP),
}
_NEEDS = ("torch", "jax")


def checks() -> list[Check]:
    """Return the checks of what trained networks offer."""
    made = []
    for network in NETWORKS:
        for quantity, measure in _QUANTITIES.items():
            tolerance = rounding("float64") / (_STEP if quantity.startswith("real-step") else 1.0)
            found, expected = (partial(_measured, measure, network, which) for which in ("jax", "torch"))
            made.append(Check(quantity, network, "JAX", "float64", REFERENCE, tolerance, _NEEDS, found, expected))
            if quantity == "empirical-ntk":
                made += [
                    Check(
                        quantity,
                        network,
                        "neural-tangents",
                        dtype,
                        REFERENCE,
                        rounding(dtype),
                        (*_NEEDS, "neural_tangents", "frozendict"),
                        partial(_by_neural_tangents, network, dtype),
                        expected,
                    )
                    for dtype in ("float64", "float32")
                ]
    return made


@cache
def _data() -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    split = registry.datasets.get("digits").split(0)
    return split.x_train[:64], split.y_train[:64], split.x_test[:6], split.y_test[:6]


def _points() -> tuple[FloatArray, IntArray, FloatArray]:
    """Return sources, their labels, and targets, one of them a source."""
    _, _, x, y = _data()
    return x[:3], y[:3], x[2:]


@cache
def _trained(network: str) -> dict[str, Any]:
    """Return a network with the same weights in both backends."""
    x, y, _, _ = _data()
    architecture = NETWORKS[network][1]
    recipe = Recipe(epochs=1, lr=0.02, min_steps=0)
    fitted = registry.backends.get("torch")().fit(architecture, recipe, x, y, _CLASSES, 0)
    convert = importlib.import_module("lebench.backends.jax_from_torch").network_from_torch
    return {"torch": fitted, "jax": convert(fitted, architecture)}


def _measured(measure: _Measure, network: str, which: str) -> FloatArray:
    return measure(_trained(network)[which], *_points())


def _by_neural_tangents(network: str, dtype: str) -> FloatArray:
    backend = importlib.import_module("lebench.backends.neural_tangents")
    function = _trained(network)["jax"].function
    x, _, z = _points()

    def scores(weights: Any, inputs: Any) -> Any:
        return function.trained.network.scores(weights, function.statistics, inputs)

    kernel: FloatArray = backend.empirical_kernel(scores, function.parameters, x, z, dtype=dtype)
    return kernel
