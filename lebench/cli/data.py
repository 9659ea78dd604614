"""``lebench data``: the files of datasets that are not part of lebench."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lebench.cli import reading
from lebench.data.files import VARIABLE, Bar, FileState, Source, cache_folder
from lebench.data.images import SOURCES
from lebench.errors import UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Found = dict[str, list[FileState]]


def list_(*, as_json: bool) -> int:
    """Print a row for each dataset that needs files; return the exit code."""
    found = {name: list(source.states()) for name, source in SOURCES.items()}
    if as_json:
        _print_json(found)
        return 0
    table = reading.make_table("Datasets that need files", ("dataset", "state", "files", "MB", "folder"))
    for name, states in found.items():
        here = [state for state in states if state.path]
        reading.add_row(
            table,
            name,
            _summary(states),
            f"{sum(not state.problem for state in states)} of {len(states)}",
            _megabytes(here),
            ", ".join(dict.fromkeys(str(state.path.parent) for state in here if state.path)) or "–",
        )
    console = reading.make_console()
    console.print(table)
    _print_problems(found, console)
    _say(console, f"looked for in the folder that {VARIABLE} names, then in {cache_folder()}", "dim")
    return 0


def verify(name: str | None, *, as_json: bool) -> int:
    """Print a row for each file that was checked; return 1 if one is damaged, or one of the named set missing."""
    chosen = _chosen(name)
    found = {source.name: list(source.states()) for source in chosen}
    wrong = [state for states in found.values() for state in states if state.problem and (name or state.path)]
    if as_json:
        _print_json(found)
        return int(bool(wrong))
    table = reading.make_table("Files of datasets", ("dataset", "file", "MB", "state"))
    for source, states in found.items():
        for state in states:
            reading.add_row(table, source, state.name, _megabytes([state]), _state(state))
    console = reading.make_console()
    console.print(table)
    _print_problems(found, console)
    counts = Counter(_state(state) for states in found.values() for state in states)
    _say(console, f"files: {', '.join(f'{count} {state}' for state, count in counts.items())}")
    return int(bool(wrong))


def fetch(name: str) -> int:
    """Fetch what is missing or damaged of a dataset; return the exit code."""
    (source,) = _chosen(name)
    console = reading.make_console()
    with _bars(console) as bar:
        fetched = source.fetch(bar)
    if fetched:
        _say(console, f"{name}: {len(fetched)} files in {fetched[0].parent}, as published")
    else:
        folders = dict.fromkeys(str(state.path.parent) for state in source.states() if state.path)
        _say(console, f"{name}: all files are there already, in {', '.join(folders)}")
    return 0


def _chosen(name: str | None) -> list[Source]:
    if name is None:
        return list(SOURCES.values())
    if name not in SOURCES:
        raise UnknownNameError(f"no dataset {name!r} needs files; those that do are {', '.join(SOURCES)}")
    return [SOURCES[name]]


def _summary(states: list[FileState]) -> str:
    if any(state.problem and state.path for state in states):
        return "damaged"
    missing = sum(bool(state.problem) for state in states)
    return "as published" if not missing else "not here" if missing == len(states) else "incomplete"


def _state(state: FileState) -> str:
    return "as published" if not state.problem else "damaged" if state.path else "not here"


def _megabytes(states: list[FileState]) -> str:
    return f"{sum(state.bytes for state in states) / 1e6:.1f}" if any(state.path for state in states) else "–"


def _print_problems(found: Found, console: Console) -> None:
    for states in found.values():
        for state in states:
            if state.problem and state.path:
                _say(console, state.problem, "red")
        missing = [state.problem for state in states if state.problem and not state.path]
        if missing:
            more = f" (and {len(missing) - 1} more of its files)" if len(missing) > 1 else ""
            _say(console, missing[0] + more, "yellow")


def _print_json(found: Found) -> None:
    rows = [
        {
            "dataset": name,
            "file": state.name,
            "path": str(state.path) if state.path else None,
            "bytes": state.bytes,
            "state": _state(state),
            "problem": state.problem,
        }
        for name, states in found.items()
        for state in states
    ]
    click.echo(json.dumps(rows, indent=1))


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str], Bar | None]]:
    """Yield what makes a progress bar for a download; a line where the output is no terminal."""
    if not console.is_terminal:

        def line(name: str) -> None:
            _say(console, f"fetching {name}")

        yield line
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield lambda name: _Bar(progress, name)


class _Bar:
    """A bar of rich, with the methods of the one that pooch knows."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._task, self._total = progress, progress.add_task(name, total=None), 0

    @property
    def total(self) -> int:
        """Bytes to come, 0 if the server does not say."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self._progress.update(self._task, total=total or None)

    def update(self, n: int, /) -> None:
        """Count n more bytes."""
        self._progress.advance(self._task, n)

    def reset(self) -> None:
        """Count from 0 again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Take the bar away: the next file has its own."""
        self._progress.update(self._task, visible=False)
