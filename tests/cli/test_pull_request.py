"""``lebench submit``: from an entry to a pull request, with real repositories and a ``gh`` that only takes notes."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

ME = ("--author", "A. Author")

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
    assert "| generalization |" in options["--body"]
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


def test_what_is_pushed_as_it_is_leaves_nothing_to_do(submit, checkout, gh, monkeypatch):
    notes = gh(viewerPermission="WRITE")
    assert submit("-m", "knn", *ME, "--yes")[0] == 0
    code, out, _ = submit("-m", "knn", *ME, "--yes")
    assert code == 0
    assert "there is nothing left to do: https://example.org/pull/1" in out
    assert "git push" not in out
    assert sum(note[:2] == ["pr", "create"] for note in notes()) == 1
    # Another version of it is told apart.
    out = submit("-m", "knn", *ME, "--summary", "Votes of neighbours")[1]
    assert "git commit -m 'Entry: knn, run anew' -- " in out
    monkeypatch.setattr("lebench.cli.pull_request.shutil.which", lambda name: name if name == "git" else None)
    for command in ("add", "commit"):
        checkout(command, *(["-qm", "by hand"] if command == "commit" else ["--", "leaderboard"]))
    assert "  git push" in submit("-m", "knn", *ME, "--summary", "Votes of neighbours")[1]
    checkout("push", "-q")
    out = submit("-m", "knn", *ME, "--summary", "Votes of neighbours")[1]
    assert "only the pull request is left to open" in out
    assert "  git " not in out


def test_a_new_version_of_an_entry_on_main_is_called_so(submit, checkout, gh):
    notes = gh(viewerPermission="WRITE")
    assert submit("-m", "random-features", *ME, "--summary", "Random", "--yes")[0] == 0
    assert checkout("log", "-1", "--format=%s") == "Entry: random-features, run anew\n"
    create = notes()[-1]
    assert create[create.index("--title") + 1] == "Entry: random-features, run anew"


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
