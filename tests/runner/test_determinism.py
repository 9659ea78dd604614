"""The records of a plan are the same, whatever was computed before or beside them, and where."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lebench.runner.events import ModelChecked
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

PLUGIN = Path(__file__).with_name("drawing.py")
MODELS = ["drawing[draws=random]", "drawing[draws=numpy,times=3]", "drawing[draws=normal,times=2]"]
TASKS = ["drawn/one", "drawn/two", "drawn/few"]


def outcomes(store):
    return {
        record.cell.key: (record.status, record.metrics, {name: a.sha256 for name, a in record.artifacts.items()})
        for record in store.load()
    }


@pytest.fixture(scope="module")
def plan():
    return make_plan(TASKS, MODELS, [0, 1], plugins=[PLUGIN])


@pytest.fixture(scope="module")
def alone(plan, tmp_path_factory):
    """Each cell computed in a process of its own."""
    store = Store(tmp_path_factory.mktemp("alone"))
    single = tuple(replace(job, cells=(cell,)) for job in plan.jobs for cell in job.cells)
    assert not execute(replace(plan, jobs=single), store).failures
    found = outcomes(store)
    # Nothing is compared with itself: each cell has another value.
    assert len({tuple(metrics.values()) for _, metrics, _ in found.values()}) == len(plan.cells) == len(found)
    return found


@st.composite
def shards(draw, plan):
    """Return the cells of a plan in shards, jobs and cells in any order, and the order in which they are merged."""
    number = draw(st.integers(1, 3))
    parts = [[] for _ in range(number)]
    for job in draw(st.permutations(plan.jobs)):
        cells = draw(st.permutations(job.cells))
        where = [draw(st.integers(0, number - 1)) for _ in cells]
        for shard, part in enumerate(parts):
            own = tuple(cell for cell, place in zip(cells, where, strict=True) if place == shard)
            if own:
                part.append(replace(job, cells=own))
    return [(replace(plan, jobs=tuple(part)), draw(st.integers(1, 3))) for part in draw(st.permutations(parts))]


def check(data, plan, alone, folder):
    merged = folder / "merged"
    for place, (shard, jobs) in enumerate(data.draw(shards(plan))):
        own = folder / str(place)
        execute(shard, Store(own), jobs=jobs)
        shutil.copytree(own, merged, dirs_exist_ok=True)
    assert outcomes(Store(merged)) == alone
    shutil.rmtree(folder)


#: A failure is not made smaller: that takes minutes of processes.
common = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.explicit, Phase.generate]}


@settings(max_examples=3, **common)
@given(data=st.data())
def test_any_order_any_processes_any_shards_give_the_same_records(data, plan, alone, tmp_path_factory):
    check(data, plan, alone, tmp_path_factory.mktemp("shards"))


@pytest.mark.slow
@settings(max_examples=40, **common)
@given(data=st.data())
def test_many_orders_processes_and_shards_give_the_same_records(data, plan, alone, tmp_path_factory):
    check(data, plan, alone, tmp_path_factory.mktemp("shards"))


def test_dropout_draws_from_the_seed_whichever_fit_imports_torch(tmp_path):
    plan = make_plan(TASKS, ["drawing[draws=dropout]"], [0], plugins=[PLUGIN])
    execute(plan, Store(tmp_path / "together"), jobs=1)
    backwards = tuple(replace(job, cells=(cell,)) for job in plan.jobs for cell in reversed(job.cells))
    execute(replace(plan, jobs=backwards), Store(tmp_path / "alone"), jobs=2)
    together, alone = (outcomes(Store(tmp_path / name)) for name in ("together", "alone"))
    assert together == alone
    assert {status for status, _, _ in alone.values()} == {"ok"}


def test_models_that_differ_when_fitted_twice_are_marked(workshop):
    steady, varying = (workshop.plan("toy/few", "toy/small", "toy/breaks", deed=deed) for deed in ("none", "vary"))
    both = replace(steady, jobs=steady.jobs + varying.jobs)
    events = []
    summary = execute(both, workshop.store, check_determinism=True, on_event=events.append)
    marked = {(record.label, record.deterministic) for record in summary.records}
    assert marked == {(steady.jobs[0].label, True), (varying.jobs[0].label, False)}
    # The cheapest cell is that with one fit on six points.
    assert [points for _, _, points in workshop.fits()][:4] == [6] * 4
    checked = {event.label: (event.task, event.deterministic) for event in events if isinstance(event, ModelChecked)}
    assert checked == {steady.jobs[0].label: ("toy/small", True), varying.jobs[0].label: ("toy/small", False)}
    assert {record.deterministic for record in workshop.store.load()} == {True, False}


def test_model_whose_cheapest_cell_fails_is_not_marked(workshop):
    summary = execute(workshop.plan("toy/small", deed="raise", on=6), workshop.store, check_determinism=True)
    assert [record.deterministic for record in summary.records] == [None]
