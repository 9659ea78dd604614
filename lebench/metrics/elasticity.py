"""Local elasticity: what a matrix of similarities says about classes and about distance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, as_square, as_symmetric, in_units
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.planted import block_similarity

_TAGS = ("elasticity",)
_RATIO_SOURCE = "Chen, He & Su 2020 (LANTK), local elasticity ratio; diagonal excluded (our choice)"


def symmetrize(similarity: Any) -> FloatArray:
    """Return (S + S^T)/2, float64 (He & Su 2020).

    Parameters
    ----------
    similarity : array of shape (n, n), float32 or float64
        Similarity of a set of points on itself.
    """
    s = as_square("similarities", similarity)
    return np.ascontiguousarray((s + s.T) / 2)


def normalize(similarity: Any) -> FloatArray:
    """Return S_ij / sqrt(S_ii S_jj), float64 (He & Su 2020).

    Takes what :func:`symmetrize` takes.

    Raises
    ------
    DataError
        If the diagonal is not positive, or the matrix not square or not finite.
    """
    s = as_square("similarities", similarity)
    return normalize_kernel(s, np.diagonal(s), np.diagonal(s))


def normalize_kernel(kernel: Any, row_diagonal: Any, column_diagonal: Any) -> FloatArray:
    """Return K(x, x') / sqrt(K(x, x) K(x', x')) for two sets of points, float64.

    Parameters
    ----------
    kernel : array of shape (n, m), float32 or float64
        Kernel between the two sets.
    row_diagonal, column_diagonal : array of shapes (n,) and (m,)
        The same kernel of each point with itself.

    Raises
    ------
    DataError
        If a diagonal entry is not positive, or the shapes do not fit.
    """
    k = as_floats("kernel entries", kernel, 2)
    rows, columns = as_floats("row diagonals", row_diagonal, 1), as_floats("column diagonals", column_diagonal, 1)
    if k.shape != (len(rows), len(columns)):
        raise DataError(f"a kernel of shape {k.shape} does not fit {len(rows)} row and {len(columns)} column diagonals")
    if min(rows.min(), columns.min()) <= 0:
        raise DataError("a diagonal entry is not positive: the normalized kernel is undefined")
    return np.asarray(k / np.sqrt(rows)[:, None] / np.sqrt(columns)[None, :])


def kernel_distance(gram: Any, components: int = 10) -> FloatArray:
    """Return distances between points embedded by the leading eigenvectors of a kernel.

    The embedding is the eigenvectors times the square roots of their eigenvalues; negative eigenvalues are left out.
    He & Su 2020 correlate this distance with the geodesic one.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    components : int
        How many eigenvectors, of the largest eigenvalues.

    Returns
    -------
    ndarray of shape (n, n), float64

    Raises
    ------
    DataError
        If the matrix is not symmetric or not finite, or `components` is not positive.
    """
    if components < 1:
        raise DataError(f"components is {components}: at least one is needed")
    values, vectors = np.linalg.eigh(as_symmetric("kernel entries", gram))
    embedded = vectors[:, -components:] * np.sqrt(np.clip(values[-components:], 0, None))
    squares = np.einsum("ij,ij->i", embedded, embedded)
    return np.asarray(np.sqrt(np.clip(squares[:, None] + squares[None, :] - 2 * embedded @ embedded.T, 0, None)))


def _split_by_class(similarity: Any, labels: Any, target_labels: Any | None) -> tuple[FloatArray, FloatArray]:
    """Return the entries within and between classes; without target labels the diagonal is left out."""
    s = as_floats("similarities", similarity, 2)
    sources = as_labels("labels", labels, s.shape[0])
    if target_labels is None:
        if s.shape[0] != s.shape[1]:
            raise DataError(f"similarities have shape {s.shape}: give target_labels for the columns")
        targets, kept = sources, ~np.eye(len(s), dtype=bool)
    else:
        targets, kept = as_labels("target_labels", target_labels, s.shape[1]), np.ones(s.shape, dtype=bool)
    same: NDArray[np.bool_] = sources[:, None] == targets[None, :]
    within, between = s[same & kept], s[~same]
    if not within.size or not between.size:
        which = "within one class" if not within.size else "between two classes"
        raise DataError(f"there is no pair of points {which}: the similarity cannot be split by class")
    return within, between


def _block() -> dict[str, Any]:
    similarity, labels = block_similarity(0.3, 0.2, (50, 50))
    return {"similarity": similarity, "labels": labels}


def _block_unbalanced() -> dict[str, Any]:
    similarity, labels = block_similarity(0.9, 0.1, (3, 7, 5))
    return {"similarity": similarity, "labels": labels}


def _block_rectangular() -> dict[str, Any]:
    sources, targets = np.repeat([0, 1], 4), np.repeat([0, 1, 2], 3)
    similarity = np.where(sources[:, None] == targets[None, :], 0.3, 0.2)
    return {"similarity": similarity, "labels": sources, "target_labels": targets}


@metric(
    symbol=r"\bar S_\mathrm{w}",
    equation=r"\mathrm{mean}\{S_{ij} : i\ne j,\ y_i = y_j\}",
    source=_RATIO_SOURCE,
    direction="none",
    invariant_to=("permutation",),
    known_answers=(KnownAnswer("blocks of .3 and .2", _block, 0.3, "by construction"),),
    tags=_TAGS,
)
def within_class_similarity(similarity: Any, labels: Any, target_labels: Any | None = None) -> float:
    """Mean similarity of pairs of the same class, diagonal excluded.

    Parameters
    ----------
    similarity : array of shape (n, m), float32 or float64
        Row = source, column = target.
    labels : array of shape (n,), integer
        Classes of the sources.
    target_labels : array of shape (m,), integer, optional
        Classes of the targets, if they are other points than the sources. Without them the matrix is square and its
        diagonal, a point's similarity with itself, is left out.

    Raises
    ------
    DataError
        If the arrays do not fit or are not finite, or there is no pair within or no pair between classes.
    """
    return float(_split_by_class(similarity, labels, target_labels)[0].mean())


@metric(
    symbol=r"\bar S_\mathrm{b}",
    equation=r"\mathrm{mean}\{S_{ij} : y_i \ne y_j\}",
    source=_RATIO_SOURCE,
    direction="none",
    invariant_to=("permutation",),
    known_answers=(KnownAnswer("blocks of .3 and .2", _block, 0.2, "by construction"),),
    tags=_TAGS,
)
def between_class_similarity(similarity: Any, labels: Any, target_labels: Any | None = None) -> float:
    """Mean similarity of pairs of different classes.

    Takes what :func:`within_class_similarity` takes.
    """
    return float(_split_by_class(similarity, labels, target_labels)[1].mean())


@metric(
    symbol=r"R",
    equation=r"\frac{\bar S_\mathrm{w}}{\bar S_\mathrm{w} + \bar S_\mathrm{b}}",
    source=_RATIO_SOURCE,
    direction="higher",
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("blocks of .3 and .2", _block, 0.6, "p/(p+q); 0.6108949 if the diagonal is included"),
        KnownAnswer("blocks of .9 and .1, classes of 3, 7, 5", _block_unbalanced, 0.9, "p/(p+q)"),
        KnownAnswer("blocks of .3 and .2, other targets", _block_rectangular, 0.6, "p/(p+q)"),
        KnownAnswer(
            "no elasticity",
            lambda: {"similarity": np.ones((6, 6)), "labels": np.arange(6) % 2},
            0.5,
            "a constant kernel",
        ),
    ),
    tags=_TAGS,
)
def elasticity_ratio(similarity: Any, labels: Any, target_labels: Any | None = None) -> float:
    """Mean similarity within classes over the sum of the means within and between; 1/2 is no elasticity.

    It lies in [0, 1] if no entry is negative; publish :func:`elasticity_difference` beside it.
    Takes what :func:`within_class_similarity` takes.

    Raises
    ------
    DataError
        If the two means sum to zero, or as :func:`within_class_similarity`.

    Examples
    --------
    >>> elasticity_ratio(np.array([[1, 0.75, 0.25], [0.75, 1, 0.25], [0.25, 0.25, 1]]), np.array([0, 0, 1]))
    0.75
    """
    within, between = _split_by_class(similarity, labels, target_labels)
    mean_within, mean_between = within.mean(), between.mean()
    # Rounding of cancelling entries is no ratio either, so zero is measured against their size.
    size = np.abs(within).mean() + np.abs(between).mean()
    if abs(mean_within + mean_between) <= 1e-12 * size or size == 0:
        raise DataError("the mean similarities within and between classes sum to zero: their ratio is undefined")
    return float(mean_within / (mean_within + mean_between))


@metric(
    symbol=r"\bar S_\mathrm{w} - \bar S_\mathrm{b}",
    equation=r"\bar S_\mathrm{w} - \bar S_\mathrm{b}",
    source="published beside the ratio, which cancelling entries leave undefined (our choice)",
    direction="higher",
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer("blocks of .3 and .2", _block, 0.1, "p - q"),
        KnownAnswer(
            "labels y y^T",
            lambda: {"similarity": np.outer([1.0, 1, -1, -1], [1.0, 1, -1, -1]), "labels": np.array([0, 0, 1, 1])},
            2.0,
            "1 - (-1), where the ratio is undefined",
        ),
    ),
    tags=_TAGS,
)
def elasticity_difference(similarity: Any, labels: Any, target_labels: Any | None = None) -> float:
    """Mean similarity within classes minus the mean between classes.

    Takes what :func:`within_class_similarity` takes.
    """
    within, between = _split_by_class(similarity, labels, target_labels)
    return float(within.mean() - between.mean())


def _off_diagonal_pairs(similarity: Any, distance: Any) -> tuple[FloatArray, FloatArray]:
    s, d = as_square("similarities", similarity), as_square("distances", distance)
    if s.shape != d.shape:
        raise DataError(f"similarities of shape {s.shape} do not fit distances of shape {d.shape}")
    if len(s) < 3:
        raise DataError(f"{len(s)} points are too few for a correlation: at least 3 are needed")
    kept = ~np.eye(len(s), dtype=bool)
    return s[kept], d[kept]


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = in_units(a), in_units(b)
    a, b = a - a.mean(), b - b.mean()
    norms = math.sqrt(float(a @ a) * float(b @ b))
    if norms == 0:
        raise DataError("the similarities or the distances are all equal: their correlation is undefined")
    return float(np.clip(a @ b / norms, -1, 1))


def _points_on_a_line(function: Any) -> dict[str, Any]:
    t = np.random.default_rng(0).random(12)
    distance = np.abs(t[:, None] - t[None, :])
    return {"similarity": function(distance), "distance": distance}


def _three_points() -> dict[str, Any]:
    # Pairs (distance, similarity): (1, 3), (2, 1), (3, 2), in both orders: correlation of 1, 2, 3 and 3, 1, 2.
    distance = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
    similarity = np.array([[9.0, 3, 1], [3, 9, 2], [1, 2, 9]])
    return {"similarity": similarity, "distance": distance}


@metric(
    symbol=r"r(S, d)",
    equation=r"\mathrm{corr}\{(S_{ij}, d_{ij}) : i \ne j\}",
    source="He & Su 2020, section 3, diagonal excluded (our choice: the released code includes it)",
    direction="lower",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer(
            "similarity linear in distance", lambda: _points_on_a_line(lambda d: 2 - 0.5 * d), -1.0, "linear decreasing"
        ),
        KnownAnswer("three points", _three_points, -0.5, "hand calculation"),
    ),
    tags=_TAGS,
)
def distance_pearson(similarity: Any, distance: Any) -> float:
    """Pearson correlation of similarity with distance over ordered pairs of different points.

    Parameters
    ----------
    similarity : array of shape (n, n), float32 or float64
        Row = source, column = target.
    distance : array of shape (n, n), float32 or float64
        Geodesic distances of the same points.

    Raises
    ------
    DataError
        If the shapes differ, there are fewer than 3 points, or all values are equal.
    """
    return _correlation(*_off_diagonal_pairs(similarity, distance))


@metric(
    symbol=r"\rho(S, d)",
    equation=r"\mathrm{corr}\{(\mathrm{rank}\,S_{ij}, \mathrm{rank}\,d_{ij}) : i \ne j\}",
    source="the rank form of the correlation of He & Su 2020, section 3 (our choice); ties get their mean rank",
    direction="lower",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation", "monotone"),
    known_answers=(
        KnownAnswer(
            "similarity decreasing in distance", lambda: _points_on_a_line(lambda d: np.exp(-3 * d)), -1.0, "monotone"
        ),
        KnownAnswer("three points", _three_points, -0.5, "hand calculation"),
    ),
    tags=_TAGS,
)
def distance_spearman(similarity: Any, distance: Any) -> float:
    """Spearman correlation of similarity with distance over ordered pairs of different points.

    Parameters
    ----------
    similarity : array of shape (n, n), float32 or float64
        Row = source, column = target.
    distance : array of shape (n, n), float32 or float64
        Geodesic distances of the same points.
    """
    s, d = _off_diagonal_pairs(similarity, distance)
    return _correlation(rankdata(s), rankdata(d))
