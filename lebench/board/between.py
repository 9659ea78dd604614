"""Where a model lies between a kernel and the network whose kernel it is, from the values of all three.

All comparisons are paired: only seeds that all three have count, and a seed gives all three the same points. So a
kernel is placed without training the network once more, and the same network serves every model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lebench.board.frame import by_seed, direction_of
from lebench.stats import LEVEL, Estimate, Ratio, mean_interval, ratio_of_means

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Triple:
    """A model, the kernel that it starts from or competes with, and the network: names or labels."""

    model: str
    kernel: str
    network: str


#: Registered label-aware models with kernel and network.
TRIPLES = (
    Triple("lantk-hr-mlp", "ntk-mlp", "mlp"),
    Triple("lantk-nth-mlp", "ntk-mlp", "mlp"),
    Triple("lantk-hr-cnn", "ntk-cnn", "cnn"),
)


@dataclass(frozen=True)
class Position:
    """Where a model lies on one value of one task.

    Attributes
    ----------
    kernel, model, network : float
        Means over the common seeds.
    gain : Estimate
        Model minus kernel; if lower is better, kernel minus model: positive is better.
    rest : Estimate
        Network minus model, with the same sign.
    gap : Estimate
        Network minus kernel, with the same sign.
    closed : Ratio or None
        None if the gap cannot be told from zero, or the kernel is ahead: then there is none to close.
    """

    kernel: float
    model: float
    network: float
    gain: Estimate
    rest: Estimate
    gap: Estimate
    closed: Ratio | None

    @property
    def verdict(self) -> str:
        """What the intervals say, in a few words."""
        gain, rest, gap = map(_sign, (self.gain, self.rest, self.gap))
        if self.gap.lower is None:
            return "one seed: no interval"
        if gap > 0 and gain > 0:
            return {1: "between", 0: "up to the network", -1: "beyond the network"}[rest]
        gained = {1: "above the kernel", 0: "no gain", -1: "below the kernel"}[gain]
        if gap > 0:
            return gained
        return f"{'kernel ahead of network' if gap < 0 else 'no gap told'}, {gained}"


def _sign(estimate: Estimate) -> int:
    return 0 if not estimate.excludes_zero else 1 if estimate.mean > 0 else -1


def position(
    model: Mapping[int, float],
    kernel: Mapping[int, float],
    network: Mapping[int, float],
    *,
    lower_is_better: bool = False,
    level: float = LEVEL,
) -> Position | None:
    """Place a model between a kernel and a network by their values at the same seeds.

    Parameters
    ----------
    model, kernel, network : mapping of int to float
        Value by seed.
    lower_is_better : bool
        Of the value.
    level : float
        Confidence level.

    Returns
    -------
    Position or None
        None if there is no seed that all three have.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    seeds = sorted(model.keys() & kernel.keys() & network.keys())
    if not seeds:
        return None
    sign = -1.0 if lower_is_better else 1.0
    gain, rest, gap = (
        [sign * (above[seed] - below[seed]) for seed in seeds]
        for above, below in ((model, kernel), (network, model), (network, kernel))
    )
    means = [math.fsum(values[seed] for seed in seeds) / len(seeds) for values in (kernel, model, network)]
    of_gain, of_rest, of_gap = (mean_interval(values, level) for values in (gain, rest, gap))
    return Position(means[0], means[1], means[2], of_gain, of_rest, of_gap, ratio_of_means(gain, gap, level))


def triples_among(labels: Iterable[str]) -> Iterator[Triple]:
    """Yield the triples of labels whose names are those of :data:`TRIPLES`: each with each of its kind."""
    named: dict[str, list[str]] = {}
    for label in labels:
        named.setdefault(label.split("[", 1)[0], []).append(label)
    for triple in TRIPLES:
        for model in named.get(triple.model, ()):
            for kernel in named.get(triple.kernel, ()):
                for network in named.get(triple.network, ()):
                    yield Triple(model, kernel, network)


def place(table: pd.DataFrame, task: str, value: str, triple: Triple, level: float = LEVEL) -> Position | None:
    """Place a model by the values in a table of records.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`lebench.board.frame` makes it.
    task, value : str
        Of the records; ``"lantk/cifar-pairs"``, ``"accuracy@mean"``.
    triple : Triple
        Labels as in the column ``model``.
    level : float
        Confidence level.

    Returns
    -------
    Position or None
        None if there is no seed that all three have, or neither more nor less of the value is better.
    """
    direction = direction_of(value)
    if direction == "none":
        return None
    values = by_seed(table, task, value)
    found = (values.get(label, {}) for label in (triple.model, triple.kernel, triple.network))
    return position(*found, lower_is_better=direction == "lower", level=level)
