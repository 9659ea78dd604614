"""Points of models over tasks, and how far they would move with other seeds and other tasks.

This module knows numbers only. Its input is an array of scores, tasks x models x seeds, where more is better and NaN is
a score that does not exist. On each task a model gets the share of the others there that it beats, ties counting one
half: ``u[t, a]`` between 0 and 1, free of the task's unit. Its *points* ``r[a]`` are the least-squares fit of
``u[t, a]`` by ``r[a] + c[t]`` over the cells that exist, with ``c[t]`` for how strong the field of a task is and the
mean of all points one half.

With no cell missing the points are the mean of the shares, which orders models as their mean rank does. With cells
missing, two models are compared through the tasks they share and through third models; a task that a model does not
have neither costs nor gives it anything. Beating one more model on a task moves points from that model to the winner,
and nobody gains more than the winner (the maximum principle on the graph of models and tasks): being better never
worsens a rank.

The draws are of a paired hierarchical bootstrap with random weights. *Seeds*: the means of all tasks and models are
moved by the same normal multipliers of the centred values of their seeds, since a seed gives all models the same split
and all tasks the same fits. *Tasks*: residuals of the fit are moved by one multiplier for each task (the wild cluster
bootstrap of Cameron, Gelbach & Miller 2008). Both are divided by the root of a chi-square variable over its degrees of
freedom, so that a difference that is linear in what is resampled has exactly the Student t distribution of the paired t
test, however few seeds or tasks there are. Resampling with replacement has a variance that is too small by (n - 1) / n
and no tails; with five seeds that is a fifth.

*Test points*: where the values of a task's models at its test points are known, their scores are moved by the same
normal multipliers of the effects of the points, see :mod:`lebench.board.point_effects`. Tasks on the same data share
the multipliers of their common points.

What varies between tasks contains what varies between seeds and points, so that resampling all counts those twice. That
errs on the side of ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lebench.board.point_effects import Moves
from lebench.errors import DataError

FloatArray = NDArray[np.float64]

#: Draws of the bootstrap, and the seed of its random numbers.
DRAWS, SEED = 2000, 20200501
#: Numbers of one block of draws, so that memory does not grow with the number of draws.
_BLOCK = 2_000_000
#: Test points of one block.
_POINTS = 4096
#: Digits that tell two scores or points apart: sums in another order must not break a tie.
_DIGITS = 11


@dataclass(frozen=True)
class Points:
    """Points of m models, and draws of them.

    Attributes
    ----------
    points : ndarray of float, shape (m,)
        Between about 0 and 1, one half in the mean.
    seed_draws : ndarray of float, shape (draws, m)
        With other seeds and, where they are given, other test points, on the same tasks.
    draws : ndarray of float, shape (draws, m)
        The same on other tasks.
    shares : ndarray of float, shape (tasks, m)
        Share of the other models that a model beats on a task; NaN where it has no score.
    seeds : ndarray of int, shape (m,)
        Smallest number of seeds of a model's scores.
    """

    points: FloatArray
    seed_draws: FloatArray
    draws: FloatArray
    shares: FloatArray
    seeds: NDArray[np.int64]


def mean_over_seeds(scores: FloatArray) -> FloatArray:
    """Return means over the last axis, NaN where nothing is there, equal for equal values in another order.

    Parameters
    ----------
    scores : ndarray of float, shape (tasks, m, seeds)
        NaN where missing.

    Returns
    -------
    ndarray of float, shape (tasks, m)
        Rounded to 11 digits of the largest score of the task.
    """
    present = ~np.isnan(scores)
    count = present.sum(axis=-1)
    total = np.sort(np.where(present, scores, 0.0), axis=-1).sum(axis=-1)
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    size = np.abs(np.where(present, scores, 0.0)).max(axis=(1, 2), initial=0.0)
    unit = 10.0 ** np.where(size > 0, np.floor(np.log10(np.where(size > 0, size, 1.0))) - _DIGITS, 0)
    return np.asarray(np.round(means / unit[:, None]) * unit[:, None])


def beaten_shares(scores: ArrayLike) -> FloatArray:
    """Return the share of the other models that each one beats on a task, a tie counting one half.

    Parameters
    ----------
    scores : array_like of float, shape (..., m)
        More is better, NaN is missing.

    Returns
    -------
    ndarray of float, shape (..., m)
        NaN where the score is, and where there is no other model.

    Examples
    --------
    >>> beaten_shares([0.9, 0.7, float("nan"), 0.7])
    array([1.  , 0.25,  nan, 0.25])
    """
    from scipy.stats import rankdata

    scores = np.asarray(scores, dtype=np.float64)
    present = ~np.isnan(scores)
    # What is missing is ranked behind everything, where it changes no other rank.
    ranks = rankdata(np.where(present, scores, np.inf), axis=-1)
    others = present.sum(axis=-1, keepdims=True) - 1
    return np.where(present & (others > 0), (ranks - 1) / np.maximum(others, 1), np.nan)


def draw_points(
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    moves: Sequence[Moves | None] | None = None,
) -> Points:
    """Return the points of models over tasks and bootstrap draws of them.

    Parameters
    ----------
    scores : array_like of float, shape (tasks, m, seeds)
        More is better; NaN where a score is missing. The seeds of all tasks and models are the same.
    weights : array_like of float, shape (tasks,), optional
        Weights of the tasks, above zero; by default all the same.
    draws, seed : int
        Number of draws, and the seed of their random numbers.
    moves : sequence of Moves or None, length tasks, optional
        How test points move the scores of the m models on each task, None where that is not known.

    Returns
    -------
    Points

    Raises
    ------
    DataError
        If the shapes do not fit, a score is infinite, a weight is not above zero, or a model has no score.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 3 or not scores.size:
        raise DataError(f"scores must have the shape (tasks, models, seeds), not {scores.shape}")
    if np.isinf(scores).any():
        raise DataError("scores must be finite, or NaN where they are missing")
    tasks, models, _ = scores.shape
    weight = np.ones(tasks) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (tasks,) or not (weight > 0).all():
        raise DataError(f"weights must be {tasks} numbers above zero")
    present = ~np.isnan(scores)
    count = present.sum(axis=-1)
    if not (count > 0).any(axis=0).all():
        raise DataError("a model without any score has no points; leave it out")

    means = mean_over_seeds(scores)
    shares = beaten_shares(means)
    fit = _Fit(~np.isnan(shares), weight)
    points, strength = fit(shares)
    residuals = np.where(fit.present, shares - points - strength[:, None], 0.0)

    rng = np.random.default_rng(seed)
    by_seed = rng.standard_normal((draws, scores.shape[-1]))
    by_task = rng.standard_normal((draws, tasks))
    spread_seeds = _studentize(rng, draws, scores.shape[-1])
    spread_tasks = _studentize(rng, draws, tasks)

    # Kish's effective number of a model's tasks; without weights, the number.
    of_model = fit.present * weight[:, None]
    effective = of_model.sum(axis=0) ** 2 / (of_model**2).sum(axis=0)
    many = effective >= 2
    residuals *= np.where(many, np.sqrt(effective / np.where(many, effective - 1, 1)), 0.0)
    freedom_tasks = np.floor(effective + 1e-9).astype(np.int64) - 1

    centred = np.where(present, scores - np.where(count > 0, means, 0.0)[..., None], 0.0)
    centred /= np.sqrt(np.maximum(count * (count - 1), 1))[..., None]

    by_points = _moved(moves or [], draws, seed)
    seed_draws, task_draws = np.empty((draws, models)), np.empty((draws, models))
    step = max(1, _BLOCK // (tasks * models))
    for start in range(0, draws, step):
        block = slice(start, start + step)
        # A plain sum over seeds: a matrix product could round equal models differently and break their tie.
        moved = np.zeros((len(by_seed[block]), tasks, models))
        for index in range(scores.shape[-1]):
            moved += by_seed[block, index, None, None] * centred[..., index]
        moved *= spread_seeds[block][:, np.maximum(count - 1, 0)]
        moved += means
        for task, by_point in by_points.items():
            moved[:, task] += by_point[block]
        seed_draws[block], _ = fit(beaten_shares(moved))
        wild = by_task[block][:, :, None] * residuals * spread_tasks[block][:, None, np.maximum(freedom_tasks, 0)]
        task_draws[block], _ = fit(wild)
    return Points(
        points=np.round(points, _DIGITS),
        seed_draws=np.round(seed_draws, _DIGITS),
        draws=np.round(seed_draws + task_draws - 0.5, _DIGITS),
        shares=shares,
        seeds=np.where(count > 0, count, np.iinfo(np.int64).max).min(axis=0),
    )


def _moved(moves: Sequence[Moves | None], draws: int, seed: int) -> dict[int, NDArray[np.float32]]:
    """Return by how much the test points of each draw move scores, of shape (draws, m), by task."""
    known = {task: each for task, each in enumerate(moves) if each is not None}
    if not known:
        return {}
    # Random numbers of their own, so that those of seeds and tasks are the same with and without.
    rng = np.random.default_rng([seed, 1])
    points = np.unique(np.concatenate([each.ids for each in known.values()]))
    # Equal models once: a matrix product could round their columns differently and break their tie.
    distinct = {
        task: np.unique(each.effects.astype(np.float32), axis=0, return_inverse=True) for task, each in known.items()
    }
    found = {task: np.zeros((draws, len(rows)), dtype=np.float32) for task, (rows, _) in distinct.items()}
    for start in range(0, len(points), _POINTS):
        some = points[start : start + _POINTS]
        by_point = rng.standard_normal((draws, len(some)), dtype=np.float32)
        for task, each in known.items():
            which = np.flatnonzero(np.isin(each.ids, some))
            columns = np.searchsorted(some, each.ids[which])
            found[task] += by_point[:, columns] @ distinct[task][0][:, which].T
    for task, each in known.items():
        found[task] = found[task][:, distinct[task][1].ravel()]
        if each.own.any():
            found[task] += rng.standard_normal((draws, len(each.own)), dtype=np.float32) * each.own.astype(np.float32)
    return found


class _Fit:
    """Least squares of shares as a model's points plus a task's constant; the mean of the points is one half."""

    def __init__(self, present: NDArray[np.bool_], weight: FloatArray) -> None:
        self.present = present
        self._weight = weight
        self._cells = present.astype(np.float64)
        self._total = np.maximum(self._cells.T @ weight, np.finfo(float).tiny)
        # Without the points the normal equations are of the size of the tasks; a shift of all is free, hence pinv.
        lost = (self._cells / self._total) @ (self._cells.T * weight)
        self._solve = np.linalg.pinv(np.diag(self._cells.sum(axis=1)) - lost, rcond=1e-10)

    def __call__(self, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return points (..., m) and constants (..., tasks) of shares (..., tasks, m)."""
        known = np.where(self.present, shares, 0.0)
        sums = np.einsum("...ta,t->...a", known, self._weight)
        constants = (known.sum(axis=-1) - (sums / self._total) @ self._cells.T) @ self._solve.T
        points = (sums - (constants * self._weight) @ self._cells) / self._total
        shift = points.mean(axis=-1, keepdims=True) - 0.5
        return points - shift, constants + shift


def _studentize(rng: np.random.Generator, draws: int, most: int) -> FloatArray:
    """Return, by draw and degrees of freedom, what makes a normal variable one of Student's t; 1 for none."""
    squares = np.cumsum(rng.standard_normal((draws, max(most - 1, 1))) ** 2, axis=1)
    freedom = np.arange(1, squares.shape[1] + 1)
    return np.concatenate([np.ones((draws, 1)), np.sqrt(freedom / squares)], axis=1)
