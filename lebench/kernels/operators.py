"""Kernels as operators: products with vectors, blocks and the diagonal, without all of the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import progress
from lebench.architectures import Architecture
from lebench.errors import DataError
from lebench.kernels.infinite_width import DEFAULT_MEMORY, Prepared
from lebench.kernels.methods import Kind
from lebench.metrics.arrays import to_numpy

Array = NDArray[Any]
#: Rows and columns of what is computed at a time in a product.
_EDGE = 2048


class KernelOperator:
    """A kernel matrix that is computed where it is needed.

    Parameters
    ----------
    shape : tuple of int
        (n, m).
    block : callable
        Two slices, of rows and of columns, to that part of the kernel.
    diagonal : callable
        Returns the kernel of each input with itself (n,); for one set with itself.
    picked : callable
        Slices or arrays of indices, of rows and of columns, to that part of the kernel.
    symmetric : bool
        Whether it is of one set with itself: then a product computes half of the blocks.
    dtype : dtype
        Of the blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from lebench.architectures import mlp
    >>> from lebench.kernels import infinite_width_operator
    >>> kernel = infinite_width_operator(mlp(depth=1), np.eye(3))
    >>> kernel.shape, (kernel @ np.ones(3)).round(4)
    ((3, 3), array([1.7577, 1.7577, 1.7577]))
    """

    def __init__(
        self,
        shape: tuple[int, int],
        block: Callable[[slice, slice], Array],
        diagonal: Callable[[], Array],
        *,
        symmetric: bool,
        picked: Callable[[Any, Any], Array],
        dtype: Any = np.float64,
    ) -> None:
        self.shape = shape
        self.symmetric = symmetric
        self.dtype = np.dtype(dtype)
        self._block = block
        self._picked = picked
        self._diagonal = diagonal

    def block(self, rows: slice, columns: slice) -> Array:
        """Return part of the kernel."""
        start1, stop1, _ = rows.indices(self.shape[0])
        start2, stop2, _ = columns.indices(self.shape[1])
        return self._block(slice(start1, stop1), slice(start2, stop2))

    def rows(self, rows: slice) -> Array:
        """Return some rows with all columns."""
        return self.block(rows, slice(None))

    def columns(self, chosen: NDArray[np.integer[Any]]) -> Array:
        """Return the kernel (n, k) with some of the second inputs, k indices."""
        return self._picked(slice(0, self.shape[0]), chosen)

    def among(self, chosen: NDArray[np.integer[Any]]) -> Array:
        """Return the kernel (k, k) among some inputs of one set, k indices."""
        return self._picked(chosen, chosen)

    def diagonal(self) -> Array:
        """Return the kernel (n,) of each input with itself.

        Raises
        ------
        DataError
            If the kernel is between two sets.
        """
        if not self.symmetric:
            raise DataError("the kernel is between two sets, so it has no diagonal: make an operator of one set")
        return self._diagonal()

    def __matmul__(self, vectors: Any) -> Array:
        """Return the product (n, k) or (n,) with vectors (m, k) or (m,), summed in float64.

        Raises
        ------
        DataError
            If the shapes do not fit.
        """
        given = to_numpy(vectors).astype(np.float64)
        if given.ndim not in (1, 2) or len(given) != self.shape[1]:
            raise DataError(f"vectors have shape {given.shape}: ({self.shape[1]},) or ({self.shape[1]}, k) is needed")
        columns = given.reshape(len(given), -1)
        total = np.zeros((self.shape[0], columns.shape[1]))
        parts1, parts2 = ([slice(s, min(s + _EDGE, n)) for s in range(0, n, _EDGE)] for n in self.shape)
        wanted = [(p, q) for p in parts1 for q in parts2 if not self.symmetric or q.start <= p.start]
        for done, (part1, part2) in enumerate(wanted, 1):
            block = self._block(part1, part2).astype(np.float64, copy=False)
            total[part1] += block @ columns[part2]
            if self.symmetric and part1 != part2:
                total[part2] += block.T @ columns[part1]
            progress.report(block=done, blocks=len(wanted))
        return total.reshape(self.shape[0], *given.shape[1:])


def gram_operator(
    gram: Callable[[Any, Any], Array], x1: Any, x2: Any = None, *, diagonal: Callable[[Any], Array] | None = None
) -> KernelOperator:
    """Return a function of two sets of inputs as an operator.

    Parameters
    ----------
    gram : callable
        Two sets to their kernel (n, m).
    x1, x2 : array
        Inputs; without `x2` the kernel is that of `x1` with itself.
    diagonal : callable, optional
        Inputs to the kernel of each with itself; by default read off blocks.
    """
    second = x1 if x2 is None else x2

    def own() -> Array:
        if diagonal is not None:
            return diagonal(x1)
        parts = (x1[start : start + 64] for start in range(0, len(x1), 64))
        return np.concatenate([np.diagonal(gram(part, part)) for part in parts])

    dtype = gram(x1[:1], second[:1]).dtype

    def part(rows: Any, columns: Any) -> Array:
        return gram(x1[rows], second[columns])

    return KernelOperator((len(x1), len(second)), part, own, picked=part, symmetric=x2 is None, dtype=dtype)


def infinite_width_operator(
    architecture: Architecture, x1: Any, x2: Any = None, *, kind: Kind = "ntk", memory: int = DEFAULT_MEMORY
) -> KernelOperator:
    """Return the infinite-width kernel of an architecture as an operator.

    Parameters
    ----------
    architecture, x1, x2, kind, memory
        As of :func:`lebench.kernels.infinite_width_kernel`; the inputs are prepared once.

    Raises
    ------
    LebenchError
        As :func:`lebench.kernels.infinite_width_kernel`.
    """
    prepared = Prepared(architecture, x1, x2, kind, memory)
    second = x1 if x2 is None else x2

    def picked(rows: Any, columns: Any) -> Array:
        # Inputs picked one by one are prepared anew, as a set of their own.
        same = x2 is None and rows is columns
        part = Prepared(architecture, x1[rows], None if same else second[columns], kind, memory)
        values: Array = part.block(slice(0, part.shape[0]), slice(0, part.shape[1]))
        return values

    return KernelOperator(
        prepared.shape,
        prepared.block,
        prepared.diagonal,
        picked=picked,
        symmetric=x2 is None,
        dtype=prepared.numpy_dtype,
    )
