"""Quality against cost: what a score takes, and the cheapest model that cannot be told from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lebench.board.board import BoardEntry, BoardTask
from lebench.board.scores import Score
from lebench.pictures import Picture
from lebench.pictures.base import Spec, axis, colour, listed, make, number, panel, rounded

if TYPE_CHECKING:
    from lebench.site.leaderboard import View


#: Models below which nothing is drawn: one or two say nothing about a relation.
_FEWEST = 3


@dataclass(frozen=True)
class Point:
    """The primary score of a model on a task, and the CPU seconds of a cell."""

    entry: BoardEntry
    label: str
    family: str
    score: Score
    cpu_s: float


@dataclass(frozen=True)
class Bargain:
    """On a task: the best model, and the cheapest that cannot be told from it."""

    task: BoardTask
    best: Point
    cheapest: Point

    @property
    def times(self) -> float:
        """How many times as much CPU time the best one takes."""
        return self.best.cpu_s / self.cheapest.cpu_s


def points(view: View, task: BoardTask) -> list[Point]:
    """Return what models scored on a task and at what cost; controls are left out, like those of unknown cost."""
    found = []
    for row in view.rows([(task, task.primary)]):
        (score,), cost = row.cells, row.entry.costs.get(task.name)
        if not row.entry.control and score is not None and cost is not None and cost.cpu_s > 0:
            found.append(Point(row.entry, row.label, row.family, score, cost.cpu_s))
    return found


def bargain(view: View, task: BoardTask) -> Bargain | None:
    """Return the best and the cheapest that cannot be told from it; None if nobody leads."""
    told = [point for point in points(view, task) if point.score.best or point.score.tied]
    best = next((point for point in told if point.score.best), None)
    return None if best is None else Bargain(task, best, min(told, key=lambda point: point.cpu_s))


def frontier(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Return which of (cost, score) nothing cheaper reaches, by cost.

    Examples
    --------
    >>> frontier([(3.0, 0.5), (1.0, 0.4), (2.0, 0.3), (4.0, 0.9)])
    [1, 0, 3]
    """
    found: list[int] = []
    for k in sorted(range(len(costs)), key=lambda k: (costs[k][0], -costs[k][1])):
        if not found or costs[k][1] > costs[found[-1]][1]:
            found.append(k)
    return found


def picture(view: View, track: str) -> Picture | None:
    """Return the ranked models of a track by CPU time and track score, with the frontier; None for fewer than three."""
    ranking = view.rankings.get(track)
    family = {row.entry.info.name: row.family for row in view.rows([])}
    values = list[dict[str, Any]]()
    for rank in ranking.ranks if ranking else ():
        entry = view.entries[rank.entry]
        cpu = sum(cost.cpu_s for task, cost in entry.costs.items() if ranking and task in ranking.tasks)
        if cpu > 0:
            ends = {"lower": rounded(rank.score_lower), "upper": rounded(rank.score_upper)}
            named = {"model": view.label(entry), "family": family[rank.entry]}
            values.append(named | {"cpu": rounded(cpu), "score": rounded(rank.score)} | ends)
    if len(values) < _FEWEST:
        return None
    best = frontier([(one["cpu"], one["score"]) for one in values])
    families = sorted({one["family"] for one in values})
    scale = axis("cpu", "CPU seconds of the core tasks, a seed", scale={"type": "log"})
    x = scale | {"axis": {"values": _marks([one["cpu"] for one in values])}}
    told = [{"field": name} for name in ("model", "family", "cpu", "score", "lower", "upper")]
    line = {"type": "line", "interpolate": "step-after", "strokeDash": [4, 3], "opacity": 0.7}
    layers: list[Spec] = [
        {"data": {"values": [values[k] for k in best]}, "mark": line, "encoding": {"x": x, "y": axis("score", None)}},
        {
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {
                "x": x,
                "y": axis("lower", "track score"),
                "y2": {"field": "upper"},
                "color": colour("family", families, "family"),
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.95},
            "encoding": {
                "x": x,
                "y": axis("score", "track score"),
                "color": colour("family", families, "family"),
                "tooltip": told,
            },
        },
    ]
    steps = [f"{values[k]['model']} with {number(values[k]['score'])} at {number(values[k]['cpu'])} s" for k in best]
    sentence = (
        f"Track score of {len(values)} models with its interval, against the CPU seconds of the core tasks for a seed, "
        f"on a logarithmic axis. Nothing cheaper scores more than those on the dashed line: {listed(steps)}."
    )
    drawn = panel(track, values, layers) | {"width": 640, "height": 300}
    return make(f"cost-{track}", f"Score against CPU time, {track}", sentence, [drawn], families)


def _marks(values: list[float]) -> list[float]:
    """Return where a logarithmic axis is labelled: at powers of ten, and between them if there are few."""
    low, high = (round_(math.log10(end)) for round_, end in ((math.floor, min(values)), (math.ceil, max(values))))
    steps = (1, 2, 5) if high - low < 3 else (1,)
    return [float(f"{m}e{e}") for e in range(low, high + 1) for m in steps]
