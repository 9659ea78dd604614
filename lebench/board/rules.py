"""Other rules of ranking beside the points: where they disagree, the critical difference, and both in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lebench.board import comparisons
from lebench.board.places import CriticalDifference, Disagreement, Place

FloatArray = NDArray[np.float64]


#: The rules as sentences name them.
TITLES = {"points": "points", "mean_rank": "mean rank", "win_rate": "win rate", "bradley_terry": "Bradley-Terry"}


def disagreements(places: Sequence[Place], rules: Mapping[str, FloatArray], order: Sequence[int]) -> list[Disagreement]:
    """Return the entries that not all rules give the same rank.

    Parameters
    ----------
    places : sequence of Place
        By rank.
    rules : mapping of str to ndarray of float, shape (m,)
        What each rule orders models by, more is better; keys of :data:`TITLES`.
    order : sequence of int
        Where the entry of each place stands in those arrays.
    """
    # Bradley-Terry is found by iteration: strengths that agree to so many digits are equal.
    ranks = {}
    for rule, score in rules.items():
        kept = np.round(score, 6)
        ranks[rule] = 1 + (kept[:, None] > kept).sum(axis=0)
    found = []
    for place, m in zip(places, order, strict=True):
        own = {rule: int(rank[m]) for rule, rank in ranks.items()}
        if len(set(own.values())) > 1:
            within = all(place.lower <= rank <= place.upper for rank in own.values())
            found.append(Disagreement(entry=place.entry, **own, within=within))
    return found


def critical_difference(
    means: FloatArray, tasks: Sequence[str], ranked: Sequence[str], level: float
) -> CriticalDifference | None:
    """Return what a critical-difference diagram shows, None without three models and two tasks that all of them have.

    Parameters
    ----------
    means : ndarray of float, shape (tasks, m)
        More is better, NaN is missing.
    tasks, ranked : sequence of str
        Names along the axes.
    level : float
        Confidence level.

    Raises
    ------
    LebenchError
        If scikit-posthocs is not installed.
    """
    complete = np.asarray(~np.isnan(means).any(axis=1))
    if complete.sum() < 2 or len(ranked) < 3:
        return None
    test = comparisons.friedman(means[complete], level)
    order = np.argsort(test.mean_ranks, kind="stable")
    return CriticalDifference(
        tasks=[task for task, kept in zip(tasks, complete.tolist(), strict=True) if kept],
        mean_ranks={ranked[m]: rounded(test.mean_ranks[m]) for m in order},
        difference=rounded(test.difference),
        statistic=rounded(test.statistic),
        p=float(f"{test.p:.6g}"),
        cliques=[[ranked[m] for m in clique] for clique in test.cliques],
    )


def notes(
    tasks: Sequence[str],
    places: Sequence[Place],
    found: Sequence[Disagreement],
    diagram: CriticalDifference | None,
    level: float,
) -> list[str]:
    """Return what a reader should know of ranks, in sentences.

    Parameters
    ----------
    tasks : sequence of str
        That count.
    places : sequence of Place
        By rank.
    found : sequence of Disagreement
        See :func:`disagreements`.
    diagram : CriticalDifference or None
        See :func:`critical_difference`.
    level : float
        Confidence level of the intervals.
    """
    said = []
    if 2.0 ** (1 - len(tasks)) > 1 - level:
        said.append(
            f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} cannot say who would lead on others like them: "
            f"that needs at least {int(np.floor(2 - np.log2(1 - level)))}. Ranks on exactly these tasks are narrower."
        )
    said += _agreement(len(tasks), places, found)
    if diagram is not None and len(diagram.tasks) < len(tasks):
        said.append(f"The critical difference is over the {len(diagram.tasks)} tasks that all ranked models have.")
    elif diagram is None:
        said.append("There is no critical difference: it needs three models and two tasks that all of them have.")
    return said


def _agreement(tasks: int, places: Sequence[Place], found: Sequence[Disagreement]) -> list[str]:
    """Say who is first by which rule, how many ranks differ, by how much at most, and why they can."""
    if not found:
        return ["Points, mean rank, win rate and Bradley-Terry give the same ranks."]
    said = []
    first = [place.entry for place in places if place.rank == 1]
    others: dict[str, list[str]] = {}
    for rule in ("mean_rank", "win_rate", "bradley_terry"):
        leads = [one.entry for one in found if getattr(one, rule) == 1]
        # Who is first by all rules is no disagreement and not listed.
        if leads and not set(first) & set(leads):
            others.setdefault(_and(leads), []).append(TITLES[rule])
    if others:
        by_rule = "; ".join(f"by {_and(rules)} it is {lead}" for lead, rules in others.items())
        said.append(f"The rules do not agree on who is first: by points it is {_and(first)}, {by_rule}.")
    outside = [one.entry for one in found if not one.within]
    where = "all of them inside of their interval" if not outside else f"{_and(outside)} outside of the interval"
    said.append(f"{len(found)} of {len(places)} models have another rank by another rule, {where}.")
    most = max(found, key=lambda one: (max(_ranks(one).values()) - min(_ranks(one).values()), one.entry))
    ranks = _ranks(most)
    text = ", ".join(f"{rank} by {TITLES[rule]}" for rule, rank in ranks.items())
    lacking = tasks - next(place.tasks for place in places if place.entry == most.entry)
    gap = f"; it lacks {lacking} of the {tasks} tasks" if lacking else ""
    said.append(f"Farthest apart are the ranks of {most.entry}: {text}{gap}.")
    if any(place.tasks < tasks for place in places):
        said.append(
            "Where scores are missing, rules compare with others: the mean rank with whoever has a task, the win rate "
            "with each model on the tasks that both have, points and Bradley-Terry also through third models."
        )
    return said


def _ranks(one: Disagreement) -> dict[str, int]:
    return {rule: int(getattr(one, rule)) for rule in TITLES}


def _and(names: Sequence[str], most: int = 5) -> str:
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def rounded(value: float) -> float:
    """Return a number with the digits that the board keeps."""
    return round(float(value), 6)
