"""Which of the features of an input a model makes use of, and whether it keeps those that Neurashed says (Su 2021)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric

_SOURCE = "Su 2021, Neurashed: implicit regularization"


def _effects(before: list[float], after: list[float]) -> dict[str, Any]:
    return {"before": np.array(before), "after": np.array(after)}


_metric = partial(metric, direction="higher", bounds=(0.0, 1.0), tags=("dynamics",))


@_metric(
    symbol="s",
    equation=r"s = \frac{1}{d}\,|\{j : e_j(T) > e_j(0)\}|",
    source=f"{_SOURCE}: nodes whose amplification is larger after training than before",
    direction="none",
    invariant_to=("scale", "permutation"),
    known_answers=(
        KnownAnswer("one of four grew", lambda: _effects([1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 0.5, 0.0]), 0.25, "1/4"),
        KnownAnswer("all grew", lambda: _effects([0.0, 0.5], [0.5, 0.75]), 1.0, "2/2"),
    ),
)
def surviving_share(before: Any, after: Any) -> float:
    """Share of the input's features whose effect is larger after training than before.

    Parameters
    ----------
    before, after : array of shape (d,), float32 or float64
        How much a model's features, or scores, change when a feature of the input is taken away.
    """
    first, last = as_floats("effects before", before, 1), as_floats("effects after", after, 1)
    if len(first) != len(last):
        raise DataError(f"{len(first)} effects before training do not fit {len(last)} after it")
    return float((last > first).mean())


def _growing(after: list[float]) -> dict[str, Any]:
    return {"before": np.ones(4), "after": np.array(after), "frequency": np.array([0.0, 0.25, 0.5, 1.0])}


def _predicted(after: list[float], frequency: list[float]) -> dict[str, Any]:
    return {"before": np.ones(4), "after": np.array(after), "frequency": np.array(frequency), "threshold": 0.625}


@_metric(
    symbol="a",
    equation=r"a = \frac{1}{d}\,|\{j : [e_j(T) > e_j(0)] = [\nu_j > p^*]\}|",
    source=f"{_SOURCE}: a node survives if it fires in more than the share p* of the steps",
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("as predicted", lambda: _predicted([2.0, 2.0, 0.5, 0.5], [1.0, 0.75, 0.5, 0.0]), 1.0, "4/4"),
        KnownAnswer("all grew", lambda: _predicted([2.0, 2.0, 2.0, 2.0], [1.0, 0.75, 0.5, 0.0]), 0.5, "2/4"),
    ),
)
def survival_agreement(before: Any, after: Any, frequency: Any, threshold: float) -> float:
    """Share of the input's features that grew or fell as Neurashed predicts from how often they fire.

    Parameters
    ----------
    before, after : array of shape (d,), float32 or float64
        How much a model's features, or scores, change when a feature of the input is taken away.
    frequency : array of shape (d,), float32 or float64
        Share of the steps of training in which it fires.
    threshold : float
        The share p* above which it is to grow.
    """
    first, last = as_floats("effects before", before, 1), as_floats("effects after", after, 1)
    fires = as_floats("frequencies", frequency, 1)
    if not len(first) == len(last) == len(fires):
        raise DataError(f"{len(first)} effects before, {len(last)} after and {len(fires)} frequencies do not fit")
    return float(((last > first) == (fires > threshold)).mean())


@_metric(
    symbol="p^*",
    equation=r"p^* = \frac{\ln(1/c_-)}{\ln c_+ + \ln(1/c_-)}",
    source=f"{_SOURCE}: above it the logarithm of an amplification drifts upwards",
    direction="none",
    known_answers=(
        KnownAnswer("inverse factors", lambda: {"facilitation": 2.0, "inhibition": 0.5}, 0.5, "ln 2 / (2 ln 2)"),
        KnownAnswer(
            "a loss is two gains",
            lambda: {"facilitation": 2.0, "inhibition": 0.25},
            2 / 3,
            "2 ln 2 / (3 ln 2)",
            rtol=1e-14,
        ),
    ),
)
def survival_threshold(facilitation: float, inhibition: float) -> float:
    """Share of the steps in which a node must fire so that it grows in the long run.

    Parameters
    ----------
    facilitation : float
        The factor c+ of a node that fires, above 1.
    inhibition : float
        The factor c- of one that does not, between 0 and 1.

    Raises
    ------
    DataError
        If a factor is out of its range.
    """
    if not (1 < facilitation < math.inf and 0 < inhibition < 1):
        raise DataError(f"factors {facilitation} and {inhibition}: one above 1 and one between 0 and 1 are needed")
    loss = -math.log(inhibition)
    return loss / (math.log(facilitation) + loss)


@_metric(
    symbol=r"\rho_\nu",
    equation=r"\rho_\nu = \mathrm{Spearman}\left(\log \frac{e_j(T)}{e_j(0)},\ \nu_j\right)",
    source=f"{_SOURCE}: nodes that fire more often are strengthened more; the rank correlation is our choice",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("in the same order", lambda: _growing([0.25, 0.5, 2.0, 8.0]), 1.0, "both increase", rtol=1e-12),
        KnownAnswer("in the opposite order", lambda: _growing([8.0, 2.0, 1.0, 0.5]), -1.0, "one falls", rtol=1e-12),
    ),
)
def survival_rank(before: Any, after: Any, frequency: Any) -> float:
    """Rank correlation of how much the input's features grow in training with how often they fire.

    Features without an effect before or after training do not count.

    Parameters
    ----------
    before, after : array of shape (d,), float32 or float64
        How much a model's features, or scores, change when a feature of the input is taken away.
    frequency : array of shape (d,), float32 or float64
        Share of the steps of training in which it fires.

    Raises
    ------
    DataError
        If the lengths differ, or all that grow do so alike or fire alike.
    """
    first, last = as_floats("effects before", before, 1), as_floats("effects after", after, 1)
    fires = as_floats("frequencies", frequency, 1)
    if not len(first) == len(last) == len(fires):
        raise DataError(f"{len(first)} effects before, {len(last)} after and {len(fires)} frequencies do not fit")
    seen = (first > 0) & (last > 0)
    growth, fires = np.log(last[seen] / first[seen]), fires[seen]
    # Rounding alone does not make an order.
    growth = np.round(growth, 9)
    if len(growth) == 0 or np.ptp(growth) == 0 or np.ptp(fires) == 0:
        raise DataError("all features grow alike or fire alike: there is no order to compare")
    return float(spearmanr(growth, fires).statistic)


@_metric(
    symbol=r"\Delta s",
    equation=r"\Delta s = s_\mathrm{full} - s_1",
    source=f"{_SOURCE}: small batches keep few nodes, the full batch keeps all",
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer("sparser by a quarter", lambda: {"small": 0.5, "full": 0.75}, 0.25, "0.75 - 0.5"),
        KnownAnswer("the same", lambda: {"small": 1.0, "full": 1.0}, 0.0, "1 - 1"),
    ),
)
def sparsity_gain(small: float, full: float) -> float:
    """How much larger a share of the features survives the full batch than single inputs.

    Parameters
    ----------
    small, full : float
        Shares that survive steps on single inputs, and on all of them at once; from 0 to 1.

    Raises
    ------
    DataError
        If one is no share.
    """
    for share in (small, full):
        if not 0 <= share <= 1:
            raise DataError(f"{share} is no share of features: it lies between 0 and 1")
    return float(full) - float(small)
