"""Carrying out a plan: what is missing is done, every outcome becomes a record at once."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lebench import registry
from lebench.devices import CPU, share_out
from lebench.errors import LebenchError
from lebench.records import Record
from lebench.runner.claims import Division
from lebench.runner.determinism import cheapest, check
from lebench.runner.environment import cores
from lebench.runner.events import CellDone, CellEnded, Event, Result, RunStarted, Waiting
from lebench.runner.executors import LocalExecutor, default_memory_limit, devices_of
from lebench.runner.fits import FOLDER, Keeping
from lebench.runner.plan import Job, Plan, PlannedCell
from lebench.runner.results import Origin, make_result
from lebench.runner.store import Store

if TYPE_CHECKING:
    from lebench.runner.cluster import DaskExecutor

#: Seconds a cell may take unless asked otherwise.
TIME_LIMIT = 1800.0
#: Signals that end a run in order; the last is that of a terminal that was closed.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(frozen=True)
class Summary:
    """What a run has done.

    Attributes
    ----------
    records : tuple of Record
        Those written by this run, in the order in which they were complete.
    reused : int
        Cells whose outcome was known.
    elsewhere : int
        Cells that another run on the same folder has done in the meantime.
    left : int
        Cells that were not reached because the run was interrupted.
    interrupted : str
        ``"SIGINT"``, ``"SIGTERM"`` or ``"SIGHUP"``, or empty.
    wall_s : float
        Duration in seconds.
    """

    records: tuple[Record, ...]
    reused: int
    elsewhere: int
    left: int
    interrupted: str
    wall_s: float

    @property
    def done(self) -> int:
        """Number of cells that this run computed."""
        return sum(record.status == "ok" for record in self.records)

    @property
    def skipped(self) -> int:
        """Number of cells recorded as impossible by this run."""
        return sum(record.status == "skipped" for record in self.records)

    @property
    def failures(self) -> tuple[Record, ...]:
        """Records of the cells that failed, ran too long or out of memory."""
        return tuple(record for record in self.records if record.status not in ("ok", "skipped"))


def pending(plan: Plan, store: Store, force: bool = False) -> tuple[list[Job], list[PlannedCell]]:
    """Return what of a plan is not in the store: jobs with the missing cells only, and skipped cells.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    store : Store
        What there is.
    force : bool
        Want everything anew.
    """
    known = set() if force else store.known(cell.cell.key for cell in plan.cells)

    def missing(cell: PlannedCell) -> bool:
        return cell.cell.key not in known

    jobs = [replace(job, cells=tuple(cell for cell in job.cells if missing(cell))) for job in plan.jobs]
    return [job for job in jobs if job.cells], [cell for cell in plan.skipped if missing(cell)]


def execute(
    plan: Plan,
    store: Store,
    jobs: int | None = None,
    force: bool = False,
    time_limit: float = TIME_LIMIT,
    memory_limit: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    command: str | None = None,
    check_determinism: bool = False,
    keep_fits: bool = False,
    cluster: str | Path | None = None,
    device: str = CPU,
) -> Summary:
    """Do what of a plan is not in the store.

    Cells that another run on the same folder is computing are left to it, and waited for in the end. An interrupt
    (SIGINT, SIGTERM, SIGHUP) ends the workers and returns what is done; a second SIGINT raises.

    Parameters
    ----------
    plan : Plan
        From :func:`lebench.runner.plan.make_plan`.
    store : Store
        Where records go, each the moment it is complete.
    jobs : int, optional
        Worker processes at a time; by default as many as there are processors.
    force : bool
        Do also what is in the store; the new records say which ones they replace, and nothing is removed.
    time_limit : float
        Seconds a cell may take, its fits included.
    memory_limit : int, optional
        Resident bytes a worker may have; by default its part of what is free.
    on_event : callable
        Receives what happens, see :mod:`lebench.runner.events`.
    command : str, optional
        How the run was asked for, as recorded; by default the command line.
    check_determinism : bool
        First fit the cheapest cell of each model twice; its records say whether both were equal.
    keep_fits : bool
        Keep the weights of trained networks in the folder of the store, so that another question of the same fit needs
        no training. The state of a long training under way is kept there in any case until it ends.
    cluster : str or Path, optional
        Compute on a cluster of Dask's: the address of its scheduler, or a file that says what to start, see
        :mod:`lebench.runner.cluster_file`. By default on this machine.
    device : {"cpu", "auto", "cuda", "cuda:0", "mps"}
        On what networks are trained and measured, with ``"cuda:1"`` and so on; workers share the GPUs of ``"cuda"``,
        or of ``"auto"``, which is the processor where there are none. It is no part of what a record is, and named
        in its environment.

    Raises
    ------
    LebenchError
        If the results folder cannot be written to, a limit makes no sense, a cluster cannot do what is asked, or there
        is no such device.
    """
    backends = sorted({job.backend for job in plan.jobs if job.backend in registry.backends})
    # The nodes of a cluster have their own.
    shared = share_out(device, backends if cluster is None else [], devices_of)
    workers = cores() if jobs is None else jobs
    if workers < 1:
        raise LebenchError(f"the number of jobs must be at least 1, not {workers}")
    if cluster is not None and jobs is not None:
        raise LebenchError("a number of jobs is for one machine: how large a cluster is, it says itself")
    if time_limit <= 0 or (memory_limit is not None and memory_limit <= 0):
        raise LebenchError("a time limit and a memory limit must be positive")
    store.prepare()
    began = time.time()
    origin = Origin.here(_command_line() if command is None else command, plan.plugins)
    todo, impossible = pending(plan, store, force)
    left = sum(len(job.cells) for job in todo)
    reused = len(plan.cells) - left - len(impossible)
    twice = cheapest(plan, {(job.label, job.backend) for job in todo}) if check_determinism else []
    fits = sum(job.fits for job in todo) + 2 * sum(job.fits for job in twice)
    records: list[Record] = []
    equal: dict[tuple[str, str], bool] = {}

    def record(result: Result, replaces: Iterable[str] = ()) -> None:
        made = result.record
        marks = {"deterministic": equal.get((made.label, made.cell.backend)), "replaces": tuple(sorted(replaces))}
        records.append(made.model_copy(update=marks).sealed())
        store.put(records[-1], result.log, result.arrays, result.recording)
        on_event(CellDone(records[-1], left))

    keeping = Keeping((store.folder / FOLDER).absolute(), keep_fits)
    with ExitStack() as stack:
        executor: LocalExecutor | DaskExecutor
        if cluster is None:
            executor = LocalExecutor(
                workers, time_limit, memory_limit or default_memory_limit(workers), origin, keeping, shared
            )
        else:
            from lebench.runner.cluster import DaskExecutor

            executor = stack.enter_context(
                DaskExecutor(cluster, time_limit, memory_limit, origin, keeping, store, device)
            )
        on_event(RunStarted(left, fits, reused, len(plan.skipped), executor.workers))
        for planned in impossible:
            record(make_result(planned, origin, began, "skipped", planned.unmet or ""))
        interruption = stack.enter_context(_Interruption())
        division = stack.enter_context(Division(store, todo, force))
        # What is kept of one fit would stand in for the other.
        executor.keeping = None
        equal |= check(executor, plan, twice, interruption.happened, on_event)
        executor.keeping = keeping
        while todo:
            with closing(executor.run(plan, todo, interruption.happened, division.claim)) as events:
                for event in events:
                    if isinstance(event, CellEnded):
                        left -= 1
                        record(event.result, division.before[event.cell.cell.key] if force else ())
                        division.release(event.cell)
                    else:
                        on_event(event)
            todo = division.theirs(interruption.happened, lambda count: on_event(Waiting(count)))
        store.sync()
    elsewhere = division.elsewhere
    return Summary(tuple(records), reused, elsewhere, left - elsewhere, interruption.name, time.time() - began)


class _Interruption:
    """Notes SIGINT, SIGTERM and SIGHUP while it is entered, so that what is under way can be ended in order."""

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[signal.Signals, Any] = {}

    def happened(self) -> bool:
        """Return whether one of the signals arrived."""
        return bool(self.name)

    def __enter__(self) -> _Interruption:
        # Elsewhere than in the main thread Python does not let one handle signals.
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
            # What is ignored stays so: nohup, or a job in the background.
            heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
