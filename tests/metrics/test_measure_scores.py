"""Scores of generalization measures: known answers, other ways to compute them, and what they are blind to."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from lebench import metrics
from lebench.errors import DataError

GRID = np.array(list(itertools.product(range(3), repeat=2)))
GAP = GRID @ np.array([0.1, -0.3])


def random_models(seed, n=12, axes=3, values=2, ties=False):
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, values, (n, axes))
    measure, gap = (rng.integers(0, 4, (2, n)) if ties else rng.standard_normal((2, n))).astype(float)
    return measure, gap, grid


@given(seed=st.integers(0, 2**16), ties=st.booleans(), n=st.integers(2, 20))
@settings(max_examples=50, deadline=None)
def test_tau_is_the_sum_over_pairs(seed, ties, n):
    measure, gap, _ = random_models(seed, n, ties=ties)
    pairs = list(itertools.permutations(range(n), 2))
    total = sum(np.sign(measure[i] - measure[j]) * np.sign(gap[i] - gap[j]) for i, j in pairs)
    assert metrics.kendall_tau(measure, gap) == pytest.approx(total / len(pairs), abs=1e-14)
    if not ties:
        assert metrics.kendall_tau(measure, gap) == pytest.approx(kendalltau(measure, gap).statistic, abs=1e-14)


def test_tau_of_a_constant_is_zero():
    assert metrics.kendall_tau(np.ones(5), np.arange(5.0)) == 0
    assert metrics.kendall_tau(np.arange(5.0), np.ones(5)) == 0


def test_granulated_taus_of_the_grid():
    first, second = GRID.T.astype(float)
    np.testing.assert_allclose(metrics.granulated_taus(first, GAP, GRID), [1, 0])
    np.testing.assert_allclose(metrics.granulated_taus(first + 3 * second, GAP, GRID), [1, -1])
    # Values of the axes are names: 0.1 and 0.01 serve as well as 0 and 1.
    learning_rates = np.array([1.0, 0.1, 0.01])[GRID]
    np.testing.assert_allclose(metrics.granulated_taus(first, GAP, learning_rates), [1, 0])


def test_settings_at_which_an_axis_does_not_vary_are_left_out():
    extra = np.vstack([GRID, [[7, 7], [7, 7]]])
    measure, gap = np.append(GAP, [0.0, 1.0]), np.append(GAP, [1.0, 0.0])
    np.testing.assert_allclose(metrics.granulated_taus(measure, gap, extra), [1, 1])
    with pytest.raises(DataError, match="axis 0 never varies"):
        metrics.granulated_tau(GAP, GAP, np.stack([np.zeros(9), np.arange(9)], axis=1))


def brute_information(measure, gap, grid, axes):
    """I(V_mu; V_g | U_S)/H(V_g | U_S) from counts of every ordered pair, as sum of p ln(p p_u / (p_mu p_g))."""
    joint = Counter()
    for i, j in itertools.permutations(range(len(gap)), 2):
        u = (*grid[i, axes], *grid[j, axes])
        joint[u, np.sign(measure[i] - measure[j]), np.sign(gap[i] - gap[j])] += 1
    of_u, of_mu, of_g = Counter(), Counter(), Counter()
    for (u, mu, g), count in joint.items():
        of_u[u] += count
        of_mu[u, mu] += count
        of_g[u, g] += count
    information = sum(n * math.log(n * of_u[u] / (of_mu[u, mu] * of_g[u, g])) for (u, mu, g), n in joint.items())
    return information, -sum(n * math.log(n / of_u[u]) for (u, _), n in of_g.items())


@given(seed=st.integers(0, 2**16), ties=st.booleans())
@settings(max_examples=20, deadline=None)
def test_information_is_that_of_counting_pairs(seed, ties):
    measure, gap, grid = random_models(seed, ties=ties)
    values = metrics.conditional_informations(measure, gap, grid)
    sets = [axes for size in range(3) for axes in itertools.combinations(range(3), size)]
    for axes in sets:
        information, entropy = brute_information(measure, gap, grid, list(axes))
        if entropy == 0:
            assert axes not in values
        else:
            assert values[axes] == pytest.approx(information / entropy, abs=1e-12)
    assert metrics.conditional_information(measure, gap, grid) == min(values.values())


@given(n=st.integers(2, 25), seed=st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_without_ties_and_conditions_information_is_a_function_of_tau(n, seed):
    measure, gap, _ = random_models(seed, n)
    share = (1 + metrics.kendall_tau(measure, gap)) / 2
    entropy = -sum(p * math.log2(p) for p in (share, 1 - share) if p > 0)
    assert metrics.conditional_information(measure, gap) == pytest.approx(1 - entropy, abs=1e-12)


def test_perfect_measures_are_perfect_under_every_condition_and_the_sign_is_not_seen():
    for measure in (GAP, -GAP):
        values = metrics.conditional_informations(measure, GAP, GRID)
        # Given both axes the order of the gaps is certain: that set says nothing.
        assert set(values) == {(), (0,), (1,)}
        assert list(values.values()) == pytest.approx([1, 1, 1], abs=1e-12)
    values = metrics.conditional_informations(GRID[:, 0].astype(float), GAP, GRID)
    assert values[(0,)] == pytest.approx(0, abs=1e-12)
    assert values[()] > 0.01


def test_information_is_biased_upwards_in_small_samples():
    rng = np.random.default_rng(0)
    values = [metrics.conditional_information(rng.permutation(24) / 24, np.arange(24.0)) for _ in range(400)]
    # The leading term of 1 - H((1 + tau)/2) is tau^2/(2 ln 2), and var(tau) = 2(2n + 5)/(9n(n - 1)) for random orders.
    expected = 2 * 53 / (9 * 24 * 23) / (2 * math.log(2))
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / math.sqrt(400))
    assert np.mean(values) > 0.01


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_only_the_order_of_networks_and_values_counts(seed):
    measure, gap, _ = random_models(seed, 18)
    grid = np.tile(GRID, (2, 1))
    order = np.random.default_rng(seed).permutation(18)
    for name in ("kendall_tau", "granulated_tau", "conditional_information"):
        rest = () if name == "kendall_tau" else (grid,)
        shuffled = () if name == "kendall_tau" else (grid[order],)
        value = getattr(metrics, name)(measure, gap, *rest)
        assert getattr(metrics, name)(measure[order], gap[order], *shuffled) == pytest.approx(value, abs=1e-12)
        assert getattr(metrics, name)(np.exp(measure), 3 * np.exp(gap) - 1, *rest) == pytest.approx(value, abs=1e-12)
    options = {"smallest_sample": 1.0}
    value = metrics.sign_error(measure, gap, grid, **options)
    assert metrics.sign_error(np.exp(measure[order]), gap[order] + 1, grid[order], **options) == pytest.approx(value)


def test_direction_turns_the_order_round():
    margin = -GAP
    assert metrics.kendall_tau(margin, GAP) == -1
    assert metrics.kendall_tau(margin, GAP, "higher") == 1
    assert metrics.granulated_tau(margin, GAP, GRID, "higher") == 1
    options = {"smallest_sample": 1.0}
    assert metrics.sign_error(margin, GAP, GRID, **options) == 1
    assert metrics.sign_error_worst(margin, GAP, GRID, "higher", **options) == 0


def test_infinite_bounds_are_the_largest_values():
    bound = GAP.copy()
    bound[bound.argmax()] = np.inf
    assert metrics.kendall_tau(bound, GAP) == 1
    assert metrics.kendall_tau(-bound, GAP, "higher") == 1
    assert metrics.conditional_information(bound, GAP, GRID) == pytest.approx(1)


def test_environments_differ_in_one_axis():
    found = metrics.sign_errors(GAP, GAP, GRID, smallest_sample=1.0)
    # 3 x 3 settings: 3 pairs along each axis at each of 3 values of the other.
    assert Counter(found.axes.tolist()) == {0: 9, 1: 9}
    assert found.left_out == 0
    assert not found.errors.any()


def test_sign_errors_by_hand():
    # Gaps of 0.05 at 10,000 points are sure: w is 0.99999; gaps of 0.0205 are less so: w is 0.57.
    gap, setting = np.array([0.0, 0.05, 0.0205]), np.array([[0], [1], [1]])
    weights = [max(0.0, 1 - 2 * math.exp(-2e4 * (d / 2) ** 2)) ** 2 - 0.5 for d in (0.05, 0.0205)]
    assert 0.0 < weights[1] < 0.2 < 0.49 < weights[0]
    # The sure pair is ordered rightly, the other wrongly.
    found = metrics.sign_errors(np.array([0.0, 1.0, -1.0]), gap, setting, smallest_sample=1.0)
    assert found.errors == pytest.approx([weights[1] / sum(weights)], rel=1e-12)
    sample = sum(weights) ** 2 / sum(w**2 for w in weights)
    assert 1 < sample < 2
    with pytest.raises(DataError, match="no environment of 1 has an effective sample of 2"):
        metrics.sign_errors(np.array([0.0, 1.0, -1.0]), gap, setting, smallest_sample=2.0)


def test_pairs_that_the_test_set_cannot_tell_apart_do_not_count():
    gap, setting = np.array([0.0, 0.05, 0.0001]), np.array([[0], [1], [1]])
    assert metrics.sign_error(np.array([0.0, 1.0, -1.0]), gap, setting, smallest_sample=1.0) == 0
    # Nor does anything, with few test points.
    with pytest.raises(DataError, match="no environment of 1"):
        metrics.sign_error(np.array([0.0, 1.0, -1.0]), gap, setting, smallest_sample=1.0, test_points=100)


def test_what_cannot_be_scored():
    ones = np.ones(9)
    for call, message in (
        (lambda: metrics.kendall_tau(GAP[:3], GAP), "3 values of the measure for 9 gaps"),
        (lambda: metrics.kendall_tau(GAP[:1], GAP[:1]), "at least two are needed"),
        (lambda: metrics.kendall_tau(GAP * np.nan, GAP), "contain NaN"),
        (lambda: metrics.kendall_tau(GAP, ones * np.inf), "gaps contain NaN or infinity"),
        (lambda: metrics.kendall_tau(GAP, GAP, "none"), "direction is 'none'"),
        (lambda: metrics.granulated_tau(GAP, GAP, GRID[:4]), r"settings have shape \(4, 2\): \(9, axes\)"),
        (lambda: metrics.granulated_tau(GAP, GAP, GRID.astype(str)), "number the values of each axis"),
        (lambda: metrics.conditional_information(GAP, ones), "gaps are all equal"),
        (lambda: metrics.conditional_information(GAP, GAP, GRID, -1), "conditions is -1"),
        (lambda: metrics.sign_error(GAP, GAP, GRID, test_points=0), "test_points is 0"),
        (lambda: metrics.sign_error(GAP, GAP, GRID), "train more seeds, or set a lower smallest_sample"),
    ):
        with pytest.raises(DataError, match=message):
            call()
