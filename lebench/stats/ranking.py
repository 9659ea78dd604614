"""Ranks of models on exactly these tasks, each with the range that seeds and test points leave open.

A score x of a model on a task becomes u = Phi((x - centre) / scale), between 0 and 1, with a centre and scale that were
frozen with the suite, so that who else is on the board changes nobody's order. The *track score* of a model is the mean
of u over its tasks. Two models are compared by the difference of their track scores on the tasks and seeds that both
have, linear in what seeds and test points vary. Three seeds say little about a variance, so variances are moderated
(:mod:`lebench.stats.moderation`) among pairs of one kind: both, one or none of the two trained with randomness of its
own. Holm's procedure corrects for the number of comparisons.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lebench.stats.intervals import LEVEL, within_bounds
from lebench.stats.moderation import FloatArray, moderate
from lebench.stats.points import PointEffects, combined

BoolArray = NDArray[np.bool_]

#: Differences of track scores, between 0 and 1, that count as none, and the least standard error of one.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparisons:
    """All pairs of m models on T tasks.

    Attributes
    ----------
    u : ndarray of float, shape (T, m)
        Bounded scores; NaN where a model does not have the task.
    scores, lower, upper : ndarray of float, shape (m,)
        Track scores with their intervals, between 0 and 1.
    differences, p : ndarray of float, shape (m, m)
        Row minus column in track score, and two-sided p-values; 0 and 1 on the diagonal and without a common task.
    """

    u: FloatArray
    scores: FloatArray
    lower: FloatArray
    upper: FloatArray
    differences: FloatArray
    p: FloatArray


@dataclass(frozen=True)
class Ranks:
    """Ranks of m models.

    Attributes
    ----------
    rank : ndarray of int, shape (m,)
        One more than the number of models that are ahead; equal models share the better rank.
    lower, upper : ndarray of int, shape (m,)
        Best and worst rank that the comparisons of a model leave open (Mogstad, Romano, Shaikh & Wilhelm 2024). Two
        models are told apart if Holm's procedure says so among the comparisons of either.
    apart, certain : ndarray of bool, shape (m, m)
        Pairs that are told apart so, and those that are by Holm's procedure over all pairs at once.
    """

    rank: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    apart: BoolArray
    certain: BoolArray


def anchors(means: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return centre and scale of each task: median, and interquartile range over 1.349, of reference models.

    Parameters
    ----------
    means : array_like of float, shape (T, m)
        Means over seeds, NaN where missing.

    Returns
    -------
    centre, scale : ndarray of float, shape (T,)
        A range of zero counts as 1, since it cannot tell what a large difference is.
    """
    lower, centre, upper = np.nanquantile(np.asarray(means, dtype=np.float64), (0.25, 0.5, 0.75), axis=1)
    scale = (upper - lower) / 1.349
    return centre, np.where(scale > 0, scale, 1.0)


def compare(
    scores: ArrayLike,
    centre: ArrayLike,
    scale: ArrayLike,
    clusters: Sequence[object],
    trained: ArrayLike,
    points: Sequence[PointEffects | None] = (),
    level: float = LEVEL,
) -> Comparisons:
    """Compare all pairs of models.

    Parameters
    ----------
    scores : array_like of float, shape (T, m, S)
        By task, model and seed; more is better, NaN is missing.
    centre, scale : array_like of float, shape (T,)
        See :func:`anchors`.
    clusters : sequence of hashable, length T
        Tasks of one cluster share splits or fits: what a seed does to them is added up before its variance is taken.
    trained : array_like of bool, shape (m,)
        Whether a model draws random numbers of its own when it is fitted.
    points : sequence of PointEffects or None, length T, optional
        By how much test points move the scores, where that is known.
    level : float, default 0.95
        Confidence level of the track scores' intervals.

    Returns
    -------
    Comparisons

    Raises
    ------
    ValueError
        If shapes do not fit or a model has no score.
    """
    from scipy.special import ndtr, stdtr, stdtrit

    x, centre, scale = (np.asarray(a, dtype=np.float64) for a in (scores, centre, scale))
    kind = np.asarray(trained, dtype=np.int64)
    tasks, models = x.shape[:2]
    if centre.shape != (tasks,) or scale.shape != (tasks,) or len(clusters) != tasks or kind.shape != (models,):
        raise ValueError("scores are (tasks, models, seeds); centre, scale and clusters have a value for each task")
    there = ~np.isnan(x)
    has = there.any(axis=2)
    if not has.any(axis=0).all():
        raise ValueError("a model without any score cannot be compared")
    means = np.where(has, np.where(there, x, 0.0).sum(axis=2) / np.maximum(there.sum(axis=2), 1), np.nan)
    z = (means - centre[:, None]) / scale[:, None]
    u = np.where(has, ndtr(z), np.nan)
    slope = np.nan_to_num(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / scale[:, None])
    influence = slope[:, :, None] * (x - means[:, :, None])
    clusters = list(clusters)
    known = list(dict.fromkeys(clusters))

    difference = np.zeros((models, models))
    s2, count = np.zeros((len(known), models, models)), np.ones((len(known), models, models))
    by_points, told = np.zeros((models, models)), np.zeros((models, models), dtype=bool)
    own_score, own_s2, own_count = np.zeros(models), np.zeros((len(known), models)), np.ones((len(known), models))
    own_points = np.zeros(models)
    patterns, pattern = np.unique(has.T, axis=0, return_inverse=True)
    pattern = pattern.ravel()
    for p in range(len(patterns)):
        for q in range(p, len(patterns)):
            common = np.flatnonzero(patterns[p] & patterns[q]).tolist()
            if not common:
                continue
            rows, columns = np.flatnonzero(pattern == p), np.flatnonzero(pattern == q)
            some = np.union1d(rows, columns)
            place = np.ix_(np.searchsorted(some, rows), np.searchsorted(some, columns))
            block = np.ix_(rows, columns)
            told[block] = True
            score = u[common][:, some].mean(axis=0)
            d = score[:, None] - score
            moved, single = np.zeros((len(some), len(some))), np.zeros(len(some))
            for k, cluster in enumerate(known):
                inside = [t for t in common if clusters[t] == cluster]
                if not inside:
                    continue
                of_points = combined([points[t] if points else None for t in inside], slope[inside][:, some], some)
                moved, single = moved + of_points[0], single + of_points[1]
                c = influence[inside][:, some].sum(axis=0) / len(common)
                shift, variance, number = _paired(c)
                d += shift
                s2[k][block], count[k][block] = variance[place], number[place]
                told[block] &= (number > 1)[place]
                if p == q:
                    n = (~np.isnan(c)).sum(axis=1)
                    own_s2[k, rows] = np.nan_to_num(_variance(c, n))
                    own_count[k, rows] = np.maximum(n, 1)
            by_points[block] = (moved / len(common) ** 2)[place]
            if p == q:
                own_score[rows], own_points[rows] = score, single / len(common) ** 2
            difference[block] = d[place]
            difference[np.ix_(columns, rows)] = -d[place].T
            for array in (*s2, *count, by_points, told):
                array[np.ix_(columns, rows)] = array[block].T
    difference[np.abs(difference) < TOLERANCE] = 0.0
    np.fill_diagonal(difference, 0.0)

    upper = np.triu_indices(models, 1)
    variance, freedom = _moderated(s2[:, *upper], count[:, *upper], np.stack(upper), kind)
    total, nu = _added(variance, freedom, by_points[upper])
    p_value = np.ones((models, models))
    ratio = np.abs(difference[upper]) / np.sqrt(np.maximum(total, TOLERANCE**2))
    p_value[upper] = np.where((difference[upper] == 0) | ~told[upper], 1.0, 2 * stdtr(nu, -ratio))
    p_value = np.minimum(p_value, p_value.T)

    variance, freedom = _moderated(own_s2, own_count, np.arange(models)[None], kind)
    total, nu = _added(variance, freedom, own_points)
    half = stdtrit(nu, 0.5 + level / 2) * np.sqrt(total)
    low, high = within_bounds(own_score, half, (0.0, 1.0), "arcsine")
    return Comparisons(u, own_score, low, high, difference, p_value)


def ranks_of(comparisons: Comparisons, level: float = LEVEL) -> Ranks:
    """Return ranks and their ranges.

    Parameters
    ----------
    comparisons : Comparisons
        Of m models.
    level : float, default 0.95
        Probability that the range of a model holds its rank.
    """
    difference, p = comparisons.differences, comparisons.p
    models = len(p)
    ahead = difference > 0
    apart, certain = np.zeros((2, models, models), dtype=bool)
    if models > 1:
        others = ~np.eye(models, dtype=bool)
        apart[others] = holm(p[others].reshape(models, models - 1), 1 - level).ravel()
        apart &= apart.T
        upper = np.triu_indices(models, 1)
        certain[upper] = holm(p[upper], 1 - level)
        certain |= certain.T
    return Ranks(
        rank=1 + ahead.sum(axis=0),
        lower=1 + (apart & ahead).sum(axis=0),
        upper=models - (apart & ahead).sum(axis=1),
        apart=apart,
        certain=certain,
    )


def holm(p: FloatArray, alpha: float) -> BoolArray:
    """Return which hypotheses are rejected by Holm's step-down procedure, each row a family of its own.

    Parameters
    ----------
    p : ndarray of float, shape (..., n)
        P-values.
    alpha : float
        Probability that a row has any false rejection.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]), 0.05)
    array([ True, False, False])
    """
    order = np.argsort(p, axis=-1, kind="stable")
    count = p.shape[-1]
    held = np.take_along_axis(p, order, axis=-1) <= alpha / (count - np.arange(count))
    rejected = np.empty(p.shape, dtype=bool)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(held, axis=-1), axis=-1)
    return rejected


def reliability(scores: ArrayLike) -> float:
    """Return the share of the variance of means between models that is not noise of their seeds.

    Parameters
    ----------
    scores : array_like of float, shape (m, S)
        NaN where missing; at least three models with two seeds.

    Returns
    -------
    float
        1 minus the mean squared standard error over the variance of the means, at least 0.

    Examples
    --------
    >>> reliability([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    1.0
    """
    x = np.asarray(scores, dtype=np.float64)
    n = (~np.isnan(x)).sum(axis=1)
    x, n = x[n > 1], n[n > 1]
    between = float(np.nanmean(x, axis=1).var(ddof=1))
    noise = float((_variance(x, n) / n).mean())
    return max(0.0, 1 - noise / between) if between > 0 else 0.0


def _paired(c: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and variance over common seeds of the paired differences of rows (m, S), and how many there are."""
    there = (~np.isnan(c)).astype(np.float64)
    c = np.nan_to_num(c)
    n = there @ there.T
    total = c @ there.T - there @ c.T
    squares = (c**2) @ there.T + there @ (c**2).T - 2 * c @ c.T
    some = np.maximum(n, 1)
    variance = np.where(n > 1, (squares - total**2 / some) / np.maximum(n - 1, 1), 0.0)
    # What is left of equal rows by rounding is nothing.
    size = (c**2).max(initial=0.0)
    return total / some, np.where(variance < 1e-14 * size, 0.0, variance), some


def _variance(c: FloatArray, n: NDArray[np.int64]) -> FloatArray:
    mean = np.nansum(c, axis=1) / np.maximum(n, 1)
    return np.asarray(np.nansum((c - mean[:, None]) ** 2, axis=1) / np.maximum(n - 1, 1))


def _moderated(
    s2: FloatArray, count: FloatArray, members: NDArray[np.int64], trained: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return moderated variances of means over seeds, and their degrees of freedom.

    Parameters
    ----------
    s2, count : ndarray of float, shape (K, n)
        Variances and numbers of seeds, by cluster.
    members : ndarray of int, shape (1, n) or (2, n)
        The models that each is of.
    trained : ndarray of int, shape (m,)
        1 for models with randomness of their own; those of one sum are moderated together.
    """
    variance, freedom = np.zeros_like(s2), np.ones_like(s2)
    kind = trained[members].sum(axis=0)
    for k, one in itertools.product(range(len(s2)), np.unique(kind)):
        chosen = (kind == one) & (count[k] > 1)
        if not chosen.any():
            continue
        d = count[k, chosen] - 1
        most = d.mean() * max(len(np.unique(members[:, chosen])) - 1, 1)
        value, freedom[k, chosen] = moderate(s2[k, chosen], d, float(most))
        variance[k, chosen] = value / count[k, chosen]
    return variance, freedom


def _added(variance: FloatArray, freedom: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the variance of clusters and test points together, and its degrees of freedom (Welch & Satterthwaite)."""
    seeds = variance.sum(axis=0)
    squares = (variance**2 / freedom).sum(axis=0)
    total = seeds + points
    nu = np.divide(total**2, squares, out=np.full_like(total, freedom.max(initial=1.0)), where=squares > 0)
    return total, np.maximum(nu, 1.0)
