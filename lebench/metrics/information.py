"""What a state says about the input it comes from: information in bits, exact for finitely many inputs.

A state that is a function of the input has as much information about it as it has entropy. Unless it is rounded, it
tells all inputs apart as long as floating point can: there is no bottleneck. So a number comes with its resolution.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels
from lebench.metrics.base import KnownAnswer, metric

_SOURCE = "Su 2021, Neurashed: information bottleneck; the rounding is our choice"


def _four(decimals: int | None) -> dict[str, Any]:
    states = np.array([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5], [0.53125, 0.46875]])
    return {"states": states, "decimals": decimals}


def _labelled(labels: list[int], decimals: int | None = None) -> dict[str, Any]:
    return {**_four(decimals), "labels": np.array(labels)}


@metric(
    symbol="I(X; T)",
    equation=r"I(X; T) = H(T) = -\sum_t p(t) \log_2 p(t),\quad T = \mathrm{round}(f(X))",
    source=_SOURCE,
    direction="none",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("three states", lambda: _four(None), 1.5, "1/2 log2 2 + 2/4 log2 4"),
        KnownAnswer("two after rounding", lambda: _four(1), 1.0, "0.8 and 0.5, each of two inputs"),
        KnownAnswer("all alike", lambda: {"states": np.ones((5, 2))}, 0.0, "one state"),
    ),
    tags=("dynamics",),
)
def state_information(states: Any, decimals: int | None = None, probabilities: Any | None = None) -> float:
    """Mutual information, in bits, of the input and a state that it determines.

    Parameters
    ----------
    states : array of shape (n, d), float32 or float64
        The state of each of n inputs.
    decimals : int, optional
        Digits to round to; by default none are lost.
    probabilities : array of shape (n,), optional
        Of the inputs; by default equal.

    Raises
    ------
    DataError
        If the probabilities are negative, do not sum to 1 or do not fit.
    """
    which = _rounded(states, decimals)
    weights = np.full(len(which), 1 / len(which))
    if probabilities is not None:
        weights = as_floats("probabilities", probabilities, 1)
        if len(weights) != len(which) or weights.min() < 0 or abs(weights.sum() - 1) > 1e-9:
            raise DataError(f"probabilities of {len(which)} inputs must be as many, not negative, and sum to 1")
    return _entropy(np.bincount(which, weights))


@metric(
    symbol="I(X; T | Y)",
    equation=r"I(X; T \mid Y) = H(T, Y) - H(Y),\quad T = \mathrm{round}(f(X))",
    source=f"{_SOURCE}; what a state says beyond the label is what a bottleneck should lose",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("the label and one bit for half of it", lambda: _labelled([0, 0, 1, 1]), 0.5, "1.5 - 1"),
        KnownAnswer("the label only", lambda: _labelled([0, 0, 1, 1], 1), 0.0, "1 - 1"),
        KnownAnswer("something else than the label", lambda: _labelled([0, 1, 0, 1], 1), 1.0, "2 - 1"),
    ),
    tags=("dynamics",),
)
def excess_information(states: Any, labels: Any, decimals: int | None = None) -> float:
    """Information, in bits, that a state has about the input beyond its label; inputs are equally likely.

    Parameters
    ----------
    states : array of shape (n, d), float32 or float64
        The state of each of n inputs.
    labels : array of shape (n,), integer
        Labels from 0.
    decimals : int, optional
        Digits to round to; by default none are lost.
    """
    which = _rounded(states, decimals)
    y = as_labels("labels", labels, len(which))
    return max(0.0, _entropy(np.bincount(which * (int(y.max()) + 1) + y)) - _entropy(np.bincount(y)))


def _rounded(states: Any, decimals: int | None) -> IntArray:
    """Return which of the distinct rounded states each input is in, (n,)."""
    table = as_floats("states", states, 2)
    # Adding 0 makes of -0 and 0 one value.
    quantized = table + 0.0 if decimals is None else np.round(table, decimals) + 0.0
    return np.asarray(np.unique(quantized, axis=0, return_inverse=True)[1].ravel())


def _entropy(masses: FloatArray | IntArray) -> float:
    shares = masses[masses > 0] / masses.sum()
    return max(0.0, float(-(shares @ np.log2(shares))))
