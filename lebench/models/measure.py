"""A measure of generalization as a model: nothing is fitted, it says a number of each network of a grid.

A measure of one's own is a function with this decorator::

    @measure("weights-of-the-last-layer")
    def last_layer(network):
        '''Squared norm of the last layer's weights.'''
        return float((network.weights[-1] ** 2).sum())

In a file of its own, ``lebench run --plugin FILE --model weights-of-the-last-layer --task overparam/measures``
scores it against all others; no network is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from lebench import registry
from lebench.data.base import Split
from lebench.data.measure_grid import GridNetwork
from lebench.errors import LebenchError

_REGISTERS_FOR_CALLER = True

Function = Callable[[GridNetwork], float]


@dataclass(frozen=True)
class Measure:
    """A measure of generalization.

    Attributes
    ----------
    function : callable
        A :class:`~lebench.data.measure_grid.GridNetwork` to a number, the larger the wider the promised gap.
    """

    function: Function

    capabilities: ClassVar[frozenset[str]] = frozenset({"complexity"})

    def fit(self, split: Split, seed: int) -> FittedMeasure:
        """Return what measures; there is nothing to learn from the split."""
        return FittedMeasure(self.function)


@dataclass(frozen=True)
class FittedMeasure:
    """A measure, ready to be asked."""

    function: Function

    def complexity(self, network: GridNetwork) -> float:
        """Return the number that the measure says of a network; see :class:`lebench.capabilities.HasComplexity`."""
        return float(self.function(network))


def measure(name: str, tags: tuple[str, ...] = ("measure",)) -> Callable[[Function], Function]:
    """Register a function of a trained network as a model; the function is returned unchanged.

    Parameters
    ----------
    name : str
        Under which it is run and shown.
    tags : tuple of str
        To select by.

    Raises
    ------
    LebenchError
        If the function has no docstring, whose first line says what it is.
    """

    def decorate(function: Function) -> Function:
        summary = registry.first_line(function.__doc__)
        if not summary:
            raise LebenchError(f"measure {name!r} cannot be registered without a docstring")

        def factory() -> Measure:
            return Measure(function)

        registry.models.register(name, factory, summary=summary, tags=tags)
        return function

    return decorate
