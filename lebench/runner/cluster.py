"""Who does the jobs where there is a cluster: workers of Dask's, each job in a supervised process on its node.

A job is a task of Dask's, and runs on the node as on one machine, see :mod:`lebench.runner.node`. What is told of it
reaches the client, which alone writes to the store, through a queue on the scheduler. Before a result is sent it is
written to a *spool*: a folder of the results folder where the node sees that, and else of the node's own. The client
removes it there once it is in the store. So whoever dies, a result is with the client, on the scheduler or in a spool,
and spools are asked before anything is computed.
"""

from __future__ import annotations

import itertools
import logging
import os
import platform
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lebench.canonical import digest
from lebench.data import files
from lebench.devices import CPU
from lebench.errors import LebenchError, LebenchWarning
from lebench.plugins import Plugin
from lebench.runner import node
from lebench.runner.cluster_file import dask, start
from lebench.runner.events import CellEnded, ExecutorEvent, JobEnded, JobStarted, Result, decode
from lebench.runner.fits import Keeping
from lebench.runner.node import SPOOL, Run, spool_file, spooled
from lebench.runner.plan import Job, Plan, PlannedCell
from lebench.runner.results import Origin, one_line
from lebench.runner.store import Store

#: Seconds in which a scheduler must answer, and for which one that is lost is looked for.
ANSWER_S, PATIENCE_S = 10.0, 120.0
_POLL_S = 0.1


@dataclass
class _Sent:
    """A job, what of it is left, and the task that does it; `runs` from its start on a node until its end there."""

    job: Job
    left: list[PlannedCell]
    task: Any = None
    runs: bool = False


class DaskExecutor:
    """The workers of a cluster, in place of :class:`lebench.runner.executors.LocalExecutor`.

    Parameters
    ----------
    where : str or Path
        Address of a scheduler that runs, or a file that says what to start, see :mod:`lebench.runner.cluster_file`.
    time_limit, memory_limit, origin, keeping
        As for :class:`LocalExecutor`; without a memory limit, a job has its part of what Dask's worker may use.
    store : Store
        Where the records of the run go.
    device : str
        On what nodes compute networks, see :func:`lebench.runner.execution.execute`; on a GPU each job takes one of
        Dask's resources ``GPU``.

    Raises
    ------
    LebenchError
        If there is no scheduler, or none can be started.
    """

    def __init__(
        self,
        where: str | Path,
        time_limit: float,
        memory_limit: int | None,
        origin: Origin,
        keeping: Keeping | None,
        store: Store,
        device: str = CPU,
    ) -> None:
        self.time_limit, self.memory_limit, self.origin, self.keeping = time_limit, memory_limit, origin, keeping
        self._store, self._device = store, device
        self._resources = None if device in (CPU, "auto") else {"GPU": 1}
        self._stored: set[str] = set()
        distributed = dask("distributed")
        # What a user needs of what Dask says to its log is said here.
        for name in ("distributed", "distributed.client"):  # Dask gives the second a level of its own.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._cluster = None if _is_address(where) else start(Path(where))
        self._where = where if self._cluster is None else self._cluster.scheduler_address
        try:
            self._client = distributed.Client(self._cluster or where, timeout=ANSWER_S, set_as_default=False)
        except (OSError, ValueError) as error:
            self._end_cluster()
            reason = one_line(str(error)).rstrip(".")
            raise LebenchError(f"no scheduler answers at {where}: {reason}; 'dask scheduler' starts one") from error

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(Exception):
            self._client.close(timeout=ANSWER_S)
        self._end_cluster()

    @property
    def workers(self) -> int:
        """Jobs that the workers which are there now do at a time."""
        return sum(self._client.nthreads().values())

    def run(
        self,
        plan: Plan,
        jobs: Sequence[Job],
        stopped: Callable[[], bool],
        claim: Callable[[Job], Job | None] = lambda job: job,
    ) -> Generator[ExecutorEvent, None, None]:
        """Do jobs; see :meth:`lebench.runner.executors.LocalExecutor.run`. All are claimed at once."""
        sent = [_Sent(job, list(job.cells)) for job in map(claim, jobs) if job is not None]
        spool = self._store.folder.absolute() / SPOOL
        spool.mkdir(exist_ok=True)
        # Another client's, or of one that was killed, is as good.
        mark = next(spool.glob("*.client"), spool / f"{uuid.uuid4().hex}.client")
        mark.touch()
        run = self._described(plan, mark.name)
        try:
            while sent and not stopped():
                try:
                    # By another name: what nodes still do of an earlier round is none of this one.
                    yield from self._round(replace(run, name=f"lebench-{uuid.uuid4().hex}"), sent, stopped)
                except OSError as error:
                    for each in sent:
                        if each.runs:
                            each.runs = False
                            yield JobEnded(each.job)
                    self._reconnect(error, stopped)
        finally:
            with suppress(OSError):
                mark.unlink()
                spool.rmdir()

    def _round(self, run: Run, sent: list[_Sent], stopped: Callable[[], bool]) -> Iterator[ExecutorEvent]:
        """Do jobs until all are done. That the scheduler is lost is an OSError, as all of Dask's are that say so."""
        client, numbered, numbers = self._client, dict[int, _Sent](), itertools.count()
        self._check(run)
        known = self._drained(run)
        for each in sent:
            for cell in [cell for cell in each.left if cell.cell.key in known]:
                yield from self._deliver(run, each, CellEnded(each.job, cell, known[cell.cell.key]))
        sent[:] = [each for each in sent if each.left]
        queue = dask("distributed").Queue(run.name, client=client)
        everything = client.submit(node.received, run, key=f"{run.name}-run", pure=False)

        def submit(each: _Sent, number: int) -> None:
            numbered[number] = each
            each.task = client.submit(
                node.do,
                everything,
                number,
                each.job,
                key=(run.name, uuid.uuid4().hex),
                priority=-number,
                resources=self._resources,
            )

        def begin(each: _Sent) -> None:
            # Messages name a cell by its place in the job that was sent.
            each.job = replace(each.job, cells=tuple(each.left))
            submit(each, next(numbers))

        try:
            for each in sent:
                begin(each)
            while sent and not stopped():
                for number, each in list(numbered.items()):
                    if each.task.status == "error":
                        _raise_unless_killed(each.task.exception())
                        submit(each, number)
                    elif each.task.status in ("cancelled", "lost"):
                        raise OSError("it has forgotten its tasks")
                messages = queue.get(batch=True)
                for number, what, content in messages:
                    # A task whose node died just after it was done is done again, in vain.
                    if number in numbered:
                        yield from self._heard(run, numbered[number], what, content)
                        if what == "ended":
                            each = numbered.pop(number)
                            each.task.release()
                            if each.left:  # a result died with its node
                                begin(each)
                            else:
                                sent.remove(each)
                if not messages:
                    time.sleep(_POLL_S)
        finally:
            if client.status == "running":
                with suppress(Exception):
                    client.cancel([each.task for each in numbered.values()], force=True)
                    queue.close()
                    client.set_metadata([run.name], {})
                    if self._stored:
                        client.run(run.forget, self._stored)
                        self._stored = set()

    def _heard(self, run: Run, each: _Sent, what: str, content: bytes) -> Iterator[ExecutorEvent]:
        if what == "event":
            event = decode(each.job, content)
            if not isinstance(event, CellEnded):
                yield event
            elif event.cell in each.left:
                yield from self._deliver(run, each, event)
            return
        if each.runs:
            yield JobEnded(each.job)
        each.runs = what == "started"
        if each.runs:
            yield JobStarted(each.job)

    def _deliver(self, run: Run, each: _Sent, event: CellEnded) -> Iterator[ExecutorEvent]:
        """Yield a result, after which it is in the store, and need not be in a spool."""
        each.left.remove(event.cell)
        yield event
        self._stored.add(event.cell.cell.key)
        with suppress(OSError):
            spool_file(run.results, event.cell.cell.key).unlink()

    def _described(self, plan: Plan, mark: str) -> Run:
        packages = frozenset[str]().union(*(plugin.packages() for plugin in plan.plugins))
        sent = [isinstance(plugin, Plugin) and not plugin.is_installed and plugin for plugin in plan.plugins]
        results = self._store.folder.absolute()
        return Run(
            name="",
            plan=replace(plan, jobs=(), skipped=(), unavailable=()),
            code=tuple({n: file.read_bytes() for n, file in p.closure().items()} if p else {} for p in sent),
            versions=node.versions(packages),
            packages=packages,
            command=self.origin.command,
            time_limit=self.time_limit,
            memory_limit=self.memory_limit,
            keeping=self.keeping,
            device=self._device,
            results=results,
            mark=mark,
            home=digest([platform.node(), str(results)])[:16],
            data=os.environ.get(files.VARIABLE, ""),
        )

    def _check(self, run: Run) -> None:
        """Check the workers that are there; one that comes later checks itself.

        Raises
        ------
        LebenchError
            If one cannot do the jobs.
        """
        for address, answer in self._client.run(run.problem, on_error="return").items():
            if isinstance(answer, BaseException) and not isinstance(answer, OSError):
                answer = f"cannot run lebench, install it there as here: {one_line(str(answer))}"
            # One that does not answer is gone.
            if answer and isinstance(answer, str):
                raise LebenchError(f"worker {address} {answer}")

    def _drained(self, run: Run) -> dict[str, Result]:
        """Return the results in spools by the keys of their cells; those that are in the store are removed."""
        contents = spooled(run.results)
        for answer in self._client.run(run.spooled, on_error="return").values():
            contents |= answer if isinstance(answer, dict) else {}
        self._stored |= self._store.known(contents)
        found: dict[str, Result] = {}
        for key, content in contents.items():
            with suppress(ValidationError):  # half of one, from a node that lost its power
                found[key] = Result.model_validate_json(content)
            if key in self._stored:
                with suppress(OSError):
                    spool_file(run.results, key).unlink()
        return found

    def _reconnect(self, error: OSError, stopped: Callable[[], bool]) -> None:
        """Wait for a scheduler that is lost.

        Raises
        ------
        LebenchError
            If it does not come back.
        """
        with suppress(Exception):
            self._client.close(timeout=1)
        lost = f"the scheduler at {self._where} is lost ({one_line(str(error))})"
        if self._cluster is None:
            warnings.warn(f"{lost}; it is looked for during {PATIENCE_S:.0f} s", LebenchWarning, stacklevel=2)
        deadline = time.monotonic() + PATIENCE_S * (self._cluster is None)
        while not stopped():
            with suppress(OSError):
                self._client = dask("distributed").Client(self._where, timeout=ANSWER_S, set_as_default=False)
                with suppress(TimeoutError):
                    # In the spools of their nodes may be what was done.
                    self._client.wait_for_workers(1, timeout=ANSWER_S)
                return
            if time.monotonic() > deadline:
                raise LebenchError(f"{lost}; what was done is recorded, and the same command goes on from there")
            time.sleep(_POLL_S)

    def _end_cluster(self) -> None:
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close()


def _is_address(where: str | Path) -> bool:
    return isinstance(where, str) and ":" in where and not Path(where).exists()


def _raise_unless_killed(error: BaseException) -> None:
    """Raise what went wrong in a task, unless workers died under it: how many, the next one that gets it knows."""
    if isinstance(error, dask("distributed").KilledWorker):
        return
    if isinstance(error, LebenchError):
        raise error
    raise LebenchError(f"the cluster cannot do a job: {type(error).__name__}: {one_line(str(error))}") from error
