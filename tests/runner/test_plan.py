"""Plans: cells, jobs, what they share and what a bad request is told."""

import runpy
import sys
from pathlib import Path

import pytest

from lebench.errors import LebenchError, ParameterError, UnknownNameError
from lebench.runner.plan import make_plan
from lebench.runner.session import Session
from lebench.runner.shares import Shard

TOY = Path(__file__).with_name("toy.py")
MODEL = "toy[diary=/nowhere]"


def plan(tasks=("toy/accuracy",), models=(MODEL,), seeds=(0,), **options):
    return make_plan(tasks, models, seeds, plugins=[TOY], **options)


def test_cells_of_a_model_dataset_and_seed_are_a_job_and_seeds_come_first():
    made = plan(["toy/*"], [MODEL, "toy[diary=/nowhere,on=3]"], [1, 0])
    assert [(job.seed, job.label) for job in made.jobs] == [
        (0, "toy[diary=/nowhere]"),
        (0, "toy[diary=/nowhere,on=3]"),
        (1, "toy[diary=/nowhere]"),
        (1, "toy[diary=/nowhere,on=3]"),
    ]
    # Two sizes, and the same two where the fit may fail: what becomes of a failure differs, so they are not shared. And
    # a repetition.
    assert {job.fits for job in made.jobs} == {5}
    assert [cell.cell.task for cell in made.jobs[0].cells] == [
        "toy/accuracy",
        "toy/again",
        "toy/arrays",
        "toy/breaks",
        "toy/few",
        "toy/missing",
        "toy/outside",
        "toy/referring",
        "toy/secretive",
        "toy/small",
        "toy/some",
        "toy/undeclared",
    ]
    assert {cell.cell.task for cell in made.skipped} == {"toy/gram", "toy/slow"}
    assert len(made.cells) == 4 * 14
    assert len({cell.cell.key for cell in made.cells}) == len(made.cells)


@pytest.mark.parametrize("here", [True, False])
def test_shards_are_a_partition_whichever_files_are_here(monkeypatch, here):
    asked = (["toy/*", "digits/accuracy"], [MODEL, "toy[diary=/nowhere,on=3]"], range(5))
    with_all = [plan(*asked, shard=Shard(number, 3)) for number in (1, 2, 3)]
    if not here:
        monkeypatch.setattr(
            "lebench.runner.plan._unavailable", lambda datasets: {"digits": "no files"} if datasets else {}
        )
    whole = plan(*asked)
    shares = [plan(*asked, shard=Shard(number, 3)) for number in (1, 2, 3)]
    keys = [{cell.cell.key for cell in share.cells} for share in shares]
    assert set().union(*keys) == {cell.cell.key for cell in whole.cells}
    assert sum(map(len, keys)) == len(whole.cells)
    # Where files are missing, a shard has the rest of the same cells.
    assert all(some <= {cell.cell.key for cell in all_.cells} for some, all_ in zip(keys, with_all, strict=True))


def test_same_model_written_in_two_ways_is_one():
    assert len(plan(models=[MODEL, "toy[on=20,diary=/nowhere]"]).jobs) == 1


def test_seed_and_parameters_are_part_of_the_identity_and_the_plan_is_reproducible():
    keys = [cell.cell.key for cell in plan(seeds=[0, 1]).cells]
    assert keys == [cell.cell.key for cell in plan(seeds=[0, 1]).cells]
    (other,) = plan(models=["toy[diary=/nowhere,on=3]"]).cells
    assert len({*keys, other.cell.key}) == 3
    assert other.cell.params == {"diary": "/nowhere", "deed": "none", "on": 3, "seconds": 0.0}
    assert (other.cell.backend, other.cell.precision) == ("numpy", "float64")


def test_workers_are_told_what_registers_the_planned_objects():
    made = plan()
    assert [plugin.file for plugin in made.plugins] == [TOY]
    assert made.modules == ("lebench.metrics.generalization",)
    assert made.preload[0] == "lebench.metrics.generalization"


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"seeds": []}, LebenchError, "the number of seeds must be from 1"),
        ({"seeds": [2, -1]}, LebenchError, "seed -1 is negative"),
        ({"models": []}, LebenchError, "name at least one"),
        ({"tasks": ["toy/acuracy"]}, UnknownNameError, "did you mean 'toy/accuracy'"),
        ({"models": ["tooy"]}, UnknownNameError, "did you mean 'toy'"),
        ({"models": ["toy[diary=x,on=41]"]}, ParameterError, "parameter on=41 is not allowed"),
        ({"models": ["toy"]}, ParameterError, "needs a value for its parameter 'diary'"),
        ({"backend": "tensorflow"}, UnknownNameError, "unknown backend 'tensorflow'"),
    ],
)
def test_bad_requests(request_, error, message):
    with pytest.raises(error, match=message):
        plan(**request_)


def test_plug_in_that_is_missing_or_fails(tmp_path):
    with pytest.raises(LebenchError, match="is not a file"):
        make_plan(["toy/accuracy"], [MODEL], [0], plugins=[tmp_path / "none.py"])
    (tmp_path / "bad.py").write_text("import nonexistent_module\n")
    with pytest.raises(LebenchError, match="fails to import: ModuleNotFoundError"):
        make_plan(["toy/accuracy"], [MODEL], [0], plugins=[tmp_path / "bad.py"])


def test_a_model_of_the_running_script_is_sent_to_workers_if_it_can_be(tmp_path, monkeypatch, own_registries):
    plan()
    script = tmp_path / "script.py"
    script.write_text(
        "import threading\nfrom lebench import registry\n"
        "class Mine:\n    capabilities = frozenset()\n    def __repr__(self): return 'Mine()'\n"
        "class Locked(Mine):\n    lock = threading.Lock()\n"
        "registry.models.register('mine-in-main', Mine)\n"
        "registry.models.register('locked-in-main', Locked)\n"
    )
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    runpy.run_path(str(script), run_name="__main__")
    _, sent = plan(models=["mine-in-main"]).plugins
    assert isinstance(sent, Session)
    with pytest.raises(LebenchError, match="model 'locked-in-main' of this session cannot be sent to worker processes"):
        plan(models=["locked-in-main"])
