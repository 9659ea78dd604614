"""Verdicts on claims: one-sided statements about several cases, each a contrast with a value for each seed.

A contrast is above zero where the claim is right. All cases of a claim are tested together (Holm, two-sided), so that
one of twelve cases does not hold by chance alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lebench.stats.intervals import LEVEL, Estimate, mean_interval, smallest_difference
from lebench.stats.ranking import holm

Outcome = Literal["holds", "fails", "undecided"]
Verdict = Literal["holds", "fails", "in part", "underpowered"]

#: Seeds beyond which nobody would go on.
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Case:
    """What the seeds say of one case.

    Attributes
    ----------
    estimate : Estimate
        Mean contrast, with an interval of the level at which Holm's procedure tests it among the cases of the claim.
    outcome : {"holds", "fails", "undecided"}
        By Holm's procedure among the cases of the claim.
    seeds_needed : int or None
        Of an undecided case: seeds with which a contrast of this mean and spread is found with a probability of 80%;
        None if the case is decided, or no number below 1,000 would do.
    """

    estimate: Estimate
    outcome: Outcome
    seeds_needed: int | None


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim and what it is made of."""

    verdict: Verdict
    cases: Mapping[str, Case]


def judge(contrasts: Mapping[str, Sequence[float]], level: float = LEVEL) -> Judgement:
    """Judge a claim that says of every case that its contrast is above zero.

    Parameters
    ----------
    contrasts : mapping of str to sequence of float
        By case: a value for each seed.
    level : float, default 0.95
        Probability that no case gets a wrong outcome.

    Returns
    -------
    Judgement
        It *holds* if all cases do and *fails* if some fail and none holds; *in part* if some hold and some fail. Else
        it is *underpowered*: what is undecided could go either way.

    Raises
    ------
    ValueError
        If there is no case, or one has no value.

    Examples
    --------
    >>> judge({"a": [1.0, 1.1, 0.9], "b": [2.0, 2.1, 1.9]}).verdict
    'holds'
    >>> judge({"a": [1.0, 1.1, 0.9], "b": [-2.0, -2.1, -1.9]}).verdict
    'in part'
    >>> found = judge({"a": [1.0, -0.4, 0.9]})
    >>> found.verdict, found.cases["a"].seeds_needed
    ('underpowered', 22)
    """
    if not contrasts:
        raise ValueError("a claim needs a case")
    p = np.array([_p(list(values)) for values in contrasts.values()])
    decided = holm(p, 1 - level)
    # From where the procedure stops, all others are tested as the first that it does not decide.
    steps = np.minimum(np.argsort(np.argsort(p, kind="stable")), decided.sum())
    levels = (1 - (1 - level) / (len(p) - np.minimum(steps, len(p) - 1))).tolist()
    estimates = [mean_interval(values, each) for values, each in zip(contrasts.values(), levels, strict=True)]
    cases = {
        name: Case(
            estimate,
            "undecided" if not told else "holds" if estimate.mean > 0 else "fails",
            None if told else _needed(list(contrasts[name]), each),
        )
        for name, estimate, told, each in zip(contrasts, estimates, decided.tolist(), levels, strict=True)
    }
    outcomes = {case.outcome for case in cases.values()}
    verdict: Verdict = "underpowered"
    if outcomes == {"holds"}:
        verdict = "holds"
    elif {"holds", "fails"} <= outcomes:
        verdict = "in part"
    elif "fails" in outcomes:
        verdict = "fails"
    return Judgement(verdict, cases)


def _p(values: list[float]) -> float:
    from scipy.special import stdtr

    n = len(values)
    if n < 2:
        return 1.0
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    # What differs by rounding alone does not vary; what is 0 in every seed is not above it.
    if deviation <= 1e-12 * abs(mean):
        return 0.0
    return float(2 * stdtr(n - 1, -abs(mean) / deviation * math.sqrt(n)))


def _needed(values: list[float], level: float) -> int | None:
    if len(values) < 2:
        return None
    mean, deviation = abs(float(np.mean(values))), float(np.std(values, ddof=1))
    low, high = len(values), MOST_SEEDS
    if smallest_difference(deviation, high, level) > mean:
        return None
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if smallest_difference(deviation, middle, level) <= mean else (middle, high)
    return high
