"""How kernel matrices and targets are read: checked NumPy arrays, and one line about what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import to_numpy


def read_kernel(kernel: Any) -> NDArray[Any]:
    """Return a square float32 or float64 matrix without copying it.

    Parameters
    ----------
    kernel : array of shape (n, n)
        NumPy, torch or JAX array.

    Raises
    ------
    DataError
        If the dtype is neither float32 nor float64, the matrix is empty or not square, or an entry is not finite.
    """
    matrix = to_numpy(kernel)
    if matrix.dtype not in (np.float32, np.float64):
        raise DataError(f"the kernel has dtype {matrix.dtype}: convert it to float32 or float64 first")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise DataError(f"the kernel has shape {matrix.shape}: a square matrix of at least one point is needed")
    # A sum is cheaper than a mask of the size of the matrix, but that of large entries may overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        total = matrix.sum()
    if not np.isfinite(total):
        wrong = np.argwhere(~np.isfinite(matrix))
        if len(wrong):
            row, column = wrong[0]
            others = f" and {len(wrong) - 1} other places" if len(wrong) > 1 else ""
            raise DataError(
                f"the kernel contains NaN or infinity at [{row}, {column}]{others}: look for such or huge values "
                "in the inputs and weights that it was computed from, or compute it in float64"
            )
    return matrix


def symmetric_kernel(kernel: Any) -> FloatArray:
    """Return a symmetric float64 matrix.

    Parameters
    ----------
    kernel : array of shape (n, n)
        NumPy, torch or JAX array.

    Raises
    ------
    DataError
        As :func:`read_kernel`, or if the matrix is not symmetric up to rounding of float32.
    """
    matrix = np.asarray(read_kernel(kernel), dtype=np.float64)
    if np.abs(matrix - matrix.T).max() > 1e-5 * np.abs(matrix).max():
        raise DataError(
            "the kernel is not symmetric: it must be that of one set of points with itself; if it is up to rounding, "
            "apply lebench.metrics.symmetrize first"
        )
    return (matrix + matrix.T) / 2


def weighted_rows(kernel: Any, coefficients: FloatArray) -> FloatArray:
    """Return the scores (m, C) of new points: their kernel (m, n) with the training points times coefficients (n, C).

    Raises
    ------
    DataError
        If the shapes do not fit, or a score is not finite.
    """
    rows = to_numpy(kernel)
    if rows.ndim != 2 or rows.shape[1] != len(coefficients):
        raise DataError(
            f"the kernel has shape {rows.shape}: (m, {len(coefficients)}), between new points and the "
            f"{len(coefficients)} training points, is needed"
        )
    scores: FloatArray = rows @ coefficients
    if not np.isfinite(scores).all():
        raise DataError(
            "scores are NaN or infinite: look for such or huge values in the kernel between new and training points"
        )
    return scores


def read_targets(name: str, targets: Any, length: int) -> FloatArray:
    """Return float64 targets or scores (n, C), one dimension as one column.

    Raises
    ------
    DataError
        If they are no numbers, do not fit the number of points, or are not finite.
    """
    values = to_numpy(targets)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} have dtype {values.dtype}: numbers are needed; for classes see one_hot_targets")
    right = values.astype(np.float64)
    if right.ndim == 1:
        right = right[:, None]
    if right.ndim != 2 or len(right) != length:
        raise DataError(f"{name} have shape {values.shape}: ({length}, C) is needed")
    if not np.isfinite(right).all():
        raise DataError(f"{name} contain NaN or infinity: remove these points")
    return right
