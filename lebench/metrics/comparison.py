"""Two models compared on the same points: where their predictions differ, and what lies between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.errors import DataError
from lebench.metrics.arrays import as_labels
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("kernel", "generalization")


@metric(
    symbol=r"P[\hat y \ne \hat y']",
    equation=r"\frac1n\sum_i \mathbf 1[\hat y_i \ne \hat y'_i]",
    source="standard; Fort et al. 2020 compare networks and their linearizations by it",
    direction="lower",
    bounds=(0.0, 1.0),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer(
            "one of four",
            lambda: {"predicted": np.array([0, 1, 2, 2]), "other": np.array([0, 1, 2, 0])},
            0.25,
            "counting",
        ),
        KnownAnswer(
            "the same",
            lambda: {"predicted": np.array([0, 1, 2]), "other": np.array([0, 1, 2])},
            0.0,
            "identity",
        ),
    ),
    tags=_TAGS,
)
def prediction_disagreement(predicted: Any, other: Any) -> float:
    """Fraction of points that two models classify differently.

    Parameters
    ----------
    predicted, other : array of shape (n,), integer
        Predicted classes at the same points.
    """
    first = as_labels("predicted classes", predicted)
    return float((first != as_labels("other predicted classes", other, len(first))).mean())


@metric(
    symbol=r"q - q_0",
    equation=r"q - q_0",
    source="paired difference, on the same training and test points",
    direction="none",
    invariant_to=("translation",),
    known_answers=(KnownAnswer("0.9 against 0.85", lambda: {"value": 0.9, "kernel": 0.85}, 0.05, "subtraction"),),
    tags=_TAGS,
)
def difference_to_kernel(value: float, kernel: float) -> float:
    """A measure of a model minus the same of the infinite-width kernel on the same points.

    Parameters
    ----------
    value, kernel : float
        Of the model and of the kernel.
    """
    _finite(value, kernel)
    return float(value) - float(kernel)


@metric(
    symbol=r"\frac{q - q_0}{q_1 - q_0}",
    equation=r"\frac{q - q_0}{q_1 - q_0}",
    source="Chen, He & Su 2020 compare label-aware kernels with network and kernel; the share is our choice",
    direction="higher",
    invariant_to=("scale", "translation"),
    known_answers=(
        KnownAnswer("half-way", lambda: {"value": 0.7, "kernel": 0.6, "network": 0.8}, 0.5, "by construction"),
        KnownAnswer(
            "beyond the network", lambda: {"value": 1.0, "kernel": 0.6, "network": 0.8}, 2.0, "by construction"
        ),
        KnownAnswer("below the kernel", lambda: {"value": 0.5, "kernel": 0.6, "network": 0.8}, -0.5, "by construction"),
    ),
    tags=_TAGS,
)
def gap_closed(value: float, kernel: float, network: float) -> float:
    """Where a measure lies between the infinite-width kernel (0) and the trained network (1).

    Parameters
    ----------
    value, kernel, network : float
        The measure of the model, of the infinite-width kernel and of the network, on the same points.

    Raises
    ------
    DataError
        If one of them is not finite, or kernel and network are equal.
    """
    _finite(value, kernel, network)
    if network == kernel:
        raise DataError(f"kernel and network are both {kernel}: there is no gap to close")
    return (float(value) - float(kernel)) / (float(network) - float(kernel))


def _finite(*values: float) -> None:
    if not all(math.isfinite(value) for value in values):
        raise DataError(f"finite numbers are needed, not {', '.join(map(str, values))}")
