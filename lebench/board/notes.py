"""What happened to entries apart from their records: ``leaderboard/notes.jsonl``, a line each, never removed.

An entry is renamed or withdrawn, its authors say what they have corrected, somebody challenges it, and a maintainer
says how that was settled. The name of an entry that is gone is not given to another one; its page says what became of
it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from lebench.board.documents import DocumentError, one_line, read_text
from lebench.board.entries import Entry, is_entry_name, read_entry
from lebench.board.entry_writing import write_description
from lebench.errors import LebenchError
from lebench.records import Document

NAME = "notes.jsonl"
_LARGEST = 5_000_000

NoteKind = Literal["renamed", "withdrawn", "corrected", "challenged", "settled"]


class Note(Document):
    """A line of the file.

    Attributes
    ----------
    date : str
        Day, UTC: ``"2026-12-01"``.
    entry : str
        Whose; for one that was renamed, what it was called before.
    kind : {"renamed", "withdrawn", "corrected", "challenged", "settled"}
        What happened.
    reason : str
        Why, in one line.
    to : str
        The new name of one that was renamed.
    link : str
        Where more is said.
    """

    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    entry: str
    kind: NoteKind
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    to: str = Field(default="", exclude_if=lambda to: not to)
    link: str = Field(default="", exclude_if=lambda link: not link)

    @property
    def gone(self) -> bool:
        """Whether there is no entry of the name any more."""
        return self.kind in ("renamed", "withdrawn")


def read_notes(entries: Path) -> tuple[Note, ...]:
    """Return the notes beside a folder of entries in their order, none if there is no file.

    Raises
    ------
    LebenchError
        If a line is not one; the message names it.
    """
    file = entries.parent / NAME
    if not file.is_file():
        return ()
    try:
        lines = read_text(file, _LARGEST).splitlines()
    except DocumentError as error:
        raise LebenchError(f"{file} {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Note.model_validate_json(line))
        except ValidationError as error:
            raise LebenchError(f"{file} line {number}: {one_line(error)}") from error
    return tuple(found)


def add_note(entries: Path, name: str, kind: NoteKind, reason: str, link: str = "") -> Note:
    """Put on record what happened to an entry, and let it happen where it is withdrawn.

    Parameters
    ----------
    entries : Path
        Folder of all entries.
    name : str
        Of the entry; it must be there.
    kind : str
        All but ``"renamed"``, for which there is :func:`rename`.
    reason, link : str
        See :class:`Note`.

    Raises
    ------
    LebenchError
        If there is no such entry, or no challenge that could be settled.
    """
    entry = _entry(entries, name)
    own = [note for note in read_notes(entries) if note.entry == name]
    if kind == "settled" and not open_challenges(own):
        raise LebenchError(f"{name} has no challenge that is open")

    def remove() -> None:
        shutil.rmtree(entry.folder)
        _points(entries, name).unlink(missing_ok=True)

    note = Note(date=_today(), entry=name, kind=kind, reason=reason, link=link)
    return _put(entries, note, remove) if kind == "withdrawn" else _put(entries, note)


def rename(entries: Path, old: str, new: str, reason: str) -> Note:
    """Give an entry another name; records and checks stay as they are.

    Raises
    ------
    LebenchError
        If there is no such entry, or the name is none or taken.
    """
    entry = _entry(entries, old)
    if not is_entry_name(new):
        raise LebenchError(f"{new!r} is no name of an entry: lower-case letters, digits, '.', '_' and '-'")
    if (entries / new).exists() or any(note.entry == new and note.gone for note in read_notes(entries)):
        raise LebenchError(f"there is or was an entry {new!r}: choose another name")

    def move() -> None:
        command = entry.info.command.replace(f"/{old}/plugin", f"/{new}/plugin")
        entry.folder.rename(entries / new)
        write_description(entries / new, entry.info.model_copy(update={"name": new, "command": command}))
        points = _points(entries, old)
        if points.is_file():
            points.rename(_points(entries, new))

    return _put(entries, Note(date=_today(), entry=old, kind="renamed", reason=reason, to=new), move)


def open_challenges(notes: list[Note]) -> list[Note]:
    """Return the challenges of an entry since the last one was settled."""
    last = max((place for place, note in enumerate(notes) if note.kind == "settled"), default=-1)
    return [note for note in notes[last + 1 :] if note.kind == "challenged"]


def _entry(entries: Path, name: str) -> Entry:
    if not is_entry_name(name) or not (entries / name).is_dir():
        raise LebenchError(f"there is no entry {name!r} in {entries}")
    return read_entry(entries / name)


def _points(entries: Path, name: str) -> Path:
    return entries.parent / "points" / "entries" / f"{name}.npz"


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _put(entries: Path, note: Note, do: Callable[[], None] = lambda: None) -> Note:
    try:
        # The note first: whoever is interrupted between both sees what was meant.
        with (entries.parent / NAME).open("a", encoding="utf-8") as file:
            file.write(note.model_dump_json() + "\n")
        do()
    except OSError as error:
        raise LebenchError(f"cannot put on record what happens to {note.entry}: {error.strerror}") from error
    return note
