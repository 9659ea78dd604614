"""Where records are kept: a folder to which is only added.

::

    results/
        records/<writer>.jsonl   a record a line, see lebench.runner.record_files
        arrays/<sha256>.npz      arrays of records: what pictures are made from, and what the model answered
        logs/<sha256>.log        why a cell failed, in full, by the checksum of its record
        index.sqlite             may be deleted
        claims                   empty; its bytes are locked by who computes a cell, see lebench.runner.claims

A writer is a process. Its name is random, and its file is never changed after it has ended, so that folders are merged
by copying one over the other, in any order. Arrays are named by the sha256 of what their record says of them, which
holds the sha256 of each.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from lebench.canonical import canonical, digest
from lebench.errors import LebenchError, LebenchWarning
from lebench.records import Artifact, Cell, Record
from lebench.runner.record_files import (
    ARRAYS,
    CLAIMS,
    LOGS,
    RECORDS,
    Index,
    RecordError,
    Writer,
    parsed,
    write_whole,
)


class RecordWarning(LebenchWarning):
    """A record cannot be used and is ignored."""


class Store:
    """The records in a folder.

    Any number of processes may write to one folder. Folders of schema 1, which have a file a record, are read too.

    Parameters
    ----------
    folder : path
        It need not exist; :meth:`prepare` makes it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: Writer | None = None
        self._index: Index | None = None

    def prepare(self) -> None:
        """Make the folder and check that it can be written to.

        Raises
        ------
        LebenchError
            If it cannot.
        """
        try:
            (self.folder / RECORDS).mkdir(parents=True, exist_ok=True)
            (self.folder / CLAIMS).touch()
            if not os.access(self.folder / RECORDS, os.W_OK):
                raise PermissionError(0, "Permission denied")
        except OSError as error:
            raise LebenchError(
                f"cannot write to the results folder {str(self.folder)!r}: {error.strerror or error}; choose another"
            ) from error

    def put(self, record: Record, log: str = "", arrays: bytes = b"", recording: bytes = b"") -> None:
        """Append a sealed record; its arrays and the log of its failure come first, so that it never lacks them.

        Parameters
        ----------
        record : Record
            Sealed.
        log : str, optional
            Traceback and output.
        arrays, recording : bytes, optional
            Contents of the files of its artifacts, see :mod:`lebench.artifacts`: what pictures are made from, and the
            recording.

        Raises
        ------
        LebenchError
            If the folder cannot be written to; nothing half-written stays.
        """
        document = record.model_dump(mode="json", by_alias=True)
        self.put_line(record, canonical(document) + b"\n", log.encode(errors="backslashreplace"), arrays, recording)

    def put_line(self, record: Record, line: bytes, log: bytes, arrays: bytes, recording: bytes) -> None:
        """Append the record of a line, of this schema or an earlier one, as :meth:`put` does."""
        try:
            for content, described in ((arrays, record.pictured), (recording, record.recorded)):
                if content:
                    self._add(self._arrays_path(described), content)
            if log:
                self._add(self.log_path(record), log)
            self._append(line)
        except OSError as error:
            what = f"{record.label} on {record.cell.task}, seed {record.cell.seed}"
            raise LebenchError(
                f"cannot write the record of {what} into {str(self.folder)!r}: {error.strerror or error}"
            ) from error

    def _append(self, line: bytes) -> None:
        if self._writer is None or self._writer.process != os.getpid():
            (self.folder / RECORDS).mkdir(parents=True, exist_ok=True)
            self._writer = Writer(self.folder / RECORDS)
        writer, self._writer = self._writer, None
        writer.append(line)
        self._writer = writer

    def sync(self) -> None:
        """Force to the disk what was put."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.sync()

    def has(self, cell: Cell) -> bool:
        """Return whether the outcome of a cell is known: a failure is not, it is tried again."""
        return bool(self.known([cell.key]))

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those keys of cells whose outcome is known, see :meth:`has`, to any process that writes here."""
        index = self._refreshed()
        return {key for key in keys if index.known(key)}

    def checksums(self, keys: Iterable[str]) -> dict[str, set[str]]:
        """Return the checksums of all records of some cells, by their keys."""
        index = self._refreshed()
        return {key: index.checksums(key) for key in keys}

    def count(self) -> int:
        """Return the number of records, each counted once."""
        return self._refreshed().count()

    def labels(self) -> list[str]:
        """Return the labels of all records, sorted.

        Raises
        ------
        LebenchError
            If there is no such folder.
        """
        self._require()
        return self._refreshed().labels()

    def load(self, labels: Iterable[str] | None = None, keys: Iterable[str] | None = None) -> list[Record]:
        """Return records, each once, sorted by what they are of; lines that are none are named in a warning.

        Parameters
        ----------
        labels : iterable of str, optional
            Only those of cells which have a record with one of these labels.
        keys : iterable of str, optional
            Only those of cells with these keys.

        Raises
        ------
        LebenchError
            If there is no such folder.
        """
        self._require()
        index = self._refreshed()
        field, values = ("label", labels) if labels is not None else ("key", keys) if keys is not None else ("", ())
        found: dict[str, Record] = {}
        # Records have no cycles, in search of which the collector would go through all of them again and again.
        collects = gc.isenabled()
        gc.disable()
        try:
            for file, line in index.lines(field, values or ()):
                try:
                    record = parsed(line)
                    found[record.checksum] = record
                except RecordError as error:
                    _warn(index.problem(file, [0], str(error)))
        finally:
            if collects:
                gc.enable()
        return sorted(found.values(), key=_order)

    def artifacts(self, record: Record) -> bytes:
        """Return the content of the file of a record's arrays for pictures, empty if it is not there."""
        return self._content(record, record.pictured, ".npz")

    def recording(self, record: Record) -> bytes:
        """Return the content of the file of a record's recording, empty if it is not there."""
        return self._content(record, record.recorded, ".recording.npz")

    def log(self, record: Record) -> bytes:
        """Return why a cell failed in full, empty if it is not there."""
        with suppress(OSError):
            return self.log_path(record).read_bytes()
        return self._beside(record, ".log")

    def of_own_files(self) -> Iterator[tuple[Record, bytes]]:
        """Yield the records of schema 1, each of which has a file of its own, and what stands there."""
        for file, line in self._refreshed().lines():
            if not file.startswith(RECORDS):
                with suppress(RecordError):
                    yield parsed(line), line

    def log_path(self, record: Record) -> Path:
        """Return the file that says in full why a cell failed."""
        return self.folder / LOGS / f"{record.checksum}.log"

    def _arrays_path(self, described: Mapping[str, Artifact]) -> Path:
        return self.folder / ARRAYS / f"{digest({n: a.model_dump(mode='json') for n, a in described.items()})}.npz"

    def _add(self, path: Path, content: bytes) -> None:
        # A file that was damaged is written anew.
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)

    def _content(self, record: Record, described: Mapping[str, Artifact], suffix: str) -> bytes:
        if not described:
            return b""
        with suppress(OSError):
            return self._arrays_path(described).read_bytes()
        return self._beside(record, suffix)

    def _beside(self, record: Record, suffix: str) -> bytes:
        """Return the content of a file beside a record of schema 1, which has a file of its own."""
        for file, line in self._refreshed().lines("key", [record.cell.key]):
            if not file.startswith(RECORDS):
                with suppress(OSError, RecordError):
                    if parsed(line).artifacts == record.artifacts:
                        return (self.folder / file).with_suffix(suffix).read_bytes()
        return b""

    def _require(self) -> None:
        if not self.folder.is_dir():
            raise LebenchError(f"there are no results in {str(self.folder)!r}; 'lebench run' makes some")

    def _refreshed(self) -> Index:
        if self._index is None:
            self._index = Index(self.folder)
        if self.folder.is_dir():
            for problem in self._index.refresh():
                _warn(problem)
        return self._index


def _warn(problem: str) -> None:
    warnings.warn(problem, RecordWarning, stacklevel=4)


def _order(record: Record) -> tuple[object, ...]:
    cell = record.cell
    return (cell.task, record.label, cell.backend, cell.precision, cell.seed, record.run.finished, record.checksum)
