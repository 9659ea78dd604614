"""Runs in real processes: what is shared, what is reused, and what becomes of models that misbehave."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from processes import alive, wait_until

import lebench
from lebench import registry
from lebench.artifacts import unpack
from lebench.data.base import Variant
from lebench.errors import LebenchError
from lebench.runner.events import (
    CellDone,
    CellStarted,
    FitDone,
    FitProgress,
    FitStarted,
    JobEnded,
    JobStarted,
    RunStarted,
)
from lebench.runner.execution import execute, pending
from lebench.runner.store import RecordWarning, Store

TOY = Path(__file__).with_name("toy.py")
GIGABYTE = 2**30


def outcome(summary):
    return {record.cell.task: (record.status, record.reason) for record in summary.records}


def test_fit_of_several_tasks_is_made_once_and_costs_each_of_them_in_full(workshop):
    plan = workshop.plan("toy/accuracy", "toy/few", "toy/small", seconds=0.05)
    assert [job.fits for job in plan.jobs] == [2]
    summary = execute(plan, workshop.store, jobs=1)
    assert sorted(points for _, _, points in workshop.fits()) == [6, 20]
    by_task = {record.cell.task: record for record in summary.records}
    assert {name: record.cost.fits for name, record in by_task.items()} == {
        "toy/accuracy": 1,
        "toy/few": 2,
        "toy/small": 1,
    }
    separate = by_task["toy/accuracy"].cost.fit_s + by_task["toy/small"].cost.fit_s
    assert by_task["toy/few"].cost.fit_s == pytest.approx(separate, rel=1e-12)
    # Blobs ten standard deviations apart are told apart.
    assert by_task["toy/few"].metrics == {"accuracy@default": 1.0, "accuracy@n=6": 1.0}
    assert all(record.intact for record in workshop.store.load())


def test_what_is_done_is_not_done_again_unless_forced(workshop):
    first = execute(workshop.plan(seeds=[0, 1]), workshop.store)
    assert (first.done, first.reused, first.left) == (2, 0, 0)
    second = execute(workshop.plan(seeds=[0, 1, 2]), workshop.store)
    assert (second.done, second.reused) == (1, 2)
    third = execute(workshop.plan(seeds=[0, 1, 2]), workshop.store, force=True)
    assert (third.done, third.reused) == (3, 0)
    # What is forced says what it replaces; so it counts wherever folders are merged, whatever their clocks said.
    old = {record.cell.key: (record.checksum,) for record in (*first.records, *second.records)}
    assert {record.cell.key: record.replaces for record in third.records} == old
    assert not any(record.replaces for record in first.records)
    assert sorted(seed for _, seed, _ in workshop.fits()) == [0, 0, 1, 1, 2, 2]
    assert len(workshop.lines()) == 6


def test_seeds_give_different_splits_and_forced_runs_the_same_number(workshop):
    task = workshop.plan("toy/small", seeds=range(3))
    values = [r.metrics for r in sorted(execute(task, workshop.store).records, key=lambda r: r.cell.seed)]
    again = [r.metrics for r in sorted(execute(task, workshop.store, force=True).records, key=lambda r: r.cell.seed)]
    assert values == again


@pytest.mark.parametrize(
    ("deed", "status", "reason"),
    [
        ("exit", "failed", "the worker ended with exit code 3"),
        ("leave", "failed", "SystemExit: 4"),
        ("segfault", "failed", "the worker crashed (SIGSEGV)"),
        ("raise", "failed", "ValueError: no such thing as a second line"),
        ("killed", "out_of_memory", "the worker was killed (SIGKILL), most likely by the system for want of memory"),
        ("refuse", "out_of_memory", "MemoryError: Unable to allocate 256. PiB"),
        ("starve", "out_of_memory", "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"),
        ("surrogate", "failed", r"ValueError: bad \udcff text\x1b[31m\x00"),
        ("unshowable", "failed", "_Unshowable: (its message cannot be shown)"),
        ("recurse", "failed", "RecursionError: maximum recursion depth exceeded"),
        ("scribble", "failed", "something in the process wrote into files of lebench's, or closed them"),
        ("begin-a-message", "failed", "the worker ended before its time: something in it left the process or"),
        ("close", "failed", "the worker ended before its time: something in it left the process or closed its files"),
        ("close-and-wait", "failed", "something in the process wrote into files of lebench's, or closed them"),
        ("children-and-crash", "failed", "the worker crashed (SIGABRT)"),
        ("write", "failed", "ValueError: assignment destination is read-only (the arrays of a split cannot be written"),
        ("write-past-protection", "failed", "the model has changed the arrays of its split, which tasks share: copy"),
    ],
)
def test_failure_takes_only_what_needs_the_same_fit(workshop, deed, status, reason):
    plan = workshop.plan("toy/accuracy", "toy/few", "toy/small", deed=deed)
    summary = execute(plan, workshop.store, jobs=1)
    results = outcome(summary)
    assert results["toy/accuracy"][0] == status
    assert results["toy/accuracy"][1].startswith(reason)
    assert results["toy/few"][0] == status
    assert results["toy/few"][1].startswith(
        f"the fit 'default', which it shares with toy/accuracy, did not succeed: {reason}"
    )
    assert results["toy/small"] == ("ok", "")
    assert (summary.done, len(summary.failures), summary.left) == (1, 2, 0)
    # The fit that failed is not tried again; before the process was ended, it may have begun the other.
    points = [points for _, _, points in workshop.fits()]
    assert (points[0], points.count(20)) == (20, 1)
    log = workshop.store.log_path(summary.records[0]).read_text()
    assert {"raise": "in _raises", "segfault": "about to crash"}.get(deed, "") in log
    assert not any(alive(pid) for pid, _, _ in workshop.fits())


@pytest.mark.parametrize("deed", ["children", "children-and-crash"])
def test_processes_that_a_model_has_left_behind_are_ended(workshop, deed):
    before = sleepers()
    execute(workshop.plan(deed=deed), workshop.store)
    wait_until(lambda: sleepers() <= before)


def sleepers():
    return {process.pid for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "600"]}


def test_what_a_fit_leaves_running_ends_its_own_cell_at_most(workshop):
    # The process ends 0.3 s after the first fit, in the middle of the fit of another cell.
    plan = workshop.plan("toy/accuracy", "toy/small", deed="bomb", seconds=0.5)
    assert outcome(execute(plan, workshop.store)) == {"toy/accuracy": ("ok", ""), "toy/small": ("ok", "")}
    assert [points for _, _, points in workshop.fits()] == [20, 6, 6]


def test_server_that_forks_the_workers_is_killed_by_one_of_them(workshop):
    deeds = {"toy/accuracy": "kill-server", "toy/small": "none"}
    plans = [workshop.plan(task, deed=deed, seconds=1.0) for task, deed in deeds.items()]
    both = replace(plans[0], jobs=plans[0].jobs + plans[1].jobs)
    results = outcome(execute(both, workshop.store, jobs=2))
    assert results["toy/accuracy"][0] == "failed"
    assert results["toy/small"] == ("ok", "")


def test_worker_that_is_stopped_for_a_while_is_not_late(workshop):
    def stop(event):
        if isinstance(event, FitStarted):
            worker = psutil.Process(next(pid for pid in sorted(descendants()) if alive(pid)))
            worker.suspend()
            threading.Timer(3.0, worker.resume).start()

    def descendants():
        return {child.pid for child in psutil.Process().children(recursive=True) if "worker" not in child.name()}

    plan = workshop.plan(seconds=0.5)
    wait_until(lambda: True)
    summary = execute(plan, workshop.store, time_limit=2.5, on_event=stop)
    assert outcome(summary) == {"toy/accuracy": ("ok", "")}


LATE = ("timeout", "stopped after the time limit of 0.5 s")
PROMISED = "the model says that it offers predict, but what its fit returned has no such methods"


@pytest.mark.parametrize(
    ("tasks", "model", "limits", "expected"),
    [
        ("toy/accuracy", {"deed": "stand-still"}, {"time_limit": 0.5}, [LATE]),
        ("toy/accuracy", {"deed": "chatter"}, {}, [("ok", "")]),
        ("toy/accuracy", {"model": "liar"}, {}, [("failed", PROMISED)]),
        ("toy/some", {"deed": "raise"}, {}, [("failed", "ValueError: no such thing as a second line")]),
        ("toy/breaks toy/few", {}, {}, [("failed", "ZeroDivisionError: the score divides by zero"), ("ok", "")]),
        ("toy/undeclared", {}, {}, [("failed", "the score returned error, which the task does not declare")]),
        (
            "toy/outside",
            {},
            {},
            [("failed", "the score cannot be right: accuracy is 1.5, outside of its bounds from 0 to 1")],
        ),
    ],
)
def test_what_becomes_of_a_cell(workshop, tasks, model, limits, expected):
    found = outcome(execute(workshop.plan(*tasks.split(), **model), workshop.store, **limits))
    # On a busy machine the time may be up before the fit begins.
    results = {task: (status, reason.removesuffix(" in the fit 'default'")) for task, (status, reason) in found.items()}
    assert results == dict(zip(tasks.split(), expected, strict=True))


def test_variant_that_may_fail_does_not_take_the_task_with_it(workshop):
    plan = workshop.plan("toy/some", "toy/few", deed="diverge")
    summary = execute(plan, workshop.store)
    results = outcome(summary)
    assert results["toy/few"] == ("failed", "training diverged by epoch 3")
    assert results["toy/some"] == ("ok", "")
    (record,) = [record for record in summary.records if record.status == "ok"]
    assert record.metrics == {"accuracy@n=6": 1.0}
    assert record.missing == {"accuracy@default": "training diverged by epoch 3"}
    assert record.cost.fits == 2


def test_repetition_of_a_variant_is_a_fit_with_a_seed_of_its_own(workshop):
    summary = execute(workshop.plan("toy/again", "toy/accuracy", seeds=[3]), workshop.store)
    assert {record.cell.task: record.cost.fits for record in summary.records} == {"toy/again": 2, "toy/accuracy": 1}
    seeds = [seed for _, seed, _ in workshop.fits()]
    assert seeds == [3, Variant("again", repetition=1).fit_seed(3)]


def test_failure_is_recorded_but_tried_again(workshop):
    plan = workshop.plan(deed="raise")
    for times in (1, 2):
        assert outcome(execute(plan, workshop.store))["toy/accuracy"][0] == "failed"
        assert len(workshop.fits()) == times
    assert [record.status for record in workshop.store.load()] == ["failed", "failed"]


@pytest.mark.parametrize("deed", ["hang", "hang-in-c"])
def test_time_limit(workshop, deed):
    plan = workshop.plan("toy/accuracy", "toy/small", deed=deed)
    results = outcome(execute(plan, workshop.store, time_limit=2))
    assert results["toy/accuracy"] == ("timeout", "stopped after the time limit of 2 s in the fit 'default'")
    assert results["toy/small"] == ("ok", "")


def test_thread_that_a_model_leaves_running_does_not_keep_the_run(workshop):
    summary = execute(workshop.plan(deed="linger"), workshop.store, time_limit=30)
    assert outcome(summary) == {"toy/accuracy": ("ok", "")}
    assert not any(alive(pid) for pid, _, _ in workshop.fits())


def test_memory_limit(workshop):
    plan = workshop.plan("toy/accuracy", "toy/small", deed="eat")
    results = outcome(execute(plan, workshop.store, memory_limit=GIGABYTE))
    assert results["toy/accuracy"][0] == "out_of_memory"
    assert results["toy/accuracy"][1].endswith("of memory, over 1024 MiB in the fit 'default'")
    assert results["toy/small"] == ("ok", "")


def test_error_in_a_score_leaves_the_fit_to_other_tasks(workshop):
    execute(workshop.plan("toy/breaks", "toy/few"), workshop.store)
    assert [points for _, _, points in workshop.fits()] == [20, 6]


def test_metric_without_a_value_has_a_reason(workshop):
    (record,) = execute(workshop.plan("toy/missing"), workshop.store).records
    assert record.metrics == {}
    assert record.missing == {"accuracy": "its value is nan", "error": "it is not asked for"}


def test_arrays_behind_the_values_are_kept_with_their_checksums(workshop):
    summary = execute(workshop.plan("toy/arrays"), workshop.store)
    (record,) = summary.records
    arrays = unpack(workshop.store.artifacts(record), record.pictured)
    split = registry.datasets.get("toy").split(0)
    np.testing.assert_array_equal(arrays["points"], split.x_train.astype("f4"))
    np.testing.assert_array_equal(arrays["labels"], split.y_train)


def test_variant_that_changes_the_recipe_is_for_models_that_have_one(workshop):
    plan = workshop.plan("toy/slow")
    assert not plan.jobs
    assert [cell.unmet for cell in plan.skipped] == [
        "varies how a network is trained, and the model is not trained step by step"
    ]


def test_task_names_the_models_that_it_fits_itself(workshop):
    results = outcome(execute(workshop.plan("toy/referring", "toy/secretive"), workshop.store))
    assert results["toy/referring"] == ("ok", "")
    status, reason = results["toy/secretive"]
    assert status == "failed"
    assert reason.startswith("the score of toy/secretive fits the model constant, which the task does not name")


def test_task_whose_needs_are_not_met_is_skipped_with_the_reason(workshop):
    plan = workshop.plan("toy/gram")
    assert plan.jobs == ()
    summary = execute(plan, workshop.store)
    assert outcome(summary) == {
        "toy/gram": ("skipped", "needs the capability gram, which the model does not offer"),
    }
    assert (summary.skipped, summary.done, summary.failures) == (1, 0, ())
    assert execute(plan, workshop.store).reused == 1


def test_events_tell_the_course_of_a_run(workshop):
    events = []
    execute(workshop.plan("toy/few", "toy/gram"), workshop.store, jobs=1, on_event=events.append)
    assert [type(event) for event in events] == [
        RunStarted,
        CellDone,
        JobStarted,
        CellStarted,
        FitStarted,
        FitProgress,
        FitDone,
        FitStarted,
        FitProgress,
        FitDone,
        CellDone,
        JobEnded,
    ]
    assert events[0] == RunStarted(cells=1, fits=2, reused=0, skipped=1, workers=1)
    assert [event.variant for event in events if isinstance(event, FitStarted)] == ["default", "n=6"]
    assert events[5].values == {"epoch": 1.0, "loss": 0.5}
    assert [event.left for event in events if isinstance(event, CellDone)] == [1, 0]


def test_truncated_and_edited_records_are_named_and_computed_again(workshop):
    plan = workshop.plan(seeds=range(3))
    execute(plan, workshop.store)
    (file,) = workshop.folder.glob("records/*.jsonl")
    seeds = {json.loads(line)["cell"]["seed"]: line for line in workshop.lines()}
    truncated, edited = seeds[0][:100], seeds[1].replace('"accuracy@default":1', '"accuracy@default":0.5')
    file.write_text(f"{truncated}\n{edited}\n{seeds[2]}\n")
    store = Store(workshop.folder)
    with pytest.warns(RecordWarning) as caught:
        jobs, _ = pending(plan, store)
    assert [str(w.message).split(" of ")[0] for w in caught] == ["line 1", "line 2"]
    assert [job.seed for job in jobs] == [0, 1]
    summary = execute(plan, store)
    assert (summary.done, summary.reused) == (2, 1)
    assert {record.metrics["accuracy@default"] for record in store.load()} == {1.0}
    # What was there is there still.
    assert file.read_text() == f"{truncated}\n{edited}\n{seeds[2]}\n"


def test_unwritable_folder_is_an_error_before_anything_is_computed(workshop, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LebenchError, match=r"cannot write to the results folder .*Not a directory"):
        execute(workshop.plan(), Store(tmp_path / "file" / "results"))
    assert workshop.fits() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"jobs": 0}, "jobs must be at least 1"), ({"time_limit": 0.0}, "positive"), ({"memory_limit": -1}, "positive")],
)
def test_limits_without_sense(workshop, options, message):
    with pytest.raises(LebenchError, match=message):
        execute(workshop.plan(), workshop.store, **options)


def test_shards_of_a_run_together_are_the_run(workshop):
    for number in (1, 2, 3):
        lebench.run(
            workshop.spec(), "toy/accuracy", "0-3,9", shard=f"{number}/3", results=workshop.folder, plugins=[TOY]
        )
    assert sorted(record.cell.seed for record in workshop.store.load()) == [0, 1, 2, 3, 9]
    assert len(workshop.fits()) == 5
    assert execute(workshop.plan(seeds=[0, 1, 2, 3, 9]), workshop.store).reused == 5


def test_run_is_a_function_of_the_package_whatever_was_imported_before():
    for _ in range(2):
        with pytest.raises(LebenchError, match="unknown model 'nothing-of-this-name'"):
            lebench.run("nothing-of-this-name")
    assert lebench.runner.execution.execute is execute
