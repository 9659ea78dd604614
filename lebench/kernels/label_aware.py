"""Label-aware kernels by higher-order regression (LANTK-HR): a kernel plus an estimate of label agreement.

``K(a, b) = H(a, b) + lambda Z(a, b)`` (Chen, He & Su 2020), where H is any kernel and Z estimates from the training
labels whether a and b are of one class: 2 * 1[same] - 1, which for labels -1 and 1 is y_a y_b.

One estimator serves training and test points, and it is cross-fitted: the label of a training point never enters
the estimate of a pair that the point is in. The released code uses true labels, or estimates fitted to them, on the
training points and predictions on the others, so that its two kernels do not match.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.kernels.pair_regression import PairRegression, Points, pair_features
from lebench.kernels.regression import RIDGES, RidgeRegression, ridge_regression
from lebench.metrics.arrays import as_floats, as_labels, as_symmetric

AverageVariant = Literal["kr-v1", "kr-v2-cntk", "kr-v2-two-layer"]
Variant = Literal["kr-v1", "kr-v2-cntk", "kr-v2-two-layer", "fjlt-v1", "fjlt-v2", "fjlt-v4-6"]

#: Label ratios over which leave-one-out chooses: mean|lambda Z| / mean|H| over the training pairs.
LABEL_RATIOS = np.concatenate([[0.0], 10.0 ** np.arange(-3.0, 0.5, 0.5)])
#: Added to the diagonal of a kernel before it is inverted for the V2 kernels, relative to its mean diagonal.
INVERSE_RIDGE = 1e-6
FOLDS = 5
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
        If shapes do not fit, the labels are all equal, the kernel is constant, or, for V2, singular.

    References
    ----------
    .. [1] Chen, He & Su 2020, section 3.2 (KR-V1, KR-V2), and their released code.
    """
    matrix = as_symmetric("the kernel", kernel)
    known = as_labels("the labels", labels)
    if len(known) != len(matrix):
        raise DataError(f"the kernel is of {len(matrix)} points, there are {len(known)} labels")
    return _average(matrix, known, variant, ridge, np.arange(len(matrix)))


def _average(
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


class _Estimator(Protocol):
    """An estimator of agreement that can be fitted without some folds."""

    def fit(self, excluded: Collection[int]) -> Any: ...

    def points(self, x: FloatArray) -> Points | None: ...

    def evaluate(self, fitted: Any, kernel: FloatArray, first: Points | None, second: Points | None) -> FloatArray: ...


class _Averages:
    def __init__(self, kernel: FloatArray, labels: IntArray, folds: IntArray, variant: AverageVariant) -> None:
        self._kernel, self._labels, self._folds, self._variant = kernel, labels, folds, variant

    def fit(self, excluded: Collection[int]) -> KernelAverage:
        keep = np.flatnonzero(~np.isin(self._folds, list(excluded)))
        return _average(self._kernel, self._labels, self._variant, INVERSE_RIDGE, keep)

    def points(self, x: FloatArray) -> None:
        return None

    def evaluate(self, fitted: KernelAverage, kernel: FloatArray, first: None, second: None) -> FloatArray:
        return fitted(kernel)


class _Regressions:
    def __init__(self, kernel: FloatArray, x: FloatArray, labels: IntArray, folds: IntArray, variant: Variant) -> None:
        self._regression = PairRegression(pair_features(x, variant), kernel, x, labels, folds)

    def fit(self, excluded: Collection[int]) -> FloatArray:
        return self._regression.solve(excluded)

    def points(self, x: FloatArray) -> Points:
        return self._regression.features.points(x)

    def evaluate(self, fitted: FloatArray, kernel: FloatArray, first: Points, second: Points) -> FloatArray:
        return self._regression.evaluate(fitted, kernel, first, second)


class LabelAgreement:
    """A cross-fitted estimate of whether two inputs are of one class: a symmetric function of two inputs.

    The training points are divided into folds, equal points into the same. At a pair of inputs the estimator is
    evaluated that was fitted to all pairs of training points outside the folds of the two inputs; an input that is
    no training point has no fold. So no label of a training point enters an estimate that the point is in, and a test
    point meets each training point as another training point would.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        H of the training points.
    x : ndarray of shape (n, d)
        Training points, flat.
    labels : ndarray of shape (n,)
        Integers from 0.
    variant : str
        See :func:`kernel_average` and :func:`~lebench.kernels.pair_regression.pair_features`. Kernel values outside the
        range of the training kernel are brought into it, and the V2 kernels invert H with the ridge
        :data:`INVERSE_RIDGE`.
    rng : numpy.random.Generator
        Draws the folds.
    folds : int
        How many, at least 3.

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite or labels no integers from 0, there are fewer than two different
        points a fold, or two folds hold all points of all classes but one.
    """

    def __init__(
        self,
        kernel: FloatArray,
        x: FloatArray,
        labels: IntArray,
        variant: Variant,
        rng: np.random.Generator,
        folds: int = FOLDS,
    ) -> None:
        if variant not in get_args(Variant):
            raise DataError(f"variant {variant!r} is unknown: {', '.join(get_args(Variant))} are known")
        kernel = as_symmetric("entries of the kernel", kernel)
        labels = as_labels("the labels", labels, len(kernel))
        x = as_floats("the training points", x, 2)
        if len(x) != len(kernel):
            raise DataError(f"the kernel is of {len(kernel)} points, there are {len(x)} training points")
        names = [_name(row) for row in x]
        different = sorted(set(names))
        if folds < 3 or len(different) < 2 * folds:
            raise DataError(
                f"cross-fitting with {folds} folds needs at least 3 folds and {2 * folds} different training points, "
                f"there are {len(different)}"
            )
        drawn = rng.permutation(len(different)) % folds
        self._unknown = folds
        self._fold = dict(zip(different, drawn.tolist(), strict=True))
        own = np.array([self._fold[name] for name in names])
        self._estimator: _Estimator
        if variant in get_args(AverageVariant):
            self._estimator = _Averages(kernel, labels, own, variant)  # type: ignore[assignment, arg-type]
        else:
            self._estimator = _Regressions(kernel, x, labels, own, variant)  # type: ignore[assignment]
        self._fitted: dict[frozenset[int], Any] = {}

    def folds(self, x: FloatArray) -> IntArray:
        """Return the fold (n,) of each of some flat inputs, and the number of folds for what is no training point."""
        return np.array([self._fold.get(_name(row), self._unknown) for row in x], dtype=np.int64)

    def __call__(self, kernel: FloatArray, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the estimates (n, m), about -1 to 1, for the kernel (n, m) between flat inputs (n, d) and (m, d)."""
        result = np.empty(kernel.shape)
        folds1, folds2 = self.folds(x1), self.folds(x2)
        columns = {g: np.flatnonzero(folds2 == g) for g in np.unique(folds2).tolist()}
        second = {g: self._estimator.points(x2[members]) for g, members in columns.items()}
        for f in np.unique(folds1).tolist():
            members = np.flatnonzero(folds1 == f)
            for start in range(0, len(members), _ROWS):
                rows = members[start : start + _ROWS]
                first = self._estimator.points(x1[rows])
                for g, of_fold in columns.items():
                    where = np.ix_(rows, of_fold)
                    result[where] = self._estimator.evaluate(self._without(f, g), kernel[where], first, second[g])
        return result

    def _without(self, f: int, g: int) -> Any:
        excluded = frozenset({f, g} - {self._unknown})
        if excluded not in self._fitted:
            self._fitted[excluded] = self._estimator.fit(excluded)
        return self._fitted[excluded]


def _name(row: FloatArray) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class LabelAwareRegression:
    """Kernel ridge regression with H + scale Z, the scale and the ridge chosen on the training points.

    Attributes
    ----------
    regression : RidgeRegression
        Coefficients and ridge. Ridges that were not admitted are left out of its grid.
    label_ratio : float
        mean|scale Z| / mean|H| over the training pairs, one of the grid.
    scale : float
        lambda.
    smallest_eigenvalue : float
        Of H + scale Z on the training points. Negative: the kernel is indefinite.
    leave_one_out : ndarray of shape (len(grid),)
        Smallest mean squared leave-one-out residual at each label ratio.
    smallest_eigenvalues : ndarray of shape (len(grid),)
        At each label ratio.
    """

    regression: RidgeRegression
    label_ratio: float
    scale: float
    smallest_eigenvalue: float
    leave_one_out: FloatArray
    smallest_eigenvalues: FloatArray


def label_aware_regression(
    kernel: FloatArray, agreement: FloatArray, targets: FloatArray, ratios: ArrayLike = LABEL_RATIOS
) -> LabelAwareRegression:
    """Choose label ratio and ridge by leave-one-out on the training points, and fit.

    A label-aware kernel may be indefinite. The policy here is to restrict: of the pairs (label ratio, ridge) only those
    are admitted for which the smallest eigenvalue of H + lambda Z is at least -ridge/2. Then the regression is one
    with a positive definite kernel, that of H + lambda Z + ridge/2 on equal points, and ridge/2. The large ridges of
    the grid are always admitted, so that a regression is found; at a tie the smaller ratio wins.

    Leave-one-out holds Z fixed. Z is cross-fitted, so that a residual is not flattered by the point's own label in
    its row; the label still enters the estimates of other pairs, as one of n.

    Parameters
    ----------
    kernel, agreement : ndarray of shape (n, n)
        H and Z of the training points, symmetric.
    targets : ndarray of shape (n, C)
        See :func:`~lebench.kernels.regression.one_hot_targets`.
    ratios : array_like of shape (k,)
        Label ratios, not negative.

    Raises
    ------
    DataError
        If the grid is empty or negative, shapes do not fit, Z is zero, or the kernel is more negative than the largest
        ridge admits.
    """
    grid = np.asarray(ratios, dtype=np.float64).reshape(-1)
    if grid.size == 0 or not (grid >= 0).all() or not np.isfinite(grid).all():
        raise DataError(f"label ratios are {grid}: at least one, none negative, is needed")
    if not kernel.shape == agreement.shape == (len(targets), len(targets)):
        raise DataError(
            f"the kernel of shape {kernel.shape}, the agreement of shape {agreement.shape} and the targets of "
            f"{len(targets)} points do not fit"
        )
    size = float(np.abs(agreement).mean())
    if size == 0:
        raise DataError("the estimated label agreement is zero everywhere: it cannot be scaled to the kernel")
    scales = grid * (float(np.abs(kernel).mean()) / size)
    fits = [restricted_regression(kernel + scale * agreement, targets) for scale in scales]
    losses = np.array([np.inf if fit is None else fit.leave_one_out.min() for fit, _ in fits])
    smallest = np.array([value for _, value in fits])
    order = np.lexsort((grid, losses))
    chosen = int(order[0])
    best = fits[chosen][0]
    if best is None:
        raise DataError(
            f"the label-aware kernels have eigenvalues down to {smallest.min():.3g}, below what the largest ridge "
            "admits: add smaller label ratios, 0 among them"
        )
    return LabelAwareRegression(
        best, float(grid[chosen]), float(scales[chosen]), float(smallest[chosen]), losses, smallest
    )


def restricted_regression(kernel: FloatArray, targets: FloatArray) -> tuple[RidgeRegression | None, float]:
    """Return ridge regression with a kernel that may be indefinite, and its smallest eigenvalue.

    The ridge is chosen by leave-one-out among those of the grid that are at least -2 times the smallest eigenvalue, see
    :func:`label_aware_regression`; None if there are none. The smallest eigenvalue is that of the kernel itself.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Of the training points, symmetric.
    targets : ndarray of shape (n, C)
        See :func:`~lebench.kernels.regression.one_hot_targets`.
    """
    from scipy.linalg import eigvalsh

    smallest = float(eigvalsh(kernel, subset_by_index=[0, 0])[0])
    mean = float(np.trace(kernel)) / len(kernel)
    shift = max(0.0, -smallest)
    ridges = RIDGES * mean
    admitted = ridges[ridges >= 2 * shift]
    if mean <= 0 or not admitted.size:
        return None, smallest
    # H + lambda Z + shift is positive semidefinite, and with ridge - shift it is the regression that is asked for.
    fit = ridge_regression(kernel + shift * np.eye(len(kernel)), targets, (admitted - shift) / (mean + shift))
    index = int(np.argmin(fit.leave_one_out))
    exact = RIDGES[ridges >= 2 * shift][index]
    return (
        replace(fit, ridge=float(exact * mean), relative_ridge=float(exact), mean_diagonal=mean, clipped=0.0),
        smallest,
    )
