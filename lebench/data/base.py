"""What a dataset is, what a split is, and how a variant of a task changes a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.seeds import generator, stream


@dataclass(frozen=True)
class Split:
    """Training and test arrays of one dataset and seed, which nobody can write to: all models share them.

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
    clean_train : ndarray of shape (n,), int64, or None
        The training labels before a variant added label noise; None if there is none.
    removed : int or None
        Where among the training points the one stood that a variant left out. Training keeps the order of the others.
    target_train, target_test : ndarray of shape (n, K), float64, or None
        Real-valued targets, if there are no classes: the labels are 0 then, and `class_names` name the K outputs.
    """

    x_train: FloatArray
    y_train: IntArray
    x_test: FloatArray
    y_test: IntArray
    class_names: tuple[str, ...]
    fine_train: IntArray | None = None
    fine_test: IntArray | None = None
    clean_train: IntArray | None = None
    removed: int | None = None
    target_train: FloatArray | None = None
    target_test: FloatArray | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, np.ndarray):
                # A view, so that the array of whoever made the split stays as it is.
                kept = array.view()
                kept.flags.writeable = False
                object.__setattr__(self, field.name, kept)

    def checksum(self) -> str:
        """Return the sha256 of all arrays: what has found a way to write to them is noticed."""
        digest = hashlib.sha256()
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, np.ndarray):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def classes(self) -> int:
        """Number of classes C, or of real-valued outputs."""
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
        Without arguments; returns ``(x, y)``: raw inputs (n, *input_shape), float64 or for many images their bytes, and
        int64 (n,) labels, or real-valued targets (n, K), float64.
    splitter : callable
        ``(x, y, rng)`` to raw ``(x_train, y_train, x_test, y_test)``, the inputs in float64.
    standardized : bool
        Whether inputs are standardized with training statistics; otherwise they stay as they are.
    recipe : tuple of (str, value)
        How the recipes of networks are changed on these data, before a variant changes them: fewer epochs where there
        are many points. A variant that draws `n_train` of them trains as published.
    """

    name: str
    summary: str
    licence: str
    citation: str
    version: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    load: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    splitter: Callable[[Any, Any, np.random.Generator], tuple[FloatArray, Any, FloatArray, Any]]
    standardized: bool = True
    recipe: tuple[tuple[str, str | int | float], ...] = ()

    @property
    def has_targets(self) -> bool:
        """Whether there are real-valued targets in place of labels."""
        return self.arrays[1].dtype.kind == "f"

    @cached_property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Raw inputs (n, *input_shape) and labels (n,) or targets (n, K)."""
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
        if self.standardized:
            x_train, x_test = _standardized(x_train, x_test)
        if not self.has_targets:
            return Split(x_train, y_train, x_test, y_test, self.class_names)
        none_train, none_test = (np.zeros(len(y), dtype=np.int64) for y in (y_train, y_test))
        return Split(x_train, none_train, x_test, none_test, self.class_names, target_train=y_train, target_test=y_test)


def _standardized(x_train: FloatArray, x_test: FloatArray) -> tuple[FloatArray, FloatArray]:
    # Images per channel, so that the geometry of the pixels stays; other inputs per coordinate.
    axes = tuple(range(x_train.ndim - 1)) if x_train.ndim > 2 else 0
    mean = x_train.mean(axis=axes)
    # A coordinate that never changes in training has no scale; dividing by 1 leaves it as it is.
    std = x_train.std(axis=axes)
    std = np.where(std > 0, std, 1.0)
    train, test = x_train - mean, x_test - mean
    # In place: a set of images may fill much of the memory.
    train /= std
    test /= std
    return train, test


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
    label_noise : float
        Share of the training labels that are replaced by another class, drawn uniformly. The points with the wrong
        label at a smaller share are among those at a larger one.
    imbalance : float
        Ratio R of step imbalance (Fang et al. 2021): the second half of the classes keeps 1/R of its training points.
    leave_out : int, optional
        Position of a training point to leave out, after all other changes.
    repetition : int
        Number of a further run on the same points, with another initialization and another order of batches; 0 is the
        cell's own.
    recipe : tuple of (str, value)
        Changes of how a network is trained, see :meth:`lebench.backends.base.Recipe.changed`:
        ``(("lr", "x4"), ("loss", "mse"))``.
    width : int, optional
        Number of units in every hidden layer of a perceptron, in place of its own.
    may_fail : bool
        Training may break down without taking the task with it: the score gets a
        :class:`~lebench.tasks.base.NotFitted` in place of the fitted model.
    """

    name: str = "default"
    n_train: int | None = None
    groups: tuple[tuple[int, ...], ...] | None = None
    permute_labels: bool = False
    label_noise: float = 0.0
    imbalance: float = 1.0
    leave_out: int | None = None
    repetition: int = 0
    recipe: tuple[tuple[str, str | int | float], ...] = ()
    width: int | None = None
    may_fail: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What the fit depends on, and whether it may fail; two variants with the same key share a fit."""
        return tuple(getattr(self, f.name) for f in fields(self) if f.name != "name")

    def fit_seed(self, seed: int) -> int:
        """Return the root seed with which the model is fitted, in a cell of a root seed."""
        return int(np.random.SeedSequence([seed, self.repetition]).generate_state(1)[0]) if self.repetition else seed

    def apply(self, split: Split, seed: int) -> Split:
        """Return the split of this variant.

        Raises
        ------
        DataError
            If there are fewer training points of a class than asked for, or a change makes no sense.
        """
        if not (0 <= self.label_noise <= 1 and self.imbalance >= 1):
            raise DataError(f"variant {self.name!r}: label noise lies between 0 and 1, an imbalance is at least 1")
        if split.target_train is not None and (
            self.groups or self.permute_labels or self.imbalance > 1 or self.label_noise > 0
        ):
            raise DataError(f"variant {self.name!r} changes labels or classes, and the data have real-valued targets")
        # A stream per subset, so that adding a variant leaves the others' subsets alone, and the same subset is drawn
        # whatever is changed about it.
        subset = (self.n_train, self.groups, self.permute_labels)
        rng = self._generator(seed, subset)
        if self.groups is not None:
            named = [label for group in self.groups for label in group]
            if not all(0 <= label < split.classes for label in named) or len(set(named)) < len(named):
                raise DataError(
                    f"variant {self.name!r}: groups name each class at most once, by a number from 0 to "
                    f"{split.classes - 1}; got {self.groups}"
                )
            split = _merge(split, self.groups)
        if self.n_train is not None:
            classes = split.classes if split.target_train is None else 1
            split = _kept(split, balanced_subset(split.y_train, self.n_train, classes, rng))
        if self.permute_labels:
            split = replace(split, y_train=rng.permutation(split.y_train))
        if self.imbalance > 1:
            split = _imbalanced(split, self.imbalance)
        if self.label_noise > 0:
            noisy = _noisy(
                split.y_train, split.classes, self.label_noise, self._generator(seed, (subset, "label noise"))
            )
            split = replace(split, y_train=noisy, clean_train=split.y_train)
        if self.leave_out is not None:
            if not 0 <= self.leave_out < len(split.y_train):
                raise DataError(f"variant {self.name!r}: there is no training point {self.leave_out} to leave out")
            split = replace(_kept(split, np.arange(len(split.y_train)) != self.leave_out), removed=self.leave_out)
        return split

    @staticmethod
    def _generator(seed: int, of: object) -> np.random.Generator:
        return np.random.default_rng([*stream(seed, "data").generate_state(4), *repr(of).encode()])


def _kept(split: Split, which: IntArray | NDArray[np.bool_]) -> Split:
    """Return the split with some of the training points."""
    return replace(
        split,
        x_train=split.x_train[which],
        y_train=split.y_train[which],
        fine_train=None if split.fine_train is None else split.fine_train[which],
        clean_train=None if split.clean_train is None else split.clean_train[which],
        target_train=None if split.target_train is None else split.target_train[which],
    )


def _imbalanced(split: Split, ratio: float) -> Split:
    keep = np.ones(len(split.y_train), dtype=bool)
    for label in range(split.classes // 2, split.classes):
        members = np.flatnonzero(split.y_train == label)
        keep[members[max(1, round(len(members) / ratio)) :]] = False
    return _kept(split, keep)


def _noisy(y: IntArray, classes: int, share: float, rng: np.random.Generator) -> IntArray:
    order, shift = rng.permutation(len(y)), rng.integers(1, classes, len(y))
    wrong = order[: round(share * len(y))]
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + shift[wrong]) % classes
    return noisy


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
