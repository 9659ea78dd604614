"""The page of a track: scores with their intervals, who is ahead of whom, and its tasks."""

from __future__ import annotations

from dataclasses import dataclass

from lebench.board.ranking import Ranking
from lebench.site.home import basis
from lebench.site.leaderboard import QUESTIONS, Row, View, family, ranks
from lebench.site.pages import render

#: Side of a cell of the matrix, and the room for names, in pixels.
CELL, NAMES = 18, 190


@dataclass(frozen=True)
class Ahead:
    """Who is ahead of whom: names by rank, and the cells (row, column) in which the row is ahead, or behind."""

    names: tuple[str, ...]
    ahead: tuple[tuple[int, int], ...]
    behind: tuple[tuple[int, int], ...]


def make_ahead(view: View, ranking: Ranking) -> Ahead:
    """Return the matrix of a track."""
    ahead = tuple((row, column) for row, rank in enumerate(ranking.ranks) for column in rank.beats)
    names = tuple(view.label(view.entries[rank.entry]) for rank in ranking.ranks)
    return Ahead(names, ahead, tuple((column, row) for row, column in ahead))


def page(view: View, track: str) -> str:
    """Return the text of the page of a track."""
    ranking = view.rankings.get(track)
    core = ranking.tasks if ranking else [task.name for task in view.tasks(track)]
    columns, rows = view.overview(track, [track] if ranking else [])
    kept = [k for k, (task, _) in enumerate(columns) if task.name in core]
    rows = [Row(r.entry, r.label, r.family, tuple(r.cells[k] for k in kept), r.ranks) for r in rows]
    return render(
        "track.md",
        view=view,
        track=track,
        ranking=ranking if ranking and ranking.ranks else None,
        families={entry.info.name: family(entry.info.model) for entry in view.board.entries},
        matrix=make_ahead(view, ranking) if ranking and ranking.ranks else None,
        basis=basis(ranking) if ranking and ranking.ranks else "",
        columns=[columns[k] for k in kept],
        rows=[row for row in rows if any(row.cells)],
        ranked=[track] if ranking else [],
        core=core,
        measured=[task for task in view.tasks(track) if task.name in view.measured],
        root="../",
        question=QUESTIONS[track],
        cell=CELL,
        room=NAMES,
        span=ranks,
    )
