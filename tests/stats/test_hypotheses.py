"""Verdicts against scipy's tests, their calculus case by case, and how often chance alone decides."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from lebench.stats import judge

UP, DOWN, OPEN = [1.0, 1.1, 0.9, 1.05], [-1.0, -1.1, -0.9, -1.05], [1.0, -1.1, 0.9, -0.8]


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([UP, UP], "holds"),
        ([DOWN, DOWN], "fails"),
        ([UP, DOWN], "in part"),
        ([UP, DOWN, OPEN], "in part"),
        ([UP, OPEN], "underpowered"),
        ([DOWN, OPEN], "fails"),
        ([OPEN], "underpowered"),
        ([[1.0]], "underpowered"),
        ([[0.5, 0.5]], "holds"),
        ([[0.0, 0.0]], "fails"),
    ],
)
def test_the_calculus_of_verdicts(cases, verdict):
    assert judge(dict(enumerate(cases))).verdict == verdict


def test_intervals_are_of_the_level_of_their_test():
    """So those of cases that are decided leave out zero, and the others do not."""
    cases = {"a": UP, "b": OPEN, "c": [0.5, 0.9, 0.4, 0.6], "d": [1.0, 0.8, 0.9, 0.7]}
    found = judge(cases).cases
    for step, name in enumerate("adcb"):
        low, high = stats.ttest_1samp(cases[name], 0).confidence_interval(1 - 0.05 / (4 - step))
        assert (found[name].estimate.lower, found[name].estimate.upper) == pytest.approx((low, high))
        assert found[name].estimate.excludes_zero == (found[name].outcome != "undecided")


def test_one_of_twelve_cases_seldom_holds_by_chance():
    rng = np.random.default_rng(0)
    chance = [judge(dict(enumerate(rng.normal(size=(12, 3))))).cases.values() for _ in range(400)]
    wrong = np.mean([any(case.outcome != "undecided" for case in cases) for cases in chance])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_seeds_needed_have_the_power_that_they_promise():
    needed = judge({"a": [*OPEN[:3], 0.6]}).cases["a"].seeds_needed
    effect = np.mean([*OPEN[:3], 0.6]) / np.std([*OPEN[:3], 0.6], ddof=1)
    assert TTestPower().power(effect, needed, 0.05) >= 0.8 > TTestPower().power(effect, needed - 1, 0.05)
    assert judge({"a": [1.0, -1.0, 1e-9]}).cases["a"].seeds_needed is None


def test_a_claim_without_cases_is_an_error():
    with pytest.raises(ValueError, match="needs a case"):
        judge({})
