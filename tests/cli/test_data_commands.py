"""``lebench data``, and runs of tasks whose data may not be there, as a user meets them."""

import gzip
import http.server
import json
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import small_sets as small

from lebench import load, run
from lebench.errors import LebenchWarning
from lebench.testing import check_task

IMAGES = "train-images-idx3-ubyte.gz"

PLUGIN = """
from functools import partial

from lebench import registry
from lebench.data.base import Dataset
from lebench.data.images import draw, load_idx
from lebench.metrics import generalization as metrics
from lebench.tasks.base import Task
from lebench.tasks.facts import Share, test
import small_sets

registry.datasets.register("small-digits", Dataset(
    "small-digits", "Digits", "CC0", "none", 1, (4, 3, 1), tuple("0123456789"),
    partial(load_idx, small_sets.digit_source()), partial(draw, official=60, train=5, test=4)))

def score(fits):
    (fit,) = fits.values()
    return {"accuracy": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)}

for name, dataset in (("small/accuracy", "small-digits"), ("other/accuracy", "two-factor")):
    registry.tasks.register(name, Task(
        name, "generalization", "Right?", "none", 1, dataset, ("predict",), "accuracy", ("accuracy",), score,
        facts=(Share(test, ("accuracy",)),)))
"""


@pytest.fixture
def lebench(lebench, monkeypatch, tmp_path):
    """Run the command line in this process, with no files of datasets; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEBENCH_DATA", raising=False)
    monkeypatch.setattr("lebench.data.files.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("lebench.cli.data.cache_folder", lambda: tmp_path / "cache")
    yield lebench
    for name in ("small_plugin", "blobs"):
        sys.modules.pop(f"lebench_plugin_{name}", None)


@pytest.fixture
def source(monkeypatch):
    """The small digits in place of the sets that lebench knows."""
    monkeypatch.setattr("lebench.cli.data.SOURCES", {"small-digits": small.digit_source()})


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "small_plugin.py"
    path.write_text(PLUGIN)
    return path


def test_nothing_is_here(lebench):
    code, out, err = lebench("data", "list")
    assert (code, err) == (0, "")
    for name in ("mnist", "fashion-mnist", "cifar-10"):
        assert f"'lebench data fetch {name}'" in out
    assert out.count("not here") >= 3
    assert lebench("data", "verify")[0] == 0
    code, out, _ = lebench("data", "verify", "cifar-10")
    assert code == 1
    assert "files: 3 not here" in out


def test_files_are_listed_and_checked(lebench, source, tmp_path, monkeypatch):
    folder = small.write_digits(tmp_path / "mine" / "small-digits")
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path / "mine"))
    code, out, _ = lebench("data", "list")
    assert code == 0
    assert "4 of 4" in out
    assert "as published" in out
    code, out, _ = lebench("data", "verify", "small-digits")
    assert code == 0
    assert "files: 4 as published" in out
    (folder / IMAGES).write_bytes(gzip.compress(b"another file"))
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    code, out, _ = lebench("data", "verify")
    assert code == 1
    assert f"{IMAGES}' cannot be used: it is no IDX file" in out
    assert "files: 1 damaged, 2 as published, 1 not here" in out
    assert "damaged" in lebench("data", "list")[1]
    rows = json.loads(lebench("data", "verify", "--json")[1])
    assert [row["state"] for row in rows] == ["damaged", "as published", "as published", "not here"]
    assert rows[1]["path"] == str(folder / "train-labels-idx1-ubyte.gz")


def test_fetching_without_a_network_is_one_line(lebench, source):
    code, out, err = lebench("data", "fetch", "small-digits")
    assert code == 2
    assert out == f"fetching {IMAGES} from 127.0.0.1:9\n"
    assert err.count("\n") == 1
    assert "no connection" in err
    assert "LEBENCH_DATA" in err


def test_fetching_from_a_server(lebench, source, tmp_path, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    folder = small.write_digits(tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("lebench.cli.data.SOURCES", {"small-digits": small.digit_source([address])})
        code, out, _ = lebench("data", "fetch", "small-digits")
        server.shutdown()
    assert code == 0
    assert f"small-digits: 4 files in {tmp_path / 'cache' / 'small-digits'}, as published" in out
    assert "all files are there already" in lebench("data", "fetch", "small-digits")[1]


def test_a_dataset_that_needs_no_files_is_refused(lebench):
    for command in ("fetch", "verify"):
        code, _, err = lebench("data", command, "digits")
        assert code == 2
        assert err == (
            "lebench: no dataset 'digits' needs files; "
            "those that do are mnist, fashion-mnist, cifar-10, cifar-10-full, cifar-100\n"
        )


def test_info_of_a_dataset_says_that_its_files_are_not_here(lebench):
    code, out, _ = lebench("info", "mnist")
    assert code == 0
    assert "sha256: not known: dataset 'mnist': the file train-images-idx3-ubyte.gz is not here" in " ".join(
        out.split()
    )


def test_a_run_without_the_files_is_refused_in_one_line(lebench, plugin):
    code, _, err = lebench("run", "--plugin", plugin, "--task", "small/*", "--model", "knn", "--seeds", 1)
    assert code == 2
    assert err == (
        f"lebench: nothing is left to run: dataset 'small-digits': the file {IMAGES} is not here; get it with 'lebench "
        "data fetch small-digits', or set LEBENCH_DATA to a folder that has it\n"
    )


def test_other_tasks_run_and_those_without_files_run_once_the_files_are_here(lebench, plugin, tmp_path, monkeypatch):
    (tmp_path / "entries").mkdir()
    options = ("--plugin", plugin, "--model", "knn[k=1]", "--seeds", 1, "--entries", tmp_path / "entries")
    command = ("run", *options, "--task", "small/*", "--task", "other/*")
    code, out, err = lebench(*command)
    assert (code, err) == (0, "")
    assert "skipped: small/accuracy: dataset 'small-digits': the file" in out
    assert "1 cell computed, 0 known from before" in out
    # Nothing is recorded of the task that could not run.
    assert not (tmp_path / "results" / "small").exists()
    # In Python the same is said by a warning.
    with pytest.warns(LebenchWarning, match="small/accuracy is left out: dataset 'small-digits': the file"):
        frame = run(["knn[k=1]"], ["small/*", "other/*"], 1)
    assert set(frame["task"]) == {"other/accuracy"}
    small.write_digits(tmp_path / "small-digits")
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path))
    code, out, _ = lebench(*command)
    assert code == 0
    assert "skipped" not in out
    assert "1 cell computed, 1 known from before" in out


def test_the_dataset_of_the_documentation_is_run(lebench):
    example = Path(__file__).parents[2] / "docs/assets/examples/blobs.py"
    code, _, err = lebench("run", "--plugin", example, "--task", "blobs/*", "--model", "knn", "--seeds", 1)
    assert (code, err) == (0, "")
    assert check_task("blobs/accuracy") == []
    frame = load()
    assert set(frame["status"]) == {"ok"}
    # The best classifier is right with probability Phi(3 / sqrt 2) = 0.983.
    assert frame["value"].min() > 0.93
