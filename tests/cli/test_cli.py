"""The command line as a user meets it: what it prints, and one line with exit code 2 for bad input."""

import json
import re
import subprocess
import sys

import pytest

from lebench.board import paired_difference
from lebench.errors import UnknownNameError
from lebench.reading import sources
from lebench.runner.store import Store


def test_help_and_list_import_no_framework_and_no_numpy():
    for command in (["--help"], ["list", "tasks"], ["list", "metrics"]):
        code = (
            f"import sys; sys.argv = ['lebench', *{command!r}]\n"
            "from lebench.cli import main\n"
            "try: main()\n"
            "except SystemExit as e: assert not e.code\n"
            "heavy = {'torch', 'jax', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_importing_the_package_imports_no_framework():
    code = "import lebench, sys; assert not {'torch', 'jax', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["tasks", "questions", "models", "metrics", "datasets", "backends"])
def test_everything_that_is_listed_has_a_description(kind, lebench):
    code, out, _ = lebench("list", kind, "--json")
    assert code == 0
    listed = json.loads(out)
    assert listed
    for item in listed:
        assert item["summary"], item
    # One of them in full, as text and as JSON.
    # One of them in full, as text and as JSON; its name may also be that of something of another kind.
    name = listed[0]["name"]
    assert f"{name} ({kind[:-1]})" in lebench("info", name)[1]
    described = json.loads(lebench("info", name, "--json")[1])
    described = described if isinstance(described, list) else [described]
    assert {"name": name, "kind": kind[:-1]} in [{key: one[key] for key in ("name", "kind")} for one in described]


def test_info_of_a_metric_shows_definition_and_known_answers(lebench):
    out = lebench("info", "nc1_pinv_over_C")[1]
    for word in ("equation", "Papyan", "lower is better", "known answers", "0.072"):
        assert word in out


def test_info_tells_versions_and_what_raised_them(lebench, monkeypatch):
    out = lebench("info", "digits/gap", "--versions")[1]
    assert out.splitlines() == [
        "digits/gap (task): version 1",
        "  its numbers have not changed since versions began",
        "  rests on digits, version 1",
        "  rests on ntk-mlp, version 1",
        "  rests on mlp, version 1",
    ]
    described = json.loads(lebench("info", "mlp", "--versions", "--json")[1])
    assert described == {"name": "mlp", "kind": "model", "version": 1, "history": [], "rests on": {}}
    assert lebench("info", "digits/acuracy", "--versions")[0] == 2


def test_info_of_a_model_shows_its_parameters_with_defaults(lebench):
    out = lebench("info", "mlp")[1]
    assert "width" in out
    assert "default 512" in out
    assert "Dense(units=512)" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["run", "--model", "resnett"],
            [
                "unknown model 'resnett'; did you mean 'resnet' or",
                "? A model of your own needs its file: --plugin",
            ],
        ),
        (["run", "--model", "knn", "--task", "digits/acuracy"], ["unknown task", "did you mean 'digits/accuracy'"]),
        (
            ["run", "--model", "fourier-res"],
            ["'fourier-res'; see 'lebench list models'; a model of your own needs its file: --plugin FILE"],
        ),
        (["info", "fourier-res"], ["see 'lebench list --help'; a name of your own needs its file: --plugin FILE"]),
        (["run", "--model", "knn[q=3]"], ["no parameter 'q'", "k"]),
        (["run", "--model", "knn[k=many]"], ["k=many", "integer"]),
        (["run", "--model", "knn[k=0]"], ["k=0", "greater than or equal to 1"]),
        (["run", "--model", "knn[k"], ["knn[k", "name[parameter=value"]),
        (["run", "--model", "knn", "--seeds", "5-3"], ["'5-3' has no seeds"]),
        (["run", "--model", "knn", "--seeds", "a,b"], ["'a' is no seed", "0-9,12"]),
        (["run", "--model", "knn", "--shard", "9/8"], ["shard '9/8'", "from 1/8 to 8/8"]),
        (["merge", "nowhere"], ["name the folders to merge into 'nowhere'"]),
        (["merge", "nowhere", "there"], ["there are no results in 'nowhere'"]),
        (["run", "--model", "knn", "--seeds", "0"], ["the number of seeds must be from 1"]),
        (["baselines", "--seeds", "11"], ["--seeds of baselines lies between 3 and 10, not 11"]),
        (
            ["run", "--model", "mlp", "--backend", "tensorflow"],
            ["unknown backend 'tensorflow'", "lebench list backends"],
        ),
        (["run", "--model", "knn", "--jobs", "0"], ["jobs must be at least 1"]),
        (["run", "--model", "knn", "--plugin", "nowhere.py"], ["nowhere.py' is not a file"]),
        (
            ["run", "--model", "constant", "--task", "collapse"],
            ["nothing is left to run: constant on digits/collapse needs the capability features or gram"],
        ),
        (["run"], ["give a --model", "lebench run --help"]),
        (["run", "--model", "knn", "--sedes", "3"], ["No such option", "--sedes"]),
        (["info", "nc1"], ["nothing is registered under 'nc1'"]),
        (["list", "tsks"], ["tsks"]),
        (["fly"], ["fly"]),
        (["show", "--results", "nowhere", "--no-baselines"], ["nowhere", "lebench run"]),
        (["show", "--picture", "out.png"], ["'out.png'", "ending .html"]),
        (["show", "--picture", "out.html", "--results", "nowhere", "--no-baselines"], ["no record in 'nowhere' keeps"]),
        (["show", "--picture", "out.html", "--json"], ["leave out --json"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args, words, lebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Those that other tests have left in this process.
    monkeypatch.setattr("lebench.plugins.loaded", list)
    code, out, err = lebench(*args)
    assert code == 2
    line = err.strip().splitlines()[-1]
    assert len(err.strip().splitlines()) == 1
    assert line.startswith("lebench: ")
    for word in words:
        assert word in line
    assert "Traceback" not in out + err


def test_a_results_folder_that_cannot_be_written_to(lebench, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code, _, err = lebench("run", "--model", "constant", "--results", blocked / "results")
    assert code == 2
    assert "cannot write to the results folder" in err


def test_a_plugin_that_raises_is_named(lebench, tmp_path):
    plugin = tmp_path / "broken.py"
    plugin.write_text("1 / 0\n")
    code, _, err = lebench("run", "--model", "knn", "--plugin", plugin)
    assert code == 2
    assert "broken.py' fails to import: ZeroDivisionError" in err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder of two quick models."""
    folder = tmp_path_factory.mktemp("run") / "results"
    command = [sys.executable, "-c", "from lebench.cli import main; main()", "run", "-m", "knn", "-m", "constant"]
    done = subprocess.run(
        [*command, "-m", "knn[k=5]", "-t", "digits/accuracy", "--seeds", "2", "-o", folder],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_prints_a_line_per_cell_and_a_table(finished):
    _, out = finished
    assert "6 cells to compute" in out
    assert "[6/6]" in out
    # Brackets are markup to the library that draws the tables.
    assert out.count("knn[k=5]") == 3
    assert "digits/accuracy" in out
    assert "95% interval" in out


def test_a_second_run_computes_nothing(finished, lebench):
    folder, _ = finished
    code, out, _ = lebench("run", "-m", "knn", "-t", "digits/accuracy", "--seeds", "2", "-o", folder)
    assert code == 0
    assert "0 cells computed, 2 known from before" in out


def test_a_dry_run_prints_the_plan_and_computes_nothing(lebench, tmp_path):
    code, out, _ = lebench("run", "-m", "knn", "--seeds", "1", "--dry-run", "-o", tmp_path / "results")
    assert code == 0
    assert "2 cells to do with 5 fits" in out
    assert "skipped: knn on digits/elasticity: needs the capability similarity" in out
    assert not (tmp_path / "results").exists()


def test_show_and_compare_print_tables_json_and_csv(finished, lebench):
    folder = finished[0]
    code, out, _ = lebench("show", "-o", folder, "--no-baselines")
    assert code == 0
    assert "knn[k=5]" in out
    assert "constant (control)" in out
    assert "Collapse" not in out

    out = lebench("show", "-t", "digits/accuracy", "-o", folder, "--no-baselines")[1]
    assert "expected_calibration_error" in out
    assert "knn[k=5]" in out

    rows = json.loads(lebench("show", "knn", "-o", folder, "--no-baselines", "--json")[1])
    accuracy = next(row for row in rows if row["metric"] == "accuracy")
    assert accuracy["seeds"] == 2
    assert accuracy["lower"] <= accuracy["mean"] <= accuracy["upper"]

    header, *lines = lebench("show", "knn", "-o", folder, "--no-baselines", "--csv")[1].splitlines()
    assert header.split(",")[:4] == ["track", "task", "model", "metric"]
    assert len(lines) == len(rows)

    (row,) = json.loads(lebench("compare", "knn", "constant", "-o", folder, "--no-baselines", "--json")[1])
    assert row["difference"] == pytest.approx(row["a"] - row["b"])
    assert row["verdict"] == "knn is better"
    # What was recorded of both seeds says how the difference would move with other test points, 450 in each.
    assert row["seeds"] == 2
    assert 450 < row["points"] < 900
    values = {label: {} for label in ("knn", "constant")}
    for record in Store(folder).load():
        values.setdefault(record.label, {})[record.cell.seed] = record.metrics["accuracy"]
    alone = paired_difference(values["knn"], values["constant"])
    assert row["difference"] == pytest.approx(alone.mean)
    assert row["upper"] > alone.upper
    assert row["lower"] < alone.lower
    assert "every" not in lebench("compare", "knn", "constant", "-o", folder, "--no-baselines")[2]


@pytest.fixture(scope="module")
def with_arrays(tmp_path_factory):
    """A results folder of two models whose scores keep arrays."""
    from lebench import run

    folder = tmp_path_factory.mktemp("arrays") / "results"
    run(["rbf", "logistic-regression"], "manifold/circles", 2, results=folder, jobs=1)
    return folder


def test_show_draws_the_arrays_behind_scores(with_arrays, lebench, tmp_path):
    out = tmp_path / "pictures.html"
    code, said, _ = lebench("show", "-o", with_arrays, "--no-baselines", "--picture", out)
    assert code == 0
    assert "manifold/circles: logistic-regression, rbf" in said
    assert f"1 pictures stand in {out}" in said
    assert "for logistic-regression" in out.read_text()

    # One model has its own picture, with the correlation that its score of the first seed has.
    said = lebench("show", "rbf", "-t", "manifold/*", "-o", with_arrays, "--no-baselines", "--picture", out)[1]
    record = Store(with_arrays).load(labels=["rbf"])[0]
    assert record.cell.seed == 0
    value = record.metrics["distance_pearson"]
    assert f"of relative similarity {value:.2f}".replace("-", "\N{MINUS SIGN}") in said


def test_show_names_what_it_cannot_draw(with_arrays, finished, lebench, tmp_path):
    out = tmp_path / "pictures.html"
    for args, words in [
        (["rfb", "-o", with_arrays], "did you mean 'rbf'"),
        (["-t", "digits/*", "-o", with_arrays], "no results of the tasks digits/*"),
        (["-o", finished[0]], "keeps arrays"),
    ]:
        code, _, err = lebench("show", *args, "--no-baselines", "--picture", out)
        assert code == 2
        assert words in err
    content = {path: path.read_bytes() for path in with_arrays.glob("arrays/*.npz")}
    for path, whole in content.items():
        path.write_bytes(whole[:-30])
    code, _, err = lebench("show", "-o", with_arrays, "--no-baselines", "--picture", out)
    for path, whole in content.items():
        path.write_bytes(whole)
    assert code == 2
    assert f"the arrays of logistic-regression on manifold/circles, seed 0, in {with_arrays}: it is damaged" in err
    assert "--force" in err
    assert not out.exists()


def test_compare_breaks_names_between_their_parts(finished, lebench, monkeypatch):
    monkeypatch.setattr("lebench.cli.reading._PLAIN_WIDTH", 110)
    out = lebench("compare", "knn[k=5]", "constant", "-t", "digits/accuracy", "-o", finished[0], "--no-baselines")[1]
    for whole in ("accuracy ↑", "expected_calibration_ ", "  error ↓", "450 points", "knn[k=5] is "):
        assert whole in out
    assert re.search(r"\[[+-][\d.]+, [+-][\d.]+\]", out)


@pytest.mark.parametrize("asked", ["mlp[width=8,depth=1]", " mlp[ depth=1, width=8 ]", "mlp[depth=1,width=8]"])
def test_a_model_is_known_by_its_parameters_in_any_order(asked):
    labels = ["mlp", "mlp[depth=1,width=16]", "mlp[depth=1,width=8]", "mlp (jax)", "knn"]
    assert sources.known_label(asked, labels) == "mlp[depth=1,width=8]"
    with pytest.raises(UnknownNameError, match="there are no results of model"):
        sources.known_label("mlp[", labels)


def test_compare_names_a_model_without_results(finished, lebench):
    code, _, err = lebench("compare", "knm", "constant", "-o", finished[0], "--no-baselines")
    assert code == 2
    assert "did you mean 'knn'" in err


def test_an_edited_record_is_named_and_computed_again(finished, lebench, tmp_path):
    import shutil

    folder = tmp_path / "results"
    shutil.copytree(finished[0], folder)
    (edited,) = folder.glob("records/*.jsonl")
    lines = edited.read_text().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if '"label":"constant"' in line and '"seed":0' in line)
    lines[place] = lines[place].replace('"accuracy":0.', '"accuracy":0.9')
    edited.write_text("".join(lines))
    code, out, err = lebench("run", "-m", "constant", "-t", "digits/accuracy", "--seeds", "2", "-o", folder)
    assert code == 0
    assert f"line {place + 1} of '{edited}' is ignored: its checksum does not fit its content: it was edited" in err
    assert "1 cell computed, 1 known from before" in out


def test_a_model_from_a_plugin_file_runs(lebench, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    code, out, err = lebench(
        "run", "--plugin", plugin, "-m", "centroid", "-t", "digits/accuracy", "--seeds", "1", "-o", tmp_path / "r"
    )
    assert code == 0, err
    assert "1 cell computed" in out


def test_who_gave_a_file_is_not_told_to_give_one(lebench, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    for asked in (("run", "-m", "centriod"), ("info", "centriod")):
        code, _, err = lebench(*asked, "--plugin", plugin)
        assert code == 2
        assert "did you mean 'centroid'" in err
        assert err.endswith("?\n")


PLUGIN = '''
"""Nearest class mean, in about twenty lines."""

from dataclasses import dataclass

import numpy as np

import lebench


@lebench.register_model("centroid")
@dataclass(frozen=True)
class NearestMean:
    """The class whose mean is nearest."""

    shrink: float = 0.0
    capabilities = frozenset({"predict"})

    def fit(self, split, seed):
        means = np.stack([split.x_train[split.y_train == c].mean(axis=0).ravel() for c in range(split.classes)])
        return Fitted((1 - self.shrink) * means + self.shrink * means.mean(axis=0))


class Fitted:
    def __init__(self, means):
        self.means = means

    def predict(self, x):
        return -np.linalg.norm(x.reshape(len(x), 1, -1) - self.means, axis=2)
'''


@pytest.fixture
def placed(make_record, tmp_path):
    """A folder of results: a label-aware kernel half way between a kernel and a network, with two seeds."""
    store = Store(tmp_path / "r")
    for label, accuracy in (("ntk-mlp", 0.5), ("lantk-hr-mlp", 0.6), ("mlp[epochs=1]", 0.7)):
        for seed in (0, 1):
            metrics = {"accuracy": accuracy + 0.1 * seed, "norm": 1.0}
            store.put(make_record(label=label, seed=seed, metrics=metrics))
    return store.folder


def test_between_places_a_model_and_names_what_is_wrong(placed, lebench):
    asked = ("between", "lantk-hr-mlp", "ntk-mlp", "mlp[epochs=1]", "-o", placed, "--no-baselines")
    (row,) = json.loads(lebench(*asked, "--json")[1])
    assert (row["task"], row["metric"], row["seeds"], row["verdict"]) == ("toy/accuracy", "accuracy", 2, "between")
    places = [row[name] for name in ("kernel", "model", "network", "gain", "gap", "closed_value")]
    assert places == pytest.approx([0.55, 0.65, 0.75, 0.1, 0.2, 0.5])
    # Of a task that is named every value that has a direction is placed; the norm has none.
    assert len(lebench(*asked, "-t", "toy/*", "--csv")[1].splitlines()) == 2
    code, out, _ = lebench(*asked)
    assert (code, "lantk-hr-mlp between ntk-mlp and mlp[epochs=1]" in out) == (0, True)
    code, _, err = lebench("between", "ntk-mlp", "ntk-mlp", "mlp[epochs=1]", "-o", placed, "--no-baselines")
    assert (code, "three different models are needed" in err) == (2, True)
    code, _, err = lebench("between", "lantk-hr-mlp", "ntk-mlp", "cnn", "-o", placed, "--no-baselines")
    assert (code, "there are no results of model 'cnn'" in err) == (2, True)


@pytest.mark.slow
def test_a_run_of_a_label_aware_kernel_ends_with_where_it_lies(lebench, tmp_path):
    """Six workers start PyTorch and train: ten CPU seconds, minutes on a busy machine."""
    models = [argument for name in ("lantk-hr-mlp", "ntk-mlp", "mlp[epochs=1]") for argument in ("-m", name)]
    code, out, _ = lebench("run", *models, "-t", "kernel/label-systems", "--seeds", "2", "-o", tmp_path / "r")
    assert code == 0
    assert "lantk-hr-mlp between ntk-mlp and mlp[epochs=1]" in out
    asked = ("between", "lantk-hr-mlp", "ntk-mlp", "mlp[epochs=1]", "-o", tmp_path / "r", "--no-baselines")
    (row,) = json.loads(lebench(*asked, "--json")[1])
    assert row["metric"] == "label_following@mean"
    assert row["kernel"] == 0
    assert row["gain"] == pytest.approx(row["model"])
    assert row["gap"] == pytest.approx(row["network"])
    assert len(lebench(*asked, "-t", "kernel/*", "--csv")[1].splitlines()) > 5
