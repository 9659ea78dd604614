"""Records run again from scratch: of an honest entry, a tampered one, a stale one, a plug-in; what is put on record."""

import os
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from lebench import registry
from lebench.board import (
    Check,
    EntryError,
    EntryInfo,
    read_verification,
    verified,
    write_entry,
)
from lebench.board.verification import LARGEST, NAME
from lebench.cli import rerunning
from lebench.errors import LebenchError
from lebench.registry import Registry
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store
from lebench.verify import available, draw, make_verification, not_of_lebench, recompute, run_again, validate

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests/runner/toy.py"
KNN, TASKS = "knn", ("digits/accuracy", "digits/small-n")


def made_by(folder, model, tasks, seeds, plugins=()):
    """Return the records of a real run, with their recordings by cell."""
    store = Store(folder)
    records = execute(make_plan(tasks, [model], seeds, plugins=plugins), store, jobs=1).records
    assert {record.status for record in records} == {"ok"}
    return records, {record.cell.key: store.recording(record) for record in records}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Records of a model in closed form: two tasks, three seeds; those of seed 0 have recordings."""
    return made_by(tmp_path_factory.mktemp("run") / "results", KNN, TASKS, [0, 1, 2])


@pytest.fixture
def write(run, tmp_path):
    """A function that writes an entry of the records, changed and sealed again as a forger would."""

    def write(change=lambda record: {}, run=run, model=KNN, name="mine"):
        records = [record.model_copy(update=change(record)).sealed() for record in run[0]]
        recordings = {
            new.cell.key: run[1][old.cell.key]
            for new, old in zip(records, run[0], strict=True)
            if old.cell.key in run[1]
        }
        info = EntryInfo(name=name, model=model, authors=["A. Author"], lebench="0.1.0", command="lebench run")
        return write_entry(tmp_path / "entries", name, records, info, {}, recordings)

    return write


def verify(entry, time_limit=600.0, **options):
    (checked,) = rerunning.verify(paths=[entry.folder], jobs=1, time_limit=time_limit, **options)
    return checked


def only(task, seed, **changes):
    """Change one record."""
    return lambda record: changes if (record.cell.task, record.cell.seed) == (task, seed) else {}


def better(record_of, task="digits/accuracy", seed=1, points=9):
    """Claim that more test points are right, as consistently as a forger can."""
    (record,) = (r for r in record_of if (r.cell.task, r.cell.seed) == (task, seed))
    gained = points / 450
    metrics = record.metrics | {
        "accuracy": record.metrics["accuracy"] - gained,
        "error": record.metrics["error"] + gained,
    }
    return only(task, seed, metrics=metrics)


def test_an_honest_entry_is_re_run(write, capsys):
    entry = write()
    assert verified(entry).status == "claimed"
    assert verify(entry, rerun="3", seed="a text", write=True).holds
    said = capsys.readouterr().out
    assert "3 of 6 records are run again, drawn by 'a text'" in said
    assert "3 of 3 records that were run again agree, 3 of them exactly" in said
    assert "mine is re-run (3 of 6 records run again, 6 of 6 recomputed)" in said
    found = verified(entry)
    assert (found.status, found.rerun, found.recomputed, found.recordings, found.total) == ("re-run", 3, 6, 6, 6)
    assert (found.differing, found.reason, found.seed) == (0, "", "a text")
    assert validate(entry.folder) == []
    # The same findings are the same bytes.
    first = (entry.folder / NAME).read_bytes()
    assert verify(entry, rerun="3", seed="a text", write=True).holds
    assert (entry.folder / NAME).read_bytes() == first
    # Recomputing alone would forget what was run again.
    with pytest.raises(LebenchError, match="run again on record"):
        verify(entry, write=True)


def _without_recording(entry):
    """Remove the recording of the record that :func:`better` changes."""
    (record,) = [r for r in entry.records if (r.cell.task, r.cell.seed) == ("digits/accuracy", 1)]
    entry.recording_path(record).unlink()
    return entry


def test_a_tampered_metric_without_a_recording_is_caught_by_running_all_again(write, run, capsys):
    entry = _without_recording(write(better(run[0])))
    assert verify(entry).holds
    assert "5 of 5 records with a recording agree; 1 has none" in capsys.readouterr().out
    assert not verify(entry, rerun="all", seed="x", write=True).holds
    said = capsys.readouterr().out
    assert "digits/accuracy seed 1: accuracy is claimed as 0." in said
    assert "5 of 6 records that were run again agree" in said
    found = verified(entry)
    assert (found.status, found.differing, found.rerun) == ("claimed", 1, 5)
    assert "1 record checked, and not in agreement" in found.reason


def test_a_record_that_changes_after_it_was_checked_loses_its_status(write, run):
    entry = write()
    reruns = run_again(entry, draw(entry, None, "x"), jobs=1)
    document = make_verification(entry, recompute(entry), reruns, "x")

    def status_of(changed):
        (changed.folder / NAME).write_bytes(_bytes(document, changed))
        return verified(changed)

    assert status_of(entry).status == "re-run"
    # A record without a recording: those with one are still what was recomputed, but nothing was drawn from these.
    found = status_of(_without_recording(write(better(run[0]))))
    assert (found.status, found.rerun) == ("recomputed", 5)
    assert found.reason == "records have changed since some of them were drawn to be run again"
    # A record with one: nobody has computed it again.
    found = status_of(write(better(run[0], seed=0)))
    assert (found.status, found.rerun, found.recomputed) == ("claimed", 5, 5)
    assert "1 record with a recording not computed again since the last change" in found.reason


def _bytes(document, entry):
    from lebench.board import write_verification

    return write_verification(entry, document).read_bytes()


def test_status_says_what_was_not_checked(write):
    entry = write()
    recomputed = list(recompute(entry))
    by_classes = make_verification(entry, [replace(each, rule="classes") for each in recomputed])
    assert {check.tolerance for check in by_classes.checks} == {"classes"}

    def status_of(checks=(), recomputed=recomputed):
        document = make_verification(entry, recomputed)
        _bytes(document.model_copy(update={"checks": [*document.checks, *checks]}), entry)
        found = verified(entry)
        return found.status, found.reason

    record = entry.records[1]
    left = Check(cell=record.cell.key, record=record.checksum, how="re-run", verdict="not checked", reason="timeout")
    assert status_of() == ("recomputed", "no record was run again")
    assert status_of([left]) == ("recomputed", "not every record that was drawn could be run again")
    assert status_of(recomputed=[])[0] == "claimed"
    # What is said of a record that the entry has not counts for nothing.
    assert status_of([left.model_copy(update={"cell": "0" * 64, "verdict": "differs"})])[0] == "recomputed"
    entry.recording_path(entry.records[0]).unlink()
    assert verified(entry).recordings == 5


def test_draws_are_decided_by_the_text_and_spread_over_tasks(write):
    entry = write()
    keys = [record.cell.key for record in draw(entry, None, "one")]
    assert sorted(keys) == sorted(record.cell.key for record in entry.records)
    assert keys == [record.cell.key for record in draw(entry, 99, "one")]
    assert keys[:3] == [record.cell.key for record in draw(entry, 3, "one")]
    # However it is drawn, no task has two records before each has one.
    assert all({r.cell.task for r in draw(entry, 2, f"{number}")} == set(TASKS) for number in range(50))
    # Each of six records comes first in about a sixth of 600 draws: six standard deviations are 55.
    first = Counter(draw(entry, 1, f"{number}")[0].cell.key for number in range(600))
    assert len(first) == 6
    assert all(abs(count - 100) < 55 for count in first.values())


def test_records_of_other_versions_are_not_drawn(write):
    entry = write(lambda record: {"cell": record.cell.model_copy(update={"model_version": 0})})
    assert draw(entry, None, "x") == ()


def test_other_code_of_a_plug_in_is_said(write, run, capsys):
    def change(record):
        return {"cell": record.cell.model_copy(update={"plugin": "0" * 64})}

    entry = write(change)
    (first,) = draw(entry, 1, "x")
    (again,) = run_again(entry, [first], jobs=1)
    assert (again.verdict, again.rule, again.reason) == ("agrees", "exact", "was made by other code of the plug-in")
    wrong = {"metrics": {name: value + 0.05 for name, value in first.metrics.items()}}
    entry = write(lambda record: change(record) | (wrong if record.cell.seed == first.cell.seed else {}))
    (again,) = run_again(entry, [r for r in entry.records if r.cell.key == first.cell.key], jobs=1)
    assert again.verdict == "differs"
    assert again.reason.endswith("; was made by other code of the plug-in")


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"label": "constant"}, "not checked", "the label 'constant' is not of the model 'knn'"),
        ({"label": "*"}, "not checked", "the label '*' is not of the model 'knn'"),
        ({"label": "knn[k=0]"}, "not checked", "k=0 is not allowed"),
        ({"label": "knn[k=5]"}, "differs", "knn[k=5] on numpy has not the params that the record names"),
        ({"label": "knn[" + "[" * 50}, "not checked", "is not of the form"),
    ],
)
def test_a_label_that_does_not_make_the_cell_is_not_run(write, change, verdict, reason):
    entry = write(lambda record: change)
    (again,) = run_again(entry, entry.records[:1], jobs=1)
    assert (again.verdict, again.again) == (verdict, None)
    assert reason in again.reason


def test_a_model_that_cannot_do_the_task_has_no_such_record(write):
    cell = {"task": "digits/collapse"}
    entry = write(
        lambda record: {"cell": record.cell.model_copy(update=cell)} if record.cell.task == "digits/accuracy" else {}
    )
    (again,) = run_again(entry, [r for r in entry.records if r.cell.task == "digits/collapse"][:1], jobs=1)
    assert again.verdict == "differs"
    assert "the model cannot do the task" in again.reason


def test_records_whose_data_is_absent_are_not_checked(write, monkeypatch, tmp_path, capsys):
    elsewhere = replace(registry.datasets.get("mnist"))
    monkeypatch.setitem(registry.datasets._objects, "mnist", elsewhere)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("LEBENCH_DATA", str(empty))
    task = registry.tasks.get("mnist/clustering-5v8").name
    entry = write(
        lambda record: (
            {"cell": record.cell.model_copy(update={"task": task})} if record.cell.task == "digits/small-n" else {}
        )
    )
    here, absent = available(entry)
    assert {record.cell.task for record in here.records} == {"digits/accuracy"}
    assert "lebench data fetch" in absent[task] or "LEBENCH_DATA" in absent[task]
    (again,) = run_again(entry, [r for r in entry.records if r.cell.task == task][:1], jobs=1)
    assert again.verdict == "not checked"
    assert absent[task] in again.reason


@pytest.fixture
def plugin(tmp_path, monkeypatch, write):
    """An entry of a plug-in's model, its diary of fits, and a function that makes lebench forget the plug-in."""
    registry.load_plugin(TOY)
    diary = tmp_path / "diary"
    spec = f"toy[diary={diary}]"
    entry = write(run=made_by(tmp_path / "toy", spec, ["toy/accuracy"], [0, 1], [TOY]), model=spec, name="toy")

    def forget():
        copy = Registry("model", index={})
        copy._items = {name: item for name, item in registry.models._items.items() if name != "toy"}
        copy._objects = {name: found for name, found in registry.models._objects.items() if name != "toy"}
        monkeypatch.setattr(registry, "models", copy)

    return entry, lambda: len(diary.read_text().splitlines()), forget


def test_a_plug_in_is_run_only_if_it_is_given(plugin, capsys):
    entry, fits, forget = plugin
    assert fits() == 2
    assert verify(entry, rerun="all", seed="x", write=True).holds
    assert fits() == 4
    assert verified(entry).status == "re-run"
    forget()
    capsys.readouterr()
    assert "none of lebench's" in not_of_lebench(entry)
    with pytest.raises(LebenchError, match="--plugin"):
        run_again(entry, entry.records, jobs=1)
    (entry.folder / NAME).unlink()
    assert verify(entry, rerun="all", seed="x", write=True).holds
    assert fits() == 4
    assert "no record was run again: the model 'toy' is none of lebench's" in capsys.readouterr().out
    assert verified(entry).status == "recomputed"


def test_a_model_of_an_installed_package_is_not_run(plugin, monkeypatch):
    entry, _, _ = plugin
    item = registry.models.item("toy")
    monkeypatch.setitem(
        registry.models._items, "toy", replace(item, source="a-package", target="a_package:Toy", plugin="")
    )
    assert "belongs to a-package, not to lebench" in not_of_lebench(entry)


@pytest.mark.parametrize(
    ("deed", "limit", "verdict", "reason"),
    [
        ("hang", 2.0, "not checked", "timeout: stopped after the time limit of 2 s"),
        ("raise", 600.0, "differs", "the run has failed: ValueError: no such thing as a second line"),
    ],
)
def test_a_run_that_ends_badly(plugin, write, run, tmp_path, deed, limit, verdict, reason):
    entry, _, _ = plugin
    params = entry.records[0].cell.params | {"deed": deed}
    bad = write(
        lambda record: {
            "label": f"toy[deed={deed},diary={params['diary']}]",
            "cell": record.cell.model_copy(update={"params": params}),
        },
        run=(entry.records, {}),
        model="toy",
        name="bad",
    )
    (again,) = run_again(bad, bad.records[:1], jobs=1, time_limit=limit)
    assert again.verdict == verdict
    assert again.reason.startswith(reason)


def _link(path):
    outside = path.parents[1] / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def _fifo(path):
    path.unlink()
    os.mkfifo(path)


def _edit(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (_link, "not a regular file"),
        (_fifo, "not a regular file"),
        (_edit(lambda text: text + b" " * LARGEST), "has 2,00"),
        (_edit(lambda text: b"[" * 100_000), "content"),
        (_edit(lambda text: b"\xff" + text), "content"),
        (_edit(lambda text: text.replace(b"\n", b"\r\n")), "not as lebench writes it"),
        (_edit(lambda text: text.replace(b'"seed": ""', b'"seed": "a",\n "seed": ""')), "not as lebench writes it"),
        (_edit(lambda text: text.replace(b'"schema": 1', b'"schema": 2')), "schema"),
        (_edit(lambda text: text.replace(b'"seed": ""', b'"more": ""')), "seed"),
        (
            _edit(lambda text: text.replace(b'"seed": ""', b'"seed": "", "\xe2\x80\xae": ""')),
            r"content: \u202e: there is no such field",
        ),
        (_edit(lambda text: text.replace(b'"deviation":0.0', b'"deviation":NaN')), "deviation"),
        (_edit(lambda text: text.replace(b'"deviation":0.0', b'"deviation":-1.0')), "deviation"),
        (_edit(lambda text: text.replace(b'"reason":""', b'"reason":"' + b"x" * 301 + b'"')), "reason"),
        (_edit(lambda text: text.replace(b'"how":"recomputed"', b'"how":"believed"')), "how"),
    ],
)
def test_a_document_that_lebench_did_not_write_is_refused(write, damage, line):
    entry = write()
    rows = [replace(each, value="", deviation=0.0) for each in recompute(entry)]
    _bytes(make_verification(entry, rows), entry)
    assert validate(entry.folder) == []
    assert verified(entry).status == "recomputed"
    damage(entry.folder / NAME)
    with pytest.raises(EntryError):
        read_verification(entry.folder)
    (violation,) = validate(entry.folder)
    assert violation.file == NAME
    assert line in str(violation)
    found = verified(entry)
    assert found.status == "claimed"
    assert found.reason.isprintable()
    assert found.reason.startswith("its record of checks is not used: ")


def test_nothing_is_drawn_by_chance_and_bad_options_are_named(write, monkeypatch):
    entry = write()
    for options, message in [
        ({"rerun": "0"}, "--rerun must be a whole number"),
        ({"rerun": "many"}, "--rerun must be a whole number"),
        ({"seed": "x"}, "add --rerun"),
        ({"rerun": "1", "seed": ""}, "--seed must be a line"),
        ({"rerun": "1", "seed": "a\nb"}, "--seed must be a line"),
    ]:
        with pytest.raises(LebenchError, match=message):
            verify(entry, **options)
    # An entry in a repository is drawn from by the commit that is checked out there.
    git = ["git", "-C", str(entry.folder), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert rerunning._commit(entry.folder) == head
