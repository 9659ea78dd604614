"""Entries of the leaderboard: the records of one model, with who submitted them and how.

An entry is a folder that a person can read in a pull request::

    leaderboard/entries/<name>/
        entry.toml          name, model, authors, links, licence, lebench version, command; the design: backend, and the
                            number of seeds of each task
        records.jsonl       a record a line, sorted by task, seed and cell
        environments.json   each distinct environment and state of the code once, by its sha256
        artifacts/          <cell>.npz, the arrays from which pictures are made, of the first seed's records, and
                            <cell>.recording.npz, what the model answered, from which the score can be computed again
        plugin.py           the model's own code where lebench has none: kept as text, which no check runs; or a folder
                            plugin/ with all that it imports, see lebench.board.entry_plugin
        verification.json   what checks have found, written by maintainers, see lebench.board.verification

In ``records.jsonl`` the fields ``environment`` and ``source`` of a record hold the sha256 of the RFC 8785 form of
the document that stands in ``environments.json``. Put back together, every record has the checksum it was sealed with.
Entries of earlier schemas are read as of today's, see :mod:`lebench.runner.migrations`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from numpy.typing import NDArray
from pydantic import Field, StringConstraints, field_validator

from lebench.artifacts import ArtifactError, unpack
from lebench.board.documents import DocumentError, one_line, parse_json, parse_toml, printable, read_bytes, read_text
from lebench.board.entry_plugin import PLUGIN_PATH
from lebench.canonical import canonical, digest
from lebench.errors import LebenchError
from lebench.records import Artifact, Document, Record
from lebench.runner.current import Current, current
from lebench.runner.migrations import read_record

#: No dot at the end, and no name that a file system or a page of the site has taken.
_NAME = (
    r"(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|index|404|readme|sitemap|robots|search|assets)(?:\.|$))"
    r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9_-])?"
)
#: Bytes that each of an entry's documents, and each file of arrays, may have.
LARGEST = {"entry.toml": 20_000, "environments.json": 1_000_000, "records.jsonl": 10_000_000}
LARGEST_ARTIFACT = 2_000_000
#: Bytes that one environment may have in canonical form. It is part of every record that names it, so that the cost of
#: reading an entry is the product of both.
LARGEST_ENVIRONMENT = 5_000
#: Fields of a record that stand in ``environments.json``, and the tables there.
SHARED = {"environment": "environments", "source": "sources"}


class EntryError(LebenchError):
    """A folder that is not an entry, or no longer the one that was written.

    Attributes
    ----------
    file, field, rule : str
        What is wrong where, if it is in a file that was read; the field may be empty.
    """

    def __init__(self, message: str, file: str = "", field: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.file, self.field, self.rule = file, field, rule


def is_entry_name(name: str) -> bool:
    """Return whether an entry may have a name."""
    return re.fullmatch(_NAME, name) is not None


class EntryInfo(Document):
    """Who submitted an entry, and how it was made: the content of ``entry.toml``.

    Attributes
    ----------
    name : str
        Name of the folder: lower-case letters, digits, ``.``, ``_`` and ``-``.
    model : str
        The model as it was asked for: ``"mlp[width=4096]"``.
    summary : str
        One line.
    authors : list of str
        At least one.
    links : list of str
        Papers and code, as http(s) addresses.
    licence : str
        Of the records, as an SPDX identifier.
    lebench : str
        Version that made the records.
    command : str
        Command that makes them again.
    plugin : str
        Of a model with a folder of code of its own, the file or package in it that ``--plugin`` takes.
    backend : str
        The one on which all records were made.
    seeds : dict of str to int
        The design: by task the number of its seeds, which are 0, 1, ...; each has one record, whatever became of it.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    model: Annotated[str, StringConstraints(min_length=1)]
    summary: str = ""
    authors: Annotated[list[str], Field(min_length=1)]
    links: list[Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"']+$")]] = Field(default=[])
    licence: str = "CC-BY-4.0"
    lebench: str
    command: str
    plugin: str = Field(default="", pattern=f"^({PLUGIN_PATH})?$", exclude_if=lambda path: not path)
    backend: str = Field(default="", exclude_if=lambda backend: not backend)
    seeds: dict[str, Annotated[int, Field(ge=1)]] = Field(default={}, exclude_if=lambda seeds: not seeds)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not is_entry_name(name):
            raise ValueError(
                "a name has at most 80 lower-case letters, digits, '.', '_' and '-', no dot at its end, and is none "
                "that file systems or pages have taken, such as con or index"
            )
        return name


@dataclass(frozen=True)
class Former:
    """Task, key and checksum of a record as it stands in a file, maybe of an earlier schema."""

    task: str
    key: str
    checksum: str


@dataclass(frozen=True)
class Entry:
    """One submitted model.

    Attributes
    ----------
    info : EntryInfo
        Who and how.
    records : tuple of Record
        Sorted by task, seed and cell.
    folder : Path
        Where it stands.
    former : mapping of str to Former
        Of records that were read from an earlier schema, by their key: under what they stand in the folder.
    """

    info: EntryInfo
    records: tuple[Record, ...]
    folder: Path
    former: Mapping[str, Former] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the entry's folder, unique on the board."""
        return self.info.name

    @cached_property
    def current(self) -> Current:
        """Which of its records are current: those that are shown and compared."""
        return current(self.records)

    def artifacts(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the arrays that pictures of one of its records are made from, none if the entry does not hold them.

        Raises
        ------
        EntryError
            If the file is not the one that the record describes.
        """
        return _unpacked(self.artifacts_path(record), record.pictured)

    def recording(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return what the model answered when a record was made, nothing if the entry does not hold it.

        Raises
        ------
        EntryError
            If the file is not the one that the record describes.
        """
        return _unpacked(self.recording_path(record), record.recorded)

    def artifacts_path(self, record: Record) -> Path:
        """Return the file of the arrays that pictures of a record are made from."""
        return self._file(record, ".npz")

    def recording_path(self, record: Record) -> Path:
        """Return the file of a record's recording."""
        return self._file(record, ".recording.npz")

    def stands_as(self, record: Record) -> Former:
        """Return key and checksum of a record as they stand in the entry's files."""
        key = record.cell.key
        return self.former.get(key) or Former(record.cell.task, key, record.checksum)

    def _file(self, record: Record, end: str) -> Path:
        return self.folder / "artifacts" / f"{self.stands_as(record).key[:16]}{end}"


def _unpacked(path: Path, described: Mapping[str, Artifact]) -> dict[str, NDArray[Any]]:
    # A link that leads nowhere is a file that cannot be read, not one that is missing.
    if not described or not os.path.lexists(path):
        return {}
    try:
        return unpack(read_bytes(path, LARGEST_ARTIFACT), described)
    except (ArtifactError, DocumentError) as error:
        raise _wrong(path, "", str(error)) from error


def read_entry(folder: Path) -> Entry:
    """Read the entry in a folder and check every record against its checksum.

    Raises
    ------
    EntryError
        If a file is missing, is not what it should be, or was edited; the message names file and line.
    """
    entry, problems = examine_entry(folder)
    if entry is None:
        raise problems[0]
    return entry


def examine_entry(folder: Path) -> tuple[Entry | None, list[EntryError]]:
    """Return the entry in a folder, or everything for which it cannot be read, in the order of its files.

    Parameters
    ----------
    folder : Path
        Of the entry; what is in it may come from anybody.
    """
    problems: list[EntryError] = []
    info: EntryInfo | None = None
    records: list[Record] = []
    stand: list[tuple[str, int, str]] = []
    former: dict[str, Former] = {}
    shared: dict[str, dict[str, Any]] = {}
    path = folder / "records.jsonl"
    try:
        info = _read_info(folder / "entry.toml")
    except EntryError as error:
        problems.append(error)
    try:
        shared = _read_shared(folder / "environments.json")
        # Not splitlines, which would also break at line separators inside a JSON string.
        lines = _read(path).rstrip("\n").split("\n")
    except EntryError as error:
        problems.append(error)
        lines = []
    for number, line in enumerate(lines, start=1):
        try:
            record, as_read = _read_record(line, shared, path, f"line {number}")
        except EntryError as error:
            problems.append(error)
            continue
        records.append(record)
        stand.append((as_read.task, record.cell.seed, as_read.key))
        if as_read.checksum != record.checksum:
            former[record.cell.key] = as_read
    if not problems:
        try:
            refuse_doubles(records, str(path))
        except EntryError as error:
            problems.append(error)
        if stand != sorted(stand):
            problems.append(
                _wrong(path, "", "the lines are not sorted by task, seed and cell; write the entry with lebench")
            )
    if info is None or problems:
        return None, problems
    return Entry(info, tuple(sorted(records, key=order_of)), folder, former), []


def read_entries(root: Path) -> list[Entry]:
    """Read every entry under a folder, sorted by name; what begins with a dot is none.

    Raises
    ------
    EntryError
        If there is no such folder, or an entry in it cannot be read.
    """
    if not root.is_dir():
        raise EntryError(f"there is no folder {root} with entries")
    return [read_entry(folder) for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name[0] != "."]


def design(records: Iterable[Record]) -> dict[str, int]:
    """Return the number of records of each task, by task: in an entry the number of its seeds."""
    return dict(sorted(Counter(record.cell.task for record in records).items()))


def order_of(record: Record) -> tuple[str, int, str]:
    """Return the key by which the records of an entry are sorted."""
    return record.cell.task, record.cell.seed, record.cell.key


def refuse_doubles(records: Iterable[Record], where: str) -> None:
    """Raise if two records are of the same cell; `where` begins the message."""
    seen: set[str] = set()
    for record in records:
        if record.cell.key in seen:
            rule = f"two records of {record.cell.task} seed {record.cell.seed} are the same cell"
            raise EntryError(f"{where}: {rule}", "records.jsonl", "", rule)
        seen.add(record.cell.key)


def _wrong(path: Path, field: str, rule: str) -> EntryError:
    return EntryError(f"{path}{f' {field}' if field else ''}: {rule}", path.name, field, rule)


def _read_info(path: Path) -> EntryInfo:
    text = _read(path)
    try:
        info = EntryInfo.model_validate(parse_toml(text))
    except ValueError as error:
        raise _wrong(path, "", one_line(error)) from error
    if info.name != path.parent.name:
        raise _wrong(path, "", f"the name is {info.name!r}, but the folder is {path.parent.name!r}")
    return info


def _read_shared(path: Path) -> dict[str, dict[str, Any]]:
    text = _read(path)
    try:
        tables = parse_json(text)
        shared = {field: dict(tables[table]) for field, table in SHARED.items()}
        for documents in shared.values():
            for name, document in documents.items():
                content = canonical(document)
                if len(content) > LARGEST_ENVIRONMENT:
                    rule = f"has {len(content):,} bytes, at most {LARGEST_ENVIRONMENT:,} are allowed"
                    raise _wrong(path, "", f"the document under {printable(str(name), 12)} {rule}")
                if hashlib.sha256(content).hexdigest() != name:
                    raise _wrong(path, "", f"the document under {name[:12]}… is not the one with this checksum")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _wrong(path, "", f"not a table of environments and sources ({one_line(error)})") from error
    return shared


def _read_record(line: str, shared: dict[str, dict[str, Any]], path: Path, field: str) -> tuple[Record, Former]:
    """Return the record of a line, and task, key and checksum that it has there."""
    try:
        document = parse_json(line)
        for name, documents in shared.items():
            document[name] = documents[document[name]]
        record = read_record(document)
        cell = document["cell"]
        return record, Former(cell["task"], digest(cell), str(document["checksum"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _wrong(path, field, f"not a record of this version ({one_line(error)})") from error
    except LebenchError as error:
        raise _wrong(path, field, str(error)) from error


def _read(path: Path) -> str:
    try:
        return read_text(path, LARGEST[path.name])
    except DocumentError as error:
        raise EntryError(f"{path} {error}", path.name, "", str(error)) from error
