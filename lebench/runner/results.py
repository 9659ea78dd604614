"""Results of cells as they are made: by the worker that computed, or by the process that saw it end."""

from __future__ import annotations

import gc
import math
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lebench import registry
from lebench.devices import CPU, Device
from lebench.errors import LebenchError, NotOfferedError
from lebench.metrics.base import Missing
from lebench.plugins import Plugin
from lebench.records import SCHEMA, Artifact, Cost, Environment, Record, RunInfo, Source, Status
from lebench.runner.environment import environment, source
from lebench.runner.events import Result
from lebench.runner.plan import PlannedCell
from lebench.tasks.base import Task

_REASON_LENGTH = 300
#: Characters of a log that are kept of its begin and of its end.
_LOG_LENGTH = 50_000


@dataclass(frozen=True)
class Origin:
    """What the records of a run have in common.

    Attributes
    ----------
    command : str
        How the run was asked for.
    environment, source
        As in :class:`lebench.records.Record`.
    """

    command: str
    environment: Environment
    source: Source

    @classmethod
    def here(cls, command: str, plugins: Iterable[Plugin | registry.Loadable] = ()) -> Origin:
        """Return the origin of what is computed on this machine by this code and by plug-ins."""
        packages = frozenset[str]().union(*(plugin.packages() for plugin in plugins))
        return cls(command, environment(packages), source())

    def on(self, device: Device) -> Origin:
        """Return the origin of what is computed on a device."""
        if device.name == CPU:
            return self
        said = {"device": f"{device.name} {device.model}".strip(), "driver": device.driver, "deterministic": True}
        return replace(self, environment=self.environment.model_copy(update=said))

    @property
    def device(self) -> str:
        """Name of the device on which networks are computed."""
        return (self.environment.device or CPU).split()[0]


def make_result(
    planned: PlannedCell,
    origin: Origin,
    started: float,
    status: Status = "ok",
    reason: str = "",
    log: str = "",
    metrics: Mapping[str, float] | None = None,
    missing: Mapping[str, str] | None = None,
    artifacts: Mapping[str, Artifact] | None = None,
    arrays: bytes = b"",
    recording: bytes = b"",
    cost: Cost | None = None,
) -> Result:
    """Return the result of a cell that has just ended; texts are cleaned of what cannot be written.

    Parameters
    ----------
    planned : PlannedCell
        The cell.
    origin : Origin
        Where it was computed.
    started : float
        Seconds since the epoch.
    status, reason, metrics, missing, artifacts, cost
        As in :class:`lebench.records.Record`.
    log, arrays, recording
        As in :class:`lebench.runner.events.Result`.
    """
    record = Record(
        schema=SCHEMA,
        cell=planned.cell,
        track=planned.track,
        label=planned.label,
        status=status,
        reason=one_line(reason),
        metrics=dict(metrics or {}),
        missing={name: one_line(why) for name, why in (missing or {}).items()},
        artifacts=dict(artifacts or {}),
        cost=cost,
        environment=origin.environment,
        source=origin.source,
        run=RunInfo(started=_iso(started), finished=_iso(time.time()), command=origin.command),
    )
    if len(log) > 2 * _LOG_LENGTH:
        log = f"{log[:_LOG_LENGTH]}\n[...]\n{log[-_LOG_LENGTH:]}"
    log = log.encode(errors="backslashreplace").decode()
    return Result(record=record, log=log, arrays=arrays, recording=recording)


def one_line(text: str) -> str:
    """Return a text in one line, what cannot be printed by its number, cut to the length of a reason."""
    words = " ".join(str(text)[: 10 * _REASON_LENGTH].split())
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return "".join(printable)[:_REASON_LENGTH]


def describe(error: BaseException) -> tuple[Status, str, str]:
    """Return status, reason and log of a cell in which an exception was raised, whatever that does when it is asked.

    Afterwards it holds no arrays any more: those of the frames of its traceback are let go.
    """
    name = type(error).__name__
    try:
        message = str(error)
    except BaseException:
        message = "(its message cannot be shown)"
    try:
        log = "".join(traceback.format_exception(error))
    except BaseException:
        log = f"{name}: {message}\n"
    reason = message if isinstance(error, LebenchError) and message else f"{name}: {message}".rstrip(": ")
    if "read-only" in message and isinstance(error, ValueError):
        reason += " (the arrays of a split cannot be written to: copy them first)"
    status: Status = "out_of_memory" if _is_out_of_memory(error, message) else "failed"
    if isinstance(error, NotOfferedError):
        status = "skipped"
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
    except BaseException:
        pass
    gc.collect()
    return status, reason, log


def _is_out_of_memory(error: BaseException, message: str) -> bool:
    """Return whether an error says that memory ran out, in the words of Python, torch or XLA."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        words in message for words in ("DefaultCPUAllocator", "out of memory", "RESOURCE_EXHAUSTED")
    )


def checked_values(task: Task, scores: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the values of a score that are numbers, and why the others are none.

    Raises
    ------
    LebenchError
        If the score returned what the task does not declare.
    """
    undeclared = sorted(set(scores) - set(task.metrics))
    if undeclared:
        raise LebenchError(f"the score returned {', '.join(undeclared)}, which the task does not declare")
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in task.metrics:
        value = scores.get(name, Missing("the score did not return it"))
        if isinstance(value, Missing):
            missing[name] = value.reason
            continue
        number = float(value)
        if not math.isfinite(number):
            missing[name] = f"its value is {number}"
            continue
        metrics[name] = number
    return metrics, missing


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
