import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logit

from lebench.stats import (
    Estimate,
    mean_interval,
    mean_intervals,
    paired_difference,
    ratio_of_means,
    smallest_difference,
    within_bounds,
)

finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_interval_is_the_one_of_scipys_t_test(level):
    values = [0.91, 0.94, 0.90, 0.97, 0.93]
    estimate = mean_interval(values, level)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    assert estimate.mean == pytest.approx(np.mean(values), rel=1e-14)
    assert (estimate.lower, estimate.upper) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert estimate.seeds == 5


def test_interval_of_two_values_is_the_closed_form():
    # With one degree of freedom t is Cauchy, so its 0.975 quantile is tan(pi (0.975 - 0.5)).
    estimate = mean_interval([0.0, 2.0])
    half = math.tan(math.pi * 0.475)
    assert (estimate.lower, estimate.upper) == pytest.approx((1 - half, 1 + half), rel=1e-12)


def test_one_value_has_no_interval():
    assert mean_interval([0.7]) == Estimate(0.7, None, None, 1)


@given(finite, st.integers(2, 30))
def test_equal_values_have_a_degenerate_interval(value, n):
    assert mean_interval([value] * n) == Estimate(value, value, value, n)


@given(st.lists(finite, min_size=2, max_size=12), finite, st.floats(0.01, 100))
def test_interval_moves_and_scales_with_the_values(values, shift, scale):
    before, after = mean_interval(values), mean_interval([scale * v + shift for v in values])
    slack = 1e-9 * (1 + abs(shift) + scale * max(map(abs, values)))
    assert after.mean == pytest.approx(scale * before.mean + shift, abs=slack)
    assert after.upper - after.lower == pytest.approx(scale * (before.upper - before.lower), rel=1e-9, abs=100 * slack)


def test_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 2.0, size=(2000, 5))
    inside = sum(e.lower <= 1.0 <= e.upper for e in map(mean_interval, draws))
    # Five standard deviations of a binomial around 95%.
    assert abs(inside / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [([], 0.95, "no value"), ([1.0, math.nan], 0.95, "finite"), ([1.0, 2.0], 1.0, "between 0 and 1")],
)
def test_bad_input_says_what_is_wrong(values, level, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, level)


def test_half_widths_add_by_their_squares():
    assert Estimate(1.0, -2.0, 4.0, 5).widened(4.0) == Estimate(1.0, -4.0, 6.0, 5)
    alone = Estimate(1.0, None, None, 1)
    assert alone.widened(4.0) == alone


def test_paired_difference_is_the_one_of_scipys_paired_t_test_over_common_seeds():
    a = {0: 0.95, 1: 0.91, 2: 0.97, 3: 0.96, 9: 0.1}
    b = {3: 0.93, 2: 0.95, 1: 0.90, 0: 0.92, 7: 0.9}
    difference = paired_difference(a, b)
    expected = stats.ttest_rel([a[s] for s in range(4)], [b[s] for s in range(4)]).confidence_interval(0.95)
    assert (difference.lower, difference.upper) == pytest.approx((expected.low, expected.high), rel=1e-10)
    assert difference.seeds == 4


def test_pairing_finds_what_separate_intervals_hide():
    hard = [0.5, 0.6, 0.7, 0.8, 0.9]
    a, b = ({s: v + d for s, v in enumerate(hard)} for d in (0.01, 0.0))
    assert mean_interval(a.values()).lower < mean_interval(b.values()).upper
    assert paired_difference(a, b).excludes_zero


def test_no_common_seed_is_no_comparison():
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    assert not paired_difference({0: 1.0}, {0: 0.0}).excludes_zero


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([0.9633, 0.9634], (0.0, 1.0)),
        ([0.93, 0.998], (0.0, 1.0)),
        ([0.1, 0.18], (0.0, math.inf)),
        ([-0.1, -0.18], (-math.inf, 0.0)),
        ([-0.99, -0.9, -0.999], (-1.0, 1.0)),
    ],
)
def test_intervals_stay_within_bounds_and_hold_the_mean(values, bounds):
    estimate = mean_interval(values, bounds=bounds)
    assert bounds[0] <= estimate.lower < estimate.mean < estimate.upper <= bounds[1]
    mirrored = mean_interval([-v for v in values], bounds=(-bounds[1], -bounds[0]))
    assert (mirrored.lower, mirrored.upper) == pytest.approx((-estimate.upper, -estimate.lower), rel=1e-12)
    means, halves = mean_intervals(np.array([values]))
    ends = np.ravel(within_bounds(means, halves, bounds))
    np.testing.assert_allclose(ends, [estimate.lower, estimate.upper], rtol=1e-12)


def test_far_from_bounds_they_change_nothing():
    free, bounded = mean_interval([0.5, 0.501, 0.499]), mean_interval([0.5, 0.501, 0.499], bounds=(0.0, 1.0))
    assert (bounded.lower, bounded.upper) == pytest.approx((free.lower, free.upper), rel=1e-4)
    assert mean_interval([1.0, 1.0], bounds=(0.0, 1.0)) == Estimate(1.0, 1.0, 1.0, 2)


def test_delta_method_on_each_scale():
    lower, upper = within_bounds(0.9, 0.05, (0.0, 1.0))
    assert (logit(upper) - logit(lower)) / 2 == pytest.approx(0.05 / (0.9 * 0.1))
    lower, upper = within_bounds(0.9, 0.05, (0.0, 1.0), "arcsine")
    assert math.asin(math.sqrt(upper)) - math.asin(math.sqrt(lower)) == pytest.approx(0.05 / math.sqrt(0.9 * 0.1))
    lower, upper = within_bounds(2.0, 1.0, (0.0, math.inf))
    assert (lower, upper) == pytest.approx((2 * math.exp(-0.5), 2 * math.exp(0.5)))


def test_near_a_bound_the_logit_covers_where_the_plain_interval_does_not():
    rng, true, rounds = np.random.default_rng(3), 47 / 47.96, 4000
    means, halves = mean_intervals(rng.beta(47, 0.96, (rounds, 5)))
    plain = np.mean(np.abs(means - true) <= halves)
    lower, upper = within_bounds(means, halves, (0.0, 1.0))
    assert plain < 0.90
    assert np.mean((lower <= true) & (true <= upper)) > 0.92


def test_smallest_difference_is_found_with_its_power():
    from statsmodels.stats.power import TTestPower

    for seeds in (3, 5, 10):
        effect = smallest_difference(1.0, seeds)
        assert TTestPower().power(effect, seeds, 0.05) == pytest.approx(0.8, abs=1e-3)
    with pytest.raises(ValueError, match="two seeds"):
        smallest_difference(1.0, 1)


def test_ratio_of_means_holds_the_ratios_that_the_paired_test_does_not_reject():
    rng = np.random.default_rng(4)
    gap, gain = rng.normal(2, 0.3, 6), rng.normal(1, 0.3, 6)
    share = ratio_of_means(gain, gap)
    for end in (share.lower, share.upper):
        assert stats.ttest_1samp(gain - end * gap, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert share.value == pytest.approx(gain.mean() / gap.mean())
    assert ratio_of_means([1.0, 2.0], [-1.0, 1.0]) is None
    assert ratio_of_means([0.1], [1.0]) is None
    with pytest.raises(ValueError, match="2 gains do not come in pairs with 1 gaps"):
        ratio_of_means([0.1, 0.2], [1.0])


def test_ratio_of_means_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(2000):
        noise = rng.standard_normal((2, 5)) * 0.3
        share = ratio_of_means(0.5 + noise[0], 1 + noise[1] + 0.5 * noise[0])
        inside.append(share is None or share.lower <= 0.5 <= share.upper)
    # A gap that cannot be told from zero has no share; counted as covering, the level is 95%. Four standard errors.
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 2000)
