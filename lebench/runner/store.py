"""Where records are kept: one readable JSON file a cell, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from lebench.errors import LebenchError, LebenchWarning
from lebench.records import SCHEMA, Cell, Record
from lebench.runner.environment import lebench_version

MARKER = "lebench.json"
_LABEL_LENGTH = 80


class RecordWarning(LebenchWarning):
    """A record's file cannot be used and is ignored."""


class Store:
    """The records in a folder.

    Any number of processes may write to one folder: a file is complete from the moment it has its name.
    There is at most one record of a (task, model, backend, seed) in it, that of the code that ran last.

    Parameters
    ----------
    folder : path
        It need not exist; :meth:`prepare` makes it.

    Raises
    ------
    LebenchError
        If the folder was written with another version of the schema.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._check_marker()

    def prepare(self) -> None:
        """Make the folder and check that it can be written to.

        Raises
        ------
        LebenchError
            If it cannot.
        """
        marker = {"schema": SCHEMA, "lebench": lebench_version()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / MARKER, (json.dumps(marker) + "\n").encode())
        except OSError as error:
            raise LebenchError(
                f"cannot write to the results folder {str(self.folder)!r}: {error.strerror or error}; choose another"
            ) from error

    def path(self, cell: Cell, label: str) -> Path:
        """Return the file of a cell; `label` is the model as a reader writes it."""
        slug = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", label).strip("-")[:_LABEL_LENGTH]
        task = Path(*(re.sub(r"[^A-Za-z0-9._=,+-]+", "-", part).strip(".") or "-" for part in cell.task.split("/")))
        return self.folder / task / f"{slug}@{cell.backend}" / f"seed-{cell.seed}-{cell.key[:12]}.json"

    def log_path(self, cell: Cell, label: str) -> Path:
        """Return the file that says in full why a cell failed, next to its record."""
        return self.path(cell, label).with_suffix(".log")

    def has(self, cell: Cell, label: str) -> bool:
        """Return whether the outcome of a cell is known: a failure is not, it is tried again."""
        path = self.path(cell, label)
        record = self._read(path) if path.exists() else None
        return record is not None and record.cell == cell and record.status in ("ok", "skipped")

    def artifacts_path(self, cell: Cell, label: str) -> Path:
        """Return the file of the arrays that pictures of a cell are made from, next to its record."""
        return self.path(cell, label).with_suffix(".npz")

    def recording_path(self, cell: Cell, label: str) -> Path:
        """Return the file of a cell's recording, see :mod:`lebench.runner.recording`, next to its record."""
        return self.path(cell, label).with_suffix(".recording.npz")

    def artifacts(self, record: Record) -> bytes:
        """Return the content of the file of a record's arrays for pictures, empty if it is not there."""
        return _content(self.artifacts_path(record.cell, record.label)) if record.pictured else b""

    def recording(self, record: Record) -> bytes:
        """Return the content of the file of a record's recording, empty if it is not there."""
        return _content(self.recording_path(record.cell, record.label)) if record.recorded else b""

    def put(self, record: Record, log: str = "", arrays: bytes = b"", recording: bytes = b"") -> Path:
        """Write a sealed record, the log of a failure and its arrays, in place of what an earlier run left.

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
            If the folder cannot be written to.
        """
        path = self.path(record.cell, record.label)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = {
                path.with_suffix(".log"): log.encode(),
                path.with_suffix(".npz"): arrays,
                path.with_suffix(".recording.npz"): recording,
            }
            for file, content in beside.items():
                if content:
                    _write(file, content)
            _write(path, (record.to_json() + "\n").encode())
            kept = {path, *(file for file, content in beside.items() if content)}
            for old in set(path.parent.glob(f"seed-{record.cell.seed}-*.*")) - kept:
                if old.suffix in (".json", ".log", ".npz"):
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise LebenchError(f"cannot write the record {str(path)!r}: {error.strerror or error}") from error
        return path

    def load(self) -> list[Record]:
        """Return all records, sorted by path; files that cannot be used are named in a warning and left out.

        Raises
        ------
        LebenchError
            If there is no such folder.
        """
        if not self.folder.is_dir():
            raise LebenchError(f"there are no results in {str(self.folder)!r}; 'lebench run' makes some")
        return list(self._records())

    def _records(self) -> Iterator[Record]:
        for path in sorted(self.folder.rglob("seed-*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def _read(self, path: Path) -> Record | None:
        try:
            record = Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            # Another process has just replaced it.
            return None
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            reason = f"{where}: {problem['msg']}" if where else problem["msg"]
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            if record.schema_version != SCHEMA:
                reason = f"it has schema {record.schema_version}, not {SCHEMA}"
            elif not record.intact:
                reason = "its checksum does not fit its content: it was edited"
            elif path != self.path(record.cell, record.label):
                reason = "it is the record of another cell"
            else:
                return record
        warnings.warn(f"record {str(path)!r} is ignored: {reason}", RecordWarning, stacklevel=3)
        return None

    def _check_marker(self) -> None:
        marker = self.folder / MARKER
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
            schema, writer = content["schema"], content["lebench"]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise LebenchError(f"cannot read {str(marker)!r}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LebenchError(f"{str(marker)!r} is damaged; restore it or choose another results folder") from error
        if schema != SCHEMA:
            raise LebenchError(
                f"the results folder {str(self.folder)!r} has schema {schema} of lebench {writer}, this is schema "
                f"{SCHEMA} of lebench {lebench_version()}; choose another folder or use that version"
            )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _write(path: Path, content: bytes) -> None:
    """Give a file its content in one step: who reads it sees the old or the new one, also after a power cut."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    # The system call that reads the mask also sets it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
