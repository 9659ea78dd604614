"""Comparisons of all pairs against independent implementations and published numbers."""

import itertools
import math
import sys

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from lebench.board import smallest_difference
from lebench.board.comparisons import bradley_terry, friedman, holm, ranks_of, shares_won, win_probabilities
from lebench.errors import LebenchError

#: Demsar 2006 (JMLR 7), table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on fourteen data sets. The paper prints
#: 0.975 for the last two of the thirteenth, and ranks them 2 and 3.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9754, 0.9750],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 0.3, (20, 9)) ** 3
    p[:3, :4] = p[:3, 1:2]
    expected = [multipletests(row, alpha=0.05, method="holm")[0] for row in p]
    np.testing.assert_array_equal(holm(p, 0.05), expected)
    assert 0 < np.mean(expected) < 1


def test_win_probabilities_are_counts():
    draws = np.random.default_rng(1).integers(0, 5, (100, 4)).astype(float)
    found = win_probabilities(draws)
    for a in range(4):
        for b in range(4):
            expected = np.mean((draws[:, a] > draws[:, b]) + 0.5 * (draws[:, a] == draws[:, b]))
            assert found[a, b] == pytest.approx(expected)


def test_rank_intervals_count_who_is_told_apart():
    points = np.array([0.9, 0.8, 0.8, 0.1])
    p = np.ones((4, 4))
    p[3, :3] = p[:3, 3] = 1e-6
    ranks = ranks_of(points, p, 0.95)
    np.testing.assert_array_equal(ranks.rank, [1, 2, 2, 4])
    np.testing.assert_array_equal(ranks.lower, [1, 1, 1, 4])
    np.testing.assert_array_equal(ranks.upper, [3, 3, 3, 4])
    np.testing.assert_array_equal(ranks.group, [1, 1, 1, 2])


def test_shares_won_are_over_common_tasks():
    means = np.array([[1.0, 0.0, np.nan], [0.0, 0.0, 1.0], [2.0, 3.0, np.nan]])
    won, common = shares_won(means, np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(won[0, 1], (1 + 0.5) / 4)
    np.testing.assert_allclose(won[1, 0], 1 - won[0, 1])
    assert (won[2, 0], common[2, 0]) == (1, 1)
    assert np.isnan(won.diagonal()).all()


def test_bradley_terry_of_two_models_is_the_log_odds():
    won = np.array([[np.nan, 0.7], [0.3, np.nan]])
    strength = bradley_terry(won, np.full((2, 2), 10.0))
    # Seven wins against three, and half a task that is tied.
    assert strength[0] - strength[1] == pytest.approx(math.log(7.25 / 3.25), abs=1e-6)


def test_bradley_terry_solves_the_likelihood_equations():
    rng = np.random.default_rng(2)
    means = rng.normal(np.linspace(0, 1, 6), 1, (12, 6))
    means[rng.random(means.shape) < 0.3] = np.nan
    won, common = shares_won(means, np.ones(12))
    strength = bradley_terry(won, common)
    counts = common + 0.5
    np.fill_diagonal(counts, 0)
    wins = np.nan_to_num(won) * common + 0.25 * ~np.eye(6, dtype=bool)
    expected = counts / (1 + np.exp(strength - strength[:, None]))
    np.testing.assert_allclose(expected.sum(axis=1), wins.sum(axis=1), rtol=1e-5)
    assert strength.mean() == pytest.approx(0, abs=1e-12)


def test_critical_difference_is_that_of_demsars_example():
    found = friedman(DEMSAR, 0.95)
    np.testing.assert_allclose(found.mean_ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert found.difference == pytest.approx(1.25, abs=0.005)
    # The paper's 9.28 is not corrected for ties, with which the statistic is larger.
    n, k = DEMSAR.shape
    plain = 12 * n / (k * (k + 1)) * (np.sum(found.mean_ranks**2) - k * (k + 1) ** 2 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    assert found.statistic > plain
    assert found.p < 0.05
    # No two of the four are farther apart than 1.25; at 10% the critical difference is 1.12.
    assert found.cliques == [[3, 1, 2, 0]]
    wider = friedman(DEMSAR, 0.90)
    assert wider.difference == pytest.approx(1.12, abs=0.005)
    assert wider.cliques == [[3, 1, 2], [2, 0]]


def test_cliques_are_within_the_critical_difference():
    rng = np.random.default_rng(3)
    found = friedman(rng.normal(np.linspace(0, 3, 9), 1, (20, 9)), 0.95)
    assert len(found.cliques) > 1
    ends = [found.mean_ranks[[clique[0], clique[-1]]] for clique in found.cliques]
    assert all(worst - best < found.difference for best, worst in ends)
    assert all(a[1] < b[1] for a, b in itertools.pairwise(ends))


def test_models_that_are_all_equal_differ_by_nothing():
    found = friedman(np.ones((4, 3)), 0.95)
    assert (found.statistic, found.p, found.cliques) == (0.0, 1.0, [[0, 1, 2]])


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_smallest_difference_is_that_of_statsmodels(seeds):
    expected = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
    assert smallest_difference(2.0, seeds) == pytest.approx(2 * expected, rel=1e-5)


def test_one_seed_resolves_nothing():
    with pytest.raises(ValueError, match="two seeds"):
        smallest_difference(1.0, 1)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "evalica", None)
    with pytest.raises(LebenchError, match=r"ranks need evalica: pip install 'lebench\[site\]'"):
        bradley_terry(np.full((2, 2), 0.5), np.ones((2, 2)))
