"""Test points beside seeds: variances against brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from lebench.stats import PointEffects, combined, effects_of, point_effects

IDS = np.arange(40, dtype=np.uint32)


def points_of(*of_seeds, overlap=1.0, ids=None):
    """Effects from values (m, n) of each seed at the same points."""
    ids = np.arange(of_seeds[0].shape[1], dtype=np.uint32) if ids is None else ids
    names = [str(i) for i in range(len(of_seeds[0]))]
    made = {}
    for seed, values in enumerate(of_seeds):
        points, effects = effects_of([(ids, values)])
        made[seed] = points, names, effects
    return point_effects(made, overlap, names, names)


def test_with_one_seed_variances_are_those_of_means_and_of_paired_differences():
    values = np.random.default_rng(0).integers(0, 2, (5, 40)).astype(float)
    for overlap in (1.0, 0.25):
        points = points_of(values, overlap=overlap)
        np.testing.assert_allclose(points.deviations, stats.sem(values, axis=1) * overlap**0.5, rtol=1e-6)
        for a in range(5):
            expected = stats.sem(values[a] - values, axis=1) * overlap**0.5
            np.testing.assert_allclose(points.pair_deviations[a], expected, rtol=1e-6, atol=1e-12)
    half = points_of(values).half_widths(points_of(values).deviations, 0.95)
    np.testing.assert_allclose(half, stats.t.ppf(0.975, 39) * stats.sem(values, axis=1), rtol=1e-6)


def test_with_several_seeds_only_what_they_share_counts():
    """The covariance of two seeds is the mean of their products, whatever points each of them tests."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(3, 4, 40))
    ids = np.stack([np.sort(rng.permutation(60)[:40]).astype(np.uint32) for _ in range(3)])
    names = [str(i) for i in range(4)]
    made = {}
    for seed in range(3):
        points, effects = effects_of([(ids[seed], values[seed])])
        # The last model has no values in the last seed.
        known = 4 - (seed == 2)
        made[seed] = points, names[:known], effects[:known]
    found = point_effects(made, 0.5, names, names)
    placed = np.zeros((3, 4, 60))
    for seed in range(3):
        centred = values[seed] - values[seed].mean(axis=1, keepdims=True)
        placed[seed][:, ids[seed]] = centred / math.sqrt(40 * 39)

    def covariance(difference):
        pairs = [(s, t) for s in range(len(difference)) for t in range(s)]
        return max(np.mean([difference[s] @ difference[t] for s, t in pairs]), 0)

    for a in range(4):
        seeds = 2 if a == 3 else 3
        assert found.variances[a] == pytest.approx(covariance(placed[:seeds, a]), rel=1e-4, abs=1e-12)
        for b in range(a):
            expected = covariance(placed[:seeds, a] - placed[:seeds, b])
            assert found.pair_variances[a, b] == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_variants_that_share_points_are_not_independent():
    """The mean over two variants at the same points, in another order, has the variance of the mean of both."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 40))
    order = rng.permutation(40)
    ids, effects = effects_of([(IDS, first[None]), (IDS[order], second[None, order])])
    np.testing.assert_array_equal(ids, IDS)
    assert np.square(effects).sum() == pytest.approx(stats.sem((first + second) / 2) ** 2)
    ids, effects = effects_of([(IDS, first[None]), (IDS + 40, second[None])])
    assert len(ids) == 80
    expected = (stats.sem(first) ** 2 + stats.sem(second) ** 2) / 4
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
    expected = (weights**2 * np.stack([stats.sem(first, axis=1), stats.sem(second, axis=1)]) ** 2).sum(axis=0)
    np.testing.assert_allclose(
        combined([points_of(first), points_of(second, ids=IDS + 40)], weights, models)[1], expected, rtol=1e-5
    )
    # Values of two tasks that come from no common seed are taken as independent.
    other = points_of(second)
    other = PointEffects(other.ids, (7,), other.effects, other.seen, 1.0, other.own)
    np.testing.assert_allclose(combined([points_of(first), other], weights, models)[1], expected, rtol=1e-5)
    # Of seeds that only one of the tasks has recorded, nothing is taken.
    again = rng.normal(size=(2, 3, 40))
    expected = combined([points_of(first, again[0]), points_of(second, again[1])], weights, models)
    found = combined([points_of(first, again[0], again[0]), points_of(second, again[1], again[1])], weights, models)
    assert not np.allclose(found[1], expected[1])
    half = points_of(second, again[1], again[1])
    seen = half.seen.copy()
    seen[:, 2] = False
    half = PointEffects(half.ids, half.seeds, half.effects * seen[:, :, None], seen, half.overlap, half.own)
    found = combined([points_of(first, again[0], again[0]), half], weights, models)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert not np.any(combined([None, None], weights, models)[0])


def test_without_values_a_model_moves_as_the_others_do_and_by_itself():
    rng = np.random.default_rng(6)
    values = rng.normal(size=400) + 0.5 * rng.normal(size=(9, 400))
    known = points_of(values)
    names = [str(i) for i in range(10)]
    ids, effects = effects_of([(np.arange(400, dtype=np.uint32), values)])
    points = point_effects({0: (ids, names[:9], effects)}, 1.0, names, names)
    # Its difference from another is about as uncertain as theirs, and far less than if it had nothing in common.
    pair = points.pair_deviations[0, 9]
    assert pair == pytest.approx(np.median(known.pair_deviations[0, 1:]), rel=0.1)
    assert pair < 0.6 * math.hypot(points.deviations[0], points.deviations[9])
    assert points.known.tolist() == [True] * 9 + [False]
    assert point_effects({0: (ids, names[:1], effects[:1])}, 1.0, names[:3], names) is None
    assert point_effects({}, 1.0, names[:3], names) is None


def simulate(rounds, overlap, *, persistent, churn, seed_spread, points=300, seeds=5):
    """Return differences of two models by seed (rounds, seeds), and values (rounds, seeds, pool); true means are zero.

    What a model contributes at a point is what is hard for it in every fit (`persistent`), and what is due to one fit
    (`churn`). Test points of a seed are drawn from a pool, so that two seeds share a part of them.
    """
    rng = np.random.default_rng(0)
    pool = points if overlap == 1 else points * seeds if not overlap else round(points / overlap)
    fixed = rng.normal(0, persistent, (rounds, pool))
    scores, moved = np.empty((rounds, seeds)), np.zeros((rounds, seeds, pool))
    for s in range(seeds):
        chosen = np.arange(pool)[s * points : (s + 1) * points] if not overlap else rng.permutation(pool)[:points]
        own = fixed[:, chosen] + rng.normal(0, churn, (rounds, points))
        scores[:, s] = own.mean(axis=-1) + rng.normal(0, seed_spread, rounds)
        moved[:, s, chosen] = effects_of([(chosen.astype(np.uint32), own)])[1][:, np.argsort(np.argsort(chosen))]
    return scores, moved


@pytest.mark.parametrize("kept", [1, 5])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("persistent", "churn", "seed_spread"), [(0.3, 0.0, 0.002), (0.3, 0.1, 0.02), (0.1, 0.3, 0.01)]
)
def test_intervals_cover_what_other_seeds_and_points_would_give(kept, overlap, persistent, churn, seed_spread):
    """A mean over 5 seeds, with values at points of the first or of all of them."""
    from lebench.stats import mean_intervals

    rounds = 800
    scores, moved = simulate(rounds, overlap, persistent=persistent, churn=churn, seed_spread=seed_spread)
    means, half = mean_intervals(scores)
    moved = moved[:, :kept]
    ids = np.arange(moved.shape[2], dtype=np.uint32)
    seen = np.ones(moved.shape[:2], dtype=bool)
    of_points = np.array(
        [
            PointEffects(ids, tuple(range(kept)), one[None], has[None], overlap, np.zeros(1)).deviations[0]
            for one, has in zip(moved, seen, strict=True)
        ]
    )
    both = np.hypot(half, stats.t.ppf(0.975, 299) * of_points)
    error = math.sqrt(0.95 * 0.05 / rounds)
    assert np.mean(np.abs(means) <= both) > 0.95 - 3 * error
    if overlap == 1 and not churn:
        assert np.mean(np.abs(means) <= half) < 0.2
    if kept == 5:
        # Without bias: the variance of the mean is what both parts expect.
        expected = np.mean(scores.var(axis=1, ddof=1) / 5 + of_points**2)
        assert means.var() <= 1.1 * expected
