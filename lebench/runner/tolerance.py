"""How far a value may be from the claimed one when it is made again: one rule for each way of making it.

``recording``
    The score is computed again from a recording, whose numbers have a relative error of at most 2^-16. Shares of points
    whose nearest centre is decided by the last bits of features may move by one point in 400.
``classes``
    The same, where the recording keeps the class of each point: shares of right answers are exact.
``exact``
    The record is run again. A worker computes with one thread and every random number comes from the seed, so on the
    same processor with the same packages the same bits come out. What is allowed is the rounding of a sum taken in
    another order, which the alignment of memory can bring about. This rule is tried first, whatever machine a record
    names: that is a claim too, and one name ("AMD EPYC") can stand for several processors.
``closed form``
    It is not exact, and nothing in it is trained by a framework, neither the model nor what the task compares it with,
    and it computes in double precision: kernels, neighbours, simulations. Other processors and libraries round
    otherwise; solving a system with condition number up to 1e10 makes 1e-6 of that. A share of points may move by a
    tie: one point in 200.
``seeds``
    It is not exact, and something trains, in single precision. Rounding acts like a small noise in every step,
    so what can be expected is not the number but its distribution. A value may be away from the claimed one by three
    times the standard deviation over the other seeds of the record's own model and task. Without the vector code
    of torch and BLAS, values of ``mlp`` on digits move by at most 0.001 and those of ``cnn`` by at most 0.35 of these
    deviations (one test point of 450). The record itself has no part in its own tolerance, so one inflated record does
    not widen it; inflated ones that are spread apart widen the interval on the board as well. Where other seeds hardly
    differ, or there are fewer than two of them, one percent of the value is allowed, and a share of
    points may move by one point in 200. An exponent that is read from a few extreme points may move by a tenth.

How much of that is needed, by ``verification.json`` of the board of 1 December 2026: of 2,109 scores computed again
from recordings, the furthest is at 0.78 of its tolerance (``gap_closed``); of 141 records that were run again, 130 are
exact, one follows ``closed form`` (1.4e-4 of its tolerance), ten follow ``seeds`` (at most 0.70, of lenet).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from lebench import registry
from lebench.records import Environment, Record
from lebench.runner.recording import ABSOLUTE, RELATIVE, TIES
from lebench.tasks.base import metric_of

Rule = Literal["recording", "classes", "exact", "closed form", "seeds"]

#: Relative and absolute differences that each rule allows in any value.
_ALLOWED: dict[Rule, tuple[float, float]] = {
    "recording": (RELATIVE, ABSOLUTE),
    "classes": (RELATIVE, ABSOLUTE),
    "exact": (1e-9, 1e-12),
    "closed form": (1e-4, 1e-6),
    "seeds": (1e-2, 1e-6),
}
#: Metrics that count points, and what a tie may move them.
_SHARES = frozenset({"accuracy", "error", "nc4", "ncc_accuracy", "clustering_accuracy", "prediction_disagreement"})
_TIES: dict[Rule, tuple[frozenset[str], float]] = {
    "recording": (frozenset(TIES), max(TIES.values())),
    "classes": (frozenset(TIES), max(TIES.values())),
    "exact": (frozenset(), 0.0),
    "closed form": (_SHARES, 5e-3),
    "seeds": (_SHARES, 5e-3),
}
#: Metrics that are estimates from few points, and the relative difference that training elsewhere makes of them.
_ROUGH = {"tail_index": 0.1}
#: Standard deviations over the other seeds that a value trained elsewhere may be away.
SPREADS = 3.0
#: Precision in which rounding elsewhere does not grow into another number.
_DOUBLE = "float64"
#: Deviation of values so far apart that no number says it: a document holds finite numbers.
_LARGEST = 1e300


@dataclass(frozen=True)
class Comparison:
    """How a record made again compares with what it claims.

    Attributes
    ----------
    rule : str
        That the tolerances follow.
    differences : tuple of str
        What is beyond its tolerance, a phrase each.
    value : str
        The value that deviates most; empty if none does.
    deviation : float or None
        How much, in units of its tolerance, to three digits. None if there is a value on one side only.
    """

    rule: Rule
    differences: tuple[str, ...]
    value: str
    deviation: float | None


def allowed(name: str, claimed: float, rule: Rule, others: Iterable[float] = ()) -> float:
    """Return how far from the claimed value the same value may be when it is made again.

    Parameters
    ----------
    name : str
        Of the value: ``"metric"`` or ``"metric@qualifier"``.
    claimed : float
        The value as the record has it.
    rule : str
        See the head of this module.
    others : iterable of float
        The value in the records of other seeds; only the rule ``"seeds"`` uses them.

    Examples
    --------
    >>> allowed("log_loss", 0.5, "closed form")
    5e-05
    >>> round(allowed("accuracy", 0.9, "seeds", [0.80, 0.82, 0.84]), 12)
    0.06
    """
    if rule == "classes" and metric_of(name) in {"accuracy", "error"}:
        return 1e-9
    relative, absolute = _ALLOWED[rule]
    shares, tie = _TIES[rule]
    limits = [relative * abs(claimed), absolute]
    if metric_of(name) in shares:
        limits.append(tie)
    others = list(others)
    if rule == "seeds":
        limits.append(_ROUGH.get(metric_of(name), 0.0) * abs(claimed))
    if rule == "seeds" and len(others) > 1:
        limits.append(SPREADS * _spread(others))
    return max(limits)


def compare(
    claimed: Mapping[str, float],
    again: Mapping[str, float],
    rule: Rule,
    others: Iterable[Mapping[str, float]] = (),
    how: str = "run again",
) -> Comparison:
    """Compare two makings of the same values by one rule.

    Parameters
    ----------
    claimed, again : mapping of str to float
        Values by name.
    rule : str
        See the head of this module.
    others : iterable of mappings
        The values of other seeds.
    how : str
        How the second values were made, as the differences say it.
    """
    others = list(others)
    differences: list[str] = []
    deviations: dict[str, float] = {}
    for name in sorted({*claimed, *again}):
        if name not in again or name not in claimed:
            differences.append(f"{name} has a value {'only when' if name in again else 'that it has not when'} {how}")
            continue
        limit = allowed(name, claimed[name], rule, [other[name] for other in others if name in other])
        difference = abs(again[name] - claimed[name])
        deviations[name] = min(difference / limit, _LARGEST) if math.isfinite(difference) else _LARGEST
        if deviations[name] > 1:
            differences.append(f"{name} is claimed as {claimed[name]:.6g}, {how} as {again[name]:.6g}")
    worst = max(deviations, key=lambda name: deviations[name], default="")
    one_sided = len(deviations) < len({*claimed, *again})
    deviation = None if one_sided else float(f"{deviations.get(worst, 0.0):.3g}")
    return Comparison(rule, tuple(differences), worst if deviation else "", deviation)


def _spread(values: list[float]) -> float:
    try:
        return statistics.stdev(values)
    except OverflowError:
        return math.inf


def compare_rerun(record: Record, again: Record, beside: Iterable[Record] = ()) -> Comparison:
    """Compare a record with one of the same cell that was made again.

    Parameters
    ----------
    record, again : Record
        As it is claimed, and as it was made again.
    beside : iterable of Record
        Of the same model: other seeds of the task say how far such values are apart.

    Returns
    -------
    Comparison
        By the rule ``"exact"`` if that holds, wherever the record was made; what it says of its machine is a claim too.
        Else by ``"closed form"`` or ``"seeds"``.
    """
    exact = compare(record.metrics, again.metrics, "exact")
    if not exact.differences:
        return exact
    trained = {record.cell.backend, *record.cell.references} & set(registry.backends.names())
    if record.cell.precision == _DOUBLE and not trained:
        return compare(record.metrics, again.metrics, "closed form")
    others = [
        other.metrics
        for other in beside
        if other.status == "ok" and other.cell.task == record.cell.task and other.cell.seed != record.cell.seed
    ]
    return compare(record.metrics, again.metrics, "seeds", others)


def same_machine(one: Environment, other: Environment) -> bool:
    """Return whether two descriptions are of the same processor, packages and number of threads."""
    return all(getattr(one, name) == getattr(other, name) for name in ("cpu", "gpu", "packages", "python", "threads"))
