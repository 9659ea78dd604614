"""What test points add to intervals: half widths of scores, and of the differences of any two."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.board.point_effects import Effects
from lebench.board.point_store import TaskPoints
from lebench.stats import LEVEL

FloatArray = NDArray[np.float64]


class PointHalves:
    """By how much test points widen the intervals of one value of a task.

    Half widths over seeds and over test points are put together by their squares, which covers at least as often as
    both do, since the coverage of a normal variable is a concave function of the square of the half width.

    Parameters
    ----------
    effects : Effects or None
        Of test points; None where they are not known, or seeds show them.
    entries : sequence of str, length m
        Who has a score.
    controls : collection of str
        Who of them is no model.
    level : float, default 0.95
        Confidence level.

    Attributes
    ----------
    entries : tuple of str, length m
        Who has a score.
    count : int
        Number of test points that are resampled; 0 for none.
    known : ndarray of bool, shape (m,)
        Whose values at test points are known; the others are assumed to move as the models do.
    """

    def __init__(
        self, effects: Effects | None, entries: Sequence[str], controls: Collection[str], level: float = LEVEL
    ) -> None:
        field = [entry for entry in entries if entry not in controls]
        self._moves = None if effects is None else effects.among(entries, field)
        self._level = level
        self.entries = tuple(entries)
        self.count = 0 if self._moves is None else len(self._moves.ids)
        known = () if effects is None or self._moves is None else effects.models
        self.known = np.array([entry in known for entry in entries], dtype=bool)

    @cached_property
    def of_scores(self) -> FloatArray:
        """What is added to the scores (m,); nothing to one whose values at points are not known."""
        if self._moves is None:
            return np.zeros(len(self.entries))
        return np.where(self.known, self._moves.half_widths(self._moves.deviations, self._level), 0.0)

    def of_differences(self, of: int) -> FloatArray:
        """Return what is added to the differences (m,) of all scores from one."""
        if self._moves is None:
            return np.zeros(len(self.entries))
        return self._moves.half_widths(self._moves.deviations_from(of), self._level)

    @cached_property
    def of_all(self) -> FloatArray:
        """What is added to the differences of all pairs (m, m), 0 on the diagonal."""
        if self._moves is None:
            return np.zeros((len(self.entries), len(self.entries)))
        return self._moves.half_widths(self._moves.pair_deviations, self._level)


def halves_of_values(
    scored: Mapping[tuple[str, str], Collection[str]],
    points: Mapping[str, TaskPoints],
    controls: Collection[str],
    level: float = LEVEL,
) -> dict[tuple[str, str], PointHalves]:
    """Return what test points add to intervals, by task and value, for every value for which they are resampled.

    Parameters
    ----------
    scored : mapping of (task, value) to collection of str
        Who has that value of that task.
    points : mapping of str to TaskPoints
        By task: values at test points, see :func:`lebench.board.gather`.
    controls : collection of str
        Who is no model.
    level : float, default 0.95
        Confidence level.
    """
    found = {}
    for (task, value), entries in scored.items():
        if task not in points:
            continue
        effects = points[task].effects(value, [variant.name for variant in registry.tasks.get(task).variants])
        halves = PointHalves(effects, sorted(entries), controls, level)
        if halves.count:
            found[task, value] = halves
    return found
