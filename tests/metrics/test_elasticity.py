"""Elasticity metrics against closed forms, naive loops and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from lebench import metrics
from lebench.errors import DataError
from lebench.metrics.planted import block_similarity


def naive_means(s, labels):
    same = [s[i, j] for i in range(len(s)) for j in range(len(s)) if i != j and labels[i] == labels[j]]
    other = [s[i, j] for i in range(len(s)) for j in range(len(s)) if labels[i] != labels[j]]
    return np.mean(same), np.mean(other)


def test_means_are_the_naive_loops():
    rng = np.random.default_rng(0)
    s, labels = rng.random((15, 15)), rng.integers(0, 3, 15)
    within, between = naive_means(s, labels)
    assert metrics.within_class_similarity(s, labels) == pytest.approx(within, rel=1e-13)
    assert metrics.between_class_similarity(s, labels) == pytest.approx(between, rel=1e-13)
    assert metrics.elasticity_ratio(s, labels) == pytest.approx(within / (within + between), rel=1e-13)
    assert metrics.elasticity_difference(s, labels) == pytest.approx(within - between, rel=1e-12)


def test_the_diagonal_included_would_give_the_inflated_ratio_of_the_released_code():
    similarity, labels = block_similarity(0.3, 0.2, (50, 50))
    assert metrics.elasticity_ratio(similarity, labels) == pytest.approx(0.6, rel=1e-12)
    # Passing the same points as targets keeps the diagonal: what the LANTK release computes (science.md 3.6).
    assert metrics.elasticity_ratio(similarity, labels, labels) == pytest.approx(0.6108949, abs=5e-8)


def test_label_kernel_has_no_ratio_but_a_difference():
    y = np.repeat([1.0, -1.0], 5)
    labels = np.repeat([0, 1], 5)
    with pytest.raises(DataError, match="sum to zero"):
        metrics.elasticity_ratio(np.outer(y, y), labels)
    assert metrics.elasticity_difference(np.outer(y, y), labels) == 2


def test_a_negative_entry_can_leave_the_unit_interval():
    similarity, labels = block_similarity(0.5, -0.1, (4, 4))
    assert metrics.elasticity_ratio(similarity, labels) == pytest.approx(1.25)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_normalized_ratio_is_invariant_to_positive_rescaling_of_points(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((12, 4)) + 1
    labels = np.arange(12) % 2
    k, d = x @ x.T, rng.uniform(0.1, 10, 12)
    scaled = metrics.normalize(d[:, None] * k * d)
    np.testing.assert_allclose(scaled, metrics.normalize(k), rtol=1e-11)
    np.testing.assert_allclose(np.diagonal(scaled), 1, rtol=1e-12)
    assert metrics.elasticity_difference(scaled, labels) == pytest.approx(
        metrics.elasticity_difference(metrics.normalize(k), labels), abs=1e-11
    )


@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_ratio_is_invariant_to_order_and_scale(seed, scale):
    rng = np.random.default_rng(seed)
    s, labels = rng.random((10, 10)), np.arange(10) % 3
    order = rng.permutation(10)
    value = metrics.elasticity_ratio(s, labels)
    assert metrics.elasticity_ratio(scale * s, labels) == pytest.approx(value, rel=1e-12)
    assert metrics.elasticity_ratio(s[order][:, order], labels[order]) == pytest.approx(value, rel=1e-12)


def test_kernel_between_two_sets_is_normalized_by_both_diagonals():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    cosines = metrics.normalize_kernel(a @ b.T, (a * a).sum(1), (b * b).sum(1))
    expected = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b / np.linalg.norm(b, axis=1)[:, None]).T
    np.testing.assert_allclose(cosines, expected, rtol=1e-13)
    with pytest.raises(DataError, match="not positive"):
        metrics.normalize_kernel(a @ b.T, np.zeros(5), (b * b).sum(1))


def test_symmetrize_averages_with_the_transpose():
    s = np.array([[1.0, 4.0], [2.0, 3.0]])
    np.testing.assert_array_equal(metrics.symmetrize(s), [[1, 3], [3, 3]])


def test_correlations_are_scipys_off_the_diagonal():
    rng = np.random.default_rng(0)
    t = rng.random(20)
    distance = np.abs(t[:, None] - t)
    similarity = np.exp(-distance) + 0.2 * rng.random((20, 20))
    off = ~np.eye(20, dtype=bool)
    assert metrics.distance_pearson(similarity, distance) == pytest.approx(
        pearsonr(similarity[off], distance[off]).statistic, rel=1e-12
    )
    assert metrics.distance_spearman(similarity, distance) == pytest.approx(
        spearmanr(similarity[off], distance[off]).statistic, rel=1e-12
    )
    # The diagonal is not looked at.
    changed = similarity + 100 * np.eye(20)
    assert metrics.distance_pearson(changed, distance) == metrics.distance_pearson(similarity, distance)


def test_rank_correlation_is_invariant_to_monotone_maps_and_pearson_is_not():
    t = np.random.default_rng(0).random(12)
    distance = np.abs(t[:, None] - t)
    assert metrics.distance_spearman(np.exp(-9 * distance), distance) == pytest.approx(-1, abs=1e-13)
    assert metrics.distance_pearson(np.exp(-9 * distance), distance) > -0.97


def test_no_correlation_of_constants():
    with pytest.raises(DataError, match="all equal"):
        metrics.distance_pearson(np.ones((4, 4)), np.arange(16.0).reshape(4, 4))
    with pytest.raises(DataError, match="at least 3"):
        metrics.distance_pearson(np.eye(2), np.eye(2))


def test_kernel_distance_of_few_dimensions_is_euclidean():
    x = np.random.default_rng(0).standard_normal((30, 4))
    expected = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.testing.assert_allclose(metrics.kernel_distance(x @ x.T), expected, atol=1e-6)


def test_what_cannot_be_split_by_class():
    with pytest.raises(DataError, match="no pair of points between"):
        metrics.elasticity_ratio(np.ones((3, 3)), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match="no pair of points within"):
        metrics.elasticity_ratio(np.ones((3, 3)), np.arange(3))
    with pytest.raises(DataError, match="target_labels for the columns"):
        metrics.elasticity_ratio(np.ones((3, 4)), np.arange(3))
    with pytest.raises(DataError, match="NaN"):
        metrics.elasticity_ratio(np.full((3, 3), np.nan), np.array([0, 0, 1]))
