"""Tiny runs of every task have the values that are committed, unless a version was raised."""

import json
from itertools import chain

import mutations
import pytest
from golden.cases import FACTS, LEFT_OUT, stored, versions, wanted
from golden.compare import computed, fact_moved, facts_of_today, moved, verdict

from lebench import registry
from lebench.models.spec import parse_spec

CASES = stored()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values_move_only_with_a_raised_version(case):
    if message := verdict(case, CASES, json.loads(FACTS.read_text(encoding="utf-8"))):
        pytest.fail(message, pytrace=False)


def test_points_and_variants_move_only_with_a_raised_version():
    before, today = json.loads(FACTS.read_text(encoding="utf-8")), facts_of_today()
    wrong = [
        f"{name}: its {'points' if 'points' in fact else 'variants'} moved; "
        + ("raise its version, then " if fact["version"] == today[name]["version"] else "")
        + "run `make golden`"
        for name, fact in before.items()
        if name in today and fact_moved(fact, today[name])
    ]
    assert not wrong, "\n".join(wrong)
    assert before.keys() == today.keys(), "tasks or datasets came or went: run `make golden`"


def test_a_raised_version_has_a_case_that_moves():
    raised = {}
    for case in CASES:
        for name, version in versions(case).items():
            if case.versions.get(name, version) != version:
                raised.setdefault(name, []).append(case)
    idle = [name for name, cases in raised.items() if not any(moved(case, computed(case)) for case in cases)]
    assert not idle, f"the version of {', '.join(idle)} is raised and nothing moved: add a golden case that moves"


def test_every_task_and_every_model_has_a_case_on_every_backend():
    tasks = {(task, case.backend) for case in CASES for task in case.tasks}
    assert {task for task, _ in tasks} == set(registry.tasks.names())
    trained = {task for task, backend in tasks if backend == "torch"}
    assert trained == {task for task, backend in tasks if backend == "jax"}
    models = {item.name for item in registry.models.items() if "measure" not in item.tags}
    assert models - set(LEFT_OUT) <= {parse_spec(case.label)[0] for case in CASES}
    wanted_names = {case.name for case in wanted()}
    assert {case.name for case in CASES} <= wanted_names


def test_the_changes_that_must_be_noticed_can_still_be_made():
    """Of `make mutations`, which is too long for every day."""
    for change in chain(mutations.FORMULAS, *mutations.REFACTORINGS.values()):
        mutations.place_of(change, mutations.ROOT)
        assert any(change.case in case.name for case in CASES)
