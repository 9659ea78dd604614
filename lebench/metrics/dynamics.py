"""Measures of training dynamics in the sense of the LE-SDE (Zhang, Wang & Su 2021): impacts, tails, separation."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linprog

from lebench.arrays import FloatArray
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats, as_labels, class_counts
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.planted import isotropic_clusters, rotation, simplex_frame

_PAPER = "J. Zhang, H. Wang, W. J. Su 2021, LE-SDE"


def _power_law(exponent: float, scale: float = 0.7) -> dict[str, FloatArray]:
    times = np.arange(1.0, 1001.0)
    return {"rate": scale * times**-exponent, "times": times}


def _bent() -> dict[str, FloatArray]:
    times = np.arange(1.0, 1001.0)
    return {"rate": np.where(times <= 500, 1.0, (times / 500) ** -1.5), "times": times}


@metric(
    symbol="r",
    equation=r"r = -\text{slope of } \log|\alpha(t)| \text{ on } \log t,\quad t \ge t_{(1 - q)}",
    source=f"{_PAPER}: impact ~ t^-r in the tail; the slope is our choice, because the released "
    "1 - log A / log t is off by log(1 - r)/log t",
    direction="lower",
    invariant_to=("scale",),
    known_answers=(
        KnownAnswer("t^-0.5", lambda: _power_law(0.5), 0.5, "planted", rtol=1e-11),
        KnownAnswer("a negative impact, -t^-1.1", lambda: _power_law(1.1, -2.0), 1.1, "planted", rtol=1e-11),
        KnownAnswer("constant", lambda: _power_law(0.0), 0.0, "planted"),
        KnownAnswer("constant first, then t^-1.5", _bent, 1.5, "only the tail counts", rtol=1e-11),
    ),
    tags=("dynamics",),
)
def tail_index(rate: Any, times: Any, tail: float = 0.1) -> float:
    """How fast an impact falls in the end, t^-r; features separate if r is below 1 for the impact that separates them.

    Parameters
    ----------
    rate : array of shape (T,), float32 or float64
        Impact alpha(t) or beta(t), or their difference.
    times : array of shape (T,), float32 or float64
        Moments, positive and increasing.
    tail : float
        Share of the moments that are fitted, the last ones: 0.1 is the last 1,000 of 10,000 steps.

    Raises
    ------
    DataError
        If the lengths differ, times are not positive and increasing, or the impact vanishes or changes sign in the
        tail.
    ParameterError
        If the tail is no share.
    """
    values, t = as_floats("rates", rate, 1), as_floats("times", times, 1)
    if len(values) != len(t):
        raise DataError(f"{len(values)} rates do not fit {len(t)} times")
    if t[0] <= 0 or (np.diff(t) <= 0).any():
        raise DataError("times must be positive and increase: a tail is a power of the time")
    if not 0 < tail <= 1:
        raise ParameterError(f"tail {tail} is no share of the moments: it lies above 0 and up to 1")
    if len(t) < 2:
        raise DataError("a slope needs at least two moments")
    last = max(2, round(tail * len(t)))
    end = values[-last:]
    if not ((end > 0).all() or (end < 0).all()):
        raise DataError(f"the impact vanishes or changes sign among its last {last} values: it has no power law there")
    x, y = np.log(t[-last:]), np.log(np.abs(end))
    x -= x.mean()
    y -= y.mean()
    return float(-(x @ y) / (x @ x))


def _impacts(intra: list[float], inter: list[float]) -> dict[str, FloatArray]:
    return {"intra": np.array(intra), "inter": np.array(inter)}


@metric(
    symbol=r"\frac{A - B}{|A| + |B|}",
    equation=r"\frac{A - B}{|A| + |B|},\quad A = \int_0^T \alpha(t)\,dt,\ B = \int_0^T \beta(t)\,dt",
    source=f"{_PAPER}: locally elastic if alpha > beta; the relative difference of the integrals is our choice",
    direction="higher",
    bounds=(-1.0, 1.0),
    invariant_to=("scale",),
    known_answers=(
        KnownAnswer("no elasticity", lambda: _impacts([0.0, 1.0, 4.0], [0.0, 3.0, 4.0]), 0.0, "A = B"),
        KnownAnswer("three to one", lambda: _impacts([0.0, 3.0], [0.0, 1.0]), 0.5, "(3 - 1)/(3 + 1)"),
        KnownAnswer("classes push each other away", lambda: _impacts([0.0, 2.0], [0.0, -1.0]), 1.0, "B < 0 < A"),
    ),
    tags=("dynamics",),
)
def le_alpha_beta_gap(intra: Any, inter: Any) -> float:
    """How much more a class moved itself than the others over the whole training, relative to all impact.

    Parameters
    ----------
    intra, inter : array of shape (T,), float32 or float64
        Integrated impacts A(t) and B(t); what they grew by from the first to the last moment counts.

    Raises
    ------
    DataError
        If the lengths differ, or there was no impact at all.
    """
    a, b = as_floats("values of A", intra, 1), as_floats("values of B", inter, 1)
    if len(a) != len(b):
        raise DataError(f"{len(a)} values of A do not fit {len(b)} of B")
    within, between = a[-1] - a[0], b[-1] - b[0]
    if within == between == 0:
        raise DataError("A and B end where they began: there is no impact to compare")
    return float((within - between) / (abs(within) + abs(between)))


@metric(
    symbol="A - B",
    equation=r"A - B = \int_0^T \bigl(\alpha(t) - \beta(t)\bigr)\,dt",
    source=f"{_PAPER}: in both models C times the logarithm of how much the class means grew apart",
    direction="higher",
    invariant_to=("translation",),
    known_answers=(
        KnownAnswer("no elasticity", lambda: _impacts([0.0, 1.0, 4.0], [0.0, 3.0, 4.0]), 0.0, "A = B"),
        KnownAnswer("five and minus one", lambda: _impacts([2.0, 7.0], [1.0, 0.0]), 6.0, "(7 - 2) - (0 - 1)"),
    ),
    tags=("dynamics",),
)
def impact_difference(intra: Any, inter: Any) -> float:
    """How much more a class moved itself than the others over the whole training: C times the log growth of separation.

    Takes what :func:`le_alpha_beta_gap` takes.
    """
    a, b = as_floats("values of A", intra, 1), as_floats("values of B", inter, 1)
    if len(a) != len(b):
        raise DataError(f"{len(a)} values of A do not fit {len(b)} of B")
    return float((a[-1] - a[0]) - (b[-1] - b[0]))


@metric(
    symbol="A",
    equation=r"A = \int_0^T \alpha(t)\,dt",
    source=f"{_PAPER}: integrated impact",
    direction="none",
    invariant_to=("translation",),
    known_answers=(
        KnownAnswer("constant", lambda: {"values": np.full(3, 5.0)}, 0.0, "no impact"),
        KnownAnswer("the ends count", lambda: {"values": np.array([1.0, 9.0, 3.0])}, 2.0, "3 - 1"),
    ),
    tags=("dynamics",),
)
def integrated_impact(values: Any) -> float:
    """What the integrated impact A(t) or B(t) grew by from the first to the last moment.

    Parameters
    ----------
    values : array of shape (T,), float32 or float64
        A(t) or B(t).

    Raises
    ------
    DataError
        If there are no values, or one is not finite.
    """
    course = as_floats("values", values, 1)
    return float(course[-1] - course[0])


def _falling(values: list[float], shares: list[float], classes: int) -> dict[str, Any]:
    return {"accuracies": np.array(values), "shares": np.array(shares), "classes": classes}


@metric(
    symbol=r"p_\mathrm{c}",
    equation=r"p_\mathrm{c}:\ \mathrm{acc}(p_\mathrm{c}) = 1/C",
    source=f"{_PAPER}: label noise, where the best rule is at chance at (C-1)/C; linear between shares, our choice",
    direction="higher",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer("at a share", lambda: _falling([1.0, 0.75, 0.25], [0.0, 0.5, 0.75], 4), 0.75, "1/4 at 0.75"),
        KnownAnswer("between two shares", lambda: _falling([0.75, 0.25], [0.5, 0.75], 2), 0.625, "half of the way"),
        KnownAnswer("the first time counts", lambda: _falling([1.0, 0.0, 1.0], [0.0, 0.5, 1.0], 2), 0.25, "1 to 0"),
    ),
    tags=("dynamics", "generalization"),
)
def noise_crossing(accuracies: Any, shares: Any, classes: int) -> float:
    """Share of wrong training labels at which the accuracy on true ones has fallen to chance.

    Parameters
    ----------
    accuracies : array of shape (m,), float32 or float64
        Accuracy on true labels.
    shares : array of shape (m,), float32 or float64
        Increasing shares of training labels that are wrong.
    classes : int
        C, at least 2.

    Raises
    ------
    DataError
        If the lengths differ, shares do not increase within 0 and 1, or the accuracy is at chance already at the first
        share, or above it at all of them.
    ParameterError
        If there are fewer than two classes.
    """
    values, p = as_floats("accuracies", accuracies, 1), as_floats("shares", shares, 1)
    if classes < 2:
        raise ParameterError(f"{classes} classes: chance needs at least 2")
    if len(values) != len(p) or (np.diff(p) <= 0).any() or p[0] < 0 or p[-1] > 1:
        raise DataError(f"{len(values)} accuracies at {len(p)} shares: as many are needed, increasing from 0 to 1")
    above = values - 1 / classes
    if above[0] <= 0:
        raise DataError(f"the accuracy is not above chance at the first share of wrong labels, {p[0]:.3g}")
    if above.min() > 0:
        raise DataError(f"the accuracy stays above chance up to {p[-1]:.3g} of wrong labels")
    reached = int(np.argmax(above <= 0))
    part = above[reached - 1] / (above[reached - 1] - above[reached])
    return float(p[reached - 1] + part * (p[reached] - p[reached - 1]))


def _clusters(means: FloatArray, s: float) -> dict[str, Any]:
    features, labels = isotropic_clusters(means, s)
    return {"features": features, "labels": labels}


def _crossed() -> dict[str, Any]:
    square = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    return {"features": square @ rotation(2), "labels": np.array([0, 0, 1, 1])}


def _one_apart() -> dict[str, Any]:
    line = np.array([[0.0], [2.0], [1.0], [3.0], [9.0], [10.0]])
    return {"features": line, "labels": np.array([0, 0, 1, 1, 2, 2])}


@metric(
    symbol=r"\mathrm{sep}",
    equation=r"\frac{2}{C(C-1)}\,\bigl|\{c < c' : \exists w, b:\ w^\top h_i + b \ge 1\ \forall i \in c,\ "
    r"\le -1\ \forall i \in c'\}\bigr|",
    source=f"{_PAPER}: separability of the classes by hyperplanes, here of pairs, our choice",
    direction="higher",
    bounds=(0.0, 1.0),
    invariant_to=("rotation", "scale", "permutation", "translation"),
    known_answers=(
        KnownAnswer(
            "narrow clusters on a simplex", lambda: _clusters(simplex_frame(4, 6), 0.1), 1.0, "clusters far apart"
        ),
        KnownAnswer("exclusive or", _crossed, 0.0, "the diagonals of a square cross"),
        KnownAnswer("two classes entangled, a third apart", _one_apart, 2 / 3, "two of three pairs"),
    ),
    tags=("dynamics", "collapse"),
)
def separation(features: Any, labels: Any) -> float:
    """Share of the pairs of classes that a hyperplane separates without error.

    Each pair is a linear programme, solved exactly.

    Parameters
    ----------
    features : array of shape (n, p), float32 or float64
        Features or scores.
    labels : array of shape (n,), integer
        Classes 0 to C-1, each with at least one point.

    Raises
    ------
    DataError
        If the shapes do not fit, there are fewer than two classes, a class has no points, or the programme of a pair
        could not be solved.
    """
    points = as_floats("features", features, 2)
    y = as_labels("labels", labels, len(points))
    classes = len(class_counts("labels", y))
    pairs = list(combinations(range(classes), 2))
    return sum(_separable(points[y == c], points[y == d]) for c, d in pairs) / len(pairs)


def _separable(first: FloatArray, second: FloatArray) -> bool:
    points = np.concatenate([first, second])
    points = points - points.mean(axis=0)
    scale = np.abs(points).max()
    if scale == 0:
        return False
    sides = np.repeat([-1.0, 1.0], [len(first), len(second)])
    # Feasible if sides * (points w + b) >= 1.
    system = -sides[:, None] * np.column_stack([points / scale, np.ones(len(points))])
    found = linprog(np.zeros(system.shape[1]), A_ub=system, b_ub=-np.ones(len(points)), bounds=(None, None))
    if found.status not in (0, 2):
        raise DataError(f"whether a hyperplane separates two classes could not be decided: {found.message}")
    return bool(found.status == 0)


def _followed(share: float) -> dict[str, FloatArray]:
    course = np.cumsum(rotation(12).reshape(4, 3, 12), axis=0)
    return {"means": course, "imitated": course[0] + share * (course - course[0])}


@metric(
    symbol=r"\epsilon_\mathrm{im}",
    equation=r"\left(\frac{\sum_t \|\hat X(t) - X(t)\|_F^2}{\sum_t \|X(t) - X(0)\|_F^2}\right)^{1/2}",
    source=f"{_PAPER} compares simulated with genuine dynamics by eye; the relative error is our choice",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("rotation", "scale", "permutation", "translation"),
    known_answers=(
        KnownAnswer("perfect imitation", lambda: _followed(1.0), 0.0, "the same course"),
        KnownAnswer("half the way", lambda: _followed(0.5), 0.5, "half of every displacement is missed"),
        KnownAnswer("nothing moves", lambda: _followed(0.0), 1.0, "every displacement is missed"),
    ),
    tags=("dynamics",),
)
def imitation_error(means: Any, imitated: Any) -> float:
    """How far imitated class means are from the genuine ones over training, relative to how far those moved.

    Parameters
    ----------
    means : array of shape (T, C, p), float32 or float64
        Genuine class means at T moments, the first before training.
    imitated : array of shape (T, C, p), float32 or float64
        Those of a model of the dynamics.

    Raises
    ------
    DataError
        If the shapes differ, or the genuine means never move.
    """
    genuine, other = as_floats("means", means, 3), as_floats("imitated means", imitated, 3)
    if genuine.shape != other.shape:
        raise DataError(f"imitated means of shape {other.shape} do not fit means of shape {genuine.shape}")
    moved = np.linalg.norm(genuine - genuine[0])
    if moved == 0:
        raise DataError("the means never move: there is nothing to imitate")
    return float(np.linalg.norm(other - genuine) / moved)
