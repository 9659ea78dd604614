"""Fits that are kept: another question needs no training, and what was killed goes on."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from lebench.cli.app import app
from lebench.data.base import Variant
from lebench.runner.events import FitStarted
from lebench.runner.execution import execute
from lebench.runner.fits import fit_key, kept_fits
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

SMALL = "mlp[depth=1,epochs=2,min_steps=1,width=8]"


def plan(*tasks, model=SMALL):
    return make_plan(tasks, [model], [0])


def test_key_of_a_fit_is_what_it_depends_on():
    (one, other) = (cell.cell for cell in plan("digits/accuracy", "digits/collapse").cells)
    assert one.task != other.task
    same = fit_key(one, Variant("default"))
    assert fit_key(other, Variant("another name")) == same
    changed = [
        fit_key(one, Variant(n_train=50)),
        fit_key(one, Variant(recipe=(("lr", "x4"),))),
        *(
            fit_key(one.model_copy(update=change), Variant())
            for change in ({"seed": 1}, {"dataset_sha256": "0"}, {"model_version": 9}, {"params": {}}, {"plugin": "0"})
        ),
    ]
    assert len({same, *changed}) == 1 + len(changed)


def test_another_question_needs_no_training(tmp_path):
    store = Store(tmp_path / "results")
    (first,) = execute(plan("digits/accuracy"), store, keep_fits=True).records
    (kept,) = kept_fits(store.folder)
    assert (kept.label, kept.dataset, kept.seed, kept.variant) == (SMALL, "digits", 0, "default")
    (file,) = kept.folder.glob("*.npz")
    (second,) = execute(plan("digits/accuracy"), store, force=True, keep_fits=True).records
    assert (second.metrics, second.cost.fits) == (first.metrics, 1)
    # What it has cost is what it would cost alone.
    with np.load(file) as content:
        arrays = dict(content)
    assert second.cost.fit_s >= json.loads(arrays["facts"].tobytes())["wall_s"] > 0
    # With other weights in it the values are others: nothing was trained.
    for name in arrays:
        if name.startswith("module/"):
            arrays[name] *= 0
    np.savez(file, **arrays)
    (third,) = execute(plan("digits/accuracy"), store, force=True, keep_fits=True).records
    assert third.metrics != first.metrics


def test_fits_are_not_kept_unasked(tmp_path):
    store = Store(tmp_path / "results")
    execute(plan("digits/accuracy"), store)
    assert kept_fits(store.folder) == []
    assert list((tmp_path / "results").glob("fits/*")) == []


SCRIPT = """
import sys
from lebench.runner import fits
fits.Keeping.__dataclass_fields__["every_s"].default = 0.0
fits.Keeping.__init__.__defaults__ = (False, 0.0)
import lebench
lebench.run(sys.argv[1], "digits/accuracy", seeds=1, results=sys.argv[2], jobs=1)
"""


@pytest.mark.slow
def test_killed_fit_goes_on_to_the_same_record(tmp_path):
    model = "cnn[epochs=4,min_steps=1]"
    whole = execute(plan("digits/accuracy", model=model), Store(tmp_path / "whole")).records[0]
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, model, str(folder)])
    deadline = time.monotonic() + 300
    while not list(folder.glob("fits/*/1.npz")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    started = []
    resumed = execute(
        plan("digits/accuracy", model=model),
        Store(folder),
        on_event=lambda event: started.append(event) if isinstance(event, FitStarted) else None,
    ).records[0]
    assert len(started) == 1
    assert resumed.metrics == whole.metrics
    assert resumed.artifacts == whole.artifacts
    assert kept_fits(folder) == []


def test_commands_list_and_prune(tmp_path):
    folder = tmp_path / "results" / "fits" / "0"
    folder.mkdir(parents=True)
    facts = {"label": "mlp", "backend": "torch", "dataset": "digits", "seed": 2, "variant": "n=50"}
    (folder / "fit.json").write_text(json.dumps(facts))
    (folder / "1.npz").write_bytes(os.urandom(2_000_000))
    run = CliRunner().invoke
    results = str(tmp_path / "results")
    listed = run(app, ["fits", "list", results]).output.splitlines()
    assert listed == ["    2.0 MB  mlp on torch, digits, seed 2, n=50", "1 fit kept, 2.0 MB"]
    (found,) = json.loads(run(app, ["fits", "list", results, "--json"]).output)
    assert facts.items() <= found.items()
    assert run(app, ["fits", "prune", results, "-m", "cnn*"]).output == "0 fits removed, 0.0 kB\n"
    assert folder.exists()
    assert run(app, ["fits", "prune", results, "-m", "ml*"]).output == "1 fit removed, 2.0 MB\n"
    assert not folder.exists()
    assert "there is no results folder" in str(run(app, ["fits", "list", str(tmp_path / "none")]).exception)
