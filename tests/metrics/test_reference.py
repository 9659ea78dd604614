"""Elasticity metrics against the released code of He & Su 2020 (tests/reference/README.md says how it was run)."""

from pathlib import Path

import numpy as np
import pytest

from lebench import metrics


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).parents[1] / "reference" / "local_elasticity_metrics.npz") as arrays:
        return dict(arrays)


def test_symmetrized_and_normalized_kernels(released):
    symmetric = metrics.symmetrize(released["kernel_raw"])
    np.testing.assert_array_equal(symmetric, released["kernel_sym"])
    np.testing.assert_allclose(metrics.normalize(symmetric), released["kernel_normalized"], rtol=1e-14)


def test_distance_from_the_kernel(released):
    # The released distance is the square root of a difference: rounding leaves 1e-8 where it is zero.
    np.testing.assert_allclose(
        metrics.kernel_distance(released["kernel_sym"]), released["kernel_distance_top10"], rtol=1e-9, atol=1e-7
    )


def test_kernel_kmeans_finds_the_same_clusters(released):
    found = metrics.cluster_kernel_kmeans(released["kernel_sym"]).assignment
    # The released code numbers its clusters from 1 in an order of its own.
    assert metrics.adjusted_rand_index(released["kernel_kmeans"].astype(int), found) == 1


def test_correlation_with_distance(released):
    similarity, distance = released["torus_relu"], released["torus_distance"]
    with_diagonal = np.corrcoef(similarity.ravel(), distance.ravel())[0, 1]
    assert with_diagonal == pytest.approx(-0.9663743132573868, rel=1e-12)
    # Without the diagonal, where every similarity is 1 and every distance 0, a little less is explained.
    assert metrics.distance_pearson(similarity, distance) == pytest.approx(-0.964886, abs=1e-6)
    assert metrics.distance_pearson(released["torus_linear"], distance) > -0.1
