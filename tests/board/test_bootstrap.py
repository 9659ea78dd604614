"""Points and their draws against least squares, Student's t and brute force; coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from lebench.board.bootstrap import beaten_shares, draw_points, mean_over_seeds
from lebench.board.comparisons import pair_p_values, ranks_of, win_probabilities
from lebench.errors import DataError


def test_shares_are_those_of_counting():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (7, 6)).astype(float)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    for row, shares in zip(scores, beaten_shares(scores), strict=True):
        for i, value in enumerate(row):
            others = np.delete(row, i)[~np.isnan(np.delete(row, i))]
            if np.isnan(value) or not len(others):
                assert np.isnan(shares[i])
            else:
                assert shares[i] == pytest.approx(np.mean((value > others) + 0.5 * (value == others)))


def test_a_sum_in_another_order_is_a_tie():
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    means = mean_over_seeds(np.array([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.2, 0.2, 0.2]]]))
    assert len(set(means[0].tolist())) == 1


def test_points_are_a_least_squares_fit_with_weights():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(8, 5, 3))
    scores[rng.random((8, 5)) < 0.3] = np.nan
    weights = rng.uniform(0.5, 2, 8)
    shares = beaten_shares(scores.mean(axis=2))
    task, model = np.nonzero(~np.isnan(shares))
    design = np.zeros((len(task), 13))
    design[np.arange(len(task)), model] = 1
    design[np.arange(len(task)), 5 + task] = 1
    root = np.sqrt(weights[task])
    solution = np.linalg.lstsq(design * root[:, None], shares[task, model] * root, rcond=None)[0][:5]
    expected = solution - solution.mean() + 0.5
    np.testing.assert_allclose(draw_points(scores, weights, draws=1).points, expected, atol=1e-10)


def test_without_missing_cells_points_are_mean_shares():
    scores = np.random.default_rng(2).normal(size=(8, 5, 3))
    expected = beaten_shares(scores.mean(axis=2)).mean(axis=0)
    np.testing.assert_allclose(draw_points(scores, draws=1).points, expected, atol=1e-10)


def test_with_one_task_a_reversal_is_as_likely_as_the_paired_t_test_says():
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 10, 5)
    scores = np.stack([shared + rng.normal(0.8, 1, 5), shared + rng.normal(0, 1, 5)])[None]
    found = draw_points(scores, draws=20_000)
    p = stats.ttest_rel(scores[0, 0], scores[0, 1], alternative="greater").pvalue
    reversed_ = np.mean(found.seed_draws[:, 0] < found.seed_draws[:, 1])
    assert reversed_ == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 20_000))


def test_between_tasks_differences_of_points_are_the_paired_t_test():
    """Without spread between seeds what is left is Student's t over tasks."""
    rng = np.random.default_rng(4)
    scores = np.repeat(rng.normal(np.linspace(0, 1, 6), 1.0, (10, 6))[..., None], 2, axis=2)
    found = draw_points(scores, draws=20_000)
    assert np.ptp(found.seed_draws, axis=0).max() == 0
    freedom = np.full((6, 6), 9)
    p = pair_p_values(found.points, found.draws, freedom, win_probabilities(found.draws))
    for a, b in ((0, 5), (1, 4), (2, 3)):
        expected = stats.ttest_rel(found.shares[:, a], found.shares[:, b]).pvalue
        assert p[a, b] == pytest.approx(expected, abs=5 * math.sqrt(expected / 10_000) + 1e-4)
        difference = found.draws[:, a] - found.draws[:, b] - (found.points[a] - found.points[b])
        scaled = difference / stats.sem(found.shares[:, a] - found.shares[:, b])
        assert stats.kstest(scaled, stats.t(9).cdf).pvalue > 1e-4


def test_equal_models_are_equal_in_every_draw():
    scores = np.random.default_rng(5).normal(size=(9, 40, 5))
    scores[:, 17] = scores[:, 31]
    found = draw_points(scores, draws=200)
    for draws in (found.draws, found.seed_draws):
        np.testing.assert_array_equal(draws[:, 17], draws[:, 31])


def test_blocks_of_draws_make_no_difference(monkeypatch):
    scores = np.random.default_rng(6).normal(size=(4, 5, 3))
    whole = draw_points(scores, draws=50)
    monkeypatch.setattr("lebench.board.bootstrap._BLOCK", 60)
    monkeypatch.setattr("lebench.board.comparisons._BLOCK", 60)
    parts = draw_points(scores, draws=50)
    np.testing.assert_array_equal(whole.draws, parts.draws)
    np.testing.assert_array_equal(win_probabilities(whole.draws), win_probabilities(parts.draws))


@pytest.mark.parametrize(
    ("scores", "weights", "message"),
    [
        (np.zeros((2, 3)), None, "shape"),
        (np.full((1, 2, 2), np.inf), None, "finite"),
        (np.zeros((2, 2, 2)), [1.0, 0.0], "above zero"),
        (np.array([[[1.0], [np.nan]]]), None, "without any score"),
    ],
)
def test_bad_input_says_what_is_wrong(scores, weights, message):
    with pytest.raises(DataError, match=message):
        draw_points(scores, weights)


def simulate(rounds, models=6, tasks=14, seeds=5, *, quality, interaction, noise, missing=0.0, draws=500):
    """Return how often rank intervals hold the true rank: on exactly these tasks, and on tasks like these.

    A score is the model's quality, plus what model and task have together, plus noise of the seed. On tasks like these
    the true order is that of the qualities; on these it is that of the points without noise.
    """
    rng = np.random.default_rng(7)
    held = np.zeros(2)
    for _ in range(rounds):
        truth = rng.normal(0, quality, models)
        exact = truth + rng.normal(0, interaction, (tasks, models))
        exact[2:][rng.random((tasks - 2, models)) < missing] = np.nan
        scores = exact[..., None] + rng.normal(0, noise, (tasks, models, seeds))
        found = draw_points(scores, draws=draws)
        here = draw_points(np.repeat(exact[..., None], 2, axis=2), draws=1).points
        present = ~np.isnan(exact)
        common = present.T.astype(int) @ present
        families = (
            (found.seed_draws, np.full_like(common, seeds - 1), 0.0, here),
            (found.draws, common - 1, 2.0 ** (1 - common), truth),
        )
        for at, (drawn, freedom, least, order) in enumerate(families):
            p = np.maximum(pair_p_values(found.points, drawn, freedom, win_probabilities(drawn)), least)
            ranks = ranks_of(found.points, p, 0.95)
            best = 1 + (order[:, None] > order).sum(axis=0)
            worst = models - (order[:, None] < order).sum(axis=0)
            held[at] += ((ranks.lower <= worst) & (best <= ranks.upper)).mean()
    return held / rounds


#: Models that nobody can tell apart, with small and large noise, are the hardest: every verdict is wrong or luck.
HARD = (
    {"quality": 1e-3, "interaction": 0.5, "noise": 0.01},
    {"quality": 0.2, "interaction": 0.3, "noise": 0.3},
)


@pytest.mark.parametrize("case", HARD)
def test_rank_intervals_cover(case):
    # Ranks of a round depend on each other: the standard error is at most that of one rank a round.
    for share in simulate(60, **case):
        assert share > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 60)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [{}, {"models": 2}, {"models": 12, "tasks": 8}, {"seeds": 3}, {"missing": 0.3}])
@pytest.mark.parametrize("case", [*HARD, {"quality": 0.05, "interaction": 0.05, "noise": 0.5}])
def test_rank_intervals_cover_at_all_sizes(case, sizes):
    for share in simulate(500, **case, **sizes):
        assert share > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 500)


def test_clear_differences_are_found():
    """Coverage alone would be had for nothing: intervals from the first to the last rank."""
    rng = np.random.default_rng(8)
    scores = np.linspace(0, 2.5, 6)[:, None] + rng.normal(0, 0.3, (14, 6, 1)) + rng.normal(0, 0.2, (14, 6, 5))
    found = draw_points(scores)
    p = pair_p_values(found.points, found.draws, np.full((6, 6), 13), win_probabilities(found.draws))
    ranks = ranks_of(found.points, p, 0.95)
    assert (ranks.upper - ranks.lower).mean() <= 1
    np.testing.assert_array_equal(ranks.rank, [6, 5, 4, 3, 2, 1])
