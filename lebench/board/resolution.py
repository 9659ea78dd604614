"""The smallest difference between two models that a task can resolve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lebench.records import Document
from lebench.stats import LEVEL, PointEffects, as_array, smallest_difference


class Resolution(Document):
    """The smallest difference that a task can resolve, see :func:`lebench.stats.smallest_difference`.

    Attributes
    ----------
    task, value : str
        The task and its primary value.
    deviation : float
        Standard deviation of paired differences between seeds: the median over pairs of models, controls left out.
    point_deviation : float
        Standard error of a paired difference from its test points, as far as seeds do not show it: the median over
        pairs; 0 where it is not known.
    seeds : int
        Number of seeds that most pairs have in common.
    difference : float
        What a paired test on so many seeds, and these points, finds with a probability of 80%.
    pairs : int
        Number of pairs.
    """

    task: str
    value: str
    deviation: float
    point_deviation: float = 0.0
    seeds: int
    difference: float
    pairs: int


def make_resolution(
    task: str,
    value: str,
    of_models: Mapping[str, Mapping[int, float]],
    level: float = LEVEL,
    effects: PointEffects | None = None,
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
    effects : PointEffects, optional
        Of test points on the models by name, where they are known.
    """
    from scipy.special import ndtri

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
    of_points = 0.0 if effects is None else float(np.median(effects.pair_deviations[rows, columns]))
    # With a known deviation the smallest difference is that of a normal variable; the two add by their squares.
    found = np.hypot(smallest_difference(deviation, count, level), of_points * (ndtri(0.5 + level / 2) + ndtri(0.8)))
    return Resolution(
        task=task,
        value=value,
        deviation=deviation,
        point_deviation=of_points,
        seeds=count,
        difference=float(found),
        pairs=len(differences),
    )
