"""Test points beside seeds: variances against brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from lebench.stats import combined, completed, effects_of

IDS = np.arange(40, dtype=np.uint32)


def points_of(values, overlap=1.0, ids=None):
    ids = np.arange(values.shape[1], dtype=np.uint32) if ids is None else ids
    ids, found = effects_of([(ids, values)], overlap)
    return completed(ids, found, range(len(values)), [True] * len(values))


def test_variances_are_those_of_means_and_of_paired_differences():
    values = np.random.default_rng(0).integers(0, 2, (5, 40)).astype(float)
    points = points_of(values)
    np.testing.assert_allclose(points.deviations, stats.sem(values, axis=1), rtol=1e-6)
    for a in range(5):
        expected = stats.sem(values[a] - values, axis=1)
        np.testing.assert_allclose(points.pair_deviations[a], expected, rtol=1e-6, atol=1e-12)
    half = points.half_widths(points.deviations, 0.95)
    np.testing.assert_allclose(half, stats.t.ppf(0.975, 39) * stats.sem(values, axis=1), rtol=1e-6)


def test_variants_that_share_points_are_not_independent():
    """The mean over two variants at the same points, in another order, has the variance of the mean of both."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 40))
    order = rng.permutation(40)
    ids, effects = effects_of([(IDS, first[None]), (IDS[order], second[None, order])], 1.0)
    np.testing.assert_array_equal(ids, IDS)
    assert np.square(effects).sum() == pytest.approx(stats.sem((first + second) / 2) ** 2)
    ids, effects = effects_of([(IDS, first[None]), (IDS + 40, second[None])], 0.25)
    assert len(ids) == 80
    expected = 0.25 * (stats.sem(first) ** 2 + stats.sem(second) ** 2) / 4
    assert np.square(effects).sum() == pytest.approx(expected)


def test_tasks_that_share_points_are_added_before_they_are_squared():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 3, 40))
    weights = np.array([[1.0, 1.0, 1.0], [0.5, 2.0, 1.0]])
    models = np.arange(3)
    pairs, single = combined([points_of(first), points_of(second)], weights, models)
    total = weights[0][:, None] * first + weights[1][:, None] * second
    np.testing.assert_allclose(single, stats.sem(total, axis=1) ** 2, rtol=1e-5)
    assert pairs[0, 2] == pytest.approx(stats.sem(total[0] - total[2]) ** 2, rel=1e-5)
    pairs, single = combined([points_of(first), points_of(second, ids=IDS + 40)], weights, models)
    expected = (weights**2 * np.stack([stats.sem(first, axis=1), stats.sem(second, axis=1)]) ** 2).sum(axis=0)
    np.testing.assert_allclose(single, expected, rtol=1e-5)
    assert not np.any(combined([None, None], weights, models)[0])


def test_without_values_a_model_moves_as_the_others_do_and_by_itself():
    rng = np.random.default_rng(6)
    values = rng.normal(size=400) + 0.5 * rng.normal(size=(9, 400))
    known = points_of(values)
    ids, effects = effects_of([(np.arange(400, dtype=np.uint32), values)], 1.0)
    points = completed(ids, effects, [*range(9), None], [True] * 10)
    # Its difference from another is about as uncertain as theirs, and far less than if it had nothing in common.
    pair = points.pair_deviations[0, 9]
    assert pair == pytest.approx(np.median(known.pair_deviations[0, 1:]), rel=0.1)
    assert pair < 0.6 * math.hypot(points.deviations[0], points.deviations[9])
    assert points.known.tolist() == [True] * 9 + [False]
    assert completed(ids, effects, [0, None, None], [True] * 3) is None


def simulate(rounds, overlap, *, persistent, churn, seed_spread, points=300, seeds=5):
    """Return scores (rounds, 2, seeds), and values at the test points of the first seed; all true means are zero.

    What a model contributes at a point is what is hard there for all, what is hard for it (`persistent`), and what is
    due to one fit (`churn`). Test points of a seed are drawn from a pool, so that two seeds share a part of them.
    """
    rng = np.random.default_rng(0)
    pool = points if overlap == 1 else points * seeds if not overlap else round(points / overlap)
    fixed = rng.normal(0, 0.3, (rounds, 1, pool)) + rng.normal(0, persistent, (rounds, 2, pool))
    scores, first = np.empty((rounds, 2, seeds)), np.empty((rounds, 2, points))
    for s in range(seeds):
        chosen = np.arange(pool)[s * points : (s + 1) * points] if not overlap else rng.permutation(pool)[:points]
        own = fixed[:, :, chosen] + rng.normal(0, churn, (rounds, 2, points))
        scores[:, :, s] = own.mean(axis=-1) + rng.normal(0, seed_spread, (rounds, 2))
        first = own if s == 0 else first
    return scores, first


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("persistent", "churn", "seed_spread"), [(0.3, 0.0, 0.002), (0.3, 0.1, 0.02), (0.1, 0.3, 0.01)]
)
def test_intervals_cover_what_other_seeds_and_points_would_give(overlap, persistent, churn, seed_spread):
    from lebench.stats import mean_intervals

    rounds = 1500
    scores, first = simulate(rounds, overlap, persistent=persistent, churn=churn, seed_spread=seed_spread)
    means, half = mean_intervals(scores[:, 0] - scores[:, 1])
    ids, effects = effects_of([(np.arange(300, dtype=np.uint32), first[:, 0] - first[:, 1])], overlap)
    points = completed(ids, effects, range(rounds), [True] * rounds)
    both = np.hypot(half, points.half_widths(points.deviations, 0.95))
    error = math.sqrt(0.95 * 0.05 / rounds)
    assert np.mean(np.abs(means) <= both) > 0.95 - 3 * error
    if overlap == 1 and not churn:
        assert np.mean(np.abs(means) <= half) < 0.2
