"""What a dataset is, what a split is, and how a variant of a task changes a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.seeds import generator, stream


@dataclass(frozen=True)
class Split:
    """Training and test arrays of one dataset and seed.

    Attributes
    ----------
    x_train, x_test : ndarray of shape (n, *input_shape), float64
        Inputs, standardized with training statistics. Images are (height, width, channels).
    y_train, y_test : ndarray of shape (n,), int64
        Labels 0 to C-1.
    class_names : tuple of str
        C names.
    fine_train, fine_test : ndarray of shape (n,), int64, or None
        The labels before a variant merged classes; None if none were merged.
    """

    x_train: FloatArray
    y_train: IntArray
    x_test: FloatArray
    y_test: IntArray
    class_names: tuple[str, ...]
    fine_train: IntArray | None = None
    fine_test: IntArray | None = None

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.x_train.shape[1:]


@dataclass(frozen=True)
class Dataset:
    """Named data with provenance, and the rule that splits it.

    Attributes
    ----------
    name, summary, licence, citation : str
        Provenance, shown by ``lebench info``.
    version : int
        Raised when the arrays or the split rule change.
    input_shape : tuple of int
        Shape of one input.
    class_names : tuple of str
        Names of the classes.
    load : callable
        Without arguments; returns ``(x, y)``: float64 (n, *input_shape) raw inputs and int64 (n,) labels.
    splitter : callable
        ``(x, y, rng)`` to raw ``(x_train, y_train, x_test, y_test)``.
    """

    name: str
    summary: str
    licence: str
    citation: str
    version: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    load: Callable[[], tuple[FloatArray, IntArray]]
    splitter: Callable[[FloatArray, IntArray, np.random.Generator], tuple[FloatArray, IntArray, FloatArray, IntArray]]

    @cached_property
    def arrays(self) -> tuple[FloatArray, IntArray]:
        """Raw inputs (n, *input_shape) and labels (n,)."""
        x, y = self.load()
        if x.shape[1:] != self.input_shape or len(x) != len(y):
            raise DataError(f"dataset {self.name!r}: got arrays of shapes {x.shape} and {y.shape}")
        return x, y

    @cached_property
    def sha256(self) -> str:
        """Checksum of the raw arrays (shape, dtype and bytes of inputs and labels)."""
        digest = hashlib.sha256()
        for array in self.arrays:
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def split(self, seed: int) -> Split:
        """Return the split of a seed, the same for every model.

        Parameters
        ----------
        seed : int
            Root seed; only its ``data`` stream is used.
        """
        x_train, y_train, x_test, y_test = self.splitter(*self.arrays, generator(seed, "data"))
        # Images per channel, so that the geometry of the pixels stays; other inputs per coordinate.
        axes = tuple(range(x_train.ndim - 1)) if x_train.ndim > 2 else 0
        mean = x_train.mean(axis=axes)
        # A coordinate that never changes in training has no scale; dividing by 1 leaves it as it is.
        std = x_train.std(axis=axes)
        std = np.where(std > 0, std, 1.0)
        return Split((x_train - mean) / std, y_train, (x_test - mean) / std, y_test, self.class_names)


@dataclass(frozen=True)
class Variant:
    """A change of the training problem that a task asks for: each variant is one fit.

    Attributes
    ----------
    name : str
        Short label, unique within the task: ``"n=50"``.
    n_train : int, optional
        Size of a class-balanced subset of the training points.
    groups : tuple of tuple of int, optional
        Classes to keep and merge: ``((9, 3), (5, 8))`` keeps four classes, labels 9 and 3 as 0, 5 and 8 as 1.
    permute_labels : bool
        Replace the training labels by a random permutation of them (a control).
    """

    name: str = "default"
    n_train: int | None = None
    groups: tuple[tuple[int, ...], ...] | None = None
    permute_labels: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What the fit depends on; two variants with the same key share a fit."""
        return (self.n_train, self.groups, self.permute_labels)

    def apply(self, split: Split, seed: int) -> Split:
        """Return the split of this variant.

        Raises
        ------
        DataError
            If there are fewer training points of a class than asked for.
        """
        # A stream per variant, so that adding a variant leaves the others' subsets alone.
        rng = np.random.default_rng([*stream(seed, "data").generate_state(4), *repr(self.key).encode()])
        if self.groups is not None:
            split = _merge(split, self.groups)
        if self.n_train is not None:
            keep = balanced_subset(split.y_train, self.n_train, split.classes, rng)
            fine = None if split.fine_train is None else split.fine_train[keep]
            split = replace(split, x_train=split.x_train[keep], y_train=split.y_train[keep], fine_train=fine)
        if self.permute_labels:
            split = replace(split, y_train=rng.permutation(split.y_train))
        return split


def _merge(split: Split, groups: tuple[tuple[int, ...], ...]) -> Split:
    names = tuple("+".join(split.class_names[c] for c in group) for group in groups)
    table = np.full(split.classes, -1, dtype=np.int64)
    for label, group in enumerate(groups):
        table[list(group)] = label
    train, test = table[split.y_train], table[split.y_test]
    kept, held = train >= 0, test >= 0
    return Split(
        split.x_train[kept],
        train[kept],
        split.x_test[held],
        test[held],
        names,
        split.y_train[kept],
        split.y_test[held],
    )


def balanced_subset(y: IntArray, n: int, classes: int, rng: np.random.Generator) -> IntArray:
    """Return n indices with equal class counts (up to one), in random order.

    Parameters
    ----------
    y : ndarray of shape (N,), int64
        Labels 0 to `classes` - 1.
    n : int
        Number of indices, at least one per class.
    classes : int
        Number of classes.
    rng : numpy.random.Generator
        Randomness.

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    DataError
        If a class has too few points, or n is smaller than the number of classes.
    """
    if n < classes:
        raise DataError(f"cannot draw {n} points of {classes} classes: at least one per class is needed")
    counts = np.full(classes, n // classes)
    counts[rng.permutation(classes)[: n % classes]] += 1
    chosen = []
    for label, count in enumerate(counts):
        members = np.flatnonzero(y == label)
        if len(members) < count:
            raise DataError(f"class {label} has {len(members)} points, {count} are needed")
        chosen.append(rng.permutation(members)[:count])
    return rng.permutation(np.concatenate(chosen))
