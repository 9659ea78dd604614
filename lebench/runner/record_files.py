"""The files of a results folder that hold records, and an index of what stands where in them.

A file of records is only ever appended to, by the one process that made it, a sealed record in canonical form
(RFC 8785) a line. The index is a database that any reader writes and anybody may delete: of each file it holds the
size and time of change that it had, and is made anew for those that have others.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from lebench.canonical import canonical, digest
from lebench.errors import LebenchError
from lebench.records import SCHEMA, Record
from lebench.runner.migrations import earlier_names, read_record, renamed

#: Folders of records, of their arrays and of the logs of failures; the index; the file whose bytes are locked.
RECORDS, ARRAYS, LOGS, INDEX, CLAIMS = "records", "arrays", "logs", "index.sqlite", "claims"
#: Seconds after which what was appended is forced to the disk. A process that is killed loses nothing; a machine that
#: loses its power loses what it recorded in that time.
SYNC_S = 1.0
#: Bytes of new records that are worth writing an index for.
_WORTHWHILE = 1_000_000
#: Raised whenever the tables or what stands in them changes, so that an old index is thrown away.
_VERSION = 100 * SCHEMA + 2
_TABLES = """
CREATE TABLE files (name TEXT PRIMARY KEY, size INT, changed INT, end INT, lines INT);
CREATE TABLE records (file TEXT, start INT, length INT, key TEXT, checksum TEXT, label TEXT, task TEXT, status TEXT);
CREATE TABLE problems (file TEXT, line INT, reason TEXT, PRIMARY KEY (file, line));
CREATE INDEX by_key ON records (key);
CREATE INDEX by_label ON records (label);
"""
_CHECKSUM, _CELL = b'"checksum":"', b'"cell":{'


class RecordError(ValueError):
    """A line that is no record of this version; the message says why."""


def checked(line: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the document in a line, and the canonical form of its cell.

    Raises
    ------
    RecordError
        If it is none, of a newer schema, or not what was sealed.
    """
    try:
        document = from_json(line)
        schema, checksum = document["schema"], document["checksum"]
    except (ValueError, KeyError, TypeError):
        raise RecordError("it is no record, or was cut off") from None
    if type(schema) is not int or schema < 1:
        raise RecordError("it is no record")
    if schema > SCHEMA:
        raise RecordError(f"it has schema {schema}, and this version reads up to {SCHEMA}: upgrade lebench")
    if cell := _sealed_cell(line):
        return document, cell
    rest = {name: part for name, part in document.items() if name != "checksum"}
    try:
        if digest(rest) == checksum:
            return document, canonical(document.get("cell"))
    except ValueError:
        pass
    raise RecordError("its checksum does not fit its content: it was edited")


def parsed(line: bytes) -> Record:
    """Return the record in a line.

    Raises
    ------
    RecordError
        If there is none.
    """
    with suppress(ValidationError):
        if _sealed_cell(line):
            return renamed(Record.model_validate_json(line))
    document, _ = checked(line)
    try:
        return read_record(document)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RecordError(f"{where}: {problem['msg']}") from None
    except (ValueError, LebenchError) as error:
        raise RecordError(str(error)) from None


def _sealed_cell(line: bytes) -> bytes:
    """Return the canonical form of the cell of a line that is in canonical form and as it was sealed, else nothing."""
    start = line.find(_CHECKSUM)
    end = start + len(_CHECKSUM) + 64
    # What the checksum was taken of is the line without it and the comma behind it; the cell stands before it.
    rest = line[:start] + line[end + len('",') :].rstrip(b"\n")
    if start < 0 or hashlib.sha256(rest).hexdigest().encode() != line[end - 64 : end]:
        return b""
    return line[line.rfind(_CELL, 0, start) + len(_CELL) - 1 : start - 1]


class Writer:
    """The file of records of one process, made with its first record.

    Parameters
    ----------
    folder : Path
        Folder of the files of records; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.process = os.getpid()
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Append a line, whole or not at all.

        Raises
        ------
        OSError
            If there is no room for it; the writer must not be used any more.
        """
        size = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            os.close(self._file)
            if size == 0:
                self.path.unlink(missing_ok=True)
            raise
        if time.monotonic() - self._synced > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Force what was appended to the disk."""
        os.fsync(self._file)
        self._synced = time.monotonic()


class Index:
    """What stands where in the files of records of a folder.

    Parameters
    ----------
    folder : Path
        The results folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsaved = 0
        self._database = _restored(folder / INDEX)
        self._told: set[tuple[str, int]] = set()
        # Between two processes only a file that has not changed at all is the one that is known; of one that this
        # process has read, what is new was appended.
        self._seen: set[str] = set()

    def refresh(self) -> list[str]:
        """Read what is new in the folder, and return what cannot be used, each line once."""
        known = {name: state for name, *state in self._database.execute("SELECT * FROM files")}
        for name, path in self._files():
            try:
                state = path.stat()
                size, changed, end, lines = known.pop(name, (0, 0, 0, 0))
                if (size, changed) != (state.st_size, state.st_mtime_ns):
                    if name not in self._seen or size > state.st_size:
                        self._forget(name)
                        end = lines = 0
                    self._scan(name, path, state, end, lines)
            except FileNotFoundError:
                # Another process has just removed a file in which nothing was.
                continue
            except OSError as error:
                self._note(name, 0, error.strerror or str(error))
            self._seen.add(name)
        for name in known:
            self._forget(name)
        if self._unsaved > _WORTHWHILE:
            # Where the folder cannot be written to, the next reader scans it too.
            with suppress(OSError):
                write_whole(self._folder / INDEX, self._database.serialize())
            self._unsaved = 0
        return self._new_problems()

    def known(self, key: str) -> bool:
        """Return whether a cell has an outcome that is no failure."""
        asked = "SELECT 1 FROM records WHERE key = ? AND status IN ('ok', 'skipped') LIMIT 1"
        return self._database.execute(asked, (key,)).fetchone() is not None

    def checksums(self, key: str) -> set[str]:
        """Return the checksums of the records of a cell."""
        return {found for (found,) in self._database.execute("SELECT checksum FROM records WHERE key = ?", (key,))}

    def count(self) -> int:
        """Return the number of records, each counted once."""
        (number,) = self._database.execute("SELECT COUNT(DISTINCT checksum) FROM records").fetchone()
        return int(number)

    def labels(self) -> list[str]:
        """Return the labels of all records, sorted."""
        return [label for (label,) in self._database.execute("SELECT DISTINCT label FROM records ORDER BY label")]

    def lines(self, field: str = "", values: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
        """Yield files and lines of all records, or of those of the cells that have a record with one of some values.

        Parameters
        ----------
        field : {"", "key", "label"}
            What is asked for, all records if empty.
        values : iterable of str
            Its values.
        """
        asked = "SELECT file, start, length FROM records"
        if field:
            self._database.execute("CREATE TEMP TABLE IF NOT EXISTS asked (value TEXT PRIMARY KEY)")
            self._database.execute("DELETE FROM asked")
            self._database.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((value,) for value in values))
            asked += f" WHERE key IN (SELECT key FROM records JOIN asked ON {field} = value)"
        name, handle = "", None
        try:
            for file, start, length in self._database.execute(f"{asked} ORDER BY file, start").fetchall():
                if file != name:
                    if handle is not None:
                        handle.close()
                    name, handle = file, (self._folder / file).open("rb")
                assert handle is not None
                handle.seek(start)
                yield file, handle.read(length)
        finally:
            if handle is not None:
                handle.close()

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files of records by name: those that are appended to, and those of schema 1, one a record."""
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._folder / RECORDS):
                if entry.name.endswith(".jsonl"):
                    yield f"{RECORDS}/{entry.name}", Path(entry.path)
        for child in self._folder.iterdir():
            if child.name not in (RECORDS, ARRAYS, LOGS) and child.is_dir():
                for path in child.rglob("seed-*.json"):
                    yield path.relative_to(self._folder).as_posix(), path

    def _scan(self, name: str, path: Path, state: os.stat_result, end: int, lines: int) -> None:
        """Take up the lines of a file from some byte on."""
        # What was noted beyond was half of a line that may be whole by now.
        self._database.execute("DELETE FROM problems WHERE file = ? AND (line > ? OR line = 0)", (name, lines))
        rows: list[tuple[object, ...]] = []
        with path.open("rb") as file:
            file.seek(end)
            for line in file:
                if name.startswith(RECORDS) and not line.endswith(b"\n"):
                    self._note(name, lines + 1, "it was cut off, its writer killed or its copy broken off")
                    break
                lines += 1
                try:
                    key, record = _described(line)
                    fields = (record["checksum"], record["label"], record["cell"]["task"], record["status"])
                    rows.append((name, end, len(line), key, *fields))
                except RecordError as error:
                    self._note(name, lines, str(error))
                end += len(line)
                self._unsaved += len(line)
        self._database.executemany(f"INSERT INTO records VALUES ({','.join('?' * 8)})", rows)
        known = (name, state.st_size, state.st_mtime_ns, end, lines)
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", known)
        self._database.commit()

    def _forget(self, name: str) -> None:
        for table, column in (("files", "name"), ("records", "file"), ("problems", "file")):
            self._database.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))

    def _note(self, name: str, line: int, reason: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO problems VALUES (?, ?, ?)", (name, line, reason))

    def _new_problems(self) -> list[str]:
        """Return what was not told yet: a line for each file and reason."""
        found: dict[tuple[str, str], list[int]] = {}
        for file, line, reason in self._database.execute("SELECT * FROM problems ORDER BY file, line"):
            if (file, line) not in self._told:
                self._told.add((file, line))
                found.setdefault((file, reason), []).append(line)
        return [self.problem(file, lines, reason) for (file, reason), lines in found.items()]

    def problem(self, file: str, lines: list[int], reason: str) -> str:
        """Return a sentence on lines of a file that are ignored."""
        path = self._folder / file
        if not file.startswith(RECORDS) or not any(lines):
            return f"record {str(path)!r} is ignored: {reason}"
        more = f" and {len(lines) - 1} others" if len(lines) > 1 else ""
        return f"line {lines[0]}{more} of {str(path)!r} is ignored: {reason}"


def _described(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return the key of the cell of a line's record, and the record as a document, not validated.

    Raises
    ------
    RecordError
        If it is no record.
    """
    document, identity = checked(line)
    cell = document.get("cell")
    if not isinstance(cell, dict):
        raise RecordError("it is no record")
    if document["schema"] != SCHEMA or cell.get("task") in earlier_names():
        record = parsed(line)
        return record.cell.key, record.model_dump(mode="json", by_alias=True)
    texts = (document.get("label"), document.get("status"), cell.get("task"))
    if not all(isinstance(text, str) for text in texts):
        raise RecordError("it is no record")
    return hashlib.sha256(identity).hexdigest(), document


def _restored(path: Path) -> sqlite3.Connection:
    """Return the index as it was written, or an empty one; it lives in memory, so that nobody waits for a lock."""
    # A store may be used by the threads of a program one after the other.
    database = sqlite3.connect(":memory:", check_same_thread=False)
    # It says of an empty file that there is no memory.
    with suppress(OSError, sqlite3.Error, MemoryError):
        database.deserialize(path.read_bytes())
        whole = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        if whole and database.execute("PRAGMA user_version").fetchone() == (_VERSION,):
            return database
    database.close()
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
    return database


def write_whole(path: Path, content: bytes) -> None:
    """Give a file its content in one step: who reads it sees the old or the new one, and no half of it stays."""
    descriptor, draft = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _umask() -> int:
    # The system call that reads the mask also sets it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
