"""The debiased alignment of centred kernels, by its definition and in the mean."""

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError


def by_definition(k, other):
    """Write equation 5 of Song et al. out."""
    n = len(k)
    k, other = k - np.diag(np.diagonal(k)), other - np.diag(np.diagonal(other))
    return (
        np.trace(k @ other)
        + k.sum() * other.sum() / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (k.sum(axis=0) @ other.sum(axis=1))
    )


def test_it_is_what_the_definition_says():
    rng = np.random.default_rng(0)
    a, b = (x @ x.T for x in (rng.standard_normal((12, 3)) + 2, rng.standard_normal((12, 5))))
    expected = by_definition(a, b) / np.sqrt(by_definition(a, a) * by_definition(b, b))
    assert metrics.debiased_centred_kernel_alignment(a, b) == pytest.approx(expected, rel=1e-12)


def test_independent_features_of_many_dimensions_are_not_alike():
    rng = np.random.default_rng(0)
    biased, debiased = [], []
    for _ in range(40):
        a, b = (x @ x.T for x in rng.standard_normal((2, 50, 2000)))
        biased.append(metrics.centred_kernel_alignment(a, b))
        debiased.append(metrics.debiased_centred_kernel_alignment(a, b))
    assert np.mean(biased) == pytest.approx(0.976, abs=0.005)
    # Its deviation is sqrt(2/(n(n-3))), that of the cosine of random vectors in n(n-3)/2 dimensions.
    deviation = np.sqrt(2 / (50 * 47))
    assert abs(np.mean(debiased)) < 3 * deviation / np.sqrt(40)
    assert np.std(debiased) == pytest.approx(deviation, rel=0.35)


def test_with_many_points_both_agree():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((800, 3))
    y = x @ rng.standard_normal((3, 3)) + rng.standard_normal((800, 3))
    values = [
        f(x @ x.T, y @ y.T) for f in (metrics.centred_kernel_alignment, metrics.debiased_centred_kernel_alignment)
    ]
    assert values[0] == pytest.approx(values[1], abs=0.005)
    assert values[0] > 0.3


def test_what_is_refused():
    rng = np.random.default_rng(0)
    k = np.cov(rng.standard_normal((6, 9)))
    with pytest.raises(DataError, match="too few"):
        metrics.debiased_centred_kernel_alignment(k[:3, :3], k[:3, :3])
    with pytest.raises(DataError, match="constant between different points"):
        metrics.debiased_centred_kernel_alignment(np.eye(6) * 3 + 0.7, k)
    with pytest.raises(DataError, match="shapes"):
        metrics.debiased_centred_kernel_alignment(k, k[:5, :5])
