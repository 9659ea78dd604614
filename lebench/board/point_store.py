"""Values at test points of all entries: found once for each record, and kept in a folder beside the entries.

The folder ``points`` holds, for each task, the numbers of its test points (``tasks/<task>.npz``) and, for each entry,
the values at them (``entries/<entry>.npz``), a bit a point where it was classified. It is made from recordings and the
data of the tasks; where the data are missing, what is kept still serves. A record that changed, or points that are
others, make what is kept of them void.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.board.point_values import Found, Ids, adds_up, find_values, part_of, point_ids
from lebench.data.base import Dataset, Split
from lebench.errors import LebenchError, UnavailableDataError
from lebench.records import Document, Record
from lebench.seeds import generator
from lebench.stats import PointEffects, completed, effects_of
from lebench.tasks.base import Task

#: Raised when values at points are found in another way: what was kept before is void then.
VERSION = 1
#: Overlap of the test points of two seeds below which seeds alone say how a score moves with them.
LEAST_OVERLAP = 0.01


class Recorded(Protocol):
    """Records with their recordings: an entry, or what a run left."""

    @property
    def name(self) -> str:
        """What it is called, unlike any other."""

    @property
    def records(self) -> Sequence[Record]:
        """Of one model."""

    def recording(self, record: Record) -> Mapping[str, NDArray[Any]]:
        """Return what the model answered when a record was made, nothing if that was not kept."""


class Resampled(Document):
    """What the intervals of a task's primary value resample.

    Attributes
    ----------
    points : int
        Number of test points that are resampled beside the seeds; 0 if only seeds are.
    overlap : float
        Share of its test points that a seed has in common with another.
    entries : int
        Number of entries whose values at test points are known.
    note : str
        The same in words, with the reason where only seeds are resampled.
    """

    points: int
    overlap: float
    entries: int
    note: str


@dataclass(frozen=True)
class TaskPoints:
    """Values at test points on one task.

    Attributes
    ----------
    overlap : float
        Share of its test points that a seed has in common with another.
    ids : mapping of str to ndarray of uint32, shape (n,)
        Points by variant.
    of_entries : mapping of str to mapping
        By entry: values at points, shape (n,), by variant and metric; uint8 where they are 0 or 1, else float32.
    sums : mapping of str to frozenset of str
        By entry: names of the values that are means over these points.
    """

    overlap: float
    ids: Mapping[str, Ids] = field(default_factory=dict)
    of_entries: Mapping[str, Mapping[tuple[str, str], NDArray[Any]]] = field(default_factory=dict)
    sums: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def effects(self, value: str, variants: Iterable[str], entries: Sequence[str], field: Collection[str]) -> Effects:
        """Return how test points move a value of some entries, None where that is not known or seeds show it.

        Parameters
        ----------
        value : str
            Name.
        variants : iterable of str
            Of the task.
        entries : sequence of str
            Who has the value.
        field : collection of str
            Whose effects stand for those of an entry without values at points: not controls.
        """
        part = part_of(value, list(variants))
        if part is None or self.overlap < LEAST_OVERLAP:
            return None
        known = [entry for entry in entries if value in self.sums.get(entry, ())]
        if not known:
            return None
        parts = [
            (self.ids[variant], np.stack([self.of_entries[entry][variant, part.metric] for entry in known]))
            for variant in part.variants
        ]
        ids, effects = effects_of(parts, self.overlap)
        rows = {entry: row for row, entry in enumerate(known)}
        return completed(
            ids,
            np.float32(part.sign) * effects,
            [rows.get(entry) for entry in entries],
            [entry in field for entry in entries],
        )


#: How test points move a value; None where only seeds are resampled.
Effects = PointEffects | None


def effects_on(
    points: Mapping[str, TaskPoints], task: str, value: str, entries: Sequence[str], field: Collection[str]
) -> Effects:
    """Return how test points move a value of a task, see :meth:`TaskPoints.effects`."""
    if task not in points:
        return None
    return points[task].effects(value, [variant.name for variant in registry.tasks.get(task).variants], entries, field)


def resampled(task: Task, points: TaskPoints | None, effects: Effects, entries: Collection[str]) -> Resampled:
    """Say what the intervals of a task's primary value resample.

    Parameters
    ----------
    task : Task
        The task.
    points : TaskPoints or None
        None if there is no recording of it, or its data are not here.
    effects : PointEffects or None
        What is used of them.
    entries : collection of str
        Who has a score, in the order of the effects, without controls.
    """
    if effects is not None and points is not None:
        shared = "the same for all seeds" if points.overlap > 0.99 else f"of which two seeds share {points.overlap:.0%}"
        without = int((~effects.known).sum())
        lacking = f"; {without} of {len(entries)} models are assumed to move as the others do" if without else ""
        return Resampled(
            points=len(effects.ids),
            overlap=points.overlap,
            entries=len(entries) - without,
            note=f"seeds and {len(effects.ids):,} test points, {shared}{lacking}",
        )
    if part_of(task.primary, [variant.name for variant in task.variants]) is None:
        reason = f"{task.primary} is not known as a mean over test points"
    elif points is None:
        reason = "there are no values at test points, which need recordings of predictions and the data"
    elif points.overlap < LEAST_OVERLAP:
        reason = "each seed draws test points of its own, so that they vary with it"
    else:
        reason = "too few models have recordings of their predictions"
    return Resampled(
        points=0, overlap=0.0 if points is None else points.overlap, entries=0, note=f"seeds only: {reason}"
    )


def gather(entries: Iterable[Recorded], folder: Path | None = None, *, keep: bool = True) -> dict[str, TaskPoints]:
    """Return values at test points by task, from what is kept and else from recordings.

    Parameters
    ----------
    entries : iterable of Recorded
        In any order; an :class:`Entry` is one.
    folder : Path, optional
        Where values are kept.
    keep : bool, default True
        Whether what is found is added there, if it can be written.

    Raises
    ------
    LebenchError
        If a kept file is damaged.
    EntryError
        If a recording is not the one that its record describes.
    """
    store = _Store(folder, keep)
    of_tasks: dict[str, dict[str, tuple[Record, Found]]] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        for task, record in _recorded(entry):
            found = store.found(entry, task, record)
            if found is not None and found.values:
                of_tasks.setdefault(task.name, {})[entry.name] = record, found
        store.keep(entry.name)
    return {name: _together(registry.tasks.get(name), found, store) for name, found in sorted(of_tasks.items())}


def _together(task: Task, found: Mapping[str, tuple[Record, Found]], store: _Store) -> TaskPoints:
    ids = store.ids(task)
    kept = {
        entry: (record, one)
        for entry, (record, one) in found.items()
        if _digest(one.ids) == _digest({variant: ids[variant] for variant in one.ids})
    }
    variants = [variant.name for variant in task.variants]
    return TaskPoints(
        overlap=store.overlap(task),
        ids=ids,
        of_entries={entry: one.values for entry, (_, one) in kept.items()},
        sums={
            entry: frozenset(
                value
                for value, number in record.metrics.items()
                if (part := part_of(value, variants)) is not None and adds_up(part, number, one)
            )
            for entry, (record, one) in kept.items()
        },
    )


def _recorded(entry: Recorded) -> Iterator[tuple[Task, Record]]:
    """Yield the record of seed 0 of each task whose primary value may be a mean over test points."""
    for record in entry.records:
        name = record.cell.task
        if record.cell.seed or not record.recorded or name not in registry.tasks:
            continue
        task: Task = registry.tasks.get(name)
        if record.cell.task_version == task.version and part_of(task.primary, [v.name for v in task.variants]):
            yield task, record


class _Store:
    """What is kept of values at test points, read as it is asked for."""

    def __init__(self, folder: Path | None, keep: bool) -> None:
        self._folder, self._keep = folder, keep
        self._tasks: dict[str, dict[str, NDArray[Any]]] = {}
        self._entry: dict[str, NDArray[Any]] = {}
        self._about: dict[str, Any] = {}
        self._name = ""
        self._new = False

    def found(self, entry: Recorded, task: Task, record: Record) -> Found | None:
        """Return the values of a record, None if it has none or they cannot be had here."""
        if self._name != entry.name:
            self._open(entry.name)
        ids = self.ids(task)
        about = self._about.get(task.name, {})
        if about.get("record") == record.checksum and about.get("version") == VERSION:
            names = [(variant, metric) for variant, metric in about["values"]]
            own = {variant: ids[variant] for variant, _ in names if variant in ids}
            if _digest(own) == about["points"]:
                return Found(own, {name: self._kept(task, *name, len(own[name[0]])) for name in names})
        split = _split(task.dataset, record.cell.seed)
        if split is None:
            return None
        recording = entry.recording(record)
        if not recording:
            return None
        try:
            found = find_values(task, split, record, recording)
        except Exception:
            # Arrays from anybody may break a score in any way; `lebench verify` says how.
            found = Found({}, {})
        return self._noted(task, record, found, ids)

    def ids(self, task: Task) -> dict[str, Ids]:
        """Return the points of each variant of a task, none if they are not known yet."""
        return {name: array for name, array in self._of_task(task).items() if name != _OVERLAP}

    def overlap(self, task: Task) -> float:
        """Return the share of its test points that a seed has in common with another."""
        return float(self._of_task(task)[_OVERLAP])

    def keep(self, entry: str) -> None:
        """Write what was found of an entry."""
        if self._folder is None or not self._keep or not self._new or self._name != entry:
            return
        about = np.frombuffer(json.dumps(self._about, sort_keys=True).encode(), dtype=np.uint8)
        _write(self._folder / "entries" / f"{entry}.npz", {**self._entry, _ABOUT: about})

    def _open(self, entry: str) -> None:
        self._name, self._new = entry, False
        self._entry = self._read("entries", entry)
        self._about = json.loads(self._entry.pop(_ABOUT).tobytes()) if self._entry else {}

    def _kept(self, task: Task, variant: str, metric: str, n: int) -> NDArray[Any]:
        array = self._entry[_key(task.name, variant, metric)]
        return np.unpackbits(array, count=n) if array.dtype == np.uint8 else array

    def _noted(self, task: Task, record: Record, found: Found, ids: dict[str, Ids]) -> Found:
        compact = {
            name: values.astype(np.uint8 if np.isin(values, (0.0, 1.0)).all() else "<f4")
            for name, values in found.values.items()
        }
        if _digest(found.ids) != _digest({variant: ids[variant] for variant in found.ids if variant in ids}):
            of_task = {**self._of_task(task), **found.ids}
            of_task.setdefault(_OVERLAP, np.array(_overlap(task.dataset)))
            self._tasks[task.name] = of_task
            if self._folder is not None and self._keep:
                _write(self._folder / "tasks" / f"{_slug(task.name)}.npz", of_task)
        for name in [name for name in self._entry if name.startswith(f"{task.name}|")]:
            del self._entry[name]
        for (variant, metric), values in compact.items():
            packed = np.packbits(values) if values.dtype == np.uint8 else values
            self._entry[_key(task.name, variant, metric)] = packed
        self._about[task.name] = {
            "record": record.checksum,
            "points": _digest(found.ids),
            "values": [list(name) for name in compact],
            "version": VERSION,
        }
        self._new = True
        return Found(found.ids, compact)

    def _of_task(self, task: Task) -> dict[str, NDArray[Any]]:
        if task.name not in self._tasks:
            self._tasks[task.name] = self._read("tasks", _slug(task.name))
        return self._tasks[task.name]

    def _read(self, kind: str, name: str) -> dict[str, NDArray[Any]]:
        path = None if self._folder is None else self._folder / kind / f"{name}.npz"
        if path is None or not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise LebenchError(f"{path} is damaged ({error}); delete it, and it is made again") from error


#: Names of what is no array of points or values.
_OVERLAP, _ABOUT = "/overlap", "/about"


def _key(task: str, variant: str, metric: str) -> str:
    return f"{task}|{variant}|{metric}"


def _digest(ids: Mapping[str, Ids]) -> str:
    digest = hashlib.sha256()
    for variant, points in sorted(ids.items()):
        digest.update(f"{variant} {len(points)};".encode())
        digest.update(points.astype("<u4").tobytes())
    return digest.hexdigest()[:16]


def _slug(task: str) -> str:
    return task.replace("/", "-")


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays, the same bytes for the same arrays; where nothing can be written, nothing is kept."""
    content = io.BytesIO()
    np.savez_compressed(content, **dict(sorted(arrays.items())))  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two builds at once may write the same file.
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        draft.write_bytes(content.getvalue())
        draft.replace(path)
    except OSError:
        return


@cache
def _split(dataset: str, seed: int) -> Split | None:
    try:
        found: Split = registry.datasets.get(dataset).split(seed)
    except UnavailableDataError:
        return None
    return found


@cache
def _overlap(dataset: str) -> float:
    """Return the share of the raw test points of seed 0 that seed 1 has, too."""
    found: Dataset = registry.datasets.get(dataset)
    first, second = (point_ids(found.splitter(*found.arrays, generator(seed, "data"))[2]) for seed in (0, 1))
    return float(np.isin(first, second).mean())
