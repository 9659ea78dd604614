"""What the jax backend trains and measures: an architecture, or a function of one's own, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from lebench.architectures import Architecture
from lebench.backends.base import Builder
from lebench.backends.jax_build import Pass, Weights, draw
from lebench.backends.jax_tangents import Factor
from lebench.backends.jax_weights import layer_weights
from lebench.capabilities import LayerWeights
from lebench.errors import LebenchError
from lebench.seeds import stream

_NO_FEATURES = (
    "a network given as (init, apply) has no features; let the builder return (init, features, head) with "
    "head(weights) the matrix (C, p) and the bias (C,) of the last layer"
)
_NO_LAYERS = "a network of one's own as JAX functions does not say what its layers are"


class Network(Protocol):
    """A function of weights, running statistics and inputs; compiled functions are cached by it."""

    def __hash__(self) -> int: ...

    @property
    def unavailable(self) -> dict[str, str]:
        """Why it has no ``features`` or ``weights``, if so."""
        ...

    def draw(self, input_shape: tuple[int, ...], seed: int) -> tuple[Weights, Weights]:
        """Return initial weights and running statistics, NumPy arrays."""
        ...

    def scores(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return scores (n, C) in evaluation."""
        ...

    def train(self, weights: Weights, statistics: Weights, x: Array, shares: Array) -> tuple[Array, Weights]:
        """Return scores (n, C) in training and the new running statistics; `shares` (n,) sum to 1."""
        ...

    def features(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return the input (n, p) of the last layer."""
        ...

    def head(self, weights: Weights) -> tuple[Array, Array]:
        """Return weights (C, p) and bias (C,) of the last layer."""
        ...

    def layers(self, weights: Weights, statistics: Weights) -> tuple[LayerWeights, ...]:
        """Return the dense and convolutional layers, from input to output."""
        ...

    def factors(self, weights: Weights, statistics: Weights, x: Array, cotangents: Array) -> list[Factor]:
        """Return gradients of the combinations `cotangents` (k, n, C) of scores, layer by layer."""
        ...


@dataclass(frozen=True)
class Described:
    """An architecture with so many scores."""

    architecture: Architecture
    outputs: int

    @property
    def unavailable(self) -> dict[str, str]:
        """Nothing that is known before the weights are looked at."""
        return {}

    def draw(self, input_shape: tuple[int, ...], seed: int) -> tuple[Weights, Weights]:
        """Return initial weights and running statistics, NumPy arrays."""
        rng = np.random.default_rng(stream(seed, "init"))
        return draw(self.architecture, input_shape, self.outputs, rng)

    def scores(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return scores (n, C) in evaluation."""
        return self._pass(weights, statistics).run(x)

    def train(self, weights: Weights, statistics: Weights, x: Array, shares: Array) -> tuple[Array, Weights]:
        """Return scores (n, C) in training and the new running statistics."""
        made = self._pass(weights, statistics)
        made.shares = shares
        scores = made.run(x)
        return scores, tuple(made.updated)

    def features(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return the input (n, p) of the last layer."""
        made = self._pass(weights, statistics)
        made.run(x)
        assert made.head_input is not None
        return made.head_input

    def head(self, weights: Weights) -> tuple[Array, Array]:
        """Return weights (C, p) and bias (C,) of the last layer."""
        return weights[-1]["w"].T, weights[-1]["b"]

    def layers(self, weights: Weights, statistics: Weights) -> tuple[LayerWeights, ...]:
        """Return the dense and convolutional layers, from input to output."""
        return layer_weights(self.architecture, weights, statistics)

    def factors(self, weights: Weights, statistics: Weights, x: Array, cotangents: Array) -> list[Factor]:
        """Return gradients of combinations of scores, layer by layer, from the gradients in the layers' outputs."""
        shaped = self._pass(weights, statistics)
        jax.eval_shape(shaped.run, x)
        taps = [jnp.zeros((len(x), *use.shape), x.dtype) for use in shaped.uses]

        def tapped(values: list[Array]) -> tuple[Array, list[Array]]:
            made = self._pass(weights, statistics)
            made.taps = values
            scores = made.run(x)
            return scores, [use.patches for use in made.uses]

        _, pull, patches = jax.vjp(tapped, taps, has_aux=True)
        signals = jax.vmap(lambda cotangent: pull(cotangent)[0])(cotangents)
        factors = []
        for use, inputs, gradient in zip(shaped.uses, patches, signals, strict=True):
            columns = gradient.reshape(len(cotangents), len(x), -1, use.shape[-1])
            if use.kind == "affine":
                rows = jnp.concatenate([(columns * inputs).sum(axis=2), columns.sum(axis=2)], axis=-1)
                factors.append(Factor(None, rows))
            else:
                # A bias is the weight of an input that is always 1.
                with_one = jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], axis=-1)
                factors.append(Factor(with_one, columns))
        return factors

    def _pass(self, weights: Weights, statistics: Weights) -> Pass:
        return Pass(self.architecture, self.outputs, list(weights), list(statistics))


@dataclass(frozen=True, eq=False)
class Function:
    """A function of one's own, from a builder that returns ``(init, apply)`` or ``(init, features, head)``.

    Attributes
    ----------
    initialize : callable
        A key of ``jax.random`` to weights, any pytree.
    apply : callable
        ``(weights, x)`` to scores (n, C), or to the features (n, p) under `last`.
    last : callable, optional
        Weights to the matrix (C, p) and the bias (C,) of the last layer.
    """

    initialize: Callable[[Array], Weights]
    apply: Callable[[Weights, Array], Array]
    last: Callable[[Weights], tuple[Array, Array]] | None = None

    @property
    def unavailable(self) -> dict[str, str]:
        """Layers are never known, features only with a head."""
        return {"weights": _NO_LAYERS} if self.last else {"weights": _NO_LAYERS, "features": _NO_FEATURES}

    def draw(self, input_shape: tuple[int, ...], seed: int) -> tuple[Weights, Weights]:
        """Return initial weights and no running statistics."""
        key = jax.random.key(int(stream(seed, "init").generate_state(1)[0] >> np.uint32(1)))
        return jax.tree.map(np.asarray, self.initialize(key)), ()

    def scores(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return scores (n, C)."""
        result = self.apply(weights, x)
        if self.last is None:
            return result
        matrix, bias = self.last(weights)
        return result @ matrix.T + bias

    def train(self, weights: Weights, statistics: Weights, x: Array, shares: Array) -> tuple[Array, Weights]:
        """Return scores (n, C)."""
        return self.scores(weights, statistics, x), statistics

    def features(self, weights: Weights, statistics: Weights, x: Array) -> Array:
        """Return the input (n, p) of the last layer."""
        self.head(weights)
        return self.apply(weights, x)

    def head(self, weights: Weights) -> tuple[Array, Array]:
        """Return weights (C, p) and bias (C,) of the last layer."""
        if self.last is None:
            raise LebenchError(_NO_FEATURES)
        return self.last(weights)

    def layers(self, weights: Weights, statistics: Weights) -> tuple[LayerWeights, ...]:
        """Refuse: nothing says which of the weights make up a layer."""
        raise LebenchError(_NO_LAYERS)

    def factors(self, weights: Weights, statistics: Weights, x: Array, cotangents: Array) -> list[Factor]:
        """Return explicit gradients."""

        def gradient(point: Array, cotangent: Array) -> Array:
            _, pull = jax.vjp(lambda values: self.scores(values, statistics, point[None])[0], weights)
            return ravel_pytree(pull(cotangent)[0])[0]

        return [Factor(None, jax.vmap(jax.vmap(gradient), in_axes=(None, 0))(x, cotangents))]


def network_of(network: Architecture | Builder, input_shape: tuple[int, ...], outputs: int) -> Network:
    """Return what the backend can train.

    Raises
    ------
    LebenchError
        If a builder returns something else than two or three functions.
    """
    if isinstance(network, Architecture):
        return Described(network, outputs)
    made: Any = network(input_shape, outputs)
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not all(map(callable, made)):
        raise LebenchError(
            f"the builder must return functions (init, apply) or (init, features, head), it returned "
            f"{type(made).__name__}"
        )
    return Function(*made)
