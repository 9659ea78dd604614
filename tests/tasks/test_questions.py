"""Questions are asked of any dataset: variants and values derive from it, and what it cannot answer is said."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Dataset
from lebench.errors import LebenchError, UnknownNameError
from lebench.runner.plan import make_plan
from lebench.tasks.base import Fit, Scored
from lebench.tasks.questions import DEFAULT, DIGITS, asked, describe
from lebench.testing import check_task

QUESTIONS = registry.questions.names()


def wine():
    """Three classes of 13 coordinates, as many points as that data has, drawn around three centres."""

    def load():
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1, 2], [59, 71, 48])
        return rng.normal(size=(178, 13)) + 3 * rng.normal(size=(3, 13))[y], y

    def splitter(x, y, rng):
        order = rng.permutation(len(y))
        return x[order[:120]], y[order[:120]], x[order[120:]], y[order[120:]]

    return Dataset("wine", "Wines", "CC0", "none", 1, (13,), ("a", "b", "c"), load, splitter)


@pytest.fixture
def asked_of_wine(monkeypatch):
    """The registry with a dataset of one's own; tasks that are made of it are forgotten afterwards."""
    for kind in (registry.datasets, registry.tasks):
        monkeypatch.setattr(kind, "_items", dict(kind._items))
        monkeypatch.setattr(kind, "_objects", dict(kind._objects))
    describe.cache_clear()
    registry.datasets.register("wine", wine())
    yield lambda question: registry.tasks.get(f"wine/{question}")
    describe.cache_clear()


def test_what_is_said_of_digits_is_true_of_every_split():
    for seed in range(5):
        split = registry.datasets.get("digits").split(seed)
        assert (len(split.y_train), split.classes) == (DIGITS.points, DIGITS.classes)
        assert np.bincount(split.y_train).min() >= DIGITS.per_class
        assert np.bincount(split.y_test).min() >= DIGITS.tested_per_class
    assert describe("digits") == DIGITS


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_of_digits_is_a_task_by_its_old_name_too(question):
    task = registry.tasks.get(f"digits/{question}")
    old = registry.questions.get(question).formerly.get("digits", task.name)
    assert task.name == f"digits/{question}"
    assert task is registry.tasks.get(old)
    assert registry.tasks.item(old).name == task.name
    assert registry.tasks.select([old]) == [task.name]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_can_be_asked_of_other_data_or_says_why_not(asked_of_wine, question):
    task = asked_of_wine(question)
    assert (task.name, task.dataset) == (f"wine/{question}", "wine")
    if task.refusal:
        few = r"needs (67|167) training points of each class, a class of wine has 33"
        assert re.fullmatch(f"needs 4 classes, wine has 3|{few}", task.refusal)
    else:
        assert check_task(task) == []
        split = registry.datasets.get("wine").split(0)
        for variant in task.variants:
            variant.apply(split, 0)


def test_a_task_that_was_made_scores_a_model(asked_of_wine):
    for question in ("accuracy", "small-n", "collapse"):
        task = asked_of_wine(question)
        split = registry.datasets.get("wine").split(0)
        model = registry.models.get("rbf")()
        fits = {}
        for variant in task.variants:
            part = variant.apply(split, 0)
            fits[variant.name] = Fit(part, model.fit(part, 0), 0)
        scored = task.score(fits)
        values = scored.values if isinstance(scored, Scored) else scored
        assert set(values) <= set(task.metrics)
    # 33 points of the smallest class are enough for 50, and not for 100.
    assert [variant.name for variant in asked_of_wine("small-n").variants] == ["n=50"]


def test_questions_of_classes_are_not_asked_of_real_numbers():
    task = registry.tasks.get("teacher-8/accuracy")
    assert task.refusal == "asks of classes, and teacher-8 has real-valued targets"
    assert task.unmet(frozenset({"predict"})) == task.refusal


def test_what_data_cannot_answer_is_skipped_with_the_reason(asked_of_wine):
    plan = make_plan(["clustering", "accuracy"], ["knn"], [0], ask=["wine"])
    assert {cell.cell.task: cell.unmet for cell in plan.cells} == {
        "wine/accuracy": None,
        "wine/clustering": "needs 4 classes, wine has 3",
    }


def test_without_a_question_those_of_the_suite_are_asked(asked_of_wine):
    assert asked([], ["wine"]) == [f"wine/{question}" for question in DEFAULT]
    assert asked([], []) == [f"digits/{question}" for question in DEFAULT]
    assert asked(["collapse/*"], []) == ["collapse/*"]
    with pytest.raises(UnknownNameError, match="unknown question 'colapse'; did you mean 'collapse'"):
        asked(["colapse"], ["wine"])
    with pytest.raises(UnknownNameError, match="unknown dataset 'vine'"):
        asked(["collapse"], ["vine"])
    assert "wine/colapse" not in registry.tasks


def test_a_name_that_two_tasks_would_have_is_refused(asked_of_wine):
    taken = replace(asked_of_wine("accuracy"), summary="Another question")
    with pytest.raises(LebenchError, match="is already registered"):
        registry.tasks.register("wine/accuracy", taken)
