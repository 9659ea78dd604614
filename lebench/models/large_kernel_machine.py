"""Kernel machines of more points than an eigendecomposition of their kernel has room for.

They solve the same ridge regression by tiles in RAM, by tiles in a file, or approximately in the span of the kernel at
some centres: the first of these that fits, and the diagnostics say which.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import psutil
import scipy.linalg

from lebench import metrics
from lebench.arrays import FloatArray
from lebench.kernels import KernelOperator, gram_operator, nystrom_regression, ridge_regression, tiled_regression
from lebench.models.kernel_scores import KernelScores

#: Up to so many points one eigendecomposition gives the coefficients at every ridge, and the course of training.
WHOLE = 10_000
#: Bytes of that for each entry of the kernel: matrix, eigenvectors, their squares and copies.
_WHOLE_BYTES = 48
#: Share of the free memory, or of the free disk, that tiles may take.
_SHARE = 0.6
#: Centres where not even the disk has room for tiles; fewer where the memory has none for them.
_CENTRES = 5000
#: Points among which the ridge is chosen and the smallest eigenvalue is taken.
_SUBSET = 2000
#: Entries of the kernel between new and training points that are computed at a time.
_ENTRIES = 2**25

Solver = Literal["whole", "tiles", "tiles in a file", "nystrom", "features"]


def solver_for(n: int) -> Solver:
    """Return how a regression of n points is solved on this machine."""
    free = psutil.virtual_memory().available
    if n <= WHOLE and _WHOLE_BYTES * n**2 < free:
        return "whole"
    # The lower half in float32.
    needed = 2 * n**2
    if needed < _SHARE * free:
        return "tiles"
    if needed < _SHARE * shutil.disk_usage(tempfile.gettempdir()).free:
        return "tiles in a file"
    return "nystrom"


def operator_of(kernel: Any, x: FloatArray) -> KernelOperator:
    """Return the kernel of training points as an operator: in float32 where a kernel offers that."""
    if hasattr(kernel, "operator"):
        operator: KernelOperator = kernel.operator(x)
        return operator
    return gram_operator(kernel.gram, x, diagonal=kernel.diagonal)


class LargeKernelMachine(KernelScores):
    """A fitted kernel machine without its kernel matrix.

    Parameters
    ----------
    kernel : Kernel
        Of the inputs.
    x : ndarray of shape (n, *shape)
        Training points.
    targets : ndarray of shape (n, C)
        What is fitted.
    solver : {"tiles", "tiles in a file", "nystrom", "features"}
        How; by features if the kernel is their inner product.
    seed : int
        Draws the points among which the ridge is chosen, and the centres.
    rank : int
        Centres at most.
    exact : Kernel, optional
        What the kernel approximates.
    """

    unavailable: ClassVar[dict[str, str]] = dict.fromkeys(
        ("trajectory", "checkpoints"),
        f"the course of training needs all eigenvectors of the kernel, which are computed up to {WHOLE:,} points",
    )

    def __init__(
        self,
        kernel: Any,
        x: FloatArray,
        targets: FloatArray,
        solver: Solver,
        seed: int,
        *,
        rank: int = _CENTRES,
        exact: Any = None,
    ) -> None:
        self._kernel = kernel
        self._weights: FloatArray | None = None
        operator = operator_of(kernel, x)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:_SUBSET])
        among = operator.among(chosen).astype(np.float64)
        among = (among + among.T) / 2
        ridge = ridge_regression(among, targets[chosen]).relative_ridge
        self._found = {
            "relative_ridge": ridge,
            "smallest_eigenvalue@subset": metrics.smallest_eigenvalue(among),
        }
        if solver == "nystrom":
            self._approximate(operator, x, targets, ridge, rank, seed)
        elif solver == "features":
            self._of_features(x, targets, ridge)
        else:
            self._exact(operator, x, targets, ridge, in_file=solver == "tiles in a file")
        if solver in ("nystrom", "features") and len(chosen) == len(x):
            known = among if exact is None else np.asarray(exact.gram(x, x))
            scores = known @ ridge_regression(known, targets, [ridge]).coefficients
            found = self.predict(x)
            self._found["score_difference"] = metrics.score_difference(found, scores)
            decisions = found.argmax(axis=1), scores.argmax(axis=1)
            self._found["prediction_disagreement"] = metrics.prediction_disagreement(*decisions)

    def _exact(
        self, operator: KernelOperator, x: FloatArray, targets: FloatArray, ridge: float, *, in_file: bool
    ) -> None:
        # The folder is known by what is computed, so that a second try goes on where a first one was killed.
        identity = hashlib.sha256(np.ascontiguousarray(x).tobytes() + repr((self._kernel, ridge)).encode()).hexdigest()
        folder = Path(tempfile.gettempdir()) / f"lebench-tiles-{identity[:16]}" if in_file else None
        fitted = tiled_regression(operator, targets, relative_ridge=ridge, folder=folder, identity=identity)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        self._points, self._coefficients = x, fitted.coefficients
        self._found["solver_rank@tiles-in-file" if in_file else "solver_rank@tiles"] = 1.0

    def _of_features(self, x: FloatArray, targets: FloatArray, ridge: float) -> None:
        z = self._kernel.features(x)
        added = ridge * float(np.square(z).sum()) / len(x)
        # In the space of the features or of the points, whichever is smaller.
        few = z.shape[1] < len(x)
        normal = z.T @ z if few else z @ z.T
        normal[np.diag_indices(len(normal))] += added
        right = z.T @ targets if few else targets
        solved = scipy.linalg.solve(normal, right, assume_a="pos")
        self._weights = solved if few else z.T @ solved
        self._found["solver_rank@features"] = metrics.solver_rank(z.shape[1], len(x))

    def _approximate(
        self, operator: KernelOperator, x: FloatArray, targets: FloatArray, ridge: float, rank: int, seed: int
    ) -> None:
        room = int(_SHARE * psutil.virtual_memory().available / (24 * len(x)))
        fitted = nystrom_regression(operator, targets, min(rank, room, len(x)), ridge, seed=seed)
        self._points, self._coefficients = x[fitted.centres], fitted.coefficients
        self._found["solver_rank@centres"] = metrics.solver_rank(len(fitted.centres), len(x))

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C)."""
        if self._weights is not None:
            return np.asarray(self._kernel.features(x) @ self._weights)
        rows = max(1, _ENTRIES // len(self._points))
        parts = [
            self._kernel.gram(x[start : start + rows], self._points) @ self._coefficients
            for start in range(0, len(x), rows)
        ]
        return np.concatenate(parts)

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel (n, m)."""
        return np.ascontiguousarray(self._kernel.gram(x1, x2), dtype=np.float64)

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return the kernel (n,) of each input with itself."""
        return np.asarray(self._kernel.diagonal(x))

    def diagnostics(self) -> dict[str, float]:
        """Return the ridge, among how many points it was chosen, their smallest eigenvalue, and what solved for it.

        Of an approximation of at most 2,000 points also how far its scores there are from exact ones with that ridge.
        """
        return dict(self._found)
