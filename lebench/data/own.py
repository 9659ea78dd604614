"""Datasets of one's own, in one call."""

from __future__ import annotations

import functools
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset
from lebench.data.sources import Points, read
from lebench.errors import DataError, LebenchWarning

#: What this module registers is its caller's, see :mod:`lebench.registry`.
_REGISTERS_FOR_CALLER = True
_NAMED = 4


def dataset(
    name: str,
    data: Any,
    labels: Any = None,
    *,
    test: Any = 0.25,
    class_names: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    standardized: bool = True,
    version: int = 1,
    summary: str = "",
    licence: str = "not stated",
    citation: str = "not stated",
) -> Dataset:
    """Register a dataset and return it.

    Labels that are texts, or other numbers than 0, 1, ..., are encoded in their order, and a warning says how. The
    checksum of the arrays, :attr:`~lebench.data.base.Dataset.sha256`, is part of every record.

    Parameters
    ----------
    name : str
        Under which tasks ask for it.
    data : array, DataFrame, path or dataset
        Inputs (n, d) or (n, height, width, channels); a CSV or Parquet file or a DataFrame, whose other columns are
        coordinates; a folder with a folder of images for each class; a torch ``Dataset`` of pairs; a Hugging Face
        ``Dataset``. A folder or a mapping with the parts ``train`` and ``test`` comes divided.
    labels : array or str, optional
        One for each point, or the name of the column that has them.
    test : float, or another of `data`, default 0.25
        Share of each class that is held out for test, drawn by the seed; or the data that are held out, a pair
        ``(x, labels)`` if they are arrays. Training points are in an order by the seed then.
    class_names : sequence of str, optional
        Names of the classes in the order of their labels; by default those of the source, or the labels.
    size : (int, int), optional
        Height and width to which images are brought; by default all must be of one size.
    standardized : bool, default True
        Whether inputs are standardized with training statistics, images per channel.
    version : int, default 1
        To be raised when the arrays or the split change.
    summary, licence, citation : str, optional
        Provenance, shown by ``lebench info``.

    Raises
    ------
    DataError
        If there are no labels, a class has less than two points, inputs are of several sizes, no numbers or not finite.
    LebenchError
        If the name is taken.
    """
    try:
        points, held = read(data, labels, size)
        if not isinstance(test, int | float):
            column = labels if isinstance(labels, str) else None
            held, _ = read(test, column, size)
        elif not 0 < test < 1:
            raise DataError(f"test={test} must be a share between 0 and 1, or the points that are held out")
        made = _made(name, points, held, test, class_names)
    except DataError as error:
        raise type(error)(f"dataset {name!r}: {error}") from error
    x, y, names, splitter, said = made
    if said:
        warnings.warn(f"dataset {name!r}: {said}", LebenchWarning, stacklevel=2)
    found = Dataset(
        name=name,
        summary=summary or f"{len(y):,} points of {len(names)} classes, {' x '.join(map(str, x.shape[1:]))}",
        licence=licence,
        citation=citation,
        version=version,
        input_shape=x.shape[1:],
        class_names=names,
        load=_Arrays(x, y),
        splitter=splitter,
        standardized=standardized,
    )
    return registry.datasets.register(name, found, summary=found.summary, tags=("own",))


def _made(
    name: str, points: Points, held: Points | None, test: Any, class_names: Sequence[str] | None
) -> tuple[NDArray[Any], IntArray, tuple[str, ...], Any, str]:
    """Return inputs, labels, names of the classes, the rule that splits, and what is to be said of the labels."""
    parts = [points] if held is None else [points, held]
    shapes = [part.x.shape[1:] for part in parts]
    if shapes[0] != shapes[-1]:
        raise DataError(f"its test points are of shape {shapes[-1]}, those for training of {shapes[0]}")
    x = np.concatenate([part.x for part in parts]) if held is not None else points.x
    labels = np.concatenate([part.labels for part in parts]) if held is not None else points.labels
    x = _checked(x, labels)
    y, names, said = encode(labels, class_names or points.class_names)
    counts = np.bincount(y[: len(points.x)], minlength=len(names))
    few = [names[label] for label in np.flatnonzero(counts < (2 if held is None else 1))]
    if few:
        least = "a split needs at least two of each" if held is None else "training needs at least one of each"
        raise DataError(f"class {few[0]!r} has {'one point' if counts[names.index(few[0])] else 'no points'}: {least}")
    rule = partial(_by_share, share=float(test)) if held is None else partial(_by_place, train=len(points.x))
    return x, y, names, rule, said


def _checked(x: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim != 1 or x.ndim < 2 or len(x) != len(labels):
        raise DataError(
            f"inputs of shape {x.shape} and labels of shape {labels.shape}: (n, ...) and (n,) are needed; a single "
            "number for each point is x[:, None]"
        )
    if not len(x):
        raise DataError("it has no points")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        place = int(np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0])
        raise DataError(f"its inputs have a NaN or an infinite number, first in point {place}")
    if x.ndim == 3:
        return x[..., np.newaxis]
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        return np.ascontiguousarray(np.moveaxis(x, 1, -1))
    return x


def encode(labels: NDArray[Any], names: Sequence[str] | None = None) -> tuple[IntArray, tuple[str, ...], str]:
    """Return labels as 0, 1, ..., the names of the classes, and what was done to them, nothing if they were so.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Texts, whole numbers or truth values.
    names : sequence of str, optional
        Of the classes, in the order of their labels.

    Raises
    ------
    DataError
        If a label is missing or no name of a class, there is one class only, or the names are of another number.
    """
    if labels.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(labels))
        if not missing.size and (labels != np.round(labels)).any():
            raise DataError("its labels are real numbers and no classes")
        labels = labels if missing.size else labels.astype(np.int64)
    else:
        missing = np.flatnonzero([label is None or label != label for label in labels.tolist()])
    if missing.size:
        raise DataError(f"{missing.size} of its labels are missing, the first of point {missing[0]}")
    if labels.dtype.kind not in "iub":
        labels = np.array([str(label) for label in labels.tolist()])
    present, y = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "iu" and names is not None and present[0] >= 0 and present[-1] < len(names):
        return labels.astype(np.int64), tuple(names), ""
    if labels.dtype.kind == "U" and names is not None and set(present.tolist()) <= set(names):
        return np.array([list(names).index(label) for label in present.tolist()])[y], tuple(names), ""
    if len(present) < 2:
        raise DataError(f"its labels are all {present[0].item()!r}; at least two classes are needed")
    if names is not None and len(names) != len(present):
        raise DataError(f"it has {len(present)} classes and {len(names)} names of classes")
    given = [label.item() for label in present]
    found = tuple(map(str, names if names is not None else given))
    if given == list(range(len(present))) and labels.dtype.kind != "b":
        return y.astype(np.int64), found, ""
    listed = ", ".join(map(repr, given[:_NAMED])) + (", ..." if len(given) > _NAMED else "")
    return y.astype(np.int64), found, f"its labels {listed} are encoded as 0 to {len(given) - 1}"


def _by_share(
    x: NDArray[Any], y: IntArray, rng: np.random.Generator, *, share: float
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Hold out a share of each class, one point at least and not all."""
    held = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        held[members[: min(max(round(share * len(members)), 1), len(members) - 1)]] = True
    train, test = rng.permutation(np.flatnonzero(~held)), np.flatnonzero(held)
    return _floats(x[train]), y[train], _floats(x[test]), y[test]


def _by_place(
    x: NDArray[Any], y: IntArray, rng: np.random.Generator, *, train: int
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Hold out what stands behind the training points, which are in an order by the seed."""
    order = rng.permutation(train)
    return _floats(x[order]), y[order], _floats(x[train:]), y[train:]


def _floats(x: NDArray[Any]) -> FloatArray:
    """Return inputs in float64, bytes as shares of 255."""
    return x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Arrays:
    """Arrays that reach other processes as a file of this session, and not once more for every job."""

    x: NDArray[Any]
    y: IntArray

    def __call__(self) -> tuple[NDArray[Any], IntArray]:
        return self.x, self.y

    @functools.cached_property
    def _folder(self) -> str:
        folder = tempfile.mkdtemp(prefix="lebench-data-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        np.save(Path(folder) / "x.npy", self.x)
        np.save(Path(folder) / "y.npy", self.y)
        return folder

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_folder, (self._folder,)


def _from_folder(folder: str) -> _Arrays:
    x, y = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in "xy")
    return _Arrays(x, y)
