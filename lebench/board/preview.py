"""What the board will say of an entry: computed before it is there, from all entries with it added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lebench.board.board import Board, BoardTask, make_board
from lebench.board.entries import Entry
from lebench.board.frame import direction_of
from lebench.board.point_store import gather
from lebench.board.ranking import Rank
from lebench.board.scores import Score


@dataclass(frozen=True)
class TrackPreview:
    """Where an entry will stand in a track.

    Attributes
    ----------
    track : str
        Which.
    rank : Rank or None
        None if it takes no rank.
    ranked : int
        Number of entries with a rank.
    reason : str
        Why it takes no rank.
    lacking : tuple of str
        Core tasks that it lacks records of.
    """

    track: str
    rank: Rank | None
    ranked: int
    reason: str
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Neighbours:
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
class Preview:
    """What the board will say of an entry.

    Attributes
    ----------
    entries : int
        Number of entries on the board, with the new one.
    tracks : tuple of TrackPreview
        Of each track that ranks.
    scores : tuple of Neighbours
        By track and task, where the entry has a score.
    missing : dict of str to str
        By task of the board: why the entry has no score.
    """

    entries: int
    tracks: tuple[TrackPreview, ...]
    scores: tuple[Neighbours, ...]
    missing: dict[str, str]


def make_preview(entries: Iterable[Entry], new: Entry, points: Path | None = None) -> Preview:
    """Return what the board will say of an entry once records of it were run again and agree.

    Parameters
    ----------
    entries : iterable of Entry
        Those on the board; one with the name of the new entry is replaced by it.
    new : Entry
        The entry.
    points : Path, optional
        Folder that keeps values at test points, see :func:`lebench.board.gather`; nothing is added to it.
    """
    together = [*(entry for entry in entries if entry.name != new.name), new]
    board = make_board(together, points=gather(together, points, keep=False), trusted=[new.name])
    own = next(entry for entry in board.entries if entry.info.name == new.name)
    tracks = []
    for ranking in board.rankings:
        rank = next((rank for rank in ranking.ranks if rank.entry == new.name), None)
        without = next((each for each in ranking.unranked if each.entry == new.name), None)
        reason = "controls take no rank" if own.control else without.reason if without else ""
        lacking = tuple(without.lacking) if without else ()
        tracks.append(TrackPreview(ranking.track, rank, len(ranking.ranks), reason, lacking))
    return Preview(len(board.entries), tuple(tracks), tuple(_scores(board, new.name)), own.missing)


def _scores(board: Board, name: str) -> Iterator[Neighbours]:
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
        yield Neighbours(task, own, better[0] if better else None, worse[-1] if worse else None)
