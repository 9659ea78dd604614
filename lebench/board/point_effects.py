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
class Moves:
    """How scores of m models on one value move with P test points.

    A draw moves them by ``g @ effects.T + h * own``, g (P,) and h (m,) independent standard normal variables.

    Attributes
    ----------
    ids : ndarray of uint32, shape (P,)
        The points.
    effects : ndarray of float, shape (m, P)
        Of each point, the same for all draws.
    own : ndarray of float, shape (m,)
        Standard deviation of what a model without values at points has for itself; 0 for the others.
    """

    ids: Ids
    effects: FloatArray
    own: FloatArray

    def times(self, factor: float) -> Moves:
        """Return how scores multiplied by a factor move."""
        return Moves(self.ids, factor * self.effects, abs(factor) * self.own)

    def half_widths(self, deviations: FloatArray, level: float) -> FloatArray:
        """Return the half widths of intervals from standard deviations, of any shape."""
        from scipy.special import stdtrit

        return np.asarray(stdtrit(max(len(self.ids) - 1, 1), 0.5 + level / 2) * deviations)

    @property
    def deviations(self) -> FloatArray:
        """Standard deviations (m,) of the scores."""
        return np.asarray(np.sqrt(np.square(self.effects).sum(axis=1) + self.own**2))

    @property
    def pair_deviations(self) -> FloatArray:
        """Standard deviations (m, m) of the differences of scores, 0 on the diagonal."""
        products = self.effects @ self.effects.T
        squares = products.diagonal()
        sizes = squares[:, None] + squares
        # What differs by rounding alone is equal.
        variance = np.where(sizes - 2 * products < 1e-12 * sizes, 0.0, sizes - 2 * products)
        variance += self.own[:, None] ** 2 + self.own**2
        np.fill_diagonal(variance, 0.0)
        return np.asarray(np.sqrt(variance))

    def deviations_from(self, model: int) -> FloatArray:
        """Return the row of a model in the standard deviations of differences (m,)."""
        variance = np.square(self.effects - self.effects[model]).sum(axis=1) + self.own**2 + self.own[model] ** 2
        variance[model] = 0.0
        return np.asarray(np.sqrt(variance))


@dataclass(frozen=True)
class Effects:
    """Effects of test points on one value of those models that have values at points.

    Attributes
    ----------
    ids : ndarray of uint32, shape (P,)
        The points.
    models : tuple of str, length k
        Who.
    effects : ndarray of float32, shape (k, P)
        See :func:`effects_of`.
    """

    ids: Ids
    models: tuple[str, ...]
    effects: NDArray[np.float32]

    def among(self, models: Sequence[str], field: Sequence[str] | None = None) -> Moves | None:
        """Return how the scores of some models move.

        A model without values at points is assumed to move as the mean of the others does, and by a part of its own
        that is as large as the median of theirs.

        Parameters
        ----------
        models : sequence of str
            Who.
        field : sequence of str, optional
            Who "the others" are; by default `models`. Controls are no such field.

        Returns
        -------
        Moves or None
            None if fewer than half of the field have values at points.
        """
        field = models if field is None else field
        rows = {model: row for row, model in enumerate(self.models)}
        known = [rows[model] for model in field if model in rows]
        if not known or len(known) < KNOWN_SHARE * len(field):
            return None
        effects = np.array([self.effects[rows.get(model, known[0])] for model in models], dtype=np.float64)
        own = np.zeros(len(models))
        unknown = np.array([model not in rows for model in models])
        if unknown.any():
            others = self.effects[known].astype(np.float64)
            mean = others.mean(axis=0)
            # Of a mean that they are part of, deviations are too small by (k - 1) / k.
            variance = np.median(np.square(others - mean).sum(axis=1)) * len(known) / max(len(known) - 1, 1)
            effects[unknown], own[unknown] = mean, np.sqrt(variance)
        return Moves(self.ids, effects, own)


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
