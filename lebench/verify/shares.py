"""Which values of a record are shares of how many points, declared by task: they are multiples of one over the number.

A declaration names its tasks by a glob and its values by a regular expression. The number of points is counted on the
data of the main branch; where they are not on this machine, shares are not checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np

from lebench import registry
from lebench.data.base import Dataset, Split
from lebench.errors import UnavailableDataError
from lebench.tasks.base import Task

#: Their test images are the same for every seed, and a split of them takes seconds.
_ONE_TEST_SET = ("mnist", "fashion-mnist", "cifar-10")


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
    Shares("collapse/label-noise", "ncc_accuracy@(?P<variant>p=[0-9.]*)-.*", _train),
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


def broken_shares(task: Task, seed: int, found: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that are no share of their points, each with the rule.

    Parameters
    ----------
    task : Task
        Its own.
    seed : int
        Its own.
    found : mapping of str to float
        Its metrics.
    """
    for index, shares in enumerate(SHARES):
        if not fnmatchcase(task.name, shares.tasks):
            continue
        for name, value in found.items():
            if match := re.fullmatch(shares.values, name):
                try:
                    n = _points(task.name, seed, match.groupdict().get("variant"), index)
                except UnavailableDataError:
                    return
                if n and math.isfinite(value * n) and abs(value * n - round(value * n)) > 1e-6 * max(1, n):
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
