"""What values at test points say of scores: how other points would move them, and what was resampled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.board.point_values import Ids, part_of
from lebench.records import Document
from lebench.stats import PointEffects, effects_of, point_effects
from lebench.tasks.base import Task

#: Overlap of the test points of two seeds below which seeds alone say how a score moves with them.
LEAST_OVERLAP = 0.01


class Resampled(Document):
    """What the intervals of a task's primary value resample.

    Attributes
    ----------
    points : int
        Number of test points that are resampled beside the seeds; 0 if only seeds are.
    overlap : float
        Share of its test points that a seed has in common with another.
    entries : int
        Number of entries whose values at test points are known.
    note : str
        The same in words, with the reason where only seeds are resampled.
    """

    points: int
    overlap: float
    entries: int
    note: str


#: Values at points by variant and metric.
Values = Mapping[tuple[str, str], NDArray[Any]]


@dataclass(frozen=True)
class TaskPoints:
    """Values at test points on one task.

    Attributes
    ----------
    overlap : float
        Share of its test points that a seed has in common with another.
    ids : mapping of int to mapping of str to ndarray of uint32, shape (n,)
        Points by seed and variant.
    of_entries : mapping of str to mapping
        By entry and seed: values at points, shape (n,), by variant and metric; uint8 where they are 0 or 1, else
        float32.
    sums : mapping of str to frozenset of str
        By entry: names of the values that are means over these points.
    """

    overlap: float
    ids: Mapping[int, Mapping[str, Ids]] = field(default_factory=dict)
    of_entries: Mapping[str, Mapping[int, Values]] = field(default_factory=dict)
    sums: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def effects(self, value: str, variants: Iterable[str], entries: Sequence[str], field: Collection[str]) -> Effects:
        """Return how test points move a value of some entries, None where that is not known or seeds show it.

        Parameters
        ----------
        value : str
            Name.
        variants : iterable of str
            Of the task.
        entries : sequence of str
            Who has the value.
        field : collection of str
            Whose effects stand for those of an entry without values at points: not controls.
        """
        part = part_of(value, list(variants))
        if part is None or self.overlap < LEAST_OVERLAP:
            return None
        sign = np.float32(part.sign)
        of_seeds = {}
        for seed, ids in self.ids.items():
            wanted = {(variant, part.metric) for variant in part.variants}
            known = [
                e
                for e in entries
                if value in self.sums.get(e, ()) and wanted <= self.of_entries[e].get(seed, {}).keys()
            ]
            if known:
                of = [
                    (ids[variant], np.stack([self.of_entries[e][seed][variant, part.metric] for e in known]))
                    for variant in part.variants
                ]
                points, effects = effects_of(of)
                of_seeds[seed] = points, known, sign * effects
        return point_effects(of_seeds, self.overlap, entries, field)


#: How test points move a value; None where only seeds are resampled.
Effects = PointEffects | None


def effects_on(
    points: Mapping[str, TaskPoints], task: str, value: str, entries: Sequence[str], field: Collection[str]
) -> Effects:
    """Return how test points move a value of a task, see :meth:`TaskPoints.effects`."""
    if task not in points:
        return None
    return points[task].effects(value, [variant.name for variant in registry.tasks.get(task).variants], entries, field)


def resampled(task: Task, points: TaskPoints | None, effects: Effects, entries: Collection[str]) -> Resampled:
    """Say what the intervals of a task's primary value resample.

    Parameters
    ----------
    task : Task
        The task.
    points : TaskPoints or None
        None if there is no recording of it, or its data are not here.
    effects : PointEffects or None
        What is used of them.
    entries : collection of str
        Who has a score, in the order of the effects, without controls.
    """
    if effects is not None and points is not None:
        shared = "the same for all seeds" if points.overlap > 0.99 else f"of which two seeds share {points.overlap:.0%}"
        without = int((~effects.known).sum())
        lacking = f"; {without} of {len(entries)} models are assumed to move as the others do" if without else ""
        return Resampled(
            points=len(effects.ids),
            overlap=points.overlap,
            entries=len(entries) - without,
            note=f"seeds and {len(effects.ids):,} test points, {shared}{lacking}",
        )
    if part_of(task.primary, [variant.name for variant in task.variants]) is None:
        reason = f"{task.primary} is not known as a mean over test points"
    elif points is None:
        reason = "there are no values at test points, which need recordings of predictions and the data"
    elif points.overlap < LEAST_OVERLAP:
        reason = "each seed draws test points of its own, so that they vary with it"
    else:
        reason = "too few models have recordings of their predictions"
    return Resampled(
        points=0, overlap=0.0 if points is None else points.overlap, entries=0, note=f"seeds only: {reason}"
    )
