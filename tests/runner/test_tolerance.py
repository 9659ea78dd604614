"""How far values may be from the claimed ones when they are made again, by each rule and elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lebench.board import EntryInfo, write_entry
from lebench.runner.tolerance import allowed, compare, compare_rerun

ROOT = Path(__file__).parents[2]


def test_tolerances_are_as_they_are_stated():
    assert allowed("nc1_quotient@train", 2.0, "recording") == 2e-3
    assert allowed("nc4@train", 0.0, "recording") == 2.5e-3
    assert allowed("accuracy", 0.9, "exact") == pytest.approx(9e-10)
    assert allowed("log_loss", 0.0, "exact") == 1e-12
    assert allowed("log_loss", 0.5, "closed form", [0.1, 0.9]) == 5e-5
    assert allowed("accuracy@n=50", 0.5, "closed form") == 5e-3
    # The sample standard deviation of 0.80, 0.82, 0.84 is 0.02.
    assert allowed("log_loss", 0.5, "seeds", [0.80, 0.82, 0.84]) == pytest.approx(0.06)
    assert allowed("log_loss", 0.5, "seeds", [0.8]) == 5e-3
    assert allowed("log_loss", 0.5, "seeds", [0.8, 0.8]) == 5e-3
    assert allowed("tail_index@inter-L", 1.4, "seeds", [1.4, 1.4]) == pytest.approx(0.14)
    assert allowed("tail_index@inter-L", 1.4, "closed form") == pytest.approx(1.4e-4)


def test_comparisons_name_what_is_beyond_and_what_deviates_most():
    found = compare({"log_loss": 1.0, "brier": 0.5}, {"log_loss": 1.00005, "brier": 0.50001}, "closed form")
    assert (found.differences, found.value, found.deviation) == ((), "log_loss", 0.5)
    found = compare({"log_loss": 1.0}, {"log_loss": 1.0003}, "closed form")
    assert found.differences == ("log_loss is claimed as 1, run again as 1.0003",)
    assert found.deviation == 3.0
    found = compare({"log_loss": 1.0}, {"brier": 1.0}, "exact")
    assert found.deviation is None
    assert found.differences == (
        "brier has a value only when run again",
        "log_loss has a value that it has not when run again",
    )


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ({"backend": "numpy"}, "closed form"),
        # The empirical kernel of a network that was trained, and a task that trains one to compare with.
        ({"backend": "torch"}, "seeds"),
        ({"backend": "numpy", "references": {"mlp": 1, "torch": 1}}, "seeds"),
        ({"backend": "numpy", "precision": "float32"}, "seeds"),
    ],
)
def test_what_trains_follows_the_rule_of_seeds_in_any_precision(make_record, cell, rule):
    record = make_record(metrics={"accuracy": 0.9, "norm": 1.0})
    record = record.model_copy(update={"cell": record.cell.model_copy(update={"precision": "float64"} | cell)})
    again = record.model_copy(update={"metrics": {"accuracy": 0.9, "norm": 1.00001}})
    assert compare_rerun(record, again).rule == rule


def test_numbers_whose_difference_is_beyond_all_numbers():
    found = compare({"gap": 1.7e308}, {"gap": -1.7e308}, "seeds", [{"gap": 1.7e308}, {"gap": -1.7e308}])
    assert found.differences == ("gap is claimed as 1.7e+308, run again as -1.7e+308",)
    # A document of checks holds finite numbers.
    assert found.deviation == 1e300
    assert compare({"gap": 1.0}, {"gap": 2.0}, "seeds", [{"gap": 1.7e308}, {"gap": -1.7e308}]).deviation == 0


def test_a_network_run_elsewhere_may_be_away_by_the_spread_of_its_other_seeds(make_record, tmp_path):
    spread = [0.90, 0.92, 0.94, 0.96]
    info = EntryInfo(name="net", model="mlp", authors=["A"], lebench="0.1.0", command="lebench run")

    def entry(first):
        values = [first, *spread]
        records = [make_record(seed=seed, metrics={"accuracy": value, "norm": 1}) for seed, value in enumerate(values)]
        return write_entry(tmp_path, "net", records, info)

    def rerun(claimed, found):
        known = entry(claimed)
        again = make_record(seed=0, metrics={"accuracy": found, "norm": 1})
        return compare_rerun(known.records[0], again, known.records)

    # The standard deviation of the four others is 0.02582.
    assert rerun(0.93, 0.93).rule == "exact"
    assert (rerun(0.93, 0.86).rule, rerun(0.93, 0.86).differences) == ("seeds", ())
    assert rerun(0.93, 0.86).deviation == pytest.approx(0.07 / (3 * 0.02582), abs=1e-3)
    assert rerun(0.93, 0.85).differences
    # One inflated record does not widen its own tolerance.
    assert rerun(0.999, 0.90).differences


_TRAIN = """
import json, sys, tempfile
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store
if __name__ == "__main__":
    plan = make_plan(["digits/accuracy", "digits/elasticity"], ["mlp[epochs=10,width=64,min_steps=0]"], [0, 1, 2])
    with tempfile.TemporaryDirectory() as folder:
        print("\\n".join(record.to_json() for record in execute(plan, Store(folder), jobs=1).records))
"""


@pytest.mark.slow
def test_other_instruction_sets_stay_within_the_tolerance(tmp_path):
    """The drift of another processor, as far as one can make it here: torch and BLAS without their vector code."""
    from lebench.records import Record

    script = tmp_path / "train.py"
    script.write_text(_TRAIN)

    def train(**environment):
        done = subprocess.run(
            [sys.executable, script],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return [Record.model_validate_json(line) for line in done.stdout.splitlines()]

    here = train()
    elsewhere = train(ATEN_CPU_CAPABILITY="default", OPENBLAS_CORETYPE="Nehalem", DNNL_MAX_CPU_ISA="SSE41")
    info = EntryInfo(name="net", model="mlp", authors=["A"], lebench="0.1.0", command="lebench run")
    entry = write_entry(tmp_path, "net", here, info)
    again = {record.cell.key: record for record in elsewhere}
    found = [compare_rerun(record, again[record.cell.key], entry.records) for record in entry.records]
    assert [each.differences for each in found] == [()] * 6
    assert max(each.deviation for each in found) < 0.1
