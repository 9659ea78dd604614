"""Which values of a record follow from others, declared by task: means, differences, ratios.

A declaration names its tasks by a glob and values by templates, as in :mod:`lebench.verify.relations`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from lebench import metrics
from lebench.errors import LebenchError
from lebench.tasks.base import Task
from lebench.verify.relations import bound, same


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
#: Training points that the bounds of stability are of.
_LEFT_OUT = 500

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
        Derived(
            tasks,
            "elasticity_ratio{q}",
            ("within_class_similarity{q}", "between_class_similarity{q}"),
            lambda within, between: within / (within + between),
            "the similarity within classes over the sum of those within and between",
        )
        for tasks in ("digits/elasticity", "neurashed/elasticity")
    ),
    *(
        Derived(
            "elasticity/over-training",
            f"elasticity_growth@{course}",
            (f"{name}@end{kind}", f"{name}@start{kind}"),
            lambda end, start: end - start,
            "the difference of end and start",
        )
        for course, name, kind in (
            ("ratio", "elasticity_ratio", ""),
            ("difference", "elasticity_difference", ""),
            ("signed-difference", "elasticity_difference", "-signed"),
        )
    ),
    *(
        Derived(
            "collapse/trajectory",
            f"terminal_ratio@{course}-{part}",
            (f"{name}@end-{part}", f"{name}@interpolation-{part}"),
            lambda end, start: end / start,
            "the ratio of the end to the moment at which the training error vanishes",
        )
        for course, name, part in (
            ("nc1", "nc1_pinv_over_C", "train"),
            ("nc1", "nc1_pinv_over_C", "test"),
            ("nc2-equinorm", "nc2_equinorm", "train"),
            ("nc2-equiangular", "nc2_equiangular", "train"),
            ("nc3", "nc3_selfduality", "train"),
        )
    ),
    Derived(
        "stability/bound",
        "elastic_to_uniform_ratio",
        ("uniform_stability", "elastic_stability"),
        lambda uniform, elastic: elastic / uniform,
        "the ratio of elastic to uniform stability",
    ),
    *(
        Derived(
            "stability/bound",
            f"{kind}_bound",
            (f"{kind}_stability",),
            # A row of changes alike has the stability n times each of them.
            lambda stability, bound=bound: bound(np.full((_LEFT_OUT, 1), stability / _LEFT_OUT), 1.0),
            f"the bound by {kind} stability",
        )
        for kind, bound in (("elastic", metrics.elastic_bound), ("uniform", metrics.uniform_bound))
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


def broken_derived(task: Task, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that do not follow from the others, each with the rule.

    Parameters
    ----------
    task : Task
        Its own.
    found : mapping of str to float
        Its metrics.
    """
    for derived in DERIVED:
        if not fnmatchcase(task.name, derived.tasks):
            continue
        if isinstance(derived.others, str):
            members = [name for name in task.metrics if re.fullmatch(derived.others, name)]
            present = [found[name] for name in members if name in found]
            if derived.value in found and present and (derived.partial or len(present) == len(members)):
                yield from _differs(derived, derived.value, found, (present,))
            continue
        for first, *others in bound((derived.value, *derived.others), found):
            yield from _differs(derived, first, found, tuple(found[name] for name in others))


def _differs(
    derived: Derived, name: str, found: Mapping[str, float], others: tuple[object, ...]
) -> Iterator[tuple[str, str]]:
    try:
        expected = derived.function(*others)
    except (LebenchError, ArithmeticError, ValueError):
        # What the others are worth is said by their own invariants.
        return
    if not same(found[name], expected):
        yield name, f"is {found[name]:.9g}, but {derived.rule} is {expected:.9g}"
