"""Centred kernel alignment without the bias of few points in many dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_symmetric, in_units
from lebench.metrics.base import KnownAnswer, metric

#: What rounding leaves of products of a kernel that is constant but for its diagonal, relative to its squares.
_ROUNDING = 1e-13


def _pairs_of_four(crossed: bool) -> dict[str, Any]:
    """Return the label kernels of two ways to divide four points into pairs, the same or crossed."""
    first, second = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    kernels = [np.equal.outer(y, y).astype(np.float64) for y in (first, second if crossed else first)]
    return {"gram": kernels[0], "other": kernels[1]}


@metric(
    symbol=r"\mathrm{CKA}_\mathrm{debiased}",
    equation=r"\frac{\langle \tilde K, \tilde K'\rangle_u}{\|\tilde K\|_u\,\|\tilde K'\|_u},\quad "
    r"\langle \tilde K, \tilde K'\rangle_u = \mathrm{tr}\,\tilde K\tilde K' + "
    r"\frac{\mathbf 1^\top\tilde K\mathbf 1\;\mathbf 1^\top\tilde K'\mathbf 1}{(n-1)(n-2)} - "
    r"\frac{2}{n-2}\,\mathbf 1^\top\tilde K\tilde K'\mathbf 1,\quad \tilde K = K - \mathrm{diag}\,K",
    source="Song et al. 2012, equation 5 (unbiased HSIC); as CKA: Nguyen, Raghu & Kornblith 2021",
    direction="none",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer("a kernel with itself", lambda: _pairs_of_four(False), 1.0, "identity"),
        KnownAnswer("four points in pairs, crossed", lambda: _pairs_of_four(True), -0.5, "(16/6 - 4)/(16/6)"),
    ),
    tags=("kernel",),
)
def debiased_centred_kernel_alignment(gram: Any, other: Any) -> float:
    """Alignment of two centred kernels from unbiased estimates: near 0 for independent features of any dimension.

    :func:`~lebench.metrics.centred_kernel_alignment` is biased upwards: each point agrees with itself in both kernels,
    and for n points in p > n dimensions that is most of what there is. Two independent standard normal arrays
    (50, 2000) have a CKA of 0.98; this one has 0 in the mean. It may be negative.

    Parameters
    ----------
    gram, other : array of shape (n, n), float32 or float64
        Symmetric kernel matrices of the same n >= 4 points. The diagonals do not count.

    Raises
    ------
    DataError
        If there are fewer than four points, a kernel is constant off its diagonal, not symmetric or not finite, or the
        shapes differ.
    """
    a, b = as_symmetric("kernel entries", gram), as_symmetric("kernel entries", other)
    if a.shape != b.shape:
        raise DataError(f"the kernels have shapes {a.shape} and {b.shape}: the same points are needed")
    if len(a) < 4:
        raise DataError(f"{len(a)} points are too few: an unbiased estimate needs at least 4")
    first, second = _centred_off_diagonal(a), _centred_off_diagonal(b)
    sizes = math.sqrt(float(np.vdot(first, first))), math.sqrt(float(np.vdot(second, second)))
    return float(np.clip(np.vdot(first, second) / (sizes[0] * sizes[1]), -1, 1))


def _centred_off_diagonal(kernel: FloatArray) -> FloatArray:
    """Return the U-centred kernel: zero on the diagonal, and all its rows sum to zero.

    The product of two of these, entry by entry, is the bracket of the equation (Székely & Rizzo 2014, proposition 1).

    Raises
    ------
    DataError
        If nothing is left: the kernel is constant off its diagonal, up to a number for each row and column.
    """
    n = len(kernel)
    kernel = in_units(kernel)
    np.fill_diagonal(kernel, 0.0)
    sums = kernel.sum(axis=1)
    centred = kernel - (sums[:, None] + sums) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    if np.vdot(centred, centred) <= _ROUNDING**2 * n * np.vdot(kernel, kernel):
        raise DataError("a kernel is constant between different points: it has no direction once centred")
    return np.asarray(centred)
