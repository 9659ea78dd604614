"""What changed on the leaderboard: from the git history of the entries, or without it from the dates in the records.

Git is asked for the commits that touched the folder of entries, along the first parents of the branch, so that a pull
request is one change however it was merged. Records of before and after are compared by the mean over seeds of the
value that ranks each task. Nothing of them is trusted: a line that cannot be read is passed over, and texts are escaped
on the page.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from lebench import registry
from lebench.board import Entry

Kind = Literal["added", "changed", "removed", "described", "verified"]
#: Commits that are looked at, the newest; what is older is said to be left out.
COMMITS = 100
#: Seconds that one question to git may take.
_PATIENCE = 60
#: Relative difference below which a mean is the same: another order of summation.
_SAME = 1e-9


@dataclass(frozen=True)
class Difference:
    """The mean of the value that ranks a task before and after; None where there was none."""

    task: str
    value: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Change:
    """What happened to one entry.

    Attributes
    ----------
    entry : str
        Name.
    kind : {"added", "changed", "removed", "described", "verified"}
        What: with records, or only its description or its verification.
    records : int
        Number of records afterwards; before, for one that was removed.
    same : int
        Number of tasks whose mean is the same.
    differences : tuple of Difference
        The others, by task; none for an entry that was added or removed.
    """

    entry: str
    kind: Kind
    records: int
    same: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Day:
    """What one commit changed.

    Attributes
    ----------
    date : str
        Of the commit, UTC: ``"2026-11-28"``.
    commit : str
        Abbreviated hash; empty without git.
    subject : str
        First line of its message.
    changes : tuple of Change
        By entry.
    """

    date: str
    commit: str
    subject: str
    changes: tuple[Change, ...]

    def together(self) -> list[list[Change]]:
        """Return the changes, those of one kind together."""
        found: dict[str, list[Change]] = {}
        for change in self.changes:
            found.setdefault(change.kind, []).append(change)
        return list(found.values())


@dataclass(frozen=True)
class History:
    """All changes.

    Attributes
    ----------
    days : tuple of Day
        The newest first.
    source : str
        A sentence that says where this is from, and what may be missing.
    """

    days: tuple[Day, ...]
    source: str


def read_history(root: Path, entries: Sequence[Entry]) -> History:
    """Return how the entries in a folder came to be what they are.

    Parameters
    ----------
    root : Path
        Folder of all entries.
    entries : sequence of Entry
        Those that are there now; their dates serve where there is no history.
    """
    git = _Git(root)
    reason = git.unusable()
    if reason:
        said = (
            f"{reason}: dates are those of the last record of each entry. What was changed or removed before, nothing "
            "here can tell."
        )
        return _from_records(entries, said)
    commits = git.commits()
    days = tuple(day for commit in commits[:COMMITS] if (day := _day(git, *commit)).changes)
    source = "From the git history of the entries."
    if git.shallow():
        source += " The checkout is shallow: what happened before its first commit shows as added then."
    if len(commits) > COMMITS:
        source += f" The last {COMMITS} commits that touched entries are shown."
    return History(days, source)


def _from_records(entries: Sequence[Entry], source: str) -> History:
    of_days: dict[str, list[Change]] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        last = max((record.run.finished for record in entry.records), default="")[:10]
        of_days.setdefault(last, []).append(Change(entry.name, "added", len(entry.records)))
    days = (Day(date, "", "", tuple(changes)) for date, changes in sorted(of_days.items(), reverse=True))
    return History(tuple(days), source)


def _day(git: _Git, commit: str, seconds: int, subject: str, files: Mapping[str, str]) -> Day:
    of_entries: dict[str, dict[str, str]] = {}
    for path, status in files.items():
        parts = PurePosixPath(path).parts
        if len(parts) > 1:
            of_entries.setdefault(parts[0], {})["/".join(parts[1:])] = status
    date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    found = (_change(git, commit, entry, changed) for entry, changed in sorted(of_entries.items()))
    return Day(date, commit[:8], subject, tuple(change for change in found if change is not None))


def _change(git: _Git, commit: str, entry: str, files: Mapping[str, str]) -> Change | None:
    path = f"{entry}/records.jsonl"
    status = files.get("records.jsonl")
    if status is None:
        kind: Kind | None = "verified" if "verification.json" in files else None
        kind = "described" if "entry.toml" in files else kind
        return None if kind is None else Change(entry, kind, 0)
    before = {} if status == "A" else _means(git.lines(f"{commit}^", path))
    after = {} if status == "D" else _means(git.lines(commit, path))
    if status == "A":
        return Change(entry, "added", _count(after))
    if status == "D":
        return Change(entry, "removed", _count(before))
    differences = []
    same = 0
    for task, value in sorted({*before, *after} - {_RECORDS}):
        old, new = before.get((task, value)), after.get((task, value))
        if old is not None and new is not None and abs(old - new) <= _SAME * max(abs(old), abs(new)):
            same += 1
        else:
            differences.append(Difference(task, value, old, new))
    return Change(entry, "changed", _count(after), same, tuple(differences))


#: Under this key stands the number of records.
_RECORDS = ("", "")


def _count(means: Mapping[tuple[str, str], float]) -> int:
    return int(means.get(_RECORDS, 0))


def _means(lines: Iterable[str]) -> dict[tuple[str, str], float]:
    """Return the mean over seeds of the primary value of each task, by task with its version and value."""
    values: dict[tuple[str, str], list[float]] = {}
    count = 0
    for line in lines:
        try:
            record = json.loads(line)
            task, version = str(record["cell"]["task"]), int(record["cell"]["task_version"])
            metrics = dict(record["metrics"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        count += 1
        if task not in registry.tasks:
            continue
        known = registry.tasks.get(task)
        value = metrics.get(known.primary)
        if isinstance(value, int | float):
            name = task if version == known.version else f"{task} (version {version})"
            values.setdefault((name, known.primary), []).append(float(value))
    return {key: sum(found) / len(found) for key, found in values.items()} | {_RECORDS: float(count)}


class _Git:
    """Questions to git about a folder; all of them only read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = ""

    def unusable(self) -> str:
        """Return why there is no history, empty if there is one."""
        inside = self._ask("rev-parse", "--show-prefix")
        if inside is None:
            return "There is no git history here"
        self._prefix = inside.rstrip("\n")
        if not self._ask("ls-files", "--", "."):
            return "The entries are not under version control"
        if not self._ask("log", "-n", "1", "--format=%H", "--", "."):
            return "No commit has touched the entries"
        return ""

    def shallow(self) -> bool:
        """Return whether the history is cut off."""
        return (self._ask("rev-parse", "--is-shallow-repository") or "").strip() == "true"

    def commits(self) -> list[tuple[str, int, str, dict[str, str]]]:
        """Return hash, time, subject and files with their status of the newest commits, one more than are shown."""
        told = self._ask(
            "log", "-z", "--first-parent", "-m", "--no-renames", "--name-status", "--relative",
            "-n", str(COMMITS + 1), "--format=%x01%H%x02%ct%x02%s%x02", "--", ".",
        )  # fmt: skip
        return [commit for part in (told or "").split("\x01")[1:] if (commit := _commit(part)) is not None]

    def lines(self, commit: str, path: str) -> Iterator[str]:
        """Yield the lines of a file of a commit, none if it is not there."""
        text = self._ask("show", f"{commit}:{self._prefix}{path}")
        yield from (text or "").rstrip("\n").split("\n") if text else ()

    def _ask(self, *arguments: str) -> str | None:
        command = ["git", "--no-optional-locks", "-C", str(self._folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _commit(told: str) -> tuple[str, int, str, dict[str, str]] | None:
    fields = told.split("\x02")
    if len(fields) != 4 or not fields[1].isdigit():
        return None
    parts = [part.strip("\n") for part in fields[3].split("\0")]
    parts = [part for part in parts if part]
    return (
        fields[0],
        int(fields[1]),
        fields[2],
        dict(zip(parts[1::2], (status[:1] for status in parts[::2]), strict=False)),
    )
