"""What was chosen and found when a kernel was fitted: ridge, smallest eigenvalue, size and error of a label-aware part.

They say whether a score comes from the kernel that its name promises. All are relative to the size of the kernel, so
that they can be compared between kernels.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_symmetric
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("kernel",)


_metric = partial(metric, direction="none", bounds=(0.0, math.inf), tags=_TAGS)


@_metric(
    symbol=r"\lambda / \bar K_{ii}",
    equation=r"\lambda \,/\, \frac1n \sum_i K_{ii}",
    source="relative to the mean diagonal, so that it can be compared between kernels (our choice)",
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("1 beside 2 and 6", lambda: {"ridge": 1.0, "diagonal": np.array([2.0, 6.0])}, 0.25, "1/4"),
        KnownAnswer("none", lambda: {"ridge": 0.0, "diagonal": np.array([2.0, 6.0])}, 0.0, "by definition"),
    ),
)
def relative_ridge(ridge: float, diagonal: Any) -> float:
    """What was added to the diagonal of a kernel, as a multiple of its mean.

    Parameters
    ----------
    ridge : float
        In the units of the kernel, not negative.
    diagonal : array of shape (n,), float32 or float64
        The kernel of each training point with itself.

    Raises
    ------
    DataError
        If the ridge is negative or not finite, or the mean diagonal not positive.
    """
    if not (ridge >= 0 and math.isfinite(ridge)):
        raise DataError(f"the ridge is {ridge}: a number from 0 is needed")
    return float(ridge) / _mean_diagonal(as_floats("diagonal entries", diagonal, 1))


@_metric(
    symbol=r"\lambda_{\min} / \bar K_{ii}",
    equation=r"\lambda_{\min}(K) \,/\, \frac1n \sum_i K_{ii}",
    source="Chen, He & Su 2020 give kernels that can be indefinite; relative to the mean diagonal (our choice)",
    bounds=(-math.inf, 1.0),
    invariant_to=("permutation", "scale", "rotation"),
    known_answers=(
        KnownAnswer("1 and 3", lambda: {"kernel": np.array([[2.0, 1], [1, 2]])}, 0.5, "eigenvalues 2 -+ 1, diagonal 2"),
        KnownAnswer("indefinite", lambda: {"kernel": np.array([[1.0, 2], [2, 1]])}, -1.0, "eigenvalues 1 -+ 2"),
        KnownAnswer("identity", lambda: {"kernel": np.eye(5)}, 1.0, "the largest there is"),
    ),
)
def smallest_eigenvalue(kernel: Any) -> float:
    """Smallest eigenvalue of a kernel of the training points over its mean diagonal; negative if it is indefinite.

    A kernel of which no regression with a small ridge is safe has it far below zero. It is at most 1, the value of a
    multiple of the identity.

    Parameters
    ----------
    kernel : array of shape (n, n), float32 or float64
        Symmetric.

    Raises
    ------
    DataError
        If the matrix is not symmetric or not finite, or its mean diagonal not positive.
    """
    from scipy.linalg import eigvalsh

    matrix = as_symmetric("the kernel", kernel)
    mean = _mean_diagonal(np.diagonal(matrix))
    return float(eigvalsh(matrix, subset_by_index=[0, 0])[0]) / mean


def _parts() -> dict[str, Any]:
    return {"part": np.array([[0.2, -0.4], [-0.4, 0.2]]), "kernel": np.array([[2.0, 1], [1, 2]])}


@_metric(
    symbol=r"\overline{|\lambda Z|} / \overline{|H|}",
    equation=r"\sum_{ij} |\lambda Z_{ij}| \,/\, \sum_{ij} |H_{ij}|",
    source="label ratio of the released code of Chen, He & Su 2020 (LANTK)",
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("a fifth", _parts, 0.2, "1.2 / 6"),
        KnownAnswer("no label-aware part", lambda: {**_parts(), "part": np.zeros((2, 2))}, 0.0, "by definition"),
    ),
)
def label_ratio(part: Any, kernel: Any) -> float:
    """Size of the label-aware part of a kernel relative to the kernel it was added to, over training pairs.

    Parameters
    ----------
    part : array of shape (n, m), float32 or float64
        What was added.
    kernel : array of shape (n, m), float32 or float64
        What it was added to.

    Raises
    ------
    DataError
        If the shapes differ, values are not finite, or the kernel is zero everywhere.
    """
    return _relative_size("the label-aware part", part, kernel)


@_metric(
    symbol=r"\lambda / \bar H_{ii}",
    equation=r"\lambda \,/\, \frac1n \sum_i H_{ii}",
    source="weight of label agreement in K = H + lambda Z, Chen, He & Su 2020; relative (our choice)",
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("1 beside 2 and 6", lambda: {"weight": 1.0, "diagonal": np.array([2.0, 6.0])}, 0.25, "1/4"),
    ),
)
def label_weight(weight: float, diagonal: Any) -> float:
    """Weight with which estimated label agreement, about -1 to 1, enters a kernel, over the kernel's mean diagonal.

    Parameters
    ----------
    weight : float
        In the units of the kernel, not negative.
    diagonal : array of shape (n,), float32 or float64
        Of the kernel without its label-aware part.
    """
    if not (weight >= 0 and math.isfinite(weight)):
        raise DataError(f"the weight is {weight}: a number from 0 is needed")
    return float(weight) / _mean_diagonal(as_floats("diagonal entries", diagonal, 1))


@_metric(
    symbol=r"\overline{\mathrm{se}} / \overline{|H|}",
    equation=r"\sum_{ij} \mathrm{se}_{ij} \,/\, \sum_{ij} |H_{ij}|",
    source="standard error of a kernel estimated by Monte Carlo, in the units of the label ratio (our choice)",
    direction="lower",
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("a fifth", lambda: {**_parts(), "part": np.abs(_parts()["part"])}, 0.2, "1.2 / 6"),
        KnownAnswer("exact", lambda: {**_parts(), "part": np.zeros((2, 2))}, 0.0, "by definition"),
    ),
)
def kernel_standard_error(part: Any, kernel: Any) -> float:
    """Mean standard error of the entries of a kernel by Monte Carlo, relative to the mean size of the kernel.

    Parameters
    ----------
    part : array of shape (n, m), float32 or float64
        Standard errors, not negative.
    kernel : array of shape (n, m), float32 or float64
        The kernel that they are compared with.

    Raises
    ------
    DataError
        If a standard error is negative, or as :func:`label_ratio`.
    """
    if as_floats("standard errors", part, 2).min() < 0:
        raise DataError("the standard errors contain a negative one")
    return _relative_size("the standard errors", part, kernel)


@_metric(
    symbol=r"r / n",
    equation=r"r \,/\, n",
    source="by definition",
    known_answers=(KnownAnswer("5 of 20", lambda: {"rank": 5, "points": 20}, 0.25, "5/20"),),
)
def solver_rank(rank: int, points: int) -> float:
    """Rank of what a kernel was solved with, over the training points: 1 if it was the kernel itself.

    Parameters
    ----------
    rank : int
        Centres or random features of an approximation; as many as points for an exact solution.
    points : int
        Training points.

    Raises
    ------
    DataError
        If either is less than 1.
    """
    if rank < 1 or points < 1:
        raise DataError(f"the rank is {rank} and there are {points} points: at least 1 is needed")
    return rank / points


@_metric(
    symbol=r"\lVert f - f^* \rVert / \lVert f^* \rVert",
    equation=r"\sqrt{\textstyle\sum_{ic} (f_{ic} - f^*_{ic})^2 \,/\, \sum_{ic} (f^*_{ic})^2}",
    source="relative error in the Frobenius norm",
    direction="lower",
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer(
            "(3, 5) for (3, 4)",
            lambda: {"scores": np.array([[3.0, 5.0]]), "exact": np.array([[3.0, 4.0]])},
            0.2,
            "1/5",
        ),
        KnownAnswer("equal", lambda: {"scores": np.eye(3), "exact": np.eye(3)}, 0.0, "by definition"),
    ),
)
def score_difference(scores: Any, exact: Any) -> float:
    """How far scores of an approximation are from exact ones: root mean square, relative to theirs.

    Parameters
    ----------
    scores, exact : array of shape (n, C), float32 or float64
        At the same points.

    Raises
    ------
    DataError
        If the shapes differ, numbers are not finite, or all exact scores are zero.
    """
    found, expected = as_floats("scores", scores, 2), as_floats("exact scores", exact, 2)
    if found.shape != expected.shape:
        raise DataError(f"scores of shape {found.shape} do not fit exact ones of shape {expected.shape}")
    size = float(np.abs(expected).max())
    if size == 0:
        raise DataError("all exact scores are 0")
    # In their own units, so that no square leaves the range of float64.
    return float(np.linalg.norm(found / size - expected / size) / np.linalg.norm(expected / size))


def _mean_diagonal(diagonal: Any) -> float:
    mean = float(np.mean(diagonal))
    if mean <= 0:
        raise DataError(f"the mean diagonal of the kernel is {mean:.3g}: nothing can be measured relative to it")
    return mean


def _relative_size(name: str, part: Any, kernel: Any) -> float:
    added, whole = as_floats(name, part, 2), as_floats("the kernel", kernel, 2)
    if added.shape != whole.shape:
        raise DataError(f"{name} of shape {added.shape} does not fit a kernel of shape {whole.shape}")
    size = float(np.abs(whole).sum())
    if size == 0:
        raise DataError("the kernel is zero everywhere: nothing can be measured relative to it")
    return float(np.abs(added).sum()) / size
