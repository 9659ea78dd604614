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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.board.point_values import Found, Ids, adds_up, find_values, part_of, point_ids
from lebench.board.points import TaskPoints
from lebench.data.base import Dataset, Split
from lebench.errors import LebenchError, UnavailableDataError
from lebench.records import Record
from lebench.seeds import generator
from lebench.tasks.base import Task, metric_of

#: Raised when values at points are found in another way: what was kept before is void then.
VERSION = 2
#: Seeds whose values at points are kept: so many for the primary value of a core task, the first for everything else.
SEEDS = 10


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
    of_tasks: dict[str, dict[str, dict[int, tuple[Record, Found]]]] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        for task, record in _recorded(entry):
            found = store.found(entry, task, record)
            if found is not None and found.values:
                of_entry = of_tasks.setdefault(task.name, {}).setdefault(entry.name, {})
                of_entry[record.cell.seed] = record, found
        store.keep(entry.name)
    return {name: _together(registry.tasks.get(name), found, store) for name, found in sorted(of_tasks.items())}


def _together(task: Task, found: Mapping[str, Mapping[int, tuple[Record, Found]]], store: _Store) -> TaskPoints:
    seeds = sorted({seed for of in found.values() for seed in of})
    ids = {seed: store.ids(task, seed) for seed in seeds}
    variants = [variant.name for variant in task.variants]
    of_entries, sums = {}, {}
    for entry, of in found.items():
        kept = {
            seed: both
            for seed, both in of.items()
            if _digest(both[1].ids) == _digest({variant: ids[seed][variant] for variant in both[1].ids})
        }
        if kept:
            of_entries[entry] = {seed: one.values for seed, (_, one) in kept.items()}
            sums[entry] = _sums(list(kept.values()), variants)
    return TaskPoints(store.overlap(task), ids, of_entries, sums)


def _sums(kept: Sequence[tuple[Record, Found]], variants: Sequence[str]) -> frozenset[str]:
    """Return the names of the values that are means over points in every seed where these are kept."""
    found = set()
    for value in kept[0][0].metrics:
        part = part_of(value, variants)
        if part is not None:
            there = [both for both in kept if all((v, part.metric) in both[1].values for v in part.variants)]
            if there and all(adds_up(part, record.metrics[value], one) for record, one in there):
                found.add(value)
    return frozenset(found)


def _recorded(entry: Recorded) -> Iterator[tuple[Task, Record]]:
    """Yield the first records with a recording of each task whose primary value may be a mean over test points."""
    count: dict[str, int] = {}
    for record in sorted(entry.records, key=lambda one: one.cell.seed):
        name = record.cell.task
        if not record.recorded or name not in registry.tasks:
            continue
        task: Task = registry.tasks.get(name)
        if count.get(name, 0) == (SEEDS if task.suite == "core" else 1):
            continue
        if record.cell.task_version == task.version and part_of(task.primary, [v.name for v in task.variants]):
            count[name] = count.get(name, 0) + 1
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
        seed = record.cell.seed
        ids = self.ids(task, seed)
        about = self._about.get(_key(task.name, seed), {})
        if about.get("record") == record.checksum and about.get("version") == VERSION:
            names = [(variant, metric) for variant, metric in about["values"]]
            own = {variant: ids[variant] for variant, _ in names if variant in ids}
            if _digest(own) == about["points"]:
                return Found(own, {name: self._kept(task, seed, *name, len(own[name[0]])) for name in names})
        # Data are large, and made only for what there is to look at.
        recording = entry.recording(record)
        split = _split(task.dataset, seed) if recording else None
        if split is None:
            return None
        try:
            found = find_values(task, split, record, recording)
        except Exception:
            # Arrays from anybody may break a score in any way; `lebench verify` says how.
            found = Found({}, {})
        common, numbers = _numbers(task.dataset, seed)
        ids_of = {variant: numbers[np.searchsorted(common, points)] for variant, points in found.ids.items()}
        metric = metric_of(task.primary)
        values = {name: at for name, at in found.values.items() if not seed or name[1] == metric}
        found = Found(ids_of, values)
        return self._noted(task, record, found, ids)

    def ids(self, task: Task, seed: int) -> dict[str, Ids]:
        """Return the points of each variant of a task, none if they are not known yet."""
        start = f"{seed}|"
        return {name.removeprefix(start): a for name, a in self._of_task(task).items() if name.startswith(start)}

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

    def _kept(self, task: Task, seed: int, variant: str, metric: str, n: int) -> NDArray[Any]:
        array = self._entry[_key(task.name, seed, variant, metric)]
        return np.unpackbits(array, count=n) if array.dtype == np.uint8 else array

    def _noted(self, task: Task, record: Record, found: Found, ids: dict[str, Ids]) -> Found:
        seed = record.cell.seed
        compact = {
            name: values.astype(np.uint8 if np.isin(values, (0.0, 1.0)).all() else "<f4")
            for name, values in found.values.items()
        }
        if _digest(found.ids) != _digest({variant: ids[variant] for variant in found.ids if variant in ids}):
            of_task = {**self._of_task(task), **{f"{seed}|{variant}": points for variant, points in found.ids.items()}}
            of_task.setdefault(_OVERLAP, np.array(_overlap(task.dataset)))
            self._tasks[task.name] = of_task
            if self._folder is not None and self._keep:
                _write(self._folder / "tasks" / f"{_slug(task.name)}.npz", of_task)
        key = _key(task.name, seed)
        for name in [name for name in self._entry if name.startswith(f"{key}|")]:
            del self._entry[name]
        for (variant, metric), values in compact.items():
            packed = np.packbits(values) if values.dtype == np.uint8 else values
            self._entry[_key(task.name, seed, variant, metric)] = packed
        self._about[key] = {
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


def _key(*parts: object) -> str:
    return "|".join(map(str, parts))


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
def _raw(dataset: str, seed: int) -> Ids:
    """Return the numbers of a seed's test points before they are standardized, the same in every seed."""
    found: Dataset = registry.datasets.get(dataset)
    return point_ids(found.splitter(*found.arrays, generator(seed, "data"))[2])


@cache
def _numbers(dataset: str, seed: int) -> tuple[Ids, Ids]:
    """Return the numbers of the test points of a split, ascending, and their numbers in every seed."""
    own, first = np.unique(point_ids(registry.datasets.get(dataset).split(seed).x_test), return_index=True)
    return own, _raw(dataset, seed)[first]


@cache
def _overlap(dataset: str) -> float:
    """Return the share of the raw test points of seed 0 that seed 1 has, too."""
    return float(np.isin(_raw(dataset, 0), _raw(dataset, 1)).mean())
