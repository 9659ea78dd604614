"""What the page that compares models needs: names and quantiles in the page, and a file of values for each model.

Seeds are resampled by the page, from the values. What test points add to the half widths of differences is computed
here for all pairs, since it is not a matter of the two alone (who has no values at points is assumed to move as the
others do): a row for each value in the file of a model, in which the others stand in the order of the page. A row of
500 models is shorter than the values of one at a thousand points would be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lebench.board import PointHalves
from lebench.board.board import BoardEntry
from lebench.site.pages import render, slug

if TYPE_CHECKING:
    from lebench.site.leaderboard import View

#: Quantiles are given up to this many degrees of freedom; beyond, the last one is too wide by less than a percent.
_FREEDOM = 200


#: By task and value: what test points add to intervals.
Halves = Mapping[tuple[str, str], PointHalves]


def pages(view: View, halves: Halves) -> dict[str, str]:
    """Return the page and the models' files by their paths."""
    files = {f"data/{entry.info.name}.json": _values(view, entry, halves) for entry in view.board.entries}
    # The order of the models in the files is that of the page: a browser must not mix files of two builds.
    stamp = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12]
    return {"compare.md": render("compare.md", data=_inside(_page(view, halves) | {"stamp": stamp}))} | files


def _page(view: View, halves: Halves) -> dict[str, Any]:
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
                                "points": halves[task.name, value].count if (task.name, value) in halves else 0,
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


def _values(view: View, entry: BoardEntry, halves: Halves) -> str:
    name = entry.info.name
    scores: dict[str, dict[str, dict[int, float]]] = {}
    added: dict[str, dict[str, dict[str, Any]]] = {}
    for task in view.tasks():
        for value in task.values:
            score = view.score(name, task.name, value)
            if score is None:
                continue
            scores.setdefault(task.name, {})[value] = score.by_seed
            if (task.name, value) in halves:
                added.setdefault(task.name, {})[value] = _added(view, name, halves[task.name, value])
    cpu_s = {task: cost.cpu_s for task, cost in entry.costs.items()}
    document = {"name": name, "scores": scores, "points": added, "cpu_s": cpu_s}
    return json.dumps(document, separators=(",", ":")) + "\n"


def _added(view: View, name: str, halves: PointHalves) -> dict[str, Any]:
    """Return what test points add to an entry's score (None: not known), and to its differences from all entries."""
    place = {entry: k for k, entry in enumerate(halves.entries)}
    own, row = place[name], halves.of_all[place[name]]
    return {
        "own": _short(halves.of_scores[own]) if halves.known[own] else None,
        "others": [_short(row[place[other]]) if other in place else None for other in view.entries],
    }


def _short(half: float) -> float:
    return float(f"{half:.5g}")


def _inside(document: dict[str, Any]) -> Markup:
    # All that could end the element it stands in begins so.
    return Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"))
