"""Scores of all entries on one value of a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from lebench import registry
from lebench.board.frame import BySeed, direction_of
from lebench.board.ranking import rank_values
from lebench.records import Document, Record
from lebench.stats import LEVEL, PointEffects, as_array, mean_intervals, within_bounds
from lebench.tasks.base import metric_of


class Score(Document):
    """One value of one entry on one task.

    Attributes
    ----------
    entry, task, value : str
        Where it belongs; `value` is ``"metric"`` or ``"metric@qualifier"``.
    mean, lower, upper, seeds
        See :class:`lebench.stats.Estimate`; the interval stays within the bounds of the metric.
    planned : int
        Number of seeds that the entry has of the task; where there are more than `seeds`, it is incomplete.
    points : int
        Number of test points that the interval resamples beside the seeds; 0 if only seeds are.
    by_seed : dict
        The values that were averaged.
    rank, rank_lower, rank_upper : int or None
        Of a task's primary value: its rank among models with its range. None for controls and other values.
    """

    entry: str
    task: str
    value: str
    mean: float
    lower: float | None
    upper: float | None
    seeds: int
    planned: int = 0
    points: int = 0
    by_seed: dict[int, float]
    rank: int | None = None
    rank_lower: int | None = None
    rank_upper: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every seed has the value."""
        return self.seeds >= self.planned

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.lower is None or self.upper is None else (self.upper - self.lower) / 2

    @property
    def best(self) -> bool:
        """Whether it leads."""
        return self.rank == 1

    @property
    def tied(self) -> bool:
        """Whether it could lead: nobody is told to be ahead of it."""
        return self.rank_lower == 1 and not self.best


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
    models: Mapping[str, str] | None,
    level: float = LEVEL,
    points: PointEffects | None = None,
    planned: Mapping[str, int] | None = None,
) -> list[Score]:
    """Return the scores of all entries on one value, by name.

    Parameters
    ----------
    task, value : str
        What is scored.
    of_entries : mapping
        ``{entry: {seed: value}}``.
    models : mapping of str to str, optional
        Labels of the entries that are ranked, without controls; None if the value does not rank.
    level : float, default 0.95
        Confidence level.
    points : PointEffects, optional
        Of test points on all entries by name, where they are known.
    planned : mapping of str to int, optional
        Seeds that each entry has of the task; by default as many as have the value.
    """
    entries = sorted(of_entries)
    if not entries:
        return []
    seeds = sorted({seed for of in of_entries.values() for seed in of})
    values = as_array(of_entries, entries, seeds)
    means, halves = mean_intervals(values, level)
    known = np.zeros(len(entries), dtype=bool)
    if points is not None:
        known = points.known
        halves = np.hypot(halves, np.where(known, points.half_widths(points.deviations, level), 0.0))
    lower, upper = within_bounds(means, halves, registry.metrics.get(metric_of(value)).bounds)
    ranks = {}
    if models is not None:
        labels = {entry: models[entry] for entry in entries if entry in models}
        rows = [row for row, entry in enumerate(entries) if entry in models]
        # Who is alone is not the best of anybody.
        ranks = (
            {}
            if len(labels) < 2
            else rank_values(of_entries, direction_of(value), labels, points.of(rows) if points else None, level)
        )
    counts = (~np.isnan(values)).sum(axis=1)
    found = []
    for i, entry in enumerate(entries):
        rank, best, worst = ranks.get(entry, (None, None, None))
        found.append(
            Score(
                entry=entry,
                task=task,
                value=value,
                mean=float(means[i]),
                lower=float(lower[i]) if counts[i] > 1 else None,
                upper=float(upper[i]) if counts[i] > 1 else None,
                seeds=int(counts[i]),
                planned=(planned or {}).get(entry, int(counts[i])),
                points=len(points.ids) if points is not None and counts[i] > 1 and known[i] else 0,
                by_seed=dict(sorted(of_entries[entry].items())),
                rank=rank,
                rank_lower=best,
                rank_upper=worst,
            )
        )
    return found
