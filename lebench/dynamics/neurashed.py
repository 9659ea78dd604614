"""Neurashed: training as the strengthening and weakening of nodes that carry features (Su 2021).

A graph of nodes in levels. An input activates some nodes of the first level; a node above fires if enough of its
children fire; each class has one node at the top. Every node carries an amplification factor: a step of training
facilitates the nodes that fire and inhibits others. With a batch, the nodes that fire for any of its inputs are
facilitated at once.

The paper draws pictures and leaves the rules open. What is chosen here, as defaults of parameters: amplifications start
at 1, are multiplied by 1.05 when a node fires and by 0.93 when it does not (these updates commute); a node fires if all
its children do, a class if any does (its pathways); a score is the sum over children, times the amplification.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lebench.arrays import FloatArray, IntArray
from lebench.dynamics.le_ode import checked_classes
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_labels
from lebench.metrics.feature_nodes import survival_threshold

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """How a step changes amplifications.

    Attributes
    ----------
    facilitation, inhibition : float
        Multiplicative: factors above 1, and between 0 and 1. Additive: positive numbers that are added, and subtracted
        down to 0.
    kind : {"multiplicative", "additive"}
        Which of the two.
    scope : {"global", "class"}
        Which nodes that do not fire are inhibited: all, or those below the classes of the batch.

    Raises
    ------
    ParameterError
        If a number is out of its range.
    """

    facilitation: float = 1.05
    inhibition: float = 0.93
    kind: Literal["multiplicative", "additive"] = "multiplicative"
    scope: Literal["global", "class"] = "global"

    def __post_init__(self) -> None:
        if self.kind not in ("multiplicative", "additive") or self.scope not in ("global", "class"):
            raise ParameterError(
                f"rule {self.kind!r} with scope {self.scope!r} is unknown: there are 'multiplicative' and 'additive', "
                "'global' and 'class'"
            )
        if self.kind == "multiplicative" and not (1 < self.facilitation < math.inf and 0 < self.inhibition < 1):
            raise ParameterError(
                f"factors {self.facilitation} and {self.inhibition}: facilitation must be above 1, "
                "inhibition between 0 and 1"
            )
        if self.kind == "additive" and not (0 < self.facilitation < math.inf and 0 < self.inhibition < math.inf):
            raise ParameterError(f"steps {self.facilitation} and {self.inhibition}: both must be positive")

    @property
    def survival_threshold(self) -> float:
        """The share of steps in which a node must fire so that it grows in the long run.

        ln(1/c-) / (ln c+ + ln(1/c-)) for factors, b/(a + b) for steps.
        """
        if self.kind == "additive":
            return self.inhibition / (self.facilitation + self.inhibition)
        return survival_threshold(self.facilitation, self.inhibition)


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in levels. All nodes are numbered through, level by level; the classes are the last ones.

    Attributes
    ----------
    edges : tuple of ndarray of shape (parents, children), bool
        Which nodes of a level are children of which nodes of the next one, from the first level up.
    inner : {"all", "any"}
        How many children must fire for a node between the first level and the classes.
    top : {"all", "any"}
        The same for a class.

    Raises
    ------
    DataError
        If there are no edges, levels do not fit, or a node above the first level has no child.
    ParameterError
        If there are fewer than two classes, or a rule of firing is unknown.
    """

    edges: tuple[BoolArray, ...]
    inner: Literal["all", "any"] = "all"
    top: Literal["all", "any"] = "any"

    def __post_init__(self) -> None:
        if not self.edges or any(e.ndim != 2 or e.dtype != np.bool_ for e in self.edges):
            raise DataError("edges must be Boolean matrices (parents, children), at least one")
        for level, (lower, upper) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            if len(lower) != upper.shape[1]:
                raise DataError(
                    f"level {level + 1} has {len(lower)} nodes by its edges down and {upper.shape[1]} by its edges up"
                )
        for level, edges in enumerate(self.edges):
            if not edges.any(axis=1).all():
                raise DataError(
                    f"node {int(np.argmin(edges.any(axis=1)))} of level {level + 1} has no child: it could never fire"
                )
        checked_classes(len(self.edges[-1]))
        if not {self.inner, self.top} <= {"all", "any"}:
            raise ParameterError(f"nodes cannot fire by {self.inner!r} and {self.top!r}: there are 'all' and 'any'")

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of each level, from the first to the classes."""
        return (self.edges[0].shape[1], *map(len, self.edges))

    def level(self, which: int) -> slice:
        """Return where among all nodes those of a level stand; -1 are the classes."""
        first = sum(self.sizes[: which % len(self.sizes)])
        return slice(first, first + self.sizes[which])

    @cached_property
    def below(self) -> BoolArray:
        """Which nodes are a class or lie below it, of shape (classes, nodes)."""
        reached = np.eye(self.sizes[-1], dtype=bool)
        parts = [reached]
        for edges in reversed(self.edges):
            reached = reached @ edges
            parts.append(reached)
        return np.concatenate(parts[::-1], axis=1)

    def fires(self, patterns: BoolArray) -> BoolArray:
        """Return which nodes fire.

        Parameters
        ----------
        patterns : ndarray of shape (n, nodes of the first level), bool
            What each of n inputs activates.

        Returns
        -------
        ndarray of shape (n, nodes), bool

        Raises
        ------
        DataError
            If the patterns do not fit.
        """
        levels = [self._checked(patterns)]
        for which, edges in enumerate(self.edges, start=1):
            enough = self.top if which == len(self.edges) else self.inner
            firing = levels[-1].astype(np.int64) @ edges.T.astype(np.int64)
            levels.append(firing >= (edges.sum(axis=1) if enough == "all" else 1))
        return np.concatenate(levels, axis=1)

    def log_scores(
        self, patterns: BoolArray, log_amplification: FloatArray, combine: Literal["sum", "mean", "max"] = "sum"
    ) -> FloatArray:
        """Return the logarithms of the class scores Z = amplification times what the children's scores combine to.

        Parameters
        ----------
        patterns : ndarray of shape (n, nodes of the first level), bool
            What each of n inputs activates; an activated node of the first level has its amplification as score.
        log_amplification : ndarray of shape (nodes,)
            Logarithms, because amplifications grow beyond what a number can hold.
        combine : {"sum", "mean", "max"}
            Over all children; those that do not fire count as 0.

        Returns
        -------
        ndarray of shape (n, classes)
            Minus infinity for a class that does not fire.

        Raises
        ------
        DataError
            If the shapes do not fit.
        ParameterError
            If `combine` is unknown.
        """
        fires, logs = self.fires(patterns), np.asarray(log_amplification, dtype=np.float64)
        if logs.shape != (fires.shape[1],):
            raise DataError(f"amplifications have shape {logs.shape}: one for each of {fires.shape[1]} nodes is needed")
        if combine not in ("sum", "mean", "max"):
            raise ParameterError(f"scores cannot be combined by {combine!r}: there are 'sum', 'mean' and 'max'")
        first = self.level(0)
        scores = np.where(fires[:, first], logs[first], -np.inf)
        for which, edges in enumerate(self.edges, start=1):
            children = np.where(edges, scores[:, None], -np.inf)
            if combine == "max":
                combined = children.max(axis=2)
            else:
                # Nothing fires below some nodes: the logarithm of 0 is meant.
                with np.errstate(divide="ignore"):
                    combined = logsumexp(children, axis=2)
                if combine == "mean":
                    combined = combined - np.log(edges.sum(axis=1))
            here = self.level(which)
            scores = np.where(fires[:, here], logs[here] + combined, -np.inf)
        return scores

    def _checked(self, patterns: BoolArray) -> BoolArray:
        if patterns.dtype != np.bool_ or patterns.ndim != 2 or patterns.shape[1] != self.sizes[0]:
            raise DataError(
                f"patterns have shape {patterns.shape} and dtype {patterns.dtype}: Boolean ones "
                f"(n, {self.sizes[0]}) are needed"
            )
        return patterns


@dataclass(frozen=True, eq=False)
class Course:
    """What training did to a graph.

    Attributes
    ----------
    log_amplification : ndarray of shape (T + 1, nodes)
        Logarithms before training and after each of T steps; minus infinity for 0.
    facilitated, inhibited : ndarray of shape (T, nodes), bool
        Which nodes were, at each step.
    """

    log_amplification: FloatArray
    facilitated: BoolArray
    inhibited: BoolArray

    @property
    def survivors(self) -> BoolArray:
        """Which nodes have a larger amplification after training than before, of shape (nodes,)."""
        grown: BoolArray = self.log_amplification[-1] > self.log_amplification[0]
        return grown


def draw_batches(n: int, steps: int, size: int | None, rng: np.random.Generator) -> IntArray:
    """Return which of n inputs each step sees, of shape (steps, size).

    Parameters
    ----------
    n, steps : int
        At least 1.
    size : int or None
        Inputs in a batch, drawn uniformly with replacement; None is all of them, in every step.
    rng : numpy.random.Generator
        Draws the batches.

    Raises
    ------
    ParameterError
        If a number is below 1.
    """
    for name, value in (("inputs", n), ("steps", steps), ("inputs in a batch", n if size is None else size)):
        if value < 1:
            raise ParameterError(f"{value} {name}: at least 1 is needed")
    if size is None:
        return np.tile(np.arange(n), (steps, 1))
    return rng.integers(0, n, (steps, size))


def train(
    graph: Graph,
    patterns: BoolArray,
    labels: IntArray,
    batches: IntArray,
    rule: Rule | None = None,
    initial: float = 1.0,
) -> Course:
    """Train a graph.

    Parameters
    ----------
    graph : Graph
        The nodes.
    patterns : ndarray of shape (n, nodes of the first level), bool
        What each of n inputs activates.
    labels : ndarray of shape (n,), integer
        Their classes; they matter if only nodes of the batch's classes are inhibited.
    batches : ndarray of shape (T, size), integer
        Which inputs each step sees, see :func:`draw_batches`.
    rule : Rule, optional
        How a step changes amplifications; by default the one of this module.
    initial : float
        Amplification of every node before training.

    Raises
    ------
    DataError
        If the shapes do not fit, or a label or an index is out of range.
    ParameterError
        If the initial amplification is not positive.
    """
    rule = rule or Rule()
    fires = graph.fires(patterns)
    own = graph.below[as_labels("labels", labels, len(fires), graph.sizes[-1])]
    if not 0 < initial < math.inf:
        raise ParameterError(f"initial amplification {initial}: it must be positive")
    if batches.ndim != 2 or batches.size == 0 or batches.dtype.kind not in "iu":
        raise DataError(
            f"batches have shape {batches.shape} and dtype {batches.dtype}: integers (steps, size) are needed"
        )
    if batches.min() < 0 or batches.max() >= len(fires):
        raise DataError(f"batches name inputs {batches.min()} to {batches.max()}, but there are {len(fires)}, from 0")
    facilitated = np.array([fires[batch].any(axis=0) for batch in batches])
    inhibited = ~facilitated
    if rule.scope == "class":
        inhibited &= np.array([own[batch].any(axis=0) for batch in batches])
    start = np.full((1, fires.shape[1]), math.log(initial))
    if rule.kind == "multiplicative":
        changes = facilitated * math.log(rule.facilitation) + inhibited * math.log(rule.inhibition)
        return Course(np.cumsum(np.concatenate([start, changes]), axis=0), facilitated, inhibited)
    course = np.full((len(batches) + 1, fires.shape[1]), initial)
    for step in range(len(batches)):
        change = facilitated[step] * rule.facilitation - inhibited[step] * rule.inhibition
        course[step + 1] = np.maximum(course[step] + change, 0.0)
    with np.errstate(divide="ignore"):
        return Course(np.log(course), facilitated, inhibited)
