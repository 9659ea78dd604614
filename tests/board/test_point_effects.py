"""Test points beside seeds: variances against brute force, coverage by simulation, and that it matters."""

import math

import numpy as np
import pytest
from scipy import stats

from lebench.board import make_resolution, make_standings
from lebench.board.bootstrap import _moved, draw_points
from lebench.board.comparisons import pair_p_values, ranks_of, win_probabilities
from lebench.board.point_effects import Effects, Moves, effects_of
from lebench.board.scores import count_wins, scores_of
from lebench.stats import mean_intervals

IDS = np.arange(40, dtype=np.uint32)


def moves_of(values, overlap=1.0, ids=None):
    """Moves of models (m, n) whose values at points are known."""
    ids = np.arange(values.shape[1], dtype=np.uint32) if ids is None else ids
    ids, found = effects_of([(ids, values)], overlap)
    effects = Effects(ids, tuple(f"{a:03}" for a in range(len(values))), found)
    return effects, effects.among(effects.models)


def test_variances_are_those_of_means_and_of_paired_differences():
    values = np.random.default_rng(0).integers(0, 2, (5, 40)).astype(float)
    _, moves = moves_of(values)
    np.testing.assert_allclose(moves.deviations, stats.sem(values, axis=1), rtol=1e-6)
    for a in range(5):
        expected = stats.sem(values[a] - values, axis=1)
        np.testing.assert_allclose(moves.pair_deviations[a], expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(moves.deviations_from(a), expected, rtol=1e-6, atol=1e-12)


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


def test_draws_have_these_variances_and_share_the_points_of_tasks():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 2, (3, 40)).astype(float)
    _, same = moves_of(values)
    _, other = moves_of(values, ids=IDS + 1000)
    drawn = _moved([same, same, other], 20_000, 5)
    covariance = np.cov(drawn[0], rowvar=False)
    np.testing.assert_allclose(covariance, same.effects @ same.effects.T, atol=4 * same.deviations.max() ** 2 / 141)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert abs(np.corrcoef(drawn[0][:, 0], drawn[2][:, 0])[0, 1]) < 0.05


def test_blocks_of_points_make_no_difference(monkeypatch):
    _, moves = moves_of(np.random.default_rng(3).normal(size=(3, 40)))
    scores = np.random.default_rng(4).normal(size=(1, 3, 5))
    whole = draw_points(scores, draws=30, moves=[moves])
    monkeypatch.setattr("lebench.board.bootstrap._BLOCK", 60)
    np.testing.assert_array_equal(whole.draws, draw_points(scores, draws=30, moves=[moves]).draws)


def test_models_alike_at_all_points_are_alike_in_every_draw():
    rng = np.random.default_rng(5)
    scores, values = rng.normal(size=(1, 60, 5)), rng.integers(0, 2, (60, 333)).astype(float)
    scores[:, 17], values[17] = scores[:, 31], values[31]
    _, moves = moves_of(values)
    found = draw_points(scores, draws=100, moves=[moves])
    np.testing.assert_array_equal(found.seed_draws[:, 17], found.seed_draws[:, 31])


def test_without_values_a_model_moves_as_the_others_do_and_by_itself():
    rng = np.random.default_rng(6)
    shared = rng.normal(size=400)
    values = shared + 0.5 * rng.normal(size=(9, 400))
    effects, known = moves_of(values)
    moves = effects.among([*effects.models, "unknown"])
    # Its difference from another is about as uncertain as theirs, and far less than if it had nothing in common.
    pair = moves.pair_deviations[0, 9]
    assert pair == pytest.approx(np.median(known.pair_deviations[0, 1:]), rel=0.1)
    assert pair < 0.6 * math.hypot(moves.deviations[0], moves.deviations[9])
    assert moves.own[:9].tolist() == [0.0] * 9
    assert effects.among(["000", "unknown", "nobody"]) is None


def test_scores_and_verdicts_have_both_in_their_intervals():
    values = {"a": {s: 0.9 + 0.001 * s for s in range(5)}, "b": {s: 0.89 + 0.001 * s for s in range(5)}}
    right = {"a": np.arange(200) < 181, "b": (np.arange(200) < 177) | (np.arange(200) > 198)}
    ids = np.arange(200, dtype=np.uint32)
    effects = Effects(ids, ("a", "b"), effects_of([(ids, np.stack([right["a"], right["b"]]))], 1.0)[1])
    alone = scores_of("t", "accuracy", values, "higher", (), 0.95)
    both = scores_of("t", "accuracy", values, "higher", (), 0.95, effects)
    half = stats.t.ppf(0.975, 199) * stats.sem(right["a"])
    assert both[0].upper - both[0].mean == pytest.approx(math.hypot(alone[0].upper - alone[0].mean, half), rel=1e-6)
    assert (alone[0].points, both[0].points) == (0, 200)
    # Seeds agree to the last digit that a is better; at five points it is, at one b is.
    assert not alone[1].tied
    assert both[1].tied
    assert count_wins(values, "higher", (), 0.95)["a"] == (1, 0)
    assert count_wins(values, "higher", (), 0.95, effects)["a"] == (0, 0)
    seeds, points = make_resolution("t", "accuracy", values), make_resolution("t", "accuracy", values, effects=effects)
    deviation = stats.sem(right["a"].astype(float) - right["b"])
    assert points.point_deviation == pytest.approx(deviation, rel=1e-6)
    assert points.difference == pytest.approx(math.hypot(seeds.difference, (1.959964 + 0.841621) * deviation), rel=1e-6)


def simulate(rounds, models=2, seeds=5, points=300, overlap=1.0, *, persistent, churn, seed_spread, seed=0):
    """Return true scores (rounds, m), scores (rounds, m, seeds), and values at the test points of the first seed.

    What a model contributes at a point is its quality, what is hard there for all, what is hard for it (`persistent`),
    and what is due to one fit (`churn`). Seeds move models by themselves. Test points of a seed are drawn from a pool,
    so that two seeds share the part `overlap` of them, and the pool is drawn from all points: their mean is the truth.
    """
    rng = np.random.default_rng(seed)
    truth = np.zeros((rounds, models))
    pool = points if overlap == 1 else points * seeds if not overlap else round(points / overlap)
    fixed = rng.normal(0, 0.3, (rounds, 1, pool)) + rng.normal(0, persistent, (rounds, models, pool))
    scores = np.empty((rounds, models, seeds))
    first = np.empty((rounds, models, points))
    for s in range(seeds):
        chosen = np.arange(pool)[s * points : (s + 1) * points] if not overlap else rng.permutation(pool)[:points]
        own = fixed[:, :, chosen] + rng.normal(0, churn, (rounds, models, points))
        scores[:, :, s] = own.mean(axis=-1) + rng.normal(0, seed_spread, (rounds, models))
        if s == 0:
            first = own
    return truth, scores, first


def covered(truth, scores, first, overlap):
    """Return how often intervals of scores and of paired differences hold the truth, without and with test points."""
    held = []
    for effect in (0.0, 1.0):
        for values, points, target in (
            (scores[:, 0], first[:, 0], truth[:, 0]),
            (scores[:, 0] - scores[:, 1], first[:, 0] - first[:, 1], truth[:, 0] - truth[:, 1]),
        ):
            means, half = mean_intervals(values)
            z = stats.t.ppf(0.975, points.shape[1] - 1)
            added = effect * z * np.sqrt(overlap) * stats.sem(points, axis=1)
            held.append(np.mean(np.abs(means - target) <= np.hypot(half, added)))
    return held


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("persistent", "churn", "seed_spread"), [(0.3, 0.0, 0.002), (0.3, 0.1, 0.02), (0.1, 0.3, 0.01)]
)
def test_intervals_cover_what_other_seeds_and_points_would_give(overlap, persistent, churn, seed_spread):
    rounds = 1500
    made = simulate(rounds, overlap=overlap, persistent=persistent, churn=churn, seed_spread=seed_spread)
    error = math.sqrt(0.95 * 0.05 / rounds)
    *seeds, score, difference = covered(*made, overlap)
    assert min(score, difference) > 0.95 - 3 * error
    if not overlap:
        # Nothing is counted twice where each seed draws points of its own.
        assert seeds == [score, difference]
        assert abs(score - 0.95) < 4 * error


def test_seeds_alone_cover_too_rarely_where_all_seeds_have_the_same_points():
    made = simulate(1500, overlap=1.0, persistent=0.3, churn=0.0, seed_spread=0.002)
    score_alone, difference_alone, score, difference = covered(*made, 1.0)
    # The standard error from 300 points is 0.3 * sqrt(2 / 300) = 0.0245 in the mean, that from five seeds 0.0009.
    assert score_alone < 0.2
    assert difference_alone < 0.2
    assert 0.93 < score < 0.97
    assert 0.93 < difference < 0.97


def ranks_held(rounds, *, tasks, models, persistent, churn, seed_spread, gap, with_points):
    """Return how often rank intervals on exactly these tasks hold the true rank, all seeds at the same points."""
    held = []
    truth = gap * np.arange(models)
    for number in range(rounds):
        scores, moves = [], []
        _, drawn, first = simulate(
            tasks, models, persistent=persistent, churn=churn, seed_spread=seed_spread, seed=number
        )
        for t in range(tasks):
            scores.append(drawn[t] + truth[:, None])
            moves.append(moves_of(first[t], ids=np.arange(300 * t, 300 * (t + 1), dtype=np.uint32))[1])
        found = draw_points(np.array(scores), draws=400, moves=moves if with_points else None)
        wins = win_probabilities(found.seed_draws)
        p = pair_p_values(found.points, found.seed_draws, np.full((models, models), 4), wins)
        ranks = ranks_of(found.points, p, 0.95)
        best = 1 + (truth[:, None] > truth).sum(axis=0)
        worst = models - (truth[:, None] < truth).sum(axis=0)
        held.append(((ranks.lower <= worst) & (best <= ranks.upper)).mean())
    return np.mean(held)


HARD = {"tasks": 3, "models": 4, "persistent": 0.3, "churn": 0.05, "seed_spread": 0.002, "gap": 1e-4}


def test_rank_intervals_cover_with_test_points_and_not_without():
    """Models of nearly equal quality: whoever is told apart is told so by the points of the test."""
    rounds = 60
    assert ranks_held(rounds, **HARD, with_points=False) < 0.7
    assert ranks_held(rounds, **HARD, with_points=True) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"tasks": 8}, {"models": 8}, {"churn": 0.3}, {"seed_spread": 0.05}])
def test_rank_intervals_cover_with_test_points_in_all_cases(changes):
    assert ranks_held(150, **HARD | changes, with_points=True) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 150)


def test_planted_ranks_are_found_with_test_points():
    """Differences far beyond what points and seeds do are told apart as before."""
    rng = np.random.default_rng(8)
    values, effects = {}, {}
    for t in range(9):
        at_points = rng.random(500) + np.arange(4)[:, None] * 0.3
        values[f"task {t}"] = {
            f"{a:03}": dict(enumerate(rng.normal(row.mean(), 0.01, 5))) for a, row in enumerate(at_points)
        }
        effects[f"task {t}"] = moves_of(at_points)[0]
    signs, tracks = dict.fromkeys(values, 1), dict.fromkeys(values, "one")
    made = make_standings("one", values, signs, tracks, ["000", "001", "002", "003"], draws=400, effects=effects)
    found = [(place.entry, place.lower, place.upper, place.seed_lower, place.seed_upper) for place in made.places]
    assert found == [(f"{3 - k:03}", *[k + 1] * 4) for k in range(4)]


def test_points_have_a_sign_where_less_is_better():
    moves = Moves(IDS[:2], np.array([[1.0, -2.0]]), np.array([0.5])).times(-1)
    np.testing.assert_array_equal(moves.effects, [[-1.0, 2.0]])
    assert moves.own.tolist() == [0.5]
