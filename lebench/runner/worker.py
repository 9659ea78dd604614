"""What runs in a worker process: the fits and scores of one job, told to the parent event by event."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from numpy.typing import NDArray

from lebench import checkpoints, progress, registry
from lebench.artifacts import pack
from lebench.capabilities import offers
from lebench.checkpoints import KeptFit
from lebench.data.base import Split, Variant
from lebench.devices import CPU
from lebench.errors import LebenchError, NotOfferedError, TrainingError
from lebench.models.spec import build_model
from lebench.records import Artifact, Cell, Cost
from lebench.runner.channel import Sender
from lebench.runner.events import CellEnded, CellStarted, FitDone, FitProgress, FitStarted, Result, WorkerEvent, encode
from lebench.runner.fits import Keeping
from lebench.runner.plan import Job, PlannedCell
from lebench.runner.processes import load
from lebench.runner.recording import Recorder, replay, same
from lebench.runner.recording_format import BITS, rounded
from lebench.runner.results import Origin, checked_values, describe, make_result
from lebench.seeds import Stream, seeded
from lebench.tasks.base import Fit, NotFitted, Scored, Task
from lebench.tasks.facts import broken

_PROGRESS_INTERVAL = 0.1

T = TypeVar("T")


class SplitChangedError(LebenchError):
    """A model has changed the data that all models share."""


def main(
    sender: Sender,
    job: Job,
    plugins: Iterable[registry.Source],
    modules: Iterable[str],
    origin: Origin,
    keeping: Keeping | None,
) -> None:
    """Do a job and send what happens.

    Parameters
    ----------
    sender : Sender
        Where events go.
    job : Job
        What to do.
    plugins, modules
        What to import first, see :class:`lebench.runner.plan.Plan`.
    origin : Origin
        What all records have in common.
    keeping : Keeping or None
        Where fits are kept.
    """

    def tell(event: WorkerEvent) -> None:
        sender.send(encode(event))

    def failed(error: BaseException) -> Result:
        status, reason, log = describe(error)
        return make_result(planned, origin, started, status, reason, log)

    # Not at the top: there is nothing to take back on Windows, where nothing is computed.
    from lebench.runner.isolation import busy

    planned, started = job.cells[0], time.time()
    try:
        tell(CellStarted(job, planned))
        load(plugins, modules)
        model = build_model(job.label, job.backend).model
        if job.backend in registry.backends:
            # Before anything is fitted: a fit that imports torch is made twice.
            backend = registry.backends.get(job.backend)
            if origin.device != CPU:
                backend.use(origin.device)
        dataset = registry.datasets.get(job.dataset)
        if dataset.sha256 != planned.cell.dataset_sha256:
            raise LebenchError(f"the data of {job.dataset} are not those that the run was planned with")
        split = dataset.split(job.seed)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        fits = _Fits(
            model,
            split,
            job,
            tell,
            lambda cell, v: None if keeping is None else keeping.fit(cell, job.label, v, origin),
        )
        usual = busy()
    except BaseException as error:
        tell(CellEnded(job, planned, failed(error)))
        return
    for place, planned in enumerate(job.cells):
        if fits.broken & planned.fit_keys:
            # The parent records what else a broken fit takes with it.
            continue
        if place:
            tell(CellStarted(job, planned, clean=busy() <= usual))
            started = time.time()
        fits.release(job.cells[place:])
        spoilt = False
        try:
            result = _score(planned, fits, origin, started)
        except BaseException as error:
            spoilt = isinstance(error, SplitChangedError)
            result = failed(error)
        tell(CellEnded(job, planned, result))
        # Who knows what else could not be allocated; the rest gets a new process. So it does if the data are others.
        if spoilt or result.record.status == "out_of_memory":
            return


def reproducibly(function: Callable[[], T], seed: int, axis: Stream) -> T:
    """Call a function with all randomness from a stream of the seed; what it changes of the process is set back."""
    from lebench.runner.isolation import restored

    while True:
        had_torch = "torch" in sys.modules
        with restored(), seeded(seed, axis):
            found = function()
        # What torch has drawn in the call that imported it came from no stream.
        if had_torch == ("torch" in sys.modules):
            return found


class _Fits:
    """The fits of a job, each made once and kept as long as a cell needs it."""

    def __init__(
        self,
        model: Any,
        split: Split,
        job: Job,
        tell: Callable[[WorkerEvent], None],
        kept: Callable[[Cell, Variant], KeptFit | None],
    ) -> None:
        self.split, self.seed, self._kept = split, job.seed, kept
        self._model, self._job, self._tell = model, job, tell
        self._made: dict[tuple[object, ...], tuple[Fit, float, float]] = {}
        self._checksums: dict[tuple[object, ...], str] = {}
        self.broken: set[tuple[object, ...]] = set()

    def get(self, planned: PlannedCell, variant: Variant) -> tuple[Fit, float, float]:
        """Return the fit of a variant that a cell needs, its wall time and its CPU time in seconds."""
        if variant.key not in self._made:
            self._tell(FitStarted(self._job, planned, variant.name))
            # Until it is made; so that whatever goes wrong is not tried again for the next cell.
            self.broken.add(variant.key)
            split = variant.apply(self.split, self.seed)
            self._checksums[variant.key] = split.checksum()
            kept = self._kept(planned.cell, variant)
            wall, cpu = time.perf_counter(), time.process_time()
            with progress.listen(_Throttled(self._job, self._tell)):
                seed = variant.fit_seed(self.seed)
                try:
                    fitted = reproducibly(lambda: self._fit(variant, split, seed, kept), seed, "fit")
                except Exception:
                    # Only what was ended from outside is to go on.
                    if kept is not None:
                        kept.forget()
                    raise
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if kept is not None:
                # What it has cost before, where training went on from there.
                wall, cpu = wall + kept.wall_s, cpu + kept.cpu_s
                kept.end()
            self._check(variant.key, split)
            self._made[variant.key] = Fit(split, fitted, self.seed), wall, cpu
            self.broken.discard(variant.key)
            self._tell(FitDone(self._job, planned, variant.name, wall, cpu))
        return self._made[variant.key]

    def check(self) -> None:
        """Check that the data of all fits are what they were.

        Raises
        ------
        SplitChangedError
            If they are not.
        """
        for key, (fit, _, _) in self._made.items():
            self._check(key, fit.split)

    def release(self, remaining: Iterable[PlannedCell]) -> None:
        """Forget the fits that no remaining cell needs."""
        needed = frozenset[tuple[object, ...]]().union(*(cell.fit_keys for cell in remaining))
        self._made = {key: made for key, made in self._made.items() if key in needed}

    def _fit(self, variant: Variant, split: Split, seed: int, kept: KeptFit | None) -> Any:
        # What data say of recipes is meant for all of their points: few of them are trained as published.
        of_data = registry.datasets.get(self._job.dataset).recipe if variant.n_train is None else ()
        changes = of_data + variant.recipe
        trainable = changes and hasattr(self._model, "with_recipe")
        model = self._model.with_recipe(changes) if trainable else self._model
        model = model if variant.width is None else model.with_width(variant.width)
        try:
            with checkpoints.keeping(kept):
                return model.fit(split, seed)
        except TrainingError as error:
            if not variant.may_fail:
                raise
            return NotFitted(str(error))

    def _check(self, key: tuple[object, ...], split: Split) -> None:
        if split.checksum() != self._checksums[key]:
            raise SplitChangedError("the model has changed the arrays of its split, which tasks share: copy them first")


class _Throttled:
    """Forwards progress, but not more often than a person can read it."""

    def __init__(self, job: Job, tell: Callable[[WorkerEvent], None]) -> None:
        self._job, self._tell, self._last = job, tell, -math.inf

    def __call__(self, values: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_INTERVAL:
            self._last = now
            self._tell(FitProgress(self._job, {str(name): float(value) for name, value in values.items()}))


def _score(planned: PlannedCell, fits: _Fits, origin: Origin, started: float) -> Result:
    task: Task = registry.tasks.get(planned.cell.task)
    made = {variant.name: fits.get(planned, variant) for variant in task.variants}
    for fit, _, _ in made.values():
        _check_promises(task, fit.fitted)
    distinct = {variant.key: made[variant.name] for variant in task.variants}.values()
    wall, cpu = time.perf_counter(), time.process_time()
    recorder = Recorder()
    recorded = recorder.fits({name: fit for name, (fit, _, _) in made.items()})
    with registry.models.watched() as asked:
        scored = reproducibly(lambda: task.score(recorded), fits.seed, "score")
    fits.check()
    if unnamed := asked - set(task.references):
        raise LebenchError(
            f"the score of {task.name} fits the model {', '.join(sorted(unnamed))}, which the task does not name: "
            "add it to its references, so that its version is part of what a record is"
        )
    if not isinstance(scored, Scored):
        scored = Scored(scored, {})
    metrics, missing = checked_values(task, scored.values)
    for name, rule in broken(task, fits.seed, metrics, {name: fit.split for name, (fit, _, _) in made.items()}):
        raise LebenchError(f"the score cannot be right: {name} {rule}")
    arrays, pictured = _packed(scored.artifacts)
    cost = Cost(
        fit_s=sum(fit_wall for _, fit_wall, _ in distinct),
        score_s=time.perf_counter() - wall,
        cpu_s=sum(fit_cpu for _, _, fit_cpu in distinct) + time.process_time() - cpu,
        peak_memory_bytes=_peak_memory(),
        fits=len(distinct),
    )
    recording, described = _packed(_recording(recorder, task, fits, metrics))
    return make_result(
        planned,
        origin,
        started,
        metrics=metrics,
        missing=missing,
        artifacts=pictured | described,
        arrays=arrays,
        recording=recording,
        cost=cost,
    )


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
    fits = replay(task, split, seed, arrays)
    scored = reproducibly(lambda: task.score(fits), seed, "score")
    return checked_values(task, scored.values if isinstance(scored, Scored) else scored)[0]


def _packed(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, Artifact]]:
    return pack(arrays) if arrays else (b"", {})


def _check_promises(task: Task, fitted: object) -> None:
    if isinstance(fitted, NotFitted):
        return
    for need in task.needs:
        options = (need,) if isinstance(need, str) else need
        if not any(offers(fitted, option) for option in options):
            # What a fitted model says it lacks, by capability.
            lacks: Mapping[str, str] = getattr(fitted, "unavailable", {})
            for option in options:
                if option in lacks:
                    raise NotOfferedError(lacks[option])
            raise LebenchError(
                f"the model says that it offers {' or '.join(options)}, but what its fit returned has no such methods"
            )


def _peak_memory() -> int:
    import resource

    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
