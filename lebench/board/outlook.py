"""What the board will say of an entry: computed before it is there, from all entries with it added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from lebench.board.board import Board, BoardTask, make_board
from lebench.board.bootstrap import DRAWS
from lebench.board.entries import Entry
from lebench.board.places import MINIMUM_SEEDS, MINIMUM_SHARE, Place
from lebench.board.point_store import gather
from lebench.board.ranking import direction_of
from lebench.board.scores import Score
from lebench.board.standings import OVERALL
from lebench.records import Record


@dataclass(frozen=True)
class Lack:
    """What an entry lacks of a track for a rank.

    Attributes
    ----------
    needed : int
        How many more of the common tasks it must have, at least 1.
    left : tuple of str
        Common tasks that it was not run on, with so many seeds that they count.
    """

    needed: int
    left: tuple[str, ...]


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
    lacking : tuple of Lack
        What it lacks for a rank, by track.
    """

    scope: str
    place: Place | None
    ranked: int
    reason: str
    lacking: tuple[Lack, ...] = ()

    def ranked_by(self, able: Collection[str]) -> list[str]:
        """Return tasks that would give it the rank: all it could still run, none if these are too few.

        Parameters
        ----------
        able : collection of str
            Tasks that the model can be run on.
        """
        more = [[task for task in lack.left if task in able] for lack in self.lacking]
        enough = all(len(tasks) >= lack.needed for tasks, lack in zip(more, self.lacking, strict=True))
        return [task for tasks in more for task in tasks] if enough else []


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
    tasks = {task.name: task for task in board.tasks}
    run = _counting(record for record in new.current.records)
    scored = _counting(
        record
        for record in new.current.records
        if record.cell.task in tasks and tasks[record.cell.task].primary in record.metrics
    )
    for standings in board.standings:
        place = next((place for place in standings.places if place.entry == new.name), None)
        reason = next((each.reason for each in standings.unranked if each.entry == new.name), "")
        if control:
            yield Prospect(standings.scope, None, len(standings.places), "controls take no rank")
            continue
        lacking = []
        for track in sorted({tasks[name].track for name in standings.tasks} if reason else ()):
            common = [name for name in standings.tasks if tasks[name].track == track]
            needed = ceil(MINIMUM_SHARE * len(common)) - sum(name in scored for name in common)
            if needed > 0:
                lacking.append(Lack(needed, tuple(name for name in common if name not in run)))
        yield Prospect(standings.scope, place, len(standings.places), reason, tuple(lacking))


def _counting(records: Iterable[Record]) -> set[str]:
    """Return the tasks of which there are records of so many seeds that they count for ranks."""
    seeds = defaultdict[str, set[int]](set)
    for record in records:
        seeds[record.cell.task].add(record.cell.seed)
    return {task for task, of in seeds.items() if len(of) >= MINIMUM_SEEDS}


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
