"""Generalized neural collapse: more classes than dimensions, and imbalanced classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import nnls

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics import class_statistics, planted
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import read_floats, to_numpy
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("collapse",)

_GNC = "Jiang et al. 2023 (generalized neural collapse)"
_WU = "Wu & Papyan 2024 (linguistic collapse)"


def _unit_rows(name: str, rows: FloatArray) -> FloatArray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if norms.min() == 0:
        raise DataError(f"row {int(np.argmin(norms))} of {name} is zero: it has no direction")
    return np.asarray(rows / norms)


def hull_distance(point: FloatArray, others: FloatArray) -> float:
    """Return the distance of a point from the convex hull of others, exactly.

    Non-negative least squares does the quadratic program: with V the differences to the point, the minimum of
    |V^T a|^2 + (1 - sum a)^2 over a >= 0 is d^2/(1 + d^2), and a divided by its sum is the nearest point's combination.

    Parameters
    ----------
    point : ndarray of shape (p,), float64
        The point.
    others : ndarray of shape (k, p), float64
        Corners of the hull.
    """
    differences = others - point
    scale = float(np.abs(differences).max())
    if scale == 0:
        return 0.0
    system = np.vstack([differences.T / scale, np.ones(len(others))])
    target = np.zeros(len(system))
    target[-1] = 1.0
    combination, _ = nnls(system, target)
    return float(np.linalg.norm(combination / combination.sum() @ differences))


def one_vs_rest_distances(weights: Any) -> FloatArray:
    """Return the distance of each classifier from the convex hull of the others, all of unit norm.

    Parameters
    ----------
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer, or class means.

    Returns
    -------
    ndarray of shape (C,), float64

    Raises
    ------
    DataError
        If there are fewer than two rows, or a row is zero or not finite.
    """
    rows = _unit_rows("weights", formula.read_weights(weights))
    if rows.shape[1] > len(rows):
        # Distances need only the span of the rows.
        rows = np.linalg.qr(rows.T)[1].T
    return np.array([hull_distance(rows[c], np.delete(rows, c, axis=0)) for c in range(len(rows))])


def _on_features(points: FloatArray) -> dict[str, Any]:
    """Return three points per class, of different norms, at each row."""
    return {
        "features": np.concatenate([points, 2 * points, 5 * points]),
        "labels": np.tile(np.arange(len(points)), 3),
    }


def _turned(angle: float) -> dict[str, Any]:
    """Return six classes on a circle, and classifiers turned by an angle against them."""
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return {**_on_features(planted.circle(6)), "weights": planted.circle(6) @ turn}


def _half_turned() -> dict[str, Any]:
    """Return the simplex in two dimensions centred at zero, with two classifiers along the means and one against."""
    points = planted.simplex_frame(3, 2)
    return {**_on_features(points), "weights": points * np.array([[1.0], [1.0], [-2.0]])}


def _spread_on_a_circle() -> dict[str, Any]:
    """Return two classes around opposite directions in the plane: each has points at 0, 60 and -60 degrees of it."""
    angles = np.array([0.0, 60, -60, 180, 240, 120]) * math.pi / 180
    lengths = np.arange(1.0, 7.0)[:, None]
    return {"features": lengths * np.stack([np.cos(angles), np.sin(angles)], axis=1), "labels": np.repeat([0, 1], 3)}


def _weights(planter: Callable[..., FloatArray], *arguments: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"weights": planter(*arguments)}


_metric = partial(metric, direction="lower", invariant_to=("permutation", "rotation", "scale"), tags=_TAGS)


@_metric(
    symbol=r"\mathrm{GNC1}",
    equation=r"\frac1C\,\mathrm{Tr}\left(\Sigma_W\,\Sigma_B^{+}\right)\ \text{of}\ h/\|h\|",
    source=f"{_GNC}, GNC1: NC1 of unit-norm features",
    bounds=(0.0, math.inf),
    known_answers=(
        KnownAnswer("norms differ, directions do not", lambda: _on_features(planted.circle(6)), 0.0, "no spread"),
        KnownAnswer("0, 60 and -60 degrees", _spread_on_a_circle, 1 / 16, "variance 1/18 over (2/3)^2, over C = 2"),
    ),
)
def gnc1(features: Any, labels: Any, classes: int | None = None) -> float:
    """NC1 of the features scaled to unit norm.

    Parameters
    ----------
    features : array of shape (n, p), float32 or float64
        Input of the last layer.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.

    Raises
    ------
    DataError
        If a feature is zero, or as :func:`~lebench.metrics.nc1_pinv_over_C`.
    """
    data = class_statistics.read_labelled(_unit_features(features), labels, classes)
    statistics = class_statistics.look_again(data, class_statistics.means_of(data))
    return formula.nc1_trace(statistics) / statistics.classes


def _unit_features(features: Any) -> FloatArray:
    return _unit_rows("features", np.asarray(read_floats("features", features, 2), dtype=np.float64))


@_metric(
    symbol=r"\rho_\mathrm{ovr}",
    equation=r"\min_k \mathrm{dist}\left(\hat w_k,\ \mathrm{conv}\{\hat w_j : j\ne k\}\right)",
    source=f"{_GNC}, GNC2; the exact quadratic program (the released code descends on a gradient)",
    direction="higher",
    bounds=(0.0, 2.0),
    known_answers=(
        *(
            KnownAnswer(f"simplex frame of {c}", _weights(planted.simplex_frame, c, 12), c / (c - 1), "C/(C-1)")
            for c in (2, 3, 10)
        ),
        *(
            KnownAnswer(
                f"{c} points on a circle",
                _weights(planted.circle, c),
                1 - math.cos(2 * math.pi / c),
                "1 - cos(2 pi/C)",
                rtol=1e-11,
                rtol32=1e-4,
            )
            for c in (5, 6, 20)
        ),
        KnownAnswer("cross-polytope", _weights(planted.cross_polytope, 4), 1.0, "the origin is nearest"),
    ),
)
def gnc2_margin(weights: Any) -> float:
    """Smallest distance of a unit classifier from the convex hull of the others: the one-vs-rest distance.

    Parameters
    ----------
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer, or class means.
    """
    return float(one_vs_rest_distances(weights).min())


@_metric(
    symbol=r"\mathrm{Var}\ln d^{-1}",
    equation=r"\mathrm{Var}_{c<c'}\ \ln\frac1{\|\hat w_c - \hat w_{c'}\|}",
    source=f"{_WU}, hyperspherical uniformity with the logarithmic kernel; population variance (our choice)",
    bounds=(0.0, math.inf),
    known_answers=(
        KnownAnswer("simplex frame", _weights(planted.simplex_frame, 5, 8), 0.0, "equal distances"),
        KnownAnswer(
            "square",
            _weights(planted.circle, 4),
            math.log(2) ** 2 / 18,
            "four distances sqrt 2, two of 2: (2/3)(1/3)(ln 2 / 2)^2",
        ),
    ),
)
def gnc2_uniformity(weights: Any) -> float:
    """Variance of the log inverse distances between unit classifiers; 0 if they are equally far apart.

    Parameters
    ----------
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer, or centred class means.

    Raises
    ------
    DataError
        If two rows have the same direction, or as :func:`one_vs_rest_distances`.
    """
    rows = _unit_rows("weights", formula.read_weights(weights))
    pairs = np.triu_indices(len(rows), 1)
    distances = np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1)
    if distances.min() == 0:
        raise DataError("two rows of weights have the same direction: the logarithm of their distance is undefined")
    return float(np.var(np.log(distances)))


@_metric(
    symbol=r"\mathrm{GNC3}",
    equation=r"\frac1C\sum_k \left(1 - \cos(w_k, \mu_k)\right),\quad \mu_k\ \text{of}\ h/\|h\|",
    source=f"{_GNC}, GNC3, means of unit-norm features, not centred",
    bounds=(0.0, 2.0),
    known_answers=(
        KnownAnswer("turned by 60 degrees", lambda: _turned(math.pi / 3), 0.5, "1 - cos 60"),
        KnownAnswer("aligned", lambda: _turned(0.0), 0.0, "self-dual"),
        KnownAnswer("one of three opposite", _half_turned, 2 / 3, "(0 + 0 + 2)/3"),
    ),
)
def gnc3(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Mean of one minus the cosine between each classifier and its class mean, of unit-norm features.

    Parameters
    ----------
    features, labels, classes
        As in :func:`gnc1`.
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer.

    Raises
    ------
    DataError
        If the shapes do not fit, a class is missing, or a feature, a class mean or a classifier is zero.
    """
    statistics = class_statistics.means_of_classes(_unit_features(features), labels, classes)
    assert statistics.means is not None
    rows = formula.read_weights(weights, statistics.classes, statistics.dimension)
    cosines = np.einsum("cp,cp->c", _unit_rows("weights", rows), _unit_rows("class means", statistics.means))
    return float(np.mean(1 - np.clip(cosines, -1, 1)))


@_metric(
    symbol=r"\mathrm{UNC3}",
    equation=r"\mathrm{Var}_c\ \cos(w_c,\ \mu_c - \mu_G)",
    source=f"{_WU}, uniform duality; cosines and population variance (our choice)",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer("all turned by 60 degrees", lambda: _turned(math.pi / 3), 0.0, "equal cosines"),
        KnownAnswer("one of three opposite", _half_turned, 8 / 9, "variance of 1, 1, -1"),
    ),
)
def unc3(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Variance over classes of the cosine between classifier and centred class mean.

    Parameters
    ----------
    features, labels, weights, classes
        As in :func:`gnc3`; the features are taken as they are.

    Raises
    ------
    DataError
        If the shapes do not fit, a class is missing, or a classifier or a centred class mean is zero.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    rows = formula.read_weights(weights, statistics.classes, statistics.dimension)
    if np.diagonal(statistics.gram).min() <= statistics.floor:
        raise DataError("a class mean is the mean of all: its angle to the classifier is undefined")
    cosines = np.einsum("cp,cp->c", _unit_rows("weights", rows), _unit_rows("centred class means", statistics.centred))
    return float(np.var(cosines))


def minority_classes(counts: Any) -> IntArray:
    """Return the classes with fewer points than the average class.

    Parameters
    ----------
    counts : array of shape (C,), integer
        Training points per class.

    Raises
    ------
    DataError
        If the counts are no positive integers, or fewer than two classes are in the minority.
    """
    sizes = to_numpy(counts)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.size == 0 or sizes.min() < 1:
        raise DataError("counts must be positive integers, one per class")
    minority = np.flatnonzero(sizes < sizes.mean())
    if len(minority) < 2:
        raise DataError(f"{len(minority)} classes have fewer points than the average: minority collapse needs two")
    return minority.astype(np.int64)


@_metric(
    symbol=r"\overline{\cos}_\mathrm{min}",
    equation=r"\mathrm{mean}_{c\ne c'\in\mathrm{minority}}\ \cos(w_c, w_{c'})",
    source="Fang, He, Long & Su 2021 (minority collapse); minority: fewer points than the average class (our choice)",
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer(
            "minority classifiers coincide",
            lambda: {"weights": np.array([[1.0, 0], [0, 2], [0, 1], [0, 3]]), "counts": np.array([90, 10, 10, 10])},
            1.0,
            "minority collapse",
        ),
        KnownAnswer(
            "simplex frame",
            lambda: {"weights": planted.simplex_frame(4, 5), "counts": np.array([50, 50, 5, 5])},
            -1 / 3,
            "-1/(C-1), no collapse",
        ),
    ),
)
def minority_cosine(weights: Any, counts: Any) -> float:
    """Mean cosine between the classifiers of minority classes; 1 is minority collapse.

    Parameters
    ----------
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer, or centred class means.
    counts : array of shape (C,), integer
        Training points per class.

    Raises
    ------
    DataError
        If the lengths differ, a minority classifier is zero, or as :func:`minority_classes`.
    """
    rows = formula.read_weights(weights, classes=len(to_numpy(counts)))
    chosen = _unit_rows("the minority's weights", rows[minority_classes(counts)])
    pairs = np.triu_indices(len(chosen), 1)
    return float(np.mean((chosen @ chosen.T)[pairs]))
