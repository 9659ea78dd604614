"""The smallest difference between two models that a task can resolve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lebench.board.statistics import LEVEL, as_array, smallest_difference
from lebench.records import Document


class Resolution(Document):
    """The smallest difference that a task can resolve, see :func:`lebench.board.statistics.smallest_difference`.

    Attributes
    ----------
    task, value : str
        The task and its primary value.
    deviation : float
        Standard deviation of paired differences between seeds: the median over pairs of models, controls left out.
    seeds : int
        Number of seeds that most pairs have in common.
    difference : float
        What a paired t test on so many seeds finds with a probability of 80%.
    pairs : int
        Number of pairs.
    """

    task: str
    value: str
    deviation: float
    seeds: int
    difference: float
    pairs: int


def make_resolution(
    task: str, value: str, of_models: Mapping[str, Mapping[int, float]], level: float = LEVEL
) -> Resolution | None:
    """Return the smallest difference that the seeds of a task can resolve, None if no two models have two seeds.

    Parameters
    ----------
    task, value : str
        The task and its primary value.
    of_models : mapping
        ``{model: {seed: value}}``, without controls.
    level : float, default 0.95
        One minus the size of the test.
    """
    names = sorted(of_models)
    seeds = sorted({seed for of in of_models.values() for seed in of})
    if len(names) < 2 or len(seeds) < 2:
        return None
    scores = as_array(of_models, names, seeds)
    rows, columns = np.triu_indices(len(names), 1)
    differences = scores[rows] - scores[columns]
    differences = differences[(~np.isnan(differences)).sum(axis=1) >= 2]
    if not len(differences):
        return None
    count = int(np.median((~np.isnan(differences)).sum(axis=1)))
    deviation = float(np.median(np.nanstd(differences, axis=1, ddof=1)))
    return Resolution(
        task=task,
        value=value,
        deviation=deviation,
        seeds=count,
        difference=smallest_difference(deviation, count, level),
        pairs=len(differences),
    )
