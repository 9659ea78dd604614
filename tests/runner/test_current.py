"""Which records are current, whatever the order in which they are read."""

import itertools
from dataclasses import replace

import pytest

from lebench.records import RunInfo
from lebench.runner.current import current


@pytest.fixture
def made(make_record):
    """A function that makes a record that finished on a day of January."""

    def made(day=1, accuracy=0.5, **changes):
        finished = f"2026-01-{day:02}T00:00:00Z"
        run = RunInfo(started="2026-01-01T00:00:00Z", finished=finished, command="lebench run")
        metrics = {} if changes.get("status", "ok") != "ok" else {"accuracy": accuracy, "norm": 1.0}
        return make_record(metrics=metrics, run=run, **changes)

    return made


def of(*records):
    """Return what is current, which is the same in every order."""
    found = [current(order) for order in itertools.permutations(records)]
    assert all(each == found[0] for each in found)
    return found[0]


def test_records_of_different_cells_stand_side_by_side_in_order(made):
    records = [made(seed=1), made(seed=0), made(label="linear"), made(task="toy/collapse")]
    found = of(*records)
    assert [(r.cell.task, r.label, r.cell.seed) for r in found.records] == [
        ("toy/accuracy", "linear", 0),
        ("toy/accuracy", "mlp", 0),
        ("toy/accuracy", "mlp", 1),
        ("toy/collapse", "mlp", 0),
    ]
    assert (found.outdated, found.conflicts, found.notes) == ({}, (), [])


def test_records_of_other_versions_are_counted_and_named(made):
    found = of(made(seed=0, task_version=2), made(seed=1, task_version=2), made(seed=0, model_version=0), made())
    assert len(found.records) == 1
    assert found.outdated == {
        "mlp: made by code from before versions, today's is version 1": 1,
        "toy/accuracy: made by version 2, today's is version 1": 2,
    }
    (note,) = found.notes
    assert note == (
        "3 records are outdated and left out: mlp: made by code from before versions, today's is version 1 (1); "
        "toy/accuracy: made by version 2, today's is version 1 (2)"
    )


def test_what_is_not_registered_here_has_no_other_version(made):
    strange = made(label="somebody-s", model_version=3)
    assert of(strange).records == (strange,)


def test_a_copy_is_the_same_record_and_equal_values_are_one_the_newest(made):
    old, new = made(1), made(2)
    assert of(old, old).records == (old,)
    assert of(old, new).records == (new,)
    # Within what running again may change in a network on another processor: one percent.
    close = made(3, 0.5001)
    assert of(old, new, close).records == (close,)


def test_equal_records_of_several_machines_are_named(made):
    old = made(1)
    other = old.environment.model_copy(update={"gpu": "NVIDIA H200", "packages": {"numpy": "9.9"}})
    here = old.environment.packages["numpy"]
    found = of(old, made(2, environment=other))
    assert len(found.records) == 1
    assert found.machines == {"device CPU and NVIDIA H200": 1, f"numpy {here} and 9.9": 1}
    (note,) = found.notes
    assert note.startswith("some cells have equal records of several machines, the newest is used: device CPU and NV")
    # Other seeds on other machines are what anybody expects.
    assert of(old, made(2, seed=1, environment=other)).notes == []


def test_values_that_differ_are_a_conflict_and_none_is_current(made):
    found = of(made(1, 0.5), made(2, 0.7), made(seed=1))
    assert [record.cell.seed for record in found.records] == [1]
    (conflict,) = found.conflicts
    assert [record.metrics["accuracy"] for record in conflict.records] == [0.7, 0.5]
    (note,) = found.notes
    assert note.startswith("mlp on toy/accuracy, torch, seed 0: records of 2026-01-02T00:00:00Z and 2026-01-01T")
    assert "accuracy is claimed as 0.5, run again as 0.7" in note
    assert note.endswith("'lebench run --force' settles it")


def test_other_seeds_say_how_far_values_may_be_apart(made):
    # Three times the standard deviation of 0.1, 0.5 and 0.9.
    others = [made(seed=seed, accuracy=value) for seed, value in ((1, 0.1), (2, 0.5), (3, 0.9))]
    assert len(of(made(1, 0.5), made(2, 0.7), *others).records) == 4


def test_a_conflict_is_settled_by_a_record_that_replaces_the_others_whatever_the_clock_says(made):
    first, second = made(1, 0.5), made(2, 0.7)
    forced = made(1, 0.6, replaces=(first.checksum, second.checksum))
    found = of(first, second, forced)
    assert (found.records, found.conflicts) == ((forced,), ())
    # A later contradiction is one again.
    assert len(of(first, second, forced, made(3, 0.9)).conflicts) == 1


def test_a_failure_replaces_no_score(made):
    score = made(1)
    assert of(score, made(2, status="failed", replaces=(score.checksum,))).records == (score,)
    late = made(3, status="timeout")
    assert of(made(2, status="failed"), late).records == (late,)
    skipped = made(1, status="skipped")
    assert of(skipped, late).records == (skipped,)


def test_two_that_replace_each_other_do_not_hide_both(made):
    one = made(1, 0.5)
    other = made(2, 0.7, replaces=(one.checksum,))
    # No record can name one that names it; a forger may try.
    forged = one.model_copy(update={"replaces": (other.checksum,)})
    assert len(current([forged, other]).conflicts) + len(current([forged, other]).records) == 1


def test_code_of_a_plug_in_is_not_mixed(made):
    old = [made(1, 0.5, seed=seed, plugin="a" * 64) for seed in range(2)]
    new = made(2, 0.9, seed=0, plugin="b" * 64)
    found = of(*old, new)
    assert found.records == (new,)
    assert found.outdated == {"mlp on digits: made by other code of its plug-in": 2}


def test_code_of_a_plug_in_that_is_loaded_counts_whatever_is_newer(made, catalogue, monkeypatch):
    item = replace(catalogue.models.item("mlp"), plugin="lebench_plugin_mine", source="mine.py")
    monkeypatch.setitem(catalogue.models._items, "mlp", item)
    for task in catalogue.tasks.names():
        monkeypatch.setitem(catalogue.tasks._items, task, replace(catalogue.tasks.item(task), source="lebench"))
    monkeypatch.setattr("lebench.runner.current.plugin_identity", lambda wanted: "a" * 64)
    old, new = made(1, 0.5, plugin="a" * 64), made(2, 0.9, plugin="b" * 64)
    assert of(old, new).records == (old,)
    # Nothing of today's code is there: the code of another day does not stand in for it.
    assert of(new).records == ()


def test_another_version_of_the_data_is_not_mixed(make_record, made):
    old = made(1)
    cell = old.cell.model_copy(update={"dataset_sha256": "0" * 64, "seed": 1})
    new = made(2).model_copy(update={"cell": cell}).sealed()
    found = of(old, new)
    assert found.records == (new,)
    assert found.outdated == {"mlp on digits: made on other data": 1}
