"""How an entry of the leaderboard is written; what it consists of is said in :mod:`lebench.board.entries`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lebench.board.entries import (
    SHARED,
    Entry,
    EntryError,
    EntryInfo,
    is_entry_name,
    order_of,
    refuse_doubles,
)
from lebench.canonical import digest
from lebench.records import Record

#: Bytes that the recordings of an entry may have together; those that are too many can be checked by running again.
RECORDINGS_LIMIT = 2_000_000


def entry_name(label: str) -> str:
    """Return the folder name of a model's label.

    Examples
    --------
    >>> entry_name("mlp[width=4096,depth=2]")
    'mlp-width4096-depth2'
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", label.lower().replace("=", ""))[:80].strip("-._")
    return name if is_entry_name(name) else f"{name[:73].split('.')[0]}-model"


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
        Files of recordings by the key of their cell; the smallest are kept, as many as have at most
        :data:`RECORDINGS_LIMIT` bytes together.

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
    ordered = tuple(sorted(records, key=order_of))
    if not ordered:
        raise EntryError(f"entry {name!r}: there is no record to write")
    refuse_doubles(ordered, f"entry {name!r}")
    for record in ordered:
        if not record.intact:
            raise EntryError(f"entry {name!r}: the record of {record.cell.task} seed {record.cell.seed} is not sealed")

    shared: dict[str, dict[str, Any]] = {table: {} for table in SHARED.values()}
    lines = []
    for record in ordered:
        document = record.model_dump(mode="json", by_alias=True)
        for field, table in SHARED.items():
            checksum = digest(document[field])
            shared[table][checksum] = document[field]
            document[field] = checksum
        lines.append(json.dumps(document, ensure_ascii=False, separators=(",", ":")))

    target = folder / name
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write(target / "entry.toml", _to_toml(meta.model_dump(mode="json", by_alias=True)))
        _write(target / "environments.json", json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        _write(target / "records.jsonl", "\n".join(lines) + "\n")
        entry = Entry(meta, ordered, target)
        _write_artifacts(entry, arrays or {}, recordings or {})
    except OSError as error:
        raise EntryError(f"cannot write the entry to {target}: {error.strerror}") from error
    return entry


def _write_artifacts(entry: Entry, arrays: Mapping[str, bytes], recordings: Mapping[str, bytes]) -> None:
    seed = min(record.cell.seed for record in entry.records)
    files = {
        entry.artifacts_path(record): arrays.get(record.cell.key, b"")
        for record in entry.records
        if record.cell.seed == seed
    }
    recorded = {entry.recording_path(record): recordings.get(record.cell.key, b"") for record in entry.records}
    room = RECORDINGS_LIMIT
    for path, content in sorted(recorded.items(), key=lambda item: (len(item[1]), item[0])):
        room -= len(content)
        if room >= 0:
            files[path] = content
    files = {path: content for path, content in files.items() if content}
    folder = entry.folder / "artifacts"
    for old in folder.glob("*.npz"):
        if old not in files:
            old.unlink()
    for path, content in files.items():
        folder.mkdir(exist_ok=True)
        path.write_bytes(content)


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
