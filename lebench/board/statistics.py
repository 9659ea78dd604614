"""Intervals over seeds. This module knows numbers only, nothing of tasks or models.

The same seed gives every model the same split, so two models are compared by the differences within seeds: what they
share cancels. All intervals are Student's t over seeds; they say how the mean would move with other seeds (data split,
initialization, batches), not with other data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
