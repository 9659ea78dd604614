"""What the board will say of an entry: computed before it is there, from all entries with it added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lebench.board.board import Board, BoardTask, make_board
from lebench.board.bootstrap import DRAWS
from lebench.board.entries import Entry
from lebench.board.places import Place
from lebench.board.point_store import gather
from lebench.board.ranking import direction_of
from lebench.board.scores import Score
from lebench.board.standings import OVERALL

#: How many of the tasks that are lacking for a rank are named.
_NAMED = 3


@dataclass(frozen=True)
class Prospect:
    """Where an entry will stand among all, or in a track.

    Attributes
    ----------
    scope : str
        ``"overall"`` or a track.
    place : Place or None
        None if it takes no rank.
    ranked : int
        Number of entries with a rank.
    reason : str
        Why it takes no rank.
    """

    scope: str
    place: Place | None
    ranked: int
    reason: str


@dataclass(frozen=True)
class Beside:
    """The primary score of an entry on a task between its neighbours; controls are no neighbours.

    Attributes
    ----------
    task : BoardTask
        The task.
    score : Score
        The entry's own.
    better, worse : Score or None
        The nearest on either side; where a value has no direction, the nearest larger and smaller one. None if there
        is nobody.
    """

    task: BoardTask
    score: Score
    better: Score | None
    worse: Score | None


@dataclass(frozen=True)
class Outlook:
    """What the board will say of an entry.

    Attributes
    ----------
    entries : int
        Number of entries on the board, with the new one.
    standings : tuple of Standing
        Over all tracks first.
    scores : tuple of Beside
        By track and task, where the entry has a score.
    missing : dict of str to str
        By task of the board: why the entry has no score.
    """

    entries: int
    standings: tuple[Prospect, ...]
    scores: tuple[Beside, ...]
    missing: dict[str, str]


def make_outlook(entries: Iterable[Entry], new: Entry, draws: int = DRAWS, points: Path | None = None) -> Outlook:
    """Return what the board will say of an entry.

    Parameters
    ----------
    entries : iterable of Entry
        Those on the board; one with the name of the new entry is replaced by it.
    new : Entry
        The entry.
    draws : int, default 2000
        Draws of the bootstrap behind the ranks.
    points : Path, optional
        Folder that keeps values at test points, see :func:`lebench.board.gather`; nothing is added to it.

    Raises
    ------
    LebenchError
        If a library of the extra ``site`` is missing.
    """
    together = [*(entry for entry in entries if entry.name != new.name), new]
    board = make_board(together, draws=draws, points=gather(together, points, keep=False))
    own = next(entry for entry in board.entries if entry.info.name == new.name)
    return Outlook(
        entries=len(board.entries),
        standings=tuple(
            sorted(_standings(board, new, own.control), key=lambda each: each.scope != OVERALL),
        ),
        scores=tuple(_scores(board, new.name)),
        missing=own.missing,
    )


def _standings(board: Board, new: Entry, control: bool) -> Iterator[Prospect]:
    name, run = new.name, {record.cell.task for record in new.records}
    for standings in board.standings:
        place = next((place for place in standings.places if place.entry == name), None)
        reason = next((each.reason for each in standings.unranked if each.entry == name), "")
        left = [task for task in standings.tasks if task not in run]
        if reason and left:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            reason += f"; not run: {', '.join(left[:_NAMED])}{more}"
        yield Prospect(standings.scope, place, len(standings.places), "controls take no rank" if control else reason)


def _scores(board: Board, name: str) -> Iterator[Beside]:
    rivals = {entry.info.name for entry in board.entries if not entry.control} - {name}
    for task in board.tasks:
        of_task = [score for score in board.scores if (score.task, score.value) == (task.name, task.primary)]
        own = next((score for score in of_task if score.entry == name), None)
        if own is None:
            continue
        sign = -1.0 if direction_of(task.primary) == "lower" else 1.0
        # From the worst to the best; who has the same value is a neighbour above.
        others = sorted((score for score in of_task if score.entry in rivals), key=lambda one: sign * one.mean)
        worse = [score for score in others if sign * score.mean < sign * own.mean]
        better = others[len(worse) :]
        yield Beside(task, own, better[0] if better else None, worse[-1] if worse else None)
