"""How an entry of the leaderboard is written; what it consists of is said in :mod:`lebench.board.entries`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lebench.board.entries import (
    LARGEST,
    SHARED,
    Entry,
    EntryError,
    EntryInfo,
    design,
    is_entry_name,
    order_of,
    refuse_doubles,
)
from lebench.canonical import digest
from lebench.records import Record

#: Bytes that an entry may have, and the recording of a record; what is not kept can be checked by running again.
LARGEST_ENTRY, LARGEST_RECORDING = 3_000_000, 100_000


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
        Who and how; the design is that of the records.
    arrays : mapping of str to bytes, optional
        Files of arrays for pictures by the key of their cell; those of the first seed are kept.
    recordings : mapping of str to bytes, optional
        Files of recordings by the key of their cell. That of the first seed of each task comes first, so that every
        value can be computed again for one seed; then the other seeds in their order, as many as fit.

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

    meta = meta.model_copy(update={"backend": ordered[0].cell.backend, "seeds": design(ordered)})
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
        write_description(target, meta)
        _write(target / "environments.json", json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        _write(target / "records.jsonl", "\n".join(lines) + "\n")
        entry = Entry(meta, ordered, target)
        _write_artifacts(entry, arrays or {}, recordings or {})
    except OSError as error:
        raise EntryError(f"cannot write the entry to {target}: {error.strerror}") from error
    return entry


def write_description(folder: Path, info: EntryInfo) -> None:
    """Write ``entry.toml`` into the folder of an entry."""
    _write(folder / "entry.toml", _to_toml(info.model_dump(mode="json", by_alias=True)))


def _write_artifacts(entry: Entry, arrays: Mapping[str, bytes], recordings: Mapping[str, bytes]) -> None:
    seed = min(record.cell.seed for record in entry.records)
    files = {
        entry.artifacts_path(record): arrays.get(record.cell.key, b"")
        for record in entry.records
        if record.cell.seed == seed
    }
    files = {path: content for path, content in files.items() if content}
    documents = sum((entry.folder / name).stat().st_size for name in LARGEST)
    room = LARGEST_ENTRY - documents - sum(map(len, files.values()))
    first: dict[str, int] = {}
    for record in entry.records:
        if recordings.get(record.cell.key):
            first.setdefault(record.cell.task, record.cell.seed)

    def place(record: Record) -> tuple[bool, int, int, str]:
        cell = record.cell
        return cell.seed != first.get(cell.task), cell.seed, len(recordings.get(cell.key, b"")), cell.key

    for record in sorted(entry.records, key=place):
        content = recordings.get(record.cell.key, b"")
        largest = room if record.cell.seed == first.get(record.cell.task) else min(room, LARGEST_RECORDING)
        if content and len(content) <= largest:
            files[entry.recording_path(record)] = content
            room -= len(content)
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
    # A JSON string, number or array of strings is TOML as well, once DEL is escaped. Tables stand last.
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    lines = [f"{key} = {_json(value)}\n" for key, value in document.items() if key not in tables]
    for name, table in tables.items():
        lines += [f"\n[{name}]\n", *(f"{_json(key)} = {_json(value)}\n" for key, value in table.items())]
    return "".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
