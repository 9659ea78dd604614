"""How far scores would move with other test points. This module knows numbers only.

A score that is a mean over n test points has, as a mean over points drawn from some population, the variance v / n,
whatever the number of seeds, if all seeds use the same points. If each seed draws points of its own, that variance is
among what varies between seeds. In between, two seeds share a part f of their test points, the *overlap*. For S seeds,
and effects of points with the variance v, the mean over seeds has the variance

    v / n * (1 / S + f * (S - 1) / S)  =  v / n * (1 - f) / S  +  v / n * f ,

and the first term is what the deviation between seeds sees in the mean. So the second is added, and nothing is counted
twice. Values at points come from one seed and hold what is due to that fit alone, too, which other seeds would average:
what is added is too large by that, never too small.

Models are compared at the same points, so that what is hard for all of them cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Ids = NDArray[np.uint32]

#: The share of the models that must have values at points; of the others something has to be assumed.
KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class PointEffects:
    """By how much each of P test points moves the scores of m models on one value.

    Other points move the scores by ``g @ effects.T + h * own``, g (P,) and h (m,) independent standard normal.

    Attributes
    ----------
    ids : ndarray of uint32, shape (P,)
        The points, ascending.
    effects : ndarray of float, shape (m, P)
        Of each point.
    own : ndarray of float, shape (m,)
        Standard deviation of what a model without values at points has for itself; 0 for the others.
    """

    ids: Ids
    effects: FloatArray
    own: FloatArray

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whose values at points are known (m,)."""
        return np.asarray(self.own == 0)

    def of(self, rows: Sequence[int]) -> PointEffects:
        """Return the effects on some of the models."""
        return PointEffects(self.ids, self.effects[list(rows)], self.own[list(rows)])

    @property
    def deviations(self) -> FloatArray:
        """Standard deviations (m,) of the scores."""
        return np.asarray(np.sqrt(np.square(self.effects).sum(axis=1) + self.own**2))

    @property
    def pair_deviations(self) -> FloatArray:
        """Standard deviations (m, m) of the differences of scores, 0 on the diagonal."""
        return np.sqrt(_pair_variances(self.effects, self.own))

    def half_widths(self, deviations: FloatArray, level: float) -> FloatArray:
        """Return the half widths of intervals from standard deviations, of any shape."""
        from scipy.special import stdtrit

        return np.asarray(stdtrit(max(len(self.ids) - 1, 1), 0.5 + level / 2) * deviations)


def completed(
    ids: Ids, effects: NDArray[Any], rows: Sequence[int | None], field: Sequence[bool]
) -> PointEffects | None:
    """Return the effects of points on m models, of which some have no values at points.

    Those are assumed to move as the mean of the others does, and by a part of their own that is as large as the median
    of theirs.

    Parameters
    ----------
    ids : ndarray of uint32, shape (P,)
        The points.
    effects : ndarray of float, shape (k, P)
        Where they are known, see :func:`effects_of`.
    rows : sequence of int or None, length m
        Which row of `effects` is that of a model; None where it is not known.
    field : sequence of bool, length m
        Who "the others" are: not controls.

    Returns
    -------
    PointEffects or None
        None if fewer than half of the field are known.
    """
    known = [row for row, inside in zip(rows, field, strict=True) if inside and row is not None]
    if not known or len(known) < KNOWN_SHARE * sum(field):
        return None
    complete = np.array([effects[known[0] if row is None else row] for row in rows], dtype=np.float64)
    own, unknown = np.zeros(len(rows)), np.array([row is None for row in rows])
    if unknown.any():
        others = effects[known].astype(np.float64)
        mean = others.mean(axis=0)
        # Of a mean that they are part of, deviations are too small by (k - 1) / k.
        variance = np.median(np.square(others - mean).sum(axis=1)) * len(known) / max(len(known) - 1, 1)
        complete[unknown], own[unknown] = mean, np.sqrt(variance)
    return PointEffects(ids, complete, own)


def combined(
    points: Sequence[PointEffects | None], weights: FloatArray, models: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return by how much test points move weighted sums of scores of several tasks.

    Parameters
    ----------
    points : sequence of PointEffects or None, length T
        Of each task. Points that tasks have in common move them together.
    weights : ndarray of float, shape (T, m)
        Of each task and model.
    models : ndarray of int, shape (m,)
        Which models.

    Returns
    -------
    pairs : ndarray of float, shape (m, m)
        Variances of differences.
    single : ndarray of float, shape (m,)
        Variances of the sums.
    """
    known = [(each, weight) for each, weight in zip(points, weights, strict=True) if each is not None]
    own = np.zeros(len(models))
    if not known:
        return np.zeros((len(models), len(models))), own
    ids = np.unique(np.concatenate([each.ids for each, _ in known]))
    total = np.zeros((len(models), len(ids)))
    for each, weight in known:
        total[:, np.searchsorted(ids, each.ids)] += weight[:, None] * each.effects[models]
        own += (weight * each.own[models]) ** 2
    return _pair_variances(total, np.sqrt(own)), np.square(total).sum(axis=1) + own


def _pair_variances(effects: FloatArray, own: FloatArray) -> FloatArray:
    products = effects @ effects.T
    squares = products.diagonal()
    sizes = squares[:, None] + squares
    # What differs by rounding alone is equal.
    variance = np.where(sizes - 2 * products < 1e-12 * sizes, 0.0, sizes - 2 * products)
    variance += own[:, None] ** 2 + own**2
    np.fill_diagonal(variance, 0.0)
    return variance


def effects_of(parts: Sequence[tuple[Ids, NDArray[Any]]], overlap: float) -> tuple[Ids, NDArray[np.float32]]:
    """Return the points of a value and by how much each moves it, for k models at once.

    Parameters
    ----------
    parts : sequence of (ndarray of uint32, shape (n,), ndarray of shape (k, n))
        Points and values at them; the value is the mean over parts of the means. Parts may share points.
    overlap : float
        Share of its test points that a seed has in common with another, from 0 to 1.

    Returns
    -------
    ids : ndarray of uint32, shape (P,)
        Each point once, ascending.
    effects : ndarray of float32, shape (k, P)
        The sum of their squares is the variance of the value with other points, as far as seeds do not show it.

    Examples
    --------
    >>> ids, effects = effects_of([(np.array([7, 3], dtype=np.uint32), np.array([[1.0, 0.0]]))], overlap=1.0)
    >>> bool(np.isclose(np.square(effects).sum(), np.var([1.0, 0.0], ddof=1) / 2))
    True
    """
    ids = np.unique(np.concatenate([points for points, _ in parts]))
    effects = np.zeros((len(parts[0][1]), len(ids)), dtype=np.float32)
    for points, values in parts:
        n = values.shape[1]
        moved = (values - values.mean(axis=1, keepdims=True, dtype=np.float64)) * np.sqrt(overlap / (n * (n - 1)))
        order = np.argsort(points, kind="stable")
        first = np.flatnonzero(np.diff(points[order].astype(np.int64), prepend=-1))
        # Points with the same number, if there are any, move together.
        effects[:, np.searchsorted(ids, points[order][first])] += np.add.reduceat(moved[:, order], first, axis=1) / len(
            parts
        )
    return ids, effects
