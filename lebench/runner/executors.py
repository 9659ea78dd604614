"""Who does the jobs: worker processes of this machine, supervised."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path
from types import MappingProxyType

import psutil

from lebench import registry
from lebench.devices import CPU, Device
from lebench.errors import LebenchError
from lebench.records import Status
from lebench.runner import worker
from lebench.runner.channel import DamagedError
from lebench.runner.events import (
    CellEnded,
    CellStarted,
    ExecutorEvent,
    FitDone,
    FitStarted,
    JobEnded,
    JobStarted,
    Result,
    WorkerEvent,
    decode,
)
from lebench.runner.fits import Keeping
from lebench.runner.plan import Job, Plan, PlannedCell
from lebench.runner.processes import SPAWN, Context, Supervised, fork_server, post_mortem
from lebench.runner.results import Origin, make_result

_POLL_S = 0.1
#: Seconds between two looks that count at most: a longer pause is one of this process, which was stopped or busy.
_LONGEST_LOOK_S = 1.0
#: The share of its time that a worker is charged for standing still: another may have stopped it, but not for ever.
_STOPPED_SHARE = 0.1
#: Seconds that a worker may live on after it has closed its pipe.
_SILENT_S = 5.0
_LOG_BYTES = 20_000
#: Bytes of output of a worker, beyond which it is thrown away.
_OUTPUT_BYTES = 100_000_000

_DAMAGED = "something in the process wrote into files of lebench's, or closed them"


@dataclass
class _Worker:
    """One process and what is known of it."""

    job: Job
    process: Supervised
    alone: bool
    device: Device
    left: list[PlannedCell] = field(init=False)
    current: PlannedCell | None = None
    clean: bool = True
    fitting: str = ""
    verdict: tuple[Status, str] | None = None
    fresh: bool = True
    abandoned: bool = False
    started: float = field(default_factory=time.time)
    spent_s: float = 0.0
    silent_s: float = 0.0
    looked: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.left = list(self.job.cells)


class LocalExecutor:
    """Worker processes on this machine, one a job.

    Parameters
    ----------
    workers : int
        Processes at a time.
    time_limit : float
        Seconds a cell may take, its fits included. Time for which all stand still does not count.
    memory_limit : int
        Resident bytes a worker may have (what processes of its own use is not counted).
    origin : Origin
        What the records have in common.
    keeping : Keeping, optional
        Where fits are kept; by default nowhere.
    devices : mapping of str to tuple of Device
        For each backend the devices that its workers share; by default there is only the processor.

    Raises
    ------
    LebenchError
        On Windows.
    """

    def __init__(
        self,
        workers: int,
        time_limit: float,
        memory_limit: int,
        origin: Origin,
        keeping: Keeping | None = None,
        devices: Mapping[str, tuple[Device, ...]] = MappingProxyType({}),
    ) -> None:
        if os.name == "nt":
            raise LebenchError("cells are computed on Linux and macOS only; on Windows, run lebench in WSL")
        self.workers, self.time_limit, self.memory_limit = workers, time_limit, memory_limit
        self.origin, self.keeping, self.devices = origin, keeping, devices

    def run(
        self,
        plan: Plan,
        jobs: Sequence[Job],
        stopped: Callable[[], bool],
        claim: Callable[[Job], Job | None] = lambda job: job,
    ) -> Generator[ExecutorEvent, None, None]:
        """Do jobs and yield what happens; every cell of every job ends with a ``CellEnded``.

        Parameters
        ----------
        plan : Plan
            Says what a worker has to import.
        jobs : sequence of Job
            What to do, in this order.
        stopped : callable
            Once it returns true, the workers are killed and the generator ends. So it does when it is closed.
        claim : callable
            Receives a job that is about to start, and returns what of it is to be done, if anything.

        Raises
        ------
        LebenchError
            If no process can be started.
        """
        context = fork_server([worker.__name__, *plan.preload])
        # With whether a job has to run alone, so that another cannot be to blame for how it ends.
        queue = deque((job, False) for job in jobs)
        running: list[_Worker] = []
        with tempfile.TemporaryDirectory(prefix="lebench-", ignore_cleanup_errors=True) as folder:
            try:
                while (queue or running) and not stopped():
                    while (
                        queue
                        and len(running) < self.workers
                        and not (running and (queue[0][1] or any(each.alone for each in running)))
                    ):
                        queued, alone = queue.popleft()
                        job = claim(queued)
                        if job is None:
                            continue
                        device = self._free(job, running)
                        try:
                            process = self._start(context, plan, job, Path(folder), device)
                        except OSError as error:
                            queue.appendleft((job, alone))
                            if running:
                                break
                            if context is SPAWN:
                                raise LebenchError(f"no process can be started: {error.strerror or error}") from error
                            context = SPAWN
                            continue
                        running.append(_Worker(job, process, alone, device))
                        yield JobStarted(job)
                    connection.wait([end for each in running for end in each.process.waitable], _POLL_S)
                    for each in list(running):
                        # In this order: a message that was sent before the end is then read before it is noticed.
                        ended = each.process.ended
                        yield from self._read(each)
                        if ended:
                            running.remove(each)
                            yield from self._reap(each, queue)
                        else:
                            self._check_limits(each)
            finally:
                for each in running:
                    each.process.kill()
                for each in running:
                    each.process.close()

    def _free(self, job: Job, running: Sequence[_Worker]) -> Device:
        """Return the device of a backend on which the fewest workers compute."""
        counts = Counter(each.device for each in running)
        return min(self.devices.get(job.backend, (Device(CPU),)), key=lambda device: counts[device])

    def _start(self, context: Context, plan: Plan, job: Job, folder: Path, device: Device) -> Supervised:
        # Whoever clears up temporary folders may have removed it.
        folder.mkdir(exist_ok=True)
        handle, output = tempfile.mkstemp(dir=folder)
        os.close(handle)
        what = (job, plan.plugins, plan.modules, self.origin.on(device), self.keeping)
        return Supervised(context, worker.main, *what, output=Path(output))

    def _read(self, each: _Worker) -> Iterator[ExecutorEvent]:
        """Yield what a worker has told."""
        try:
            for content in each.process.messages():
                yield from self._handle(each, decode(each.job, content))
        except DamagedError:
            each.verdict = each.verdict or ("failed", _DAMAGED)
            self._abandon(each)

    def _abandon(self, each: _Worker) -> None:
        """End a process and listen to it no more."""
        each.abandoned = True
        each.process.kill()

    def _handle(self, each: _Worker, event: WorkerEvent) -> Iterator[ExecutorEvent]:
        if each.abandoned:
            return
        if isinstance(event, CellStarted):
            each.current, each.clean, each.fitting = event.cell, event.clean, ""
            # The first cell began when its process was started.
            if not each.fresh:
                each.spent_s, each.started = 0.0, time.time()
        elif isinstance(event, FitStarted):
            each.fitting = event.variant
        elif isinstance(event, FitDone):
            each.fitting = ""
        elif isinstance(event, CellEnded):
            if event.cell not in each.left:
                raise DamagedError
            if event.result.record.status == "ok":
                yield self._end(each, event.cell, event.result)
            elif each.clean:
                result = event.result.model_copy(update={"log": event.result.log + _tail(each.process.output)})
                yield from self._fail(each, event.cell, result)
            else:
                # What an earlier cell has left behind may be to blame: it is tried again in a process of its own.
                self._abandon(each)
            return
        yield event

    def _end(self, each: _Worker, cell: PlannedCell, result: Result) -> CellEnded:
        each.current, each.fresh = None, False
        each.left.remove(cell)
        return CellEnded(each.job, cell, result)

    def _fail(self, each: _Worker, cell: PlannedCell, result: Result) -> Iterator[CellEnded]:
        """Yield the failure of a cell and, if it happened in a fit, of the others that need the same fit."""
        fitting = each.fitting
        yield self._end(each, cell, result)
        key = next((variant.key for variant in cell.variants if variant.name == fitting), None)
        record = result.record
        because = f"the fit {fitting!r}, which it shares with {cell.cell.task}, did not succeed: {record.reason}"
        for other in [other for other in each.left if key in other.fit_keys]:
            yield self._end(each, other, self._failure(each, other, record.status, because, result.log))

    def _failure(self, each: _Worker, cell: PlannedCell, status: Status, reason: str, log: str) -> Result:
        return make_result(cell, self.origin.on(each.device), each.started, status, reason, log)

    def _reap(self, each: _Worker, queue: deque[tuple[Job, bool]]) -> Iterator[ExecutorEvent]:
        """Record why a process ended, if it ended before its time, and queue what it left."""
        lost = each.process.orphaned
        if lost:
            each.process.kill()
        code = each.process.close()
        # The server may have been ended by another process, and a process by what an earlier cell has left in it.
        again = not each.alone and not (each.clean and (each.verdict or not lost))
        if each.left and (each.current is not None or each.fresh) and not again:
            status, reason = each.verdict or post_mortem(code)
            cell = each.current or each.left[0]
            log = f"{reason}\n{_tail(each.process.output)}"
            yield from self._fail(each, cell, self._failure(each, cell, status, reason, log))
        if each.left:
            # The one in which the process was lost is the first in the next, where nothing came before it.
            cells = sorted(each.left, key=lambda cell: cell != each.current)
            queue.appendleft((replace(each.job, cells=tuple(cells)), again))
        with suppress(OSError):
            each.process.output.unlink()
        yield JobEnded(each.job)

    def _check_limits(self, each: _Worker) -> None:
        now = time.monotonic()
        passed = min(now - each.looked, _LONGEST_LOOK_S)
        each.looked = now
        each.spent_s += passed * (_STOPPED_SHARE if each.process.stopped else 1.0)
        each.silent_s += passed if each.process.silent else 0.0
        with suppress(OSError):
            if each.process.output.stat().st_size > _OUTPUT_BYTES:
                os.truncate(each.process.output, 0)
        if each.verdict is None:
            each.verdict = self._exceeded(each)
            if each.verdict is not None:
                each.process.kill()

    def _exceeded(self, each: _Worker) -> tuple[Status, str] | None:
        during = f" in the fit {each.fitting!r}" if each.fitting else ""
        if each.spent_s > self.time_limit:
            return "timeout", f"stopped after the time limit of {self.time_limit:g} s{during}"
        resident = each.process.resident
        if resident > self.memory_limit:
            return "out_of_memory", f"stopped at {_mib(resident)} of memory, over {_mib(self.memory_limit)}{during}"
        if each.silent_s > _SILENT_S:
            return "failed", _DAMAGED
        return None


def devices_of(backend: str) -> Sequence[Device]:
    """Return the devices that a backend has beside the processor."""
    return getattr(registry.backends.get(backend), "devices", tuple)()


def default_memory_limit(workers: int) -> int:
    """Return the resident bytes each of so many workers may have: an equal part of nine tenths of what is free."""
    return int(0.9 * psutil.virtual_memory().available / workers)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _tail(output: Path) -> str:
    try:
        with output.open("rb") as file:
            file.seek(max(0, output.stat().st_size - _LOG_BYTES))
            content = file.read(_LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return f"\noutput of the worker:\n{content}" if content.strip() else ""
