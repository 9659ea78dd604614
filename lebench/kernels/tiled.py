"""Exact kernel ridge regression by tiles: as large as half of a float32 kernel matrix is, in RAM or memory-mapped.

The lower half of the kernel lies in square tiles, float32. Its Cholesky factor takes their place, a column of tiles at
a time: ``L_ik = (K_ik - sum_{j<k} L_ij L_kj^T) L_kk^-T`` by the BLAS functions ssyrk, sgemm and strsm and LAPACK's
spotrf. The solution is refined with residuals in float64, for which the kernel is computed once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack

from lebench import progress
from lebench.arrays import FloatArray, IntArray, reserve
from lebench.errors import DataError, ParameterError
from lebench.kernels.checks import read_targets
from lebench.kernels.operators import KernelOperator
from lebench.kernels.regression import RIDGES, ridge_regression
from lebench.kernels.solvers import unit_of

#: Rows and columns of a tile: large enough for BLAS, and of 64 MB.
EDGE = 4096
#: Points on which leave-one-out chooses the ridge, unless told otherwise.
SUBSET = 2000

_Tile = NDArray[np.float32]


@dataclass(frozen=True)
class TiledRegression:
    """Kernel ridge regression ``f(x) = K(x, X) alpha`` of many points.

    Attributes
    ----------
    coefficients : ndarray of shape (n, C)
        alpha = (K + ridge I)^-1 targets.
    ridge, relative_ridge : float
        The ridge in the units of the kernel, and as a multiple of its mean diagonal.
    mean_diagonal : float
        Mean of K(x, x) over the training points.
    subset : int
        Number of points on which leave-one-out chose the ridge; 0 if it was given.
    residuals : tuple of float
        Largest entry of ``targets - (K + ridge I) alpha`` relative to the largest target, before each refinement.
    """

    coefficients: FloatArray
    ridge: float
    relative_ridge: float
    mean_diagonal: float
    subset: int
    residuals: tuple[float, ...]

    def predict(self, kernel: Any) -> FloatArray:
        """Return scores (m, C) from the kernel between new and training points, an operator or an array."""
        scores: FloatArray = np.asarray(kernel @ self.coefficients)
        return scores


class Tiles:
    """The lower half of a symmetric float32 matrix, in RAM or in a file, and what has been done with each tile.

    Parameters
    ----------
    n : int
        Rows and columns.
    edge : int
        Rows and columns of a tile.
    folder : Path, optional
        Where the tiles and a journal are kept, so that work goes on after a kill; by default they are in RAM.
    identity : dict
        What is computed. A folder of anything else is refused.
    """

    def __init__(self, n: int, edge: int, folder: Path | None, identity: dict[str, Any]) -> None:
        self.bounds = [slice(start, min(start + edge, n)) for start in range(0, n, edge)]
        self.count = len(self.bounds)
        self.done: set[tuple[str, int, int]] = set()
        sizes = [self._size(i) * self._size(j) for i in range(self.count) for j in range(i + 1)]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])
        self._journal: Path | None = None
        if folder is None:
            self._numbers: NDArray[np.float32] = np.empty(int(self._offsets[-1]), dtype=np.float32)
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = folder / "journal.jsonl"
        known = self._read(json.dumps(identity, sort_keys=True))
        path = folder / "tiles.float32"
        length = int(self._offsets[-1])
        if known and (not path.is_file() or path.stat().st_size != 4 * length):
            raise DataError(f"{path} is missing or of another size than the journal beside it says: remove {folder}")
        if not known:
            try:
                with path.open("wb") as file:
                    reserve(file, 4 * length)
            except OSError as error:
                # A second try begins anew.
                for made in (path, self._journal):
                    made.unlink(missing_ok=True)
                raise DataError(
                    f"{path} cannot be made of {4 * length:,} bytes: {error.strerror or error}; use another folder"
                ) from error
        self._numbers = np.memmap(path, np.float32, "r+", shape=(length,))

    def _read(self, identity: str) -> bool:
        assert self._journal is not None
        if not self._journal.is_file():
            self._journal.write_text(identity + "\n", encoding="utf-8")
            return False
        first, *lines = self._journal.read_text(encoding="utf-8").splitlines() or [""]
        if first != identity:
            raise DataError(
                f"{self._journal.parent} has the tiles of another regression: use a folder of its own, or remove it"
            )
        for line in lines:
            try:
                step, i, j = json.loads(line)
            except ValueError:
                break  # what was being written at the kill
            if step == "write":
                self.done = {entry for entry in self.done if entry[1:] != (i, j)}
            else:
                self.done.add((step, i, j))
        return True

    def _size(self, i: int) -> int:
        return self.bounds[i].stop - self.bounds[i].start

    def __getitem__(self, place: tuple[int, int]) -> _Tile:
        """Return the tile (i, j), j <= i, in the order of LAPACK."""
        i, j = place
        start, stop = self._offsets[i * (i + 1) // 2 + j : i * (i + 1) // 2 + j + 2]
        return self._numbers[start:stop].reshape((self._size(i), self._size(j)), order="F")

    def put(self, step: str, i: int, j: int, tile: NDArray[Any]) -> None:
        """Write a tile; after a kill in between it counts as not written."""
        self._note("write", i, j)
        self[i, j][:] = tile
        if isinstance(self._numbers, np.memmap):
            self._numbers.flush()
        self._note(step, i, j)
        self.done = {entry for entry in self.done if entry[1:] != (i, j)} | {(step, i, j)}

    def _note(self, step: str, i: int, j: int) -> None:
        if self._journal is not None:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps([step, i, j]) + "\n")

    def lower(self) -> Iterator[tuple[int, int]]:
        """Yield the places of all tiles, column by column."""
        return ((i, j) for j in range(self.count) for i in range(j, self.count))


def tiled_regression(
    kernel: KernelOperator,
    targets: Any,
    *,
    relative_ridge: float | None = None,
    ridges: ArrayLike = RIDGES,
    subset: int = SUBSET,
    seed: int = 0,
    edge: int = EDGE,
    folder: Path | str | None = None,
    refinements: int = 1,
    identity: str = "",
) -> TiledRegression:
    """Fit exact kernel ridge regression by tiles.

    Takes 2 n^2 bytes for the tiles and the time of a float32 Cholesky factorization, n^3 / 3 operations.

    Parameters
    ----------
    kernel : KernelOperator
        Of the training points with themselves.
    targets : array of shape (n, C) or (n,)
        For classes, see :func:`lebench.kernels.one_hot_targets`.
    relative_ridge : float, optional
        A multiple of the mean diagonal. By default the best of `ridges` by leave-one-out on a subset of the points.
    ridges : array_like of shape (k,)
        Relative ridges to choose from.
    subset : int
        Points on which the ridge is chosen, drawn by `seed`; all if there are fewer.
    seed : int
        Draws the subset.
    edge : int
        Rows and columns of a tile.
    folder : Path, optional
        Where tiles are kept, so that a second call goes on where a first one was killed; by default in RAM.
    refinements : int
        Steps of iterative refinement with residuals in float64; each computes the kernel once more.
    identity : str
        Tells kernels of the same size apart in a folder, such as a digest of the inputs.

    Returns
    -------
    TiledRegression

    Raises
    ------
    DataError
        If shapes do not fit, the kernel is not positive definite (with the smallest eigenvalue of a subset of the
        points), or the folder holds something else.
    ParameterError
        If a number is out of range.
    """
    n = kernel.shape[0]
    if not kernel.symmetric:
        raise DataError("the kernel is between two sets: regression needs that of the training points with themselves")
    if edge < 1 or refinements < 0 or subset < 2:
        raise ParameterError(f"edge={edge}, refinements={refinements}, subset={subset}: 1, 0 and 2 are the least")
    right = read_targets("the targets", targets, n)
    mean = float(kernel.diagonal().mean(dtype=np.float64))
    used = 0
    if relative_ridge is None:
        chosen = _subset(n, subset, seed)
        used = len(chosen)
        relative_ridge = ridge_regression(_among(kernel, chosen), right[chosen], ridges).relative_ridge
    if not 0 < relative_ridge < np.inf:
        raise ParameterError(f"relative_ridge={relative_ridge}: a positive number is needed")
    ridge, unit = relative_ridge * mean, unit_of(mean)
    known = {"n": n, "edge": edge, "ridge": ridge, "mean_diagonal": mean, "kernel": identity}
    tiles = Tiles(n, edge, None if folder is None else Path(folder), known)
    factorize(tiles, kernel, ridge, unit, lambda: _smallest(kernel, _subset(n, subset, seed)))
    solution = solve(tiles, right) / unit
    scale = max(float(np.abs(right).max()), np.finfo(np.float64).tiny)
    residuals = []
    for _ in range(refinements):
        residual = right - ridge * solution - kernel @ solution
        residuals.append(float(np.abs(residual).max()) / scale)
        solution = solution + solve(tiles, residual) / unit
    return TiledRegression(solution, ridge, relative_ridge, mean, used, tuple(residuals))


def factorize(tiles: Tiles, kernel: KernelOperator, ridge: float, unit: float, smallest: Callable[[], float]) -> None:
    """Replace tiles by the Cholesky factor of kernel plus ridge over `unit`; what is done already is left as it is.

    Raises
    ------
    DataError
        If the matrix is not positive definite.
    """
    total = tiles.count * (tiles.count + 1) // 2
    for number, (i, k) in enumerate(tiles.lower(), 1):
        if ("factor", i, k) in tiles.done:
            continue
        tile = np.asfortranarray(kernel.block(tiles.bounds[i], tiles.bounds[k]) / unit, dtype=np.float32)
        if i == k:
            tile[np.diag_indices(len(tile))] += np.float32(ridge / unit)
            for j in range(k):
                tile = blas.ssyrk(-1.0, tiles[k, j], beta=1.0, c=tile, lower=True, overwrite_c=True)
            tile, failed = lapack.spotrf(tile, lower=True, clean=True, overwrite_a=True)
            if failed:
                raise DataError(
                    f"the kernel with the ridge {ridge:.3g} is not positive definite in float32: the smallest "
                    f"eigenvalue of the kernel of some of the points is {smallest():.3g}; use a larger ridge"
                )
        else:
            for j in range(k):
                tile = blas.sgemm(-1.0, tiles[i, j], tiles[k, j], beta=1.0, c=tile, trans_b=True, overwrite_c=True)
            tile = blas.strsm(1.0, tiles[k, k], tile, side=1, lower=True, trans_a=1, overwrite_b=True)
        tiles.put("factor", i, k, tile)
        progress.report(tile=number, tiles=total)


def solve(tiles: Tiles, right: FloatArray) -> FloatArray:
    """Return what solves the factorized system, (n, C) in float64 with the precision of float32."""
    # Scaled to the range of float32.
    size = max(float(np.abs(right).max()), np.finfo(np.float64).tiny)
    x = np.asfortranarray(right / size, dtype=np.float32)
    for k, part in enumerate(tiles.bounds):
        for j in range(k):
            x[part] -= tiles[k, j] @ x[tiles.bounds[j]]
        x[part] = blas.strsm(1.0, tiles[k, k], np.asfortranarray(x[part]), lower=True)
    for k in reversed(range(tiles.count)):
        part = tiles.bounds[k]
        for i in range(k + 1, tiles.count):
            x[part] -= tiles[i, k].T @ x[tiles.bounds[i]]
        x[part] = blas.strsm(1.0, tiles[k, k], np.asfortranarray(x[part]), lower=True, trans_a=1)
    return np.ascontiguousarray(x, dtype=np.float64) * size


def _subset(n: int, subset: int, seed: int) -> IntArray:
    return np.sort(np.random.default_rng(seed).permutation(n)[:subset])


def _among(kernel: KernelOperator, chosen: IntArray) -> FloatArray:
    """Return the kernel among some points, from strips of rows."""
    if len(chosen) == kernel.shape[0]:
        matrix = kernel.block(slice(None), slice(None)).astype(np.float64)
    else:
        matrix = kernel.among(chosen).astype(np.float64)
    return np.asarray((matrix + matrix.T) / 2)


def _smallest(kernel: KernelOperator, chosen: IntArray) -> float:
    return float(np.linalg.eigvalsh(_among(kernel, chosen))[0])
