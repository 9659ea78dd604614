"""Who can be told from whom: all pairs of models at once, rank intervals, tie groups, and other rules of ranking.

This module knows numbers only. P-values come from the draws of :mod:`lebench.board.bootstrap`,
Bradley-Terry strengths from evalica, the Friedman test from scipy and Nemenyi's p-values from scikit-posthocs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.errors import LebenchError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

#: Numbers of one block of pairs and draws.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Ranks:
    """Ranks of m models with what the evidence leaves open.

    Attributes
    ----------
    rank : ndarray of int, shape (m,)
        From 1; equal points share the better rank.
    lower, upper : ndarray of int, shape (m,)
        Best and worst rank that the comparisons of a model with all others leave open (Mogstad, Romano, Shaikh &
        Wilhelm 2024, section 3: rank intervals from intervals of differences). Two models are told apart if Holm's
        procedure says so among the comparisons of the one and among those of the other.
    group : ndarray of int, shape (m,)
        Tie group, from 1: from the top, a group goes on as long as a model cannot be told from the first of it.
    """

    rank: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    group: NDArray[np.int64]


def win_probabilities(draws: FloatArray) -> FloatArray:
    """Return how often one model is above another, a tie counting one half.

    Parameters
    ----------
    draws : ndarray of float, shape (draws, m)
        Points.

    Returns
    -------
    ndarray of float, shape (m, m)
        Row above column; one half on the diagonal, and ``p + p.T == 1``.
    """
    count, models = draws.shape
    above = np.zeros((models, models), dtype=np.int64)
    step = max(1, _BLOCK // models**2)
    for start in range(0, count, step):
        block = draws[start : start + step]
        above += (block[:, :, None] > block[:, None, :]).sum(axis=0)
    return np.asarray((above + (count - above - above.T) / 2) / count)


def pair_p_values(
    points: FloatArray, draws: FloatArray, freedom: NDArray[np.int64], probabilities: FloatArray
) -> FloatArray:
    """Return two-sided p-values of the difference of points of every pair.

    Twice the share of draws that reverse the order, ties counting one half, as (k + 1) / (draws + 1). Where no draw
    does, Student's t with the standard deviation of the draws, which is taken to be at least as large as one reversed
    draw would make it.

    Parameters
    ----------
    points, draws : ndarray of float, shapes (m,) and (draws, m)
        See :class:`lebench.board.bootstrap.Points`.
    freedom : ndarray of int, shape (m, m)
        Degrees of freedom of a pair, below 1 for none.
    probabilities : ndarray of float, shape (m, m)
        Of these draws, see :func:`win_probabilities`.

    Returns
    -------
    ndarray of float, shape (m, m)
        Symmetric; 1 for equal points and for pairs without degrees of freedom.
    """
    from scipy.special import stdtr

    count = len(draws)
    difference = points[:, None] - points
    reverse = np.where(difference > 0, probabilities.T, probabilities)
    drawn = np.minimum(1.0, 2 * (reverse * count + 1) / (count + 1))
    covariance = np.atleast_2d(np.cov(draws, rowvar=False))
    variance = covariance.diagonal()[:, None] + covariance.diagonal() - 2 * covariance
    least = 2 * np.abs(difference) / np.sqrt(count)
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0.0)), least)
    size = np.divide(np.abs(difference), deviation, out=np.zeros_like(deviation), where=deviation > 0)
    tail = 2 * stdtr(np.maximum(freedom, 1), -size)
    p = np.where(reverse > 0, drawn, np.minimum(drawn, tail))
    return np.asarray(np.where((difference == 0) | (freedom < 1), 1.0, p))


def ranks_of(points: FloatArray, p: FloatArray, level: float) -> Ranks:
    """Return ranks, their intervals and tie groups.

    Parameters
    ----------
    points : ndarray of float, shape (m,)
        More is better.
    p : ndarray of float, shape (m, m)
        Two-sided p-values of all pairs.
    level : float
        Confidence level of each rank interval.
    """
    models = len(points)
    above = points[:, None] > points
    others = ~np.eye(models, dtype=bool)
    apart = np.zeros_like(others)
    if models > 1:
        apart[others] = holm(p[others].reshape(models, models - 1), 1 - level).ravel()
        apart &= apart.T
    return Ranks(
        rank=1 + above.sum(axis=0),
        lower=1 + (apart & above.T).sum(axis=1),
        upper=models - (apart & above).sum(axis=1),
        group=_groups(points, apart),
    )


def holm(p: FloatArray, alpha: float) -> BoolArray:
    """Return which hypotheses are rejected by Holm's step-down procedure, each row a family of its own.

    Parameters
    ----------
    p : ndarray of float, shape (..., n)
        P-values.
    alpha : float
        Probability that a row has any false rejection.

    Returns
    -------
    ndarray of bool, shape (..., n)
        The same as ``statsmodels.stats.multitest.multipletests(method="holm")``, which collects garbage at each call:
        seconds on a board, once for each model.
    """
    order = np.argsort(p, axis=-1, kind="stable")
    count = p.shape[-1]
    held = np.take_along_axis(p, order, axis=-1) <= alpha / (count - np.arange(count))
    rejected = np.empty(p.shape, dtype=bool)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(held, axis=-1), axis=-1)
    return rejected


def _groups(points: FloatArray, distinct: BoolArray) -> NDArray[np.int64]:
    order = np.argsort(-points, kind="stable")
    group = np.empty(len(points), dtype=np.int64)
    first, number = order[0], 1
    for model in order:
        if distinct[first, model]:
            first, number = model, number + 1
        group[model] = number
    return group


def shares_won(means: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the share of their common tasks on which one model beats another, and the weight of those tasks.

    Parameters
    ----------
    means : ndarray of float, shape (tasks, m)
        More is better, NaN is missing.
    weights : ndarray of float, shape (tasks,)
        Of the tasks.

    Returns
    -------
    won : ndarray of float, shape (m, m)
        Row against column, ties counting one half; NaN on the diagonal and without a common task.
    common : ndarray of float, shape (m, m)
        Sum of the weights of the common tasks.
    """
    models = means.shape[1]
    won, common = np.zeros((models, models)), np.zeros((models, models))
    for values, weight in zip(means, weights, strict=True):
        present = ~np.isnan(values)
        both = np.outer(present, present)
        won += weight * np.where(both, (values[:, None] > values) + 0.5 * (values[:, None] == values), 0.0)
        common += weight * both
    share = np.divide(won, common, out=np.full_like(won, np.nan), where=common > 0)
    np.fill_diagonal(share, np.nan)
    return share, common


def bradley_terry(won: FloatArray, common: FloatArray) -> FloatArray:
    """Return log strengths of the Bradley-Terry model, zero in the mean.

    The odds that a beats b on a task are ``exp(strength[a] - strength[b])``. Half a task, tied, is added to every pair,
    so that a model that has won everything has a finite strength.

    Parameters
    ----------
    won, common : ndarray of float, shape (m, m)
        See :func:`shares_won`; weights of one for a task.

    Raises
    ------
    LebenchError
        If evalica is not installed.
    """
    evalica = _need("evalica")
    models = len(won)
    if models < 2:
        return np.zeros(models)
    rows, columns = np.nonzero(~np.eye(models, dtype=bool))
    weights = (np.nan_to_num(won) * common + 0.25)[rows, columns]
    import pandas as pd

    result = evalica.bradley_terry(
        rows.tolist(),
        columns.tolist(),
        [evalica.Winner.X] * len(rows),
        index=pd.Index(range(models)),
        weights=weights.tolist(),
        tolerance=1e-10,
        limit=10_000,
    )
    strength = np.log(result.scores.reindex(range(models)).to_numpy(dtype=np.float64))
    return np.asarray(strength - strength.mean())


@dataclass(frozen=True)
class Friedman:
    """The critical difference of mean ranks (Demsar 2006, section 3.2.2) of m models with every score on n tasks.

    Attributes
    ----------
    mean_ranks : ndarray of float, shape (m,)
        From 1.
    statistic, p : float
        Friedman's chi-square and its p-value.
    difference : float
        Two mean ranks farther apart than this differ by Nemenyi's test.
    cliques : list of list of int
        Largest sets of models that the test cannot tell apart, the best first; sets of one are left out.
    """

    mean_ranks: FloatArray
    statistic: float
    p: float
    difference: float
    cliques: list[list[int]]


def friedman(means: FloatArray, level: float) -> Friedman:
    """Return Friedman's test over tasks and Nemenyi's critical difference.

    Parameters
    ----------
    means : ndarray of float, shape (tasks, m)
        More is better; at least two tasks and three models, nothing missing.
    level : float
        Confidence level.

    Raises
    ------
    LebenchError
        If scikit-posthocs is not installed.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    tasks, models = means.shape
    mean_ranks = rankdata(-means, axis=1).mean(axis=0)
    # Rank by rank the same, so that the test sees the ties that the board sees.
    with np.errstate(invalid="ignore"):
        statistic, p = friedmanchisquare(*means.T)
    nemenyi = _need("scikit_posthocs").posthoc_nemenyi_friedman(-means).to_numpy()
    order = np.argsort(mean_ranks, kind="stable")
    cliques: list[list[int]] = []
    reached = 0
    for first in range(models):
        last = first
        while last + 1 < models and nemenyi[order[first], order[last + 1]] >= 1 - level:
            last += 1
        if last > first and last > reached:
            cliques.append([int(model) for model in order[first : last + 1]])
            reached = last
    scale = np.sqrt(models * (models + 1) / (6 * tasks))
    return Friedman(
        mean_ranks=mean_ranks,
        statistic=float(statistic) if np.isfinite(statistic) else 0.0,
        p=float(p) if np.isfinite(p) else 1.0,
        difference=float(studentized_range.ppf(level, models, np.inf) / np.sqrt(2) * scale),
        cliques=cliques,
    )


def _need(module: str) -> Any:
    """Import a library of the extra ``site``."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0].replace("_", "-")
        raise LebenchError(f"ranks need {name}: pip install 'lebench[site]'") from error
