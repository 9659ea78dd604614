"""Clustering and its scores against scikit-learn, brute force and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from lebench import metrics
from lebench.errors import DataError

partitions = st.integers(2, 25).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 3), min_size=n, max_size=n), st.lists(st.integers(0, 3), min_size=n, max_size=n)
    )
)


@given(partitions)
@settings(max_examples=60, deadline=None)
def test_scores_are_sklearns(pair):
    labels, assignment = map(np.array, pair)
    assert metrics.adjusted_rand_index(labels, assignment) == pytest.approx(
        adjusted_rand_score(labels, assignment), abs=1e-12
    )
    assert metrics.normalized_mutual_information(labels, assignment) == pytest.approx(
        normalized_mutual_info_score(labels, assignment), abs=1e-12
    )


@given(partitions)
@settings(max_examples=30, deadline=None)
def test_accuracy_is_the_best_of_all_renamings(pair):
    labels, assignment = map(np.array, pair)
    best = max(np.mean(np.array(names)[assignment] == labels) for names in itertools.permutations(range(4)))
    assert metrics.clustering_accuracy(labels, assignment) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [((3, 3), (2, 4)), ((4, 2), (1, 5)), ((2, 2), (2, 2))])
def test_null_of_two_groups_is_the_mean_over_all_permutations(a, b):
    labels, assignment = np.repeat([0, 1], a), np.repeat([0, 1], b)
    every = [
        metrics.clustering_accuracy(labels, assignment[list(order)])
        for order in itertools.permutations(range(len(labels)))
    ]
    assert metrics.clustering_accuracy_null(labels, assignment) == pytest.approx(np.mean(every), rel=1e-12)


def test_null_of_a_thousand_points_is_the_published_bias():
    labels = np.repeat([0, 1], 500)
    null = metrics.clustering_accuracy_null(labels, labels)
    # science.md 4.3 gives the leading term; the permutation null differs from it at order 1/n^1.5.
    assert null == pytest.approx(0.5 + 1 / math.sqrt(2 * math.pi * 1000), abs=1e-5)
    assert metrics.clustering_accuracy_corrected(labels, labels) == 1


def test_null_of_three_groups_is_drawn_from_permutations():
    labels, assignment = np.repeat([0, 1, 2], 2), np.array([0, 0, 1, 1, 2, 2])
    every = [metrics.clustering_accuracy(labels, assignment[list(order)]) for order in itertools.permutations(range(6))]
    drawn = metrics.clustering_accuracy_null(labels, assignment)
    # Four standard errors of the mean of the draws.
    assert drawn == pytest.approx(np.mean(every), abs=4 * np.std(every) / math.sqrt(1000))
    assert drawn == metrics.clustering_accuracy_null(labels, assignment)


def test_random_assignments_score_zero_on_average():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    values = [metrics.clustering_accuracy_corrected(labels, rng.permutation(labels)) for _ in range(400)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / 20)


def test_nothing_to_correct():
    with pytest.raises(DataError, match="nothing to correct"):
        metrics.clustering_accuracy_corrected(np.zeros(4, dtype=int), np.zeros(4, dtype=int))


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 15)
    x = 8 * np.eye(3)[labels] + rng.standard_normal((45, 3))
    order = rng.permutation(45)
    return x[order], labels[order]


def test_separated_blobs_are_found_by_all_three(blobs):
    x, labels = blobs
    affinity = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=2) / 20)
    assert metrics.adjusted_rand_index(labels, metrics.cluster_kmeans(x, 3)) == 1
    found = metrics.cluster_kernel_kmeans(x @ x.T, 3)
    assert metrics.adjusted_rand_index(labels, found.assignment) == 1
    assert found.clipped < 1e-12
    assert metrics.adjusted_rand_index(labels, metrics.cluster_spectral(affinity, 3)) == 1


def kernel_objective(gram, assignment):
    """Sum of squared distances to the cluster means in feature space."""
    total = np.trace(gram)
    for c in np.unique(assignment):
        members = assignment == c
        total -= gram[np.ix_(members, members)].sum() / members.sum()
    return total


def test_kernel_kmeans_reaches_the_best_of_all_partitions():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((8, 8))
    gram = a @ a.T
    found = metrics.cluster_kernel_kmeans(gram, 2, restarts=50).assignment
    best = min(
        kernel_objective(gram, np.array([0, *bits])) for bits in itertools.product([0, 1], repeat=7) if any(bits)
    )
    assert kernel_objective(gram, found) == pytest.approx(best, rel=1e-10)


def test_indefinite_kernels_are_clipped_and_that_is_reported(blobs):
    x, labels = blobs
    values, vectors = np.linalg.eigh(x @ x.T)
    values[0] = -0.25 * values.sum()
    gram = vectors * values @ vectors.T
    found = metrics.cluster_kernel_kmeans(gram, 3)
    assert found.clipped == pytest.approx(0.2, rel=1e-6)
    assert metrics.adjusted_rand_index(labels, found.assignment) == 1


def test_every_cluster_has_points_and_the_seed_decides(blobs):
    x, _ = blobs
    for k in (2, 5, 20, 45):
        assignment = metrics.cluster_kmeans(x, k, restarts=2, seed=1)
        assert sorted(set(assignment)) == list(range(k))
        np.testing.assert_array_equal(assignment, metrics.cluster_kmeans(x, k, restarts=2, seed=1))


def test_what_cannot_be_clustered(blobs):
    x, _ = blobs
    with pytest.raises(DataError, match="fewer than 2 distinct"):
        metrics.cluster_kmeans(np.ones((5, 2)))
    with pytest.raises(DataError, match="not symmetric"):
        metrics.cluster_kernel_kmeans(np.triu(np.ones((4, 4))))
    with pytest.raises(DataError, match="no positive eigenvalue"):
        metrics.cluster_kernel_kmeans(-np.eye(4))
    with pytest.raises(DataError, match="negative value"):
        metrics.cluster_spectral(x @ x.T - 100)
    with pytest.raises(DataError, match="no affinity"):
        metrics.cluster_spectral(np.diag([1.0, 1.0, 0.0]))
