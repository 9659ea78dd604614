"""The planted factors are symmetric, and as learnable as their closed form says."""

import numpy as np
import pytest
from scipy.stats import norm

from lebench import registry
from lebench.data.base import Variant
from lebench.data.factors import DIMENSION, SIGNAL, directions, load

FACTORS = (((0, 1), (2, 3)), ((0, 2), (1, 3)))


def test_the_directions_are_orthonormal_and_a_permutation_of_coordinates_exchanges_them():
    h = directions()
    np.testing.assert_allclose(h @ h.T, np.eye(2), atol=1e-15)
    np.testing.assert_allclose(np.abs(h), 1 / np.sqrt(DIMENSION))
    order = np.arange(DIMENSION).reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()
    np.testing.assert_array_equal(h[:, order], h[::-1])


@pytest.mark.parametrize("factor", [0, 1])
def test_the_best_classifier_of_each_factor_is_right_with_the_known_probability(factor):
    x, cells = load()
    label = (cells // 2, cells % 2)[factor]
    projection = x @ directions()[factor]
    # Around its means the projection is standard normal; five standard errors of 4,000 points.
    residual = projection - SIGNAL * (2.0 * label - 1)
    assert residual.mean() == pytest.approx(0, abs=5 / np.sqrt(4000))
    assert residual.std() == pytest.approx(1, abs=5 / np.sqrt(8000))
    share = norm.cdf(SIGNAL)
    right = ((projection > 0) == label).mean()
    assert right == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 4000))


@pytest.mark.parametrize("groups", FACTORS)
def test_merging_cells_labels_the_same_points_by_one_factor(groups):
    split = registry.datasets.get("two-factor").split(0)
    assert np.bincount(split.y_train).tolist() == np.bincount(split.y_test).tolist() == [100] * 4
    merged = Variant(groups=groups).apply(split, 0)
    np.testing.assert_array_equal(merged.x_train, split.x_train)
    np.testing.assert_array_equal(merged.fine_train, split.y_train)
    assert np.bincount(merged.y_train).tolist() == [200, 200]
    factor = FACTORS.index(groups)
    np.testing.assert_array_equal(merged.y_train, (split.y_train // 2, split.y_train % 2)[factor])


def test_both_labellings_are_learnt_equally_well_by_a_linear_rule():
    right = {groups: [] for groups in FACTORS}
    for seed in range(20):
        for groups in FACTORS:
            split = Variant(groups=groups).apply(registry.datasets.get("two-factor").split(seed), seed)
            means = [split.x_train[split.y_train == label].mean(axis=0) for label in (0, 1)]
            score = (split.x_test - (means[0] + means[1]) / 2) @ (means[1] - means[0])
            right[groups].append(((score > 0) == split.y_test).mean())
    first, second = (np.array(right[groups]) for groups in FACTORS)
    assert first.mean() > 0.97
    difference = first - second
    assert abs(difference.mean()) < 4 * difference.std(ddof=1) / np.sqrt(20)


def test_training_and_test_points_are_apart_and_differ_by_seed():
    dataset = registry.datasets.get("two-factor")
    first, other = (
        dataset.splitter(*load(), np.random.default_rng(0)),
        dataset.splitter(*load(), np.random.default_rng(1)),
    )
    assert not {tuple(p) for p in first[0]} & {tuple(p) for p in first[2]}
    assert not np.array_equal(first[0], other[0])
