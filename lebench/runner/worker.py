"""What runs in a worker process: the fits and scores of one job, told to the parent message by message."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lebench import progress, registry
from lebench.artifacts import pack
from lebench.capabilities import offers
from lebench.data.base import Split, Variant
from lebench.data.files import VARIABLE
from lebench.errors import LebenchError, TrainingError
from lebench.metrics.base import Missing
from lebench.models.spec import build_model
from lebench.plugins import Plugin
from lebench.records import Artifact, Cost, Status
from lebench.runner.plan import Job, PlannedCell
from lebench.runner.processes import die_with_parent
from lebench.runner.recording import Recorder, replay, same
from lebench.runner.recording_format import BITS, rounded
from lebench.tasks.base import Fit, NotFitted, Scored, Task

_PROGRESS_INTERVAL = 0.1
_REASON_LENGTH = 300


@dataclass(frozen=True)
class Began:
    """Work on the cell with this index begins."""

    index: int


@dataclass(frozen=True)
class FitBegan:
    """A fit begins."""

    variant: Variant


@dataclass(frozen=True)
class Progressed:
    """The model reported values."""

    values: dict[str, float]


@dataclass(frozen=True)
class FitMade:
    """The fit is made."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class CellScored:
    """The cell is done; its fields are those of :class:`lebench.runner.events.Outcome`."""

    index: int
    metrics: dict[str, float]
    missing: dict[str, str]
    artifacts: dict[str, Artifact]
    arrays: bytes
    recording: bytes
    cost: Cost


@dataclass(frozen=True)
class Failed:
    """The cell failed; if in a fit, the parent knows in which from :class:`FitBegan`."""

    index: int
    status: Status
    reason: str
    log: str


Message = Began | FitBegan | Progressed | FitMade | CellScored | Failed


def main(
    channel: Connection, job: Job, plugins: Iterable[Plugin], modules: Iterable[str], output: Path, data_folder: str
) -> None:
    """Do a job and send what happens.

    Parameters
    ----------
    channel : Connection
        Where messages go.
    job : Job
        What to do.
    plugins, modules
        What to import first, see :class:`lebench.runner.plan.Plan`.
    output : Path
        File that receives what anything in the process writes to its standard output and error.
    data_folder : str
        Value of ``LEBENCH_DATA``.
    """
    os.environ[VARIABLE] = data_folder
    die_with_parent()
    # An interrupt from the keyboard reaches all processes of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with output.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody listens any more
        _work(channel, job, plugins, modules)
    channel.close()
    sys.stdout.flush()
    # A thread that a model has left running must not keep the process.
    os._exit(0)


def _work(channel: Connection, job: Job, plugins: Iterable[Plugin], modules: Iterable[str]) -> None:
    index = 0
    try:
        channel.send(Began(0))
        for module in modules:
            importlib.import_module(module)
        for plugin in plugins:
            registry.load_plugin(plugin)
        model = build_model(job.label, job.backend).model
        split = registry.datasets.get(job.dataset).split(job.seed)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        fits = _Fits(model, split, job.seed, channel)
        for index, planned in enumerate(job.cells):
            if fits.broken & planned.fit_keys:
                # The parent records what else a broken fit takes with it.
                continue
            channel.send(Began(index))
            fits.release(job.cells[index:])
            try:
                channel.send(_score(index, planned, fits))
            except Exception as error:
                failure = _failure(index, error)
                channel.send(failure)
                if failure.status == "out_of_memory":
                    # Who knows what else could not be allocated; the rest gets a new process.
                    return
    except (BrokenPipeError, ConnectionResetError):
        raise
    except BaseException as error:
        channel.send(_failure(index, error))


class _Fits:
    """The fits of a job, each made once and kept as long as a cell needs it."""

    def __init__(self, model: Any, split: Split, seed: int, channel: Connection) -> None:
        self.split, self.seed = split, seed
        self._model, self._channel = model, channel
        self._made: dict[tuple[object, ...], tuple[Fit, float, float]] = {}
        self.broken: set[tuple[object, ...]] = set()

    def get(self, variant: Variant) -> tuple[Fit, float, float]:
        """Return the fit of a variant, its wall time and its CPU time in seconds."""
        if variant.key not in self._made:
            self._channel.send(FitBegan(variant))
            # Until it is made; so that whatever goes wrong is not tried again for the next cell.
            self.broken.add(variant.key)
            split = variant.apply(self.split, self.seed)
            trainable = variant.recipe and hasattr(self._model, "with_recipe")
            model = self._model.with_recipe(variant.recipe) if trainable else self._model
            model = model if variant.width is None else model.with_width(variant.width)
            wall, cpu = time.perf_counter(), time.process_time()
            with progress.listen(_Throttled(self._channel)):
                fitted = _fitted(model, split, variant.fit_seed(self.seed), variant.may_fail)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            self._made[variant.key] = Fit(split, fitted, self.seed), wall, cpu
            self.broken.discard(variant.key)
            self._channel.send(FitMade(wall, cpu))
        return self._made[variant.key]

    def release(self, remaining: Iterable[PlannedCell]) -> None:
        """Forget the fits that no remaining cell needs."""
        needed = frozenset[tuple[object, ...]]().union(*(cell.fit_keys for cell in remaining))
        self._made = {key: made for key, made in self._made.items() if key in needed}


def _fitted(model: Any, split: Split, seed: int, may_fail: bool) -> Any:
    try:
        return model.fit(split, seed)
    except TrainingError as error:
        if not may_fail:
            raise
        return NotFitted(str(error))


class _Throttled:
    """Forwards progress, but not more often than a person can read it."""

    def __init__(self, channel: Connection) -> None:
        self._channel, self._last = channel, -math.inf

    def __call__(self, values: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_INTERVAL:
            self._last = now
            self._channel.send(Progressed({name: float(value) for name, value in values.items()}))


def _score(index: int, planned: PlannedCell, fits: _Fits) -> CellScored:
    task: Task = registry.tasks.get(planned.cell.task)
    made = {variant.name: fits.get(variant) for variant in task.variants}
    for fit, _, _ in made.values():
        _check_promises(task, fit.fitted)
    distinct = {variant.key: made[variant.name] for variant in task.variants}.values()
    wall, cpu = time.perf_counter(), time.process_time()
    recorder = Recorder()
    with registry.models.watched() as asked:
        scored = task.score(recorder.fits({name: fit for name, (fit, _, _) in made.items()}))
    if unnamed := asked - set(task.references):
        raise LebenchError(
            f"the score of {task.name} fits the model {', '.join(sorted(unnamed))}, which the task does not name: "
            "add it to its references, so that its version is part of what a record is"
        )
    if not isinstance(scored, Scored):
        scored = Scored(scored, {})
    metrics, missing = values(task, scored.values)
    arrays, pictured = _packed(scored.artifacts)
    cost = Cost(
        fit_s=sum(fit_wall for _, fit_wall, _ in distinct),
        score_s=time.perf_counter() - wall,
        cpu_s=sum(fit_cpu for _, _, fit_cpu in distinct) + time.process_time() - cpu,
        peak_memory_bytes=_peak_memory(),
        fits=len(distinct),
    )
    recording, recorded = _packed(_recording(recorder, task, fits, metrics))
    return CellScored(index, metrics, missing, pictured | recorded, arrays, recording, cost)


def _recording(recorder: Recorder, task: Task, fits: _Fits, metrics: Mapping[str, float]) -> dict[str, NDArray[Any]]:
    """Return the smallest recording from which the score comes out the same, nothing if there is none."""

    def agrees(arrays: Mapping[str, NDArray[Any]], share: float) -> bool:
        # Rounded answers may break a score in any way, and the record is none the worse for it.
        with suppress(Exception):
            return bool(arrays) and same(metrics, rescored(task, fits.split, fits.seed, arrays), share)
        return False

    *fewer, _ = BITS
    for made in (recorder.compacted, recorder.arrays):
        arrays = made()
        if agrees(arrays, 1.0):
            # Half of what is allowed, so that the same comes out elsewhere.
            return next((less for bits in fewer if agrees(less := rounded(arrays, bits), 0.5)), arrays)
    return {}


def rescored(task: Task, split: Split, seed: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the values that the score of a task has by a recording; see :func:`lebench.runner.recording.replay`."""
    scored = task.score(replay(task, split, seed, arrays))
    return values(task, scored.values if isinstance(scored, Scored) else scored)[0]


def _packed(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, Artifact]]:
    return pack(arrays) if arrays else (b"", {})


def _check_promises(task: Task, fitted: object) -> None:
    if isinstance(fitted, NotFitted):
        return
    for need in task.needs:
        options = (need,) if isinstance(need, str) else need
        if not any(offers(fitted, option) for option in options):
            raise LebenchError(
                f"the model says that it offers {' or '.join(options)}, but what its fit returned has no such methods"
            )


def values(task: Task, scores: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
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
        elif math.isfinite(float(value)):
            metrics[name] = float(value)
        else:
            missing[name] = f"its value is {float(value)}"
    return metrics, missing


def _peak_memory() -> int:
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _failure(index: int, error: BaseException) -> Failed:
    log = "".join(traceback.format_exception(error))
    message = " ".join(str(error).split())
    reason = message if isinstance(error, LebenchError) else f"{type(error).__name__}: {message}".rstrip(": ")
    out_of_memory = _is_out_of_memory(error)
    # The frames of the traceback hold the arrays.
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = None
    gc.collect()
    return Failed(index, "out_of_memory" if out_of_memory else "failed", reason[:_REASON_LENGTH], log)


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, in the words of Python, torch or XLA."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("DefaultCPUAllocator", "out of memory", "RESOURCE_EXHAUSTED")
    )
