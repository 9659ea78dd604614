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
from lebench.kernels.averages import AverageVariant, KernelAverage, average
from lebench.kernels.checks import read_kernel, symmetric_kernel
from lebench.kernels.pair_regression import PairRegression, Points, pair_features
from lebench.kernels.regression import RIDGES, RidgeRegression, ridge_regression
from lebench.metrics.arrays import as_floats, as_labels

Variant = Literal["kr-v1", "kr-v2-cntk", "kr-v2-two-layer", "fjlt-v1", "fjlt-v2", "fjlt-v4-6"]

#: Label ratios over which leave-one-out chooses: mean|lambda Z| / mean|H| over the training pairs.
LABEL_RATIOS = np.concatenate([[0.0], 10.0 ** np.arange(-3.0, 0.5, 0.5)])
#: Added to the diagonal of a kernel before it is inverted for the V2 kernels, relative to its mean diagonal.
INVERSE_RIDGE = 1e-6
FOLDS = 5
_ROWS = 128


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
        return average(self._kernel, self._labels, self._variant, INVERSE_RIDGE, keep)

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
        See :func:`~lebench.kernels.averages.kernel_average` and
        :func:`~lebench.kernels.pair_regression.pair_features`. Kernel values outside the range of the training kernel
        are brought into it, and the V2 kernels invert H with the ridge :data:`INVERSE_RIDGE`.
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
        kernel = symmetric_kernel(kernel)
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
    if not (np.isfinite(kernel).all() and np.isfinite(agreement).all()):
        raise DataError(
            "the kernel or the agreement contains NaN or infinity: look for such or huge values in the inputs"
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

    Raises
    ------
    DataError
        If shapes do not fit or values are not finite.
    """
    from scipy.linalg import eigvalsh

    kernel = read_kernel(kernel)
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
