"""How the metrics read their inputs: arrays of any installed framework in, checked NumPy arrays out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import is_torch_array
from numpy.typing import NDArray

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError

#: Exponents of two up to which the fourth powers of many numbers are in range.
_ORDINARY = 200


def to_numpy(array: Any) -> NDArray[Any]:
    """Return a NumPy view or copy of a NumPy, torch or JAX array, in its own dtype."""
    if is_torch_array(array):
        array = array.detach().cpu()
        # NumPy has no bfloat16: float16 stands for it, and is refused in the same way.
        if str(array.dtype) == "torch.bfloat16":
            array = array.half()
        return np.asarray(array.numpy())
    return np.asarray(array)


def in_units(values: FloatArray) -> FloatArray:
    """Return values times a power of two, the largest then from 1/2 to 1, so that their products stay in range.

    Every digit stays as it is.
    """
    _, exponent = np.frexp(np.abs(values).max(initial=0.0))
    return np.asarray(np.ldexp(values, -int(exponent)))


def ordinary_factor(values: NDArray[Any]) -> float:
    """Return a power of two that brings numbers to where their fourth powers neither overflow nor vanish, 1 if they do.

    Numbers of ordinary size stay what they are to the last bit, and no factor rounds them.
    """
    _, exponent = math.frexp(max(float(values.max()), -float(values.min())))
    return 1.0 if abs(exponent) <= _ORDINARY else math.ldexp(1.0, -exponent)


def read_floats(name: str, array: Any, ndim: int, *, finite: bool = True) -> NDArray[Any]:
    """Return a float32 or float64 array without copying it.

    Parameters
    ----------
    name : str
        What the array is, for the message: ``"features"``.
    array : array
        NumPy, torch or JAX array.
    ndim : int
        Number of dimensions it must have.
    finite : bool
        Whether to look for NaN and infinity here; a caller that sums the array anyway can do it more cheaply.

    Raises
    ------
    DataError
        If the dtype is neither float32 nor float64, the number of dimensions differs, or the array is empty.
    """
    values = to_numpy(array)
    if values.dtype not in (np.float32, np.float64):
        raise DataError(f"{name} have dtype {values.dtype}: convert them to float32 or float64 first")
    if values.ndim != ndim:
        raise DataError(f"{name} have shape {values.shape}: {ndim} dimensions are needed")
    if values.size == 0:
        raise DataError(f"{name} have shape {values.shape}: they are empty")
    if finite and not np.isfinite(values).all():
        raise DataError(f"{name} contain NaN or infinity")
    return values


def as_floats(name: str, array: Any, ndim: int) -> FloatArray:
    """Return a finite float64 array; see :func:`read_floats` for what is refused."""
    return np.asarray(read_floats(name, array, ndim), dtype=np.float64)


def as_square(name: str, array: Any) -> FloatArray:
    """Return a finite, square float64 matrix.

    Raises
    ------
    DataError
        If it is not square, or as in :func:`read_floats`.
    """
    matrix = as_floats(name, array, 2)
    if matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"{name} have shape {matrix.shape}: a square matrix is needed")
    return matrix


def as_symmetric(name: str, array: Any) -> FloatArray:
    """Return a finite, symmetric float64 matrix.

    Raises
    ------
    DataError
        If it is not symmetric up to rounding of float32, or as in :func:`as_square`.
    """
    matrix = as_square(name, array)
    if np.abs(matrix - matrix.T).max() > 1e-5 * np.abs(matrix).max():
        raise DataError(f"{name} are not symmetric: apply lebench.metrics.symmetrize first")
    return (matrix + matrix.T) / 2


def as_labels(name: str, array: Any, length: int | None = None, classes: int | None = None) -> IntArray:
    """Return labels as int64.

    Parameters
    ----------
    name : str
        What the labels are, for the message.
    array : array
        Integers 0 to C-1, one per point.
    length : int, optional
        How many there must be.
    classes : int, optional
        C, if it is known.

    Raises
    ------
    DataError
        If they are not integers, are out of range, or too few or too many.
    """
    labels = to_numpy(array)
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} have dtype {labels.dtype}: integers 0 to C-1 are needed")
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"{name} have shape {labels.shape}: one dimension of at least one label is needed")
    if length is not None and len(labels) != length:
        raise DataError(f"{name}: {len(labels)} labels for {length} points")
    if labels.min() < 0:
        raise DataError(f"{name} contain {labels.min()}: integers 0 to C-1 are needed")
    if classes is not None and labels.max() >= classes:
        raise DataError(f"{name} contain {labels.max()}, but there are {classes} classes, numbered from 0")
    return labels.astype(np.int64)


def class_counts(name: str, labels: IntArray, classes: int | None = None) -> IntArray:
    """Return how many points each class has.

    Parameters
    ----------
    name : str
        What the labels are, for the message.
    labels : ndarray of shape (n,), int64
        From :func:`as_labels`.
    classes : int, optional
        C; by default the largest label plus one.

    Returns
    -------
    ndarray of shape (C,), int64

    Raises
    ------
    DataError
        If there is only one class, or a class has no points.
    """
    counts = np.bincount(labels, minlength=classes or 0)
    if len(counts) < 2:
        raise DataError(f"{name} have only one class: at least two are needed")
    if (counts == 0).any():
        raise DataError(f"{name}: class {int(np.argmin(counts))} of {len(counts)} has no points")
    return counts.astype(np.int64)
