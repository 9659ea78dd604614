"""One fitted network for every backend: all capabilities from a small protocol that a backend provides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Loss
from lebench.capabilities import Checkpoint, LayerWeights, SimilarityKind, Trajectory
from lebench.errors import DataError

#: Gradients that are held at once, in numbers, where a backend has no products of its own.
_HELD = 2**25


#: Why a first-order expansion or a centred network has no features and no layers.
TRANSFORMED = "its scores are those of a network less those at its start, so they are not the outputs of one layer"


#: Numbers of features that a prediction keeps in any case: 80 MB.
_LITTLE = 10_000_000


class Differentiable(Protocol):
    """A function f(x; w) at some weights w: what a backend provides of a trained network. NumPy, float64.

    In the shapes n counts points, C scores, P weights. A function may offer more, in which case
    :class:`FittedNetwork` does too, or is faster: see :class:`EndsInLinear`, :class:`HasLayers` and
    :class:`HasTangents`. A function that is linear in its weights says so by ``linear_in_weights = True``.
    """

    def scores(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C)."""
        ...

    def gradients(self, x: FloatArray, cotangents: FloatArray) -> FloatArray:
        """Return gradients (n, k, P) in the weights of combinations `cotangents` (n, k, C) of each point's scores."""
        ...

    def moved(self, change: FloatArray) -> Differentiable:
        """Return the function at the weights w + `change` (P,)."""
        ...


@runtime_checkable
class EndsInLinear(Protocol):
    """A function whose scores are the outputs of its last linear layer."""

    def features(self, x: FloatArray) -> FloatArray:
        """Return the input (n, p) of the last linear layer."""
        ...

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, p) and bias (C,) of the last linear layer."""
        ...


@runtime_checkable
class PassesOnce(Protocol):
    """A function whose scores and features come from one pass."""

    def scores_and_features(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return scores (n, C) and features (n, p)."""
        ...


@runtime_checkable
class HasLayers(Protocol):
    """A function that is made of dense and convolutional layers."""

    def layers(self) -> tuple[LayerWeights, ...]:
        """Return the layers, from input to output."""
        ...


@runtime_checkable
class HasTangents(Protocol):
    """A function with products of Jacobians of its own, J of shape (n, C, P)."""

    def gram(self, x1: FloatArray, x2: FloatArray | None) -> FloatArray:
        """Return the mean over scores c of ``J[i, c] . J[j, c]``, (n, m); without `x2` of `x1` with itself."""
        ...

    def first_order(
        self, sources: FloatArray, cotangents: FloatArray, targets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``J(x'_j) J(x_i)^T e_i`` at targets, (n, m, C), and at sources, (n, C), for `cotangents` e (n, C)."""
        ...


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


class FittedNetwork:
    """A trained function of inputs and weights, measured in float64 and in evaluation mode.

    Its capabilities are those of :mod:`lebench.capabilities` that its function allows: always ``predict``,
    ``similarity`` and ``gram``; ``features`` and ``weights`` where it has them; ``predict_proba`` if its scores are
    logits; ``trajectory`` and ``checkpoints`` if it was followed while it was trained.

    Parameters
    ----------
    function : Differentiable
        The function, as a backend provides it.
    loss : {"cross_entropy", "mse"}
        What it was trained by; with cross-entropy its scores are logits.
    classes : int
        Number of scores C.
    course : Trajectory, optional
        What was recorded during training.
    moments : sequence of callable
        For every time, a callable that returns the function of that moment.
    unavailable : mapping of str to str
        Why it has no ``features`` or ``weights``.
    times : sequence of float
        Of the moments; by default those of the course.
    """

    def __init__(
        self,
        function: Differentiable,
        loss: Loss,
        classes: int,
        course: Trajectory | None = None,
        moments: Sequence[Callable[[], Differentiable]] = (),
        unavailable: Mapping[str, str] | None = None,
        times: Sequence[float] | None = None,
    ) -> None:
        self.function = function
        self.loss: Loss = loss
        self.classes = classes
        self.unavailable: dict[str, str] = dict(unavailable or {})
        self._last_moved: tuple[tuple[object, ...], _Moved] | None = None
        self._passed: dict[bytes, tuple[FloatArray, FloatArray]] = {}
        # As attributes, so that a network offers what its function has.
        if isinstance(function, EndsInLinear) and "features" not in self.unavailable:
            self.features, self.head = function.features, function.head
            if isinstance(function, PassesOnce):
                self.features = lambda x: self._pass(function, x)[1]
        if isinstance(function, HasLayers) and "weights" not in self.unavailable:
            self.weights = function.layers
        if loss == "cross_entropy":
            self.predict_proba = self._probabilities
        if course is not None:
            self.trajectory = lambda: course
            times = course.times.tolist() if times is None else times
        if times:
            kept = tuple(
                Checkpoint(float(time), partial(self._at, moment)) for time, moment in zip(times, moments, strict=True)
            )
            self.checkpoints = lambda: kept

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C): logits for cross-entropy."""
        function = self.function
        # Features that nobody may ask for are kept only if they take little room beside the inputs.
        if (
            isinstance(function, PassesOnce)
            and hasattr(self, "features")
            and len(x) * self.head()[0].shape[1] <= max(np.size(x), _LITTLE)
        ):
            return self._pass(function, x)[0]
        return function.scores(x)

    def _pass(self, function: PassesOnce, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return scores and features; of training and test points they are known when the next question is asked."""
        key = _digest(x)
        if key not in self._passed:
            for oldest in list(self._passed)[:-1]:
                del self._passed[oldest]
            self._passed[key] = function.scores_and_features(x)
        scores, features = self._passed[key]
        return scores.copy(), features.copy()

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
        if kind not in ("relative", "signed", "kernel"):
            raise DataError(f"unknown kind of similarity {kind!r}; choose 'relative', 'signed' or 'kernel'")
        # The kinds of similarity share all that is expensive, and are asked for one after the other.
        key = (_digest(sources), _digest(labels), _digest(targets), step)
        if self._last_moved is None or self._last_moved[0] != key:
            self._last_moved = (key, self._move(sources, labels, targets, step))
        moved = self._last_moved[1]
        result: FloatArray
        if kind == "kernel":
            result = -np.einsum("nmc,nc->nm", moved.at_targets, moved.direction) / moved.length[:, None]
            return result
        norm = np.linalg.norm(moved.at_source, axis=1)
        _refuse_zero(norm, "the change of its own scores")
        if kind == "relative":
            result = np.linalg.norm(moved.at_targets, axis=2) / norm[:, None]
        else:
            result = np.einsum("nmc,nc->nm", moved.at_targets, moved.at_source) / norm[:, None] ** 2
        return result

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over outputs, at the trained parameters."""
        second = None if x2 is x1 else x2
        if isinstance(self.function, HasTangents):
            return self.function.gram(x1, second)
        return _gram(self.function, self.classes, x1, x1 if second is None else second)

    def _at(self, moment: Callable[[], Differentiable]) -> FittedNetwork:
        return FittedNetwork(moment(), self.loss, self.classes, unavailable=self.unavailable)

    def _probabilities(self, x: FloatArray) -> FloatArray:
        """Return the softmax of the logits, (n, C)."""
        scores = self.predict(x)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def _move(self, sources: FloatArray, labels: IntArray, targets: FloatArray, step: float | None) -> _Moved:
        direction, length = self._loss_gradient(sources, labels)
        if step is not None and not getattr(self.function, "linear_in_weights", False):
            at_targets, at_source = _stepped(self.function, sources, length[:, None] * direction, targets, step)
            return _Moved(at_targets, at_source, direction, step * length)
        # First order, per unit step along the unit gradient: every kind is a ratio, so the length drops out. For a
        # network that is linear in its weights that is what any step does.
        products = self.function if isinstance(self.function, HasTangents) else _Products(self.function)
        same = len(sources) == len(targets) and np.array_equal(sources, targets)
        at_targets, at_source = products.first_order(sources, direction, sources if same else targets)
        return _Moved(-at_targets, -at_source, direction, np.ones_like(length))

    def _loss_gradient(self, x: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return direction (n, C) and length (n,) of the loss gradient in the scores.

        For cross-entropy it is p - onehot, which cancels and underflows when the network is sure. Relative to the
        largest of the other probabilities, and with minus their sum at the label, the direction keeps its digits.
        """
        scores, rows = self.function.scores(x), np.arange(len(x))
        if labels.ndim == 2:
            gradient, scale = scores - labels, np.ones(len(x))
        elif self.loss == "mse":
            gradient, scale = scores + 1 / self.classes, np.ones(len(x))
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


def _stepped(
    function: Differentiable, sources: FloatArray, gradients: FloatArray, targets: FloatArray, step: float
) -> tuple[FloatArray, FloatArray]:
    """Return the changes of the scores at targets (n, m, C) and sources (n, C) by a step on each source.

    `gradients` (n, C) are those of the loss in the scores of the sources.
    """
    before = function.scores(targets)
    at_targets, at_sources = np.empty((len(sources), *before.shape)), np.empty_like(gradients)
    for i, gradient in enumerate(gradients):
        source = sources[i : i + 1]
        slope = function.gradients(source, gradient[None, None])[0, 0]
        after = function.moved(-step * slope)
        at_targets[i] = after.scores(targets) - before
        at_sources[i] = (after.scores(source) - function.scores(source))[0]
    return at_targets, at_sources


class _Products:
    """Products of Jacobians from the gradients of a function, a block of points at a time."""

    def __init__(self, function: Differentiable) -> None:
        self.function = function

    def first_order(
        self, sources: FloatArray, cotangents: FloatArray, targets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        n, classes = cotangents.shape
        at_targets, at_sources = np.empty((n, len(targets), classes)), np.empty((n, classes))
        size = self.function.gradients(sources[:1], cotangents[:1, None]).shape[2]
        for rows in _blocks(n, size * classes):
            own = self.function.gradients(sources[rows], cotangents[rows, None])[:, 0]
            at_sources[rows] = np.einsum("np,ncp->nc", own, _all_scores(self.function, sources[rows], classes))
            for columns in _blocks(len(targets), size * classes):
                jacobian = _all_scores(self.function, targets[columns], classes)
                at_targets[rows, columns] = np.einsum("np,mcp->nmc", own, jacobian, optimize=True)
        return at_targets, at_sources


def _gram(function: Differentiable, classes: int, x1: FloatArray, x2: FloatArray) -> FloatArray:
    result = np.empty((len(x1), len(x2)))
    size = _all_scores(function, x1[:1], classes).size
    for rows in _blocks(len(x1), size):
        left = _all_scores(function, x1[rows], classes).reshape(rows.stop - rows.start, -1)
        for columns in _blocks(len(x2), size):
            right = _all_scores(function, x2[columns], classes).reshape(columns.stop - columns.start, -1)
            result[rows, columns] = left @ right.T / classes
    return result


def _all_scores(function: Differentiable, x: FloatArray, classes: int) -> FloatArray:
    """Return the Jacobians (n, C, P)."""
    return function.gradients(x, np.broadcast_to(np.eye(classes), (len(x), classes, classes)))


def _blocks(total: int, each: int) -> Iterator[slice]:
    size = max(1, _HELD // max(1, each))
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _refuse_zero(values: FloatArray, what: str) -> None:
    zero = np.flatnonzero(values == 0).tolist()
    if zero:
        shown = ", ".join(map(str, zero[:5])) + (", ..." if len(zero) > 5 else "")
        raise DataError(f"similarity is undefined for source {shown}: {what} is zero")


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    about = f"{array.dtype} {array.shape}".encode()
    return hashlib.blake2b(about + np.ascontiguousarray(array).tobytes()).digest()
