"""Neurashed as a model (Su 2021): a graph of feature nodes that is strengthened where it fires."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import Checkpoint, SimilarityKind
from lebench.data.base import Split
from lebench.dynamics import Graph, Rule, draw_batches, response, train
from lebench.dynamics.neurashed import BoolArray
from lebench.errors import DataError, TrainingError
from lebench.seeds import generator

#: Largest logarithm of an amplification: scores are products of two, and a number holds up to e^709.
_LARGEST = 300.0
#: Moments of training that are kept, evenly in log(1 + step).
_MOMENTS = 24


@registry.models.register("neurashed")
@dataclass(frozen=True)
class Neurashed:
    """Feature nodes below one node per class, strengthened where they fire and weakened where they do not (Su 2021).

    A node of the first level is a coordinate of the input, and fires if it lies above its mean over the training
    points. It is a child of a class if it fires for one of that class's training points. The score of a class is its
    amplification times the sum of those of its children that fire.

    Of a recipe it takes the number of epochs, the minimum of steps and the batch size: it descends no gradient, so that
    there is no learning rate.

    Parameters
    ----------
    facilitation, inhibition : float
        Factors of a node that fires, and of one that does not.
    scope : {"class", "global"}
        Which nodes that do not fire are inhibited: those below the classes of the batch, or all.
    batch_size : int
        Inputs that fire at once; at the number of training points or above, all of them in every step.
    epochs : int
        Passes over the training points.
    min_steps : int
        Lower limit on the number of steps.
    """

    facilitation: Annotated[float, Gt(1), Le(10)] = 1.05
    inhibition: Annotated[float, Gt(0), Lt(1)] = 0.93
    scope: Literal["class", "global"] = "class"
    batch_size: Annotated[int, Ge(1)] = 8
    epochs: Annotated[int, Ge(0), Le(100_000)] = 5
    min_steps: Annotated[int, Ge(0)] = 500

    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"predict", "features", "similarity", "checkpoints", "diagnostics"}
    )

    def fit(self, split: Split, seed: int) -> object:
        """Make the graph of the training points, and train it on batches drawn with replacement.

        Raises
        ------
        DataError
            If no coordinate varies over the training points of a class.
        TrainingError
            If an amplification grows beyond what a number holds.
        """
        inputs = _flat(split.x_train)
        threshold = inputs.mean(axis=0)
        patterns = inputs > threshold
        edges = np.stack([patterns[split.y_train == c].any(axis=0) for c in range(split.classes)])
        if not edges.any(axis=1).all():
            empty = split.class_names[int(np.argmin(edges.any(axis=1)))]
            raise DataError(
                f"no coordinate lies above its mean for a point of class {empty}: no node could fire for it"
            )
        graph = Graph((edges,))
        n = len(patterns)
        size = None if self.batch_size >= n else self.batch_size
        per_epoch = -(-n // self.batch_size)
        steps = max(self.epochs * per_epoch, self.min_steps) if self.epochs else 0
        logs = np.zeros((1, sum(graph.sizes)))
        rule = Rule(self.facilitation, self.inhibition, scope=self.scope)
        if steps:
            batches = draw_batches(n, steps, size, generator(seed, "batches"))
            logs = train(graph, patterns, split.y_train, batches, rule).log_amplification
        if logs.max() > _LARGEST:
            raise TrainingError(
                f"amplifications grow beyond e^{_LARGEST:.0f} in {steps} steps: choose fewer epochs or smaller factors"
            )
        moments = sorted({0, steps, *np.rint(np.expm1(np.linspace(0, np.log1p(steps), _MOMENTS))).astype(int).tolist()})
        course = tuple((step / per_epoch, logs[step].copy()) for step in moments)
        return _Trained(graph, threshold, course, rule)

    def with_recipe(self, changes: Iterable[tuple[str, str | int | float]]) -> Neurashed:
        """Return the same model on other batches or trained for longer; what is said of gradients is left out."""
        own = {"batch_size": self.batch_size, "epochs": self.epochs, "min_steps": self.min_steps}
        for name, change in changes:
            if name in own:
                scaled = isinstance(change, str) and change.startswith("x")
                own[name] = round(own[name] * float(str(change)[1:])) if scaled else int(change)
        return replace(self, batch_size=own["batch_size"], epochs=own["epochs"], min_steps=own["min_steps"])


class _Amplified:
    """The graph at one moment."""

    def __init__(self, graph: Graph, threshold: FloatArray, logs: FloatArray) -> None:
        self._graph = graph
        self._threshold = threshold
        self._logs = logs

    def predict(self, x: FloatArray) -> FloatArray:
        """Return the scores of the classes (n, C), 0 for one that does not fire."""
        weights, bias = self.head()
        return self.features(x) @ weights.T + bias

    def features(self, x: FloatArray) -> FloatArray:
        """Return the amplifications of the nodes that fire, and 0 for others, (n, nodes)."""
        return np.asarray(self._patterns(x) * np.exp(self._logs[self._graph.level(0)]))

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return the classes' amplifications at their children (C, nodes), and a bias of zero."""
        own = np.exp(self._logs[self._graph.level(-1)])
        return np.asarray(own[:, None] * self._graph.edges[-1]), np.zeros(len(own))

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        """Return how a step on a source moves the sum of a target's scores, over its own (n, m).

        The step facilitates the nodes that fire for the source. The scores are linear in their amplifications, so that
        the size of the step does not matter, and nothing ever falls: relative and signed are the same. ``kernel`` is
        the change per unit of the step.

        Raises
        ------
        DataError
            If nothing fires for a source.
        """
        firing = self._patterns(sources), self._patterns(targets)
        relative = np.ascontiguousarray(response(self._graph, *firing, self._logs))
        if kind == "kernel":
            return np.asarray(relative * self.predict(sources).sum(axis=1, keepdims=True))
        return relative

    def _patterns(self, x: FloatArray) -> BoolArray:
        return np.asarray(_flat(x) > self._threshold)


class _Trained(_Amplified):
    """The graph after training, with its course."""

    def __init__(
        self, graph: Graph, threshold: FloatArray, course: tuple[tuple[float, FloatArray], ...], rule: Rule
    ) -> None:
        super().__init__(graph, threshold, course[-1][1])
        self._course = course
        self._rule = rule

    def diagnostics(self) -> dict[str, float]:
        """Return the share of steps in which a node must fire to grow, as the factors have it."""
        return {"survival_threshold": self._rule.survival_threshold}

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the graph at the moments that were kept, in epochs."""
        return tuple(
            Checkpoint(time, partial(_Amplified, self._graph, self._threshold, logs)) for time, logs in self._course
        )


def _flat(x: FloatArray) -> FloatArray:
    return x.reshape(len(x), -1)
