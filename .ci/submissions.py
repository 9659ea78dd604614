"""Submissions for the rehearsal: good ones, and every attack that a check has to find.

A case changes the working tree of a clone in which a good entry ``mine`` lies beside the entry ``theirs``; both were
made by real runs. What it says is looked for in the lines of the check.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lebench.artifacts import pack, unpack
from lebench.board import Entry, read_entry, write_entry, write_verification
from lebench.board.entry_writing import write_description
from lebench.records import Record
from lebench.verify import make_verification, recompute

ENTRIES = Path("leaderboard/entries")
Change = Callable[[Path], None]
WORKFLOW = ".github/workflows/entry.yml"
#: How a record is forged: what is changed of it.
Forgery = Callable[[Record], Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """A submission and what has to become of it.

    Attributes
    ----------
    name : str
        What it is.
    verdict : str
        ``"accepted"``, ``"refused"`` or ``"failed"``: it cannot be checked.
    says : str
        Part of a line of the check.
    change : callable
        What is done in the clone.
    rerun : str
        Cells to run again, none if empty.
    forged : bool
        Whether the check's result is replaced by one that claims that all is well, as a changed workflow could.
    own : bool
        Whether the entry is of a model of its own, which brings its code.
    late : bool
        Whether it was pushed after the check was asked for, or a maintainer had approved what was there before.
    branch : str
        Where it is to be merged.
    """

    name: str
    verdict: str
    says: str
    change: Change = lambda clone: None
    rerun: str = ""
    forged: bool = False
    own: bool = False
    late: bool = False
    branch: str = "main"


def mine(clone: Path) -> Path:
    """Return the folder of the good entry."""
    return clone / ENTRIES / "mine"


def files_of(entry: Entry, path: Callable[[Record], Path]) -> dict[str, bytes]:
    """Return the files of arrays of an entry by the key of their cell."""
    return {r.cell.key: path(r).read_bytes() for r in entry.records if path(r).is_file()}


def forge(change: Forgery, recordings: Mapping[str, bytes] | None = None) -> Change:
    """Return a case's change: records that are changed and sealed again, as somebody who knows lebench would."""

    def forged(clone: Path) -> None:
        entry = read_entry(mine(clone))
        pictures = files_of(entry, entry.artifacts_path)
        recorded = {**files_of(entry, entry.recording_path), **(recordings or {})}
        records = [record.model_copy(update=dict(change(record))).sealed() for record in entry.records]
        keys = {old.cell.key: new.cell.key for old, new in zip(entry.records, records, strict=True)}
        own = ({keys[key]: content for key, content in files.items()} for files in (pictures, recorded))
        write_entry(entry.folder.parent, entry.name, records, entry.info, *own)

    return forged


def one_more_hit(seed: int) -> Forgery:
    """Return a forgery: one more test point is right on ``digits/accuracy``."""

    def change(record: Record) -> Mapping[str, Any]:
        if (record.cell.task, record.cell.seed) != ("digits/accuracy", seed):
            return {}
        found = record.metrics
        more = {"accuracy": found["accuracy"] + 1 / 450, "error": found["error"] - 1 / 450}
        return {"metrics": {**found, **more, "generalization_gap": found["generalization_gap"] - 1 / 450}}

    return change


def unrecorded_hit(clone: Path) -> None:
    """Forge one more hit in a record whose recording is then left out."""
    forge(one_more_hit(1))(clone)
    entry = read_entry(mine(clone))
    changed = (r for r in entry.records if (r.cell.task, r.cell.seed) == ("digits/accuracy", 1))
    entry.recording_path(next(changed)).unlink()


def of_cell(**changes: Any) -> Forgery:
    """Return a forgery of the cells of ``digits/accuracy``."""
    task = "digits/accuracy"
    return lambda r: {"cell": r.cell.model_copy(update=changes)} if r.cell.task == task else {}


def answers(*, sealed: bool) -> Change:
    """Return a change of what the model is said to have answered, with or without a record that fits it."""

    def change(clone: Path) -> None:
        entry = read_entry(mine(clone))
        record = next(r for r in entry.records if r.cell.task == "digits/accuracy" and r.recorded)
        path = entry.recording_path(record)
        arrays = unpack(path.read_bytes(), record.recorded)
        other = arrays["recorded_answers"].copy()
        other[:, : other.shape[1] // 2] = other[:, : other.shape[1] // 2][:, ::-1]
        content, described = pack({**arrays, "recorded_answers": other})
        if sealed:
            artifacts = {**record.artifacts, **described}
            forge(lambda r: {"artifacts": artifacts} if r.cell == record.cell else {}, {record.cell.key: content})(
                clone
            )
        else:
            path.write_bytes(content)

    return change


def arrays_of(make: Callable[[str], bytes]) -> Change:
    """Return a change of the members of a file of arrays."""

    def change(clone: Path) -> None:
        path = next((mine(clone) / "artifacts").glob("*.recording.npz"))
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, make(name))

    return change


def pickled(name: str) -> bytes:
    """Return an array of objects, which is stored as a pickle."""
    file = io.BytesIO()
    np.save(file, np.array([{"run": name}]), allow_pickle=True)
    return file.getvalue()


def replace(name: str, old: str, new: str) -> Change:
    """Return a change of the text of a file of the entry."""

    def change(clone: Path) -> None:
        text = (mine(clone) / name).read_text()
        if old not in text:
            raise ValueError(f"{name} does not hold {old!r}")
        (mine(clone) / name).write_text(text.replace(old, new))

    return change


def write(path: str, text: str) -> Change:
    """Return a change that writes a file of the clone."""

    def change(clone: Path) -> None:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        (clone / path).write_text(text)

    return change


def code(text: str) -> Change:
    """Return a change that brings code of one's own."""
    return write(f"{ENTRIES}/mine/plugin.py", text)


def rename(name: str) -> Change:
    """Return a change of the entry's name."""

    def change(clone: Path) -> None:
        replace("entry.toml", 'name = "mine"', f"name = {json.dumps(name)}")(clone)
        mine(clone).rename(clone / ENTRIES / name)

    return change


def describe(**info: Any) -> Change:
    """Return a change of the entry's description, written as lebench writes it."""

    def change(clone: Path) -> None:
        entry = read_entry(mine(clone))
        write_description(entry.folder, entry.info.model_copy(update=info))

    return change


def called(name: str, change: Forgery = lambda record: {}) -> Change:
    """Return a change of the model's name, and of each record."""

    def forgery(record: Record) -> Mapping[str, Any]:
        return {"label": name, "cell": record.cell.model_copy(update={"model": name}), **change(record)}

    return lambda clone: (describe(model=name, command=f"lebench run --model {name}")(clone), forge(forgery)(clone))[1]


def twice(**changes: Any) -> Change:
    """Return a change that brings every seed twice, the second time with another cell."""

    def change(clone: Path) -> None:
        entry = read_entry(mine(clone))
        more = [r.model_copy(update={"cell": r.cell.model_copy(update=changes)}).sealed() for r in entry.records]
        recordings = files_of(entry, entry.recording_path)
        write_entry(clone / ENTRIES, "mine", [*entry.records, *more], entry.info, {}, recordings)

    return change


def keep(chosen: Callable[[Record], bool], *, of: str = "mine", recordings: bool = True) -> Change:
    """Return a change that keeps some records of an entry, with or without their recordings."""

    def change(clone: Path) -> None:
        entry = read_entry(clone / ENTRIES / of)
        pictures, recorded = (files_of(entry, path) for path in (entry.artifacts_path, entry.recording_path))
        if of != "mine":
            shutil.rmtree(mine(clone))
        records = [record for record in entry.records if chosen(record)]
        write_entry(clone / ENTRIES, of, records, entry.info, pictures, recorded if recordings else {})
        if not any((entry.folder / "artifacts").iterdir()):
            # Git knows no empty folders, and would leave it on the main branch.
            (entry.folder / "artifacts").rmdir()

    return change


def without_scores(task: str, seeds: tuple[int, ...], status: str) -> Change:
    """Return a change that says of some seeds that they gave no scores."""
    lost: dict[str, Any] = {
        "status": status,
        "reason": "it was too slow",
        "metrics": {},
        "artifacts": {},
        "missing": {},
    }
    return forge(lambda r: lost if r.cell.task == task and r.cell.seed in seeds else {})


def flipped_copy(clone: Path) -> None:
    """Submit what another's model answered, with a third of the lowest bits flipped, as that of one's own."""
    theirs, own = (read_entry(clone / ENTRIES / name) for name in ("theirs", "mine"))
    records, recordings = [], {}
    for record, place in zip(theirs.records, own.records, strict=True):
        arrays = dict(theirs.recording(record))
        answers = arrays["recorded_answers"].copy()
        answers[2, np.random.default_rng(0).random(answers.shape[1]) < 1 / 3] ^= 1
        content, described = pack(arrays | {"recorded_answers": answers})
        changes = {"metrics": record.metrics, "missing": record.missing, "artifacts": described}
        records.append(place.model_copy(update=changes).sealed())
        recordings[place.cell.key] = content
    write_entry(clone / ENTRIES, "mine", records, own.info, {}, recordings)


def commented(clone: Path) -> None:
    """Hide text in the comment of an archive."""
    with zipfile.ZipFile(next((mine(clone) / "artifacts").glob("*.npz")), "a") as archive:
        archive.comment = b"x" * 20_000


def package(clone: Path) -> None:
    """Bring the code as a package."""
    folder = mine(clone) / "plugin" / "near"
    folder.mkdir(parents=True)
    (mine(clone) / "plugin.py").rename(folder / "__init__.py")
    describe(plugin="near")(clone)


def renewed(clone: Path) -> None:
    """Renew an entry that stands on the board, with another summary, and submit nothing else."""
    shutil.rmtree(mine(clone))
    entry = read_entry(clone / ENTRIES / "theirs")
    write_description(entry.folder, entry.info.model_copy(update={"summary": "Said better."}))


def run_of(**changes: Any) -> Forgery:
    """Return a forgery of when a record was made."""
    return lambda r: {"run": r.run.model_copy(update=changes)}


def cost_of(**changes: Any) -> Forgery:
    """Return a forgery of what a record cost."""
    return lambda r: {"cost": r.cost and r.cost.model_copy(update=changes)}


def same_cells(clone: Path) -> None:
    """Submit the records of another entry under a name of one's own."""
    theirs = read_entry(clone / ENTRIES / "theirs")
    info = theirs.info.model_copy(update={"name": "mine"})
    pictures, recordings = (files_of(theirs, path) for path in (theirs.artifacts_path, theirs.recording_path))
    shutil.rmtree(mine(clone))
    write_entry(clone / ENTRIES, "mine", theirs.records, info, pictures, recordings)


def bring_verification(clone: Path) -> None:
    """Bring along the document that a check would write, and that only maintainers may."""
    entry = read_entry(mine(clone))
    write_verification(entry, make_verification(entry, list(recompute(entry))))


def link(clone: Path) -> None:
    """Let a file of the entry be a link to one outside of it."""
    path = next((mine(clone) / "artifacts").glob("*.npz"))
    path.unlink()
    path.symlink_to("/etc/passwd")


def remove_theirs(clone: Path) -> None:
    """Remove another entry, and submit nothing."""
    shutil.rmtree(mine(clone))
    shutil.rmtree(clone / ENTRIES / "theirs")


def tree(clone: Path, entries: list[tuple[str, str, str]]) -> str:
    """Store a tree that git itself would not write; return its name."""
    raw = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(blob) for mode, name, blob in entries)
    command = ["git", "-C", clone, "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    return subprocess.run(command, input=raw, check=True, capture_output=True).stdout.decode().strip()


def escape(clone: Path) -> str:
    """Return a tree whose entry has a file in its parent folder."""

    def named(revision: str) -> str:
        done = subprocess.run(["git", "-C", clone, "rev-parse", revision], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    blob = named("HEAD:README.md")
    bad = tree(clone, [("40000", "..", tree(clone, [("100644", "escaped", blob)]))])
    entries = tree(clone, [("40000", "mine", bad), ("40000", "theirs", named(f"HEAD:{ENTRIES}/theirs"))])
    board = tree(clone, [("40000", "entries", entries)])
    return tree(clone, [("100644", "README.md", blob), ("40000", "leaderboard", board)])
