"""The board as a heat map: models by tasks, each score against the middle model of its task."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from statistics import quantiles

from lebench.board.board import BoardEntry, BoardTask
from lebench.board.ranking import SIGNS
from lebench.board.scores import Score
from lebench.site.leaderboard import View, family
from lebench.site.numbers import show
from lebench.site.pages import render

#: Size of a cell and the gap inside it, the gap between tracks, and the height of the names of tasks, in pixels.
CELL, GAP, BETWEEN, HEAD = 20, 1.5, 18, 190

#: Where the colours step, in standard deviations from the middle model.
STEPS = (0.25, 0.6, 1.0, 1.6, 2.4)

#: Models that a task needs before it has a middle.
_FEWEST = 4

#: Families in the order of the rows, with their names.
_FAMILIES = {
    "network": "Networks",
    "linearized": "Linearized",
    "kernel": "Kernels",
    "classical": "Classical",
    "other": "Other",
    "control": "Controls",
}


@dataclass(frozen=True)
class Cell:
    """A score on the map.

    Attributes
    ----------
    x, y : float
        Its corner, in pixels.
    colour : str
        Class of its colour: ``"p3"`` better, ``"n3"`` worse, ``"0"`` in the middle; ``"bare"`` without a middle.
    best : bool
        Whether it is the best, or not told apart from it.
    said : str
        Who, what, how much and from how many seeds.
    """

    x: float
    y: float
    colour: str
    best: bool
    said: str


@dataclass(frozen=True)
class Column:
    """A task, where it stands, and whether it ranks."""

    task: BoardTask
    x: float
    core: bool


@dataclass(frozen=True)
class Heat:
    """The map.

    Attributes
    ----------
    columns : tuple of Column
        Tasks by track.
    tracks : tuple of (str, float, float)
        Name, left and right end.
    rows : tuple of (BoardEntry, str, str, float)
        Entry, label, family and top of each model, by family.
    groups : tuple of (str, str, float)
        Family, its name and the top of its heading.
    cells : tuple of Cell
        The scores.
    cannot, missing : tuple of (float, float)
        Middles of the cells of tasks that a model cannot do, and that it was not run on or failed.
    width, height : float
        In pixels.
    """

    columns: tuple[Column, ...]
    tracks: tuple[tuple[str, float, float], ...]
    rows: tuple[tuple[BoardEntry, str, str, float], ...]
    groups: tuple[tuple[str, str, float], ...]
    cells: tuple[Cell, ...]
    cannot: tuple[tuple[float, float], ...]
    missing: tuple[tuple[float, float], ...]
    width: float
    height: float


def effect(value: float, means: list[float], sign: int) -> float | None:
    """Return by how many standard deviations a value is better than the middle of some means.

    A standard deviation is the interquartile range over 1.349. None for fewer than four means; without a range, or for
    a metric that has no better end, nothing is better or worse.
    """
    if len(means) < _FEWEST:
        return None
    lower, median, upper = quantiles(means, n=4, method="inclusive")
    if upper == lower:
        return 0.0
    return sign * (value - median) / ((upper - lower) / 1.349)


def colour(z: float | None) -> str:
    """Return the class of the colour of an effect.

    Examples
    --------
    >>> colour(0.1), colour(-0.7), colour(9.0), colour(None)
    ('0', 'n2', 'p5', 'bare')
    """
    if z is None:
        return "bare"
    step = bisect_right(STEPS, abs(z))
    return f"{'p' if z > 0 else 'n'}{step}" if step else "0"


def make_heat(view: View) -> Heat:
    """Lay out the map: without measures of capacity and the tasks that only they have scores on."""
    columns, tracks, x = list[Column](), list[tuple[str, float, float]](), 0.0
    for track in view.tracks:
        tasks = [task for task in view.tasks(track) if task.name not in view.measured]
        left = x
        for task in tasks:
            columns.append(Column(task, x, track in view.rankings and task.name in view.rankings[track].tasks))
            x += CELL
        if tasks:
            tracks.append((track, left, x))
            x += BETWEEN
    rows, groups, y = list[tuple[BoardEntry, str, str, float]](), list[tuple[str, str, float]](), float(HEAD)
    for kind, members in _by_family(view).items():
        groups.append((kind, _FAMILIES[kind], y))
        y += CELL
        for entry in members:
            rows.append((entry, view.label(entry), kind, y))
            y += CELL
    cells, cannot, missing = list[Cell](), list[tuple[float, float]](), list[tuple[float, float]]()
    for column in columns:
        task = column.task
        means = [
            score.mean
            for entry, _, _, _ in rows
            if not entry.control and (score := view.score(entry.info.name, task.name, task.primary))
        ]
        for entry, label, _, top in rows:
            score = view.score(entry.info.name, task.name, task.primary)
            if score is None:
                skipped = entry.missing.get(task.name, "").startswith("skipped")
                (cannot if skipped else missing).append((column.x + CELL / 2, top + CELL / 2))
                continue
            sign = SIGNS[view.metric(task.primary).direction]
            z = effect(score.mean, means, sign)
            best = bool(sign) and len(means) > 1 and (score.best or score.tied)
            cells.append(Cell(column.x, top, colour(z), best, _said(view, label, task, score)))
    return Heat(
        tuple(columns),
        tuple(tracks),
        tuple(rows),
        tuple(groups),
        tuple(cells),
        tuple(cannot),
        tuple(missing),
        max(x - BETWEEN, 0.0),
        y,
    )


def _by_family(view: View) -> dict[str, list[BoardEntry]]:
    """Return the entries by family; in each, who has most scores first, so that gaps stand together."""
    count: dict[str, int] = {}
    for score in view.board.scores:
        count[score.entry] = count.get(score.entry, 0) + 1
    found: dict[str, list[BoardEntry]] = {kind: [] for kind in _FAMILIES}
    for name, entry in view.entries.items():
        if name not in view.measures:
            kind = "control" if entry.control else family(entry.info.model)
            found[kind if kind in found else "other"].append(entry)
    for members in found.values():
        members.sort(key=lambda entry: (-count.get(entry.info.name, 0), entry.info.name))
    return {kind: members for kind, members in found.items() if members}


def _said(view: View, label: str, task: BoardTask, score: Score) -> str:
    bounded = view.bounded(task.primary)
    ends = [show(end, bounded).striptags() for end in (score.lower, score.upper) if end is not None]
    of = "" if score.complete else f" of {score.planned}"
    seeds = f"{score.seeds}{of} seed{'' if score.seeds == 1 and not of else 's'}"
    interval = f" ({ends[0]} to {ends[1]})" if len(ends) == 2 else ""
    return f"{label} on {task.name}: {show(score.mean, bounded).striptags()}{interval}, {seeds}"


def page(view: View) -> str:
    """Return the text of the page."""
    return render("matrix.md", view=view, heat=make_heat(view), cell=CELL, gap=GAP, head=HEAD, steps=STEPS, root="../")
