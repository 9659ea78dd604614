"""What is wrong with an entry: its files, their content, and the invariants of its records."""

from __future__ import annotations

import math
import re
import stat
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lebench import registry
from lebench.board.entries import (
    PLUGIN,
    PLUGIN_LIMIT,
    Entry,
    EntryError,
    artifacts_path,
    read_entry,
    recording_path,
    write_entry,
)
from lebench.board.verification import LARGEST as LARGEST_VERIFICATION
from lebench.board.verification import NAME as VERIFICATION
from lebench.board.verification import read_verification
from lebench.data.base import Dataset
from lebench.errors import LebenchError, UnavailableDataError
from lebench.records import Record
from lebench.runner.fingerprint import task_fingerprint
from lebench.tasks.base import Task, metric_of

#: Bytes that each file of an entry may have.
_LARGEST = {"entry.toml": 20_000, "environments.json": 1_000_000, "records.jsonl": 10_000_000}
_LARGEST_ARTIFACT = 2_000_000
_ARTIFACT = re.compile(r"[0-9a-f]{16}(\.recording)?\.npz")
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Violation:
    """What is wrong with an entry: file, field, rule."""

    file: str
    field: str
    rule: str

    def __str__(self) -> str:
        """Return one line, whatever the field is called."""
        return " ".join(f"{self.file}: {self.field}: {self.rule}".split())


def validate(folder: Path) -> list[Violation]:
    """Return what is wrong with an entry, nothing if it is valid.

    Parameters
    ----------
    folder : Path
        Of the entry.
    """
    found = list(_files(folder))
    if found:
        # What is not even made of the right files is not read.
        return found
    try:
        entry = read_entry(folder)
        found += _not_as_written(entry)
        for record in entry.records:
            _ = entry.artifacts(record), entry.recording(record)
    except (LebenchError, ValueError, RecursionError) as error:
        return [Violation(folder.name, "content", str(error) or type(error).__name__)]
    known = {path(folder, record).name for record in entry.records for path in (artifacts_path, recording_path)}
    for path in sorted((folder / "artifacts").glob("*")):
        if path.name not in known:
            found.append(Violation(f"artifacts/{path.name}", "name", "belongs to no record"))
    return found + list(_of_seeds(entry.records)) + [v for record in entry.records for v in _of_record(record)]


def _files(folder: Path) -> Iterator[Violation]:
    if folder.is_symlink() or not folder.is_dir():
        yield Violation(folder.name, "type", "there is no such folder")
        return
    present = {path.name for path in folder.iterdir()}
    for name in sorted(set(_LARGEST) - present):
        yield Violation(name, "name", "is missing")
    for path in sorted(folder.iterdir()):
        if path.name == "artifacts" and stat.S_ISDIR(path.lstat().st_mode):
            for artifact in sorted(path.iterdir()):
                name = f"artifacts/{artifact.name}"
                if _ARTIFACT.fullmatch(artifact.name):
                    yield from _file(artifact, name, _LARGEST_ARTIFACT)
                else:
                    yield Violation(name, "name", "is not the name of a file of arrays")
        elif path.name in _LARGEST:
            yield from _file(path, path.name, _LARGEST[path.name])
        elif path.name == VERIFICATION:
            yield from _verification(path)
        elif path.name == PLUGIN:
            yield from _plugin(path)
        else:
            yield Violation(path.name, "name", "does not belong to an entry")


def _file(path: Path, name: str, largest: int) -> Iterator[Violation]:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        yield Violation(name, "type", "is not a regular file")
    elif about.st_size > largest:
        yield Violation(name, "size", f"has {about.st_size:,} bytes, at most {largest:,} are allowed")


def _verification(path: Path) -> Iterator[Violation]:
    """Yield what is wrong with what a maintainer has put on record of earlier checks."""
    if found := list(_file(path, path.name, LARGEST_VERIFICATION)):
        yield from found
        return
    try:
        read_verification(path.parent)
    except EntryError as error:
        yield Violation(path.name, "content", str(error).removeprefix(f"{path}: "))


def _plugin(path: Path) -> Iterator[Violation]:
    """Yield what is wrong with a model's own code as text; it is neither run nor compiled."""
    if found := list(_file(path, path.name, PLUGIN_LIMIT)):
        yield from found
        return
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    # What a reviewer does not see must not be there: control characters, and those that turn the direction of text.
    if any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in "\n\t" for char in text):
        yield Violation(path.name, "content", "is not plain UTF-8 text with Unix line ends")


def _not_as_written(entry: Entry) -> Iterator[Violation]:
    """Yield the files that are other bytes than lebench writes: with keys twice, other line ends, or fields hidden."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_entry(Path(folder), entry.name, entry.records, entry.info).folder
        for name in _LARGEST:
            if (written / name).read_bytes() != (entry.folder / name).read_bytes():
                yield Violation(name, "content", "is not as lebench writes it; write the entry with lebench")


def _of_seeds(records: Iterable[Record]) -> Iterator[Violation]:
    seeds: dict[str, set[int]] = defaultdict(set)
    for record in records:
        seeds[record.cell.task].add(record.cell.seed)
    most = max(len(found) for found in seeds.values())
    for task, found in sorted(seeds.items()):
        if found != set(range(most)):
            yield Violation("records.jsonl", task, f"has seeds {sorted(found)}, not all from 0 to {most - 1}")


def _of_record(record: Record) -> Iterator[Violation]:
    cell = record.cell
    where = f"{cell.task} seed {cell.seed}"

    def broken(field: str, rule: str) -> Violation:
        return Violation("records.jsonl", f"{where}, {field}", rule)

    if cell.task not in registry.tasks:
        yield broken("task", "there is no such task")
        return
    task: Task = registry.tasks.get(cell.task)
    dataset: Dataset = registry.datasets.get(task.dataset)
    if (cell.dataset, cell.task_version, record.track) != (task.dataset, task.version, task.track):
        yield broken("cell", "dataset, version or track are not those of the task")
        return
    if cell.task_fingerprint != _fingerprint(cell.task):
        yield broken("task_fingerprint", "was made by other code of the task; run it again")
    try:
        if cell.dataset_sha256 != dataset.sha256:
            yield broken("dataset_sha256", "was made on other data")
    except UnavailableDataError:
        pass
    if record.status != "ok":
        return
    if record.cost is None or record.cost.cpu_s <= 0:
        yield broken("cost", "must be above zero")
    if {*record.metrics, *record.missing} != {*task.metrics} or {*record.metrics} & {*record.missing}:
        yield broken("metrics", "are not those of the task, each with a value or a reason")
        return
    for name, value in record.metrics.items():
        low, high = registry.metrics.get(metric_of(name)).bounds
        if not low - _ROUNDING <= value <= high + _ROUNDING:
            yield broken(name, f"is {value:.6g}, outside of its bounds from {low:.6g} to {high:.6g}")
    for field, rule in _relations(record, task, dataset):
        yield broken(field, rule)


def _relations(record: Record, task: Task, dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield broken relations between values on the same points."""
    found = record.metrics
    for name, value in found.items():
        error = found.get(name.replace("accuracy", "error", 1))
        if metric_of(name) == "accuracy" and error is not None and abs(value + error - 1) > _ROUNDING:
            yield name, "does not add up to one with the error"
    # A point that is wrong has at most half of the probability on its class.
    if {"log_loss", "error"} <= set(found) and found["log_loss"] < found["error"] * math.log(2) - _ROUNDING:
        yield "log_loss", "is smaller than the error allows"
    if len(task.variants) == 1:
        try:
            n = len(task.variants[0].apply(dataset.split(record.cell.seed), record.cell.seed).y_test)
        except UnavailableDataError:
            return
        for name in ("accuracy", "error"):
            hits = found.get(name, 0.0) * n
            if abs(hits - round(hits)) > 1e-6:
                yield name, f"is no multiple of 1/{n}, the share of one test point"


@cache
def _fingerprint(task: str) -> str:
    found: Task = registry.tasks.get(task)
    return task_fingerprint(found, registry.datasets.get(found.dataset))
