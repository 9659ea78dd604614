"""What training does to other measures: their course over time, and which labels a similarity follows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, as_square
from lebench.metrics.base import KnownAnswer, metric


def _course(values: list[float], error: list[float]) -> dict[str, FloatArray]:
    return {"values": np.array(values), "error": np.array(error)}


@metric(
    symbol=r"q_T / q_{t_0}",
    equation=r"q_T / q_{t_0},\quad t_0 = \min\{t : \text{training error at } t = 0\}",
    source="terminal phase: Papyan, Han & Donoho 2020, from the epoch at which the training error first vanishes; "
    "the ratio is our choice",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("scale",),
    known_answers=(
        KnownAnswer(
            "halved twice after the error vanished",
            lambda: _course([64.0, 8.0, 4.0, 2.0], [0.5, 0.0, 0.0, 0.0]),
            0.25,
            "2/8",
        ),
        KnownAnswer(
            "the error comes back for a while",
            lambda: _course([9.0, 6.0, 3.0], [0.0, 0.1, 0.0]),
            1 / 3,
            "3/9: the first",
        ),
        KnownAnswer("nothing changes", lambda: _course([0.3, 0.3, 0.3], [0.2, 0.0, 0.0]), 1.0, "by construction"),
    ),
    tags=("collapse",),
)
def terminal_ratio(values: Any, error: Any) -> float:
    """A measure after training over what it was when the training error first vanished; below 1 if it went on falling.

    Parameters
    ----------
    values : array of shape (T,), float32 or float64
        The measure at T moments of training, such as NC1; not negative.
    error : array of shape (T,), float32 or float64
        Training error at the same moments.

    Raises
    ------
    DataError
        If a value is negative, the lengths differ, the error never vanishes or only at the last moment, or the measure
        is zero already when it does.

    Examples
    --------
    >>> terminal_ratio(np.array([3.0, 0.5, 0.1]), np.array([0.2, 0.0, 0.0]))
    0.2
    """
    course, errors = as_floats("values", values, 1), as_floats("errors", error, 1)
    if len(course) != len(errors):
        raise DataError(f"{len(course)} values do not fit {len(errors)} errors")
    if course.min() < 0:
        raise DataError("values contain a negative one: the ratio needs a measure that is not negative")
    start = interpolation_moment(errors)
    if start is None:
        raise DataError(f"the training error never vanishes, it is at least {errors.min():.3g}")
    if start == len(course) - 1:
        raise DataError("the training error vanishes only at the last moment: there is no terminal phase")
    if course[start] == 0:
        raise DataError("the measure is zero already when the training error vanishes")
    return float(course[-1] / course[start])


def interpolation_moment(error: FloatArray) -> int | None:
    """Return the first moment at which an error is zero, or None if there is none.

    Parameters
    ----------
    error : ndarray of shape (T,)
        Training error.
    """
    zero = np.flatnonzero(error == 0)
    return int(zero[0]) if len(zero) else None


@metric(
    symbol=r"R_T - R_0",
    equation=r"R_T - R_0",
    source="growth of the elasticity ratio in training: Chen, He & Su 2020 (LANTK); the difference is our choice",
    direction="higher",
    invariant_to=("translation",),
    known_answers=(
        KnownAnswer(
            "grows by a quarter", lambda: {"values": np.array([0.5, 0.8, 0.75])}, 0.25, "the last minus the first"
        ),
        KnownAnswer("a fixed kernel", lambda: {"values": np.full(4, 0.6)}, 0.0, "a kernel that training leaves alone"),
    ),
    tags=("elasticity",),
)
def elasticity_growth(values: Any) -> float:
    """The elasticity ratio, or difference, after training minus before it; 0 for a kernel that training leaves alone.

    Parameters
    ----------
    values : array of shape (T,), float32 or float64
        Elasticity ratio or difference at T moments, the first before training.

    Raises
    ------
    DataError
        If there are fewer than two moments, or a value is not finite.
    """
    course = as_floats("values", values, 1)
    if len(course) < 2:
        raise DataError("a growth needs at least two moments of training")
    return float(course[-1] - course[0])


def _two_factors() -> tuple[IntArray, IntArray]:
    return np.array([0, 0, 1, 1, 0, 1]), np.array([0, 1, 0, 1, 1, 1])


def _of_factors(both: float, own: float, other: float, none: float) -> dict[str, Any]:
    """Return a similarity that depends on which of two factors a pair shares."""
    first, second = _two_factors()
    same, alike = first[:, None] == first, second[:, None] == second
    similarity = np.where(same, np.where(alike, both, own), np.where(alike, other, none))
    return {"similarity": similarity, "own": first, "other": second}


@metric(
    symbol=r"\bar S_\mathrm{own} - \bar S_\mathrm{other}",
    equation=r"\mathrm{mean}\{S_{ij} : y_i = y_j,\ z_i \ne z_j\} - \mathrm{mean}\{S_{ij} : y_i \ne y_j,\ z_i = z_j\}",
    source="after the label systems of Chen, He & Su 2020; the difference is our choice",
    direction="higher",
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer("0.9 and 0.3", lambda: _of_factors(1.0, 0.9, 0.3, 0.1), 0.6, "by construction"),
        KnownAnswer(
            "the kernel y y^T of the labels",
            lambda: _of_factors(1.0, 1.0, -1.0, -1.0),
            2.0,
            "1 - (-1), the largest of a normalized similarity",
        ),
        KnownAnswer("no preference", lambda: _of_factors(1.0, 0.4, 0.4, 0.2), 0.0, "by symmetry"),
    ),
    tags=("elasticity",),
)
def label_following(similarity: Any, own: Any, other: Any) -> float:
    """Similarity of pairs that share only the labels trained on, minus that of pairs that share only another labelling.

    Averaged over training on the first and on the second of two labellings it is exactly 0 for a similarity that does
    not depend on the labels.

    Parameters
    ----------
    similarity : array of shape (n, n), float32 or float64
        Row = source, column = target; :func:`~lebench.metrics.normalize` it so that points count alike.
    own : array of shape (n,), integer
        Labels that the model was trained on.
    other : array of shape (n,), integer
        Labels of the same points that it was not trained on.

    Raises
    ------
    DataError
        If the shapes do not fit, or no pair shares only the one or only the other label.
    """
    s = as_square("similarities", similarity)
    y, z = as_labels("own", own, len(s)), as_labels("other", other, len(s))
    same, alike = y[:, None] == y, z[:, None] == z
    followed, left = s[same & ~alike], s[~same & alike]
    if not (followed.size and left.size):
        raise DataError(f"no pair of points shares only the {'other' if followed.size else 'own'} label")
    return float(followed.mean() - left.mean())
