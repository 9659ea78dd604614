"""Scores of all entries on one value of a task, and who is distinguishably better than whom: arrays, not pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lebench.board.point_effects import Effects
from lebench.board.point_halves import PointHalves
from lebench.metrics.base import Direction
from lebench.records import Document, Record
from lebench.stats import LEVEL, as_array, mean_intervals

#: Values of one metric of one task: ``{model: {seed: value}}``.
BySeed = Mapping[str, Mapping[int, float]]


class Score(Document):
    """One value of one entry on one task.

    Attributes
    ----------
    entry, task, value : str
        Where it belongs; `value` is ``"metric"`` or ``"metric@qualifier"``.
    mean, lower, upper, seeds
        See :class:`lebench.stats.Estimate`.
    points : int
        Number of test points that the interval resamples beside the seeds; 0 if only seeds are.
    by_seed : dict
        The values that were averaged.
    best, tied : bool
        Whether it leads, or cannot be told from the one that leads. Controls do neither.
    """

    entry: str
    task: str
    value: str
    mean: float
    lower: float | None
    upper: float | None
    seeds: int
    points: int = 0
    by_seed: dict[int, float]
    best: bool
    tied: bool


def collect(records: Mapping[str, Iterable[Record]]) -> dict[tuple[str, str], dict[str, dict[int, float]]]:
    """Return the values of the records of each entry as ``{(task, value): {entry: {seed: value}}}``."""
    found: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for entry in sorted(records):
        for record in records[entry]:
            for name, value in record.metrics.items():
                found[record.cell.task, name][entry][record.cell.seed] = value
    return found


def scores_of(
    task: str,
    value: str,
    of_entries: BySeed,
    direction: Direction,
    controls: Collection[str],
    level: float = LEVEL,
    effects: Effects | None = None,
) -> list[Score]:
    """Return the scores of all entries on one value, by name.

    Parameters
    ----------
    task, value : str
        What is scored.
    of_entries : mapping
        ``{entry: {seed: value}}``.
    direction : {"higher", "lower", "none"}
        What is better.
    controls : collection of str
        Entries that cannot lead.
    level : float, default 0.95
        Confidence level.
    effects : Effects, optional
        Of test points, where they are known; see :class:`lebench.board.point_halves.PointHalves`.
    """
    entries = sorted(of_entries)
    if not entries:
        return []
    values = _array(of_entries, entries)
    means, halves = mean_intervals(values, level)
    by_points = PointHalves(effects, entries, controls, level)
    halves = np.hypot(halves, by_points.of_scores)
    best, tied = None, np.zeros(len(entries), dtype=bool)
    candidates = np.array([entry not in controls for entry in entries])
    if direction != "none" and candidates.any():
        best = int(np.argmax(np.where(candidates, means if direction == "higher" else -means, -np.inf)))
        difference, half = mean_intervals(values[best] - values, level)
        half = np.hypot(half, by_points.of_differences(best))
        tied = candidates & ~_excludes_zero(difference, half)
        tied[best] = False
    counts = (~np.isnan(values)).sum(axis=1)
    return [
        Score(
            entry=entry,
            task=task,
            value=value,
            mean=float(means[i]),
            lower=float(means[i] - halves[i]) if counts[i] > 1 else None,
            upper=float(means[i] + halves[i]) if counts[i] > 1 else None,
            seeds=int(counts[i]),
            points=by_points.count if counts[i] > 1 and by_points.known[i] else 0,
            by_seed=dict(sorted(of_entries[entry].items())),
            best=i == best,
            tied=bool(tied[i]),
        )
        for i, entry in enumerate(entries)
    ]


def count_wins(
    of_entries: BySeed,
    direction: Direction,
    controls: Collection[str],
    level: float = LEVEL,
    effects: Effects | None = None,
) -> dict[str, tuple[int, int]]:
    """Return how many other models, controls left out, each entry is distinguishably better and worse than.

    Parameters
    ----------
    of_entries, direction, controls, level, effects
        See :func:`scores_of`.

    Returns
    -------
    dict of str to tuple of int
        ``{entry: (better than, worse than)}``; empty if the value has no direction.
    """
    if direction == "none" or not of_entries:
        return {}
    entries = sorted(of_entries)
    values = _array(of_entries, entries)
    rivals = np.array([entry not in controls for entry in entries])
    added = PointHalves(effects, entries, controls, level).of_all
    counted = {}
    for i, entry in enumerate(entries):
        difference, half = mean_intervals(values[i] - values, level)
        told = _excludes_zero(difference, np.hypot(half, added[i])) & rivals
        better = (difference > 0) == (direction == "higher")
        counted[entry] = (int((told & better).sum()), int((told & ~better).sum()))
    return counted


def add_up(
    wins: Iterable[tuple[str, Mapping[str, tuple[int, int]]]],
) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Return wins and losses by entry and track of pairs (track, wins on a task of it)."""
    won: dict[str, Counter[str]] = defaultdict(Counter)
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for track, of_task in wins:
        for entry, (better, worse) in of_task.items():
            won[entry][track] += better
            lost[entry][track] += worse
    return won, lost


def _array(of_entries: BySeed, entries: Sequence[str]) -> NDArray[np.float64]:
    return as_array(of_entries, entries, sorted({seed for of in of_entries.values() for seed in of}))


def _excludes_zero(difference: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where there is an interval and zero lies outside; NaN where there is none."""
    return (difference - half > 0) | (difference + half < 0)
