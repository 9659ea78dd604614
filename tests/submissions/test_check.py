"""The check of a pull request: what is given to lebench, what is refused before, and what GitHub makes of its words."""

import os

import pytest
from submission_scripts import ENTRIES, executable, script, write


def test_the_files_of_an_entry_are_given_to_lebench(check, repository):
    write(repository, f"{ENTRIES}/mine/entry.toml")
    write(repository, f"{ENTRIES}/mine/artifacts/a.npz")
    code, result = check()
    assert (code, result["verdict"], result["entry"], result["rerun"]) == (0, "accepted", "mine", "")
    assert result["lines"] == [
        f"validate --base {ENTRIES}",
        "artifacts/a.npz: mine entry.toml: mine",
        f"verify --base {ENTRIES}",
    ]


def test_what_lebench_refuses_is_refused(check, repository):
    write(repository, f"{ENTRIES}/tampered/entry.toml")
    code, result = check()
    assert (code, result["verdict"]) == (1, "refused")


def test_no_lebench_is_no_verdict(check, repository, tmp_path):
    write(repository, f"{ENTRIES}/mine/entry.toml")
    (tmp_path / "bin/lebench").unlink()
    code, result = check()
    assert (code, result["verdict"]) == (2, "failed")


@pytest.mark.parametrize(
    "path", [f"{ENTRIES}/foreign/entry.toml", "lebench/verify.py", f"{ENTRIES}/x", ".github/workflows/entry.yml"]
)
def test_a_submission_changes_nothing_else(check, repository, path):
    write(repository, f"{ENTRIES}/mine/entry.toml")
    write(repository, path)
    code, result = check()
    assert (code, result["verdict"]) == (1, "refused")
    assert "a submission changes the folder of one entry" in result["lines"][0]


def test_an_entry_is_not_removed(check, repository):
    (repository.folder / ENTRIES / "foreign/entry.toml").unlink()
    code, result = check()
    assert code == 1
    assert result["lines"] == ["foreign: a submission does not remove an entry; ask for it in an issue"]


@pytest.mark.parametrize("name", ["<script>", "Mine", "-mine", "mi ne", "m\u0456ne"])
def test_a_name_is_plain(check, repository, name):
    write(repository, f"{ENTRIES}/{name}/entry.toml")
    code, result = check()
    assert code == 1
    assert "a name has at most 80 lower-case letters" in result["lines"][0]


def test_links_and_large_files_do_not_reach_the_disk(check, repository, tmp_path):
    write(repository, f"{ENTRIES}/mine/entry.toml")
    (repository.folder / ENTRIES / "mine/records.jsonl").symlink_to("/etc/passwd")
    assert check()[1]["lines"] == ["records.jsonl: is not a regular file"]
    repository("reset", "-q", "--hard", "HEAD^1")
    repository("branch", "-D", "submission")
    write(repository, f"{ENTRIES}/mine/entry.toml", "x" * 20_000_001)
    assert check()[1]["lines"] == ["entry.toml: has 20,000,001 bytes, which is too much to be looked at"]


@pytest.mark.parametrize("part", ["..", "."])
def test_a_path_does_not_lead_out_of_the_entry(check, repository, part):
    """git itself would not write such a tree, but one can be sent to it."""

    def tree(entries):
        raw = b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(one) for mode, name, one in entries)
        return repository("hash-object", "-t", "tree", "-w", "--literally", "--stdin", input=raw)

    blob = repository("hash-object", "-w", "--stdin", input=b"escaped")
    mine = tree([(b"40000", part, tree([(b"100644", "escaped", blob)]))])
    foreign = repository("rev-parse", f"main:{ENTRIES}/foreign")
    entries = tree([(b"40000", "foreign", foreign), (b"40000", "mine", mine)])
    made = tree([(b"40000", "leaderboard", tree([(b"40000", "entries", entries)]))])
    parent = repository("rev-parse", "main")
    submitted = repository("commit-tree", "-p", parent, "-m", "submission", made)
    merged = repository("commit-tree", "-p", parent, "-p", submitted, "-m", "merge", made)
    code, result = check(commit=merged)
    assert code == 1
    assert result["lines"] == [f"{part}/escaped: the path leads out of the entry"]


def test_a_rerun_is_of_the_commit_that_was_read(check, repository, tmp_path):
    write(repository, f"{ENTRIES}/mine/entry.toml", "")
    code, result = check("--rerun", "3", "--seed", "secret", "--head", "0" * 40)
    assert (code, result["verdict"]) == (2, "failed")
    assert result["lines"] == ["the submission has changed since it was approved; read it and ask for the re-run again"]
    code, result = check("--rerun", "3", "--head", "", commit="main")
    assert (code, result["verdict"]) == (2, "failed")
    assert "no commit was approved" in result["lines"][0]
    head = repository("rev-parse", "submission")
    code, result = check("--rerun", "3", "--seed", "secret", "--head", head, commit="main")
    assert (code, result["rerun"]) == (0, "3")
    assert f"verify --base {ENTRIES} --rerun 3 --seed secret --write" in result["lines"]
    assert (tmp_path / "out/verification.json").read_text() == "{}"
    executable(tmp_path / "bin/lebench", "")
    code, result = check("--rerun", "3", commit="main")
    assert (code, result["verdict"]) == (2, "failed")
    assert "the re-run has left no verification.json" in result["lines"][0]


@pytest.mark.parametrize("path", ["x\n::error::all is well", f"{ENTRIES}/mine/x\r\n::add-mask::a"])
def test_github_takes_nothing_that_is_printed_for_a_command(check, repository, monkeypatch, capsys, path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    shown = script("verify-entry").show
    shown(["::error::all is well", path])
    first, *_, last = capsys.readouterr().out.splitlines()
    word = first.removeprefix("::stop-commands::")
    assert len(word) == 32
    assert last == f"::{word}::"
    write(repository, path)
    write(repository, f"{ENTRIES}/mine/entry.toml")
    assert all(line == line.strip("\r\n") for line in check()[1]["lines"])


def test_what_a_re_run_left_is_read_only_if_it_is_a_file(tmp_path, monkeypatch):
    verify_entry = script("verify-entry")
    path = tmp_path / "verification.json"
    path.write_bytes(b"{}")
    assert verify_entry.left(path) == b"{}"
    monkeypatch.setattr(verify_entry, "LARGEST_FILE", 1)
    with pytest.raises(verify_entry.FailedError, match="too large"):
        verify_entry.left(path)
    (tmp_path / "secret").write_text("s")
    for put in (
        lambda: path.symlink_to(tmp_path / "secret"),
        # Nobody writes into it: reading it must not wait.
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: None,
    ):
        path.unlink()
        put()
        with pytest.raises(verify_entry.FailedError, match="the re-run has left"):
            verify_entry.left(path)
        if path.is_dir():
            path.rmdir()
            path.touch()
