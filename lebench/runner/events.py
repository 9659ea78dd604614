"""What happens during a run, as it is told to whoever displays it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lebench.records import Artifact, Cost, Record, Status
from lebench.runner.plan import Job, PlannedCell


@dataclass(frozen=True)
class RunStarted:
    """The run begins.

    Attributes
    ----------
    cells, fits : int
        What is to be done.
    reused, skipped : int
        Cells known from earlier, and cells that cannot be done.
    workers : int
        Processes at a time.
    """

    cells: int
    fits: int
    reused: int
    skipped: int
    workers: int


@dataclass(frozen=True)
class JobStarted:
    """A worker begins with a job, or goes on with it after another worker died."""

    job: Job


@dataclass(frozen=True)
class FitStarted:
    """A worker begins a fit that `cell` needs."""

    job: Job
    cell: PlannedCell
    variant: str


@dataclass(frozen=True)
class FitProgress:
    """Values that the model reported with :func:`lebench.progress.report`."""

    job: Job
    values: dict[str, float]


@dataclass(frozen=True)
class FitDone:
    """A fit is made; it took so many seconds of wall and of CPU time."""

    job: Job
    cell: PlannedCell
    variant: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Outcome:
    """What came of a cell, before it is a record.

    Attributes
    ----------
    status, reason, metrics, missing, artifacts, cost
        As in :class:`lebench.records.Record`.
    arrays, recording : bytes
        Contents of the files that the artifacts describe, see :class:`lebench.runner.store.Store`; empty if there are
        none.
    started, finished : float
        Seconds since the epoch.
    log : str
        For a failure: traceback and what the worker wrote to its output.
    """

    status: Status
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    arrays: bytes = b""
    recording: bytes = b""
    cost: Cost | None = None
    started: float = 0.0
    finished: float = 0.0
    log: str = ""


@dataclass(frozen=True)
class CellEnded:
    """A cell has an outcome."""

    job: Job
    cell: PlannedCell
    outcome: Outcome


@dataclass(frozen=True)
class CellDone:
    """The record of a cell is written; `left` cells remain."""

    record: Record
    left: int


@dataclass(frozen=True)
class JobEnded:
    """The worker of a job has ended, whatever came of it."""

    job: Job


#: What an executor yields.
ExecutorEvent = JobStarted | FitStarted | FitProgress | FitDone | CellEnded | JobEnded

#: What a display receives.
Event = RunStarted | JobStarted | FitStarted | FitProgress | FitDone | CellDone | JobEnded
