"""Clustering of similarities, and how well it finds hidden classes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import hypergeom

from lebench.arrays import IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, as_symmetric
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("elasticity", "clustering")

#: Permutations drawn for the null expectation where no closed form is known (more than two groups).
NULL_DRAWS = 1000


class KernelClustering(NamedTuple):
    """A clustering found from a kernel.

    Attributes
    ----------
    assignment : ndarray of shape (n,), int64
        Cluster 0 to k-1 of each point; every cluster has points.
    clipped : float
        Sum of the absolute negative eigenvalues that were set to zero, over the sum of all absolute eigenvalues;
        0 for a positive semi-definite kernel.
    """

    assignment: IntArray
    clipped: float


def cluster_kmeans(rows: Any, k: int = 2, restarts: int = 10, seed: int = 0) -> IntArray:
    """Cluster points by k-means, the best of several restarts, without empty clusters.

    Parameters
    ----------
    rows : array of shape (n, p), float32 or float64
        Points; the rows of a similarity matrix in He & Su 2020.
    k : int
        Number of clusters.
    restarts : int
        How often it is started anew (k-means++).
    seed : int
        Of the restarts.

    Returns
    -------
    ndarray of shape (n,), int64
        Cluster 0 to k-1 of each point.

    Raises
    ------
    DataError
        If there are fewer than k distinct points, or `k` or `restarts` is not positive.
    """
    from sklearn.cluster import KMeans

    points = as_floats("rows", rows, 2)
    if k < 1 or restarts < 1:
        raise DataError(f"k is {k} and restarts is {restarts}: both must be at least 1")
    if len(np.unique(points, axis=0)) < k:
        raise DataError(f"there are fewer than {k} distinct points: they cannot form {k} clusters")
    # A common scale changes no cluster and keeps scikit-learn's squared distances from under- or overflowing.
    scale = np.abs(points).max() or 1.0
    fitted = KMeans(k, n_init=restarts, random_state=seed, algorithm="lloyd").fit(points / scale)
    return np.asarray(fitted.labels_, dtype=np.int64)


def cluster_kernel_kmeans(gram: Any, k: int = 2, restarts: int = 10, seed: int = 0) -> KernelClustering:
    """Cluster points by k-means in the feature space of a kernel.

    Done as k-means on the rows of V sqrt(L), whose Gram matrix is the kernel with its negative eigenvalues clipped.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix; it may have negative eigenvalues, as finite differences do.
    k, restarts, seed : int
        As in :func:`cluster_kmeans`.

    Raises
    ------
    DataError
        If the matrix is not symmetric, has no positive eigenvalue, or as in :func:`cluster_kmeans`.
    """
    values, vectors = np.linalg.eigh(as_symmetric("kernel entries", gram))
    if values[-1] <= 0:
        raise DataError("the kernel has no positive eigenvalue: nothing to cluster")
    # Eigenvalues at rounding level are zero: they carry noise, and their sign says nothing of the kernel.
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    clipped = float(np.abs(values[values < 0]).sum() / np.abs(values).sum())
    return KernelClustering(cluster_kmeans(vectors[:, kept] * np.sqrt(values[kept]), k, restarts, seed), clipped)


def cluster_spectral(affinity: Any, k: int = 2, restarts: int = 10, seed: int = 0) -> IntArray:
    """Cluster points by the leading eigenvectors of the normalized affinity (Ng, Jordan & Weiss 2001).

    Parameters
    ----------
    affinity : array of shape (n, n), float32 or float64
        Symmetric and non-negative, as symmetrized relative similarities are.
    k, restarts, seed : int
        As in :func:`cluster_kmeans`.

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    DataError
        If the matrix is not symmetric, has a negative entry or a row of zeros, or as in :func:`cluster_kmeans`.
    """
    matrix = as_symmetric("affinities", affinity)
    if matrix.min() < 0:
        raise DataError("affinities contain a negative value: spectral clustering needs non-negative ones")
    degrees = matrix.sum(axis=1)
    if degrees.min() <= 0:
        raise DataError(f"point {int(np.argmin(degrees))} has no affinity with any point")
    scale = 1 / np.sqrt(degrees)
    _, vectors = np.linalg.eigh(scale[:, None] * matrix * scale[None, :])
    leading = vectors[:, len(matrix) - k :]
    norms = np.linalg.norm(leading, axis=1, keepdims=True)
    return cluster_kmeans(leading / np.where(norms > 0, norms, 1.0), k, restarts, seed)


def _contingency(labels: Any, assignment: Any) -> IntArray:
    """Return the number of points of each class (row) in each cluster (column), without empty ones."""
    y = as_labels("labels", labels)
    z = as_labels("assignment", assignment, len(y))
    table = np.zeros((int(y.max()) + 1, int(z.max()) + 1), dtype=np.int64)
    np.add.at(table, (y, z), 1)
    return table[table.any(axis=1)][:, table.any(axis=0)]


def _pairs(counts: NDArray[np.int64]) -> float:
    return float((counts * (counts - 1) // 2).sum())


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _matched(table: NDArray[np.int64]) -> int:
    return int(table[linear_sum_assignment(table, maximize=True)].sum())


def _relabelled() -> dict[str, Any]:
    return {"labels": np.array([0, 0, 1, 1, 2, 2]), "assignment": np.array([2, 2, 0, 0, 1, 1])}


def _independent() -> dict[str, Any]:
    return {"labels": np.array([0, 0, 1, 1]), "assignment": np.array([0, 1, 0, 1])}


def _one_astray() -> dict[str, Any]:
    return {"labels": np.array([0, 0, 0, 1, 1, 1]), "assignment": np.array([0, 0, 1, 1, 1, 1])}


def _entropy_of(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)


_ONE_ASTRAY_ENTROPIES = math.log(2) + _entropy_of(1 / 3, 2 / 3)
_ONE_ASTRAY_NMI = 2 * (1 - _entropy_of(1 / 3, 1 / 6, 1 / 2) / _ONE_ASTRAY_ENTROPIES)


_metric = partial(metric, direction="higher", invariant_to=("permutation",), tags=_TAGS)


@_metric(
    symbol=r"\mathrm{ARI}",
    equation=r"\frac{\sum_{ij}\binom{n_{ij}}2 - E}{\frac12\left(\sum_i\binom{a_i}2 + \sum_j\binom{b_j}2\right) - E},"
    r"\quad E = \sum_i\binom{a_i}2\sum_j\binom{b_j}2\Big/\binom n2",
    source="Hubert & Arabie 1985, eq. 5",
    bounds=(-0.5, 1.0),
    known_answers=(
        KnownAnswer("the classes under other names", _relabelled, 1.0, "identity"),
        KnownAnswer("independent", _independent, -0.5, "0 - 2/3 over 2 - 2/3"),
        KnownAnswer("one of six astray", _one_astray, 12 / 37, "pairs: 4 - 2.8 over 6.5 - 2.8"),
    ),
)
def adjusted_rand_index(labels: Any, assignment: Any) -> float:
    """Agreement of a clustering with classes on pairs of points, corrected for chance; 0 is chance.

    Parameters
    ----------
    labels : array of shape (n,), integer
        Classes.
    assignment : array of shape (n,), integer
        Clusters, under any names.

    Raises
    ------
    DataError
        If the lengths differ, there are fewer than 2 points, or the values are no integers from 0.
    """
    table = _contingency(labels, assignment)
    n = int(table.sum())
    if n < 2:
        raise DataError("one point has no pairs: at least 2 points are needed")
    together, classes, clusters = _pairs(table), _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    expected = classes * clusters / (n * (n - 1) / 2)
    # Both partitions trivial: all points together, or all apart. They are the same, which is perfect agreement.
    if (classes + clusters) / 2 == expected:
        return 1.0
    return (together - expected) / ((classes + clusters) / 2 - expected)


@_metric(
    symbol=r"\mathrm{NMI}",
    equation=r"\frac{2\,I(Y;Z)}{H(Y) + H(Z)}",
    source="Vinh, Epps & Bailey 2010, arithmetic mean of the entropies; not corrected for chance",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer("the classes under other names", _relabelled, 1.0, "identity"),
        KnownAnswer("independent", _independent, 0.0, "no information"),
        KnownAnswer("one of six astray", _one_astray, _ONE_ASTRAY_NMI, "entropies of the table (2 1; 0 3)"),
    ),
)
def normalized_mutual_information(labels: Any, assignment: Any) -> float:
    """Mutual information of classes and clusters over the mean of their entropies.

    Takes what :func:`adjusted_rand_index` takes.
    """
    table = _contingency(labels, assignment)
    classes, clusters = _entropy(table.sum(axis=1)), _entropy(table.sum(axis=0))
    if classes + clusters == 0:
        return 1.0
    information = classes + clusters - _entropy(table[table > 0])
    return float(np.clip(2 * information / (classes + clusters), 0, 1))


@_metric(
    symbol=r"\mathrm{acc}^*",
    equation=r"\max_\pi \frac1n\sum_i \mathbf 1[\pi(z_i) = y_i]",
    source="He & Su 2020 (max(acc, 1 - acc)); for more clusters the best one-to-one matching. Biased under the null",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer("the classes under other names", _relabelled, 1.0, "identity"),
        KnownAnswer("independent", _independent, 0.5, "1/2"),
        KnownAnswer("one of six astray", _one_astray, 5 / 6, "counting"),
    ),
)
def clustering_accuracy(labels: Any, assignment: Any) -> float:
    """Fraction of points in the cluster matched to their class, for the best one-to-one matching.

    Takes what :func:`adjusted_rand_index` takes.
    """
    table = _contingency(labels, assignment)
    return _matched(table) / int(table.sum())


def clustering_accuracy_null(labels: Any, assignment: Any) -> float:
    """Expected clustering accuracy when the assignment is permuted at random.

    With two classes and two clusters the count of one cell is hypergeometric and the expectation exact; for 500 + 500
    points it is 0.5 + 1/sqrt(2 pi n) up to 1e-5 (the bias of the accuracy of He & Su). With more, it is the mean over
    :data:`NULL_DRAWS` permutations from a fixed seed (our choice). Takes what :func:`adjusted_rand_index` takes.
    """
    table = _contingency(labels, assignment)
    n = int(table.sum())
    classes, clusters = table.sum(axis=1), table.sum(axis=0)
    if table.shape == (2, 2):
        a, b = int(classes[0]), int(clusters[0])
        # The cell (0, 0) fixes the table; matched points are n - a - b + 2 cell, or the rest.
        cell = np.arange(max(0, a + b - n), min(a, b) + 1)
        matched = n - a - b + 2 * cell
        return float(hypergeom.pmf(cell, n, a, b) @ np.maximum(matched, n - matched) / n)
    if min(table.shape) == 1:
        return _matched(table) / n
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(classes)), classes)
    z = np.repeat(np.arange(len(clusters)), clusters)
    total = 0
    for _ in range(NULL_DRAWS):
        drawn = np.bincount(y * len(clusters) + rng.permutation(z), minlength=table.size)
        total += _matched(drawn.reshape(table.shape))
    return total / (NULL_DRAWS * n)


@_metric(
    symbol=r"\mathrm{acc}^*_0",
    equation=r"\frac{\mathrm{acc}^* - E_0}{1 - E_0},\quad E_0 = \mathrm E_\sigma\,\mathrm{acc}^*(y, z\circ\sigma)",
    source="our correction of He & Su's accuracy; permutation null as in the adjusted Rand index",
    bounds=(-math.inf, 1.0),
    known_answers=(
        KnownAnswer("the classes under other names", _relabelled, 1.0, "identity"),
        KnownAnswer("independent, 2 + 2 points", _independent, -0.5, "null 2/3 = (1 + 4/2 + 1)/6: (1/2 - 2/3)/(1/3)"),
        KnownAnswer(
            "one of six astray",
            _one_astray,
            6 / 11,
            "null 19/30: hypergeometric(6, 3, 2) gives 5, 3, 5 of 6 matched with weights 1/5, 3/5, 1/5",
        ),
    ),
)
def clustering_accuracy_corrected(labels: Any, assignment: Any) -> float:
    """Clustering accuracy corrected for chance: 0 is what a permuted assignment reaches, 1 is perfect.

    Takes what :func:`adjusted_rand_index` takes.

    Raises
    ------
    DataError
        If a random assignment is always perfect (one class or one cluster), or as :func:`clustering_accuracy`.
    """
    null = clustering_accuracy_null(labels, assignment)
    if null >= 1:
        raise DataError("any permutation of the assignment is perfect: there is nothing to correct for")
    return (clustering_accuracy(labels, assignment) - null) / (1 - null)


def _three_scores() -> dict[str, Any]:
    return {"scores": np.array([0.25, -0.5, 0.125])}


@_metric(
    symbol=r"\Delta",
    equation=r"\max_i s_i - \min_i s_i",
    source="range of a sample; our choice to show how much a score depends on a setting such as the learning rate",
    direction="none",
    bounds=(0.0, math.inf),
    known_answers=(
        KnownAnswer("three scores", _three_scores, 0.75, "1/4 + 1/2"),
        KnownAnswer("equal scores", lambda: {"scores": np.full(4, 0.3)}, 0.0, "identity"),
    ),
)
def spread(scores: Any) -> float:
    """Largest minus smallest of a score over settings that should not matter, or whose effect is asked for.

    Parameters
    ----------
    scores : array of shape (k,), float32 or float64
        One score per setting.

    Raises
    ------
    DataError
        If there are none, or one is not finite.
    """
    values = as_floats("scores", scores, 1)
    return float(values.max() - values.min())
