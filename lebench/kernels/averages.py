"""Label agreement as a function of the kernel value alone: the "KR" kernels of Chen, He & Su (2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.kernels.checks import symmetric_kernel
from lebench.metrics.arrays import as_labels

AverageVariant = Literal["kr-v1", "kr-v2-cntk", "kr-v2-two-layer"]

_ROWS = 128


@dataclass(frozen=True)
class KernelAverage:
    """Label agreement as a function of the kernel value h alone: a ratio of two parabolas.

    ``Z(h) = sum_ij w_ij t_ij / sum_ij w_ij v_ij`` with ``w_ij = s2 - (h - H_ij)^2``, of Epanechnikov type, expands into
    ``(s2 T0 - T0 h^2 + 2 T1 h - T2) / (s2 U0 - U0 h^2 + 2 U1 h - U2)`` with ``Tk = sum t_ij H_ij^k`` and
    ``Uk = sum v_ij H_ij^k``.

    Attributes
    ----------
    numerator, denominator : ndarray of shape (3,)
        T0, T1, T2 and U0, U1, U2.
    lowest, highest : float
        Of the training kernel; ``s2 = (highest - lowest)^2``.
    """

    numerator: FloatArray
    denominator: FloatArray
    lowest: float
    highest: float

    def __call__(self, kernel: FloatArray, *, clip: bool = True) -> FloatArray:
        """Return Z at kernel values of any shape.

        Parameters
        ----------
        kernel : ndarray
            Values h.
        clip : bool
            Whether h is first brought into the range of the training kernel. Outside it weights turn negative, and Z is
            no average of agreements any more; the released code does not clip.
        """
        h = np.clip(kernel, self.lowest, self.highest) if clip else kernel
        square = (self.highest - self.lowest) ** 2

        def parabola(s: FloatArray) -> FloatArray:
            value: FloatArray = (square * s[0] - s[2]) + h * (2 * s[1] - s[0] * h)
            return value

        return parabola(self.numerator) / parabola(self.denominator)


def kernel_average(kernel: Any, labels: Any, variant: AverageVariant = "kr-v1", *, ridge: float = 0.0) -> KernelAverage:
    """Fit label agreement as a weighted average over all pairs of training points.

    Parameters
    ----------
    kernel : array of shape (n, n)
        H of the training points, symmetric.
    labels : array of shape (n,)
        Integers from 0.
    variant : {"kr-v1", "kr-v2-cntk", "kr-v2-two-layer"}
        V1: t_ij is the agreement of i and j, v_ij = 1 (Nadaraya-Watson in the kernel value). The release has two
        kernels called V2. In that of its CNTK code t = H^-1 A H^-1 for the agreements A, and v = 1, so that it is no
        average. In that of its two-layer code both t and v carry the entries of H^-2, scaled to [0, 1], as weights.
    ridge : float
        Added to the diagonal of H before it is inverted, relative to the mean diagonal; not used by V1.

    Returns
    -------
    KernelAverage

    Raises
    ------
    DataError
        If the variant is unknown, shapes do not fit, the labels are all equal, or the kernel is constant or, for V2,
        singular.

    References
    ----------
    .. [1] Chen, He & Su 2020, section 3.2 (KR-V1, KR-V2), and their released code.
    """
    if variant not in get_args(AverageVariant):
        raise DataError(f"variant {variant!r} is unknown: {', '.join(get_args(AverageVariant))} are known")
    matrix = symmetric_kernel(kernel)
    known = as_labels("the labels", labels)
    if len(known) != len(matrix):
        raise DataError(f"the kernel is of {len(matrix)} points, there are {len(known)} labels")
    return average(matrix, known, variant, ridge, np.arange(len(matrix)))


def average(
    matrix: FloatArray, labels: IntArray, variant: AverageVariant, ridge: float, keep: IntArray
) -> KernelAverage:
    """Return the average over the pairs of some training points; the range is that of all, which tells no label."""
    lowest, highest = float(matrix.min()), float(matrix.max())
    if not highest > lowest:
        raise DataError(f"all entries of the kernel are {lowest:g}: it tells no points apart")
    own = labels[keep]
    if own.min() == own.max():
        raise DataError(
            f"all {len(own)} labels outside two folds are {own[0]}: points of at least two classes are needed"
        )
    inverse = None if variant == "kr-v1" else _inverse(matrix[np.ix_(keep, keep)], ridge)
    outer: FloatArray | None = None
    weights: FloatArray | None = None
    if variant == "kr-v2-cntk":
        assert inverse is not None
        one_hot = (own[:, None] == np.unique(own)).astype(np.float64)
        # A = 2 O O^T - 1 1^T, so that H^-1 A H^-1 is of low rank and never formed.
        outer = inverse @ np.column_stack([np.sqrt(2) * one_hot, np.ones(len(own))])
    elif variant == "kr-v2-two-layer":
        assert inverse is not None
        weights = inverse @ inverse
        weights -= weights.min()
        weights /= weights.max()
    numerator, denominator = np.zeros(3), np.zeros(3)
    for start in range(0, len(keep), _ROWS):
        rows = slice(start, start + _ROWS)
        h = matrix[np.ix_(keep[rows], keep)]
        if outer is None:
            agreement = 2.0 * (own[rows, None] == own) - 1.0
        else:
            agreement = outer[rows, :-1] @ outer[:, :-1].T - np.outer(outer[rows, -1], outer[:, -1])
        weight = np.ones_like(h) if weights is None else weights[rows]
        agreement *= weight
        for power in range(3):
            numerator[power] += np.vdot(agreement, h**power)
            denominator[power] += np.vdot(weight, h**power)
    return KernelAverage(numerator, denominator, lowest, highest)


def _inverse(matrix: FloatArray, ridge: float) -> FloatArray:
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    shifted = matrix + ridge * float(np.trace(matrix)) / len(matrix) * np.eye(len(matrix))
    try:
        factor = cho_factor(shifted, lower=True)
    except LinAlgError as error:
        raise DataError(
            "the kernel of the training points is singular, and the V2 kernels invert it: remove points that occur "
            "twice, raise the ridge, or use kr-v1"
        ) from error
    inverse: FloatArray = cho_solve(factor, np.eye(len(matrix)))
    return (inverse + inverse.T) / 2
