"""Least squares on features of pairs of points: the "FJLT" kernels of Chen, He & Su (2020), solved exactly.

Whether two points are of one class is regressed on a few features of the pair, over all n^2 pairs of training points.
The paper shortens the n^2 x p system by a fast Johnson-Lindenstrauss transform, because it does not fit into memory.
That is unnecessary: least squares needs only the p x p normal equations, which are sums over pairs. They are
accumulated here block by block, exactly, in O(n^2 p^2) work and O(n p) memory.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats

#: Features of a pair of points (x, x') with kernel H, by variant; a constant is always added. "products" and
#: "differences" are five each, of the leading principal components.
PAIR_FEATURES: dict[str, tuple[str, ...]] = {
    "fjlt-v1": (
        "kernel",
        "inner",
        "cosine",
        "squared-distance",
        "norms",
        "sine",
        "angle",
        "gaussian",
        "correlation",
        "l1-distance",
    ),
    "fjlt-v4-6": ("kernel", "inner", "cosine", "squared-distance", "products", "differences"),
}
PAIR_FEATURES["fjlt-v2"] = (*PAIR_FEATURES["fjlt-v1"], "products", "differences")

_COMPONENTS = 5
#: Rows of a block: its features stay in the cache of a core for n of some hundreds.
_ROWS = 64


@dataclass(frozen=True)
class Points:
    """Points with what their pair features need, so that it is computed once per point.

    Attributes
    ----------
    x : ndarray of shape (n, d)
        The points.
    norms : ndarray of shape (n,)
        Their Euclidean norms.
    patterns : ndarray of shape (n, d)
        Each point minus its mean, divided by its norm, zero if it is constant.
    components : ndarray of shape (n, k)
        Coordinates along the leading principal components of the training points, k at most 5.
    """

    x: FloatArray
    norms: FloatArray
    patterns: FloatArray
    components: FloatArray

    def __getitem__(self, index: slice | IntArray) -> Points:
        return Points(self.x[index], self.norms[index], self.patterns[index], self.components[index])


@dataclass(frozen=True)
class PairFeatures:
    """Features of pairs of points, with the scales taken from the training points.

    Attributes
    ----------
    names : tuple of str
        Which features, of :data:`PAIR_FEATURES`.
    mean : ndarray of shape (d,)
        Mean of the training points.
    axes : ndarray of shape (k, d)
        Their leading principal axes.
    bandwidth : float
        Mean squared distance between them, over all n^2 pairs.
    """

    names: tuple[str, ...]
    mean: FloatArray
    axes: FloatArray
    bandwidth: float

    @property
    def count(self) -> int:
        """Number of features, the constant not among them."""
        return sum(len(self.axes) if name in ("products", "differences") else 1 for name in self.names)

    def points(self, x: FloatArray) -> Points:
        """Return points (n, d) ready for :meth:`block`."""
        patterns = x - x.mean(axis=1, keepdims=True)
        length = np.linalg.norm(patterns, axis=1, keepdims=True)
        patterns = np.divide(patterns, length, out=np.zeros_like(patterns), where=length > 0)
        return Points(x, np.linalg.norm(x, axis=1), patterns, (x - self.mean) @ self.axes.T)

    def block(self, kernel: FloatArray, first: Points, second: Points) -> FloatArray:
        """Return the features (count, r, m) of all pairs of r and m points with the kernel (r, m) between them.

        The cosine with a point at the origin is 0.
        """
        result = np.empty((self.count, *kernel.shape))
        inner = first.x @ second.x.T
        norms = np.outer(first.norms, second.norms)
        cosine = np.clip(np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0), -1.0, 1.0)
        squared = np.maximum(np.add.outer(first.norms**2, second.norms**2) - 2 * inner, 0.0)
        k = 0
        for name in self.names:
            if name in ("products", "differences"):
                operation = np.multiply if name == "products" else np.subtract
                for a, b in zip(first.components.T, second.components.T, strict=True):
                    operation.outer(a, b, out=result[k])
                    if name == "differences":
                        np.abs(result[k], out=result[k])
                    k += 1
                continue
            result[k] = self._scalar(name, kernel, inner, norms, cosine, squared, first, second)
            k += 1
        return result

    def _scalar(
        self,
        name: str,
        kernel: FloatArray,
        inner: FloatArray,
        norms: FloatArray,
        cosine: FloatArray,
        squared: FloatArray,
        first: Points,
        second: Points,
    ) -> FloatArray:
        match name:
            case "kernel":
                return kernel
            case "inner":
                return inner
            case "cosine":
                return cosine
            case "squared-distance":
                return squared
            case "norms":
                return norms
            case "sine":
                return np.sqrt(1.0 - cosine**2)
            case "angle":
                return np.arccos(cosine)
            case "gaussian":
                return np.exp(-squared / self.bandwidth)
            case "correlation":
                return np.asarray(first.patterns @ second.patterns.T)
            case _:
                from scipy.spatial.distance import cdist

                return np.asarray(cdist(first.x, second.x, "cityblock"))


def pair_features(x: FloatArray, variant: str) -> PairFeatures:
    """Return the pair features of a variant, scaled to training points.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Training points, flat.
    variant : {"fjlt-v1", "fjlt-v2", "fjlt-v4-6"}
        Chen, He & Su 2020: 10 features of the pair; these and 10 of the leading 5 principal components; 4 and those 10.

    Raises
    ------
    DataError
        If there is no such variant, values are not finite, or all training points are equal.
    """
    if variant not in PAIR_FEATURES:
        raise DataError(f"variant {variant!r} has no pair features: {', '.join(sorted(PAIR_FEATURES))} have")
    x = as_floats("the training points", x, 2)
    mean = x.mean(axis=0)
    centred = x - mean
    bandwidth = 2.0 * float(np.square(centred).sum(axis=1).mean())
    if bandwidth == 0:
        raise DataError(f"all {len(x)} training points are equal: pairs of them have no features to tell them apart")
    axes = np.linalg.svd(centred, full_matrices=False)[2][:_COMPONENTS]
    return PairFeatures(PAIR_FEATURES[variant], mean, axes, bandwidth)


class PairRegression:
    """The normal equations of all pairs of training points, kept apart by the folds of the two points.

    So least squares over the pairs outside any folds is a sum and a p x p solve.

    Parameters
    ----------
    features : PairFeatures
        What label agreement is regressed on.
    kernel : ndarray of shape (n, n)
        Symmetric.
    x : ndarray of shape (n, d)
        Training points, flat.
    labels : ndarray of shape (n,)
        Integers; the target of a pair is 1 if they are equal and -1 if not.
    folds : ndarray of shape (n,)
        Integers from 0.
    """

    def __init__(
        self, features: PairFeatures, kernel: FloatArray, x: FloatArray, labels: IntArray, folds: IntArray
    ) -> None:
        self.features = features
        points = features.points(x)
        # Centred and scaled features keep the normal equations well conditioned; which sample gives the scales only
        # changes rounding, because the constant is among the features.
        some = np.arange(min(len(x), _ROWS))
        sample = features.block(kernel[some], points[some], points).reshape(features.count, -1)
        self._shift = sample.mean(axis=1)
        scale = sample.std(axis=1)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._sums = self._accumulate(kernel, points, labels, folds)

    def _accumulate(self, kernel: FloatArray, points: Points, labels: IntArray, folds: IntArray) -> FloatArray:
        groups = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)]
        p = self.features.count
        sums = np.zeros((len(groups), len(groups), p + 2, p + 2))
        for f, members in enumerate(groups):
            for start in range(0, len(members), _ROWS):
                rows = members[start : start + _ROWS]
                for g in range(f, len(groups)):
                    columns = groups[g]
                    design = np.empty((p + 2, len(rows), len(columns)))
                    block = self.features.block(kernel[np.ix_(rows, columns)], points[rows], points[columns])
                    np.subtract(block, self._shift[:, None, None], out=design[:p])
                    design[:p] /= self._scale[:, None, None]
                    design[p] = 1.0
                    design[p + 1] = 2.0 * (labels[rows][:, None] == labels[columns]) - 1.0
                    flat = design.reshape(p + 2, -1)
                    sums[f, g] += flat @ flat.T
        for f in range(len(groups)):
            sums[f + 1 :, f] = sums[f, f + 1 :]
        return sums

    def solve(self, excluded: Collection[int] = ()) -> FloatArray:
        """Return the coefficients (p + 1,), the constant's last, of least squares over pairs outside some folds.

        Of collinear features the solution of smallest norm, in scaled features, is taken.

        Raises
        ------
        DataError
            If all these pairs agree, or all differ, in their labels.
        """
        kept = [f for f in range(len(self._sums)) if f not in excluded]
        total = self._sums[np.ix_(kept, kept)].sum(axis=(0, 1))
        pairs, agreement = total[-2, -2], total[-2, -1]
        if not abs(agreement) < pairs:
            raise DataError(
                f"all {int(pairs)} pairs of training points agree in whether their labels are equal: "
                "cross-fitting needs points of two classes outside any two folds"
            )
        gram, right = total[:-1, :-1], total[:-1, -1]
        size = np.sqrt(np.diagonal(gram))
        size = np.where(size > 0, size, 1.0)
        scaled: FloatArray = np.linalg.lstsq(gram / np.outer(size, size), right / size, rcond=1e-14)[0] / size
        scaled[:-1] /= self._scale
        scaled[-1] -= scaled[:-1] @ self._shift
        return scaled

    def evaluate(self, coefficients: FloatArray, kernel: FloatArray, first: Points, second: Points) -> FloatArray:
        """Return the regression (r, m) at pairs of points, for coefficients of :meth:`solve`."""
        features = self.features.block(kernel, first, second)
        result: FloatArray = np.tensordot(coefficients[:-1], features, axes=1) + coefficients[-1]
        return result
