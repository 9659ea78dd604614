"""What the page that compares models needs: names and quantiles in the page, and a file of values for each model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lebench.board.board import BoardEntry
from lebench.site.pages import render, slug

if TYPE_CHECKING:
    from lebench.site.leaderboard import View

#: Quantiles are given up to this many degrees of freedom; beyond, the last one is too wide by less than a percent.
_FREEDOM = 200


def pages(view: View) -> dict[str, str]:
    """Return the page and the models' files by their paths."""
    files = {f"data/{entry.info.name}.json": _values(view, entry) for entry in view.board.entries}
    return {"compare.md": render("compare.md", data=_inside(_page(view)))} | files


def _page(view: View) -> dict[str, Any]:
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


def _values(view: View, entry: BoardEntry) -> str:
    name = entry.info.name
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for task in view.tasks():
        for value in task.values:
            score = view.score(name, task.name, value)
            if score is not None:
                scores.setdefault(task.name, {})[value] = score.by_seed
    cpu_s = {task: cost.cpu_s for task, cost in entry.costs.items()}
    return json.dumps({"name": name, "scores": scores, "cpu_s": cpu_s}, separators=(",", ":")) + "\n"


def _inside(document: dict[str, Any]) -> Markup:
    # All that could end the element it stands in begins so.
    return Markup(json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"))
