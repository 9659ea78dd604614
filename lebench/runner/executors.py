"""Who does the jobs: worker processes of this machine, supervised."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

import psutil

from lebench.data.files import VARIABLE
from lebench.records import Status
from lebench.runner import worker
from lebench.runner.events import (
    CellEnded,
    ExecutorEvent,
    FitDone,
    FitProgress,
    FitStarted,
    JobEnded,
    JobStarted,
    Outcome,
)
from lebench.runner.plan import Job, Plan, PlannedCell
from lebench.runner.processes import ONE_THREAD, hidden_main, post_mortem, with_variables

_POLL_S = 0.1
_LOG_BYTES = 20_000


@dataclass
class _Worker:
    """One process and what is known of it."""

    job: Job
    process: multiprocessing.process.BaseProcess
    channel: Connection
    output: Path
    outstanding: dict[int, PlannedCell]
    deadline: float
    started: float
    current: int | None = None
    fitting: str | None = None
    fit_key: tuple[object, ...] | None = None
    verdict: tuple[Status, str] | None = None
    progressed: bool = False


class LocalExecutor:
    """Worker processes on this machine, one a job.

    Parameters
    ----------
    workers : int
        Processes at a time.
    time_limit : float
        Seconds a cell may take, its fits included.
    memory_limit : int
        Resident bytes a worker may have (what processes of its own use is not counted).
    """

    def __init__(self, workers: int, time_limit: float, memory_limit: int) -> None:
        self.workers, self.time_limit, self.memory_limit = workers, time_limit, memory_limit

    def run(self, plan: Plan, jobs: Sequence[Job], stopped: Callable[[], bool]) -> Generator[ExecutorEvent, None, None]:
        """Do jobs and yield what happens; every cell of every job ends with a ``CellEnded``.

        Parameters
        ----------
        plan : Plan
            Says what a worker has to import.
        jobs : sequence of Job
            What to do, in this order.
        stopped : callable
            Once it returns true, the workers are killed and the generator ends. So it does when it is closed.
        """
        context = _context(plan)
        queue = deque(jobs)
        running: list[_Worker] = []
        with tempfile.TemporaryDirectory(prefix="lebench-") as folder:
            try:
                while (queue or running) and not stopped():
                    while queue and len(running) < self.workers:
                        job = queue.popleft()
                        running.append(self._start(context, plan, job, Path(folder)))
                        yield JobStarted(job)
                    connection.wait([*(w.channel for w in running), *(w.process.sentinel for w in running)], _POLL_S)
                    for each in list(running):
                        # In this order: a message that was sent before the end is then read before it is noticed.
                        ended = not each.process.is_alive()
                        yield from self._read(each)
                        if ended:
                            running.remove(each)
                            yield from self._bury(each, queue)
                        else:
                            self._check_limits(each)
            finally:
                for each in running:
                    _kill(each)
                for each in running:
                    each.process.join()

    def _start(self, context: ForkServerContext | SpawnContext, plan: Plan, job: Job, folder: Path) -> _Worker:
        receiver, sender = context.Pipe(duplex=False)
        handle, output = tempfile.mkstemp(dir=folder)
        os.close(handle)
        # The server that forks the workers keeps the variables of the time when it began.
        data_folder = os.environ.get(VARIABLE, "")
        process = context.Process(
            target=worker.main, args=(sender, job, plan.plugins, plan.modules, Path(output), data_folder), daemon=False
        )
        with hidden_main(), with_variables(ONE_THREAD):
            process.start()
        sender.close()
        now = time.monotonic()
        return _Worker(
            job, process, receiver, Path(output), dict(enumerate(job.cells)), now + self.time_limit, time.time()
        )

    def _read(self, each: _Worker) -> Iterator[ExecutorEvent]:
        """Yield what a worker's messages mean."""
        messages: list[worker.Message] = []
        # A worker that is killed may leave half a message.
        with suppress(EOFError, OSError):
            while each.channel.poll():
                messages.append(each.channel.recv())
        for message in messages:
            yield from self._understand(each, message)

    def _understand(self, each: _Worker, message: worker.Message) -> Iterator[ExecutorEvent]:
        if isinstance(message, worker.Began):
            each.current, each.fitting, each.fit_key = message.index, None, None
            # The first cell began when its process was started.
            if each.progressed:
                each.deadline, each.started = time.monotonic() + self.time_limit, time.time()
        elif isinstance(message, worker.FitBegan):
            each.fitting, each.fit_key = message.variant.name, message.variant.key
            yield FitStarted(each.job, _current(each), message.variant.name)
        elif isinstance(message, worker.Progressed):
            yield FitProgress(each.job, message.values)
        elif isinstance(message, worker.FitMade):
            yield FitDone(each.job, _current(each), str(each.fitting), message.wall_s, message.cpu_s)
            each.fitting = each.fit_key = None
        elif isinstance(message, worker.CellScored):
            outcome = Outcome(
                "ok",
                metrics=message.metrics,
                missing=message.missing,
                artifacts=message.artifacts,
                arrays=message.arrays,
                recording=message.recording,
                cost=message.cost,
            )
            yield self._end(each, message.index, outcome)
        else:
            log = message.log + _tail(each.output)
            yield from self._fail(each, message.index, message.status, message.reason, log)

    def _end(self, each: _Worker, index: int, outcome: Outcome) -> CellEnded:
        each.current, each.progressed = None, True
        cell = each.outstanding.pop(index)
        return CellEnded(each.job, cell, replace(outcome, started=each.started, finished=time.time()))

    def _fail(self, each: _Worker, index: int, status: Status, reason: str, log: str) -> Iterator[CellEnded]:
        """Yield the failure of a cell and, if it happened in a fit, of the others that need the same fit."""
        first, key, variant = each.outstanding[index], each.fit_key, each.fitting
        yield self._end(each, index, Outcome(status, reason, log=log))
        if key is None:
            return
        because = f"the fit {variant!r}, which it shares with {first.cell.task}, did not succeed: {reason}"
        for other in [i for i, cell in each.outstanding.items() if key in cell.fit_keys]:
            yield self._end(each, other, Outcome(status, because, log=log))

    def _bury(self, each: _Worker, queue: deque[Job]) -> Iterator[ExecutorEvent]:
        """Record why a process ended, if it ended before its time, and queue what it left."""
        each.process.join()
        each.channel.close()
        if each.outstanding and (each.current is not None or not each.progressed):
            index = each.current if each.current is not None else min(each.outstanding)
            status, reason = each.verdict or post_mortem(each.process.exitcode)
            yield from self._fail(each, index, status, reason, f"{reason}\n{_tail(each.output)}")
        if each.outstanding:
            queue.appendleft(replace(each.job, cells=tuple(each.outstanding.values())))
        yield JobEnded(each.job)

    def _check_limits(self, each: _Worker) -> None:
        if each.verdict is None:
            each.verdict = self._exceeded(each)
            if each.verdict is not None:
                _kill(each)

    def _exceeded(self, each: _Worker) -> tuple[Status, str] | None:
        during = f" in the fit {each.fitting!r}" if each.fitting else ""
        if time.monotonic() > each.deadline:
            return "timeout", f"stopped after the time limit of {self.time_limit:g} s{during}"
        resident = _resident(each.process.pid)
        if resident > self.memory_limit:
            return "out_of_memory", f"stopped at {_mib(resident)} of memory, over {_mib(self.memory_limit)}{during}"
        return None


def default_memory_limit(workers: int) -> int:
    """Return the resident bytes each of so many workers may have: an equal part of nine tenths of what is free."""
    return int(0.9 * psutil.virtual_memory().available / workers)


def _context(plan: Plan) -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once, shared by all workers; this has an effect only before the first worker of this process.
    context.set_forkserver_preload([worker.__name__, *plan.preload])
    return context


def _family(pid: int | None) -> Iterable[psutil.Process]:
    """Return a worker and the processes it has started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(pid: int | None) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _kill(each: _Worker) -> None:
    for process in _family(each.process.pid):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _current(each: _Worker) -> PlannedCell:
    assert each.current is not None
    return each.outstanding[each.current]


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _tail(output: Path) -> str:
    content = output.read_bytes()[-_LOG_BYTES:].decode(errors="replace")
    return f"\noutput of the worker:\n{content}" if content.strip() else ""
