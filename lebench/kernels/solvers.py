"""Solving with symmetric positive-definite kernel matrices."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from lebench.arrays import FloatArray
from lebench.errors import DataError, LebenchWarning
from lebench.kernels.checks import read_kernel
from lebench.metrics.arrays import to_numpy

#: Jitters that are tried one after the other, relative to the mean diagonal, when a matrix has no Cholesky factor.
JITTERS = 10.0 ** np.arange(-14, -3)
#: Rows of the kernel that are in float64 at a time while a residual is formed.
_ROWS = 512
#: Refinements beyond these do not help a solution that has not converged.
_REFINEMENTS = 20
_EPS32 = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Solution:
    """What solves ``(K + (ridge + jitter) I) alpha = targets``.

    Attributes
    ----------
    coefficients : ndarray of shape (n, C)
        alpha.
    ridge : float
        The ridge that was asked for, in the units of the kernel.
    jitter : float
        What had to be added to the diagonal besides, because the matrix was not positive definite; mostly 0.
    refinements : int
        Steps of iterative refinement in float64; 0 if the factorization itself is in float64.
    residual : float
        Largest entry of ``targets - (K + (ridge + jitter) I) alpha`` relative to the largest target.
    """

    coefficients: FloatArray
    ridge: float
    jitter: float
    refinements: int
    residual: float


def solve_spd(kernel: Any, targets: Any, ridge: float = 0.0, *, tolerance: float = 1e-9) -> Solution:
    """Solve a symmetric positive-definite system by a float32 factorization, refined in float64.

    A matrix that float32 cannot factor, or whose refinement does not converge, is factored in float64. A singular one
    (duplicate inputs without ridge) gets the smallest jitter of :data:`JITTERS` that makes it positive definite, which
    the solution reports and a warning names.

    Parameters
    ----------
    kernel : array of shape (n, n)
        Symmetric, positive semidefinite; float32 or float64.
    targets : array of shape (n, C) or (n,)
        Right-hand sides.
    ridge : float
        Added to the diagonal, in the units of the kernel.
    tolerance : float
        The refinement ends when the residual relative to the targets is below it.

    Returns
    -------
    Solution
        With coefficients of the shape of `targets`, float64.

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite, the ridge is negative, or the kernel has clearly negative
        eigenvalues.
    """
    matrix, right = _checked(kernel, targets, ridge)
    unit = unit_of(float(np.trace(matrix, dtype=np.float64)) / len(matrix))
    if unit != 1:
        scaled = solve_spd(matrix / unit, right, ridge / unit, tolerance=tolerance)
        return replace(scaled, coefficients=scaled.coefficients / unit, ridge=ridge, jitter=scaled.jitter * unit)
    mean = float(np.trace(matrix, dtype=np.float64)) / len(matrix)
    if mean <= 0:
        raise DataError(f"the kernel has the mean diagonal {mean:g}: it is not positive definite")
    columns = right.reshape(len(right), -1)
    solution = _refined(matrix, columns, ridge, tolerance)
    if solution is None:
        solution = _in_double(matrix, columns, ridge, mean)
    if solution.jitter:
        warnings.warn(
            f"the kernel is singular with the ridge {ridge:g}: {solution.jitter:.2g} was added to its diagonal "
            f"({solution.jitter / mean:.0e} of the mean); use a ridge, or remove duplicate points",
            LebenchWarning,
            stacklevel=2,
        )
    return Solution(
        solution.coefficients.reshape(right.shape), ridge, solution.jitter, solution.refinements, solution.residual
    )


def unit_of(mean: float) -> float:
    """Return what a kernel is divided by so that float32 holds it, from its mean diagonal: 1 for ordinary ones."""
    return 1.0 if mean <= 0 or 1e-15 < mean < 1e15 else 2.0 ** round(math.log2(mean))


def _checked(kernel: Any, targets: Any, ridge: float) -> tuple[NDArray[Any], FloatArray]:
    matrix = read_kernel(kernel)
    right = to_numpy(targets).astype(np.float64)
    if right.ndim not in (1, 2) or len(right) != len(matrix):
        raise DataError(f"the targets have shape {right.shape}: ({len(matrix)}, C) is needed")
    if not np.isfinite(right).all():
        raise DataError("the targets contain NaN or infinity: remove these points")
    if not 0 <= ridge < np.inf:
        raise DataError(f"the ridge is {ridge:g}: a number of at least 0 is needed")
    return matrix, right


def _refined(matrix: NDArray[Any], right: FloatArray, ridge: float, tolerance: float) -> Solution | None:
    """Solve by a factorization in float32 and refinement; None if that does not reach the tolerance."""
    factor = np.array(matrix.T, dtype=np.float32, order="F")  # LAPACK's order; the matrix is symmetric
    diagonal = np.einsum("ii->i", factor)
    mean = float(diagonal.mean())
    diagonal += np.float32(ridge)
    try:
        factorized = scipy.linalg.cho_factor(factor, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    if np.square(np.diagonal(factorized[0])).min() < 10 * _EPS32 * mean:
        return None
    scale = max(float(np.abs(right).max()), np.finfo(np.float64).tiny)
    solution = np.zeros_like(right)
    residual, last = right, np.inf
    for step in range(_REFINEMENTS):
        # The residual is scaled to the range of float32.
        size = max(float(np.abs(residual).max()), np.finfo(np.float64).tiny)
        correction = scipy.linalg.cho_solve(factorized, (residual / size).astype(np.float32), check_finite=False)
        solution = solution + size * correction.astype(np.float64)
        residual = _residual(matrix, solution, right, ridge)
        error = float(np.abs(residual).max()) / scale
        if error <= tolerance:
            return Solution(solution, ridge, 0.0, step, error)
        if not error < last / 2:
            return None
        last = error
    return None


def _in_double(matrix: NDArray[Any], right: FloatArray, ridge: float, mean: float) -> Solution:
    lowest = len(matrix) * float(np.finfo(np.float64).eps) * mean
    for jitter in (0.0, *(JITTERS * mean)):
        factor = np.array(matrix.T, dtype=np.float64, order="F")
        np.einsum("ii->i", factor)[:] += ridge + jitter
        try:
            factorized = scipy.linalg.cho_factor(factor, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        # A pivot that small is the rounding of a zero.
        if np.square(np.diagonal(factorized[0])).min() < lowest:
            continue
        solution = scipy.linalg.cho_solve(factorized, right, check_finite=False)
        residual = _residual(matrix, solution, right, ridge + jitter)
        scale = max(float(np.abs(right).max()), np.finfo(np.float64).tiny)
        return Solution(solution, ridge, float(jitter), 0, float(np.abs(residual).max()) / scale)
    raise DataError(
        f"the kernel is not positive semidefinite: even with {JITTERS[-1]:.0e} of its mean diagonal added it has no "
        "Cholesky factor; check that it is symmetric and a kernel, or use a larger ridge"
    )


def _residual(matrix: NDArray[Any], solution: FloatArray, right: FloatArray, ridge: float) -> FloatArray:
    residual = right - ridge * solution
    for start in range(0, len(matrix), _ROWS):
        rows = matrix[start : start + _ROWS].astype(np.float64, copy=False)
        residual[start : start + _ROWS] -= rows @ solution
    return residual
