"""Results seen from Python: tables that a notebook shows and draws, and functions that are named like commands."""

import inspect
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import lebench
from lebench import pictures
from lebench.cli.app import app
from lebench.errors import LebenchError, MissingDependencyError

ENTRIES = Path(__file__).parents[1] / "leaderboard/entries"


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 12)
    x = rng.standard_normal((4, 6))[y] + 0.3 * rng.standard_normal((48, 6))
    return lebench.score(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)), x, y)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaderboard") / "entries"
    for name in ("constant", "knn", "logistic-regression"):
        shutil.copytree(ENTRIES / name, folder / name)
    return folder


def specs(chart):
    document = chart.to_dict()
    return document.get("vconcat", [document])


def test_scores_are_shown_and_drawn(scores):
    shown = scores._repr_html_()
    value = scores.set_index("metric")["value"]["elasticity_ratio"]
    assert f"<td>elasticity_ratio ↑</td><td>{value:.4f}</td>" in shown
    assert "<td>nc1_pinv_over_C@train ↓</td>" in shown
    titles = [spec["title"]["text"].split(".")[0] for spec in specs(scores.plot())]
    assert titles == ["elasticity", "collapse"]
    # What is selected is drawn alone; what is no table of scores is shown as any other.
    part = scores[scores["question"] == "collapse"]
    assert [spec["title"]["text"].split(".")[0] for spec in specs(part.plot())] == ["collapse"]
    assert "<caption>" not in scores[["metric"]]._repr_html_()
    with pytest.raises(LebenchError, match="no arrays were kept"):
        scores[scores["question"] == "accuracy"].plot()


def test_markup_in_reasons_is_text():
    y = np.array([0, 0, 0, 1, 1, 1])
    frame = lebench.score(None, np.eye(6), y, questions="elasticity")
    frame["reason"] = "<script>"
    assert "&lt;script&gt;" in frame._repr_html_()


def test_plot_without_altair_says_what_to_install(scores, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingDependencyError, match="pip install altair"):
        scores.plot()


def test_results_of_a_folder(tmp_path):
    ran = lebench.run(["knn", "mlp[width=32,epochs=3,min_steps=0]"], "digits/collapse", 2, results=tmp_path, jobs=1)
    loaded = lebench.load(tmp_path)
    assert len(loaded) == len(ran)
    mean = loaded[(loaded["metric"] == "nc1_pinv_over_C@train") & (loaded["model"] != "knn")]["value"].mean()
    assert f"<td>mlp[epochs=3,min_steps=0,width=32]</td><td>{mean:.4f}</td>" in loaded._repr_html_()
    (picture,) = specs(loaded.plot())
    assert picture["title"]["text"].startswith("digits/collapse: mlp[epochs=3,min_steps=0,width=32]. Class means")


def test_comparison_of_two_models(entries):
    found = lebench.compare("knn", "logistic-regression", "digits/accuracy", "none", entries=entries)
    row = found[found["metric"] == "accuracy"].iloc[0]
    assert row["difference"] == pytest.approx(row["a"] - row["b"])
    assert row["lower"] < row["difference"] < row["upper"]
    assert f"<td>{row['a']:.4f}</td><td>{row['b']:.4f}</td>" in found._repr_html_()
    for arguments, said in (
        ((1, "knn"), "a must be the name of a model"),
        (("knn", "knn"), "two different models"),
        (("knn", "knm"), "no results of model 'knm'; did you mean 'knn'"),
        (("knn", "constant", 3), "tasks must be the name of a task"),
        (("knn", "constant", (), 3), "results must be a path"),
    ):
        with pytest.raises(LebenchError, match=said):
            lebench.compare(*arguments, entries=entries)


def test_where_a_network_would_stand(entries, scores):
    found = lebench.board("digits/accuracy", entries=entries)
    assert set(found["model"]) == {"constant", "knn", "logistic-regression"}
    assert found["score"].is_monotonic_decreasing
    control = found["model"] == "constant"
    assert found[control]["best_rank"].isna().all()
    assert found[~control]["best_rank"].notna().all()
    own = scores.set_index("metric")["value"]["accuracy"]
    beside = lebench.board("digits/accuracy", entries=entries, beside=scores, name="mine")
    mine = beside[beside["model"] == "mine"].iloc[0]
    assert (mine["question"], mine["score"]) == ("digits/accuracy", own)
    assert np.isnan(mine["best_rank"])
    assert "<td>mine</td>" in beside._repr_html_()
    (values,) = beside.plot().to_dict()["datasets"].values()
    assert [value["model"] for value in values] == list(beside["model"])
    tracks = lebench.board(entries=entries)
    assert {"question", "model", "best_rank"} <= set(tracks.columns)
    with pytest.raises(LebenchError, match="entries: there is no folder"):
        lebench.board(entries="nowhere")
    with pytest.raises(LebenchError, match="beside must be what lebench"):
        lebench.board(beside=tracks)


def test_commands_are_functions():
    for command in ("run", "compare", "calibrate", "agree", "verify", "submit", "merge"):
        parameters = set(inspect.signature(getattr(lebench, command)).parameters)
        options = {p.name for p in app.commands[command].params}
        # The command line has plurals where an option is repeated, and prints.
        known = {"tasks", "models", "checkpoints", "datasets", "as_json", "as_csv", "entries", "dry_run", "names"}
        unknown = options - parameters - known
        assert unknown <= {"plugins", "plugin"}, (command, unknown)
    assert set(lebench.calibrate("accuracy")["metric"]) == {"accuracy"}
    assert lebench.board.frame is not None
    with pytest.raises(LebenchError, match="metrics must be the name of a metric"):
        lebench.calibrate(3)
    with pytest.raises(LebenchError, match="nothing to compare is called 'zzz'"):
        lebench.agree("zzz")


def test_arguments_of_a_run_are_named():
    for arguments, said in (
        ({"backend": 3}, "backend must be a name, not int 3"),
        ({"results": 3}, "results must be a path, not int 3"),
        ({"plugins": "nope.py"}, "plug-in 'nope.py' is not a file"),
        ({"checkpoint": "w.pt"}, "a checkpoint needs a builder"),
    ):
        with pytest.raises(LebenchError, match=said):
            lebench.run("knn", "digits/accuracy", **arguments)
    with pytest.raises(LebenchError, match="results must be a path"):
        lebench.load(3)


def test_ranked_pictures_are_valid():
    picture = pictures.ranked({"a": [("m", 0.5, 0.4, 0.6, True), ("n", 0.4, float("nan"), float("nan"), False)]})
    json.dumps(picture.spec, allow_nan=False)
    assert picture.sentence == "The best with a rank is m (0.50) on a."
