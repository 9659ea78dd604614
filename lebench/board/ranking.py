"""Ranks: of a track, on exactly the tasks of the core suite, and of a single task; see :mod:`lebench.stats.ranking`.

A model is ranked in a track if it has every core task that its kind can do, each with enough seeds. A task that it
cannot do is "not applicable": the model is compared with others on the tasks that both have. Controls take no rank.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lebench import registry
from lebench.board.frame import BySeed, by_seed, direction_of, primary_of
from lebench.board.suite import Suite, core_suite
from lebench.errors import UnknownNameError
from lebench.metrics.base import Direction
from lebench.records import Document
from lebench.stats import (
    LEVEL,
    Comparisons,
    Estimate,
    PointEffects,
    Ranks,
    anchors,
    as_array,
    compare,
    mean_interval,
    ranks_of,
)
from lebench.tasks.base import Task, metric_of

if TYPE_CHECKING:
    import pandas as pd

#: What makes more of a metric better; a descriptive one does not rank.
SIGNS: dict[Direction, int] = {"higher": 1, "lower": -1, "none": 0}

#: Models whose fit draws no random numbers: only the split changes with the seed. A model that is not registered here
#: counts as one that does.
_EXACT, _RANDOM = {"kernel", "classical"}, {"entk", "lantk", "second-order"}


class Rank(Document):
    """Where a model stands in a track.

    Attributes
    ----------
    entry : str
        Name.
    rank, lower, upper : int
        One more than the number of models ahead of it, and the best and worst rank that seeds and test points leave
        open, see :class:`lebench.stats.Ranks`.
    score, score_lower, score_upper : float
        Track score from 0 to 100 with its interval.
    seeds : int
        Fewest seeds of its tasks.
    tasks : int
        Number of core tasks that it has.
    not_applicable : dict of str to str
        Core tasks that its kind cannot do, and why.
    beats : list of int
        Positions, in the list of ranks, of the models that it is told to be ahead of.
    """

    entry: str
    rank: int
    lower: int
    upper: int
    score: float
    score_lower: float
    score_upper: float
    seeds: int
    tasks: int
    not_applicable: dict[str, str]
    beats: list[int]


class Unranked(Document):
    """A model without a rank, and why; controls are not listed.

    Attributes
    ----------
    entry, reason : str
        Who, and what is missing in words.
    lacking : list of str
        Core tasks that it lacks records of.
    """

    entry: str
    reason: str
    lacking: list[str]


class Ranking(Document):
    """The ranks of a track.

    Attributes
    ----------
    track : str
        Which.
    tasks : list of str
        Core tasks: the ranks are on exactly these.
    ranks : list of Rank
        By rank, then name.
    unranked : list of Unranked
        By name.
    decided, certain : float or None
        Share of all pairs that are told apart: by Holm's procedure for each model, and for all pairs at once. None
        without a pair.
    neighbours : float or None
        Share of models that are told apart from the next one in the list.
    frozen : bool
        Whether the anchors are those of the suite's release; else they are from the models of this board.
    """

    track: str
    tasks: list[str]
    ranks: list[Rank]
    unranked: list[Unranked]
    decided: float | None = None
    certain: float | None = None
    neighbours: float | None = None
    frozen: bool


def is_random(model: str) -> bool:
    """Return whether fitting a model draws random numbers of its own, beside the split."""
    name = model.split("[", 1)[0]
    tags = set(registry.models.item(name).tags) if name in registry.models else set()
    return not tags & _EXACT or bool(tags & _RANDOM)


def make_ranking(
    track: str,
    tasks: Sequence[Task],
    values: Mapping[str, BySeed],
    models: Mapping[str, str],
    cannot: Mapping[str, Mapping[str, str]],
    points: Callable[[Task, Sequence[str]], PointEffects | None] = lambda task, entries: None,
    *,
    planned: Mapping[str, Mapping[str, int]] | None = None,
    unchecked: Mapping[str, str] | None = None,
    suite: Suite | None = None,
    level: float = LEVEL,
) -> Ranking:
    """Rank models on the core tasks of a track.

    Parameters
    ----------
    track : str
        Which.
    tasks : sequence of Task
        Its core tasks.
    values : mapping
        Primary values, ``{task: {entry: {seed: value}}}``.
    models : mapping of str to str
        Label of the model of each entry that is to be ranked: without controls.
    cannot : mapping
        ``{entry: {task: reason}}``: tasks that are not applicable.
    points : callable, optional
        Returns how test points move the primary values of a task, for some entries in their order.
    planned : mapping, optional
        ``{entry: {task: seeds}}``: who has fewer primary values of a task is incomplete and takes no rank.
    unchecked : mapping of str to str, optional
        Why entries take no rank although they have what it needs.
    suite : Suite, optional
        By default the core suite; anchors of a task that is not in it come from `values`.
    level : float, default 0.95
        Confidence level.
    """
    suite = suite or core_suite()
    names = [task.name for task in tasks]
    ranked, unranked = [], []
    for entry in models:
        lacks = {name: len(values.get(name, {}).get(entry, ())) for name in names if name not in cannot.get(entry, {})}
        asked = {name: max(suite.minimum_seeds, (planned or {}).get(entry, {}).get(name, 0)) for name in lacks}
        short = {name: seeds for name, seeds in lacks.items() if seeds < asked[name]}
        if short or not lacks:
            unranked.append(Unranked(entry=entry, reason=_reason(lacks, short, asked), lacking=list(short)))
        elif entry in (unchecked or {}):
            unranked.append(Unranked(entry=entry, reason=(unchecked or {})[entry], lacking=[]))
        else:
            ranked.append(entry)
    frozen = all(
        name in suite.tasks and suite.tasks[name].version == task.version
        for name, task in zip(names, tasks, strict=True)
    )
    if len(ranked) < 2:
        alone = "there is no other model to compare it with"
        unranked += [Unranked(entry=entry, reason=alone, lacking=[]) for entry in ranked]
        unranked.sort(key=lambda one: one.entry)
        return Ranking(track=track, tasks=names, ranks=[], unranked=unranked, frozen=frozen)
    found, ranks = _ranked(
        [SIGNS[direction_of(task.primary)] for task in tasks],
        [values[name] for name in names],
        ranked,
        [models[entry] for entry in ranked],
        [task.dataset for task in tasks],
        [points(task, ranked) for task in tasks],
        [(suite.tasks[name].centre, suite.tasks[name].scale) for name in names] if frozen else None,
        level,
    )
    by_rank = sorted(range(len(ranked)), key=lambda m: (ranks.rank[m], ranked[m]))
    apart = ranks.apart[np.ix_(by_rank, by_rank)]
    ahead = found.differences[np.ix_(by_rank, by_rank)] > 0
    pairs = np.triu_indices(len(ranked), 1)
    return Ranking(
        track=track,
        tasks=names,
        ranks=[
            Rank(
                entry=ranked[m],
                rank=int(ranks.rank[m]),
                lower=int(ranks.lower[m]),
                upper=int(ranks.upper[m]),
                score=_percent(found.scores[m]),
                score_lower=_percent(found.lower[m]),
                score_upper=_percent(found.upper[m]),
                seeds=min(len(values[name][ranked[m]]) for name in names if ranked[m] in values[name]),
                tasks=sum(ranked[m] in values[name] for name in names),
                not_applicable={task: why for task, why in cannot.get(ranked[m], {}).items() if task in names},
                beats=np.flatnonzero(apart[k] & ahead[k]).tolist(),
            )
            for k, m in enumerate(by_rank)
        ],
        unranked=sorted(unranked, key=lambda one: one.entry),
        decided=round(float(ranks.apart[pairs].mean()), 4),
        certain=round(float(ranks.certain[pairs].mean()), 4),
        neighbours=round(float(np.diagonal(apart, 1).mean()), 4),
        frozen=frozen,
    )


def rank_values(
    values: BySeed,
    direction: Direction,
    models: Mapping[str, str],
    points: PointEffects | None = None,
    level: float = LEVEL,
) -> dict[str, tuple[int, int, int]]:
    """Return rank, best rank and worst rank of each model on a single value; empty if the value has no direction.

    Parameters
    ----------
    values : mapping
        ``{entry: {seed: value}}``; others than `models` are not looked at.
    direction : {"higher", "lower", "none"}
        What is better.
    models : mapping of str to str
        Label of the model of each entry.
    points : PointEffects, optional
        How test points move the values, in the order of `models`.
    level : float, default 0.95
        Confidence level.
    """
    there = [entry for entry in models if values.get(entry)]
    if direction == "none" or not there:
        return {}
    rows = [row for row, entry in enumerate(models) if values.get(entry)]
    some = None if points is None else points.of(rows)
    labels = [models[entry] for entry in there]
    _, ranks = _ranked([SIGNS[direction]], [values], there, labels, ["one"], [some], None, level)
    return {e: (int(ranks.rank[m]), int(ranks.lower[m]), int(ranks.upper[m])) for m, e in enumerate(there)}


def _ranked(
    signs: Sequence[int],
    values: Sequence[BySeed],
    entries: Sequence[str],
    labels: Sequence[str],
    clusters: Sequence[str],
    points: Sequence[PointEffects | None],
    frozen: Sequence[tuple[float, float]] | None,
    level: float,
) -> tuple[Comparisons, Ranks]:
    seeds = sorted({seed for of in values for entry in entries for seed in of.get(entry, ())})
    scores = np.stack([sign * as_array(of, entries, seeds) for sign, of in zip(signs, values, strict=True)])
    if frozen is None:
        there = ~np.isnan(scores)
        means = np.where(there, scores, 0.0).sum(axis=2) / np.where(there.any(axis=2), there.sum(axis=2), np.nan)
        centre, scale = anchors(means)
    else:
        centre, scale = np.array(frozen).T
    found = compare(scores, centre, scale, clusters, [is_random(label) for label in labels], points, level)
    return found, ranks_of(found, level)


def _percent(score: float) -> float:
    return round(100 * float(score), 3)


def _reason(lacks: Mapping[str, int], short: Mapping[str, int], asked: Mapping[str, int]) -> str:
    if not lacks:
        return "no task of the core applies to it"
    without = [name for name, seeds in short.items() if not seeds]
    few = [f"{name} has {seeds} of {asked[name]} seeds" for name, seeds in short.items() if seeds]
    return "; ".join([*([f"no score on {', '.join(without)}"] if without else []), *few])


@dataclass(frozen=True)
class TaskRank:
    """Where a model stands among others on one task.

    Attributes
    ----------
    track, task, metric, direction : str
        The question, the value that ranks, and what is better.
    estimate : Estimate
        The model's own score.
    lower, upper, models : int
        Best and worst rank that seeds leave open, of how many models.
    """

    track: str
    task: str
    metric: str
    direction: Direction
    estimate: Estimate
    lower: int
    upper: int
    models: int


def ranks_on_tasks(frame: pd.DataFrame, label: str, level: float = LEVEL) -> list[TaskRank]:
    """Return where a model stands on every task that it has a primary score of, by track and task.

    Tasks that are not registered, and those whose primary metric is only descriptive, are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
        Values of the model and of those it is compared with, see :func:`lebench.board.frame`.
    label : str
        The model, as in the column ``model``.
    level : float, default 0.95
        Confidence level.
    """
    found = []
    tasks = frame.loc[frame["model"] == label, ["track", "task"]].drop_duplicates().sort_values(["track", "task"])
    for track, task in tasks.itertuples(index=False):
        try:
            metric = primary_of(task)
            direction = direction_of(metric)
        except UnknownNameError:
            continue
        values = by_seed(frame, task, metric)
        if direction == "none" or label not in values:
            continue
        _, lower, upper = rank_values(values, direction, {model: model for model in sorted(values)}, level=level)[label]
        bounds = registry.metrics.get(metric_of(metric)).bounds
        estimate = mean_interval(values[label].values(), level, bounds)
        found.append(TaskRank(track, task, metric, direction, estimate, lower, upper, len(values)))
    return found


def best_of(values: BySeed, direction: Direction, exclude: Collection[str] = ()) -> str | None:
    """Return the model with the best mean, None if the metric is descriptive or there is no model."""
    candidates = {model: seeds for model, seeds in values.items() if model not in exclude and seeds}
    if direction == "none" or not candidates:
        return None
    sign = SIGNS[direction]
    return min(candidates, key=lambda model: (-sign * mean_interval(candidates[model].values()).mean, model))
