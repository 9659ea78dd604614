"""The board: all entries aggregated into one document, from which the pages are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from lebench import registry
from lebench.board.bootstrap import DRAWS, SEED
from lebench.board.entries import Entry, EntryInfo
from lebench.board.places import Method, Standings
from lebench.board.point_effects import Effects
from lebench.board.point_store import Resampled, TaskPoints, resampled
from lebench.board.ranking import is_control
from lebench.board.resolution import Resolution, make_resolution
from lebench.board.scores import Score, add_up, collect, count_wins, scores_of
from lebench.board.standings import OVERALL, make_standings
from lebench.board.verification import Verified, verified
from lebench.metrics.base import Direction, Metric
from lebench.records import Document, Environment, Record, Source
from lebench.stats import LEVEL
from lebench.tasks.base import TRACKS, Task, metric_of

#: The factor that makes more of a metric better; a descriptive one does not rank.
_SIGNS: dict[Direction, int] = {"higher": 1, "lower": -1, "none": 0}


class BoardTask(Document):
    """A task as the board shows it.

    Attributes
    ----------
    name, track, version, summary, reference, dataset
        As it declares them.
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
    verification : Verified
        How far its records are checked.
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
    verification: Verified


class Board(Document):
    """Everything that the pages show: the content of ``board.json``.

    Attributes
    ----------
    level : float
        Confidence level of all intervals.
    method : Method
        How ranks and intervals were made.
    tasks, metrics, entries, scores
        What there is.
    standings : list of Standings
        Of each track that has tasks, then over all tracks.
    resolutions : list of Resolution
        The smallest difference of each task that ranks, where models have two seeds.
    """

    schema_version: Literal[3] = Field(default=3, alias="schema")
    level: float
    method: Method
    tasks: list[BoardTask]
    metrics: list[BoardMetric]
    entries: list[BoardEntry]
    scores: list[Score]
    standings: list[Standings]
    resolutions: list[Resolution]


def make_board(
    entries: Iterable[Entry],
    level: float = LEVEL,
    draws: int = DRAWS,
    points: Mapping[str, TaskPoints] | None = None,
) -> Board:
    """Aggregate entries into the board.

    Parameters
    ----------
    entries : iterable of Entry
        See :func:`lebench.board.read_entries`.
    level : float, default 0.95
        Confidence level of all intervals.
    draws : int, default 2000
        Draws of the bootstrap behind the ranks; its random numbers are fixed, so the same entries make the same board.
    points : mapping of str to TaskPoints, optional
        By task: values at test points, see :func:`lebench.board.gather`. Without them only seeds are resampled.

    Returns
    -------
    Board
        Entries by name; tasks by track and name, only those that some entry has records of.

    Raises
    ------
    LebenchError
        If a library of the extra ``site`` is missing.
    """
    entries = sorted(entries, key=lambda entry: entry.name)
    current = {entry.name: _of_lebench(entry) for entry in entries}
    used = {record.cell.task for records, _ in current.values() for record in records}
    tasks = sorted((registry.tasks.get(name) for name in used), key=lambda task: (task.track, task.name))
    values = collect({name: records for name, (records, _) in current.items()})
    controls = {entry.name for entry in entries if is_control(entry.info.model)}
    metrics = {metric_of(value): registry.metrics.get(metric_of(value)) for task in tasks for value in task.metrics}
    primary = {task.name: values.get((task.name, task.primary), {}) for task in tasks}
    signs = {task.name: _SIGNS[metrics[metric_of(task.primary)].direction] for task in tasks}
    models = {entry.name for entry in entries} - controls
    ranking = [task for task in tasks if signs[task.name]]
    points = {} if points is None else points

    def effects(task: Task, value: str) -> Effects | None:
        known = points.get(task.name)
        return None if known is None else known.effects(value, [variant.name for variant in task.variants])

    of_primary = {task.name: found for task in tasks if (found := effects(task, task.primary)) is not None}
    won, lost = add_up(
        (
            task.track,
            count_wins(
                primary[task.name],
                metrics[metric_of(task.primary)].direction,
                controls,
                level,
                of_primary.get(task.name),
            ),
        )
        for task in ranking
    )
    of_models = {task.name: {m: of for m, of in primary[task.name].items() if m in models} for task in ranking}
    resolutions = (
        make_resolution(task.name, task.primary, of_models[task.name], level, of_primary.get(task.name))
        for task in ranking
    )
    return Board(
        level=level,
        method=Method(draws=draws, seed=SEED, level=level),
        tasks=[
            _task(task, resampled(task, points.get(task.name), of_primary.get(task.name), primary[task.name], controls))
            for task in tasks
        ],
        metrics=[_metric(metrics[name]) for name in sorted(metrics)],
        entries=[
            _entry(entry, *current[entry.name], tasks, entry.name in controls, won[entry.name], lost[entry.name])
            for entry in entries
        ],
        scores=[
            score
            for task in tasks
            for value in task.metrics
            for score in scores_of(
                task.name,
                value,
                values.get((task.name, value), {}),
                metrics[metric_of(value)].direction,
                controls,
                level,
                effects(task, value),
            )
        ],
        standings=list(_standings(ranking, of_models, signs, models, level, draws, of_primary)),
        resolutions=[one for one in resolutions if one is not None],
    )


def write_board(board: Board, path: Path) -> None:
    """Write the board as ``board.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(board.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")


def _standings(
    tasks: list[Task],
    values: dict[str, dict[str, dict[int, float]]],
    signs: dict[str, int],
    models: set[str],
    level: float,
    draws: int,
    effects: Mapping[str, Effects],
) -> Iterable[Standings]:
    """Yield the standings of each track with tasks, and those over all tracks."""
    tracks = {task.name: str(task.track) for task in tasks}
    used = [track for track in TRACKS if track in tracks.values()]
    for scope in [*used, OVERALL] if used else []:
        of_scope = [task.name for task in tasks if scope in (task.track, OVERALL)]
        yield make_standings(
            scope,
            {name: values[name] for name in of_scope},
            signs,
            {name: tracks[name] for name in of_scope},
            models,
            level=level,
            draws=draws,
            effects=effects,
        )


def _of_lebench(entry: Entry) -> tuple[list[Record], list[str]]:
    """Return the current records of an entry on tasks that are there, and a line for each group that is left out."""
    found = entry.current
    ignored = Counter(r.cell.task for r in found.records if r.cell.task not in registry.tasks)
    lines = [f"{reason} (records: {count})" for reason, count in found.outdated.items()]
    lines += [f"{name} is not a task of this version of lebench (records: {n})" for name, n in sorted(ignored.items())]
    kept = [record for record in found.records if record.cell.task in registry.tasks]
    return kept, [*lines, *map(str, found.conflicts)]


def _task(task: Task, resampled: Resampled) -> BoardTask:
    return BoardTask(
        name=task.name,
        track=task.track,
        version=task.version,
        summary=task.summary,
        reference=task.reference,
        dataset=task.dataset,
        primary=task.primary,
        values=list(task.metrics),
        resampled=resampled,
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


def _entry(
    entry: Entry,
    records: list[Record],
    ignored: list[str],
    tasks: list[Task],
    control: bool,
    wins: Counter[str],
    losses: Counter[str],
) -> BoardEntry:
    missing, missing_values = _missing(records, tasks)
    return BoardEntry(
        info=entry.info,
        control=control,
        wins=dict(wins),
        losses=dict(losses),
        missing=missing,
        missing_values=missing_values,
        costs=_costs(records),
        environments=list({record.environment.model_dump_json(): record.environment for record in records}.values()),
        sources=list({record.source.model_dump_json(): record.source for record in records}.values()),
        ignored=ignored,
        verification=verified(entry),
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
