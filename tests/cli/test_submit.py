"""``lebench submit``: from records to an entry that is verified, and what the board would say of it."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored import agree

from lebench import plugins
from lebench.board import make_preview, read_entries, read_entry
from lebench.board.entry_plugin import plugin_of
from lebench.runner.store import Store
from lebench.verify import validate

EXAMPLE = Path(__file__).parents[2] / "docs/assets/examples/nearest_mean.py"
ME = ("--author", "A. Author")


@pytest.fixture
def entries(submit, tmp_path):
    """A folder with the entries of a model and a control."""
    folder = tmp_path / "entries"
    for model in ("logistic-regression", "random-features"):
        assert submit("-m", model, *ME, "--entries", folder)[0] == 0
    agree(read_entry(folder / "logistic-regression"))
    return folder


def test_an_entry_is_written_verified_and_compared_with_the_board(submit, entries):
    code, out, _ = submit("-m", "knn", *ME, "--link", "https://example.org/paper", "--entries", entries)
    assert code == 0
    entry = read_entry(entries / "knn")
    assert validate(entry.folder) == []
    assert entry.info.authors == ["A. Author"]
    assert entry.info.links == ["https://example.org/paper"]
    assert entry.info.command == "lebench run --model knn --task digits/accuracy --task digits/small-n --seeds 3"
    assert "6 of 6 records with a recording agree\n" in out
    # The same numbers as the board will have, beside the only rival; a control is no neighbour.
    preview = make_preview(read_entries(entries), entry)
    assert preview.entries == 3
    (track,) = preview.tracks
    assert (track.track, track.ranked, track.rank.entry) == ("generalization", 2, "knn")
    assert f"{track.rank.score:.1f} [" in out
    assert {each.task.name for each in preview.scores} == {"digits/accuracy", "digits/small-n"}
    for each in preview.scores:
        rival = each.better or each.worse
        assert (each.better is None) != (each.worse is None)
        assert rival.entry == "logistic-regression"
        assert (rival.mean >= each.score.mean) == (each.better is not None)
        assert f"logistic-regression {rival.mean:.4f}" in out


def test_the_preview_is_the_board_with_the_entry_replaced(submit, entries):
    submit("-m", "knn", *ME, "--entries", entries)
    before = read_entries(entries)
    assert make_preview(before, before[-1]) == make_preview(before[:-1], before[-1])


def ranks(lebench, folder, entries, *models):
    """Return a model's row of every task at the end of a run that computes nothing new, by model."""
    named = [argument for model in models for argument in ("-m", model)]
    asked = ("-t", "digits/accuracy", "-t", "digits/small-n", "--seeds", "3", "-o", folder, "--entries", entries)
    code, out, _ = lebench("run", *named, *asked)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if " ↑ " in line]
    return {model: [row for row in rows if row[3] == model] for model in models}, out


def test_the_ranks_of_a_run_are_among_the_entries_whatever_else_was_run(lebench, results, entries):
    alone, out = ranks(lebench, results, entries, "knn")
    # The folder has a third model's records, which is no entry; a control is an entry and no rival.
    assert [" of 2 logistic-regression" in " ".join(row) for row in alone["knn"]] == [True, True]
    assert '"of" counts those with a score on the task, and the model itself' in " ".join(out.split())
    together = ranks(lebench, results, entries, "logistic-regression", "random-features", "knn")[0]
    assert together["knn"] == alone["knn"]
    # An entry of the model itself is no rival of it.
    assert all(" 1 of 1" in " ".join(row) for row in together["logistic-regression"])


def test_the_scores_of_a_run_are_of_its_own_records(lebench, results, entries, tmp_path):
    """Neither of the seeds that the model's entry has beside, nor counted with those of others in the folder."""
    folder = tmp_path / "own"
    store = Store(folder)
    store.prepare()
    for record in Store(results).load():
        if record.cell.seed == 0 or record.label != "logistic-regression":
            store.put(record)
    tasks = ("-t", "digits/accuracy", "-t", "digits/small-n")
    code, out, _ = lebench(
        "run", "-m", "logistic-regression", *tasks, "--seeds", "1", "-o", folder, "--entries", entries
    )
    assert code == 0
    assert [("one seed" in line) for line in out.splitlines() if " ↑ " in line] == [True, True]
    assert "One seed has no interval." in out


def test_without_entries_a_run_ends_without_ranks(lebench, results, tmp_path):
    (tmp_path / "none").mkdir()
    rows, out = ranks(lebench, results, tmp_path / "none", "knn", "logistic-regression")
    assert len(rows["knn"]) == len(rows["logistic-regression"]) == 2
    assert "rank" not in out


def test_a_control_takes_no_rank(submit, entries):
    assert "generalization: controls take no rank" in submit("-m", "random-features", *ME, "--entries", entries)[1]


def test_the_first_entry_of_all(submit, tmp_path):
    code, out, _ = submit("-m", "knn", *ME, "--entries", tmp_path / "new")
    assert code == 0
    assert "there is no other model to compare it with" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-m", "knn"), "an entry has authors: add --author"),
        (("-m", "knn", "--author", " "), "an entry has authors: add --author"),
        (("-m", "knm", *ME), "did you mean 'knn'?"),
        (ME, "has records of knn, logistic-regression, random-features: name one with --model\n"),
        ((), "random-features: name one with --model; and an entry has authors: add --author 'A. Author'"),
        (("-m", "knn", *ME, "--backend", "jax"), "knn was run on numpy, not on jax"),
        (("-m", "knn", *ME, "--link", "javascript:alert(1)"), "--link 'javascript:alert(1)': a link is an address"),
        (("-m", "knn", *ME, "--name", "../up"), "--name '../up': a name has at most 80 lower-case letters"),
        (("-m", "knn", *ME, "--plugin", EXAMPLE), "knn is a model of lebench: leave out --plugin"),
        (
            ("-m", "random-features", "--author", "B. Other"),
            "is an entry of A. Author: if that is you, give the same --author, else another name with --name",
        ),
    ],
)
def test_bad_input_is_one_line(submit, entries, args, message):
    code, _, err = submit(*args, "--entries", entries)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert {path.name for path in entries.iterdir()} == {"random-features", "logistic-regression"}


def test_a_folder_without_records_is_one_line(lebench, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, message in ((tmp_path / "empty", "there are no records in"), (tmp_path / "none", "no results in")):
        code, _, err = lebench("submit", folder, *ME, "--entries", tmp_path / "entries")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_what_is_missing_for_ranks_is_one_command_to_copy(submit, lebench, entries, tmp_path):
    submit("-m", "knn", *ME, "--entries", entries)
    mine = tmp_path / "my results"
    assert lebench("run", "-m", "knn[k=5]", "-t", "digits/accuracy", "--seeds", "1", "-o", mine, "-j1")[0] == 0
    code, out, _ = lebench("submit", mine, *ME, "--entries", entries)
    assert code == 0
    said = "– generalization: no score on digits/small-n; digits/accuracy has 1 of 3 seeds"
    assert said in " ".join(out.split())
    # One seed is too few: the command brings the others.
    command = shlex.split(next(line for line in out.splitlines() if line.startswith("  lebench run ")))
    asked = ["--model", "knn[k=5]", "--task", "digits/accuracy", "--task", "digits/small-n", "--seeds", "3"]
    assert command == ["lebench", "run", *asked, "--results", str(mine)]
    assert out.index("would give it the missing ranks:\n") < out.index(shlex.join(command)) < out.index("\nScores")
    assert lebench(*command[1:], "-j1")[0] == 0
    out = lebench("submit", mine, *ME, "--entries", entries)[1]
    assert "no score on" not in out
    assert "missing ranks" not in out


def test_an_entry_that_does_not_hold_is_not_written(lebench, results, tmp_path):
    store = Store(tmp_path / "forged")
    for record in Store(results).load():
        if record.label == "knn" and record.cell.task == "digits/accuracy":
            metrics = record.metrics | {"accuracy": 1.0, "error": 0.0, "generalization_gap": 0.0}
            store.put(
                record.model_copy(update={"metrics": metrics}).sealed(), recording=Store(results).recording(record)
            )
    code, out, _ = lebench("submit", store.folder, *ME, "--entries", tmp_path / "entries")
    assert code == 2
    assert "accuracy is claimed as 1, recomputed as" in out
    assert not (tmp_path / "entries").exists()


def test_what_the_pull_request_would_be_refused_for_is_said_before(submit, entries):
    """The same records under another name, and a name that looks like another's."""
    for model, name, message in (
        ("logistic-regression", "mine", "model configuration: is that of the entry logistic-regression"),
        ("knn", "1ogistic-regression", "looks like that of the entry logistic-regression"),
    ):
        code, out, _ = submit("-m", model, *ME, "--name", name, "--entries", entries)
        assert code == 2
        assert message in out
        assert not (entries / name).exists()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("where", ["while it is written", "while it is put in place"])
def test_who_interrupts_finds_the_old_entry_or_none(submit, entries, monkeypatch, there, where):
    if there:
        submit("-m", "knn", *ME, "--entries", entries)
    before = {path: path.read_bytes() for path in entries.rglob("*") if path.is_file()}

    def half(made, target, **_):
        Path(target).mkdir()
        (Path(target) / "entry.toml").write_text("half")
        raise KeyboardInterrupt

    rename = Path.rename

    def put(made, target):
        if made.suffix == ".part":
            raise KeyboardInterrupt
        return rename(made, target)

    if where == "while it is written":
        monkeypatch.setattr(shutil, "copytree", half)
    else:
        monkeypatch.setattr(Path, "rename", put)
    assert submit("-m", "knn", *ME, "--summary", "New", "--entries", entries)[0] == 130
    assert {path: path.read_bytes() for path in entries.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_no_entry_is_said_with_what_to_do(submit, entries):
    (entries / "knn").mkdir()
    code, _, err = submit("-m", "knn", *ME, "--entries", entries)
    assert (code, err.count("\n")) == (2, 1)
    assert f"remove {entries / 'knn'}, or give yours another name with --name" in err
    # What hides is no entry: a draft that was left, or what editors and systems leave.
    (entries / "knn").rename(entries / ".knn.part")
    code, out, _ = submit("-m", "knn", *ME, "--entries", entries)
    assert code == 0
    assert "cannot be shown" not in out


CLI = "from lebench.cli import main; main()"


@pytest.fixture(scope="module")
def own_model(tmp_path_factory):
    """Records of a model that lebench does not have, and its file."""
    folder = tmp_path_factory.mktemp("own")
    plugin = folder / "mine.py"
    plugin.write_text(EXAMPLE.read_text().replace('"nearest-mean"', '"my-means"'))
    asked = ["--plugin", plugin, "-m", "my-means", "-t", "digits/accuracy", "--seeds", "2", "-o", folder / "results"]
    subprocess.run([sys.executable, "-c", CLI, "run", *asked, "-j1"], check=True, capture_output=True)
    return folder / "results", plugin


def test_a_model_of_ones_own_comes_as_text(lebench, own_model, tmp_path):
    results, plugin = own_model
    code, _, err = lebench("submit", results, *ME, "--plugin", plugin, "--entries", tmp_path / "entries")
    assert code == 0, err
    entry = read_entry(tmp_path / "entries/my-means")
    assert (entry.folder / "plugin.py").read_bytes() == plugin.read_bytes()
    assert validate(entry.folder) == []
    assert entry.info.command == (
        "lebench run --plugin leaderboard/entries/my-means/plugin.py --model my-means --task digits/accuracy --seeds 2"
    )
    assert entry.info.summary == "The class whose mean is nearest"


def test_code_that_is_not_the_models_is_one_line(lebench, own_model, tmp_path):
    results, plugin = own_model
    large = tmp_path / "large.py"
    large.write_text(plugin.read_text() + "#" * 100_000)
    changed = tmp_path / "changed.py"
    changed.write_text(plugin.read_text().replace(".mean(", ".max("))
    for file, message in [
        (EXAMPLE, "does not register the model 'my-means'"),
        (large, "entry takes code of at most 100,000"),
        (tmp_path / "none.py", "is not a file"),
        (changed, "has changed since 2 of 2 records were made"),
    ]:
        code, _, err = lebench("submit", results, *ME, "--plugin", file, "--entries", tmp_path / "entries")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


@pytest.mark.parametrize("given", ["mine.py", "pack", "pack/models.py"])
def test_code_of_several_files_comes_as_a_folder_that_is_the_same_plugin(lebench, tmp_path, given):
    code = EXAMPLE.read_text().replace('"nearest-mean"', "NAME")
    names = "import numpy as np\nfrom pathlib import Path\n__lebench_data__ = ['w.npy']\nNAME = 'my-means'\n"
    names += "np.load(Path(__file__).with_name('w.npy'))\n"
    inside = "pack/" if given.startswith("pack") else ""
    texts = {
        f"{inside}names.py": names,
        f"{inside}{'models' if inside else 'mine'}.py": f"from .names import NAME\n{code}",
    }
    texts |= {"pack/__init__.py": "from . import models\n"} if inside else {}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    np.save(tmp_path / inside / "w.npy", np.zeros(3))
    (tmp_path / "unrelated.py").write_text("")
    asked = [
        "--plugin",
        tmp_path / given,
        "-m",
        "my-means",
        "-t",
        "digits/accuracy",
        "--seeds",
        "2",
        "-o",
        tmp_path / "r",
    ]
    subprocess.run([sys.executable, "-c", CLI, "run", *asked, "-j1"], check=True, capture_output=True)
    command = ("submit", tmp_path / "r", *ME, "--plugin", tmp_path / given, "--entries", tmp_path / "entries")
    status, out, err = lebench(*command)
    assert status == 0, out + err
    entry = read_entry(tmp_path / "entries/my-means")
    packed = sorted(
        path.relative_to(entry.folder / "plugin").as_posix() for path in (entry.folder / "plugin").rglob("*.*")
    )
    assert packed == sorted([*texts, f"{inside}w.npy"])
    assert entry.info.plugin == given
    assert validate(entry.folder) == []
    there = plugin_of(entry.folder, entry.info.plugin)
    assert entry.info.command.startswith(f"lebench run --plugin leaderboard/entries/my-means/plugin/{given} --model")
    assert {record.cell.plugin for record in entry.records} == {plugins.digest(plugins.find(there))}


def test_what_a_session_defined_cannot_be_submitted(lebench, own_model, tmp_path):
    records = Store(own_model[0]).load()
    other = Store(tmp_path / "results")
    other.prepare()
    for record in records:
        cell = record.cell.model_copy(update={"plugin": "session:" + "0" * 64})
        other.put(record.model_copy(update={"cell": cell}).sealed())
    code, _, err = lebench("submit", tmp_path / "results", *ME, "--entries", tmp_path / "entries")
    assert code == 2
    assert "my-means was defined in a script or notebook" in err


def test_without_its_code_there_is_a_note(lebench, own_model, tmp_path):
    out = lebench("submit", own_model[0], *ME, "--entries", tmp_path / "entries")[1]
    assert "note: lebench has no model my-means" in out
    assert not (tmp_path / "entries/my-means/plugin.py").exists()
