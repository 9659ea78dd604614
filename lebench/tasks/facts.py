"""What is known of the values of a task before any model is scored, as its declaration says it.

A value may be a share of points, follow from other values, or stand in a relation to them; a model may have to score
something in particular. Where a record is made or checked, :func:`broken` says which of these do not hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from lebench import registry
from lebench.data.base import Dataset, Split
from lebench.errors import LebenchError, UnavailableDataError

if TYPE_CHECKING:
    from lebench.tasks.base import Task

#: Metrics that are shares of points: a task says of which.
SHARES = frozenset({"accuracy", "error", "ncc_accuracy", "nc4", "prediction_disagreement"})
#: Error of values in double precision that are computed from each other.
ROUNDING = 1e-9


def train(split: Split) -> int:
    """Return the number of training points."""
    return len(split.y_train)


def test(split: Split) -> int:
    """Return the number of test points."""
    return len(split.y_test)


@dataclass(frozen=True)
class Share:
    """Values that are shares of points: multiples of one over their number.

    Attributes
    ----------
    points : callable
        From a split to the number of points: :func:`train`, :func:`test` or one of the task's own.
    values : tuple of str
        Their names; ``{variant}`` stands for the name of each variant, whose split it is then. The others are of the
        split of the first variant.
    """

    points: Callable[[Split], int]
    values: tuple[str, ...]

    def names(self, variants: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield the names of values and those of the variants whose points they are shares of."""
        for template in self.values:
            for variant in variants if "{variant}" in template else variants[:1]:
                yield template.format(variant=variant), variant


@dataclass(frozen=True)
class Derived:
    """A value that follows from others of its record.

    Attributes
    ----------
    value : str
        Its name.
    function : callable
        From the other values, in order, to this one.
    others : tuple of str
        Their names.
    rule : str
        What the value is, in words.
    partial : bool
        Whether it is computed from those of the others that are there.
    """

    value: str
    function: Callable[..., float]
    others: tuple[str, ...]
    rule: str
    partial: bool = False


@dataclass(frozen=True)
class Relation:
    """What holds between values of a record on the same points.

    Attributes
    ----------
    values : tuple of str
        Their names; ``{q}`` stands for the same qualifier, or none, in all of them.
    holds : callable
        From the values to whether it holds.
    rule : str
        What is said of the first if it does not.
    """

    values: tuple[str, ...]
    holds: Callable[..., bool]
    rule: str


Fact = Share | Derived | Relation


@dataclass(frozen=True)
class KnownAnswer:
    """What some models must score, and why: shown on the task's page beside what they do score.

    Attributes
    ----------
    value : str
        Name of the value.
    number : float
        What it is.
    of : str
        Whose value.
    why : str
        The reason, with its source.
    models : tuple of str
        Registered names of models that it holds for, ``"*"`` for all; empty where it is a point of reference.
    relation : {"is", "is about", "is at most"}
        How scores and number compare.
    tolerance : float
        How far a score may be from the number: rounding, or what a finite sample does.
    """

    value: str
    number: float
    of: str
    why: str
    models: tuple[str, ...] = ()
    relation: Literal["is", "is about", "is at most"] = "is"
    tolerance: float = 1e-6

    def holds(self, score: float) -> bool:
        """Return whether a score is as it must be."""
        beyond = score - self.number if self.relation == "is at most" else abs(score - self.number)
        return beyond <= self.tolerance


#: Controls that learn nothing of the labels, and kernels that training does not change.
BLIND = ("permuted-labels", "random-features")
KERNELS = ("ntk-mlp", "ntk-cnn", "nngp-mlp", "nngp-cnn", "rbf", "laplace", "linear-kernel", "entk-mlp")


def chance(value: str, classes: int, tolerance: float = 0.05) -> tuple[KnownAnswer, ...]:
    """Return what controls must score where `value` is an accuracy on balanced test points of so many classes."""
    share = f"1/{classes}"
    return (
        KnownAnswer(
            value,
            1 / classes,
            "one class for every input",
            f"it is right on {share} of balanced test points",
            ("constant",),
            "is about",
            0.01,
        ),
        KnownAnswer(
            value,
            1 / classes,
            "a model that learns nothing of the labels",
            f"labels or inputs carry no information, so that {share} of the guesses are right",
            BLIND,
            "is about",
            tolerance,
        ),
        KnownAnswer(
            value, 1.0, "a model that reads the test labels", "the control that must be caught", ("leak-kernel",)
        ),
    )


def mean_of(value: str, others: tuple[str, ...], over: str) -> Derived:
    """Return the fact that a value is the mean of others."""
    return Derived(value, lambda *found: float(np.mean(found)), others, f"the mean over {over}")


#: A ratio or difference of similarities, at every qualifier that a task has.
ELASTICITY = (
    Relation(
        ("elasticity_difference{q}", "within_class_similarity{q}", "between_class_similarity{q}"),
        lambda difference, within, between: same(difference, within - between),
        "is not the difference of the similarities within and between classes",
    ),
    Relation(
        ("elasticity_ratio{q}", "within_class_similarity{q}", "between_class_similarity{q}"),
        lambda ratio, within, between: same(ratio * (within + between), within),
        "is not the similarity within classes over the sum of those within and between",
    ),
)

#: What kernels that know no labels, and the kernel of the labels, score between two labellings of the same points.
LABEL_BLIND = (
    KnownAnswer(
        "label_following@mean",
        0.0,
        "a kernel that knows no labels",
        "under both labellings it is the same kernel, so that it follows neither",
        KERNELS,
    ),
    KnownAnswer(
        "label_following@mean",
        2.0,
        "the kernel of the labels, y yᵀ",
        "1 within and −1 between the classes of its own labels, nothing of the other; the control adds a "
        "little of another kernel",
        ("leak-kernel",),
        "is about",
        0.05,
    ),
)


def labellings(kind: str = "") -> Derived:
    """Return the fact that what follows labels is the mean over two labellings."""
    others = (f"label_following@first{kind}", f"label_following@second{kind}")
    return mean_of(f"label_following@mean{kind}", others, "labellings")


def same(a: float, b: float) -> bool:
    """Return whether two values are the same but for rounding."""
    return math.isclose(a, b, rel_tol=ROUNDING, abs_tol=ROUNDING)


def at_least(a: float, b: float) -> bool:
    """Return whether a value is not below another, but for rounding."""
    return a >= b or same(a, b)


#: Relations between metrics, whatever the task.
OF_METRICS = (
    Relation(("accuracy{q}", "error{q}"), lambda a, e: same(a + e, 1), "does not add up to one with the error"),
    # A point that is wrong has at most half of the probability on its class.
    Relation(
        ("log_loss{q}", "error{q}"),
        lambda loss, e: at_least(loss, e * math.log(2)),
        "is smaller than the error allows: each wrong point costs ln 2 or more",
    ),
    Relation(
        ("log_loss{q}", "accuracy{q}"),
        lambda loss, a: at_least(loss, (1 - a) * math.log(2)),
        "is smaller than the accuracy allows: each wrong point costs ln 2 or more",
    ),
    Relation(
        ("brier{q}", "error{q}"),
        lambda brier, e: at_least(brier, e / 2),
        "is smaller than the error allows: each wrong point costs 1/2 or more",
    ),
    # Where network and nearest class mean disagree, at most one of them is right.
    Relation(
        ("nc4{q}", "ncc_accuracy{q}", "error{q}"),
        lambda nc4, nearest, e: at_least(nc4, abs(1 - e - nearest)),
        "is smaller than the difference of the accuracies of the network and of the nearest class mean",
    ),
)


def broken(
    task: Task, seed: int, found: Mapping[str, float], splits: Mapping[str, Split] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that cannot be, each with the rule that it breaks.

    Parameters
    ----------
    task : Task
        Its own.
    seed : int
        Its own.
    found : mapping of str to float
        Its metrics. What has no value is not checked; nor are shares where the data are not on this machine.
    splits : mapping of str to Split, optional
        Those of its variants, where they are at hand.
    """
    for name, value in found.items():
        low, high = registry.metrics.get(name.split("@", 1)[0]).bounds
        if not low - ROUNDING <= value <= high + ROUNDING:
            yield name, f"is {value:.6g}, outside of its bounds from {low:.6g} to {high:.6g}"
    for fact in (*OF_METRICS, *task.facts):
        if isinstance(fact, Relation):
            for names in _bound(fact.values, found):
                if not fact.holds(*(found[name] for name in names)):
                    yield names[0], fact.rule
        elif isinstance(fact, Derived):
            yield from _broken_derived(fact, found)
        else:
            yield from _broken_share(task, fact, seed, found, splits or {})


def _bound(templates: tuple[str, ...], found: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the names of values, all of which are there, for each qualifier that fits the first template."""
    pattern = re.escape(templates[0]).replace(r"\{q\}", "(?P<q>.*)" if "@" in templates[0] else "(?P<q>(@.*)?)")
    for name in found:
        if match := re.fullmatch(pattern, name):
            names = tuple(template.format(**match.groupdict()) for template in templates)
            if all(each in found for each in names):
                yield names


def _broken_derived(fact: Derived, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    present = [found[name] for name in fact.others if name in found]
    if fact.value not in found or not present or (len(present) < len(fact.others) and not fact.partial):
        return
    try:
        expected = fact.function(*present)
    except (LebenchError, ArithmeticError, ValueError):
        # What the others are worth is said by their own facts.
        return
    if not same(found[fact.value], expected):
        yield fact.value, f"is {found[fact.value]:.9g}, but {fact.rule} is {expected:.9g}"


def _broken_share(
    task: Task, fact: Share, seed: int, found: Mapping[str, float], splits: Mapping[str, Split]
) -> Iterator[tuple[str, str]]:
    for name, variant in fact.names(tuple(each.name for each in task.variants)):
        if name not in found:
            continue
        try:
            n = fact.points(splits[variant] if variant in splits else _split(task, seed, variant))
        except UnavailableDataError:
            return
        value = found[name]
        if n and math.isfinite(value * n) and abs(value * n - round(value * n)) > 1e-6 * max(1, n):
            yield name, f"is no multiple of 1/{n}, the share of one of the points"


@lru_cache(maxsize=16)
def _split(task: Task, seed: int, variant: str) -> Split:
    (chosen,) = (each for each in task.variants if each.name == variant)
    return chosen.apply(_whole(task.dataset, seed), seed)


@lru_cache(maxsize=1)
def _whole(dataset: str, seed: int) -> Split:
    known: Dataset = registry.datasets.get(dataset)
    return known.split(seed)
