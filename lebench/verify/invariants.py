"""What must hold between the values of a record, declared by metric and task.

Three tables: :data:`SHARES` says which values are shares of how many points, :data:`RELATIONS` what holds between
values on the same points, :data:`DERIVED` which values follow from others. A declaration names its tasks by a glob and
values by templates, ``{q}`` standing for the same qualifier, or none, in all of them. What has no value is not checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np

from lebench import metrics, registry
from lebench.data.base import Dataset, Split
from lebench.errors import LebenchError, UnavailableDataError
from lebench.records import Record
from lebench.tasks.base import Task, metric_of

#: Their test images are the same for every seed, and a split of them takes seconds.
_ONE_TEST_SET = ("mnist", "fashion-mnist", "cifar-10")
#: Error of values in double precision that are computed from each other.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Shares:
    """Values that are shares of points: multiples of one over their number.

    Attributes
    ----------
    tasks : str
        Glob.
    values : str
        Regular expression of their names, with the group ``variant`` where the task has several.
    points : callable
        From the split of the variant to the number of points.
    """

    tasks: str
    values: str
    points: Callable[[Split], int]


def _test(split: Split) -> int:
    return len(split.y_test)


def _train(split: Split) -> int:
    return len(split.y_train)


def _up_to(most: int) -> Callable[[Split], int]:
    """Return how many test points there are if each class has its part of `most` at most."""

    def count(split: Split) -> int:
        return int(np.minimum(np.bincount(split.y_test), most // split.classes).sum())

    return count


SHARES = (
    Shares("digits/accuracy", "accuracy|error", _test),
    Shares("digits/small-n", "accuracy@(?P<variant>n=.*)", _test),
    Shares("digits/collapse", "(ncc_accuracy|nc4)@train", _train),
    Shares("digits/collapse", "(ncc_accuracy|nc4)@test", _test),
    Shares("clustering/learning-rate", "accuracy@(?P<variant>x.*)", _test),
    Shares("mnist/clustering", "accuracy", _test),
    Shares("manifold/*", "accuracy", _test),
    Shares("collapse/trajectory", "(ncc_accuracy|nc4|error)@(interpolation|end)-train", _train),
    Shares("collapse/trajectory", "(ncc_accuracy|nc4|error)@(interpolation|end)-test", _test),
    Shares("collapse/imbalance", "error@(?P<variant>R=.*)-train", _train),
    # The second half of the classes is the minority.
    Shares("collapse/imbalance", "accuracy@(?P<variant>R=.*)-minority", lambda split: int((split.y_test >= 5).sum())),
    Shares("collapse/imbalance", "accuracy@(?P<variant>R=.*)-majority", lambda split: int((split.y_test < 5).sum())),
    Shares("collapse/label-noise", "accuracy@(?P<variant>p=[0-9.]*)", _test),
    Shares("collapse/label-noise", "ncc_accuracy@(?P<variant>p=[0-9.]*)-.*", _train),
    Shares("collapse/label-noise", "error@(?P<variant>p=[0-9.]*)-train", _train),
    Shares("*/label-systems", "accuracy@(?P<variant>first|second)", _test),
    Shares("kernel/gap", "accuracy@(model|ntk|network)", _test),
    Shares("kernel/laziness", "accuracy@(?P<variant>a=.*)", _test),
    Shares("kernel/linearization", "accuracy@(?P<variant>network|linearized)", _test),
    Shares("kernel/linearization", "prediction_disagreement", _test),
    Shares("neurashed/bottleneck", "accuracy", _test),
    Shares("neurashed/implicit-regularization", "accuracy@(?P<variant>B=.*)", _test),
    Shares("overparam/width", "error@(?P<variant>(clean|noisy)-h=.*)", _test),
    Shares("*/collapse", "accuracy", _test),
    Shares("*/label-noise", "accuracy@(?P<variant>p=[0-9.]*)", _test),
    Shares("*/label-noise", "error@(?P<variant>p=[0-9.]*)-train", _train),
    Shares("lantk/*", "accuracy@(?P<variant>(?!mean).*)", _up_to(1000)),
)


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


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _at_least(a: float, b: float) -> bool:
    return a >= b or _same(a, b)


RELATIONS = (
    Relation("*", ("accuracy{q}", "error{q}"), lambda a, e: _same(a + e, 1), "does not add up to one with the error"),
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


@dataclass(frozen=True)
class Derived:
    """A value that follows from others.

    Attributes
    ----------
    tasks : str
        Glob.
    value : str
        Template of its name.
    others : tuple of str or str
        Templates of theirs, in the order of the function's arguments; or a regular expression, and the function gets
        the list of all values whose names match.
    function : callable
        From the others to the value.
    rule : str
        What the value is, in words.
    partial : bool
        Whether it is computed from those of the others that have a value.
    """

    tasks: str
    value: str
    others: tuple[str, ...] | str
    function: Callable[..., float]
    rule: str
    partial: bool = False


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


#: Shares of wrong labels, and widths, of the tasks that vary them.
_WRONG = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8)
_WIDTHS = (4, 8, 12, 16, 32, 64, 128, 256, 512)

DERIVED = (
    Derived("digits/small-n", "accuracy@mean", "accuracy@n=.*", _mean, "the mean over training sizes"),
    Derived(
        "digits/clustering", "adjusted_rand_index@mean", r"adjusted_rand_index@\dv\d", _mean, "the mean over pairs"
    ),
    *(
        Derived("lantk/*", f"{name}@mean{part}", f"{name}@(?!mean)[^@]*{end}", _mean, "the mean over variants")
        for name, part, end in (
            ("accuracy", "", ""),
            ("elasticity_ratio", "", "(?<!-train)"),
            ("elasticity_ratio", "-train", "-train"),
            ("elasticity_difference", "", ""),
        )
    ),
    *(
        Derived(
            "*/label-systems",
            f"label_following@mean{kind}",
            (f"label_following@first{kind}", f"label_following@second{kind}"),
            lambda first, second: (first + second) / 2,
            "the mean over labellings",
        )
        for kind in ("", "-relative")
    ),
    *(
        Derived(
            "clustering/learning-rate", name.format(kind), f"adjusted_rand_index@{kind}x.*", how, what, partial=True
        )
        for kind in ("", "kernel-")
        for name, how, what in (
            ("adjusted_rand_index@{}best", max, "the largest over learning rates"),
            ("adjusted_rand_index@{}worst", min, "the smallest over learning rates"),
            ("spread@{}rates", lambda found: max(found) - min(found), "the difference of the best and the worst"),
        )
    ),
    Derived(
        "neurashed/elasticity",
        "elasticity_difference@{q}-subclasses",
        ("within_class_similarity@{q}-subclasses", "between_class_similarity@{q}-subclasses"),
        lambda within, between: within - between,
        "the difference of the similarities within and between sub-classes",
    ),
    Derived(
        "digits/elasticity",
        "elasticity_difference",
        ("within_class_similarity", "between_class_similarity"),
        lambda within, between: within - between,
        "the difference of the similarities within and between classes",
    ),
    *(
        Derived("kernel/gap", value, others, function, what)
        for name in ("accuracy", "elasticity_ratio")
        for value, others, function, what in (
            (
                f"difference_to_kernel@{name}",
                (f"{name}@model", f"{name}@ntk"),
                metrics.difference_to_kernel,
                "the difference of model and kernel",
            ),
            (
                f"difference_to_kernel@{name}-network",
                (f"{name}@network", f"{name}@ntk"),
                metrics.difference_to_kernel,
                "the difference of network and kernel",
            ),
            (
                f"gap_closed@{name}",
                (f"{name}@model", f"{name}@ntk", f"{name}@network"),
                metrics.gap_closed,
                "the share of the gap between kernel and network",
            ),
        )
    ),
    Derived(
        "neurashed/implicit-regularization",
        "sparsity_gain",
        ("surviving_share@B=1", "surviving_share@B=full"),
        metrics.sparsity_gain,
        "the gain of single inputs over all at once",
    ),
    Derived(
        "overparam/teacher-*",
        "loss_ratio",
        ("scaled_loss", "scaled_loss@best-kernel"),
        metrics.loss_ratio,
        "the loss relative to the best kernel's",
    ),
    Derived(
        "overparam/concept-*",
        "loss_ratio",
        (
            "unexplained_share",
            *(
                f"unexplained_share@{kernel}"
                for kernel in ("ntk-1-no-bias", "ntk-1", "ntk-2", "last-layer", "gaussian", "gaussian-wide")
            ),
        ),
        lambda share, *kernels: metrics.loss_ratio(share, min(kernels)),
        "the error relative to the best kernel's",
    ),
    *(
        Derived(
            "overparam/width",
            f"error_peak@{part}",
            tuple(f"error@{part}-h={width}" for width in _WIDTHS),
            lambda *errors: metrics.error_peak(np.array(errors)),
            "the peak of the errors over width",
        )
        for part in ("clean", "noisy")
    ),
    Derived(
        "*/label-noise",
        "noise_crossing",
        tuple(f"accuracy@p={share:g}" for share in _WRONG),
        lambda *found: metrics.noise_crossing(np.array(found), np.array(_WRONG), 3),
        "where the accuracies fall to chance",
    ),
    Derived(
        "*/dynamics",
        "impact_difference@{q}",
        ("integrated_impact@intra-{q}", "integrated_impact@inter-{q}"),
        lambda intra, inter: intra - inter,
        "the difference of the impacts",
    ),
)


def broken(record: Record, task: Task) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that break an invariant, each with the rule.

    Parameters
    ----------
    record : Record
        Complete; its metrics are those of the task.
    task : Task
        Its own.
    """
    found = record.metrics
    for name, value in found.items():
        low, high = registry.metrics.get(metric_of(name)).bounds
        if not low - _ROUNDING <= value <= high + _ROUNDING:
            yield name, f"is {value:.6g}, outside of its bounds from {low:.6g} to {high:.6g}"
    yield from _broken_relations(task.name, found)
    yield from _broken_derived(task, found)
    yield from _broken_shares(task, record.cell.seed, found)


def _broken_relations(task: str, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for relation in RELATIONS:
        if fnmatchcase(task, relation.tasks):
            for names in _bound(relation.values, found):
                if not relation.holds(*(found[name] for name in names)):
                    yield names[0], relation.rule


def _broken_derived(task: Task, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for derived in DERIVED:
        if not fnmatchcase(task.name, derived.tasks):
            continue
        if isinstance(derived.others, str):
            members = [name for name in task.metrics if re.fullmatch(derived.others, name)]
            present = [found[name] for name in members if name in found]
            if derived.value in found and present and (derived.partial or len(present) == len(members)):
                yield from _differs(derived, derived.value, found, (present,))
            continue
        for first, *others in _bound((derived.value, *derived.others), found):
            yield from _differs(derived, first, found, tuple(found[name] for name in others))


def _differs(
    derived: Derived, name: str, found: Mapping[str, float], others: tuple[object, ...]
) -> Iterator[tuple[str, str]]:
    try:
        expected = derived.function(*others)
    except (LebenchError, ArithmeticError, ValueError):
        # What the others are worth is said by their own invariants.
        return
    if not _same(found[name], expected):
        yield name, f"is {found[name]:.9g}, but {derived.rule} is {expected:.9g}"


def _bound(templates: tuple[str, ...], found: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """Yield the names of values, all of which are there, for each qualifier that fits the first template."""
    pattern = re.escape(templates[0]).replace(r"\{q\}", "(?P<q>.*)" if "@" in templates[0] else "(?P<q>(@.*)?)")
    for name in found:
        if match := re.fullmatch(pattern, name):
            names = tuple(template.format(**match.groupdict()) for template in templates)
            if all(each in found for each in names):
                yield names


def _broken_shares(task: Task, seed: int, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for index, shares in enumerate(SHARES):
        if not fnmatchcase(task.name, shares.tasks):
            continue
        for name, value in found.items():
            if match := re.fullmatch(shares.values, name):
                try:
                    n = _points(task.name, seed, match.groupdict().get("variant"), index)
                except UnavailableDataError:
                    return
                if n and abs(value * n - round(value * n)) > 1e-6 * max(1, n):
                    yield name, f"is no multiple of 1/{n}, the share of one of the points"


@lru_cache(maxsize=10_000)
def _points(task: str, seed: int, variant: str | None, index: int) -> int:
    """Return the number of points of a declaration; 0 where the task has no such variant."""
    known: Task = registry.tasks.get(task)
    seed = 0 if known.dataset in _ONE_TEST_SET else seed
    chosen = [each for each in known.variants if each.name == variant] if variant else known.variants[:1]
    if not chosen:
        return 0
    return SHARES[index].points(_split(task, seed, chosen[0].name))


@lru_cache(maxsize=8)
def _split(task: str, seed: int, variant: str) -> Split:
    known: Task = registry.tasks.get(task)
    (chosen,) = (each for each in known.variants if each.name == variant)
    return chosen.apply(_whole(known.dataset, seed), seed)


@lru_cache(maxsize=1)
def _whole(dataset: str, seed: int) -> Split:
    known: Dataset = registry.datasets.get(dataset)
    return known.split(seed)
