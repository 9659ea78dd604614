"""What holds between values of a record on the same points, declared by task.

A declaration names its tasks by a glob and values by templates, ``{q}`` standing for the same qualifier, or none, in
all of them. What has no value is not checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Error of values in double precision that are computed from each other.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Relation:
    """What holds between values of a record.

    Attributes
    ----------
    tasks : str
        Glob.
    values : tuple of str
        Templates of their names.
    holds : callable
        From the values to whether it holds.
    rule : str
        What is said if it does not.
    """

    tasks: str
    values: tuple[str, ...]
    holds: Callable[..., bool]
    rule: str


def same(a: float, b: float) -> bool:
    """Return whether two values are the same but for rounding."""
    return math.isclose(a, b, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _at_least(a: float, b: float) -> bool:
    return a >= b or same(a, b)


RELATIONS = (
    Relation("*", ("accuracy{q}", "error{q}"), lambda a, e: same(a + e, 1), "does not add up to one with the error"),
    # A point that is wrong has at most half of the probability on its class.
    Relation(
        "*",
        ("log_loss{q}", "error{q}"),
        lambda loss, e: _at_least(loss, e * math.log(2)),
        "is smaller than the error allows: each wrong point costs ln 2 or more",
    ),
    Relation(
        "*",
        ("log_loss{q}", "accuracy{q}"),
        lambda loss, a: _at_least(loss, (1 - a) * math.log(2)),
        "is smaller than the accuracy allows: each wrong point costs ln 2 or more",
    ),
    Relation(
        "*",
        ("brier{q}", "error{q}"),
        lambda brier, e: _at_least(brier, e / 2),
        "is smaller than the error allows: each wrong point costs 1/2 or more",
    ),
    # The gap is the error on test points less that on training points.
    Relation(
        "digits/accuracy",
        ("generalization_gap", "error"),
        lambda gap, e: _at_least(e, gap) and _at_least(gap, e - 1),
        "is no difference of the error and an error on training points",
    ),
    # Where network and nearest class mean disagree, at most one of them is right.
    Relation(
        "*",
        ("nc4{q}", "ncc_accuracy{q}", "error{q}"),
        lambda nc4, nearest, e: _at_least(nc4, abs(1 - e - nearest)),
        "is smaller than the difference of the accuracies of the network and of the nearest class mean",
    ),
    Relation(
        "kernel/linearization",
        ("prediction_disagreement", "accuracy@network", "accuracy@linearized"),
        lambda differ, a, b: _at_least(differ, abs(a - b)),
        "is smaller than the difference of the accuracies",
    ),
    # Information about the input that the label does not have is information about the input.
    Relation(
        "neurashed/bottleneck",
        ("state_information@end-{q}", "excess_information@{q}"),
        _at_least,
        "is smaller than the excess information, which is a part of it",
    ),
    *(
        Relation(
            "neurashed/bottleneck",
            ("state_information@peak-{q}", f"state_information@{moment}-{{q}}"),
            _at_least,
            f"is smaller than the information at the {moment}",
        )
        for moment in ("start", "end")
    ),
)


def broken_relations(task: str, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that others contradict, each with the rule.

    Parameters
    ----------
    task : str
        Name of its task.
    found : mapping of str to float
        Its metrics.
    """
    for relation in RELATIONS:
        if fnmatchcase(task, relation.tasks):
            for names in bound(relation.values, found):
                if not relation.holds(*(found[name] for name in names)):
                    yield names[0], relation.rule


def bound(templates: tuple[str, ...], found: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the names of values, all of which are there, for each qualifier that fits the first template."""
    pattern = re.escape(templates[0]).replace(r"\{q\}", "(?P<q>.*)" if "@" in templates[0] else "(?P<q>(@.*)?)")
    for name in found:
        if match := re.fullmatch(pattern, name):
            names = tuple(template.format(**match.groupdict()) for template in templates)
            if all(each in found for each in names):
                yield names
