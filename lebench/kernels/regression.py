"""Kernel ridge regression with the ridge chosen by leave-one-out, and gradient flow in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.kernels.checks import read_targets, symmetric_kernel, weighted_rows
from lebench.metrics.arrays import as_labels, to_numpy

#: Ridges over which leave-one-out chooses, relative to the mean diagonal of the kernel; the same for every kernel.
RIDGES = 10.0 ** np.arange(-8, 2)
#: Negative eigenvalues up to this fraction of the largest one are rounding (kernels may come in float32).
_NEGATIVE = 1e-5


def one_hot_targets(labels: Any, classes: int | None = None) -> FloatArray:
    """Return the targets of kernel regression: one-hot minus 1/C.

    Parameters
    ----------
    labels : array of shape (n,)
        Integers 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.

    Returns
    -------
    ndarray of shape (n, C), float64

    Raises
    ------
    DataError
        If all points are of one class, or the labels are no integers from 0 to C-1.
    """
    known = as_labels("the labels", labels, classes=classes)
    if known.min() == known.max():
        raise DataError(f"all {len(known)} labels are {known[0]}: at least two classes are needed")
    count = classes or int(known.max()) + 1
    targets: FloatArray = np.eye(count)[known] - 1.0 / count
    return targets


@dataclass(frozen=True)
class RidgeRegression:
    """Kernel ridge regression ``f(x) = K(x, X) alpha``.

    Attributes
    ----------
    coefficients : ndarray of shape (n, C)
        alpha = (K + ridge I)^-1 targets.
    ridge : float
        The chosen ridge in the units of the kernel.
    relative_ridge : float
        The same as a multiple of the mean diagonal: one of the grid.
    mean_diagonal : float
        Mean of K(x, x) over the training points.
    leave_one_out : ndarray of shape (len(grid),)
        Mean squared leave-one-out residual at each ridge of the grid.
    residuals : ndarray of shape (n, C)
        Leave-one-out residuals ``targets - f_{-i}(x_i)`` at the chosen ridge.
    clipped : float
        Size of the most negative eigenvalue, which was set to zero as rounding, relative to the largest; 0 if none.
    """

    coefficients: FloatArray
    ridge: float
    relative_ridge: float
    mean_diagonal: float
    leave_one_out: FloatArray
    residuals: FloatArray
    clipped: float

    def predict(self, kernel: Any) -> FloatArray:
        """Return scores (m, C) from the kernel (m, n) between new points and the training points."""
        return weighted_rows(kernel, self.coefficients)


def ridge_regression(kernel: Any, targets: Any, ridges: ArrayLike = RIDGES) -> RidgeRegression:
    """Fit kernel ridge regression, with the ridge that has the smallest leave-one-out error.

    Leave-one-out residuals of all points and all ridges come from one eigendecomposition: the residual of point i is
    ``alpha_i / ((K + ridge I)^-1)_ii`` (Rasmussen & Williams 2006, equation 5.12). At a tie the smaller ridge wins.

    Parameters
    ----------
    kernel : array of shape (n, n)
        Of the training points; symmetric, positive semidefinite.
    targets : array of shape (n, C) or (n,)
        For classes, see :func:`one_hot_targets`.
    ridges : array_like of shape (k,)
        Positive, relative to the mean diagonal of the kernel.

    Returns
    -------
    RidgeRegression

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite, a ridge is not positive, or the kernel has negative eigenvalues
        beyond rounding.
    """
    matrix = symmetric_kernel(kernel)
    right = read_targets("the targets", targets, len(matrix))
    grid = np.asarray(ridges, dtype=np.float64).reshape(-1)
    if grid.size == 0 or not (grid > 0).all() or not np.isfinite(grid).all():
        raise DataError(f"ridges are {grid}: at least one, each positive, is needed")
    values, vectors, clipped = _eigen(matrix)
    mean = float(np.trace(matrix)) / len(matrix)
    rotated = vectors.T @ right
    squares = np.square(vectors)
    losses = np.empty(len(grid))
    best: tuple[FloatArray, FloatArray] | None = None
    for k, ridge in enumerate(grid * mean):
        inverse = 1.0 / (values + ridge)
        coefficients = vectors @ (inverse[:, None] * rotated)
        residuals = coefficients / (squares @ inverse)[:, None]
        losses[k] = np.square(residuals).mean()
        if best is None or losses[k] < losses[:k].min():
            best = coefficients, residuals
    assert best is not None
    chosen = float(grid[int(np.argmin(losses))])
    return RidgeRegression(best[0], chosen * mean, chosen, mean, losses, best[1], clipped)


@dataclass(frozen=True)
class GradientFlow:
    """Gradient flow of kernel regression from its start to infinite time, in closed form.

    With the loss ``1/(2n) sum_i |f(x_i) - y_i|^2`` and a constant kernel H, the residuals on the training points obey
    ``u(t) = exp(-H t / n) u(0)``, and everywhere ``f(x, t) = f(x, 0) - K(x, X) c(t)`` with
    ``c(t) = H^-1 (I - exp(-H t / n)) u(0)`` (Jacot et al. 2018, section 5; Lee et al. 2019, section 2.2).

    Attributes
    ----------
    values : ndarray of shape (n,)
        Eigenvalues of the training kernel, ascending; negative ones of the size of rounding are zero.
    vectors : ndarray of shape (n, n)
        Eigenvectors in columns.
    start : ndarray of shape (n, C)
        Residuals ``f(X, 0) - Y``.
    targets : ndarray of shape (n, C)
        Y.
    rank : int
        How many eigenvalues exceed rounding. At infinite time only these directions are fitted.
    """

    values: FloatArray
    vectors: FloatArray
    start: FloatArray
    targets: FloatArray
    rank: int

    def coefficients(self, time: float) -> FloatArray:
        """Return minus c(t) (n, C), so that ``f(x, t) = f(x, 0) + K(x, X) coefficients(t)``.

        Parameters
        ----------
        time : float
            At least 0, in units of the learning rate times steps; ``math.inf`` for the end.

        Raises
        ------
        DataError
            If the time is negative or NaN.
        """
        if not time >= 0:
            raise DataError(f"the time is {time}: at least 0, or math.inf, is needed")
        n = len(self.values)
        known = np.arange(n) >= n - self.rank
        safe = np.where(known, self.values, 1.0)
        if math.isinf(time):
            weights = np.where(known, 1.0 / safe, 0.0)
        else:
            weights = np.where(known, -np.expm1(-self.values * time / n) / safe, time / n)
        result: FloatArray = -self.vectors @ (weights[:, None] * (self.vectors.T @ self.start))
        return result

    def train(self, time: float) -> FloatArray:
        """Return the scores (n, C) of the training points at a time."""
        if not time >= 0:
            raise DataError(f"the time is {time}: at least 0, or math.inf, is needed")
        n = len(self.values)
        known = np.arange(n) >= n - self.rank
        decay = np.where(known, np.exp(-np.where(known, self.values, 1.0) * time / n), 1.0)
        result: FloatArray = self.targets + self.vectors @ (decay[:, None] * (self.vectors.T @ self.start))
        return result

    def predict(self, kernel: Any, time: float, initial: Any = 0.0) -> FloatArray:
        """Return the scores (m, C) of other points at a time.

        Parameters
        ----------
        kernel : array of shape (m, n)
            Between these points and the training points.
        time : float
            See :meth:`coefficients`.
        initial : array of shape (m, C), optional
            Their scores at time 0; zero by default.
        """
        scores: FloatArray = to_numpy(initial) + weighted_rows(kernel, self.coefficients(time))
        return scores


def gradient_flow(kernel: Any, targets: Any, initial: Any = 0.0) -> GradientFlow:
    """Return the gradient flow of kernel regression.

    Parameters
    ----------
    kernel : array of shape (n, n)
        Of the training points; symmetric, positive semidefinite.
    targets : array of shape (n, C) or (n,)
        Y.
    initial : array of shape (n, C), optional
        Scores of the training points at time 0; zero by default.

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite, or the kernel has negative eigenvalues beyond rounding.
    """
    matrix = symmetric_kernel(kernel)
    right = read_targets("the targets", targets, len(matrix))
    before = to_numpy(initial)
    if before.ndim:
        before = read_targets("the initial scores", before, len(matrix))
    if before.ndim and before.shape != right.shape:
        raise DataError(f"the initial scores have shape {before.shape}, the targets {right.shape}: they must agree")
    start = np.broadcast_to(before, right.shape) - right
    values, vectors, _ = _eigen(matrix)
    cutoff = len(matrix) * float(np.finfo(np.float64).eps) * float(values[-1])
    return GradientFlow(values, vectors, start, right, int((values > cutoff).sum()))


def _eigen(matrix: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    values, vectors = np.linalg.eigh(matrix)
    largest, smallest = float(values[-1]), float(values[0])
    if largest <= 0 or smallest < -_NEGATIVE * largest:
        raise DataError(
            f"the kernel has eigenvalues from {smallest:.3g} to {largest:.3g}: it is not positive semidefinite; "
            "check that it is a kernel of these points, or compute it in float64"
        )
    return np.maximum(values, 0.0), vectors, max(0.0, -smallest / largest)
