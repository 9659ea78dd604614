"""Quality against cost: what a score takes, and the cheapest model that cannot be told from the best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lebench.board.board import BoardEntry, BoardTask
from lebench.board.scores import Score
from lebench.pictures import Picture
from lebench.pictures.base import Spec, axis, colour, make, panel, rounded

if TYPE_CHECKING:
    from lebench.site.leaderboard import View


#: Points below which a task is drawn no panel: one or two say nothing about a relation.
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


def picture(view: View, track: str) -> Picture | None:
    """Return the models of a track by CPU time and score, a panel for each task; None if there is nothing to draw."""
    drawn = [(task, points(view, task)) for task in view.tasks(track)]
    families = sorted({point.family for _, found in drawn for point in found})
    panels = [_panel(task, found, families) for task, found in drawn if len(found) >= _FEWEST]
    if not panels:
        return None
    sentence = (
        f"Each point is a model on one of the {len(panels)} tasks of the track {track} on which at least {_FEWEST} "
        "models have a score: its mean, against the CPU seconds of a task and seed on a logarithmic axis. The table "
        "names the best and the cheapest that cannot be told from it."
    )
    return make(f"cost-{track}", f"Score against CPU time, {track}", sentence, panels, families)


def _panel(task: BoardTask, found: list[Point], families: list[str]) -> Spec:
    values = [
        {"model": p.label, "family": p.family, "cpu": rounded(p.cpu_s), "score": rounded(p.score.mean)} for p in found
    ]
    told = [{"field": name} for name in ("model", "family", "cpu", "score")]
    layer = {
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
        "encoding": {
            "x": axis("cpu", "CPU seconds", scale={"type": "log"}, axis={"values": _marks([p.cpu_s for p in found])}),
            "y": axis("score", task.primary),
            "color": colour("family", families, "family"),
            "tooltip": told,
        },
    }
    return panel(task.name, values, [layer])


def _marks(values: list[float]) -> list[float]:
    """Return where a logarithmic axis is labelled: at powers of ten, and between them if there are few."""
    low, high = (round_(math.log10(end)) for round_, end in ((math.floor, min(values)), (math.ceil, max(values))))
    steps = (1, 2, 5) if high - low < 3 else (1,)
    return [float(f"{m}e{e}") for e in range(low, high + 1) for m in steps]
