"""Collapse metrics of features that do not fit in memory, in batches: one pass, or two that cost less.

:class:`CollapseAccumulator` sees every batch once and needs the (p, p) scatter of the points; :func:`collapse_stream`
goes through the batches twice and needs products with the C class means only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import as_floats, as_labels, class_counts, ordinary_factor, read_floats
from lebench.metrics.base import Missing
from lebench.metrics.class_statistics import ClassStatistics, from_means, unique_argmax

_SECOND_PASS = "needs the class means beforehand: pass means=first.class_means to a second accumulator"

#: Rows of a block whose (p, p) scatter is added, which is slow for fewer, and numbers in it: 64 MB in float64.
_ROWS, _NUMBERS = 4096, 1 << 23
#: Rows of a block that is multiplied with class means only, so that it stays in the cache; as many as classes where
#: they are more, or else a product takes longer to read the means than to multiply.
_FEW_ROWS = 256
#: Two passes over the same points differ by rounding, those over points drawn anew by a share of their spread.
_OTHER_POINTS = 0.05


class _Blocks:
    """Collects batches into float64 blocks of many rows, multiplied with a power of two if they are huge or tiny."""

    def __init__(self, first: NDArray[Any], most: int) -> None:
        self.dimension = p = first.shape[1]
        self.factor = ordinary_factor(first)
        self._rows = np.empty((max(16, min(most, _NUMBERS // p)), p))
        self._labels = np.empty(len(self._rows), dtype=np.int64)
        self._filled = 0

    def add(self, rows: NDArray[Any], labels: IntArray) -> Iterator[tuple[FloatArray, IntArray]]:
        """Add rows and yield the blocks that are full; a block may be written to until the next one."""
        start = 0
        while start < len(rows):
            count = min(len(rows) - start, len(self._rows) - self._filled)
            np.multiply(rows[start : start + count], self.factor, out=self._rows[self._filled : self._filled + count])
            self._labels[self._filled : self._filled + count] = labels[start : start + count]
            self._filled, start = self._filled + count, start + count
            if self._filled == len(self._rows):
                yield from self.rest()

    def rest(self) -> Iterator[tuple[FloatArray, IntArray]]:
        """Yield what waits for a block to fill, if anything does."""
        if self._filled:
            count, self._filled = self._filled, 0
            yield self._rows[:count], self._labels[:count]


def _by_class(block: FloatArray, y: IntArray) -> tuple[FloatArray, IntArray, IntArray, IntArray]:
    """Return rows in the order of their classes, the classes that occur, where each begins and how many it has."""
    present, starts, counts = np.unique(np.sort(y), return_index=True, return_counts=True)
    return block[np.argsort(y, kind="stable")], present, starts, counts


class CollapseAccumulator:
    """Collapse metrics of a stream of features, equal to those of :func:`~lebench.metrics.collapse`.

    Memory beyond a batch is one (p, p) matrix, a block of at most 64 MB and a few (C, p) matrices. Means and squares
    are merged block by block about the running class means (Chan, Golub & LeVeque 1983), so that nothing cancels when
    the features have collapsed. Where the batches can be had twice, :func:`collapse_stream` costs less.

    Parameters
    ----------
    classes : int
        C, at least two.
    weights, bias : array of shapes (C, p) and (C,), optional
        The last layer.
    means : array of shape (C, p), optional
        Class centres for ``nc4`` and ``ncc_accuracy``: of other points, or of an earlier pass (`class_means`).

    Examples
    --------
    >>> stream = CollapseAccumulator(classes=2)
    >>> for batch in (np.array([[-1.0], [1.0], [7.0]]), np.array([[3.0], [3.0], [3.0]])):
    ...     stream.update(batch, np.array([0, 0, 1]) if len(batch) and batch[0, 0] < 0 else np.array([1, 1, 1]))
    >>> stream.result()["cdnv"]
    0.125
    """

    def __init__(
        self, classes: int, weights: Any | None = None, bias: Any | None = None, means: Any | None = None
    ) -> None:
        self._head = _checked_head(classes, weights, bias)
        self._counts = np.zeros(classes, dtype=np.int64)
        self._squares = np.zeros(classes)
        self._blocks: _Blocks | None = None
        self._means, self._scatter = np.zeros((classes, 0)), np.zeros((0, 0))
        self._centres = None if means is None else as_floats("means", means, 2)
        if self._centres is not None and len(self._centres) != classes:
            raise DataError(f"means have shape {self._centres.shape}: {classes} rows are needed")
        self._near = self._differ = 0

    def update(self, features: Any, labels: Any) -> None:
        """Add a batch.

        Parameters
        ----------
        features : array of shape (b, p), float32 or float64
            Input of the last layer.
        labels : array of shape (b,), integer
            Labels 0 to C-1; classes may be absent from a batch.

        Raises
        ------
        DataError
            If the arrays do not fit each other, the batches before or the last layer, or features are not finite.
        """
        values, y = _read_batch(features, labels, len(self._counts), self._blocks)
        if self._blocks is None:
            self._start(values)
        assert self._blocks is not None
        for block, of_block in self._blocks.add(values, y):
            self._merge(block, of_block)

    def _start(self, first: NDArray[Any]) -> None:
        p = first.shape[1]
        for name, rows in (("weights", self._head and self._head[0]), ("means", self._centres)):
            if rows is not None and rows.shape[1] != p:
                raise DataError(f"{name} have shape {rows.shape}, but the features have {p} dimensions")
        self._blocks = _Blocks(first, _ROWS)
        self._means, self._scatter = np.zeros((len(self._counts), p)), np.zeros((p, p))

    def _merge(self, block: FloatArray, y: IntArray) -> None:
        if self._centres is not None:
            self._compare(block, y, self._centres * self._factor)
        rows, present, starts, added = _by_class(block, y)
        means = np.add.reduceat(rows, starts, axis=0) / added[:, None]
        rows -= np.repeat(means, added, axis=0)
        before = self._counts[present]
        total = before + added
        shift = np.where(before[:, None] > 0, means - self._means[present], 0.0)
        # What the merged mean is away from both, as one more row for each class.
        apart = np.sqrt(before * added / total)[:, None] * shift
        self._squares[present] += np.add.reduceat(np.einsum("ij,ij->i", rows, rows), starts)
        self._squares[present] += np.einsum("ij,ij->i", apart, apart)
        self._means[present] = np.where(
            before[:, None] > 0, self._means[present] + added[:, None] / total[:, None] * shift, means
        )
        self._counts[present] = total
        deviations = np.concatenate([rows, apart]) if before.any() else rows
        self._scatter += deviations.T @ deviations

    def _compare(self, block: FloatArray, y: IntArray, centres: FloatArray) -> None:
        centre = centres.mean(axis=0)
        offset = centres - centre
        nearest = unique_argmax((block - centre) @ offset.T - 0.5 * np.einsum("ij,ij->i", offset, offset))
        self._near += int(np.count_nonzero(nearest == y))
        if self._head is not None:
            chosen = unique_argmax(block @ self._head[0].T + self._factor * self._head[1])
            self._differ += int(np.count_nonzero((nearest != chosen) | (nearest < 0)))

    @property
    def _factor(self) -> float:
        return 1.0 if self._blocks is None else self._blocks.factor

    @property
    def class_means(self) -> FloatArray:
        """Class means (C, p) of what was added.

        Raises
        ------
        DataError
            If nothing was added yet, or a class has no points.
        """
        self._finish()
        return np.asarray(self._means / self._factor)

    def _finish(self) -> None:
        if self._blocks is None:
            raise DataError("no features were added yet")
        for block, y in self._blocks.rest():
            self._merge(block, y)
        _check_counts(self._counts)

    def result(self) -> dict[str, float | Missing]:
        """Return the metrics of what was added, as :func:`~lebench.metrics.collapse` does.

        Returns
        -------
        dict
            By name; ``ncc_accuracy`` and ``nc4`` are :class:`~lebench.metrics.base.Missing` unless `means` were given.

        Raises
        ------
        DataError
            If nothing was added yet, or a class has no points.
        """
        self._finish()
        statistics = from_means(self._means, self._counts)
        n = int(self._counts.sum())
        statistics = replace(
            statistics,
            variances=self._squares / self._counts,
            scatter=statistics.centred @ self._scatter @ statistics.centred.T / n,
        )
        values = _values(statistics, self._head, self._factor)
        known = self._centres is not None
        values["ncc_accuracy"] = self._near / n if known else Missing(_SECOND_PASS)
        if self._head is not None:
            values["nc4"] = self._differ / n if known else Missing(_SECOND_PASS)
        return values


def collapse_stream(
    batches: Iterable[tuple[Any, Any]] | Callable[[], Iterable[tuple[Any, Any]]],
    classes: int,
    weights: Any | None = None,
    bias: Any | None = None,
) -> dict[str, float | Missing]:
    """Return all collapse metrics of features that come in batches, in two passes over them.

    The first pass takes the class means, the second the products of the deviations with them: no (p, p) matrix, and
    NC4 and the nearest centres come along. All sums are float64, so that the values equal those of
    :func:`~lebench.metrics.collapse` of the same features in float64 up to rounding. Features in one file need
    neither: :func:`~lebench.metrics.collapse` takes a ``numpy.memmap`` and never holds more than a few rows of it.

    Parameters
    ----------
    batches : iterable of (features, labels), or callable that returns one
        Features (b, p), float32 or float64, and labels (b,), integer. What can be iterated over twice, such as a list
        or a data loader; or a function without arguments that begins anew, for a generator can be read only once.
        Their order may differ between the passes, the points may not.
    classes : int
        C, at least two; it may exceed p.
    weights, bias : array of shapes (C, p) and (C,), optional
        The last layer.

    Returns
    -------
    dict
        By name, as of :func:`~lebench.metrics.collapse`.

    Raises
    ------
    DataError
        If the arrays do not fit each other, a class has no points, features are not finite, or the second pass has
        other points than the first.

    Examples
    --------
    >>> batches = [(np.array([[-1.0], [7.0]]), np.array([0, 1])), (np.array([[1.0], [3.0]]), np.array([0, 1]))]
    >>> collapse_stream(batches, classes=2)["nc2_equinorm"]
    0.0
    """
    head = _checked_head(classes, weights, bias)
    sums, counts, factor = np.zeros((classes, 0)), np.zeros(classes, dtype=np.int64), 1.0
    for block, y, multiplied in _blocks_of(batches, classes, head):
        factor = multiplied
        if not sums.shape[1]:
            sums = np.zeros((classes, block.shape[1]))
        sums += _summing(y, classes) @ block
        counts += np.bincount(y, minlength=classes)
    if not counts.any():
        raise DataError("there are no batches")
    _check_counts(counts)
    statistics = from_means(sums / counts[:, None], counts)
    assert statistics.means is not None
    means, centred = statistics.means, statistics.centred
    completions = centred @ centred.T - 0.5 * np.einsum("ij,ij->i", centred, centred)
    squares, scatter = np.zeros(classes), np.zeros((classes, classes))
    left, again = np.zeros_like(means), np.zeros_like(counts)
    near = differ = 0
    for block, y, _ in _blocks_of(batches, classes, head, factor):
        chosen = None if head is None else unique_argmax(block @ head[0].T + factor * head[1])
        block -= means[y]
        products = block @ centred.T
        scatter += products.T @ products
        nearest = unique_argmax(products + completions[y])
        near += int(np.count_nonzero(nearest == y))
        if chosen is not None:
            differ += int(np.count_nonzero((nearest != chosen) | (nearest < 0)))
        squares += np.bincount(y, weights=np.einsum("ij,ij->i", block, block), minlength=classes)
        left += _summing(y, classes) @ block
        again += np.bincount(y, minlength=classes)
    if not np.isfinite(squares).all():
        raise DataError("features contain NaN or infinity")
    _check_same_points(counts, again, left, squares, statistics.rounding)
    n = int(counts.sum())
    return _values(
        replace(
            statistics,
            variances=squares / counts,
            scatter=scatter / n,
            nearest=near / n,
            disagreement=None if head is None else differ / n,
        ),
        head,
        factor,
    )


def _values(
    statistics: ClassStatistics, head: tuple[FloatArray, FloatArray] | None, factor: float
) -> dict[str, float | Missing]:
    """Return the metrics of features that were multiplied with a factor."""
    values = formula.values_of(statistics, *(() if head is None else (head[0], factor * head[1])))
    if isinstance(in_units_of_scores := values.get("nc3_bias"), float):
        values["nc3_bias"] = in_units_of_scores / factor
    return values


def _blocks_of(
    batches: Any, classes: int, head: Any, factor: float | None = None
) -> Iterator[tuple[FloatArray, IntArray, float]]:
    """Yield blocks, their labels and the factor that they were multiplied with; of a second pass that of the first."""
    blocks: _Blocks | None = None
    for features, labels in batches() if callable(batches) else batches:
        values, y = _read_batch(features, labels, classes, blocks, finite=False)
        if blocks is None:
            blocks = _Blocks(values, max(_FEW_ROWS, classes))
            blocks.factor = blocks.factor if factor is None else factor
            if head is not None:
                formula.read_weights(head[0], classes, values.shape[1])
        for block, of_block in blocks.add(values, y):
            yield block, of_block, blocks.factor
    if blocks is not None:
        for block, of_block in blocks.rest():
            yield block, of_block, blocks.factor


def _read_batch(
    features: Any, labels: Any, classes: int, blocks: _Blocks | None, finite: bool = True
) -> tuple[NDArray[Any], IntArray]:
    values = read_floats("features", features, 2, finite=finite)
    if blocks is not None and values.shape[1] != blocks.dimension:
        raise DataError(f"features have {values.shape[1]} dimensions, those before had {blocks.dimension}")
    return values, as_labels("labels", labels, len(values), classes)


def _summing(y: IntArray, classes: int) -> csr_array:
    """Return the sparse (C, b) matrix that sums rows by class."""
    ones = np.ones(len(y))
    return csr_array((ones, (y, np.arange(len(y)))), shape=(classes, len(y)))


def _checked_head(classes: int, weights: Any | None, bias: Any | None) -> tuple[FloatArray, FloatArray] | None:
    if classes < 2:
        raise DataError(f"classes is {classes}: at least two are needed")
    if bias is not None and weights is None:
        raise DataError("a bias is given without weights")
    return None if weights is None else formula.read_head(weights, bias, classes)


def _check_counts(counts: IntArray) -> None:
    if (counts == 0).any():
        class_counts("labels", np.repeat(np.arange(len(counts)), counts), len(counts))


def _check_same_points(
    counts: IntArray, again: IntArray, left: FloatArray, squares: FloatArray, rounding: float
) -> None:
    """Refuse a second pass whose deviations from the means of the first do not sum to zero in each class."""
    if not np.array_equal(counts, again):
        raise DataError(
            f"the first pass had {int(counts.sum())} points and the second {int(again.sum())}, or other labels: pass "
            "what can be iterated over twice, or a function that begins anew"
        )
    # What is left of n points drawn anew has the size of the root of n times their spread.
    apart = float(np.sum(np.square(left)))
    if apart > _OTHER_POINTS**2 * float(squares.sum()) + float(counts @ counts) * rounding:
        raise DataError("the second pass had other features than the first: switch off what is random, as augmentation")
