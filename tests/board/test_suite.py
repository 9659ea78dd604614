"""The released core suite against the tasks' own declarations and the rule by which they were chosen."""

import sys

import numpy as np
import pytest

from lebench import registry
from lebench.board import core_suite


def test_the_release_has_the_tasks_that_declare_to_be_core():
    suite = core_suite()
    declared = {name: registry.tasks.get(name) for name in registry.tasks.names()}
    core = {name: task for name, task in declared.items() if task.suite == "core"}
    assert {name: (task.track, task.version) for name, task in core.items()} == {
        name: (task.track, task.version) for name, task in suite.tasks.items()
    }
    assert min(task.reliability for task in suite.tasks.values()) >= suite.reliability == 0.8
    assert {task.track for task in suite.tasks.values()} == {"generalization", "elasticity", "collapse"}
    assert not suite.left_out.keys() & suite.tasks.keys()
    assert suite.references


def test_noisy_tasks_are_measured_and_left_out():
    assert core_suite().left_out["digits/clustering"] < 0.8


@pytest.mark.slow
def test_the_script_makes_the_release_from_the_committed_records(script, monkeypatch, tmp_path):
    module = script("suite_reliability")
    written = []
    monkeypatch.setattr(module, "write_suite", written.append)
    monkeypatch.setattr(sys, "argv", ["suite_reliability", "--write"])
    assert module.main() == 0
    made, released = written[0], core_suite()
    assert made.tasks.keys() == released.tasks.keys()
    for name, task in made.tasks.items():
        np.testing.assert_allclose((task.centre, task.scale), (released.tasks[name].centre, released.tasks[name].scale))
