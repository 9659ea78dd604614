"""The live display of a run, and its plain lines where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lebench import registry
from lebench.records import Record
from lebench.runner.events import (
    CellDone,
    Event,
    FitDone,
    FitProgress,
    FitStarted,
    JobEnded,
    JobStarted,
    ModelChecked,
    RunStarted,
    Waiting,
)
from lebench.runner.plan import Job

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

#: Seconds between two lines of a fit where the output is no terminal.
_SAID_S = 60.0


@contextmanager
def display(console: Console) -> Iterator[Callable[[Event], None]]:
    """Yield a function that shows the events of a run as they come."""
    if not console.is_terminal:
        yield _Plain(console)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn("line" if console.options.ascii_only else "dots"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        yield _Live(console, progress)


class _Plain:
    """A line for each record, and now and then one for a long fit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        #: Of each job: when its fit began, from which epoch its rate is known, and when something is next said of it.
        self._fits: dict[tuple[object, ...], tuple[float, float | None, float]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._total = event.cells
                self._console.print(_opening(event), highlight=False, markup=False)
            case ModelChecked():
                self._console.print(_checked(event), highlight=False, markup=False)
            case FitStarted(job):
                now = time.monotonic()
                self._fits[_key(job)] = now, None, now + _SAID_S
            case FitProgress(job, values) if _key(job) in self._fits and values.get("epochs"):
                self._say(job, values)
            case CellDone(record, _) if record.status != "skipped":
                self._done += 1
                width = len(str(self._total))
                self._console.print(
                    f"[{self._done:{width}}/{self._total}] {_outcome(record)}", highlight=False, markup=False
                )
            case Waiting(count):
                self._console.print(_waiting(count), highlight=False, markup=False)
            case _:
                pass

    def _say(self, job: Job, values: dict[str, float]) -> None:
        """Say how far a long fit is."""
        began, first, due = self._fits[_key(job)]
        epoch, epochs, now = values["epoch"], values["epochs"], time.monotonic()
        if first is None:
            # One that goes on begins in the middle.
            began, first = now, epoch
        if now >= due:
            left = (now - began) / (epoch - first) * (epochs - epoch) if epoch > first else None
            loss = f", loss {values['loss']:.3g}" if "loss" in values else ""
            rest = "" if left is None else f", about {_duration(left)} left"
            self._console.print(
                f"{_name(job)}: epoch {epoch:.4g} of {epochs:.0f}{loss}{rest}", highlight=False, markup=False
            )
            due = now + _SAID_S
        self._fits[_key(job)] = began, first, due


class _Live:
    """A bar for the run and one for each worker, and a line above them for each record."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._run = progress.add_task("run", total=None, note="")
        self._bars: dict[tuple[object, ...], TaskID] = {}
        self._part: dict[tuple[object, ...], float] = {}
        self._cells = 0
        self._done = 0
        self._fits_done = 0

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._cells = event.cells
                self._progress.update(self._run, total=max(event.fits, 1), note=f"0/{event.cells} cells")
                self._console.print(_opening(event), highlight=False, markup=False)
            case JobStarted(job):
                self._bars[_key(job)] = self._progress.add_task(_name(job), total=None, note="starting")
            case FitStarted(job, cell, variant):
                self._part[_key(job)] = 0.0
                what = cell.cell.task if variant == "default" else f"{cell.cell.task} {variant}"
                self._progress.reset(self._bars[_key(job)], description=f"{_name(job)}  {what}", note="fitting")
            case FitProgress(job, values):
                self._show_fit(job, values)
            case FitDone(job):
                self._part[_key(job)] = 0.0
                self._fits_done += 1
                self._progress.update(self._bars[_key(job)], note="scoring")
                self._advance()
            case ModelChecked():
                self._console.print(_checked(event), highlight=False, markup=False)
            case CellDone(record, _):
                if record.status != "skipped":
                    self._done += 1
                    self._console.print(_outcome(record), highlight=False, markup=False)
                self._advance()
            case Waiting(count):
                self._console.print(_waiting(count), highlight=False, markup=False)
            case JobEnded(job):
                self._part.pop(_key(job), None)
                self._progress.remove_task(self._bars.pop(_key(job)))

    def _show_fit(self, job: Job, values: dict[str, float]) -> None:
        epoch, epochs = values.get("epoch"), values.get("epochs")
        notes = [f"{name} {values[name]:.2g}" for name in ("loss", "error") if name in values]
        bar = self._bars[_key(job)]
        if epoch is not None and epochs:
            self._part[_key(job)] = epoch / epochs
            self._progress.update(bar, completed=epoch, total=epochs)
            notes.insert(0, f"epoch {epoch:.4g}/{epochs:.0f}")
        elif {"block", "blocks"} <= values.keys():
            # A fit computes several kernels, so its blocks say nothing of how far the fit is.
            notes.insert(0, f"kernel, block {values['block']:.0f}/{values['blocks']:.0f}")
        # Between evaluations only the epoch is reported; the last loss stays in view.
        if len(notes) > 1 or epoch is None:
            self._progress.update(bar, note="  ".join(notes))
        self._advance()

    def _advance(self) -> None:
        completed = self._fits_done + sum(self._part.values())
        self._progress.update(self._run, completed=completed, note=f"{self._done}/{self._cells} cells")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _key(job: Job) -> tuple[object, ...]:
    return job.label, job.backend, job.dataset, job.seed


def _name(job: Job) -> str:
    return f"{job.label} seed {job.seed}"


def cells(count: int) -> str:
    """Return a number of cells in words."""
    return "1 cell" if count == 1 else f"{count} cells"


def _opening(event: RunStarted) -> str:
    known = f", {event.reused} known from before" if event.reused else ""
    processes = "1 process" if event.workers == 1 else f"{event.workers or 'so far no'} processes"
    fits = "1 fit" if event.fits == 1 else f"{event.fits} fits"
    return f"{cells(event.cells)} to compute with {fits} on {processes}{known}"


def _waiting(count: int) -> str:
    return f"waiting for {cells(count)} that another run on this folder is computing"


def _checked(event: ModelChecked) -> str:
    what = f"{event.label} was fitted twice for {event.task}"
    if event.deterministic:
        return f"{what}, and is the same"
    return f"{what}, and is not the same: something in it draws at random beside its seed; its records say so"


def _outcome(record: Record) -> str:
    cell = record.cell
    what = f"{record.label}  seed {cell.seed}  {cell.task}"
    if record.status != "ok":
        return f"{what}  {record.status}: {record.reason}"
    primary = registry.tasks.get(cell.task).primary
    value = f"{record.metrics[primary]:.4f}" if primary in record.metrics else record.missing.get(primary, "no value")
    cost = f"  (fit {record.cost.fit_s:.1f} s, score {record.cost.score_s:.1f} s)" if record.cost else ""
    return f"{what}  {primary} {value}{cost}"
