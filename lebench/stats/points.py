"""How far scores would move with other test points. This module knows numbers only.

Two seeds that share test points are wrong at the same ones, so that more seeds do not average this out. Let e_s be the
effects of all points on the score of seed s, 0 at those that it does not test. The deviation between seeds shows what
each of them has for itself; what it does not show is their covariance, of which e_s . e_t, the sum over points, is an
estimate without bias for any two seeds s and t:

    variance of a mean over S seeds = expectation of (s2 / S) + covariance .

That holds for any number of points in common: where each seed draws its own the covariance is 0, and where all use the
same it is that of a fixed test set. What is due to one fit alone is another for s and for t and does not count. It is
the variance between clusters of points less what clusters of seeds have of it already (two-way clustering: Cameron,
Gelbach & Miller 2011).

Where a model has values at points from one seed only, their variance times the *overlap*, the share of its points that
a seed has in common with another, stands for the covariance. That is too large by what is due to that fit.

Models are compared at the same points, so that what is hard for all of them cancels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Ids = NDArray[np.uint32]

#: The share of the models that must have values at points; of the others something has to be assumed.
KNOWN_SHARE = 0.5


@dataclass(frozen=True)
class PointEffects:
    """By how much each of P test points moves the scores of m models on one value, in each of R seeds.

    Attributes
    ----------
    ids : ndarray of uint32, shape (P,)
        The points, ascending.
    seeds : tuple of int, length R
        Which.
    effects : ndarray of float, shape (m, R, P)
        Of each point, 0 where a seed does not test it.
    seen : ndarray of bool, shape (m, R)
        Of which seeds the values at points are known.
    overlap : float
        Share of its test points that a seed has in common with another, from 0 to 1.
    own : ndarray of float, shape (m,)
        Standard deviation of what a model without values at points has for itself; 0 for the others.
    """

    ids: Ids
    seeds: tuple[int, ...]
    effects: NDArray[Any]
    seen: BoolArray
    overlap: float
    own: FloatArray

    @property
    def known(self) -> BoolArray:
        """Whose values at points are known (m,)."""
        return np.asarray(self.own == 0)

    def of(self, rows: Sequence[int]) -> PointEffects:
        """Return the effects on some of the models."""
        rows = list(rows)
        return PointEffects(self.ids, self.seeds, self.effects[rows], self.seen[rows], self.overlap, self.own[rows])

    @cached_property
    def variances(self) -> FloatArray:
        """Variances (m,) of the scores."""
        return _covariances(self.effects, self.seen, self.overlap) + self.own**2

    @cached_property
    def pair_variances(self) -> FloatArray:
        """Variances of the differences of scores (m, m), 0 on the diagonal."""
        squares = self.own**2
        pairs = _pair_covariances(self.effects, self.seen, self.overlap) + squares[:, None] + squares
        np.fill_diagonal(pairs, 0.0)
        return pairs

    @property
    def deviations(self) -> FloatArray:
        """Standard deviations (m,) of the scores."""
        return np.sqrt(self.variances)

    @property
    def pair_deviations(self) -> FloatArray:
        """Standard deviations (m, m) of the differences of scores, 0 on the diagonal."""
        return np.sqrt(self.pair_variances)

    def half_widths(self, deviations: FloatArray, level: float) -> FloatArray:
        """Return the half widths of intervals from standard deviations, of any shape."""
        from scipy.special import stdtrit

        return np.asarray(stdtrit(max(len(self.ids) - 1, 1), 0.5 + level / 2) * deviations)


def point_effects(
    of_seeds: Mapping[int, tuple[Ids, Sequence[str], NDArray[Any]]],
    overlap: float,
    models: Sequence[str],
    field: Iterable[str],
) -> PointEffects | None:
    """Return the effects of points on models, of which some have no values at points.

    Those are assumed to move as the mean of the others does, and by a part of their own as large as that of the others.

    Parameters
    ----------
    of_seeds : mapping
        By seed: points (P,), ascending, models (k,) whose effects are known, and these (k, P); see :func:`effects_of`.
    overlap : float
        Share of its test points that a seed has in common with another, from 0 to 1.
    models : sequence of str, length m
        Whose effects are wanted.
    field : iterable of str
        Who "the others" are: not controls.

    Returns
    -------
    PointEffects or None
        None if fewer than half of the field are known.
    """
    row = {model: i for i, model in enumerate(models)}
    seeds = tuple(sorted(of_seeds))
    if not seeds:
        return None
    ids = np.unique(np.concatenate([of_seeds[seed][0] for seed in seeds]))
    effects = np.zeros((len(models), len(seeds), len(ids)), dtype=np.float32)
    seen = np.zeros(effects.shape[:2], dtype=bool)
    for r, seed in enumerate(seeds):
        points, known, moved = of_seeds[seed]
        rows = [row[model] for model in known]
        effects[np.array(rows)[:, None], r, np.searchsorted(ids, points)] = moved
        seen[rows, r] = True
    unknown, own = ~seen.any(axis=1), np.zeros(len(models))
    others = np.isin(models, list(field))
    has = others & ~unknown
    if not has.any() or has.sum() < KNOWN_SHARE * others.sum():
        return None
    if unknown.any():
        pairs = _pair_covariances(effects[has], seen[has], overlap)
        counts = seen[has].sum(axis=0)
        effects[unknown] = effects[has].sum(axis=0) / np.maximum(counts, 1)[:, None]
        seen[unknown] = counts > 0
        # The difference of two models has the own parts of both.
        own[unknown] = np.sqrt(np.median(pairs[np.triu_indices(len(pairs), 1)]) / 2) if len(pairs) > 1 else 0.0
    return PointEffects(ids, seeds, effects, seen, overlap, own)


def combined(
    points: Sequence[PointEffects | None], weights: FloatArray, models: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Return by how much test points move weighted sums of scores of several tasks on the same data.

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
    known = [(each.of(models.tolist()), w) for each, w in zip(points, weights, strict=True) if each is not None]
    if not known:
        return np.zeros((len(models), len(models))), np.zeros(len(models))
    seeds = sorted(set.intersection(*(set(each.seeds) for each, _ in known)))
    ids = np.unique(np.concatenate([each.ids for each, _ in known]))
    total, own = np.zeros((len(models), len(seeds), len(ids))), np.zeros(len(models))
    seen = np.ones((len(models), len(seeds)), dtype=bool)
    for each, weight in known:
        columns = [each.seeds.index(seed) for seed in seeds]
        total[:, :, np.searchsorted(ids, each.ids)] += weight[:, None, None] * each.effects[:, columns]
        seen &= each.seen[:, columns]
        own += (weight * each.own) ** 2
    if not seen.any(axis=1).all() and len(known) > 1:
        # No seed has values of all tasks: then they move apart.
        apart = [combined([each], weight[None], np.arange(len(models))) for each, weight in known]
        return np.sum([pairs for pairs, _ in apart], axis=0), np.sum([single for _, single in apart], axis=0)
    # A seed of which one task lacks values says too little of the sum.
    total *= seen[:, :, None]
    found = PointEffects(ids, tuple(seeds), total, seen, max(each.overlap for each, _ in known), np.sqrt(own))
    return found.pair_variances, found.variances


def _covariances(effects: NDArray[Any], seen: BoolArray, overlap: float) -> FloatArray:
    """Return the covariance (m,) of two seeds of each score that test points make; see :func:`_mean_product`."""
    effects = effects.astype(np.float64)
    of_sums = np.square(effects.sum(axis=1)).sum(axis=1)
    return _mean_product(of_sums, np.square(effects).sum(axis=(1, 2)), seen.sum(axis=1), overlap)


def _pair_covariances(effects: NDArray[Any], seen: BoolArray, overlap: float) -> FloatArray:
    """Return the covariance (m, m) of two seeds of each difference of scores, over the seeds that both models have."""
    effects = effects.astype(np.float64)
    variance = np.zeros((len(effects), len(effects)))
    single = _covariances(effects, seen, overlap)
    patterns, pattern = np.unique(seen, axis=0, return_inverse=True)
    groups = [np.flatnonzero(pattern.ravel() == p) for p in range(len(patterns))]
    for p, q in itertools.combinations_with_replacement(range(len(patterns)), 2):
        rows, columns = groups[p], groups[q]
        common = np.flatnonzero(patterns[p] & patterns[q])
        # Without a common seed nothing is known to cancel.
        found = single[rows][:, None] + single[columns]
        if len(common):
            a, b = effects[rows][:, common], effects[columns][:, common]
            of_sums = _squared_distances(a.sum(axis=1), b.sum(axis=1))
            of_each = _squared_distances(a.reshape(len(a), -1), b.reshape(len(b), -1))
            found = _mean_product(of_sums, of_each, np.array(len(common)), overlap)
        variance[np.ix_(rows, columns)] = found
        variance[np.ix_(columns, rows)] = found.T
    np.fill_diagonal(variance, 0.0)
    return variance


def _mean_product(of_sums: FloatArray, of_each: FloatArray, seeds: NDArray[np.int64], overlap: float) -> FloatArray:
    """Return the mean of e_s . e_t over all s != t, from the square of the sum of all and the sum of their squares.

    An estimate without bias may fall below 0, a variance cannot. With one seed it is the square times the overlap.
    """
    products = np.maximum(of_sums - of_each, 0) / np.maximum(seeds * (seeds - 1), 1)
    # What differs by rounding alone is equal.
    products = np.where(products < 1e-12 * of_each, 0.0, products)
    return np.where(seeds > 1, products, overlap * of_each)


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    sizes = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    distances = sizes - 2 * a @ b.T
    return np.where(distances < 1e-12 * sizes, 0.0, distances)


def effects_of(parts: Sequence[tuple[Ids, NDArray[Any]]]) -> tuple[Ids, NDArray[np.float32]]:
    """Return the test points of a value in one seed and by how much each moves it, for k models at once.

    Parameters
    ----------
    parts : sequence of (ndarray of uint32, shape (n,), ndarray of shape (k, n))
        Points and values at them; the value is the mean over parts of the means. Parts may share points.

    Returns
    -------
    ids : ndarray of uint32, shape (P,)
        Each point once, ascending.
    effects : ndarray of float32, shape (k, P)
        The sum of their squares is the variance of the value with other points, for this fit.

    Examples
    --------
    >>> ids, effects = effects_of([(np.array([7, 3], dtype=np.uint32), np.array([[1.0, 0.0]]))])
    >>> bool(np.isclose(np.square(effects).sum(), np.var([1.0, 0.0], ddof=1) / 2))
    True
    """
    ids = np.unique(np.concatenate([points for points, _ in parts]))
    effects = np.zeros((len(parts[0][1]), len(ids)), dtype=np.float32)
    for points, values in parts:
        n = values.shape[1]
        scale = 1 / (np.sqrt(n * (n - 1)) * len(parts))
        moved = np.subtract(values, values.mean(axis=1, keepdims=True, dtype=np.float64), dtype=np.float32)
        moved *= np.float32(scale)
        order = np.argsort(points, kind="stable")
        first = np.flatnonzero(np.diff(points[order].astype(np.int64), prepend=-1))
        if len(first) < n:
            # Points with the same number move together.
            moved = np.add.reduceat(moved[:, order], first, axis=1)
            points = points[order][first]
        effects[:, np.searchsorted(ids, points)] += moved
    return ids, effects
