"""Projections on the principal axes of the class means, of points whose projection is known."""

import numpy as np
import pytest

from lebench.errors import DataError
from lebench.metrics.class_projection import project_on_class_means, project_on_class_means_from_gram


def test_four_means_of_a_simplex_keep_their_distances_and_noise_across_them_vanishes():
    labels = np.repeat(np.arange(4), 2)
    frame = np.eye(4)[labels] * 3
    across = np.zeros((8, 2))
    across[:, 0] = np.tile([5.0, -5.0], 4)
    found = project_on_class_means(np.hstack([frame, across]) + 7, labels, np.arange(8))
    assert found.shares == pytest.approx(np.full(3, 1 / 3))
    distances = np.linalg.norm(found.means[:, None] - found.means[None], axis=-1)
    assert distances == pytest.approx(3 * np.sqrt(2) * (1 - np.eye(4)))
    assert found.means.mean(axis=0) == pytest.approx(np.zeros(3))
    assert found.points == pytest.approx(found.means[labels])
    assert found.cosines == pytest.approx((4 * np.eye(4) - 1) / 3)


def test_means_in_a_plane_are_turned_to_their_axes():
    means = np.array([[2.0, 0, 0, 1], [-2.0, 0, 0, 1], [0, 1.0, 0, 1], [0, -1.0, 0, 1]])
    found = project_on_class_means(np.repeat(means, 3, axis=0), np.repeat(np.arange(4), 3), np.array([0, 6]))
    assert found.shares == pytest.approx([0.8, 0.2, 0.0])
    assert np.abs(found.means) == pytest.approx(np.abs(means[:, :3]))
    assert np.abs(found.points) == pytest.approx(np.array([[2.0, 0, 0], [0, 1.0, 0]]))


def test_a_gram_matrix_gives_the_same():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(60) % 5)
    features = rng.normal(size=(60, 7)) + 3 * rng.normal(size=(5, 7))[labels] + 2
    points = np.array([3, 50, 7])
    direct = project_on_class_means(features, labels, points)
    gram = project_on_class_means_from_gram(features @ features.T, labels, points)
    for name in ("means", "points", "shares", "cosines"):
        assert getattr(gram, name) == pytest.approx(getattr(direct, name), abs=1e-9)


@pytest.mark.parametrize("features", [np.ones((6, 2)), np.array([[1e8], [1e8]] * 3)])
def test_means_that_do_not_differ_have_no_axes(features):
    found = project_on_class_means(features, np.array([0, 1] * 3), np.arange(6))
    assert found.means.shape == (2, 3)
    assert not found.means.any()
    assert not found.points.any()
    assert not found.shares.any()
    assert not found.cosines.any()


def test_bad_input_is_named():
    with pytest.raises(DataError, match="class 1 of 3 has no points"):
        project_on_class_means(np.ones((3, 2)), np.array([0, 2, 2]), np.arange(1))
    with pytest.raises(DataError, match="symmetric"):
        project_on_class_means_from_gram(np.triu(np.ones((4, 4))), np.array([0, 1, 0, 1]), np.arange(1))
