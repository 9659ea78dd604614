"""Intervals over seeds. This module knows numbers only, nothing of tasks or models.

The same seed gives every model the same split, so two models are compared by the differences within seeds: what they
share cancels. All intervals are Student's t over seeds; they say how the mean would move with other seeds (data split,
initialization, batches), not with other data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lebench.errors import DataError

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its confidence interval.

    Attributes
    ----------
    mean : float
        Arithmetic mean.
    lower, upper : float or None
        Ends of the interval; None with fewer than two seeds, from which nothing can be said about spread.
    seeds : int
        Number of seeds.
    """

    mean: float
    lower: float | None
    upper: float | None
    seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside of it."""
        return self.lower is not None and self.upper is not None and not self.lower <= 0.0 <= self.upper

    def widened(self, half: float) -> Estimate:
        """Return the same mean with another half width added to that of its interval, by the squares.

        Examples
        --------
        >>> Estimate(0.0, -3.0, 3.0, 5).widened(4.0)
        Estimate(mean=0.0, lower=-5.0, upper=5.0, seeds=5)
        """
        if self.upper is None:
            return self
        both = math.hypot(self.upper - self.mean, half)
        return Estimate(self.mean, self.mean - both, self.mean + both, self.seeds)


def mean_interval(values: Iterable[float], level: float = LEVEL) -> Estimate:
    """Return the mean of independent values and its Student t interval.

    Parameters
    ----------
    values : iterable of float, length n
        One value per seed.
    level : float, default 0.95
        Confidence level, between 0 and 1.

    Returns
    -------
    Estimate
        With ``mean -+ t_(n-1)(level) s / sqrt(n)``, s the standard deviation with n - 1 in the denominator.

    Raises
    ------
    DataError
        If there is no value, one is not finite, or the level is not between 0 and 1.

    Examples
    --------
    >>> estimate = mean_interval([1.0, 2.0, 3.0])
    >>> print(f"{estimate.mean:.1f} [{estimate.lower:.3f}, {estimate.upper:.3f}]")
    2.0 [-0.484, 4.484]
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise DataError("there is no value to take the mean of")
    if not all(map(math.isfinite, numbers)):
        raise DataError("the mean needs finite values; leave out what could not be computed")
    if not 0.0 < level < 1.0:
        raise DataError(f"the confidence level must lie between 0 and 1, not {level}")
    n = len(numbers)
    # Equal values must give exactly their value, so that a constant control has a degenerate interval.
    mean = numbers[0] + math.fsum(value - numbers[0] for value in numbers) / n
    if n < 2:
        return Estimate(mean, None, None, n)

    from scipy.special import stdtrit

    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def mean_intervals(
    values: NDArray[np.float64], level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and half widths of :func:`mean_interval` of many sets of values at once.

    Parameters
    ----------
    values : ndarray of float, shape (..., n)
        NaN where there is no value.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    means, halves : ndarray of float, shape (...)
        NaN without a value; `halves` also with one.
    """
    from scipy.special import stdtrit

    present = ~np.isnan(values)
    count = present.sum(axis=-1)
    # As there, relative to the first value, so that equal values have exactly their mean.
    first = np.take_along_axis(values, present.argmax(axis=-1)[..., None], axis=-1)
    some, many = np.maximum(count, 1), np.maximum(count, 2)
    means = first[..., 0] + np.where(present, values - first, 0.0).sum(axis=-1) / some
    squares = (np.where(present, values - means[..., None], 0.0) ** 2).sum(axis=-1)
    halves = stdtrit(many - 1, 0.5 + level / 2) * np.sqrt(squares / (many - 1)) / np.sqrt(many)
    return means, np.where(count > 1, halves, np.nan)


def as_array(
    of_models: Mapping[str, Mapping[int, float]], models: Sequence[str], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Return ``{model: {seed: value}}`` as an array, models x seeds, NaN where there is no value."""
    return np.array([[of_models.get(model, {}).get(seed, np.nan) for seed in seeds] for model in models])


def paired_difference(
    a_by_seed: Mapping[int, float], b_by_seed: Mapping[int, float], level: float = LEVEL
) -> Estimate | None:
    """Return the mean of a - b over the seeds that both have, with the paired t interval.

    Parameters
    ----------
    a_by_seed, b_by_seed : mapping of int to float
        Value by seed.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate or None
        None if there is no common seed.
    """
    common = sorted(a_by_seed.keys() & b_by_seed.keys())
    if not common:
        return None
    return mean_interval((a_by_seed[seed] - b_by_seed[seed] for seed in common), level)


def smallest_difference(deviation: float, seeds: int, level: float = LEVEL, power: float = 0.8) -> float:
    """Return the smallest true difference that a paired t test over seeds finds with some probability.

    Parameters
    ----------
    deviation : float
        Standard deviation of the paired differences of two models between seeds.
    seeds : int
        Number of seeds, at least 2.
    level : float, default 0.95
        One minus the size of the two-sided test, not corrected for the number of comparisons.
    power : float, default 0.8
        Probability of finding the difference.

    Returns
    -------
    float
        In the unit of `deviation`.

    Raises
    ------
    DataError
        If there are fewer than two seeds.

    Examples
    --------
    >>> round(smallest_difference(0.01, 5), 4)
    0.0168
    """
    if seeds < 2:
        raise DataError("a paired difference needs at least two seeds")
    return deviation * _effect(seeds, 1 - level, power)


@cache
def _effect(seeds: int, alpha: float, power: float) -> float:
    """Return the effect, in standard deviations, that a two-sided t test finds with this power."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    freedom = seeds - 1
    critical = t.isf(alpha / 2, freedom)

    def lacking(effect: float) -> float:
        # The other tail adds less than alpha / 2 even at no effect, and nothing to speak of at this power.
        return float(nct.sf(critical, freedom, effect * math.sqrt(seeds))) - power

    return float(brentq(lacking, 0.0, 5.0 * critical / math.sqrt(seeds), xtol=1e-12))
