"""The formulas of neural collapse, from class statistics and the last layer.

Averages over points are pooled, averages over classes unweighted, also under imbalance:
Sigma_W = (1/N) sum_i (h_i - mu_yi)(h_i - mu_yi)^T, mu_G = (1/C) sum_c mu_c,
Sigma_B = (1/C) sum_c (mu_c - mu_G)(mu_c - mu_G)^T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, in_units
from lebench.metrics.base import Missing
from lebench.metrics.class_statistics import ClassStatistics


def check_spread(s: ClassStatistics) -> None:
    """Refuse a class of one point, whose distance from its own mean is zero whatever it is drawn from.

    Raises
    ------
    DataError
        If there is one.
    """
    if s.counts.min() < 2:
        raise DataError(
            f"class {int(np.argmin(s.counts))} has one point: at least two are needed to know how far points of a "
            "class are from their mean"
        )


def nc1_trace(s: ClassStatistics) -> float:
    """Return Tr(Sigma_W Sigma_B^+) with the pseudo-inverse of rank C-1 (or p, if that is smaller)."""
    assert s.scatter is not None
    check_spread(s)
    values, vectors = np.linalg.eigh(s.gram)
    values, vectors = values[-s.rank :], vectors[:, -s.rank :]
    if values[0] <= s.floor:
        raise DataError(
            f"the class means span fewer than {s.rank} dimensions (two may coincide): NC1 needs the inverse of Sigma_B"
        )
    projected = np.einsum("ck,ck->k", vectors, s.scatter @ vectors)
    return float(s.classes * np.sum(projected / values**2))


def trace_quotient(s: ClassStatistics) -> float:
    """Return Tr Sigma_W / Tr Sigma_B."""
    assert s.variances is not None
    check_spread(s)
    between = float(np.trace(s.gram)) / s.classes
    if between <= s.rounding:
        raise DataError("all class means coincide: Tr Sigma_B is zero")
    return float(s.counts @ s.variances) / int(s.counts.sum()) / between


def mean_cdnv(s: ClassStatistics) -> float:
    """Return the class-distance normalized variance, averaged over pairs of classes."""
    assert s.variances is not None
    check_spread(s)
    diagonal = np.diagonal(s.gram)
    pairs = np.triu_indices(s.classes, 1)
    squares = (diagonal[:, None] + diagonal[None, :] - 2 * s.gram)[pairs]
    if squares.min() <= s.floor:
        raise DataError("two class means coincide: their class-distance normalized variance is undefined")
    return float(np.mean((s.variances[pairs[0]] + s.variances[pairs[1]]) / (2 * squares)))


def variation(gram: FloatArray, floor: float = 0.0) -> float:
    """Return deviation over mean of the norms of vectors with these inner products (C, C)."""
    norms = np.sqrt(np.clip(np.diagonal(gram), 0, None))
    if norms.max() ** 2 <= floor:
        raise DataError("all vectors are zero (all class means coincide): their norms cannot be compared")
    return float(norms.std(ddof=1) / norms.mean())


def angle_gap(gram: FloatArray, floor: float = 0.0) -> float:
    """Return the mean of abs(cos + 1/(C-1)) over pairs of different vectors with these inner products (C, C)."""
    squares = np.diagonal(gram)
    if squares.min() <= floor:
        raise DataError(f"the vector of class {int(np.argmin(squares))} is zero: its angles are undefined")
    classes, norms = len(gram), np.sqrt(squares)
    cosines = (gram / np.outer(norms, norms))[~np.eye(classes, dtype=bool)]
    return float(np.mean(np.abs(cosines + 1 / (classes - 1))))


def distance_to_simplex(matrix: FloatArray, what: str) -> float:
    """Return the Frobenius distance of a (C, C) matrix from the simplex, both of norm 1."""
    matrix = in_units(matrix)
    classes, norm = len(matrix), np.linalg.norm(matrix)
    if norm == 0:
        raise DataError(f"{what} is zero: it has no direction")
    return float(np.linalg.norm(matrix / norm - (np.eye(classes) - 1 / classes) / math.sqrt(classes - 1)))


def selfduality(s: ClassStatistics, weights: FloatArray) -> float:
    """Return the squared distance between W and M, both of Frobenius norm 1."""
    size = float(np.linalg.norm(weights))
    if size == 0 or np.trace(s.gram) <= s.rounding:
        raise DataError("the weights or the centred class means are all zero: NC3 is undefined")
    centred = s.centred
    return float(np.linalg.norm(weights / size - centred / np.linalg.norm(centred)) ** 2)


def bias_norm(s: ClassStatistics, weights: FloatArray, bias: FloatArray) -> float:
    """Return the norm of b + W mu_G."""
    assert s.means is not None
    return float(np.linalg.norm(bias + weights @ s.means.mean(axis=0)))


def values_of(
    statistics: ClassStatistics, weights: FloatArray | None = None, bias: FloatArray | None = None
) -> dict[str, float | Missing]:
    """Return every collapse metric that these statistics determine.

    Parameters
    ----------
    statistics : ClassStatistics
        From features, a Gram matrix or a stream.
    weights : ndarray of shape (C, p), float64, optional
        Last layer; needs statistics with class means.
    bias : ndarray of shape (C,), float64, optional
        Its bias.

    Returns
    -------
    dict
        A number, or :class:`~lebench.metrics.base.Missing` with the reason where a value is undefined.
    """
    s = statistics
    trace = cache(lambda: nc1_trace(s))
    formulas: dict[str, Callable[[], float]] = {
        "nc1_pinv_over_C": lambda: trace() / s.classes,
        "nc1_pinv_sum": trace,
        "nc1_quotient": lambda: trace_quotient(s),
        "cdnv": lambda: mean_cdnv(s),
        "nc2_equinorm": lambda: variation(s.gram, s.rounding),
        "nc2_equiangular": lambda: angle_gap(s.gram, s.floor),
    }
    if weights is not None:
        products = weights @ weights.T
        formulas |= {
            "nc2_equinorm_weights": lambda: variation(products),
            "nc2_equiangular_weights": lambda: angle_gap(products),
            "nc2_weights": lambda: distance_to_simplex(products, "W W^T"),
            "nc3_selfduality": lambda: selfduality(s, weights),
            "nc3_zhu": lambda: distance_to_simplex(weights @ s.centred.T, "W M^T"),
        }
        if bias is not None:
            formulas["nc3_bias"] = lambda: bias_norm(s, weights, bias)
    values: dict[str, float | Missing] = {}
    for name, formula in formulas.items():
        try:
            values[name] = formula()
        except DataError as error:
            values[name] = Missing(str(error))
    if s.disagreement is not None:
        values["nc4"] = s.disagreement
    if s.nearest is not None:
        values["ncc_accuracy"] = s.nearest
    return values


def read_weights(weights: Any, classes: int | None = None, dimension: int | None = None) -> FloatArray:
    """Return checked last-layer weights (C, p), float64.

    Raises
    ------
    DataError
        If they are not finite or of another shape than (`classes`, `dimension`), where these are given.
    """
    w = as_floats("weights", weights, 2)
    if len(w) < 2:
        raise DataError(f"weights have shape {w.shape}: a row for each of at least two classes is needed")
    if (classes is not None and len(w) != classes) or (dimension is not None and w.shape[1] != dimension):
        needed = ("C" if classes is None else classes, "p" if dimension is None else dimension)
        raise DataError(f"weights have shape {w.shape}, but ({needed[0]}, {needed[1]}) is needed")
    return w


def read_head(
    weights: Any, bias: Any | None, classes: int, dimension: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return checked weights (C, p) and bias (C,), float64; without a bias it is zero.

    Raises
    ------
    DataError
        If they are not finite or of another shape than the features need.
    """
    w = read_weights(weights, classes, dimension)
    if bias is None:
        return w, np.zeros(len(w))
    b = as_floats("bias", bias, 1)
    if len(b) != len(w):
        raise DataError(f"the bias has {len(b)} entries for {len(w)} classes")
    return w, b
