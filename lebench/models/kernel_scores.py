"""Models whose step on a point moves all scores by a kernel times the gradient of the loss, exactly."""

from __future__ import annotations

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import SimilarityKind
from lebench.errors import DataError


def flat(x: FloatArray) -> FloatArray:
    """Return inputs (n, *shape) as rows (n, d)."""
    return x.reshape(len(x), -1)


def kernel_similarity(kernel: FloatArray, diagonal: FloatArray, kind: SimilarityKind) -> FloatArray:
    """Return the similarities of a model whose step on x moves f(x') by -step K(x', x) times the loss gradient.

    Parameters
    ----------
    kernel : ndarray of shape (n, m)
        K(source, target).
    diagonal : ndarray of shape (n,)
        K(source, source).
    kind : {"relative", "signed", "kernel"}
        See :class:`lebench.capabilities.HasSimilarity`. The label drops out of all three (He & Su 2020, section 2).

    Raises
    ------
    DataError
        If the kernel of a source with itself is zero.
    """
    if kind == "kernel":
        return kernel
    if np.any(diagonal == 0):
        raise DataError(
            f"similarity is undefined for source {int(np.argmin(diagonal))}: its kernel with itself is zero"
        )
    signed: FloatArray = kernel / diagonal[:, None]
    return np.abs(signed) if kind == "relative" else signed


class KernelScores:
    """The similarities of a model that has a kernel, from ``gram`` and ``diagonal``."""

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        raise NotImplementedError

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        raise NotImplementedError

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        """Return similarities (n, m): the kernel gradient step is exact for every step size."""
        return kernel_similarity(self.gram(sources, targets), self.diagonal(sources), kind)
