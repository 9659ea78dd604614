"""Every declared fact: values that could be true pass it, and one that cannot is named."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Split
from lebench.errors import LebenchError, UnavailableDataError
from lebench.tasks import facts, label_aware
from lebench.tasks.base import metric_of
from lebench.tasks.facts import OF_METRICS, Derived, KnownAnswer, Relation, Share, broken

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
    ("elasticity_difference{q}", "within_class_similarity{q}", "between_class_similarity{q}"): (
        [(0.5, 0.75, 0.25)],
        [(0.4, 0.75, 0.25)],
    ),
    ("elasticity_ratio{q}", "within_class_similarity{q}", "between_class_similarity{q}"): (
        [(0.75, 0.75, 0.25)],
        [(0.7, 0.75, 0.25)],
    ),
    ("state_information@end-{q}", "excess_information@{q}"): ([(8.0, 6.0)], [(6.0, 8.0)]),
    ("state_information@peak-{q}", "state_information@start-{q}"): ([(2.0, 1.0)], [(1.0, 2.0)]),
    ("state_information@peak-{q}", "state_information@end-{q}"): ([(2.0, 1.0)], [(1.0, 2.0)]),
}


TASKS = {name: registry.tasks.get(name) for name in registry.tasks.names()}


def declared(kind):
    """Return the facts of a kind with the tasks that declare them."""
    found = [(task, fact) for task in TASKS.values() for fact in task.facts if isinstance(fact, kind)]
    return [
        pytest.param(task, fact, id=f"{task.name} {getattr(fact, 'value', None) or fact.values}")
        for task, fact in found
    ]


def said(task, metrics):
    """Return what is said of each value, in order."""
    return list(broken(task, 0, metrics))


@pytest.fixture
def no_data(monkeypatch):
    """Shares are not checked, as where the data of a task are not on the machine."""

    def unavailable(*_):
        raise UnavailableDataError("not here")

    monkeypatch.setattr(facts, "_split", unavailable)


@pytest.fixture
def planted_split(monkeypatch):
    """All data have 70 training points and 47 test points of ten classes."""
    y_test = np.repeat(np.arange(10), BY_CLASS)
    names = tuple(map(str, range(10)))
    split = Split(np.zeros((N_TRAIN, 1)), np.arange(N_TRAIN) % 10, np.zeros((N_TEST, 1)), y_test, names)
    monkeypatch.setattr(facts, "_split", lambda *_: split)
    return split


def points_of(task, name):
    """Return how many points a value is a share of, by its name: written down apart from the declarations."""
    if name.endswith("-minority"):
        return N_MINORITY
    if name.endswith("-majority"):
        return N_MAJORITY
    # The nearest class mean of features under label noise is compared on training points.
    if name.endswith(("-train", "@train")) or (task == "digits/label-noise" and name.startswith("ncc_accuracy")):
        return N_TRAIN
    return N_TEST


@pytest.mark.parametrize(("task", "share"), declared(Share))
def test_a_share_is_a_multiple_of_one_over_the_points(task, share, planted_split):
    found = [name for name, _ in share.names(tuple(v.name for v in task.variants)) if name in task.metrics]
    assert found
    for name in found:
        n = points_of(task.name, name)
        assert said(task, {name: 13 / n}) == []
        ((named, rule),) = said(task, {name: 13 / n + 1 / (3 * n)})
        assert (named, rule) == (name, f"is no multiple of 1/{n}, the share of one of the points")


def test_of_a_test_set_that_is_reduced_each_class_has_its_part_at_most(planted_split, monkeypatch):
    assert label_aware._tested(planted_split) == N_TEST
    monkeypatch.setattr(label_aware, "_TEST_POINTS", 50)
    assert label_aware._tested(planted_split) == sum(min(count, 5) for count in BY_CLASS)


def test_where_the_data_are_missing_shares_are_not_checked(no_data):
    assert said(TASKS["digits/accuracy"], {"accuracy": 1 / math.pi}) == []


def related():
    general = [(task, relation) for task in TASKS.values() for relation in OF_METRICS]
    own = [(task, fact) for task in TASKS.values() for fact in task.facts if isinstance(fact, Relation)]
    return [(t, r, names) for t, r in (*general, *own) for names in facts._bound(r.values, dict.fromkeys(t.metrics))]


def test_values_on_the_same_points_fit_each_other(no_data):
    met = set()
    for task, relation, names in related():
        hold, break_it = PLANTED[relation.values]
        met.add(relation.values)
        for values in hold:
            assert said(task, dict(zip(names, values, strict=True))) == []
        for values in break_it:
            assert (names[0], relation.rule) in said(task, dict(zip(names, values, strict=True)))
        # Without the last of them nothing can be said.
        assert said(task, dict(zip(names[:-1], break_it[0], strict=False))) == []
    assert met == set(PLANTED)


def within_bounds(name, share):
    low, high = registry.metrics.get(metric_of(name)).bounds
    return share if math.inf in (-low, high) else low + share * (high - low)


@pytest.mark.parametrize(("task", "fact"), declared(Derived))
def test_a_value_that_follows_from_others_is_what_they_make(task, fact, no_data):
    # Falling from one to the next: accuracies that cross chance, a network that is not its kernel.
    shares = np.linspace(0.8, 0.1, len(fact.others))
    planted = {name: within_bounds(name, share) for name, share in zip(fact.others, shares, strict=True)}
    expected = float(fact.function(*planted.values()))
    # Without relations among the others, which made-up values may break.
    alone = replace(task, facts=tuple(each for each in task.facts if not isinstance(each, Relation)))
    assert said(alone, planted | {fact.value: expected}) == []
    named = said(alone, planted | {fact.value: expected - 0.01})
    assert (fact.value, f"is {expected - 0.01:.9g}, but {fact.rule} is {expected:.9g}") in named
    assert {name for name, _ in named} == {fact.value}
    # Of a mean that lacks one nothing is said; of the best, what the others say.
    less = dict(list(planted.items())[1:])
    if not fact.partial:
        assert all("outside of its bounds" in rule for _, rule in said(alone, less | {fact.value: expected - 0.01}))
    elif less:
        assert said(alone, less | {fact.value: float(fact.function(*less.values()))}) == []


def test_what_is_outside_of_its_bounds_is_named(no_data):
    task = TASKS["digits/accuracy"]
    assert said(task, {"accuracy": 1.5}) == [("accuracy", "is 1.5, outside of its bounds from 0 to 1")]
    assert said(task, {"log_loss": -0.1}) == [("log_loss", "is -0.1, outside of its bounds from 0 to 36.0437")]
    assert said(task, {"accuracy": 1 + 1e-12}) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"facts": ()}, "does not declare its value 'accuracy' under facts"),
        ({"facts": (Share(facts.test, ("accurracy",)),)}, "a fact of 'accurracy', which is none of its values"),
        ({"known": (KnownAnswer("luck", 1.0, "x", "y"),)}, "a fact of 'luck', which is none of its values"),
    ],
)
def test_a_task_without_its_facts_is_refused(changes, said):
    with pytest.raises(LebenchError, match=said):
        replace(TASKS["digits/accuracy"], **changes)
