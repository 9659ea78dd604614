"""The jax backend: trains a network and offers every capability of the design on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import numpy as np

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.backends import neural_tangents
from lebench.backends.base import Builder, Loss, Recipe
from lebench.backends.jax_build import Weights
from lebench.backends.jax_networks import Network, network_of
from lebench.backends.jax_tangents import Tangents
from lebench.backends.jax_training import Trained, evaluate, train
from lebench.capabilities import Checkpoint, LayerWeights, Predicts, SimilarityKind, Trajectory
from lebench.errors import DataError, LebenchError
from lebench.seeds import generator

#: Weights and running statistics.
State = tuple[Weights, Weights]

#: Number of training points whose scores are followed.
_PROBES = 50


class JaxBackend:
    """Networks in JAX: trained in float32, measured in float64."""

    name = "jax"

    def fit(
        self,
        network: Architecture | Builder,
        recipe: Recipe,
        x: FloatArray,
        y: IntArray | FloatArray,
        classes: int,
        seed: int,
        removed: int | None = None,
    ) -> FittedFunction:
        """Train a network; see :class:`lebench.backends.base.Backend`.

        A `network` of one's own is a function ``(input_shape, outputs)`` to ``(init, apply)`` or, with features, to
        ``(init, features, head)``: ``init(key)`` gives the weights, any pytree, ``apply(weights, x)`` the scores
        (n, C), ``features(weights, x)`` the features (n, p), ``head(weights)`` the matrix (C, p) and the bias (C,).
        """
        trained = Trained(network_of(network, x.shape[1:], classes), recipe.output_scale, recipe.linearized)
        initial = trained.network.draw(x.shape[1:], seed)
        probe = np.sort(generator(seed, "probe").permutation(len(y))[:_PROBES])
        course, states = train(trained, *initial, recipe, x, y, generator(seed, "batches"), removed, probe)
        kind = _fitted_class(trained, recipe.loss)
        return kind(trained, states[-1], states[0], recipe.loss, classes, course, states)

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
def _features(network: Network) -> Callable[..., Any]:
    return _compiled(network.features)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return neural_tangents.compiled(function, "float64")


@dataclass(frozen=True)
class _Moved:
    """What one step on each of n sources does, one at a time.

    ``at_targets`` (n, m, C) and ``at_source`` (n, C) are the changes of the scores; ``direction`` (n, C) is the unit
    loss gradient in the scores of the source; ``length`` (n,) is the step times the gradient's norm, 1 at first order.
    """

    at_targets: FloatArray
    at_source: FloatArray
    direction: FloatArray
    length: FloatArray


class FittedFunction:
    """A trained function of inputs and weights, measured in float64 and in evaluation mode.

    Attributes
    ----------
    trained : Trained
        The function.
    parameters, statistics : pytree of ndarray
        Its weights and running statistics.
    """

    def __init__(
        self,
        trained: Trained,
        state: State,
        initial: State,
        loss: Loss,
        classes: int,
        course: Trajectory | None = None,
        states: Sequence[State] = (),
    ) -> None:
        self.trained = trained
        self.parameters, self.statistics = _double(state)
        self._initial: Any = _double(initial) if trained.transformed else ()
        self._start = initial
        self._loss_name: Loss = loss
        self._classes = classes
        self._course = course
        self._states = states
        self._last_moved: tuple[tuple[object, ...], _Moved] | None = None

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C): logits for cross-entropy."""
        with jax.enable_x64(True):
            function = _evaluator(self.trained)
            return evaluate(lambda part: function(self.parameters, self.statistics, self._initial, part), x)

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        """Return similarities (n, m); see :class:`lebench.capabilities.HasSimilarity`.

        Raises
        ------
        DataError
            If a step on some source leaves its own scores where they are, so that there is nothing to divide by.
        """
        moved = self._moved(sources, labels, targets, step)
        result: FloatArray
        if kind == "kernel":
            result = -np.einsum("nmc,nc->nm", moved.at_targets, moved.direction) / moved.length[:, None]
            return result
        norm = np.linalg.norm(moved.at_source, axis=1)
        _refuse_zero(norm, "the change of its own scores")
        if kind == "relative":
            result = np.linalg.norm(moved.at_targets, axis=2) / norm[:, None]
        elif kind == "signed":
            result = np.einsum("nmc,nc->nm", moved.at_targets, moved.at_source) / norm[:, None] ** 2
        else:
            raise DataError(f"unknown kind of similarity {kind!r}; choose 'relative', 'signed' or 'kernel'")
        return result

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over outputs, at the trained parameters."""
        with jax.enable_x64(True):
            values = self._tangents.gram(*self._tangent_state, x1, None if x2 is x1 else x2)
        return self._factor**2 * values

    def trajectory(self) -> Trajectory:
        """Return loss, error and scores of probe points over the epochs."""
        if self._course is None:
            raise LebenchError("the network of a checkpoint has no trajectory; ask the trained network for it")
        return self._course

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the network at the moments of its trajectory, weights in the single precision of training."""
        times = () if self._course is None else self._course.times
        return tuple(
            Checkpoint(float(time), partial(self._at, state)) for time, state in zip(times, self._states, strict=True)
        )

    def _at(self, state: State) -> FittedFunction:
        return type(self)(self.trained, state, self._start, self._loss_name, self._classes)

    @property
    def _tangents(self) -> Tangents:
        return _tangents(self.trained.network)

    @property
    def _tangent_state(self) -> State:
        """Weights and statistics where the derivatives of the function are those of the network."""
        state: State = self._initial if self.trained.linearized else (self.parameters, self.statistics)
        return state

    @property
    def _factor(self) -> float:
        return 1.0 if self.trained.scale is None else self.trained.scale

    def _moved(self, sources: FloatArray, labels: IntArray, targets: FloatArray, step: float | None) -> _Moved:
        # The kinds of similarity share all that is expensive, and are asked for one after the other.
        key = (_digest(sources), _digest(labels), _digest(targets), step)
        if self._last_moved is None or self._last_moved[0] != key:
            self._last_moved = (key, self._move(sources, labels, targets, step))
        return self._last_moved[1]

    def _move(self, sources: FloatArray, labels: IntArray, targets: FloatArray, step: float | None) -> _Moved:
        direction, length = self._loss_gradient(sources, labels)
        if step is not None and not self.trained.linearized:
            # A step on a (f(x; w) - f(x; w0)) is a step on f by the gradient times a, and changes a times as much.
            gradient = self._factor * length[:, None] * direction
            with jax.enable_x64(True):
                changes = self._tangents.real_step(*self._tangent_state, sources, gradient, targets, step)
            return _Moved(self._factor * changes[0], self._factor * changes[1], direction, step * length)
        # First order, per unit step along the unit gradient: every kind is a ratio, so the length drops out. For a
        # network that is linear in its weights that is what any step does.
        with jax.enable_x64(True):
            changes = self._tangents.first_order(*self._tangent_state, sources, direction, targets)
        scale = -(self._factor**2)
        return _Moved(scale * changes[0], scale * changes[1], direction, np.ones_like(length))

    def _loss_gradient(self, x: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return direction (n, C) and length (n,) of the loss gradient in the scores.

        For cross-entropy it is p - onehot, which cancels and underflows when the network is sure. Relative to the
        largest of the other probabilities, and with minus their sum at the label, the direction keeps its digits.
        """
        scores, rows = self.predict(x), np.arange(len(x))
        if labels.ndim == 2:
            gradient, scale = scores - labels, np.ones(len(x))
        elif self._loss_name == "mse":
            gradient, scale = scores + 1 / self._classes, np.ones(len(x))
            gradient[rows, labels] -= 1
        else:
            shifted = scores - scores.max(axis=1, keepdims=True)
            others = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            others[rows, labels] = -np.inf
            largest = others.max(axis=1, keepdims=True)
            gradient, scale = np.exp(others - largest), np.exp(largest[:, 0])
            gradient[rows, labels] = -gradient.sum(axis=1)
        norm = np.linalg.norm(gradient, axis=1)
        _refuse_zero(norm, "the loss gradient")
        return gradient / norm[:, None], scale * norm


class FittedNetwork(FittedFunction):
    """A trained network whose scores are the outputs of its last linear layer."""

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

    def weights(self) -> tuple[LayerWeights, ...]:
        """Return the layers with their weights; see :class:`lebench.capabilities.HasWeights`.

        Raises
        ------
        LebenchError
            If the network is a function of one's own, or something with weights is no dense or convolutional layer or
            batch normalization of its outputs.
        """
        return self.trained.network.layers(self.parameters, self.statistics)


class _Classifies:
    """What was trained by cross-entropy, so that its scores are logits."""

    def predict_proba(self: Predicts, x: FloatArray) -> FloatArray:
        """Return the softmax of the logits, (n, C)."""
        scores = self.predict(x)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return probabilities


class FittedClassifier(_Classifies, FittedNetwork):
    """A network trained by cross-entropy."""


class _FittedExpansion(_Classifies, FittedFunction):
    """A first-order expansion or a centred network trained by cross-entropy."""


def _fitted_class(trained: Trained, loss: Loss) -> type[FittedFunction]:
    if trained.transformed:
        return _FittedExpansion if loss == "cross_entropy" else FittedFunction
    return FittedClassifier if loss == "cross_entropy" else FittedNetwork


def _double(state: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state)


def _refuse_zero(values: FloatArray, what: str) -> None:
    zero = np.flatnonzero(values == 0).tolist()
    if zero:
        shown = ", ".join(map(str, zero[:5])) + (", ..." if len(zero) > 5 else "")
        raise DataError(f"similarity is undefined for source {shown}: {what} is zero")


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes()).digest()
