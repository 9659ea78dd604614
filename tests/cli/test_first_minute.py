"""What a newcomer types first: lebench alone, list, --dry-run, and results of a plug-in that is not loaded."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from lebench import registry
from lebench.board.costs import recorded_costs
from lebench.cli.planning import duration
from lebench.reading import sources

EXAMPLES = Path(__file__).parents[2] / "docs/assets/examples"


def test_lebench_alone_says_what_to_do_next(lebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = lebench()
    assert (code, err) == (0, "")
    assert "lebench run --model knn" in out
    assert "results/:" not in out
    (tmp_path / "results/records").mkdir(parents=True)
    assert "There are records in results/: 'lebench show' prints them." in lebench()[1]


def test_list_alone_counts_the_kinds(lebench):
    counted = dict(re.findall(r"lebench list (\w+)s +(\d+)", lebench("list")[1]))
    assert counted == {kind: str(len(known.names())) for kind, known in registry.REGISTRIES.items()}
    assert json.loads(lebench("list", "--json")[1])["models"] == len(registry.models.names())
    assert lebench("list", "task") == lebench("list", "tasks")


def entry(folder, name, cells):
    (folder / name).mkdir(parents=True)
    lines = [
        {"label": label, "cell": {"model": label.split("[")[0], "task": task}, "cost": cost}
        for label, task, cost in cells
    ]
    (folder / name / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_dry_run_is_a_grid_with_the_times_of_the_leaderboard(lebench, tmp_path):
    task = "digits/accuracy"
    costs = [{"fit_s": fit, "score_s": 1.0} for fit in (119.0, 119.0, 4000.0)]
    entry(tmp_path / "entries", "knn", [*(("knn", task, cost) for cost in costs), ("knn", "digits/small-n", None)])
    entry(tmp_path / "entries", "broken", [])
    (tmp_path / "entries/broken/records.jsonl").write_text("{")
    asked = (
        "-m",
        "knn",
        "-m",
        "knn[k=5]",
        "-m",
        "constant",
        "-t",
        task,
        "-t",
        "digits/small-n",
        "-t",
        "digits/collapse",
    )
    code, out, _ = lebench(
        "run", *asked, "--dry-run", "--jobs", 2, "-o", tmp_path / "r", "--entries", tmp_path / "entries"
    )
    assert code == 0
    rows = {
        words[0]: words[1:] for words in map(str.split, out.splitlines()) if words and words[0].startswith("digits/")
    }
    assert rows[task] == ["2", "min", "(2", "min)", "?"]
    assert rows["digits/small-n"] == ["?", "?", "?"]
    assert rows["digits/collapse"] == ["–", "–", "–"]
    # Three seeds of two models at two minutes.
    assert "at most about 12 min, or 6 min with 2 workers; of 12 cells the time is not known" in out
    assert not re.search(r"[0-9a-f]{12}", out)
    assert not (tmp_path / "r").exists()


def test_costs_are_those_of_the_leaderboard():
    costs = recorded_costs(sources.entries_folder(None))
    seconds, own = costs.expected("resnet", "digits/accuracy")
    assert own
    assert seconds > costs.expected("knn", "digits/accuracy")[0] > 0
    assert costs.expected("resnet[width=3]", "digits/accuracy") == (seconds, False)
    assert costs.expected("mine", "digits/accuracy") == (None, False)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "< 1 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h"), (2e5, "2.3 days")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def of_a_plugin(lebench, tmp_path):
    """A folder of records of a plug-in's task, the plug-in forgotten."""
    folder = tmp_path / "results"
    asked = ("--plugin", EXAMPLES / "blobs.py", "-t", "blobs/accuracy", "-m", "knn", "-m", "constant", "--seeds", 2)
    assert lebench("run", *asked, "-o", folder)[0] == 0
    for kind in ("tasks", "datasets"):
        known = getattr(registry, kind)
        for item in known.items():
            if item.plugin:
                del known._items[item.name], known._objects[item.name]
    for name in [name for name in sys.modules if name.startswith("lebench_plugin_")]:
        del sys.modules[name]
    return folder


def test_results_of_a_plugin_that_is_not_loaded_are_shown(lebench, of_a_plugin):
    assert "blobs/accuracy" not in registry.tasks
    for asked in ((), ("-t", "blobs/accuracy"), ("-t", "blobs/*", "knn")):
        code, out, err = lebench("show", *asked, "-o", of_a_plugin, "--no-baselines")
        assert (code, err) == (0, "")
        assert "blobs" in out
        assert "accuracy ↑" in out
    code, out, _ = lebench("compare", "knn", "constant", "-o", of_a_plugin, "--json", "--no-baselines")
    assert [row["task"] for row in json.loads(out)] == ["blobs/accuracy"]


def test_parameters_are_shown_without_the_framework(lebench, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))
    code, out, _ = lebench("info", "mlp")
    assert code == 0
    assert "default 512" in out
    assert "backend: torch" in out


@pytest.mark.parametrize("command", [("submit",), ("site", "build"), ("baselines",)])
def test_what_needs_a_clone_says_so(lebench, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "__file__", str(tmp_path / "a/b/c"))
    code, _, err = lebench(*command)
    assert code == 2
    assert "run it in a clone of lebench's repository" in err
    assert list(tmp_path.iterdir()) == []
