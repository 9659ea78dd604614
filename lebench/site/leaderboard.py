"""The board as pages: overview, one page per track, task and entry."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import quantiles

from lebench import board as board_package
from lebench import registry
from lebench.board.board import Board, BoardEntry, BoardMetric, BoardTask
from lebench.board.notes import Note
from lebench.board.points import TaskPoints
from lebench.board.ranking import Rank
from lebench.board.scores import Score
from lebench.site import comparison, cost
from lebench.site.feed import WORDS, feed
from lebench.site.history import History
from lebench.site.known_answers import answered
from lebench.site.pages import render, slug
from lebench.site.pictures import Figure, Gallery
from lebench.site.plot import Axis, axis
from lebench.tasks.base import TRACKS, metric_of

#: What each track asks, in a sentence.
QUESTIONS = {
    "generalization": "How well does a model do on data it has not seen, and how much data does it need for that?",
    "elasticity": "Does a gradient step on one input move the predictions of similar inputs more than of others?",
    "collapse": "Do the features of a class collapse to its mean, and the class means to a simplex?",
}

#: Coverage and power as ``benchmarks/ranking_simulation.py`` found them.
_SIMULATED = Path(board_package.__file__).with_name("simulated.json")
#: How another board separates its models, measured from its published results by the same count.
_MTEB = {"decided": 87.7, "tasks": 41, "apart": 5, "neighbours": 180}


@dataclass(frozen=True)
class Row:
    """A line of a table: an entry and its score in each column, None where there is none."""

    entry: BoardEntry
    label: str
    family: str
    cells: tuple[Score | None, ...]
    ranks: tuple[Rank | None, ...]


@dataclass(frozen=True)
class Dots:
    """A dot-and-interval plot: an axis and the scores on it."""

    axis: Axis
    rows: tuple[tuple[Row, Score], ...]


@dataclass(frozen=True)
class Spread:
    """How scores are distributed: number, ends, and quartiles with the median between them."""

    count: int
    low: float
    high: float
    quartiles: tuple[float, float, float]


def family(model: str) -> str:
    """Return what a model is: the first tag of its registration, ``"other"`` if it is not registered here."""
    tags = _tags(model)
    return tags[0] if tags else "other"


def _tags(model: str) -> tuple[str, ...]:
    name = model.split("[", 1)[0]
    return registry.models.item(name).tags if name in registry.models else ()


class View:
    """The board, asked the questions that the pages ask."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.metrics = {metric.name: metric for metric in board.metrics}
        self.entries = {entry.info.name: entry for entry in board.entries}
        self._scores = {(score.entry, score.task, score.value): score for score in board.scores}
        models = [entry.info.model for entry in board.entries]
        self.rankings = {ranking.track: ranking for ranking in board.rankings}
        self._ranks = {(one.track, rank.entry): rank for one in board.rankings for rank in one.ranks}
        self._unranked = {(one.track, each.entry): each.reason for one in board.rankings for each in one.unranked}
        self.resolutions = {each.task: each for each in board.resolutions}
        self._labels = {
            name: entry.info.model if models.count(entry.info.model) == 1 else f"{entry.info.model} ({name})"
            for name, entry in self.entries.items()
        }

    def label(self, entry: BoardEntry) -> str:
        """Return the name of an entry's model, with that of the entry where several have it."""
        return self._labels[entry.info.name]

    def why_unranked(self, entry: BoardEntry, track: str) -> str:
        """Return why an entry has no rank."""
        if entry.control:
            return "controls take no rank"
        return self._unranked.get((track, entry.info.name), "no task that ranks")

    @property
    def ranked_tracks(self) -> list[str]:
        """Tracks with ranks, in their fixed order."""
        return [track for track in TRACKS if track in self.rankings]

    @property
    def tracks(self) -> list[str]:
        """Tracks that have tasks, in their fixed order."""
        return [track for track in TRACKS if any(task.track == track for task in self.board.tasks)]

    def tasks(self, track: str | None = None) -> list[BoardTask]:
        """Return the tasks of a track, or of all tracks in their order."""
        tracks = self.tracks if track is None else [track]
        return [task for t in tracks for task in self.board.tasks if task.track == t]

    def metric(self, value: str) -> BoardMetric:
        """Return the metric of a recorded value."""
        return self.metrics[metric_of(value)]

    def metrics_of(self, task: BoardTask) -> list[BoardMetric]:
        """Return the metrics of a task's values, each once."""
        return list({metric.name: metric for metric in map(self.metric, task.values)}.values())

    def bounded(self, value: str) -> bool:
        """Return whether both bounds of a value's metric are finite."""
        return None not in self.metric(value).bounds

    def inside(self, value: str, number: float) -> float:
        """Return a number, or the bound of a value's metric that it lies beyond."""
        low, high = self.metric(value).bounds
        number = number if low is None else max(number, low)
        return number if high is None else min(number, high)

    def score(self, entry: str, task: str, value: str) -> Score | None:
        """Return a score, or None."""
        return self._scores.get((entry, task, value))

    def why_missing(self, entry: BoardEntry, task: str, value: str) -> str:
        """Return why an entry has no score."""
        return entry.missing_values.get(task, {}).get(value) or entry.missing.get(task, "not recorded")

    def rows(self, columns: Sequence[tuple[BoardTask, str]], ranked: Sequence[str] = ()) -> list[Row]:
        """Return all entries by their rank in the first track; without one, and controls, last.

        Parameters
        ----------
        columns : sequence of (task, value)
            What their cells are.
        ranked : sequence of str
            Tracks whose ranks they have.
        """
        rows = [
            Row(
                entry,
                self._labels[name],
                "control" if entry.control else family(entry.info.model),
                tuple(self.score(name, task.name, value) for task, value in columns),
                tuple(self._ranks.get((track, name)) for track in ranked),
            )
            for name, entry in self.entries.items()
        ]

        def order(row: Row) -> tuple[bool, bool, list[float], str]:
            ranks = [float("inf") if rank is None else rank.rank for rank in row.ranks]
            return row.entry.control, not any(row.cells), ranks, row.label

        return sorted(rows, key=order)

    @cached_property
    def measures(self) -> dict[str, BoardEntry]:
        """Measures of capacity: they order networks that others trained, and would be blank rows among models."""
        return {name: entry for name, entry in self.entries.items() if "measure" in _tags(entry.info.model)}

    @cached_property
    def measured(self) -> set[str]:
        """Names of the tasks on which only measures have scores."""
        tasks = {score.task for score in self.board.scores}
        return tasks - {score.task for score in self.board.scores if score.entry not in self.measures}

    def overview(self, track: str | None, ranked: Sequence[str]) -> tuple[list[tuple[BoardTask, str]], list[Row]]:
        """Return the columns and rows of the table of a track, or of all: without measures and the tasks for them.

        Tasks that many models have a score on stand first in their track, so that one need not scroll past gaps.
        """
        tasks = [task for task in self.tasks(track) if task.name not in self.measured]
        scored = Counter((score.task, score.value) for score in self.board.scores)
        tasks.sort(key=lambda task: (TRACKS.index(task.track), -scored[task.name, task.primary]))
        columns = [(task, task.primary) for task in tasks]
        rows = self.rows(columns, ranked)
        return columns, [row for row in rows if row.entry.info.name not in self.measures]

    def columns(self, task: BoardTask) -> list[tuple[BoardTask, str]]:
        """Return the values of a task as columns, the one that ranks first."""
        return [(task, value) for value in sorted(task.values, key=lambda value: value != task.primary)]

    def rows_of_task(self, task: BoardTask) -> list[Row]:
        """Return all entries by their mean on a task, the best first, those without a score last."""
        columns = self.columns(task)
        sign = 1 if self.metric(task.primary).direction == "lower" else -1

        def place(row: Row) -> tuple[bool, bool, float, str]:
            score = self.score(row.entry.info.name, task.name, task.primary)
            return row.entry.control, score is None, 0.0 if score is None else sign * score.mean, row.label

        return sorted(self.rows(columns), key=place)

    def scores_of(self, task: BoardTask, value: str) -> list[tuple[str, str, Score]]:
        """Return registered name of the model, label and score of each entry that has a value."""
        found = ((entry, self.score(name, task.name, value)) for name, entry in self.entries.items())
        return [
            (entry.info.model.partition("[")[0], self.label(entry), score)
            for entry, score in found
            if score is not None
        ]

    def spread(self, task: BoardTask) -> Spread | None:
        """Return how the models' primary scores are distributed, None for fewer than four."""
        scores = (
            self.score(name, task.name, task.primary) for name, entry in self.entries.items() if not entry.control
        )
        means = [score.mean for score in scores if score is not None]
        if len(means) < 4:
            return None
        lower, median, upper = quantiles(means, n=4, method="inclusive")
        return Spread(len(means), min(means), max(means), (lower, median, upper))

    def dots(self, task: BoardTask) -> Dots | None:
        """Return the plot of a task's primary score, or None if nobody has one."""
        scored = [(row, self.score(row.entry.info.name, task.name, task.primary)) for row in self.rows_of_task(task)]
        rows = tuple((row, score) for row, score in scored if score is not None)
        if not rows:
            return None
        # Controls far away would squeeze the models together: they may fall off the axis, and the plot shows that.
        shown = [score for row, score in rows if not row.entry.control] or [score for _, score in rows]
        ends = [
            self.inside(task.primary, end) for score in shown for end in (score.lower, score.upper) if end is not None
        ]
        return Dots(axis([value for score in shown for value in score.by_seed.values()], ends), rows)


def ranks(lower: int, upper: int) -> str:
    """Return an interval of ranks: ``"2–5"``, or ``"3"`` where there is one."""
    return str(lower) if lower == upper else f"{lower}\N{EN DASH}{upper}"


def _cost_figure(view: View, track: str) -> Figure | None:
    drawn = cost.picture(view, track)
    return None if drawn is None else Figure(drawn, f"pictures/{drawn.name}.vl.json")


def pages(
    board: Board,
    gallery: Gallery,
    history: History | None = None,
    points: Mapping[str, TaskPoints] | None = None,
    code: Mapping[str, str] | None = None,
    notes: Sequence[Note] = (),
) -> dict[str, str]:
    """Return the text of every page, and of every picture's specification, by its path.

    Parameters
    ----------
    board : Board
        What they show.
    gallery : Gallery
        The pictures.
    history : History, optional
        What changed; without it there is no page of changes.
    points : mapping of str to TaskPoints, optional
        Values at test points by task; without them only seeds are resampled where models are compared.
    code : mapping of str to str, optional
        By entry: the model's own code, which is shown and never run.
    notes : sequence of Note, optional
        What happened to entries; those that are gone have a page that says so.
    """
    view = View(board)
    shown: list[Figure] = []
    primary = [(task, task.primary) for task in view.tasks()]
    every = view.rows(primary, view.ranked_tracks)
    columns, rows = view.overview(None, view.ranked_tracks)
    texts = {
        "table.md": render(
            "table.md",
            view=view,
            columns=columns,
            rows=rows,
            ranked=view.ranked_tracks,
            measured=[task for task in view.tasks() if task.name in view.measured],
            root="../",
            questions=QUESTIONS,
        ),
        "ranks.md": render(
            "ranks.md",
            view=view,
            root="../",
            percent=f"{100 * board.level:.0f}%",
            span=ranks,
            simulated=json.loads(_SIMULATED.read_bytes()),
            mteb=_MTEB,
        ),
        "downloads.md": render("downloads.md", view=view, root="../"),
        "SUMMARY.md": render("summary.md", view=view, history=history),
    }
    for task in view.tasks():
        every_row = view.rows_of_task(task)
        ranked = [row for row in every_row if any(row.cells)]
        lacking: dict[str, list[Row]] = {}
        for row in every_row:
            if not any(row.cells):
                lacking.setdefault(view.why_missing(row.entry, task.name, task.primary), []).append(row)
        models = [row for row in ranked if not row.entry.control and task.name not in row.entry.missing]
        figures = gallery.of_task(task.name, [(row.entry.info.name, row.label) for row in models])
        shown += figures
        texts[f"tasks/{slug(task.name)}.md"] = render(
            "task.md",
            view=view,
            task=task,
            columns=view.columns(task),
            rows=ranked,
            lacking=lacking,
            dots=view.dots(task),
            spread=view.spread(task),
            bounded=view.bounded(task.primary),
            known=[answered(each, view.scores_of(task, each.value)) for each in registry.tasks.get(task.name).known],
            resolution=view.resolutions.get(task.name),
            figures=figures,
            root="../../",
        )
    for entry in board.entries:
        name = entry.info.name
        of_tasks = {t.name: gallery.of_entry(name, t.name) for t in view.tasks() if t.name not in entry.missing}
        shown += [figure for figures in of_tasks.values() for figure in figures]
        row = next(row for row in every if row.entry is entry)
        unscored: dict[str, list[BoardTask]] = {}
        for task in view.tasks():
            if task.name in entry.missing and not any(view.score(name, task.name, value) for value in task.values):
                unscored.setdefault(entry.missing[task.name], []).append(task)
        texts[f"entries/{name}.md"] = render(
            "entry.md",
            view=view,
            row=row,
            entry=entry,
            figures=of_tasks,
            unscored=unscored,
            skipped={task.name for tasks in unscored.values() for task in tasks},
            code=(code or {}).get(name),
            notes=[note for note in notes if name in (note.entry, note.to)],
            ranked=view.ranked_tracks,
            span=ranks,
            root="../../",
        )
    for note in notes:
        if note.gone and note.entry not in view.entries:
            of_entry = [each for each in notes if each.entry == note.entry]
            texts[f"entries/{note.entry}.md"] = render("gone.md", view=view, notes=of_entry, root="../../")
    texts |= comparison.pages(view, points or {})
    if history is not None:
        texts["feed.xml"] = feed(board, history)
        texts["changes.md"] = render("changes.md", view=view, history=history, notes=notes, words=WORDS, root="../")
    costs = {track: _cost_figure(view, track) for track in view.tracks}
    shown += [figure for figure in costs.values() if figure]
    bargains = {track: [b for task in view.tasks(track) if (b := cost.bargain(view, task))] for track in view.tracks}
    texts["cost.md"] = render("cost.md", view=view, bargains=bargains, figures=costs, root="../")
    return texts | {figure.path: figure.text for figure in shown}
