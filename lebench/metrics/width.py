"""How a quantity changes with the width of a network: its exponent, and the peak of double descent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("generalization", "capacity")


@metric(
    symbol=r"\max_{h<h'}(e_{h'}-e_h)_+",
    equation=r"\max_{h<h'}\max(0, e_{h'}-e_h)",
    source="ours: the height of the peak of double descent (Belkin et al. 2019), 0 if wider is never worse",
    direction="none",
    bounds=(0.0, math.inf),
    invariant_to=("translation",),
    known_answers=(
        KnownAnswer("down, up, down", lambda: {"errors": np.array([0.9, 0.25, 0.5, 0.125])}, 0.25, "0.5 - 0.25"),
        KnownAnswer("always down", lambda: {"errors": np.array([0.9, 0.5, 0.25])}, 0.0, "by definition"),
    ),
    tags=_TAGS,
)
def error_peak(errors: Any) -> float:
    """Largest rise of the test error from one width to a larger one.

    Parameters
    ----------
    errors : array of shape (n,), float32 or float64
        By width, the smallest first; at least two.

    Raises
    ------
    DataError
        If there are fewer than two values or one is not finite.
    """
    values = as_floats("errors", errors, 1)
    if len(values) < 2:
        raise DataError("there is one width: at least two are needed")
    return float(np.max(values - np.minimum.accumulate(values)))


@metric(
    symbol=r"\kappa",
    equation=r"q \propto h^\kappa",
    source="least squares of log q in log h; Neyshabur et al. 2019 plot measures over width on both logarithmic axes",
    direction="lower",
    invariant_to=("scale",),
    known_answers=(
        KnownAnswer(
            "a square root",
            lambda: {"widths": np.array([1.0, 4.0, 16.0]), "values": np.array([3.0, 6.0, 12.0])},
            0.5,
            "closed form",
            rtol=1e-12,
            unscaled=("widths",),
        ),
        KnownAnswer(
            "an inverse",
            lambda: {"widths": np.array([1.0, 2.0, 4.0]), "values": np.array([4.0, 2.0, 1.0])},
            -1.0,
            "closed form",
            rtol=1e-12,
            unscaled=("widths",),
        ),
    ),
    tags=_TAGS,
)
def width_exponent(widths: Any, values: Any) -> float:
    """Exponent of the power of width with which a quantity grows; negative if it falls.

    Parameters
    ----------
    widths, values : array of shape (n,), float32 or float64
        Positive; at least two different widths.

    Raises
    ------
    DataError
        If the lengths differ, a value is not positive and finite, or all widths are equal.
    """
    h, q = as_floats("widths", widths, 1), as_floats("values", values, 1)
    if len(h) != len(q):
        raise DataError(f"there are {len(q)} values for {len(h)} widths: one per width is needed")
    if h.min() < 1 or q.min() <= 0:
        raise DataError(f"the smallest width is {h.min():g}, the smallest value {q.min():g}: at least 1, and positive")
    x = np.log(h) - np.log(h).mean()
    if not x.any():
        raise DataError("all widths are equal: at least two are needed")
    return float(x @ np.log(q) / (x @ x))
