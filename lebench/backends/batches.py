"""What is drawn for training beside weights: the order of the points, and how images are changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import IntArray
from lebench.backends.base import Augmentation
from lebench.errors import DataError
from lebench.seeds import stream

#: Zeros that a crop adds to each side (He et al. 2016, section 4.2).
PADDING = 4


def order(rng: np.random.Generator, points: int, removed: int | None, count: int) -> list[IntArray]:
    """Return indices of so many batches of one epoch, of nearly equal size: one example breaks batch normalization.

    With `removed`, where a point stood that is left out, the others come as they would come with it.
    """
    if removed is None:
        return list(np.array_split(rng.permutation(points), count))
    batches = np.array_split(rng.permutation(points + 1), count)
    present = (batch[batch != removed] for batch in batches)
    return [batch - (batch > removed) for batch in present if len(batch)]


class Augmented:
    """How training images are changed in each epoch, by a stream of the seed of its own.

    Parameters
    ----------
    kind : {"none", "flip", "crop", "flip-crop"}
        See :class:`lebench.backends.base.Recipe`.
    shape : tuple of int
        Of an input: (height, width, channels).
    points : int
        Number of training points.
    removed : int, optional
        Where a point stood that is left out: the others are changed as they would be with it.
    seed : int
        Root seed; its ``augmentation`` stream is used.

    Raises
    ------
    DataError
        If inputs are no images.
    """

    def __init__(self, kind: Augmentation, shape: tuple[int, ...], points: int, removed: int | None, seed: int) -> None:
        if kind != "none" and len(shape) != 3:
            raise DataError(f"augmentation {kind!r} is for images; an input here has shape {shape}")
        self.kind, self._shape, self._points, self._removed = kind, shape, points, removed
        self._stream = stream(seed, "augmentation")
        self._drawn: tuple[int, NDArray[np.bool_], IntArray] | None = None

    def pixels(self, epoch: int, batch: IntArray) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
        """Return from which rows and columns the pixels of a batch come, and which are in the image; others are 0.

        What is drawn depends on the number of the epoch and on the seed only. Shapes are (n, height, 1), (n, 1, width)
        and (n, height, width, 1).
        """
        height, width = self._shape[:2]
        flips, shifts = self._of(epoch)
        rows = np.arange(height) + shifts[batch, :1]
        columns = np.where(flips[batch, None], np.arange(width)[::-1], np.arange(width)) + shifts[batch, 1:]
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        return rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None], inside[..., None]

    def __call__(self, x: NDArray[Any], epoch: int, batch: IntArray) -> NDArray[Any]:
        """Return the images (n, height, width, channels) of a batch, changed."""
        rows, columns, inside = self.pixels(epoch, batch)
        return np.where(inside, x[batch[:, None, None], rows, columns], x.dtype.type(0))

    def _of(self, epoch: int) -> tuple[NDArray[np.bool_], IntArray]:
        if self._drawn is None or self._drawn[0] != epoch:
            key = (*self._stream.spawn_key, epoch)
            rng = np.random.default_rng(np.random.SeedSequence(self._stream.entropy, spawn_key=key))
            everybody = self._points + (self._removed is not None)
            flips = rng.integers(0, 2, everybody).astype(bool)
            shifts = rng.integers(-PADDING, PADDING + 1, (everybody, 2))
            if self._removed is not None:
                flips, shifts = np.delete(flips, self._removed), np.delete(shifts, self._removed, axis=0)
            if "flip" not in self.kind:
                flips = np.zeros_like(flips)
            if "crop" not in self.kind:
                shifts = np.zeros_like(shifts)
            self._drawn = epoch, flips, shifts
        return self._drawn[1:]
