"""Intervals over seeds.

The same seed gives every model the same split, so two models are compared by the differences within seeds: what they
share cancels. All intervals are Student's t over seeds; they say how the mean would move with other seeds (data split,
initialization, batches), not with other data. Intervals of values with bounds stay within them: the half width is
carried to another scale at the mean (delta method) and back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Bounds = tuple[float, float]

LEVEL = 0.95
#: No bounds.
FREE: Bounds = (-math.inf, math.inf)


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


def within_bounds(
    means: ArrayLike, halves: ArrayLike, bounds: Bounds, scale: Literal["logit", "arcsine"] = "logit"
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of intervals that stay within the bounds of what they are of.

    Parameters
    ----------
    means, halves : array_like of float
        Means and half widths on the scale of the values; NaN where there is none.
    bounds : tuple of float
        Infinite where there is none: with one bound the scale is the logarithm, without any nothing is changed.
    scale : {"logit", "arcsine"}
        Between two bounds. Near a bound the arcsine gives shorter intervals, which cover less often: at a mean of 0.98
        and five seeds 0.91 to 0.94 where the logit has 0.94 to 0.95.

    Examples
    --------
    >>> lower, upper = within_bounds(0.98, 0.03, (0.0, 1.0))
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.914 0.996
    """
    mean, half = np.asarray(means, dtype=np.float64), np.asarray(halves, dtype=np.float64)
    low, high = bounds
    lower, upper = mean - half, mean + half
    # At a bound, or beyond it by rounding, there is no such scale; a value without spread is its own interval.
    inside = (half > 0) & (mean > low) & (mean < high)
    if not inside.any() or bounds == FREE:
        return lower, upper
    m, h = np.where(inside, mean, np.nan), np.where(inside, half, np.nan)
    if math.isinf(high):
        ends = tuple(low + (m - low) * np.exp(side * h / (m - low)) for side in (-1, 1))
    elif math.isinf(low):
        ends = tuple(high - (high - m) * np.exp(-side * h / (high - m)) for side in (-1, 1))
    else:
        width = high - low
        p = (m - low) / width
        if scale == "logit":
            from scipy.special import expit

            ends = tuple(expit(np.log(p / (1 - p)) + side * h / width / (p * (1 - p))) for side in (-1, 1))
        else:
            angle, spread = np.arcsin(np.sqrt(p)), h / width / (2 * np.sqrt(p * (1 - p)))
            ends = tuple(np.sin(np.clip(angle + side * spread, 0, np.pi / 2)) ** 2 for side in (-1, 1))
        ends = tuple(low + width * end for end in ends)
    return np.where(inside, ends[0], lower), np.where(inside, ends[1], upper)


def mean_interval(values: Iterable[float], level: float = LEVEL, bounds: Bounds = FREE) -> Estimate:
    """Return the mean of independent values and its Student t interval.

    Parameters
    ----------
    values : iterable of float, length n
        One value per seed.
    level : float, default 0.95
        Confidence level, between 0 and 1.
    bounds : tuple of float, optional
        Of the values; see :func:`within_bounds`.

    Returns
    -------
    Estimate
        With ``mean -+ t_(n-1)(level) s / sqrt(n)``, s the standard deviation with n - 1 in the denominator.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or the level is not between 0 and 1.

    Examples
    --------
    >>> estimate = mean_interval([1.0, 2.0, 3.0])
    >>> print(f"{estimate.mean:.1f} [{estimate.lower:.3f}, {estimate.upper:.3f}]")
    2.0 [-0.484, 4.484]
    >>> estimate = mean_interval([0.96, 0.97], bounds=(0.0, 1.0))
    >>> print(f"[{estimate.lower:.3f}, {estimate.upper:.3f}]")
    [0.796, 0.995]
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("there is no value to take the mean of")
    if not all(map(math.isfinite, numbers)):
        raise ValueError("the mean needs finite values; leave out what could not be computed")
    if not 0.0 < level < 1.0:
        raise ValueError(f"the confidence level must lie between 0 and 1, not {level}")
    n = len(numbers)
    # Equal values must give exactly their value, so that a constant control has a degenerate interval.
    mean = numbers[0] + math.fsum(value - numbers[0] for value in numbers) / n
    if n < 2:
        return Estimate(mean, None, None, n)

    from scipy.special import stdtrit

    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * deviation / math.sqrt(n)
    lower, upper = within_bounds(mean, half, bounds)
    return Estimate(mean, float(lower), float(upper), n)


def mean_intervals(values: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
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


def as_array(of_models: Mapping[str, Mapping[int, float]], models: Sequence[str], seeds: Sequence[int]) -> FloatArray:
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
    ValueError
        If there are fewer than two seeds.

    Examples
    --------
    >>> round(smallest_difference(0.01, 5), 4)
    0.0168
    """
    if seeds < 2:
        raise ValueError("a paired difference needs at least two seeds")
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


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means with its interval."""

    value: float
    lower: float
    upper: float


def ratio_of_means(gain: Iterable[float], gap: Iterable[float], level: float = LEVEL) -> Ratio | None:
    """Return the ratio of two paired means with Fieller's interval.

    The interval holds the ratios r for which the paired t-test does not reject mean(gain - r gap) = 0. It is bounded
    exactly if the gap itself can be told from zero.

    Parameters
    ----------
    gain, gap : iterable of float, length n
        In pairs.
    level : float
        Confidence level.

    Returns
    -------
    Ratio or None
        None with fewer than two pairs, or if the gap is not above zero by its interval.

    References
    ----------
    .. [1] E. C. Fieller. Some problems in interval estimation. Journal of the Royal Statistical Society B 16, 1954.

    Examples
    --------
    >>> share = ratio_of_means([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
    >>> print(f"{share.value:.2f} [{share.lower:.2f}, {share.upper:.2f}]")
    0.50 [0.50, 0.50]
    """
    from scipy.special import stdtrit

    a, g = list(gain), list(gap)
    n = len(a)
    if n != len(g):
        raise ValueError(f"{n} gains do not come in pairs with {len(g)} gaps")
    if n < 2:
        return None
    of_gain, of_gap = mean_interval(a, level), mean_interval(g, level)
    if not (of_gap.excludes_zero and of_gap.mean > 0):
        return None
    t = float(stdtrit(n - 1, 0.5 + level / 2)) ** 2 / (n * (n - 1))
    centred = [(x - of_gain.mean, y - of_gap.mean) for x, y in zip(a, g, strict=True)]
    aa, ag, gg = (t * math.fsum(p[i] * p[j] for p in centred) for i, j in ((0, 0), (0, 1), (1, 1)))
    square, half, constant = of_gap.mean**2 - gg, of_gain.mean * of_gap.mean - ag, of_gain.mean**2 - aa
    # Not negative while the gap can be told from zero; rounding may take it below where gain and gap are proportional.
    spread = math.sqrt(max(0.0, half**2 - square * constant))
    return Ratio(of_gain.mean / of_gap.mean, (half - spread) / square, (half + spread) / square)
