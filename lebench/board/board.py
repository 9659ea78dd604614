"""The board: all entries aggregated into one document, from which the pages are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from lebench import registry
from lebench.board.entries import Entry, EntryInfo
from lebench.board.frame import has_tag, is_control
from lebench.board.points import Resampled, TaskPoints, effects_on, resampled
from lebench.board.ranking import SIGNS, Ranking, make_ranking
from lebench.board.resolution import Resolution, make_resolution
from lebench.board.scores import Score, collect, scores_of
from lebench.board.suite import Suite, core_suite
from lebench.board.verification import CELLS, Verified, verified
from lebench.metrics.base import Direction, Metric
from lebench.records import Cost, Document, Environment, Record, Source
from lebench.runner.environment import lebench_version
from lebench.stats import LEVEL
from lebench.tasks.base import TRACKS, Task, metric_of


class BoardTask(Document):
    """A task as the board shows it.

    Attributes
    ----------
    name, track, version, summary, reference, dataset
        As it declares them.
    suite : {"core", "explore", "replicate"}
        Ranks are made on the core.
    primary, values
        Name of the value that ranks, and of all.
    resampled : Resampled
        What the intervals of the primary value resample.
    """

    name: str
    track: str
    version: int
    summary: str
    reference: str
    dataset: str
    suite: str
    primary: str
    values: list[str]
    resampled: Resampled


class BoardMetric(Document):
    """The definition of a metric; an end of ``bounds`` is None where there is none."""

    name: str
    summary: str
    symbol: str
    equation: str
    source: str
    direction: Direction
    bounds: tuple[float | None, float | None]
    unit: str


class TaskCost(Document):
    """What a cell of a task cost an entry, in the mean over seeds; memory is the largest."""

    fit_s: float
    score_s: float
    cpu_s: float
    peak_memory_bytes: float
    fits: float


class BoardEntry(Document):
    """An entry as the board shows it.

    Attributes
    ----------
    info : EntryInfo
        Who and how.
    control : bool
        Whether the model is expected to lose.
    missing : dict
        By task: why it has no primary score.
    missing_values : dict
        By task and value: why that value is missing although the task was scored.
    costs : dict
        By task.
    environments, sources : list
        Distinct machines and states of the code.
    ignored : list of str
        Records that are left out, and why.
    verification : Verified
        How far its records are checked.
    """

    info: EntryInfo
    control: bool
    missing: dict[str, str]
    missing_values: dict[str, dict[str, str]]
    costs: dict[str, TaskCost]
    environments: list[Environment]
    sources: list[Source]
    ignored: list[str]
    verification: Verified


class Board(Document):
    """Everything that the pages show: the content of ``board.json``.

    Attributes
    ----------
    version : str
        Of lebench, which made it.
    date : str
        Day of its newest record, UTC: ``"2026-12-01"``; empty without records.
    level : float
        Confidence level of all intervals.
    suite : Suite
        The release of the core suite on which ranks are made.
    tasks, metrics, entries, scores
        What there is.
    rankings : list of Ranking
        Of each track that has core tasks.
    resolutions : list of Resolution
        The smallest difference of each task that ranks, where models have two seeds.
    """

    schema_version: Literal[4] = Field(default=4, alias="schema")
    version: str
    date: str
    level: float
    suite: Suite
    tasks: list[BoardTask]
    metrics: list[BoardMetric]
    entries: list[BoardEntry]
    scores: list[Score]
    rankings: list[Ranking]
    resolutions: list[Resolution]


def make_board(
    entries: Iterable[Entry],
    level: float = LEVEL,
    points: Mapping[str, TaskPoints] | None = None,
    suite: Suite | None = None,
    trusted: Collection[str] = (),
) -> Board:
    """Aggregate entries into the board.

    Parameters
    ----------
    entries : iterable of Entry
        See :func:`lebench.board.read_entries`.
    level : float, default 0.95
        Confidence level of all intervals.
    points : mapping of str to TaskPoints, optional
        By task: values at test points, see :func:`lebench.board.gather`. Without them only seeds are resampled.
    suite : Suite, optional
        By default the core suite of this version.
    trusted : collection of str, optional
        Entries that rank as if they had been run again, for previews.

    Returns
    -------
    Board
        Entries by name; tasks by track and name, only those that some entry has records of.
    """
    entries = sorted(entries, key=lambda entry: entry.name)
    suite = suite or core_suite()
    points = points or {}
    current = {entry.name: _of_lebench(entry) for entry in entries}
    used = {record.cell.task for records, _ in current.values() for record in records}
    tasks = sorted((registry.tasks.get(name) for name in used), key=lambda task: (task.track, task.name))
    values = collect({name: records for name, (records, _) in current.items()})
    labels = {entry.name: entry.info.model for entry in entries}
    controls = {name for name, label in labels.items() if is_control(label)}
    models = {name: label for name, label in labels.items() if name not in controls}
    checks = {entry.name: verified(entry) for entry in entries}
    unchecked = {
        name: f"{found.status}: a rank needs {CELLS} records that were run again and agree"
        for name, found in checks.items()
        if not found.ranks and name not in trusted
    }
    planned = {name: _planned(records) for name, (records, _) in current.items()}
    metrics = {metric_of(value): registry.metrics.get(metric_of(value)) for task in tasks for value in task.metrics}
    primary = {task.name: values.get((task.name, task.primary), {}) for task in tasks}
    of_models = {name: {m: of for m, of in found.items() if m in models} for name, found in primary.items()}
    ranking = [task for task in tasks if SIGNS[metrics[metric_of(task.primary)].direction]]
    shown, resolutions = list[BoardTask](), list[Resolution]()
    for task in tasks:
        of = of_models[task.name]
        effects = effects_on(points, task.name, task.primary, list(of), models)
        shown.append(_task(task, resampled(task, points.get(task.name), effects, of)))
        resolution = make_resolution(task.name, task.primary, of, level, effects) if task in ranking else None
        resolutions += [resolution] if resolution else []
    scores = []
    for task in tasks:
        for value in task.metrics:
            found = values.get((task.name, value), {})
            moved = effects_on(points, task.name, value, sorted(found), models)
            seeds = {name: of[task.name] for name, of in planned.items() if task.name in of}
            ranked = {
                n: m for n, m in models.items() if n not in unchecked and len(found.get(n, ())) >= seeds.get(n, 0)
            }
            scores += scores_of(task.name, value, found, ranked if value == task.primary else None, level, moved, seeds)
    finished = [record.run.finished for records, _ in current.values() for record in records]
    return Board(
        version=lebench_version(),
        date=max(finished, default="")[:10],
        level=level,
        suite=suite,
        tasks=shown,
        metrics=[_metric(metrics[name]) for name in sorted(metrics)],
        entries=[
            _entry(entry, *current[entry.name], tasks, entry.name in controls, checks[entry.name]) for entry in entries
        ],
        scores=scores,
        rankings=list(_rankings(ranking, of_models, models, current, planned, unchecked, points, suite, level)),
        resolutions=resolutions,
    )


def write_board(board: Board, path: Path) -> None:
    """Write the board as ``board.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(board.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")


def _rankings(
    tasks: Sequence[Task],
    values: Mapping[str, dict[str, dict[int, float]]],
    models: Mapping[str, str],
    current: Mapping[str, tuple[list[Record], list[str]]],
    planned: Mapping[str, Mapping[str, int]],
    unchecked: Mapping[str, str],
    points: Mapping[str, TaskPoints],
    suite: Suite,
    level: float,
) -> Iterable[Ranking]:
    """Yield the ranking of each track with core tasks. Measures order networks that others trained: they are none."""
    core = {task.name for task in tasks if task.suite == "core"}
    ranked = {name: label for name, label in models.items() if not has_tag(label, "measure")}
    cannot = {name: _cannot(current[name][0], core) for name in ranked}
    for track in TRACKS:
        of_track = [task for task in tasks if task.track == track and task.name in core]
        if not of_track:
            continue
        yield make_ranking(
            track,
            of_track,
            values,
            ranked,
            cannot,
            lambda task, names: effects_on(
                points, task.name, task.primary, names, set(values[task.name]).intersection(names)
            ),
            planned=planned,
            unchecked=unchecked,
            suite=suite,
            level=level,
        )


def _planned(records: Iterable[Record]) -> Counter[str]:
    """Return the number of seeds of each task that the model can do, at least with one of them."""
    records = list(records)
    can = {record.cell.task for record in records if record.status != "skipped"}
    return Counter(record.cell.task for record in records if record.cell.task in can)


def _cannot(records: Iterable[Record], tasks: set[str]) -> dict[str, str]:
    """Return the tasks that a model cannot do, with the reason: those of which all its cells were skipped."""
    outcomes = defaultdict[str, list[Record]](list)
    for record in records:
        if record.cell.task in tasks:
            outcomes[record.cell.task].append(record)
    return {
        task: own[0].reason for task, own in sorted(outcomes.items()) if all(one.status == "skipped" for one in own)
    }


def _of_lebench(entry: Entry) -> tuple[list[Record], list[str]]:
    """Return the current records of an entry on tasks that are there, and a line for each group that is left out."""
    found = entry.current
    ignored = Counter(r.cell.task for r in found.records if r.cell.task not in registry.tasks)
    lines = [f"{reason} (records: {count})" for reason, count in found.outdated.items()]
    lines += [f"{name} is not a task of this version of lebench (records: {n})" for name, n in sorted(ignored.items())]
    kept = [record for record in found.records if record.cell.task in registry.tasks]
    return kept, [*lines, *map(str, found.conflicts)]


def _task(task: Task, resampled: Resampled) -> BoardTask:
    same = {name: getattr(task, name) for name in BoardTask.model_fields if name not in ("values", "resampled")}
    return BoardTask(**same, values=list(task.metrics), resampled=resampled)


def _metric(metric: Metric) -> BoardMetric:
    lower, upper = (None if abs(end) == float("inf") else end for end in metric.bounds)
    same = {name: getattr(metric, name) for name in BoardMetric.model_fields if name != "bounds"}
    return BoardMetric(**same, bounds=(lower, upper))


def _entry(
    entry: Entry,
    records: list[Record],
    ignored: list[str],
    tasks: list[Task],
    control: bool,
    checks: Verified,
) -> BoardEntry:
    missing, missing_values = _missing(records, tasks)
    return BoardEntry(
        info=entry.info,
        control=control,
        missing=missing,
        missing_values=missing_values,
        costs=_costs(records),
        environments=list({record.environment.model_dump_json(): record.environment for record in records}.values()),
        sources=list({record.source.model_dump_json(): record.source for record in records}.values()),
        ignored=ignored,
        verification=checks,
    )


def _missing(records: list[Record], tasks: list[Task]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    tasks_missing, values_missing = {}, defaultdict[str, dict[str, str]](dict)
    of_task = defaultdict[str, list[Record]](list)
    for record in records:
        of_task[record.cell.task].append(record)
    for task in tasks:
        own = of_task[task.name]
        scored = {value for record in own for value in record.metrics}
        for record in own:
            for value, reason in record.missing.items():
                if value not in scored:
                    values_missing[task.name][value] = reason
        if task.primary not in scored:
            outcomes = {f"{record.status}: {record.reason}" for record in own if record.status != "ok"}
            reasons = sorted(outcomes | {r for v, r in values_missing[task.name].items() if v == task.primary})
            tasks_missing[task.name] = "; ".join(reasons) or "not run"
    return tasks_missing, {task: values for task, values in values_missing.items() if values}


def _costs(records: list[Record]) -> dict[str, TaskCost]:
    costs = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.cost is not None:
            costs[record.cell.task].append(record.cost)

    def mean(seeds: list[Cost], name: str) -> float:
        return float(sum(getattr(cost, name) for cost in seeds) / len(seeds))

    return {
        task: TaskCost(
            peak_memory_bytes=max(cost.peak_memory_bytes for cost in seeds),
            **{name: mean(seeds, name) for name in ("fit_s", "score_s", "cpu_s", "fits")},
        )
        for task, seeds in sorted(costs.items())
    }
