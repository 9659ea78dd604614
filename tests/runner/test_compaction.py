"""Features in few coordinates: what measures of collapse see stays, and a recording is kept only if it does."""

import numpy as np
import pytest

from lebench import metrics
from lebench.runner.compaction import compacted, compacted_gram


@pytest.fixture
def network():
    """Features of five classes in 200 dimensions at two sets of points, and a head."""
    rng = np.random.default_rng(0)
    labels = [np.repeat(np.arange(5), 40), np.repeat(np.arange(5), 12)]
    means = 4 * rng.standard_normal((5, 200))
    spread = rng.uniform(0.2, 2.0, 5)
    features = [means[y] + spread[y][:, None] * rng.standard_normal((len(y), 200)) for y in labels]
    return features, labels, means - means.mean(axis=0) + rng.standard_normal((5, 200))


def test_measures_of_collapse_are_the_same_in_few_coordinates(network):
    features, labels, weights = network
    fewer, head = compacted(features, [[y] for y in labels], weights)
    assert {array.shape[1] for array in (*fewer, head)} == {16}
    centres, few_centres = (metrics.class_means(f[0], labels[0]) for f in (features, fewer))
    for whole, part, y in zip(features, fewer, labels, strict=True):
        expected = metrics.collapse(whole, y, weights, np.arange(5.0), centres)
        found = metrics.collapse(part, y, head, np.arange(5.0), few_centres)
        assert "cdnv" in expected
        assert found == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(part @ head.T, whole @ weights.T, atol=1e-9)


def test_with_two_labellings_the_means_of_both_stay(network):
    (points, _), (labels, _), _ = network
    other = np.random.default_rng(1).integers(0, 3, len(labels))
    (fewer,), _ = compacted([points], [[labels, other]], None)
    # The mean of all points is among the means of either.
    assert fewer.shape[1] == 5 + 3 - 1 + 1
    for y in (labels, other):
        found, expected = metrics.collapse(fewer, y), metrics.collapse(points, y)
        assert found["nc1_pinv_over_C"] == pytest.approx(expected["nc1_pinv_over_C"], rel=1e-9)
        assert found["nc1_quotient"] == pytest.approx(expected["nc1_quotient"], rel=1e-9)


def test_narrow_features_stay_as_they_are(network):
    features, labels, weights = network
    narrow = [points[:, :12] for points in features]
    fewer, head = compacted(narrow, [[y] for y in labels], weights[:, :12])
    assert all(a is b for a, b in zip(fewer, narrow, strict=True))
    assert head.shape == (5, 12)


def test_features_that_have_collapsed_leave_nothing_outside():
    labels = np.repeat(np.arange(3), 4)
    points = np.eye(3, 30)[labels]
    (fewer,), _ = compacted([points], [[labels]], None)
    np.testing.assert_allclose(fewer[:, -1], 0, atol=1e-12)
    np.testing.assert_allclose(fewer @ fewer.T, points @ points.T, atol=1e-12)


def test_measures_of_collapse_see_the_same_in_the_coordinates_of_a_kernel(network):
    (points, _), (labels, _), _ = network
    other = np.random.default_rng(1).integers(0, 3, len(labels))
    kernel = points @ points.T
    for labellings, width in (([labels], 5 + 1), ([labels, other], 5 + 3 - 1 + 1)):
        fewer = compacted_gram(kernel, labellings)
        assert fewer.shape == (len(labels), width)
        for y in labellings:
            expected, found = (metrics.collapse_from_gram(gram, y) for gram in (kernel, fewer @ fewer.T))
            # By two labellings the spread of all classes together stays, not that of each.
            kept = expected.keys() - ({"cdnv"} if len(labellings) > 1 else set())
            assert {"ncc_accuracy", "nc1_quotient", "nc1_pinv_over_C", "nc2_equiangular"} <= kept
            assert {name: found[name] for name in kept} == pytest.approx(
                {name: expected[name] for name in kept}, rel=1e-8
            )
