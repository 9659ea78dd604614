"""What runs on the nodes of a cluster, in Dask's workers; see :mod:`lebench.runner.cluster`."""

from __future__ import annotations

import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lebench import plugins, registry
from lebench.data import files
from lebench.data.images import SOURCES
from lebench.devices import Device, share_out
from lebench.errors import LebenchError, ParameterError
from lebench.plugins import Plugin
from lebench.runner.cluster_file import dask
from lebench.runner.environment import environment, source
from lebench.runner.events import CellEnded, FitProgress, JobEnded, JobStarted, Result, encode
from lebench.runner.executors import LocalExecutor, default_memory_limit, devices_of
from lebench.runner.fits import FOLDER, Keeping
from lebench.runner.plan import Job, Plan, PlannedCell
from lebench.runner.record_files import write_whole
from lebench.runner.results import Origin, make_result

#: Folder of results that the client has not stored yet, each in a file with the key of its cell.
SPOOL = "spool"
#: Workers that a job may take with it without finishing a cell in between.
DEATHS = 3
_PROGRESS_S = 1.0


@dataclass(frozen=True)
class Run:
    """What all tasks of a run have in common, as a node receives it once.

    Attributes
    ----------
    name : str
        Of the queue to the client, and of what the scheduler knows of its jobs.
    plan : Plan
        Without jobs.
    code : tuple of dict of str to bytes
        For each plug-in of the plan the files of its closure, where it is not installed.
    versions, packages
        What must be the same here, see :func:`versions`, and the packages that plug-ins need.
    command, time_limit, memory_limit, keeping, device
        As of the executor.
    results : Path
        The results folder as the client names it.
    mark : str
        A file in the client's spool, by which a node knows that it sees the same results folder.
    home : str
        Name of the folder that stands for the results folder where it is not seen.
    data : str
        The client's folder of data files, if it has set one.
    """

    name: str
    plan: Plan
    code: tuple[dict[str, bytes], ...]
    versions: Mapping[str, str]
    packages: frozenset[str]
    command: str
    time_limit: float
    memory_limit: int | None
    keeping: Keeping | None
    device: str
    results: Path
    mark: str
    home: str
    data: str

    @property
    def folder(self) -> Path:
        """Where this node keeps what belongs to the results folder."""
        with suppress(OSError):
            if (self.results / SPOOL / self.mark).exists():
                return self.results
        return files.cache_folder().parent / "results" / self.home

    def problem(self) -> str:
        """Return why this node cannot do its jobs, empty if it can."""
        found = versions(self.packages)
        for name, version in self.versions.items():
            if found.get(name) != version:
                there = f"has {name} {found[name]}" if name in found else f"has no {name}"
                return f"{there}, and the client {version}: install the same on both"
        spool = self.folder / SPOOL
        try:
            spool.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=spool):
                return ""
        except OSError as error:
            return f"cannot write to {str(spool)!r}: {error.strerror or error}"

    def spooled(self) -> dict[str, bytes]:
        """Return what is in the spool of this node's own."""
        return {} if self.folder == self.results else spooled(self.folder)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove results from the spool of this node's own."""
        if self.folder != self.results:
            for key in keys:
                spool_file(self.folder, key).unlink(missing_ok=True)


def versions(packages: frozenset[str]) -> dict[str, str]:
    """Return what must be the same on all sides, by name."""
    here = environment(packages)
    python = ".".join(here.python.split(".")[:2])
    return {"lebench": f"{here.lebench} (code {source().code[:8]})", "Python": python, **here.packages}


def spool_file(folder: Path, key: str) -> Path:
    """Return the file of a result by the key of its cell."""
    return folder / SPOOL / f"{key}.json"


def spooled(folder: Path) -> dict[str, bytes]:
    """Return the contents of a spool by the keys of the cells."""
    found = {}
    for path in (folder / SPOOL).glob("*.json"):
        with suppress(OSError):
            found[path.stem] = path.read_bytes()
    return found


def received(run: Run) -> Run:
    """Return what is given: as a result of a task it is sent to each node once."""
    return run


def do(run: Run, number: int, job: Job) -> None:
    """Do a job of a run, and tell the client."""
    distributed = dask("distributed")
    worker = distributed.get_worker()
    if problem := run.problem():
        raise LebenchError(f"worker {worker.address} {problem}")
    with closing(distributed.Queue(run.name, client=distributed.get_client())) as queue:
        try:
            _Task(run, number, job, worker, queue).do()
        except LebenchError as error:
            raise LebenchError(f"worker {worker.address}: {error}") from error


class _Task:
    """A job on its node. What the scheduler knows of it outlives the node, so that the next one goes on from there."""

    def __init__(self, run: Run, number: int, job: Job, worker: Any, queue: Any) -> None:
        self._run, self._number, self._job, self._worker, self._queue = run, number, job, worker, queue
        self._key, self._place = worker.get_current_task(), [run.name, str(number)]
        self._folder = run.folder
        known = queue.client.get_metadata(self._place, default={"done": [], "deaths": 0})
        self._done, self._deaths = set(known["done"]), known["deaths"]

    def do(self) -> None:
        self._tell("started")
        origin = Origin.here(self._run.command, self._run.plan.plugins)
        for cell in self._left:
            with suppress(OSError, ValidationError):
                content = spool_file(self._folder, cell.cell.key).read_bytes()
                self._end(cell, Result.model_validate_json(content))
        if self._left and self._deaths >= DEATHS:
            reason = f"{DEATHS} workers of the cluster, or their nodes, died while they computed it"
            for cell in self._left:
                self._end(cell, make_result(cell, origin, time.time(), "failed", reason))
        elif self._left:
            # Until it turns out otherwise.
            self._note(self._deaths + 1)
            try:
                self._compute(origin)
            except ParameterError as error:
                # The device is not here.
                for cell in self._left:
                    self._end(cell, make_result(cell, origin, time.time(), "failed", str(error)))
            if self._left:
                # The client has cancelled it, or the worker leaves in order.
                self._note(self._deaths - 1)
                raise dask("distributed").Reschedule
        self._tell("ended")

    @property
    def _left(self) -> list[PlannedCell]:
        return [cell for place, cell in enumerate(self._job.cells) if place not in self._done]

    def _devices(self) -> dict[str, tuple[Device, ...]]:
        """Return the device of this job: those of a node take turns."""
        backend = self._job.backend
        there = share_out(self._run.device, [backend] if backend in registry.backends else [], devices_of)
        return {name: (found[self._number % len(found)],) for name, found in there.items()}

    def _compute(self, origin: Origin) -> None:
        run, threads, told = self._run, self._worker.state.nthreads, 0.0
        # Dask's processes are such as may start none; those of a job end with it, whatever it is.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        memory = run.memory_limit or (self._worker.memory_manager.memory_limit or 0) // threads
        keeping = run.keeping and replace(run.keeping, folder=self._folder / FOLDER)
        limit = memory or default_memory_limit(threads)
        executor = LocalExecutor(1, run.time_limit, limit, origin, keeping, self._devices())
        self._see_to_data()
        plan = replace(run.plan, jobs=(self._job,), plugins=tuple(self._plugins()))
        job = replace(self._job, cells=tuple(self._left))
        with closing(executor.run(plan, [job], self._stopped)) as events:
            for event in events:
                if isinstance(event, CellEnded):
                    self._deaths = 1
                    self._end(event.cell, event.result)
                elif not isinstance(event, JobStarted | JobEnded):
                    if isinstance(event, FitProgress):
                        if time.monotonic() - told < _PROGRESS_S:
                            continue
                        told = time.monotonic()
                    self._tell("event", encode(replace(event, job=self._job)))

    def _end(self, cell: PlannedCell, result: Result) -> None:
        """Write a result to the spool and send it."""
        write_whole(spool_file(self._folder, cell.cell.key), result.model_dump_json().encode())
        self._done.add(self._job.cells.index(cell))
        self._note(self._deaths)
        self._tell("event", encode(CellEnded(self._job, cell, result)))

    def _note(self, deaths: int) -> None:
        self._deaths = deaths
        self._queue.client.set_metadata(self._place, {"done": sorted(self._done), "deaths": deaths})

    def _tell(self, what: str, content: bytes = b"") -> None:
        self._queue.put([self._number, what, content])

    def _stopped(self) -> bool:
        known, status = self._worker.state.tasks.get(self._key), self._worker.status.name
        return known is None or known.state == "cancelled" or status not in ("running", "paused")

    def _see_to_data(self) -> None:
        """See to it that the files of the dataset are here: on a path that all share, or fetched once a node."""
        if self._run.data and Path(self._run.data).is_dir():
            os.environ[files.VARIABLE] = self._run.data
        wanted = SOURCES.get(self._job.dataset)
        if wanted is not None and any(state.problem for state in wanted.states()):
            name = f"lebench {platform.node()} {wanted.name}"
            with dask("distributed").Lock(name, client=self._queue.client):
                wanted.fetch()

    def _plugins(self) -> Iterator[Plugin | registry.Loadable]:
        """Yield the plug-ins as they are found here: where they are installed, or in the files that were sent."""
        for plugin, contents in zip(self._run.plan.plugins, self._run.code, strict=True):
            if not isinstance(plugin, Plugin):
                yield plugin
                continue
            where: str | Path = plugin.module
            if contents:
                folder = Path(self._worker.local_directory, "lebench", plugin.digest)
                where = folder / plugin.file.relative_to(plugin.base)
                for name, content in contents.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    write_whole(folder / name, content)
            found = plugins.find(where)
            if plugins.digest(found) != plugin.digest:
                raise LebenchError(f"plug-in {plugin.given!r} is not what the client has imported")
            yield replace(found, given=plugin.given, digest=plugin.digest)
