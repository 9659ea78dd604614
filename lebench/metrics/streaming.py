"""Collapse metrics of features that do not fit in memory: one pass, in batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import as_floats, as_labels, class_counts, read_floats
from lebench.metrics.base import Missing
from lebench.metrics.class_statistics import block_rows, from_means, membership, unique_argmax

_SECOND_PASS = "needs the class means beforehand: pass means=first.class_means to a second accumulator"


class CollapseAccumulator:
    """Collapse metrics of a stream of features, equal to those of :func:`~lebench.metrics.collapse`.

    Memory beyond a batch is one (p, p) and a few (C, p) matrices. Means and squares are merged batch by batch about the
    running class means (Chan, Golub & LeVeque 1983), so that nothing cancels when the features have collapsed.

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
    >>> for batch in (np.array([[-1.0], [7.0], [3.0]]), np.array([[1.0], [3.0], [3.0]])):
    ...     stream.update(batch, np.array([0, 1, 1]))
    >>> stream.result()["cdnv"]
    0.125
    """

    def __init__(
        self, classes: int, weights: Any | None = None, bias: Any | None = None, means: Any | None = None
    ) -> None:
        if classes < 2:
            raise DataError(f"classes is {classes}: at least two are needed")
        if bias is not None and weights is None:
            raise DataError("a bias is given without weights")
        self._counts = np.zeros(classes, dtype=np.int64)
        self._means: FloatArray | None = None
        self._squares = np.zeros(classes)
        self._scatter: FloatArray | None = None
        self._head = None if weights is None else formula.read_head(weights, bias, classes)
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
        values = read_floats("features", features, 2)
        y = as_labels("labels", labels, len(values), len(self._counts))
        if self._means is None:
            self._start(values.shape[1])
        assert self._means is not None
        if values.shape[1] != self._means.shape[1]:
            raise DataError(f"features have {values.shape[1]} dimensions, those before had {self._means.shape[1]}")
        rows = block_rows(values.shape[1])
        for start in range(0, len(values), rows):
            block = np.array(values[start : start + rows], dtype=np.float64)
            if self._centres is not None:
                self._compare(block, y[start : start + rows], self._centres)
            self._merge(block, y[start : start + rows])

    def _start(self, p: int) -> None:
        for name, rows in (("weights", self._head and self._head[0]), ("means", self._centres)):
            if rows is not None and rows.shape[1] != p:
                raise DataError(f"{name} have shape {rows.shape}, but the features have {p} dimensions")
        self._means = np.zeros((len(self._counts), p))
        self._scatter = np.zeros((p, p))

    def _merge(self, block: FloatArray, y: IntArray) -> None:
        assert self._means is not None
        assert self._scatter is not None
        member = membership(y, len(self._counts))
        added = member.sum(axis=1)
        means = member @ block / np.maximum(added, 1)[:, None]
        block -= means[y]
        total = self._counts + added
        shift = np.where(added[:, None] > 0, means - self._means, 0.0)
        weight = self._counts * added / np.maximum(total, 1)
        self._scatter += block.T @ block + (weight[:, None] * shift).T @ shift
        self._squares += member @ np.einsum("ij,ij->i", block, block) + weight * np.einsum("ij,ij->i", shift, shift)
        self._means += (added / np.maximum(total, 1))[:, None] * shift
        self._counts += added.astype(np.int64)

    def _compare(self, block: FloatArray, y: IntArray, centres: FloatArray) -> None:
        centre = centres.mean(axis=0)
        offset = centres - centre
        nearest = unique_argmax((block - centre) @ offset.T - 0.5 * np.einsum("ij,ij->i", offset, offset))
        self._near += int(np.count_nonzero(nearest == y))
        if self._head is not None:
            chosen = unique_argmax(block @ self._head[0].T + self._head[1])
            self._differ += int(np.count_nonzero((nearest != chosen) | (nearest < 0)))

    @property
    def class_means(self) -> FloatArray:
        """Class means (C, p) of what was added.

        Raises
        ------
        DataError
            If nothing was added yet, or a class has no points.
        """
        if self._means is None:
            raise DataError("no features were added yet")
        if (self._counts == 0).any():
            class_counts("labels", np.repeat(np.arange(len(self._counts)), self._counts), len(self._counts))
        return self._means.copy()

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
        statistics = from_means(self.class_means, self._counts)
        assert self._scatter is not None
        n = int(self._counts.sum())
        statistics = replace(
            statistics,
            variances=self._squares / self._counts,
            scatter=statistics.centred @ self._scatter @ statistics.centred.T / n,
        )
        values = formula.values_of(statistics, *(self._head or ()))
        known = self._centres is not None
        values["ncc_accuracy"] = self._near / n if known else Missing(_SECOND_PASS)
        if self._head is not None:
            values["nc4"] = self._differ / n if known else Missing(_SECOND_PASS)
        return values
