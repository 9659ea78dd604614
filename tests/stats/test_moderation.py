"""Moderated variances against limma's formulas, solved independently, and by simulation."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from lebench.stats import moderate, trigamma_inverse


@pytest.mark.parametrize("x", [1e-5, 0.01, 0.3, 1.0, 7.5, 400.0, 1e8])
def test_trigamma_inverse_is_the_inverse(x):
    assert trigamma_inverse(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def limma(s2, d):
    """fitFDist of limma by hand: prior degrees of freedom and prior variance."""
    e = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    right = e.var(ddof=1) - polygamma(1, d / 2)
    d0 = 2 * brentq(lambda x: polygamma(1, x) - right, 1e-3, 1e6)
    return d0, np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2))


def test_moderated_variances_are_those_of_limma_with_the_mean_as_least_prior():
    rng = np.random.default_rng(0)
    s2 = 0.3 / rng.chisquare(4, 300) * 4 * rng.chisquare(3, 300) / 3
    d0, s0 = limma(s2, 3)
    assert d0 == pytest.approx(4, rel=0.5)
    prior = max(s0, s2.mean())
    found, freedom = moderate(s2, np.full(300, 3.0), most=1e9)
    np.testing.assert_allclose(found, (d0 * prior + 3 * s2) / (d0 + 3), rtol=1e-6)
    np.testing.assert_allclose(freedom, d0 + 3, rtol=1e-6)


def test_equal_variances_get_the_most_prior_that_is_allowed():
    found, freedom = moderate([1.0, 1.01, 0.99, 1.0], [2.0] * 4, most=6.0)
    np.testing.assert_allclose(freedom, 8.0)
    np.testing.assert_allclose(found, 1.0, rtol=0.5)


def test_few_variances_have_no_prior_and_are_not_below_their_mean():
    found, freedom = moderate([0.0, 4.0], [2.0, 2.0], most=10.0)
    assert (found.tolist(), freedom.tolist()) == ([2.0, 4.0], [2.0, 2.0])
    assert moderate([], [], 1.0)[0].size == 0


def test_a_variance_of_zero_among_others_is_raised():
    found, _ = moderate([0.0, 1.0, 2.0, 3.0], [2.0] * 4, most=6.0)
    assert 0 < found[0] < found[1] < found[2] < found[3]
