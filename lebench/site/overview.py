"""The overview of the leaderboard: a row a model, its score in each track with the interval, coverage and checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, fmean

from lebench.board.board import BoardEntry
from lebench.board.ranking import SIGNS, Rank, Ranking
from lebench.site.leaderboard import QUESTIONS, View, family, ranks
from lebench.site.pages import render


@dataclass(frozen=True)
class Place:
    """A model in a track.

    Attributes
    ----------
    score, lower, upper : float or None
        Track score with its interval; controls have no interval, and who lacks a core task has none of them.
    rank : Rank or None
        Controls have none.
    reason : str
        Why there is no score.
    """

    score: float | None
    lower: float | None = None
    upper: float | None = None
    rank: Rank | None = None
    reason: str = ""

    @property
    def first(self) -> bool:
        """Whether it could be the first."""
        return self.rank is not None and self.rank.lower == 1


@dataclass(frozen=True)
class Model:
    """A row: an entry, its place in each track, and the number of tasks on which it has a score."""

    entry: BoardEntry
    label: str
    family: str
    places: tuple[Place, ...]
    tasks: int


@dataclass(frozen=True)
class Overview:
    """Ranked models by their rank in the first track, controls, and models without a track score; number of tasks."""

    models: tuple[Model, ...]
    controls: tuple[Model, ...]
    others: tuple[Model, ...]
    tasks: int


def make_overview(view: View) -> Overview:
    """Return the rows of the overview; measures of capacity are none."""
    names = {task.name for task in view.tasks()} - view.measured
    scored: dict[str, set[str]] = {}
    for score in view.board.scores:
        if score.task in names:
            scored.setdefault(score.entry, set()).add(score.task)
    rows = [
        Model(
            entry,
            view.label(entry),
            "control" if entry.control else family(entry.info.model),
            tuple(place(view, entry, view.rankings[track]) for track in view.ranked_tracks),
            len(scored.get(name, ())),
        )
        for name, entry in view.entries.items()
        if name not in view.measures
    ]
    rows.sort(key=_order)
    return Overview(
        models=tuple(row for row in rows if not row.entry.control and _placed(row)),
        controls=tuple(row for row in rows if row.entry.control),
        others=tuple(row for row in rows if not row.entry.control and not _placed(row)),
        tasks=len(names),
    )


def _placed(row: Model) -> bool:
    return any(place.score is not None for place in row.places)


def _order(row: Model) -> tuple[list[float], str]:
    return [float("inf") if place.rank is None else place.rank.rank for place in row.places], row.label


def place(view: View, entry: BoardEntry, ranking: Ranking) -> Place:
    """Return where an entry stands in a track."""
    name = entry.info.name
    if entry.control:
        return _control(view, entry, ranking)
    for rank in ranking.ranks:
        if rank.entry == name:
            return Place(rank.score, rank.score_lower, rank.score_upper, rank)
    return Place(None, reason=_lacking(view, [name], ranking))


def _lacking(view: View, entries: Iterable[str], ranking: Ranking) -> str:
    there = sum(any(_mean(view, entry, task) is not None for entry in entries) for task in ranking.tasks)
    if there == len(ranking.tasks):
        return "too few seeds"
    return f"{there} of {len(ranking.tasks)} core tasks"


def _control(view: View, entry: BoardEntry, ranking: Ranking) -> Place:
    """Return what a control would score by the frozen anchors, without an interval: it is not ranked."""
    name, suite = entry.info.name, view.board.suite.tasks
    means = {task: _mean(view, name, task) for task in ranking.tasks}
    if not ranking.frozen or None in means.values():
        return Place(None, reason=_lacking(view, [name], ranking))
    bounded = [
        NormalDist(suite[task].centre, suite[task].scale).cdf(mean) for task, mean in means.items() if mean is not None
    ]
    return Place(100 * fmean(bounded))


def _mean(view: View, entry: str, task: str) -> float | None:
    """Return the mean of a primary value, more of which is better."""
    primary = next(one.primary for one in view.board.tasks if one.name == task)
    score = view.score(entry, task, primary)
    return None if score is None else SIGNS[view.metric(primary).direction] * score.mean


def page(view: View) -> str:
    """Return the text of the page."""
    overview = make_overview(view)
    rows = (*overview.models, *overview.controls)
    return render(
        "overview.md",
        view=view,
        overview=overview,
        families=list(dict.fromkeys(row.family for row in rows)),
        told={track: _told(view.rankings[track]) for track in view.ranked_tracks},
        percent=f"{100 * view.board.level:.0f}%",
        span=ranks,
        questions=QUESTIONS,
        root="",
    )


def _told(ranking: Ranking) -> str:
    tasks = f"{len(ranking.tasks)} task{'' if len(ranking.tasks) == 1 else 's'}"
    if not ranking.ranks:
        return f"{tasks}; fewer than two models have them"
    numbers = sorted({rank.seeds for rank in ranking.ranks})
    seeds = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    return f"{tasks}, {seeds} seeds; {100 * (ranking.decided or 0):.0f}% of pairs told apart"
