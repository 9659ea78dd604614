"""What the collapse metrics need to know of features: a few class statistics, from features, a Gram matrix or a stream.

No (p, p) matrix is formed for features in memory. With M the (C, p) centred class means, the trace of NC1 is

    Tr(Sigma_W Sigma_B^+) = C sum_k u_k^T Q u_k / l_k^2,    M M^T = sum_k l_k u_k u_k^T,    Q = M Sigma_W M^T,

so that the (C, C) matrices M M^T and Q are enough, and a Gram matrix gives both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, as_symmetric, class_counts, read_floats

#: Numbers in a block of features that is worked on at a time (1 MB in float32), so that it stays in the cache.
_BLOCK = 1 << 18

_EPS = float(np.finfo(np.float64).eps)

#: Squared lengths and eigenvalues below this fraction of the largest are rounding.
_DEGENERATE = 1e-13


@dataclass(frozen=True)
class ClassStatistics:
    """Class statistics of n features in p dimensions.

    Attributes
    ----------
    counts : ndarray of shape (C,), int64
        Points per class.
    gram : ndarray of shape (C, C), float64
        M M^T of the centred class means M.
    rounding : float
        Squared length below which a difference of class means is rounding.
    dimension : int or None
        p; None if only a Gram matrix is known.
    means : ndarray of shape (C, p), float64, or None
        Class means; None if only a Gram matrix is known.
    variances : ndarray of shape (C,), float64, or None
        Mean squared distance to the class mean; None before the points were looked at a second time.
    scatter : ndarray of shape (C, C), float64, or None
        Q = M Sigma_W M^T, with Sigma_W the mean over all points.
    nearest : float or None
        Fraction of points strictly nearest to the centre of their class.
    disagreement : float or None
        Fraction of points on which the classifier and the nearest centre disagree.
    """

    counts: IntArray
    gram: FloatArray
    rounding: float
    dimension: int | None = None
    means: FloatArray | None = None
    variances: FloatArray | None = None
    scatter: FloatArray | None = None
    nearest: float | None = None
    disagreement: float | None = None

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.counts)

    @property
    def centred(self) -> FloatArray:
        """Centred class means M, of shape (C, p)."""
        assert self.means is not None
        return np.asarray(self.means - self.means.mean(axis=0))

    @property
    def floor(self) -> float:
        """Squared length, or eigenvalue of M M^T, that cannot be told from zero."""
        return max(self.rounding, _DEGENERATE * float(np.diagonal(self.gram).max()))

    @property
    def rank(self) -> int:
        """Rank of Sigma_B in general position: C-1, or p if that is smaller."""
        return self.classes - 1 if self.dimension is None else min(self.classes - 1, self.dimension)


@dataclass(frozen=True)
class Labelled:
    """Checked features, labels and class counts."""

    features: NDArray[Any]
    labels: IntArray
    counts: IntArray

    def blocks(self) -> Iterator[tuple[IntArray, NDArray[Any]]]:
        """Yield ``(labels, rows)``, a few hundred rows at a time, in the features' own dtype and without copying."""
        n, p = self.features.shape
        rows = block_rows(p)
        for start in range(0, n, rows):
            yield self.labels[start : start + rows], self.features[start : start + rows]


def block_rows(p: int) -> int:
    """Return how many rows of p float64 numbers to work on at a time."""
    return max(_BLOCK // p, 16)


def unit_of(statistics: ClassStatistics, features: Any) -> float:
    """Return a power of two to divide features by whose fourth powers over- or underflow, else 1."""
    spread = float(np.diagonal(statistics.gram).max())
    if 1e-60 < spread < 1e60:
        return 1.0
    largest = float(np.abs(read_floats("features", features, 2)).max(initial=0.0))
    return 1.0 if largest == 0 else float(np.ldexp(1.0, int(np.frexp(largest)[1])))


def read_labelled(features: Any, labels: Any, classes: int | None = None, *, complete: bool = True) -> Labelled:
    """Check features and labels.

    Parameters
    ----------
    features : array of shape (n, p), float32 or float64
        Features; finiteness is checked when they are summed.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.
    complete : bool
        Whether every class must have points.
    """
    values = read_floats("features", features, 2, finite=False)
    y = as_labels("labels", labels, len(values), classes)
    counts = class_counts("labels", y, classes) if complete else np.bincount(y, minlength=classes or 0)
    return Labelled(values, y, counts)


def membership(labels: IntArray, classes: int) -> FloatArray:
    """Return the (C, n) matrix that sums rows by class."""
    return np.take(np.eye(classes), labels, axis=1)


def means_of(data: Labelled) -> ClassStatistics:
    """Return what the class means alone tell."""
    classes = len(data.counts)
    p = data.features.shape[1]
    sums, buffer = np.zeros((classes, p)), np.empty((block_rows(p), p))
    # Infinity minus infinity is refused below, in one line.
    with np.errstate(invalid="ignore", over="ignore"):
        for labels, block in data.blocks():
            rows = buffer[: len(block)]
            np.copyto(rows, block)
            sums += membership(labels, classes) @ rows
    return from_means(sums / data.counts[:, None], data.counts)


def means_of_classes(features: Any, labels: Any, classes: int | None = None) -> ClassStatistics:
    """Return what the class means alone tell, of features as a caller gives them (see :func:`read_labelled`)."""
    return means_of(read_labelled(features, labels, classes))


def about_centres(features: Any, labels: Any, means: Any, classes: int | None) -> tuple[Labelled, ClassStatistics]:
    """Return the points, and statistics that hold the class centres: `means` if given, else those of the points.

    Parameters
    ----------
    features, labels, classes
        As in :func:`read_labelled`; with `means`, classes may be absent.
    means : array of shape (C, p) or None
        Class centres of other points.

    Raises
    ------
    DataError
        If the arrays do not fit, or a class is missing and no means are given.
    """
    if means is None:
        data = read_labelled(features, labels, classes)
        return data, means_of(data)
    centres = as_floats("means", means, 2)
    if len(centres) < 2:
        raise DataError(f"means have shape {centres.shape}: a row for each of at least two classes is needed")
    data = read_labelled(features, labels, len(centres), complete=False)
    if centres.shape[1] != data.features.shape[1]:
        raise DataError(f"means have shape {centres.shape}, but the features have {data.features.shape[1]} dimensions")
    return data, from_means(centres, data.counts)


def from_means(means: FloatArray, counts: IntArray) -> ClassStatistics:
    """Return the statistics of class means (C, p).

    Raises
    ------
    DataError
        If the means are not finite, because a feature is not.
    """
    if not np.isfinite(means).all():
        raise DataError("features contain NaN or infinity")
    centred = means - means.mean(axis=0)
    size = float(np.einsum("ij,ij->i", means, means).max())
    return ClassStatistics(counts, centred @ centred.T, (64 * _EPS) ** 2 * size, means.shape[1], means)


def look_again(
    data: Labelled, statistics: ClassStatistics, head: tuple[FloatArray, FloatArray] | None = None
) -> ClassStatistics:
    """Return the statistics completed by a second pass over the points.

    One product of the deviations h - mu_y with [M; W] gives scatter, nearest centre and the classifier's choice.
    Deviations of float32 features are taken in float32 about the rounded means, which costs no more than the rounding
    of the features did; what the rounding of the means left is put back in float64, and all sums are float64.

    Parameters
    ----------
    data : Labelled
        The points.
    statistics : ClassStatistics
        With class means: of the same points; or of others, and then only `nearest` and `disagreement` have a meaning.
    head : tuple of weights (C, p) and bias (C,), optional
        The classifier of NC4.
    """
    assert statistics.means is not None
    classes, centred = statistics.classes, statistics.centred
    directions = np.ascontiguousarray(np.concatenate([centred] if head is None else [centred, head[0]]).T)
    dtype = data.features.dtype
    rounded, rounded_directions = statistics.means.astype(dtype), directions.astype(dtype)
    left = statistics.means - rounded
    left_products = left @ directions
    # Inner products with h - mu_y are completed by those with mu_y, one row per class.
    completions = centred @ centred.T - 0.5 * np.einsum("ij,ij->i", centred, centred)
    if head is not None:
        completions = np.concatenate([completions, statistics.means @ head[0].T + head[1]], axis=1)
    completions -= left_products
    squares, scatter = np.zeros(classes), np.zeros((classes, classes))
    near = differ = 0
    buffer = np.empty((block_rows(len(directions)), len(directions)), dtype=dtype)
    for labels, block in data.blocks():
        deviations = buffer[: len(labels)]
        # "clip" lets NumPy write straight into the buffer; the labels are in range.
        np.take(rounded, labels, axis=0, out=deviations, mode="clip")
        np.subtract(block, deviations, out=deviations)
        squares += np.bincount(labels, weights=np.einsum("ij,ij->i", deviations, deviations), minlength=classes)
        products = (deviations @ rounded_directions).astype(np.float64, copy=False)
        scatter += products[:, :classes].T @ products[:, :classes]
        products += np.take(completions, labels, axis=0)
        nearest = unique_argmax(products[:, :classes])
        near += int(np.count_nonzero(nearest == labels))
        if head is not None:
            differ += int(np.count_nonzero((nearest != unique_argmax(products[:, classes:])) | (nearest < 0)))
    if not np.isfinite(squares).all():
        raise DataError("features contain NaN or infinity")
    # The deviations of a class sum to its count times what the rounding left; the points' own means leave none.
    squares = np.maximum(squares - data.counts * np.einsum("ij,ij->i", left, left), 0)
    left_within = left_products[:, :classes]
    scatter -= left_within.T @ (data.counts[:, None] * left_within)
    n = len(data.labels)
    return replace(
        statistics,
        variances=squares / np.maximum(data.counts, 1),
        scatter=scatter / n,
        nearest=near / n,
        disagreement=None if head is None else differ / n,
    )


def unique_argmax(scores: FloatArray) -> IntArray:
    """Return the column of the largest score of each row, or -1 where it is tied."""
    first = np.argmax(scores, axis=1)
    last = scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)
    return np.where(first == last, first, -1)


def from_gram(gram: Any, labels: Any, classes: int | None = None, dimension: int | None = None) -> ClassStatistics:
    """Return the statistics of points of which only the inner products are known.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        K = H H^T, symmetric.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.
    dimension : int, optional
        Dimension of the features, if it is known to be smaller than C-1.
    """
    kernel = as_symmetric("kernel entries", gram)
    y = as_labels("labels", labels, len(kernel), classes)
    counts = class_counts("labels", y, classes)
    average = membership(y, len(counts)) / counts[:, None]
    with_means = average @ kernel
    means = with_means @ average.T
    means = (means + means.T) / 2
    centred = with_means - with_means.mean(axis=0)
    own = centred @ average.T
    deviations = centred - own[:, y]
    distances = with_means.T - 0.5 * np.diagonal(means)
    return ClassStatistics(
        counts,
        own - own.mean(axis=1, keepdims=True),
        64 * _EPS * float(np.abs(np.diagonal(means)).max()),
        dimension,
        # Rounding can leave a collapsed class slightly below zero.
        variances=np.clip(average @ np.diagonal(kernel) - np.diagonal(means), 0, None),
        scatter=deviations @ deviations.T / len(y),
        nearest=float(np.mean(unique_argmax(distances) == y)),
    )
