"""What the page that compares models needs: names and quantiles in the page, and a file of values for each model.

Differences of seeds are taken by the page, from the values. The intervals of single scores and what test points add to
the half widths of differences are computed here: the latter is not a matter of two models alone (who has no values at
points is assumed to move as the others do), so there is a row for each value in the file of a model, in which the
others stand in the order of the page.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lebench.board import Estimate, TaskPoints, effects_on, paired_difference
from lebench.board.board import BoardEntry
from lebench.board.scores import Score
from lebench.site.pages import render, slug

if TYPE_CHECKING:
    from lebench.site.leaderboard import View

#: Quantiles are given up to this many degrees of freedom; beyond, the last one is too wide by less than a percent.
_FREEDOM = 200


def pages(view: View, points: Mapping[str, TaskPoints]) -> dict[str, str]:
    """Return the page and the models' files by their paths."""
    added = {
        (task.name, value): found
        for task in view.tasks()
        for value in task.values
        if (found := _Added.make(view, points, task.name, value)) is not None
    }
    files = {f"data/{entry.info.name}.json": _values(view, entry, added) for entry in view.board.entries}
    # The order of the models in the files is that of the page: a browser must not mix files of two builds.
    stamp = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12]
    return {
        "compare.md": render(
            "compare.md",
            view=view,
            root="../",
            data=_inside(_page(view, added) | {"stamp": stamp}),
            leaders={track: _leaders(view, track) for track in view.ranked_tracks},
        )
    } | files


#: Models of a track that are compared without a script.
_LEADERS = 4


def _leaders(view: View, track: str) -> list[tuple[str, str, list[tuple[Score | None, Estimate | None]]]]:
    """Return the first models of a track: name, label, and on each core task the score and what the first has more."""
    ranking = view.rankings[track]
    primary = {task.name: task.primary for task in view.tasks()}
    found = []
    for rank in ranking.ranks[:_LEADERS]:
        cells = []
        for task in ranking.tasks:
            own = view.score(rank.entry, task, primary[task])
            first = view.score(ranking.ranks[0].entry, task, primary[task])
            apart = (
                own and first and own is not first and paired_difference(own.by_seed, first.by_seed, view.board.level)
            )
            cells.append((own, apart or None))
        found.append((rank.entry, view.label(view.entries[rank.entry]), cells))
    return found


@dataclass(frozen=True)
class _Added:
    """What test points add to the intervals of one value: half widths of differences (m, m) of m entries."""

    entries: dict[str, int]
    known: NDArray[np.bool_]
    halves: NDArray[np.float64]
    count: int

    @classmethod
    def make(cls, view: View, points: Mapping[str, TaskPoints], task: str, value: str) -> _Added | None:
        entries = [name for name in view.entries if view.score(name, task, value) is not None]
        field = [name for name in entries if not view.entries[name].control]
        found = effects_on(points, task, value, entries, field)
        if found is None:
            return None
        halves = found.half_widths(found.pair_deviations, view.board.level)
        return cls({name: row for row, name in enumerate(entries)}, found.known, halves, len(found.ids))


def _page(view: View, added: Mapping[tuple[str, str], _Added]) -> dict[str, Any]:
    from scipy.special import stdtrit

    level = view.board.level
    return {
        "level": level,
        "quantiles": [float(stdtrit(n, 0.5 + level / 2)) for n in range(1, _FREEDOM + 1)],
        "tracks": [
            {
                "name": track,
                "tasks": [
                    {
                        "name": task.name,
                        "slug": slug(task.name),
                        "primary": task.primary,
                        "values": [
                            {
                                "name": value,
                                "direction": view.metric(value).direction,
                                "bounded": view.bounded(value),
                                "points": added[task.name, value].count if (task.name, value) in added else 0,
                            }
                            for _, value in view.columns(task)
                        ],
                    }
                    for task in view.tasks(track)
                ],
            }
            for track in view.tracks
        ],
        "models": [{"name": entry.info.name, "label": view.label(entry)} for entry in view.board.entries],
    }


def _values(view: View, entry: BoardEntry, added: Mapping[tuple[str, str], _Added]) -> str:
    name = entry.info.name
    scores: dict[str, dict[str, dict[int, float]]] = {}
    halves: dict[str, dict[str, float | None]] = {}
    points: dict[str, dict[str, dict[str, Any]]] = {}
    for task in view.tasks():
        for value in task.values:
            score = view.score(name, task.name, value)
            if score is None:
                continue
            scores.setdefault(task.name, {})[value] = score.by_seed
            halves.setdefault(task.name, {})[value] = None if score.half is None else _short(score.half)
            found = added.get((task.name, value))
            if found is not None:
                row = found.entries[name]
                others = [
                    _short(found.halves[row, found.entries[other]]) if other in found.entries else None
                    for other in view.entries
                ]
                points.setdefault(task.name, {})[value] = {"known": bool(found.known[row]), "others": others}
    cpu_s = {task: cost.cpu_s for task, cost in entry.costs.items()}
    document = {"name": name, "scores": scores, "halves": halves, "points": points, "cpu_s": cpu_s}
    return json.dumps(document, separators=(",", ":")) + "\n"


def _short(half: float) -> float:
    return float(f"{half:.5g}")


def _inside(document: dict[str, Any]) -> Markup:
    # All that could end the element it stands in begins so.
    return Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"))
