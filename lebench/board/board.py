"""The board: all entries aggregated into one document, from which the pages are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lebench import registry
from lebench.board.entries import Entry, EntryInfo
from lebench.board.frame import frame
from lebench.board.ranking import by_seed, is_control, leaders, standing
from lebench.board.statistics import LEVEL, mean_interval
from lebench.metrics.base import Direction, Metric
from lebench.records import Document, Environment, Record, Source
from lebench.tasks.base import Task, metric_of

if TYPE_CHECKING:
    import pandas as pd


class BoardTask(Document):
    """A task as the board shows it: ``values`` are the names of all its scores, the ``primary`` one ranks."""

    name: str
    track: str
    version: int
    summary: str
    reference: str
    dataset: str
    primary: str
    values: list[str]


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


class Score(Document):
    """One value of one entry on one task.

    Attributes
    ----------
    entry, task, value : str
        Where it belongs; `value` is ``"metric"`` or ``"metric@qualifier"``.
    mean, lower, upper, seeds
        See :class:`lebench.board.statistics.Estimate`.
    by_seed : dict
        The values that were averaged.
    best, tied : bool
        Whether it leads, or cannot be told from the one that leads. Controls do neither.
    """

    entry: str
    task: str
    value: str
    mean: float
    lower: float | None
    upper: float | None
    seeds: int
    by_seed: dict[int, float]
    best: bool
    tied: bool


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
        Whether the model is there in order to lose.
    wins, losses : dict
        By track: on how many comparisons with other models (controls left out), over its tasks, the entry is
        distinguishably better or worse.
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
    """

    info: EntryInfo
    control: bool
    wins: dict[str, int]
    losses: dict[str, int]
    missing: dict[str, str]
    missing_values: dict[str, dict[str, str]]
    costs: dict[str, TaskCost]
    environments: list[Environment]
    sources: list[Source]
    ignored: list[str]


class Board(Document):
    """Everything that the pages show: the content of ``board.json``."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    level: float
    tasks: list[BoardTask]
    metrics: list[BoardMetric]
    entries: list[BoardEntry]
    scores: list[Score]


def make_board(entries: Iterable[Entry], level: float = LEVEL) -> Board:
    """Aggregate entries into the board.

    Parameters
    ----------
    entries : iterable of Entry
        See :func:`lebench.board.read_entries`.
    level : float, default 0.95
        Confidence level of all intervals.

    Returns
    -------
    Board
        Entries by name; tasks by track and name, only those that some entry has records of.
    """
    import pandas as pd

    entries = sorted(entries, key=lambda entry: entry.name)
    current = {entry.name: _current(entry.records) for entry in entries}
    used = {record.cell.task for records, _ in current.values() for record in records}
    tasks = sorted((registry.tasks.get(name) for name in used), key=lambda task: (task.track, task.name))
    tables = [frame(current[entry.name][0], entry.name) for entry in entries]
    table = pd.concat(tables, ignore_index=True) if tables else frame([])
    controls = {entry.name for entry in entries if is_control(entry.info.model)}
    metrics = {metric_of(value): registry.metrics.get(metric_of(value)) for task in tasks for value in task.metrics}
    return Board(
        level=level,
        tasks=[_task(task) for task in tasks],
        metrics=[_metric(metrics[name]) for name in sorted(metrics)],
        entries=[_entry(entry, *current[entry.name], tasks, table, controls, level) for entry in entries],
        scores=[score for task in tasks for score in _scores(table, task, metrics, controls, level)],
    )


def write_board(board: Board, path: Path) -> None:
    """Write the board as ``board.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(board.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")


def _current(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Split records into those of the tasks as they are now, and a line for each group that is not."""
    kept, ignored = [], Counter[str]()
    for record in records:
        name, version = record.cell.task, record.cell.task_version
        if name not in registry.tasks:
            ignored[f"{name} is not a task of this version of lebench"] += 1
        elif version != registry.tasks.get(name).version:
            ignored[f"{name}: made with version {version}, the current one is {registry.tasks.get(name).version}"] += 1
        else:
            kept.append(record)
    return kept, [f"{reason} (records: {count})" for reason, count in sorted(ignored.items())]


def _task(task: Task) -> BoardTask:
    return BoardTask(
        name=task.name,
        track=task.track,
        version=task.version,
        summary=task.summary,
        reference=task.reference,
        dataset=task.dataset,
        primary=task.primary,
        values=list(task.metrics),
    )


def _metric(metric: Metric) -> BoardMetric:
    lower, upper = (None if abs(end) == float("inf") else end for end in metric.bounds)
    return BoardMetric(
        name=metric.name,
        summary=metric.summary,
        symbol=metric.symbol,
        equation=metric.equation,
        source=metric.source,
        direction=metric.direction,
        bounds=(lower, upper),
        unit=metric.unit,
    )


def _scores(
    table: pd.DataFrame, task: Task, metrics: dict[str, Metric], controls: set[str], level: float
) -> Iterable[Score]:
    for value in task.metrics:
        seeds = by_seed(table, task.name, value)
        best, tied = leaders(seeds, metrics[metric_of(value)].direction, controls, level)
        for entry in sorted(seeds):
            estimate = mean_interval(seeds[entry].values(), level)
            yield Score(
                entry=entry,
                task=task.name,
                value=value,
                mean=estimate.mean,
                lower=estimate.lower,
                upper=estimate.upper,
                seeds=estimate.seeds,
                by_seed=dict(sorted(seeds[entry].items())),
                best=entry == best,
                tied=entry in tied,
            )


def _entry(
    entry: Entry,
    records: list[Record],
    ignored: list[str],
    tasks: list[Task],
    table: pd.DataFrame,
    controls: set[str],
    level: float,
) -> BoardEntry:
    rivals = table[~table["model"].isin(controls - {entry.name})]
    wins, losses = Counter[str](), Counter[str]()
    for place in standing(rivals, entry.name, level):
        wins[place.track] += len(place.behind)
        losses[place.track] += len(place.ahead)
    missing, missing_values = _missing(records, tasks)
    return BoardEntry(
        info=entry.info,
        control=entry.name in controls,
        wins=dict(wins),
        losses=dict(losses),
        missing=missing,
        missing_values=missing_values,
        costs=_costs(records),
        environments=list({record.environment.model_dump_json(): record.environment for record in records}.values()),
        sources=list({record.source.model_dump_json(): record.source for record in records}.values()),
        ignored=ignored,
    )


def _missing(records: list[Record], tasks: list[Task]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    tasks_missing, values_missing = {}, defaultdict[str, dict[str, str]](dict)
    for task in tasks:
        own = [record for record in records if record.cell.task == task.name]
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
    return {
        task: TaskCost(
            fit_s=sum(c.fit_s for c in all_seeds) / len(all_seeds),
            score_s=sum(c.score_s for c in all_seeds) / len(all_seeds),
            cpu_s=sum(c.cpu_s for c in all_seeds) / len(all_seeds),
            peak_memory_bytes=max(c.peak_memory_bytes for c in all_seeds),
            fits=sum(c.fits for c in all_seeds) / len(all_seeds),
        )
        for task, all_seeds in sorted(costs.items())
    }
