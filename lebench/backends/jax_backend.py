"""The jax backend: trains a network and offers every capability of the design on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.backends import neural_tangents
from lebench.backends.base import Builder, Recipe
from lebench.backends.batches import Augmented
from lebench.backends.fitted import TRANSFORMED, FittedNetwork
from lebench.backends.jax_build import Weights
from lebench.backends.jax_networks import Function, Network, network_of
from lebench.backends.jax_tangents import Tangents
from lebench.backends.jax_training import Trained, evaluate, train
from lebench.capabilities import LayerWeights
from lebench.devices import Device
from lebench.errors import LebenchError
from lebench.seeds import generator

#: Weights and running statistics.
State = tuple[Weights, Weights]

#: Number of training points whose scores are followed.
_PROBES = 50


class JaxBackend:
    """Networks in JAX: trained in float32, measured in float64."""

    name = "jax"

    @staticmethod
    def devices() -> list[Device]:
        """Return the devices that JAX has beside the processor."""
        found = [device for device in jax.devices() if device.platform != "cpu"]
        version = jax.__version__
        return [Device(f"cuda:{d.id}" if d.platform == "gpu" else d.platform, d.device_kind, version) for d in found]

    @staticmethod
    def use(name: str) -> None:
        """Compute on a device from now on."""
        kind, _, number = name.partition(":")
        jax.config.update("jax_default_device", jax.devices(kind)[int(number or 0)])  # type: ignore[no-untyped-call]

    def fit(
        self,
        network: Architecture | Builder,
        recipe: Recipe,
        x: FloatArray,
        y: IntArray | FloatArray,
        classes: int,
        seed: int,
        removed: int | None = None,
    ) -> FittedNetwork:
        """Train a network; see :class:`lebench.backends.base.Backend`.

        A `network` of one's own is a function ``(input_shape, outputs)`` to ``(init, apply)`` or, with features, to
        ``(init, features, head)``: ``init(key)`` gives the weights, any pytree, ``apply(weights, x)`` the scores
        (n, C), ``features(weights, x)`` the features (n, p), ``head(weights)`` the matrix (C, p) and the bias (C,).
        """
        trained = Trained(network_of(network, x.shape[1:], classes), recipe.output_scale, recipe.linearized)
        initial = trained.network.draw(x.shape[1:], seed)
        probe = np.sort(generator(seed, "probe").permutation(len(y))[:_PROBES])
        augmented = Augmented(recipe.augmentation, x.shape[1:], len(y), removed, seed)
        course, states = train(trained, *initial, recipe, x, y, generator(seed, "batches"), removed, probe, augmented)
        function = JaxFunction(trained, states[-1], states[0])
        moments = [partial(JaxFunction, trained, state, states[0]) for state in states]
        return FittedNetwork(function, recipe.loss, classes, course, moments, function.unavailable)

    def infinite_width_kernel(
        self, architecture: Architecture, x1: FloatArray, x2: FloatArray, kind: Literal["ntk", "nngp"] = "ntk"
    ) -> FloatArray:
        """Return the closed-form kernel (n, m); see :func:`lebench.backends.neural_tangents.infinite_width_kernel`."""
        same = x1 is x2 or np.array_equal(x1, x2)
        return neural_tangents.infinite_width_kernel(architecture, x1, None if same else x2, kind, block=_KERNEL_BLOCK)


#: Points on either side of a block of a closed-form kernel; with convolutions memory grows with its square.
_KERNEL_BLOCK = 64

registry.backends.register("jax", JaxBackend, summary="Networks in JAX: trained in float32, measured in float64")


@lru_cache(maxsize=32)
def _tangents(network: Network) -> Tangents:
    return Tangents(network.factors, network.scores, _compiled)


@lru_cache(maxsize=32)
def _evaluator(trained: Trained) -> Callable[..., Any]:
    return _compiled(trained.scores)


@lru_cache(maxsize=32)
def _gradients(trained: Trained) -> Callable[..., Any]:
    def gradients(weights: Weights, statistics: Weights, initial: Any, x: Array, cotangents: Array) -> Array:
        _, pull = jax.vjp(lambda values: trained.scores(values, statistics, initial, x)[0], weights)
        return jax.vmap(lambda cotangent: ravel_pytree(pull(cotangent)[0])[0])(cotangents)

    return _compiled(gradients)


@lru_cache(maxsize=32)
def _features(network: Network) -> Callable[..., Any]:
    return _compiled(network.features)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return neural_tangents.compiled(function, "float64")


class JaxFunction:
    """The scores of a JAX network in float64 and in evaluation; see :class:`lebench.backends.fitted.Differentiable`.

    Parameters
    ----------
    trained : Trained
        The function.
    state, initial : tuple of pytrees of ndarray
        Its weights and running statistics, and those at its initialization.

    Attributes
    ----------
    parameters, statistics : pytree of ndarray
        Weights and running statistics in float64.
    unavailable : dict of str to str
        Why it has no ``features`` or ``weights``.
    """

    def __init__(self, trained: Trained, state: State, initial: State) -> None:
        self.trained = trained
        self.parameters, self.statistics = _double(state)
        self._initial: Any = _double(initial) if trained.transformed else ()
        self.unavailable = dict(trained.network.unavailable)
        if trained.transformed:
            self.unavailable |= dict.fromkeys(("features", "weights"), TRANSFORMED)

    @property
    def linear_in_weights(self) -> bool:
        """Whether it is a first-order expansion in its weights."""
        return self.trained.linearized

    def scores(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C)."""
        with jax.enable_x64(True):
            function = _evaluator(self.trained)
            return evaluate(lambda part: function(self.parameters, self.statistics, self._initial, part), x)

    def gradients(self, x: FloatArray, cotangents: FloatArray) -> FloatArray:
        """Return gradients (n, k, P) of combinations (n, k, C) of each point's scores."""
        with jax.enable_x64(True):
            function = _gradients(self.trained)
            rows = [
                function(self.parameters, self.statistics, self._initial, x[i : i + 1], combinations)
                for i, combinations in enumerate(np.ascontiguousarray(cotangents))
            ]
            return np.stack([np.asarray(row) for row in rows])

    def moved(self, change: FloatArray) -> JaxFunction:
        """Return the function with changed weights (P,)."""
        other = copy.copy(self)
        with jax.enable_x64(True):
            flat, restore = ravel_pytree(self.parameters)
            other.parameters = jax.tree.map(np.asarray, restore(flat + change))
        return other

    def gram(self, x1: FloatArray, x2: FloatArray | None) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over scores."""
        with jax.enable_x64(True):
            values = _tangents(self.trained.network).gram(*self._tangent_state, x1, x2)
        return self._factor**2 * values

    def first_order(
        self, sources: FloatArray, cotangents: FloatArray, targets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return products of Jacobians at targets (n, m, C) and at sources (n, C)."""
        with jax.enable_x64(True):
            tangents = _tangents(self.trained.network)
            changes = tangents.first_order(*self._tangent_state, sources, cotangents, targets)
        return self._factor**2 * changes[0], self._factor**2 * changes[1]

    def features(self, x: FloatArray) -> FloatArray:
        """Return the input of the last linear layer, (n, p)."""
        with jax.enable_x64(True):
            function = _features(self.trained.network)
            return evaluate(lambda part: function(self.parameters, self.statistics, part), x)

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, p) and bias (C,) of the last linear layer."""
        with jax.enable_x64(True):
            matrix, bias = self.trained.network.head(self.parameters)
            return np.ascontiguousarray(matrix, np.float64), np.ascontiguousarray(bias, np.float64)

    def layers(self) -> tuple[LayerWeights, ...]:
        """Return the layers with their weights; see :class:`lebench.capabilities.HasWeights`.

        Raises
        ------
        LebenchError
            If the network is a function of one's own, or something with weights is no dense or convolutional layer or
            batch normalization of its outputs.
        """
        return self.trained.network.layers(self.parameters, self.statistics)

    @property
    def _tangent_state(self) -> State:
        """Weights and statistics where the derivatives of the function are those of the network."""
        state: State = self._initial if self.trained.linearized else (self.parameters, self.statistics)
        return state

    @property
    def _factor(self) -> float:
        return 1.0 if self.trained.scale is None else self.trained.scale


def _double(state: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state)


def wrapped(*functions: Any) -> JaxFunction:
    """Return functions with weights that somebody else has trained; see :func:`lebench.backends.wrapping.wrap`.

    Raises
    ------
    LebenchError
        If the weights are not finite real numbers.
    """
    *parts, weights = functions
    state = jax.tree.map(np.asarray, weights)
    other = next((leaf.dtype for leaf in jax.tree.leaves(state) if not np.issubdtype(leaf.dtype, np.floating)), None)
    if other is not None:
        raise LebenchError(f"the weights hold {other}: keep what is not trained, or not real, outside of them")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state)):
        raise LebenchError("the weights hold NaN or infinite numbers; they cannot be scored")
    function = Function(lambda _: state, *parts)
    return JaxFunction(Trained(function), (state, ()), (state, ()))
