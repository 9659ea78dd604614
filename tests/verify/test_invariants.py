"""Every row of the tables of invariants: values that could be true pass it, and one that cannot is named."""

import math
import re
from fnmatch import fnmatchcase
from types import SimpleNamespace

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Split
from lebench.errors import UnavailableDataError
from lebench.tasks.base import metric_of
from lebench.verify import shares
from lebench.verify.derived import DERIVED
from lebench.verify.invariants import broken
from lebench.verify.relations import RELATIONS, bound
from lebench.verify.shares import SHARES

N_TRAIN, BY_CLASS = 70, [4, 5, 6, 3, 7, 5, 5, 4, 6, 2]
N_TEST, N_MAJORITY, N_MINORITY = 47, 25, 22
#: Of each relation, by its values: what holds, and what does not.
PLANTED = {
    ("accuracy{q}", "error{q}"): ([(0.75, 0.25)], [(0.75, 0.3)]),
    ("log_loss{q}", "error{q}"): ([(0.35, 0.5), (0.0, 0.0)], [(0.34, 0.5)]),
    ("log_loss{q}", "accuracy{q}"): ([(0.35, 0.5), (0.0, 1.0)], [(0.34, 0.5)]),
    ("brier{q}", "error{q}"): ([(0.25, 0.5)], [(0.24, 0.5)]),
    ("generalization_gap", "error"): ([(0.3, 0.3), (-0.7, 0.3)], [(0.31, 0.3), (-0.71, 0.3)]),
    ("nc4{q}", "ncc_accuracy{q}", "error{q}"): (
        [(0.1, 0.9, 0.2), (0.1, 0.7, 0.2)],
        [(0.05, 0.9, 0.2), (0.05, 0.7, 0.2)],
    ),
    ("prediction_disagreement", "accuracy@network", "accuracy@linearized"): ([(0.1, 0.8, 0.7)], [(0.05, 0.7, 0.8)]),
    ("state_information@end-{q}", "excess_information@{q}"): ([(8.0, 6.0)], [(6.0, 8.0)]),
    ("state_information@peak-{q}", "state_information@start-{q}"): ([(2.0, 1.0)], [(1.0, 2.0)]),
    ("state_information@peak-{q}", "state_information@end-{q}"): ([(2.0, 1.0)], [(1.0, 2.0)]),
}


def said(task, metrics):
    """Return what is said of each value, in order."""
    return list(broken(SimpleNamespace(metrics=metrics, cell=SimpleNamespace(seed=0)), task))


def tasks_of(pattern):
    return [registry.tasks.get(name) for name in registry.tasks.names() if fnmatchcase(name, pattern)]


@pytest.fixture
def no_data(monkeypatch):
    """Shares are not checked, as where the data of a task are not on the machine."""

    def unavailable(*_):
        raise UnavailableDataError("not here")

    monkeypatch.setattr(shares, "_points", unavailable)


@pytest.fixture
def planted_split(monkeypatch):
    """All data have 70 training points and 47 test points of ten classes."""
    y_test = np.repeat(np.arange(10), BY_CLASS)
    names = tuple(map(str, range(10)))
    split = Split(np.zeros((N_TRAIN, 1)), np.arange(N_TRAIN) % 10, np.zeros((N_TEST, 1)), y_test, names)
    monkeypatch.setattr(shares, "_split", lambda *_: split)
    shares._points.cache_clear()
    yield
    shares._points.cache_clear()


def points_of(task, name):
    """Return how many points a value is a share of, by its name: written down apart from the table."""
    if name.endswith("-minority"):
        return N_MINORITY
    if name.endswith("-majority"):
        return N_MAJORITY
    # The nearest class mean of features under label noise is compared on training points.
    if name.endswith(("-train", "@train")) or (task == "collapse/label-noise" and name.startswith("ncc_accuracy")):
        return N_TRAIN
    return N_TEST


@pytest.mark.parametrize("row", SHARES, ids=lambda row: f"{row.tasks} {row.values}")
def test_a_share_is_a_multiple_of_one_over_the_points(row, planted_split):

    found = [(task, name) for task in tasks_of(row.tasks) for name in task.metrics if re.fullmatch(row.values, name)]
    assert found
    for task, name in found:
        n = points_of(task.name, name)
        assert said(task, {name: 13 / n}) == []
        ((named, rule),) = said(task, {name: 13 / n + 1 / (3 * n)})
        assert (named, rule) == (name, f"is no multiple of 1/{n}, the share of one of the points")


def test_of_a_test_set_that_is_reduced_each_class_has_its_part_at_most(planted_split):
    (row,) = (row for row in SHARES if row.tasks == "lantk/*")
    split = shares._split()
    assert row.points(split) == N_TEST
    assert shares._up_to(50)(split) == sum(min(count, 5) for count in BY_CLASS)


def test_where_the_data_are_missing_shares_are_not_checked(no_data):
    assert said(registry.tasks.get("digits/accuracy"), {"accuracy": 1 / math.pi}) == []


@pytest.mark.parametrize("row", RELATIONS, ids=lambda row: f"{row.tasks} {row.values}")
def test_values_on_the_same_points_fit_each_other(row, no_data):
    hold, break_it = PLANTED[row.values]
    met = 0
    for task in tasks_of(row.tasks):
        for names in bound(row.values, dict.fromkeys(task.metrics)):
            met += 1
            for values in hold:
                assert said(task, dict(zip(names, values, strict=True))) == []
            for values in break_it:
                assert said(task, dict(zip(names, values, strict=True))) == [(names[0], row.rule)]
            # Without the last of them nothing can be said.
            assert said(task, dict(zip(names[:-1], break_it[0], strict=False))) == []
    assert met


def members_of(row, task):
    """Return the names of a value and of those that it follows from, for each qualifier."""
    if isinstance(row.others, str):
        others = [name for name in task.metrics if re.fullmatch(row.others, name)]
        return [(row.value, *others)] if row.value in task.metrics and others else []
    return list(bound((row.value, *row.others), dict.fromkeys(task.metrics)))


def within_bounds(name, share):
    low, high = registry.metrics.get(metric_of(name)).bounds
    return share if math.inf in (-low, high) else low + share * (high - low)


@pytest.mark.parametrize("row", DERIVED, ids=lambda row: f"{row.tasks} {row.value}")
def test_a_value_that_follows_from_others_is_what_they_make(row, no_data):
    met = 0
    for task in tasks_of(row.tasks):
        for first, *others in members_of(row, task):
            met += 1
            # Falling from one to the next: accuracies that cross chance, a network that is not its kernel.
            planted = {
                name: within_bounds(name, share)
                for name, share in zip(others, np.linspace(0.8, 0.1, len(others)), strict=True)
            }
            values = list(planted.values())
            expected = float(row.function(values) if isinstance(row.others, str) else row.function(*values))
            assert said(task, planted | {first: expected}) == []
            named = said(task, planted | {first: expected - 0.01})
            assert (first, f"is {expected - 0.01:.9g}, but {row.rule} is {expected:.9g}") in named
            assert {name for name, _ in named} == {first}
            # Of a mean that lacks one nothing is said; of the best, what the others say.
            less = dict(list(planted.items())[1:])
            if not row.partial:
                assert all("outside of its bounds" in rule for _, rule in said(task, less | {first: expected - 0.01}))
            elif less:
                remaining = float(row.function(list(less.values())))
                assert said(task, less | {first: remaining}) == []
    assert met


def test_what_is_outside_of_its_bounds_is_named(no_data):
    task = registry.tasks.get("digits/accuracy")
    assert said(task, {"accuracy": 1.5}) == [("accuracy", "is 1.5, outside of its bounds from 0 to 1")]
    assert said(task, {"log_loss": -0.1}) == [("log_loss", "is -0.1, outside of its bounds from 0 to 36.0437")]
    assert said(task, {"accuracy": 1 + 1e-12}) == []
