"""``lebench submit``: from records to a pull request, with real repositories and a ``gh`` that only takes notes."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lebench.board import make_outlook, read_entries, read_entry
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store
from lebench.verify import validate

EXAMPLE = Path(__file__).parents[2] / "docs/assets/examples/nearest_mean.py"
ME = ("--author", "A. Author")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of real records of three models, one of them a control."""
    store = Store(tmp_path_factory.mktemp("run") / "results")
    models = ["knn", "logistic-regression", "random-features"]
    execute(make_plan(["digits/accuracy", "digits/small-n"], models, [0, 1]), store, jobs=1)
    return store.folder


@pytest.fixture
def submit(lebench, results):
    return lambda *args: lebench("submit", results, *args)


@pytest.fixture
def entries(submit, tmp_path):
    """A folder with the entries of a model and a control."""
    folder = tmp_path / "entries"
    for model in ("logistic-regression", "random-features"):
        assert submit("-m", model, *ME, "--entries", folder)[0] == 0
    return folder


def test_an_entry_is_written_verified_and_compared_with_the_board(submit, entries):
    code, out, _ = submit("-m", "knn", *ME, "--link", "https://example.org/paper", "--entries", entries)
    assert code == 0
    entry = read_entry(entries / "knn")
    assert validate(entry.folder) == []
    assert entry.info.authors == ["A. Author"]
    assert entry.info.links == ["https://example.org/paper"]
    assert entry.info.command == "lebench run --model knn --task digits/accuracy --task digits/small-n --seeds 2"
    assert "4 of 4 records with a recording agree\n" in out
    # The same numbers as the board will have, beside the only rival; a control is no neighbour.
    outlook = make_outlook(read_entries(entries), entry)
    assert outlook.entries == 3
    overall = outlook.standings[0]
    assert overall.scope == "overall"
    assert (overall.ranked, overall.place.entry) == (2, "knn")
    assert {each.task.name for each in outlook.scores} == {"digits/accuracy", "digits/small-n"}
    for each in outlook.scores:
        rival = each.better or each.worse
        assert (each.better is None) != (each.worse is None)
        assert rival.entry == "logistic-regression"
        assert (rival.mean >= each.score.mean) == (each.better is not None)
        assert f"logistic-regression {rival.mean:.4f}" in out
    assert "overall" in out


def test_the_outlook_is_the_board_with_the_entry_replaced(submit, entries):
    submit("-m", "knn", *ME, "--entries", entries)
    before = read_entries(entries)
    assert make_outlook(before, before[-1]) == make_outlook(before[:-1], before[-1])


def test_a_control_takes_no_rank(submit, entries):
    assert "overall: controls take no rank" in submit("-m", "random-features", *ME, "--entries", entries)[1]


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
        (ME, "has records of knn, logistic-regression, random-features: name one with --model"),
        (("-m", "knn", *ME, "--backend", "jax"), "knn was run on numpy, not on jax"),
        (("-m", "knn", *ME, "--link", "javascript:alert(1)"), "--link 'javascript:alert(1)': a link is an address"),
        (("-m", "knn", *ME, "--name", "../up"), "--name '../up': a name has at most 80 lower-case letters"),
        (("-m", "knn", *ME, "--plugin", EXAMPLE), "knn is a model of lebench: leave out --plugin"),
        (
            ("-m", "random-features", "--author", "B. Other"),
            "is an entry of others; give yours another name with --name",
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


def test_an_entry_that_does_not_hold_is_not_written(lebench, results, tmp_path):
    store = Store(tmp_path / "forged")
    for record in Store(results).load():
        if record.label == "knn" and record.cell.task == "digits/accuracy":
            metrics = record.metrics | {"accuracy": 1.0, "error": 0.0, "generalization_gap": 0.0}
            store.put(
                record.model_copy(update={"metrics": metrics}).sealed(), recording=Store(results).recording(record)
            )
    code, out, _ = lebench("submit", store.folder, *ME, "--entries", tmp_path / "entries")
    assert code == 1
    assert "accuracy is claimed as 1, recomputed as" in out
    assert not (tmp_path / "entries").exists()


def test_what_the_pull_request_would_be_refused_for_is_said_before(submit, entries):
    """The same records under another name, and a name that looks like another's."""
    for model, name, message in (
        ("logistic-regression", "mine", "model configuration: is that of the entry logistic-regression"),
        ("knn", "1ogistic-regression", "looks like that of the entry logistic-regression"),
    ):
        code, out, _ = submit("-m", model, *ME, "--name", name, "--entries", entries)
        assert code == 1
        assert message in out
        assert not (entries / name).exists()


@pytest.mark.parametrize("there", [False, True])
def test_who_interrupts_finds_the_old_entry_or_none(submit, entries, monkeypatch, there):
    if there:
        submit("-m", "knn", *ME, "--entries", entries)
    before = {path: path.read_bytes() for path in entries.rglob("*") if path.is_file()}

    def half(made, target, **_):
        Path(target).mkdir()
        (Path(target) / "entry.toml").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copytree", half)
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


def test_without_its_code_there_is_a_note(lebench, own_model, tmp_path):
    out = lebench("submit", own_model[0], *ME, "--entries", tmp_path / "entries")[1]
    assert "note: lebench has no model my-means" in out
    assert not (tmp_path / "entries/my-means/plugin.py").exists()


FAKE_GH = """#!{python}
import json, sys
with open({notes!r}, "a") as notes:
    notes.write(json.dumps(sys.argv[1:]) + "\\n")
asked = sys.argv[1:3]
if asked == ["repo", "view"]:
    print({about!r})
elif asked == ["api", "user"]:
    print("me")
elif asked == ["repo", "fork"]:
    import subprocess
    if "fork" not in subprocess.run(["git", "remote"], capture_output=True, text=True).stdout.split():
        subprocess.run(["git", "remote", "add", "fork", {fork!r}], check=True)
elif asked == ["pr", "list"]:
    # Besides the user's own there is one of somebody else, from a branch of the same name.
    opened = {opened!r}
    import os
    owners = [("other", 7)] + [("me", 1), ("lebench", 1)] * os.path.exists(opened)
    url = "https://example.org/pull/{{}}"
    print(json.dumps([{{"url": url.format(n), "headRepositoryOwner": {{"login": of}}}} for of, n in owners]))
elif asked == ["pr", "create"]:
    open({opened!r}, "x")
    print("https://example.org/pull/1")
else:
    sys.exit("unknown command")
"""


@pytest.fixture
def checkout(tmp_path, submit, monkeypatch):
    """A clone of a repository with an entry, and functions that use it."""
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A. Author")
        monkeypatch.setenv(f"{name}_EMAIL", "a@example.org")
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"

    def git(*args, at=clone):
        return subprocess.run(["git", "-C", at, *args], check=True, capture_output=True, text=True).stdout

    for name in ("upstream", "fork"):
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / name], check=True)
    subprocess.run(["git", "clone", "-q", upstream, clone], check=True, capture_output=True)
    git("switch", "-qc", "main")
    assert submit("-m", "random-features", *ME, "--entries", clone / "leaderboard/entries")[0] == 0
    (clone / "README.md").write_text("lebench")
    git("add", "-A")
    git("commit", "-qm", "first")
    git("push", "-q", "origin", "main")
    monkeypatch.chdir(clone)
    return git


@pytest.fixture
def gh(tmp_path, monkeypatch):
    """A function that puts a ``gh`` first on the PATH, which answers and takes notes; it returns the notes."""

    def install(**about):
        notes, answer = tmp_path / "notes", {"isFork": False, "parent": None, "viewerPermission": "READ"} | about
        command = tmp_path / "bin" / "gh"
        command.parent.mkdir()
        command.write_text(
            FAKE_GH.format(
                python=sys.executable,
                notes=str(notes),
                about=json.dumps({"nameWithOwner": "lebench/lebench"} | answer),
                fork=str(tmp_path / "fork"),
                opened=str(tmp_path / "opened"),
            )
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(command.parent), prepend=":")
        return lambda: [json.loads(line) for line in notes.read_text().splitlines()]

    return install


def changed(git, tmp_path, repository):
    """Return the files that the submitted branch of a repository changes."""
    return git("diff", "--name-only", "main", "entry-knn", at=tmp_path / repository).split()


def test_without_gh_the_commands_are_printed_and_work(submit, checkout, tmp_path, monkeypatch):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "git").symlink_to(shutil.which("git"))
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(bare))
    code, out, _ = submit("-m", "knn", *ME)
    monkeypatch.setenv("PATH", path)
    assert code == 0
    commands = [line.strip() for line in out.splitlines() if line.startswith("  git ")]
    assert len(commands) == 4
    for command in commands:
        subprocess.run(["bash", "-ec", command], check=True, capture_output=True)
    assert "leaderboard/entries/knn/entry.toml" in changed(checkout, tmp_path, "upstream")


def test_who_may_push_pushes_to_the_repository(submit, checkout, gh, tmp_path):
    notes = gh(viewerPermission="WRITE")
    (tmp_path / "clone/other.txt").write_text("work in progress")
    checkout("add", "other.txt")
    code, out, _ = submit("-m", "knn", *ME, "--yes")
    assert code == 0
    assert "The pull request is open: https://example.org/pull/1" in out
    view, _, create = notes()
    assert view[:2] == ["repo", "view"]
    options = dict(zip(create[2::2], create[3::2], strict=True))
    assert {key: options[key] for key in ("--repo", "--base", "--head", "--title")} == {
        "--repo": "lebench/lebench",
        "--base": "main",
        "--head": "entry-knn",
        "--title": "Entry: knn",
    }
    assert "| overall |" in options["--body"]
    # The entry and nothing else, although something else was added.
    paths = changed(checkout, tmp_path, "upstream")
    assert "leaderboard/entries/knn/records.jsonl" in paths
    assert all(path.startswith("leaderboard/entries/knn/") for path in paths)


def test_who_may_not_push_pushes_to_a_fork(submit, checkout, gh, tmp_path):
    notes = gh()
    assert submit("-m", "knn", *ME, "--yes")[0] == 0
    asked = [["repo", "view"], ["api", "user"], ["pr", "list"], ["repo", "fork"], ["pr", "create"]]
    assert [note[:2] for note in notes()] == asked
    assert "me:entry-knn" in notes()[-1]
    checkout("push", "-q", "fork", "main")
    assert "leaderboard/entries/knn/entry.toml" in changed(checkout, tmp_path, "fork")


def test_from_a_clone_of_a_fork(submit, checkout, gh):
    notes = gh(nameWithOwner="me/copy", isFork=True, parent={"name": "lebench", "owner": {"login": "lebench"}})
    assert submit("-m", "knn", *ME, "--yes")[0] == 0
    create = notes()[-1]
    assert create[create.index("--repo") + 1] == "lebench/lebench"
    assert create[create.index("--head") + 1] == "me:entry-knn"


def test_nothing_is_pushed_unless_the_user_agrees(submit, checkout, gh, tmp_path):
    notes = gh(viewerPermission="WRITE")
    code, out, _ = submit("-m", "knn", *ME)
    assert code == 0
    assert "gh pr create --repo lebench/lebench" in out
    assert [note[:2] for note in notes()] == [["repo", "view"], ["pr", "list"]]
    assert "entry-knn" not in checkout("branch", "--all")


def test_a_command_that_fails_is_named(submit, checkout, gh, tmp_path):
    gh(viewerPermission="WRITE")
    checkout("remote", "set-url", "origin", str(tmp_path / "gone"))
    code, _, err = submit("-m", "knn", *ME, "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert "'git push --set-upstream' failed: fatal: " in err
    assert err.endswith("only this is left to do: submit again to go on\n")


def test_a_submission_that_broke_off_goes_on(submit, checkout, gh, tmp_path):
    """Committed, but not pushed: neither is done twice, and neither is the pull request."""
    notes = gh()
    (tmp_path / "fork").rename(tmp_path / "gone")
    assert submit("-m", "knn", *ME, "--yes")[0] == 2
    (tmp_path / "gone").rename(tmp_path / "fork")
    code, out, err = submit("-m", "knn", *ME, "--yes")
    assert code == 0, err
    assert "git commit" not in out
    assert "The pull request is open: https://example.org/pull/1" in out
    code, out, err = submit("-m", "knn", *ME, "--summary", "Votes of neighbours", "--yes")
    assert code == 0, err
    assert "bring the pull request up to date" in out
    assert "The pull request is up to date: https://example.org/pull/1" in out
    assert sum(note[:2] == ["pr", "create"] for note in notes()) == 1
    pushed = checkout("show", "entry-knn:leaderboard/entries/knn/entry.toml", at=tmp_path / "fork")
    assert "Votes of neighbours" in pushed


def test_an_entry_as_it_stands_on_main_is_not_submitted(submit, checkout, tmp_path):
    code, out, _ = submit("-m", "random-features", *ME)
    assert code == 0
    assert "as it stands on main already: there is nothing to submit" in out
    assert "git push" not in out


def test_a_gh_that_does_not_work_is_none(submit, checkout, gh, tmp_path):
    gh()
    (tmp_path / "bin/gh").write_text("#!/bin/sh\necho 'please run: gh auth login\nor do not' >&2; exit 4\n")
    code, out, _ = submit("-m", "knn", *ME, "--yes")
    assert code == 0
    assert "note: gh cannot open the pull request: 'gh repo view' failed: please run: gh auth login\n" in out
    assert "  git push --set-upstream origin entry-knn" in out


def test_a_branch_with_other_changes_is_refused(submit, checkout, tmp_path):
    (tmp_path / "clone/README.md").write_text("changed")
    checkout("commit", "-qam", "other work")
    code, _, err = submit("-m", "knn", *ME)
    assert (code, err.count("\n")) == (2, 1)
    assert "changes more than the entry, README.md for one; run 'git switch main'" in err


def test_a_branch_of_an_earlier_submission_is_not_overwritten(submit, checkout, gh, tmp_path):
    """Nothing is written, so that the command that the message names works."""
    gh(viewerPermission="WRITE")
    assert submit("-m", "knn", *ME, "--yes")[0] == 0
    checkout("switch", "-q", "main")
    assert "there is a branch entry-knn already; run 'git switch entry-knn' to go on" in submit("-m", "knn", *ME)[2]
    assert not (tmp_path / "clone/leaderboard/entries/knn").exists()
    checkout("switch", "-q", "entry-knn")
    assert submit("-m", "knn", *ME, "--yes")[0] == 0


def test_an_entry_is_brought_up_to_date(submit, checkout, gh, tmp_path):
    gh(viewerPermission="WRITE")
    entry = tmp_path / "clone/leaderboard/entries/knn"
    assert submit("-m", "knn", *ME, "--yes")[0] == 0
    (entry / "verification.json").write_text("of the main branch")
    checkout("add", "-A")
    checkout("commit", "-qm", "verified")
    assert submit("-m", "knn", *ME, "--summary", "Votes of neighbours", "--yes")[0] == 0
    assert tomllib.loads((entry / "entry.toml").read_text())["summary"] == "Votes of neighbours"
    assert (entry / "verification.json").read_text() == "of the main branch"
    assert "leaderboard/entries/knn/entry.toml" in changed(checkout, tmp_path, "upstream")
