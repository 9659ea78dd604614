"""Class means and points on the principal axes of the centred class means: what a picture of collapse shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.metrics import class_statistics


@dataclass(frozen=True)
class ClassProjection:
    """Coordinates on the first principal axes of the centred class means, about the mean of the class means.

    Attributes
    ----------
    means : ndarray of shape (C, axes), float64
        Class means.
    points : ndarray of shape (m, axes), float64
        The points asked for.
    shares : ndarray of shape (axes,), float64
        Share of the class means' variance along each axis; zero on axes along which the means do not differ.
    cosines : ndarray of shape (C, C), float64
        Of the angles between the centred class means, not only of their projections: off the diagonal -1/(C-1) in a
        simplex. Zero for a mean that is the mean of the means.
    """

    means: FloatArray
    points: FloatArray
    shares: FloatArray
    cosines: FloatArray


def project_on_class_means(features: Any, labels: Any, points: IntArray, axes: int = 3) -> ClassProjection:
    """Project class means and some points on the principal axes of the centred class means.

    Parameters
    ----------
    features : array of shape (n, p), float32 or float64
        Features.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    points : ndarray of shape (m,), integer
        Rows to project.
    axes : int, default 3
        Number of axes.
    """
    data = class_statistics.read_labelled(features, labels)
    statistics = class_statistics.means_of(data)
    assert statistics.means is not None
    about = np.asarray(data.features[points], dtype=np.float64) - statistics.means.mean(axis=0)
    return _project(statistics, about @ statistics.centred.T, axes)


def project_on_class_means_from_gram(gram: Any, labels: Any, points: IntArray, axes: int = 3) -> ClassProjection:
    """Return what :func:`project_on_class_means` does, of points of which only the inner products are known.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    labels, points, axes
        As for features.
    """
    statistics = class_statistics.from_gram(gram, labels)
    kernel, y = np.asarray(gram, dtype=np.float64), np.asarray(labels)
    average = class_statistics.membership(y, statistics.classes) / statistics.counts[:, None]
    centre = average.mean(axis=0)
    centred = average - centre
    return _project(statistics, (kernel[points] - centre @ kernel) @ centred.T, axes)


def _project(statistics: class_statistics.ClassStatistics, products: FloatArray, axes: int) -> ClassProjection:
    """Project, given the inner products (m, C) of the points with the centred class means.

    The k-th axis is M^T u_k / sqrt(l_k), with M M^T = sum_k l_k u_k u_k^T.
    """
    values, vectors = np.linalg.eigh(statistics.gram)
    kept = min(axes, len(values))
    values, vectors = values[::-1][:kept], vectors[:, ::-1][:, :kept]
    # An eigenvector has either sign: the class that lies farthest out is on the positive side.
    vectors = vectors * np.where(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(kept)] < 0, -1.0, 1.0)
    real = values > statistics.floor
    lengths = np.sqrt(np.where(real, values, 1.0))
    total = float(np.trace(statistics.gram))
    squares = np.diagonal(statistics.gram)
    norms = np.sqrt(np.where(squares > statistics.floor, squares, np.inf))
    wide = ((0, 0), (0, axes - kept))
    return ClassProjection(
        np.pad(vectors * np.where(real, lengths, 0.0), wide),
        np.pad(products @ (vectors * np.where(real, 1 / lengths, 0.0)), wide),
        np.pad(np.where(real, values, 0.0) / (total or 1.0), wide[1]),
        statistics.gram / np.outer(norms, norms),
    )
