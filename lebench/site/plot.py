"""Geometry of the dot-and-interval plots: positions in percent, so that a plot is as wide as its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Positive values that span more than this factor are shown on a logarithmic axis.
_LOG_FROM = 50.0


@dataclass(frozen=True)
class Axis:
    """An axis from 0 to 100 percent.

    Attributes
    ----------
    low, high : float
        Values (their decimal logarithms if `log`) at 0 and 100 percent.
    log : bool
        Whether the axis is logarithmic.
    """

    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """Return where a value stands, in percent, kept inside the axis."""
        position = (self._coordinate(value) - self.low) / (self.high - self.low)
        return round(100 * min(max(position, 0.0), 1.0), 2)

    def side(self, value: float) -> int:
        """Return -1 or 1 for a value that lies left or right of the axis, 0 for one on it."""
        coordinate = self._coordinate(value)
        return (coordinate > self.high) - (coordinate < self.low)

    def _coordinate(self, value: float) -> float:
        if not self.log:
            return value
        # The lower end of an interval may lie below zero, left of any logarithmic axis.
        return math.log10(value) if value > 0 else -math.inf

    def ticks(self) -> list[tuple[float, str]]:
        """Return ``(position in percent, label)`` of some round values."""
        if self.log:
            exponents = range(math.ceil(self.low), math.floor(self.high) + 1)
            stride = max(1, math.ceil(len(exponents) / 5))
            return [(self.at(10.0**e), f"{10.0**e:g}") for e in exponents[::stride]]
        step = _round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        labels = ((self.at(k * step), f"{k * step:.{decimals}f}") for k in range(first, last + 1))
        return [(position, label.replace("-", "\N{MINUS SIGN}")) for position, label in labels]


def axis(points: Sequence[float], ends: Sequence[float]) -> Axis:
    """Return an axis that shows all points, and the ends of intervals as far as they help.

    Parameters
    ----------
    points : sequence of float
        Values by seed; at least one.
    ends : sequence of float
        Ends of intervals.
    """
    if min(points) > 0 and max(points) / min(points) > _LOG_FROM:
        shown = [math.log10(value) for value in (*points, *ends) if value > min(points) / 10]
        log = True
    else:
        shown = [*points, *ends]
        log = False
    low, high = min(shown), max(shown)
    margin = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
    return Axis(low - margin, high + margin, log)


def _round_step(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return min((m * magnitude for m in (1.0, 2.0, 5.0, 10.0)), key=lambda near: abs(math.log(near / step)))
