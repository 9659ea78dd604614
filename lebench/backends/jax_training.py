"""Training of JAX networks by a recipe, in float32.

Steps are compiled once for a network and recipe, whatever the number of points: batches are filled up to one size with
examples that do not count, and run in groups of one length filled up with empty batches.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Loss, Recipe
from lebench.backends.batches import Augmented, order
from lebench.backends.jax_build import Weights
from lebench.backends.jax_checkpoint import Recorded, collect, restore
from lebench.backends.jax_networks import Network
from lebench.capabilities import Trajectory
from lebench.checkpoints import training
from lebench.errors import ParameterError, TrainingError
from lebench.progress import report

#: Steps that one call of the compiled function makes.
_GROUP = 16
#: Inputs evaluated at once.
BATCH = 1024

_BETA1, _BETA2, _ADAM_EPSILON = 0.9, 0.999, 1e-8
#: What torch adds to the norm of a gradient that it clips.
_CLIP_EPSILON = 1e-6


@dataclass(frozen=True)
class Trained:
    """A network's function, or its first-order expansion, or scale (f(x; w) - f(x; w0)), as a recipe says."""

    network: Network
    scale: float | None = None
    linearized: bool = False

    @property
    def transformed(self) -> bool:
        """Whether it needs the network at its initialization."""
        return self.linearized or self.scale is not None

    def scores(self, weights: Weights, statistics: Weights, initial: Weights, x: Array) -> Array:
        """Return scores (n, C) in evaluation; `initial` are the weights and statistics at initialization."""
        return self._transform(self.network.scores(weights, statistics, x), weights, initial, x)

    def train(
        self, weights: Weights, statistics: Weights, initial: Weights, x: Array, shares: Array
    ) -> tuple[Array, Weights]:
        """Return scores (n, C) in training and the new running statistics."""
        if self.linearized:
            return self.scores(weights, statistics, initial, x), statistics
        scores, statistics = self.network.train(weights, statistics, x, shares)
        return self._transform(scores, weights, initial, x), statistics

    def _transform(self, scores: Array, weights: Weights, initial: Weights, x: Array) -> Array:
        if not self.transformed:
            return scores
        start, kept = initial
        if self.linearized:
            change = jax.tree.map(jnp.subtract, weights, start)
            before, slope = jax.jvp(lambda values: self.network.scores(values, kept, x), (start,), (change,))
            scores = before + slope
        else:
            before = self.network.scores(start, kept, x)
        return scores if self.scale is None else self.scale * (scores - before)


def loss_of(scores: Array, labels: Array, loss: Loss, smoothing: float = 0.0) -> Array:
    """Return the loss of each example, (n,), by labels (n,) or real-valued targets (n, C)."""
    if loss == "cross_entropy":
        logs = jax.nn.log_softmax(scores)
        of_labels = -jnp.take_along_axis(logs, labels[:, None], axis=1)[:, 0]
        return of_labels if not smoothing else (1 - smoothing) * of_labels - smoothing * logs.mean(axis=1)
    classes = scores.shape[1]
    real = labels.ndim == 2
    targets = labels if real else jax.nn.one_hot(labels, classes, dtype=scores.dtype) - 1 / classes
    return 0.5 * jnp.square(scores - targets).sum(axis=1)


@lru_cache(maxsize=32)
def _stepper(trained: Trained, recipe: Recipe) -> Callable[..., Any]:
    """Compile a group of steps. Only what is constant in a recipe may differ from the one it is asked for."""

    def objective(
        weights: Weights, statistics: Weights, initial: Weights, x: Array, y: Array, shares: Array
    ) -> tuple[Array, Weights]:
        scores, updated = trained.train(weights, statistics, initial, x, shares)
        # Zero for what does not count, whose scores may be anything.
        losses = jnp.where(shares > 0, loss_of(scores, y, recipe.loss, recipe.label_smoothing), 0)
        return (shares * losses).sum() / (recipe.output_scale or 1.0) ** 2, updated

    def update(carry: Any, batch: Any, initial: Weights) -> Any:
        weights, statistics, memory, steps = carry
        x, y, shares, rate = batch
        gradient, statistics = jax.grad(objective, has_aux=True)(weights, statistics, initial, x, y, shares)
        steps = steps + 1
        if recipe.clip_norm is not None:
            norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(gradient)))
            scale = jnp.minimum(1.0, recipe.clip_norm / (norm + _CLIP_EPSILON))
            gradient = jax.tree.map(lambda g: scale * g, gradient)
        if recipe.optimizer == "sgd":
            gradient = jax.tree.map(lambda g, w: g + recipe.weight_decay * w, gradient, weights)
            # The first step of torch's momentum is the gradient itself, which zeros give, too.
            memory = jax.tree.map(lambda m, g: recipe.momentum * m + g, memory, gradient)
            if recipe.nesterov:
                gradient = jax.tree.map(lambda g, m: g + recipe.momentum * m, gradient, memory)
            moved_by = gradient if recipe.nesterov else memory
            return jax.tree.map(lambda w, m: w - rate * m, weights, moved_by), statistics, memory, steps
        first = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, memory[0], gradient)
        second = jax.tree.map(lambda v, g: _BETA2 * v + (1 - _BETA2) * g * g, memory[1], gradient)
        bias1, bias2 = 1 - _BETA1**steps, 1 - _BETA2**steps

        def moved(w: Array, m: Array, v: Array) -> Array:
            direction = (m / bias1) / (jnp.sqrt(v / bias2) + _ADAM_EPSILON)
            new: Array = w * (1 - rate * recipe.weight_decay) - rate * direction
            return new

        return jax.tree.map(moved, weights, first, second), statistics, (first, second), steps

    def group(carry: Any, initial: Weights, batches: Any) -> Any:
        def step(carry: Any, batch: Any) -> Any:
            empty = batch[2].sum() == 0
            return jax.lax.cond(empty, lambda: carry, lambda: update(carry, batch, initial)), None

        return jax.lax.scan(step, carry, batches)[0]

    return jax.jit(group, donate_argnums=0)


@lru_cache(maxsize=32)
def _evaluator(trained: Trained) -> Callable[..., Any]:
    return jax.jit(trained.scores)


def evaluate(score: Callable[[Any], Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what a compiled function makes of inputs, in parts whose sizes are powers of two."""
    parts = []
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        size = 1 << (len(part) - 1).bit_length()
        filled = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
        parts.append(np.asarray(score(filled))[: len(part)])
    return np.concatenate(parts)


def train(
    trained: Trained,
    weights: Weights,
    statistics: Weights,
    recipe: Recipe,
    x: FloatArray,
    y: IntArray | FloatArray,
    rng: np.random.Generator,
    removed: int | None,
    probe: IntArray,
    augmented: Augmented,
) -> tuple[Trajectory, list[tuple[Weights, Weights]]]:
    """Train and return the course of training and, for each of its moments, weights and running statistics.

    Raises
    ------
    TrainingError
        If the loss becomes infinite or NaN.
    ParameterError
        If the recipe asks for what there is not in JAX, or makes no sense for the data.
    """
    if recipe.precision != "float32":
        raise ParameterError(f"the jax backend trains in float32 only, not in {recipe.precision}; use --backend torch")
    recipe.check()
    inputs, labels = x.astype(np.float32), y.astype(np.int32 if y.ndim == 1 else np.float32)
    # With the point that is left out, so that there are as many batches with it as without.
    count = math.ceil((len(y) + (removed is not None)) / recipe.batch_size)
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / count)) if recipe.epochs else 0

    def single(tree: Weights) -> Weights:
        return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32), tree)

    initial = single((weights, statistics)) if trained.transformed else ()
    current = single(weights)
    zeros = jax.tree.map(jnp.zeros_like, current)
    memory = zeros if recipe.optimizer == "sgd" else (zeros, jax.tree.map(jnp.zeros_like, current))
    carry = (current, single(statistics), memory, jnp.zeros((), jnp.float32))
    evaluator = _evaluator(trained)
    recorded: Recorded = []
    states: list[tuple[Weights, Weights]] = []

    def record(made: int) -> None:
        state = carry[:2]
        scores = evaluate(lambda part: evaluator(*state, initial, part), inputs).astype(np.float64)
        with np.errstate(all="ignore"):
            loss = _mean_loss(scores, y, recipe.loss)
        error = _error(scores, y)
        if not math.isfinite(loss):
            raise TrainingError(f"training diverged by epoch {made / count:.4g}: the loss is {loss}; try a smaller lr")
        recorded.append((made / count, loss, error, scores[probe]))
        states.append(jax.tree.map(np.asarray, state))
        report(epoch=made // count, epochs=epochs, loss=loss, error=error)

    made = 0
    kept = training(repr((recipe, x.shape, y.shape, removed)))
    if kept is not None and (found := kept.load()) is not None:
        carry, made = restore(found, carry, recorded, states)
    stepper = _stepper(trained, _constant(recipe))
    steps = (
        (epoch, batch, recipe.rate((epoch - 1) * count + number, epochs, count))
        for epoch in range(1, epochs + 1)
        for number, batch in enumerate(_filled(order(rng, len(y), removed, count), count))
    )
    # Those that were made before draw what they drew.
    deque(itertools.islice(steps, made), maxlen=0)
    for number, moment in enumerate(sorted(recipe.recorded_steps(epochs, count))):
        if number < len(recorded):
            continue
        for group in _groups(itertools.islice(steps, moment - made), inputs, labels, recipe.batch_size, augmented):
            carry = stepper(carry, initial, group)
            made = min(made + _GROUP, moment)
            if kept is not None:
                kept.step(partial(collect, carry, recorded, states, made))
            report(epoch=made / count, epochs=epochs)
        record(moment)
    if kept is not None:
        kept.end(partial(collect, carry, recorded, states, made))
    times, losses, errors, scores = zip(*recorded, strict=True)
    return Trajectory(np.array(times, float), np.array(losses), np.array(errors), probe, np.stack(scores)), states


def _filled(batches: list[IntArray], count: int) -> list[IntArray]:
    """Return as many batches in every epoch: where the point left out was alone in its own, one is empty."""
    return batches + [np.array([], dtype=int)] * (count - len(batches))


def _constant(recipe: Recipe) -> Recipe:
    """Return the recipe with everything reset that the compiled steps do not depend on."""
    return replace(
        recipe, epochs=1, lr=1.0, schedule="constant", min_steps=0, record_steps=0, warmup=0.0, augmentation="none"
    )


def _groups(
    steps: Iterator[tuple[int, IntArray, float]],
    x: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    size: int,
    augmented: Augmented,
) -> Iterator[Any]:
    """Put batches of indices together into groups of steps of one shape."""
    waiting = list(steps)
    for start in range(0, len(waiting), _GROUP):
        chosen = np.zeros((_GROUP, size), int)
        shares = np.zeros((_GROUP, size), np.float32)
        rates = np.zeros(_GROUP, np.float32)
        group = waiting[start : start + _GROUP]
        for row, (_, batch, rate) in enumerate(group):
            chosen[row, : len(batch)] = batch
            shares[row, : len(batch)] = 1 / max(1, len(batch))
            rates[row] = rate
        inputs = x[chosen]
        if augmented.kind != "none":
            for row, (epoch, batch, _) in enumerate(group):
                inputs[row, : len(batch)] = augmented(x, epoch, batch)
        yield inputs, y[chosen], shares, rates


def _error(scores: FloatArray, y: IntArray | FloatArray) -> float:
    if y.ndim == 2:
        spread = float(y.var(axis=0).sum()) or 1.0
        return float(np.square(scores - y).sum(axis=1).mean() / spread)
    return float((scores.argmax(axis=1) != y).mean())


def _mean_loss(scores: FloatArray, y: IntArray | FloatArray, loss: Loss) -> float:
    if y.ndim == 2:
        return float(0.5 * np.square(scores - y).sum(axis=1).mean())
    rows = np.arange(len(y))
    if loss == "cross_entropy":
        shifted = scores - scores.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, y]).mean())
    targets = np.full_like(scores, -1 / scores.shape[1])
    targets[rows, y] += 1
    return float(0.5 * np.square(scores - targets).sum(axis=1).mean())
