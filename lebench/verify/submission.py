"""What a submission may do to the leaderboard: bring or renew its own entry, and nothing else.

Names look alike if they are the same once ``-``, ``_`` and ``.`` are left out (between digits they count), ``0`` is
read as ``o``, ``1`` and ``i`` as ``l``, ``rn`` as ``m`` and ``vv`` as ``w``; other letters than ASCII's are in no
name. Two entries are of the same model if model, parameters, backend and precision are the same, and, for a model
that is not lebench's own, its code. Records are copies if their cost or what their models answered is the same number
by number; where two entries, or an entry and its renewal, hold the same cell, their values must agree as those of a
re-run must (:mod:`lebench.runner.tolerance`).
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lebench import registry
from lebench.board.documents import parse_toml, printable
from lebench.board.entries import Entry, EntryError, design, read_entry
from lebench.board.notes import NAME as NOTES
from lebench.board.notes import read_notes
from lebench.board.verification import NAME as VERIFICATION
from lebench.errors import LebenchError
from lebench.records import Cell, Record
from lebench.runner.current import current
from lebench.runner.tolerance import compare_rerun
from lebench.verify.texts import skeleton
from lebench.verify.violations import Violation

_ENTRIES = Path("leaderboard/entries")
#: Files of an entry of the main branch with which a submission is compared.
_NEEDED = re.compile(
    r"[^/.][^/]*/(entry\.toml|records\.jsonl|environments\.json|verification\.json|artifacts/[0-9a-f]+\.recording\.npz)"
)


@dataclass(frozen=True)
class Base:
    """The main branch, with which a submission is compared.

    Attributes
    ----------
    name : str
        What it is called in messages.
    entries : Path
        Its entries, as files that can be trusted.
    changed : tuple of str or None
        Paths that the submission changes, relative to the repository, None if that is found by comparing files.
    place : str
        Folder of the entries in the repository: ``"leaderboard/entries"``.
    """

    name: str
    entries: Path
    changed: tuple[str, ...] | None
    place: str

    def names(self) -> list[str]:
        """Return the names of its entries; what begins with a dot is none."""
        found = self.entries.iterdir() if self.entries.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir() and path.name[0] != ".")

    def infos(self) -> dict[str, dict[str, Any]]:
        """Return the content of ``entry.toml`` of each of its entries.

        Raises
        ------
        LebenchError
            If one cannot be read.
        """
        found = {}
        for name in self.names():
            path = self.entries / name / "entry.toml"
            try:
                found[name] = parse_toml(path.read_text(encoding="utf-8")) if path.is_file() else {}
            except (OSError, ValueError) as error:
                raise LebenchError(f"{self.name}: the entry {name} cannot be read: {printable(str(error))}") from error
        return found

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield the records of all its entries, each with the entry's name.

        Raises
        ------
        LebenchError
            If one cannot be read: then it cannot be said what a submission does.
        """
        for name in self.names():
            try:
                yield from ((name, record) for record in read_entry(self.entries / name).records)
            except EntryError as error:
                raise LebenchError(f"{self.name}: the entry {name} cannot be read: {error}") from error


@contextmanager
def base(reference: str, folder: Path) -> Iterator[Base]:
    """Yield the main branch as it is named on the command line, for the time of a check.

    Parameters
    ----------
    reference : str
        A folder with the main branch's entries, or with its checkout; or a git revision of the repository in which the
        submitted entry stands.
    folder : Path
        Of that entry.

    Raises
    ------
    LebenchError
        If there is neither.
    """
    given = Path(reference)
    if (given / _ENTRIES).is_dir():
        yield Base(reference, (given / _ENTRIES).absolute(), None, str(_ENTRIES))
        return
    if given.is_dir():
        yield Base(reference, given.absolute(), None, str(_ENTRIES))
        return
    where = folder.absolute().parent
    try:
        top = Path(os.fsdecode(_git(where, "rev-parse", "--show-toplevel").rstrip(b"\n")))
        commit = _git(where, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    except LebenchError as error:
        what = f"neither a folder nor a revision of a git repository that holds {folder}"
        raise LebenchError(f"--base {printable(reference)!r} is {what}") from error
    revision = commit.decode().strip()
    place = os.path.relpath(where.resolve(), top.resolve())
    # What main has got since the submission began is not the submission's change.
    origin = _git(top, "merge-base", revision, "HEAD").decode().strip()
    changed = _git(top, "diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--name-only", "-z", origin, "--")
    fresh = _git(top, "ls-files", "--others", "--exclude-standard", "-z", "--", place)
    paths = tuple(os.fsdecode(path) for path in sorted({*changed.split(b"\0"), *fresh.split(b"\0")} - {b""}))
    with tempfile.TemporaryDirectory(prefix="lebench-base-") as temporary:
        entries = Path(temporary) / "entries"
        entries.mkdir()
        notes = os.path.join(os.path.dirname(place), NOTES)
        if _git(top, "ls-tree", "-z", revision, "--", notes):
            (entries.parent / NOTES).write_bytes(_git(top, "cat-file", "blob", f"{revision}:{notes}"))
        if _git(top, "ls-tree", "-z", revision, "--", place):
            _extract(_git(top, "archive", "--format=tar", f"{revision}:{place}"), entries)
        yield Base(reference, entries, paths, place)


def _extract(archive: bytes, target: Path) -> None:
    """Write the documents and recordings of entries in an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            content = opened.extractfile(member) if member.isfile() and _NEEDED.fullmatch(member.name) else None
            if member.isdir() and re.fullmatch(r"[^/.][^/]*", member.name):
                (target / member.name).mkdir(exist_ok=True)
            if content is not None:
                (target / member.name).parent.mkdir(parents=True, exist_ok=True)
                (target / member.name).write_bytes(content.read())


def _git(where: Path, *arguments: str) -> bytes:
    # Nothing that a repository's settings name is started.
    own = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    try:
        done = subprocess.run(["git", "-C", where, *own, *arguments], capture_output=True, check=False)
    except OSError as error:
        raise LebenchError(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        raise LebenchError(f"git {arguments[0]} fails: {printable(done.stderr.decode(errors='replace'))}")
    return done.stdout


def check_submission(folder: Path, entry: Entry | None, main: Base, own: Iterable[str]) -> Iterator[Violation]:
    """Yield what a submission does that it may not.

    Parameters
    ----------
    folder : Path
        Of a submitted entry.
    entry : Entry or None
        Its content, if it can be read.
    main : Base
        The main branch.
    own : iterable of str
        Names of all entries of the submission.
    """
    own = set(own)
    yield from _changes(folder, main, own)
    theirs, ours = main.entries / folder.name / VERIFICATION, folder / VERIFICATION
    if ours.is_file() and not ours.is_symlink() and (not theirs.is_file() or theirs.read_bytes() != ours.read_bytes()):
        yield Violation(VERIFICATION, "content", "is written by maintainers after a check; leave it as it is, or out")
    for name in main.names():
        if name != folder.name and skeleton(name) == skeleton(folder.name):
            yield Violation(folder.name, "name", f"looks like that of the entry {name}; choose another")
    for note in read_notes(main.entries):
        if note.gone and note.entry == folder.name and note.entry not in main.names():
            yield Violation(
                folder.name, "name", f"is that of an entry that was {note.kind} on {note.date}; choose another"
            )
    if entry is None:
        return
    yield from _look_alikes(entry, main)
    yield from _same(entry, main)
    yield from _stale(folder, entry, main)
    yield from _copies(entry, main)


def _look_alikes(entry: Entry, main: Base) -> Iterator[Violation]:
    """Yield where a model of somebody's own is called so that readers take it for another."""
    names = {record.cell.model for record in entry.records} | {entry.info.model.split("[", 1)[0]}
    known = {item.name: "a model of lebench" for item in registry.models.items() if item.source == "lebench"}
    for other, info in main.infos().items():
        if other != entry.name:
            known.setdefault(str(info.get("model", "")).split("[", 1)[0], f"the model of the entry {other}")
    for name in sorted(names):
        for taken, what in known.items():
            if name != taken and skeleton(name) == skeleton(taken):
                yield Violation("entry.toml", "model", f"{name} looks like {taken}, {what}; register it under another")


def _changes(folder: Path, main: Base, own: set[str]) -> Iterator[Violation]:
    if main.changed is not None:
        inside = tuple(f"{main.place}/{name}/" for name in own)
        for path in main.changed:
            if not path.startswith(inside):
                yield Violation(path, "change", "a submission changes the folder of its entry and nothing else")
        return
    beside = folder.parent
    others = [name for name in main.names() if name not in own]
    present = {path.name for path in beside.iterdir() if path.is_dir() and not path.is_symlink()} - own
    if beside.resolve() == main.entries.resolve() or not present:
        # An entry alone in a folder says nothing of the others.
        return
    for name in sorted({*others, *present}):
        if name not in present:
            yield Violation(name, "change", "a submission removes no other entry")
        elif name not in others:
            yield Violation(name, "change", "a submission brings one entry; send this one by itself")
        elif _contents(beside / name) != _contents(main.entries / name):
            yield Violation(name, "change", "a submission changes no other entry")


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder; what is none has no content that another file could have."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            files[str(path.relative_to(folder))] = b"\0link or pipe"
        elif path.is_file():
            files[str(path.relative_to(folder))] = path.read_bytes()
    return files


def _same(entry: Entry, main: Base) -> Iterator[Violation]:
    """Yield what makes an entry another than the one of its name on the board."""
    before = main.infos().get(entry.name, {})
    for field, verb in (("authors", "are not those"), ("model", "is not that")):
        if before.get(field, getattr(entry.info, field)) != getattr(entry.info, field):
            yield Violation("entry.toml", field, f"{verb} of the entry of this name; choose another name")


def _stale(folder: Path, entry: Entry, main: Base) -> Iterator[Violation]:
    """Yield that an entry is brought whose records are of other versions; one that stood there before may stay."""
    theirs = main.entries / entry.name / "records.jsonl"
    if theirs.is_file() and theirs.read_bytes() == (folder / "records.jsonl").read_bytes():
        return
    found = current(entry.records)
    for reason, count in found.outdated.items():
        yield Violation("records.jsonl", "version", f"{reason} (records: {count}); run them again")
    for conflict in found.conflicts:
        yield Violation("records.jsonl", "cell", str(conflict))
    if theirs.is_file():
        yield from _shrunk(entry, read_entry(theirs.parent))


def _shrunk(entry: Entry, before: Entry) -> Iterator[Violation]:
    """Yield the tasks of which a renewed entry has fewer seeds than it had: they could have been the bad ones."""
    now = design(entry.records)
    for task, seeds in design(before.records).items():
        if task in registry.tasks and now.get(task, 0) < seeds:
            rule = f"had {seeds} seeds on the board and has {now.get(task, 0)} now; keep them, whatever became of them"
            yield Violation("records.jsonl", task, rule)


def _copies(entry: Entry, main: Base) -> Iterator[Violation]:
    cells = {record.cell.key: record for record in entry.records}
    models = {_model(record.cell) for record in entry.records}
    costs = {_cost(record): record for record in entry.records if record.cost}
    answers = {
        each.sha256: record for record in entry.records for name, each in record.recorded.items() if "answers" in name
    }
    said: set[tuple[str, str]] = set()

    def once(kind: str, name: str, field: str, rule: str) -> Iterator[Violation]:
        # One line for each entry, not for each of its records.
        if (kind, name) not in said:
            said.add((kind, name))
            yield Violation("records.jsonl", field, rule)

    for name, known in main.records():
        cell = known.cell
        if same := cells.get(cell.key):
            yield from _unequal(entry, same, name, known)
        if name == entry.name:
            continue
        if _model(cell) in models:
            rule = f"is that of the entry {name}, which stands on the board already: renew that one"
            yield from once("model", name, "model configuration", rule)
        if known.cost and (copied := costs.get(_cost(known))):
            rule = f"cost and times are those of {cell.task} seed {cell.seed} in the entry {name}: a copied record"
            yield from once("cost", name, _where(copied), rule)
        for array, described in known.artifacts.items():
            if "answers" in array and (copied := answers.get(described.sha256)):
                rule = f"what the model answered is that of the entry {name}, number by number: a copied record"
                yield from once("answers", name, _where(copied), rule)


def _unequal(entry: Entry, record: Record, name: str, known: Record) -> Iterator[Violation]:
    if record.status != "ok" or known.status != "ok":
        return
    for difference in compare_rerun(record, known, entry.records).differences[:1]:
        text = difference.replace("run again", f"in the entry {name}")
        yield Violation("records.jsonl", _where(record), f"is the same cell with other values: {text}")


def _where(record: Record) -> str:
    return f"{record.cell.task} seed {record.cell.seed}"


def _model(cell: Cell) -> tuple[object, ...]:
    """Return what makes two cells ones of the same model."""
    own = cell.model in registry.models and registry.models.item(cell.model).source == "lebench"
    return cell.model, *sorted(cell.params.items()), cell.backend, cell.precision, "" if own else cell.plugin


def _cost(record: Record) -> tuple[object, ...]:
    cost = record.cost
    return cost and (cost.fit_s, cost.score_s, cost.cpu_s), record.run.started
