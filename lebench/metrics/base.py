"""What a metric is: a pure function of arrays to a number, with its definition and its known answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from lebench import registry
from lebench.errors import LebenchError

_REGISTERS_FOR_CALLER = True

P = ParamSpec("P")
R = TypeVar("R")

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Missing:
    """A value that could not be computed, and why. It is recorded as a reason, never as NaN."""

    reason: str


@dataclass(frozen=True)
class KnownAnswer:
    """Planted data for which the value of a metric is known independently of the code.

    Attributes
    ----------
    name : str
        What is planted: ``"simplex frame, isotropic noise"``.
    inputs : callable
        Without arguments; returns the keyword arguments of the metric as NumPy arrays (float64, int64),
        lists of them and plain values. Deterministic.
    expected : float
        The answer.
    source : str
        Where the answer comes from: a closed form, an identity, a theorem with its number.
    rtol, atol : float
        Tolerance in float64. The calibration widens it for float32 by the ratio of the machine epsilons
        unless `rtol32` says otherwise.
    rtol32 : float, optional
        Tolerance for float32 inputs, where rounding of the inputs themselves limits the answer.
    unscaled : tuple of str
        Inputs that keep their unit where the metric is invariant to that of the others.
    """

    name: str
    inputs: Callable[[], Mapping[str, Any]]
    expected: float
    source: str
    rtol: float = 1e-13
    atol: float = 1e-14
    rtol32: float | None = None
    unscaled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """The definition of a metric, as shown by ``lebench info`` and on the site.

    Attributes
    ----------
    name : str
        Identifier, the same as the function's name.
    symbol, equation : str
        LaTeX without the dollar signs.
    source : str
        Paper and equation number, or who chose the definition.
    direction : {"higher", "lower", "none"}
        What is better; ``"none"`` for descriptive quantities.
    bounds : tuple of float
        Smallest and largest possible value.
    unit : str
        ``"1"`` for dimensionless, ``"nats"``, ...
    invariant_to : tuple of str
        Transformations of the data that leave the value unchanged: ``"rotation"``, ``"scale"``,
        ``"permutation"``, ``"translation"``; ``"monotone"`` maps; ``"rescaling"`` of the layers of a
        ReLU network that leaves its function unchanged.
    known_answers : tuple of KnownAnswer
        At least one.
    function : callable
        The metric itself.
    summary : str
        First line of its docstring.
    """

    name: str
    symbol: str
    equation: str
    source: str
    direction: Direction
    bounds: tuple[float, float]
    unit: str
    invariant_to: tuple[str, ...]
    known_answers: tuple[KnownAnswer, ...]
    function: Callable[..., Any]
    summary: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the metric."""
        return self.function(*args, **kwargs)


def metric(
    *,
    symbol: str,
    equation: str,
    source: str,
    direction: Direction,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    unit: str = "1",
    invariant_to: tuple[str, ...] = (),
    known_answers: tuple[KnownAnswer, ...],
    tags: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as a metric; the function is returned unchanged.

    Parameters
    ----------
    symbol, equation, source, direction, bounds, unit, invariant_to, known_answers
        See :class:`Metric`.
    tags : tuple of str
        Track or topic to select by: ``("collapse",)``.

    Raises
    ------
    LebenchError
        If there is no known answer, no docstring or no equation: what cannot be checked cannot be ranked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__name__
        summary = registry.first_line(function.__doc__)
        missing = [
            what
            for what, value in (
                ("a known answer", known_answers),
                ("a docstring", summary),
                ("an equation", equation),
                ("a source", source),
            )
            if not value
        ]
        if missing:
            raise LebenchError(f"metric {name!r} cannot be registered without {' and '.join(missing)}")
        definition = Metric(
            name, symbol, equation, source, direction, bounds, unit, invariant_to, known_answers, function, summary
        )
        registry.metrics.register(name, definition, summary=summary, tags=tags)
        return function

    return decorate
