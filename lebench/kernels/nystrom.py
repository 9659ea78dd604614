"""Nyström approximation of kernel ridge regression, its centres by randomly pivoted Cholesky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from lebench import progress
from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError, ParameterError
from lebench.kernels.checks import read_targets
from lebench.kernels.operators import KernelOperator
from lebench.metrics.kernel_fit import score_difference

#: Centres that are drawn at a time.
_STEP = 100
#: A pivot below this fraction of the mean diagonal is rounding.
_LEAST = 1e-10


@dataclass(frozen=True)
class Nystrom:
    """Kernel ridge regression in the span of the kernel at some centres.

    Attributes
    ----------
    centres : ndarray of shape (k,)
        Which training points they are.
    coefficients : ndarray of shape (k, C)
        Scores are K(x, centres) times these.
    ridge : float
        In the units of the kernel.
    left_over : float
        Trace of what the approximation leaves of the kernel, relative to its trace.
    """

    centres: IntArray
    coefficients: FloatArray
    ridge: float
    left_over: float

    def predict(self, kernel: Any) -> FloatArray:
        """Return scores (m, C) from the kernel (m, k) between new points and the centres, operator or array."""
        scores: FloatArray = np.asarray(kernel @ self.coefficients)
        return scores

    def difference(self, scores: FloatArray, exact: FloatArray) -> dict[str, float]:
        """Return how far scores are from exact ones: root mean square relative to theirs, and other decisions."""
        return {
            "relative_difference": score_difference(scores, exact),
            "other_decisions": float((scores.argmax(axis=1) != exact.argmax(axis=1)).mean()),
        }


def pivoted_cholesky(kernel: KernelOperator, rank: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray, float]:
    """Return centres, a factor F (n, k) with F F^T the Nyström approximation, and the share of the trace left over.

    Pivots are drawn in proportion to the diagonal of what is left, so many at a time.

    Parameters
    ----------
    kernel : KernelOperator
        Of a set with itself.
    rank : int
        Centres k; fewer come back where the kernel has a lower rank.
    rng : numpy.random.Generator
        Draws them.

    References
    ----------
    .. [1] Chen, Epperly, Tropp & Webber 2025, Randomly pivoted Cholesky, algorithms 2 and 4 (blocks).
    """
    diagonal = kernel.diagonal().astype(np.float64)
    left, trace = diagonal.copy(), float(diagonal.sum())
    if not trace > 0:
        raise DataError(f"the kernel has the mean diagonal {trace / len(diagonal):g}: it is not positive definite")
    least = _LEAST * trace / len(left)
    factor = np.empty((kernel.shape[0], rank))
    centres: list[int] = []
    while len(centres) < rank and left.max() > least:
        wanted = min(_STEP, rank - len(centres), int((left > least).sum()))
        chosen = rng.choice(len(left), wanted, replace=False, p=left / left.sum())
        known = factor[:, : len(centres)]
        columns = kernel.columns(np.sort(chosen)).astype(np.float64) - known @ known[np.sort(chosen)].T
        chosen = np.sort(chosen)
        # Of points that nearly depend on others of the same step only one is kept.
        upper, order, _ = _pivots(columns[chosen], least)
        chosen, columns = chosen[order], columns[:, order]
        new = scipy.linalg.solve_triangular(upper, columns.T, trans="T", lower=False).T
        factor[:, len(centres) : len(centres) + len(chosen)] = new
        left = np.maximum(left - np.square(new).sum(axis=1), 0.0)
        left[chosen] = 0.0
        centres += chosen.tolist()
        progress.report(centre=len(centres), centres=rank)
    return np.array(centres), factor[:, : len(centres)], float(left.sum()) / trace


def _pivots(block: FloatArray, least: float) -> tuple[FloatArray, IntArray, int]:
    """Return the pivoted Cholesky factor of a small block, upper triangular, the pivots, and their number."""
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(block, tol=least)
    return np.triu(factor[:rank, :rank]), pivots[:rank] - 1, int(rank)


def nystrom_regression(
    kernel: KernelOperator, targets: Any, rank: int, relative_ridge: float, *, seed: int = 0
) -> Nystrom:
    """Fit kernel ridge regression approximately, in the span of the kernel at randomly pivoted centres.

    Parameters
    ----------
    kernel : KernelOperator
        Of the training points with themselves.
    targets : array of shape (n, C) or (n,)
        For classes, see :func:`lebench.kernels.one_hot_targets`.
    rank : int
        Number of centres k. Memory is 8 n k bytes, time n k^2.
    relative_ridge : float
        A multiple of the mean diagonal.
    seed : int
        Draws the centres.

    Raises
    ------
    DataError
        If shapes do not fit.
    ParameterError
        If the rank or ridge is out of range.
    """
    right = read_targets("the targets", targets, kernel.shape[0])
    if not 1 <= rank <= kernel.shape[0]:
        raise ParameterError(f"rank={rank}: from 1 to the {kernel.shape[0]} points is needed")
    if not 0 < relative_ridge < np.inf:
        raise ParameterError(f"relative_ridge={relative_ridge}: a positive number is needed")
    centres, factor, left = pivoted_cholesky(kernel, rank, np.random.default_rng(seed))
    ridge = relative_ridge * float(kernel.diagonal().mean(dtype=np.float64))
    normal = factor.T @ factor
    normal[np.diag_indices(len(normal))] += ridge
    weights = scipy.linalg.solve(normal, factor.T @ right, assume_a="pos")
    # F = K(X, centres) F_S^-T with the triangular F_S, so scores are K(x, centres) F_S^-T weights.
    coefficients = scipy.linalg.solve_triangular(factor[centres].T, weights, lower=False)
    return Nystrom(centres, coefficients, ridge, left)
