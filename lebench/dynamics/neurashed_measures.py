"""What trained graphs of Neurashed show: what passes of an input, and how one input moves another's score."""

from __future__ import annotations

import numpy as np

from lebench.arrays import FloatArray
from lebench.dynamics.neurashed import BoolArray, Graph
from lebench.errors import DataError, ParameterError
from lebench.metrics.information import state_information


def contributions(graph: Graph, patterns: BoolArray, log_amplification: FloatArray, level: int = 0) -> FloatArray:
    """Return the amplifications of the nodes of a level that fire, relative to their sum: what passes up of an input.

    Parameters
    ----------
    graph : Graph
        The nodes.
    patterns : ndarray of shape (n, nodes of the first level), bool
        What each of n inputs activates.
    log_amplification : ndarray of shape (nodes,)
        From :func:`train`.
    level : int
        Which one, from 0 for the first; -1 are the classes.

    Returns
    -------
    ndarray of shape (n, nodes of the level)
        Rows sum to 1.

    Raises
    ------
    DataError
        If the shapes do not fit, an amplification is infinite or NaN, or nothing at the level fires for an input, or
        all that fires has the amplification 0.
    ParameterError
        If there is no such level.
    """
    given = _read(graph, log_amplification, level)
    here = graph.level(level)
    logs = np.where(graph.fires(patterns)[:, here], given[here], -np.inf)
    largest = logs.max(axis=1, keepdims=True)
    if np.isneginf(largest).any():
        raise DataError(f"nothing passes level {level} for input {int(np.argmin(largest))}: it has no contributions")
    strengths = np.exp(logs - largest)
    shares: FloatArray = strengths / strengths.sum(axis=1, keepdims=True)
    return shares


def pattern_information(
    states: FloatArray, decimals: int | None = None, probabilities: FloatArray | None = None
) -> float:
    """Return the information of the input pattern and a state it determines, in bits.

    Parameters
    ----------
    states, decimals, probabilities
        Of distinct patterns; see :func:`lebench.metrics.state_information`.

    Raises
    ------
    DataError
        If the probabilities are negative, do not sum to 1 or do not fit.
    """
    return state_information(states, decimals, probabilities)


def response(
    graph: Graph, sources: BoolArray, targets: BoolArray, log_amplification: FloatArray, level: int = 0
) -> FloatArray:
    """Return the relative similarity of inputs: the change of a target's score over the source's own.

    The nodes of one level that fire for the source are facilitated a little; the score is the sum over classes, each
    the sum over children. On a graph with one level below the classes it is the sum of the amplifications that both
    share, over the sum of the source's own, as long as one class fires for each and all classes are equally strong.

    Parameters
    ----------
    graph : Graph
        The nodes.
    sources, targets : ndarray of shape (n, nodes of the first level) and (m, nodes of the first level), bool
        What inputs activate.
    log_amplification : ndarray of shape (nodes,)
        From :func:`train`.
    level : int
        Whose nodes are facilitated.

    Returns
    -------
    ndarray of shape (n, m)
        Exact, because a score is linear in the amplifications of one level.

    Raises
    ------
    DataError
        If the shapes do not fit, an amplification is infinite or NaN, or nothing at the level contributes to a source's
        score.
    ParameterError
        If there is no such level.
    """
    logs = _read(graph, log_amplification, level)
    here = graph.level(level)
    firing = graph.fires(sources)[:, here]
    # Each path to a class passes each level once: scaling a level scales all scores, and ratios stay.
    for which in range(len(graph.sizes)):
        largest = logs[graph.level(which)].max()
        if np.isneginf(largest):
            raise DataError(f"all amplifications of level {which} are 0: no score responds")
        logs[graph.level(which)] -= largest
    shares = _by_node(graph, targets, logs, level) @ firing.T
    own = np.einsum("sn,sn->s", _by_node(graph, sources, logs, level), firing)
    if (own == 0).any():
        raise DataError(f"nothing at level {level} contributes to the score of source {int(np.argmin(own))}")
    similarity: FloatArray = shares.T / own[:, None]
    return similarity


def _read(graph: Graph, log_amplification: FloatArray, level: int) -> FloatArray:
    """Return a copy of the amplifications of a graph, which has the level, or say what is wrong."""
    levels = len(graph.sizes)
    if not -levels <= level < levels:
        raise ParameterError(
            f"level {level} does not exist: the graph has levels 0 to {levels - 1}, or -{levels} to -1"
        )
    logs = np.array(log_amplification, dtype=np.float64)
    if logs.shape != (sum(graph.sizes),):
        raise DataError(f"amplifications have shape {logs.shape}: one for each of {sum(graph.sizes)} nodes is needed")
    if np.isnan(logs).any() or np.isposinf(logs).any():
        raise DataError("amplifications contain NaN or infinity: train for fewer steps")
    return logs


def _by_node(graph: Graph, patterns: BoolArray, logs: FloatArray, level: int) -> FloatArray:
    """Return how much of an input's total score passes through each node of a level, (n, nodes of the level)."""
    fires = graph.fires(patterns)
    strength = np.where(fires, np.exp(logs), 0.0)
    # Paths from a node of the level to the classes, backwards.
    weight = np.ones((len(patterns), graph.sizes[-1]))
    for which in range(len(graph.sizes) - 1, level % len(graph.sizes), -1):
        weight = (weight * strength[:, graph.level(which)]) @ graph.edges[which - 1]
    # Paths from the first level to a node of the level.
    below = strength[:, graph.level(0)]
    for which in range(1, level % len(graph.sizes) + 1):
        below = (below @ graph.edges[which - 1].T) * strength[:, graph.level(which)]
    passed: FloatArray = below * weight
    return passed
