"""What training without one point changes: exactly for ridge regression, by influence functions, and by retraining.

A ridge is fixed when a point is removed: it is added to the sum of squares, not to their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_square, as_symmetric


class LeaveOneOut(NamedTuple):
    """Predictions with all training points, and with each one left out.

    Attributes
    ----------
    full : ndarray of shape (m, C), float64
        Predictions at the targets, trained on all n points.
    without : ndarray of shape (n, m, C), float64
        Predictions at the targets, trained without point i.
    """

    full: FloatArray
    without: FloatArray


def _read_targets(y: Any, n: int) -> FloatArray:
    values = as_floats("targets y", y, 2)
    if len(values) != n:
        raise DataError(f"targets y have {len(values)} rows for {n} training points")
    return values


def leave_one_out_ridge(x: Any, y: Any, targets: Any, ridge: float) -> LeaveOneOut:
    """Return exact leave-one-out predictions of ridge regression, without refitting.

    th^-i - th = -G^-1 x_i r_i / (1 - h_ii), with G = X^T X + ridge I, h_ii = x_i^T G^-1 x_i and residual r_i. For the
    last layer of a network pass its features, with a column of ones for the bias.

    Parameters
    ----------
    x : array of shape (n, p), float32 or float64
        Training inputs.
    y : array of shape (n, C), float32 or float64
        Training targets, such as one-hot minus 1/C.
    targets : array of shape (m, p), float32 or float64
        Where to predict.
    ridge : float
        Added to X^T X; not rescaled when a point is removed.

    Raises
    ------
    DataError
        If the shapes do not fit, X^T X + ridge I is singular, or a point determines its own prediction (h_ii = 1).
    """
    inputs, points = as_floats("inputs x", x, 2), as_floats("targets", targets, 2)
    if inputs.shape[1] != points.shape[1]:
        raise DataError(f"inputs have {inputs.shape[1]} dimensions, targets have {points.shape[1]}")
    values = _read_targets(y, len(inputs))
    system = inputs.T @ inputs + _read_ridge(ridge) * np.eye(inputs.shape[1])
    if np.linalg.cond(system) > 1 / np.finfo(np.float64).eps:
        raise DataError("X^T X + ridge I is singular: choose a positive ridge")
    solved = np.linalg.solve(system, inputs.T)
    leverage = np.einsum("ip,pi->i", inputs, solved)
    if leverage.max() >= 1 - 1e-12:
        raise DataError(f"point {int(np.argmax(leverage))} determines its own prediction: choose a positive ridge")
    theta = solved @ values
    residuals = (values - inputs @ theta) / (1 - leverage)[:, None]
    full = points @ theta
    return LeaveOneOut(full, full - (points @ solved).T[:, :, None] * residuals[:, None, :])


def leave_one_out_kernel_ridge(gram: Any, y: Any, cross: Any, ridge: float) -> LeaveOneOut:
    """Return exact leave-one-out predictions of kernel ridge regression, without refitting.

    With A = (K + ridge I)^-1 and alpha = A y, leaving out point i subtracts A_:i alpha_i / A_ii from alpha.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel of the training points.
    y : array of shape (n, C), float32 or float64
        Training targets, such as one-hot minus 1/C.
    cross : array of shape (m, n), float32 or float64
        Kernel between targets and training points.
    ridge : float
        Added to the diagonal; not rescaled when a point is removed.

    Raises
    ------
    DataError
        If the shapes do not fit, or K + ridge I is not positive definite.
    """
    kernel, rows = as_symmetric("kernel entries", gram), as_floats("cross kernel entries", cross, 2)
    if rows.shape[1] != len(kernel):
        raise DataError(f"the cross kernel has {rows.shape[1]} columns for {len(kernel)} training points")
    values = _read_targets(y, len(kernel))
    eigenvalues, vectors = np.linalg.eigh(kernel + _read_ridge(ridge) * np.eye(len(kernel)))
    if eigenvalues[0] <= len(kernel) * np.finfo(np.float64).eps * eigenvalues[-1]:
        raise DataError("K + ridge I is not positive definite: choose a larger ridge")
    inverse = vectors / eigenvalues @ vectors.T
    alpha = inverse @ values
    full = rows @ alpha
    scaled = alpha / np.diagonal(inverse)[:, None]
    return LeaveOneOut(full, full - (rows @ inverse).T[:, :, None] * scaled[:, None, :])


def _read_ridge(ridge: float) -> float:
    if not (math.isfinite(ridge) and ridge >= 0):
        raise DataError(f"ridge is {ridge}: a non-negative number is needed")
    return ridge


class Retrained(NamedTuple):
    """Predictions of a model that was trained several times with the same randomness.

    Attributes
    ----------
    full : ndarray of shape (m, C), float64
        Predictions at the targets, trained on all n points.
    without : ndarray of shape (k, m, C), float64
        Predictions at the targets, trained without one of k points.
    again : ndarray of shape (m, C), float64
        As `full`, trained once more. How far it is from `full` is the noise floor: zero if training repeats itself.
    """

    full: FloatArray
    without: FloatArray
    again: FloatArray


def leave_one_out_retraining(fit: Callable[[int | None], Any], removed: Iterable[int]) -> Retrained:
    """Return predictions with all training points, twice, and with some points left out, by training anew.

    Parameters
    ----------
    fit : callable
        Trains without point i, or for None with all points, and returns predictions at the targets, array (m, C). Its
        randomness must be the same at each call: initialization, order of the data, batches.
    removed : iterable of int
        The points to leave out, one at a time.

    Raises
    ------
    DataError
        If nothing is left out, or predictions are not finite or differ in shape.

    Examples
    --------
    >>> y = np.array([[1.0], [2.0], [6.0]])
    >>> mean = lambda i: (y if i is None else np.delete(y, i, axis=0)).mean(axis=0, keepdims=True)
    >>> leave_one_out_retraining(mean, [0, 2]).without.ravel()
    array([4. , 1.5])
    """
    full = as_floats("predictions", fit(None), 2)
    without = [as_floats(f"predictions without point {i}", fit(i), 2) for i in removed]
    if not without:
        raise DataError("no point is left out: name at least one")
    again = as_floats("predictions", fit(None), 2)
    if any(values.shape != full.shape for values in (*without, again)):
        raise DataError("predictions differ in shape from those with all points: predict the same targets every time")
    return Retrained(full, np.stack(without), again)


def influence_changes(
    train_gradients: Any,
    target_gradients: Any,
    hessian: Any | Callable[[FloatArray], FloatArray],
    damping: float = 0.0,
    tolerance: float = 1e-10,
) -> FloatArray:
    """Return first-order loss changes (n, m), |grad l(z_j)^T H^-1 grad l(z_i)| / n: influence functions.

    Koh & Liang 2017. For the parameters of ridge regression the ratio to the exact change is 1 - h_ii.

    Parameters
    ----------
    train_gradients : array of shape (n, P), float32 or float64
        Gradients of the loss of each training point in the parameters.
    target_gradients : array of shape (m, P), float32 or float64
        The same at the targets.
    hessian : array of shape (P, P), or callable
        Hessian of the mean training loss, regularization included; or its product with a vector (P,).
    damping : float
        Added to its diagonal, where it is not positive definite.
    tolerance : float
        Relative residual of the conjugate gradients that solve with a callable.

    Raises
    ------
    DataError
        If the shapes do not fit, the damped Hessian is not positive definite, or the solver does not converge.
    """
    sources, targets = as_floats("gradients", train_gradients, 2), as_floats("target gradients", target_gradients, 2)
    n, size = sources.shape
    if targets.shape[1] != size:
        raise DataError(f"gradients have {size} parameters, target gradients {targets.shape[1]}")
    if callable(hessian):
        solved = np.stack([_conjugate_gradients(hessian, damping, gradient, tolerance) for gradient in sources])
    else:
        matrix = as_square("Hessian entries", hessian)
        if len(matrix) != size:
            raise DataError(f"the Hessian has {len(matrix)} rows for {size} parameters")
        eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2 + damping * np.eye(size))
        if eigenvalues[0] <= size * np.finfo(np.float64).eps * abs(eigenvalues[-1]):
            raise DataError("the damped Hessian is not positive definite: choose a larger damping")
        solved = sources @ vectors / eigenvalues @ vectors.T
    return np.asarray(np.abs(solved @ targets.T) / n)


def _conjugate_gradients(
    product: Callable[[FloatArray], FloatArray], damping: float, gradient: FloatArray, tolerance: float
) -> FloatArray:
    size = len(gradient)

    def damped(vector: FloatArray) -> FloatArray:
        flat = np.asarray(vector, dtype=np.float64).reshape(size)
        return np.asarray(product(flat), dtype=np.float64) + damping * flat

    operator = LinearOperator((size, size), matvec=damped, dtype=np.float64)
    solution, failed = cg(operator, gradient, rtol=tolerance, maxiter=20 * size)
    if failed or not np.isfinite(solution).all():
        raise DataError("conjugate gradients did not converge: choose a larger damping")
    return np.asarray(solution, dtype=np.float64)
