"""Entries of the leaderboard: the records of one model, with who submitted them and how.

An entry is a folder that a person can read in a pull request::

    leaderboard/entries/<name>/
        entry.toml          name, model, authors, links, licence, lebench version, command
        records.jsonl       a record a line, sorted by task, seed and cell
        environments.json   each distinct environment and state of the code once, by its sha256
        artifacts/          of the first seed's records: <cell>.npz, the arrays from which pictures are made, and
                            <cell>.recording.npz, what the model answered, from which the score can be computed again
        plugin.py           the model's own code where lebench has none: kept as text, which no check runs
        verification.json   what checks have found, written by maintainers, see :mod:`lebench.board.verification`

In ``records.jsonl`` the fields ``environment`` and ``source`` of a record hold the sha256 of the RFC 8785 form of
the document that stands in ``environments.json``. Put back together, every record has the checksum it was sealed with.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import rfc8785
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, ValidationError

from lebench.artifacts import ArtifactError, unpack
from lebench.errors import LebenchError
from lebench.records import Artifact, Document, Record

_NAME = r"[a-z0-9][a-z0-9._-]{0,79}"
#: Bytes that the recordings of an entry may have together; those that are too many can be checked by running again.
RECORDINGS_LIMIT = 800_000
#: The file of a model's own code, and the bytes that it may have.
PLUGIN, PLUGIN_LIMIT = "plugin.py", 100_000
_SHARED = {"environment": "environments", "source": "sources"}


class EntryError(LebenchError):
    """A folder that is not an entry, or no longer the one that was written."""


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
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
    model: Annotated[str, StringConstraints(min_length=1)]
    summary: str = ""
    authors: Annotated[list[str], Field(min_length=1)]
    links: list[Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"']+$")]] = Field(default=[])
    licence: str = "CC-BY-4.0"
    lebench: str
    command: str


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
    """

    info: EntryInfo
    records: tuple[Record, ...]
    folder: Path

    @property
    def name(self) -> str:
        """Name of the entry's folder, unique on the board."""
        return self.info.name

    def artifacts(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the arrays that pictures of one of its records are made from, none if the entry does not hold them.

        Raises
        ------
        EntryError
            If the file is not the one that the record describes.
        """
        return _unpacked(artifacts_path(self.folder, record), record.pictured)

    def recording(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return what the model answered when a record was made, nothing if the entry does not hold it.

        Raises
        ------
        EntryError
            If the file is not the one that the record describes.
        """
        return _unpacked(recording_path(self.folder, record), record.recorded)


def _unpacked(path: Path, described: Mapping[str, Artifact]) -> dict[str, NDArray[Any]]:
    if not described or not path.is_file():
        return {}
    try:
        return unpack(path.read_bytes(), described)
    except (ArtifactError, OSError) as error:
        raise EntryError(f"{path}: {error}") from error


def artifacts_path(folder: Path, record: Record) -> Path:
    """Return the file of a record's arrays for pictures in an entry's folder."""
    return folder / "artifacts" / f"{record.cell.key[:16]}.npz"


def recording_path(folder: Path, record: Record) -> Path:
    """Return the file of a record's recording in an entry's folder."""
    return folder / "artifacts" / f"{record.cell.key[:16]}.recording.npz"


def entry_name(label: str) -> str:
    """Return the folder name of a model's label.

    Examples
    --------
    >>> entry_name("mlp[width=4096,depth=2]")
    'mlp-width4096-depth2'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", label.lower().replace("=", "")).strip("-._")[:80]


def write_entry(
    folder: Path,
    name: str,
    records: Iterable[Record],
    meta: EntryInfo,
    arrays: Mapping[str, bytes] | None = None,
    recordings: Mapping[str, bytes] | None = None,
) -> Entry:
    """Write an entry so that writing the same records again changes no byte.

    Parameters
    ----------
    folder : Path
        Folder of all entries; the entry becomes its subfolder `name`.
    name : str
        The entry's name, the same as ``meta.name``.
    records : iterable of Record
        Sealed records, at most one for each cell.
    meta : EntryInfo
        Who and how.
    arrays : mapping of str to bytes, optional
        Files of arrays for pictures by the key of their cell; those of the first seed are kept.
    recordings : mapping of str to bytes, optional
        Files of recordings by the key of their cell; those of the first seed are kept, the smallest first, as long as
        they have at most :data:`RECORDINGS_LIMIT` bytes together.

    Returns
    -------
    Entry
        As it was written.

    Raises
    ------
    EntryError
        If there is no record, a cell is there twice, a record is not sealed, or the names differ.
    """
    if meta.name != name:
        raise EntryError(f"entry {name!r}: its description is named {meta.name!r}")
    ordered = tuple(sorted(records, key=_order))
    if not ordered:
        raise EntryError(f"entry {name!r}: there is no record to write")
    _refuse_doubles(ordered, f"entry {name!r}")
    for record in ordered:
        if not record.intact:
            raise EntryError(f"entry {name!r}: the record of {record.cell.task} seed {record.cell.seed} is not sealed")

    shared: dict[str, dict[str, Any]] = {table: {} for table in _SHARED.values()}
    lines = []
    for record in ordered:
        document = record.model_dump(mode="json", by_alias=True)
        for field, table in _SHARED.items():
            digest = hashlib.sha256(rfc8785.dumps(document[field])).hexdigest()
            shared[table][digest] = document[field]
            document[field] = digest
        lines.append(json.dumps(document, ensure_ascii=False, separators=(",", ":")))

    target = folder / name
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write(target / "entry.toml", _to_toml(meta.model_dump(mode="json", by_alias=True)))
        _write(target / "environments.json", json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        _write(target / "records.jsonl", "\n".join(lines) + "\n")
        _write_artifacts(target, ordered, arrays or {}, recordings or {})
    except OSError as error:
        raise EntryError(f"cannot write the entry to {target}: {error.strerror}") from error
    return Entry(meta, ordered, target)


def _write_artifacts(
    target: Path, records: Sequence[Record], arrays: Mapping[str, bytes], recordings: Mapping[str, bytes]
) -> None:
    seed = min(record.cell.seed for record in records)
    first = [record for record in records if record.cell.seed == seed]
    files = {artifacts_path(target, record): arrays.get(record.cell.key, b"") for record in first}
    recorded = {recording_path(target, record): recordings.get(record.cell.key, b"") for record in first}
    room = RECORDINGS_LIMIT
    for path, content in sorted(recorded.items(), key=lambda item: (len(item[1]), item[0])):
        room -= len(content)
        if room >= 0:
            files[path] = content
    files = {path: content for path, content in files.items() if content}
    folder = target / "artifacts"
    for old in folder.glob("*.npz"):
        if old not in files:
            old.unlink()
    for path, content in files.items():
        folder.mkdir(exist_ok=True)
        path.write_bytes(content)


def read_entry(folder: Path) -> Entry:
    """Read the entry in a folder and check every record against its checksum.

    Raises
    ------
    EntryError
        If a file is missing, is not what it should be, or was edited; the message names file and line.
    """
    info = _read_info(folder / "entry.toml")
    if info.name != folder.name:
        raise EntryError(f"{folder / 'entry.toml'}: the name is {info.name!r}, but the folder is {folder.name!r}")
    shared = _read_shared(folder / "environments.json")
    path = folder / "records.jsonl"
    # Not splitlines, which would also break at line separators inside a JSON string.
    lines = _text(path).rstrip("\n").split("\n")
    records = tuple(_read_record(line, shared, f"{path} line {number}") for number, line in enumerate(lines, start=1))
    _refuse_doubles(records, str(path))
    if list(records) != sorted(records, key=_order):
        raise EntryError(f"{path}: the lines are not sorted by task, seed and cell; write the entry with lebench")
    return Entry(info, records, folder)


def read_entries(root: Path) -> list[Entry]:
    """Read every entry under a folder, sorted by name.

    Raises
    ------
    EntryError
        If there is no such folder, or an entry in it cannot be read.
    """
    if not root.is_dir():
        raise EntryError(f"there is no folder {root} with entries")
    return [read_entry(folder) for folder in sorted(root.iterdir()) if folder.is_dir()]


def _order(record: Record) -> tuple[str, int, str]:
    return record.cell.task, record.cell.seed, record.cell.key


def _refuse_doubles(records: Iterable[Record], where: str) -> None:
    seen: set[str] = set()
    for record in records:
        if record.cell.key in seen:
            raise EntryError(f"{where}: two records of {record.cell.task} seed {record.cell.seed} are the same cell")
        seen.add(record.cell.key)


def _read_info(path: Path) -> EntryInfo:
    try:
        return EntryInfo.model_validate(tomllib.loads(_text(path)))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise EntryError(f"{path}: {_one_line(error)}") from error


def _read_shared(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = json.loads(_text(path))
        shared = {field: dict(tables[table]) for field, table in _SHARED.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise EntryError(f"{path}: not a table of environments and sources ({_one_line(error)})") from error
    for documents in shared.values():
        for digest, document in documents.items():
            if hashlib.sha256(rfc8785.dumps(document)).hexdigest() != digest:
                raise EntryError(f"{path}: the document under {digest[:12]}… is not the one with this checksum")
    return shared


def _read_record(line: str, shared: dict[str, dict[str, Any]], where: str) -> Record:
    try:
        document = json.loads(line)
        for field, documents in shared.items():
            document[field] = documents[document[field]]
        record = Record.model_validate(document)
    except (ValueError, KeyError, TypeError) as error:
        raise EntryError(f"{where}: not a record of this version ({_one_line(error)})") from error
    if not record.intact:
        raise EntryError(f"{where}: the checksum does not match, so the record was edited; run the cell again")
    return record


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error).split("\n", 1)[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EntryError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _to_toml(document: dict[str, Any]) -> str:
    # A JSON string, number or array of strings is TOML as well, once DEL is escaped.
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
        for key, value in document.items()
    )
