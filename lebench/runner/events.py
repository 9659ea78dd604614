"""What happens during a run, as a worker tells it to the run, and the run to whoever displays it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from lebench.records import Document, Record
from lebench.runner.channel import DamagedError
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
class CellStarted:
    """A worker begins with a cell; `clean` if no thread and no process of an earlier one still runs beside it."""

    job: Job
    cell: PlannedCell
    clean: bool = True


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


class Result(Document):
    """What came of a cell, on its way from the worker to the store.

    Attributes
    ----------
    record : Record
        Not sealed yet.
    log : str
        For a failure: traceback and what the worker wrote to its output.
    arrays, recording : bytes
        Contents of the files that the artifacts of the record describe, see :class:`lebench.runner.store.Store`; empty
        if there are none.
    """

    record: Record
    log: str = ""
    arrays: bytes = b""
    recording: bytes = b""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True)
class CellEnded:
    """A cell has a result."""

    job: Job
    cell: PlannedCell
    result: Result


@dataclass(frozen=True)
class ModelChecked:
    """A model was fitted twice for a task, and was the same or not."""

    label: str
    backend: str
    task: str
    deterministic: bool


@dataclass(frozen=True)
class CellDone:
    """The record of a cell is written; `left` cells remain."""

    record: Record
    left: int


@dataclass(frozen=True)
class Waiting:
    """All that is left is being computed by another run on the same folder: so many cells are waited for."""

    cells: int


@dataclass(frozen=True)
class JobEnded:
    """The worker of a job has ended, whatever came of it."""

    job: Job


#: What a worker tells.
WorkerEvent = CellStarted | FitStarted | FitProgress | FitDone | CellEnded

#: What an executor yields.
ExecutorEvent = JobStarted | WorkerEvent | JobEnded

#: What a display receives.
Event = (
    RunStarted
    | Waiting
    | JobStarted
    | CellStarted
    | FitStarted
    | FitProgress
    | FitDone
    | ModelChecked
    | CellDone
    | JobEnded
)

_TOLD = {kind.__name__: kind for kind in (CellStarted, FitStarted, FitProgress, FitDone, CellEnded)}


class _Message(Document):
    """An event of a worker as it is sent: the job is known to both ends, the cell is its place in the job."""

    event: str
    cell: int = 0
    clean: bool = True
    variant: str = ""
    values: dict[str, float] = Field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    result: Result | None = None

    model_config = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")


def encode(event: WorkerEvent) -> bytes:
    """Return a message that says what happened."""
    content: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
    job = content.pop("job")
    if "cell" in content:
        content["cell"] = job.cells.index(content["cell"])
    return _Message(event=type(event).__name__, **content).model_dump_json(exclude_defaults=True).encode()


def decode(job: Job, content: bytes) -> WorkerEvent:
    """Return what happened in a job by its message.

    Raises
    ------
    DamagedError
        If it says nothing that can have happened.
    """
    try:
        message = _Message.model_validate_json(content)
        kind = _TOLD[message.event]
        if not 0 <= message.cell < len(job.cells):
            raise IndexError
    except (ValidationError, KeyError, IndexError):
        raise DamagedError from None
    cell = job.cells[message.cell]
    if message.result is not None and message.result.record.cell != cell.cell:
        raise DamagedError
    if kind is CellEnded and message.result is None:
        raise DamagedError
    known = {**dict(message), "job": job, "cell": cell}
    event: WorkerEvent = kind(**{field.name: known[field.name] for field in fields(kind)})
    return event
