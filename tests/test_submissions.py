"""What happens to a pull request with an entry: its check, the comment on it, and what the workflows may do."""

import importlib.machinery
import importlib.util
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRIES = "leaderboard/entries"


def script(name):
    """Return a script of continuous integration as a module."""
    loader = importlib.machinery.SourceFileLoader(f"ci_{name}", str(ROOT / ".ci" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def executable(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def repository(tmp_path):
    """A repository with an entry, and git in it."""
    folder = tmp_path / "repository"

    def git(*args, **options):
        own = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", "-C", folder, *own, *args], check=True, capture_output=True, **options)
        return done.stdout.decode().strip()

    (folder / ENTRIES / "foreign").mkdir(parents=True)
    (folder / ENTRIES / "foreign/entry.toml").write_text("theirs")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "main")
    git.folder = folder
    return git


@pytest.fixture
def check(repository, tmp_path):
    """A function that merges the work in a repository and checks it: by a lebench that lists the files it is given."""
    listing = (
        "import sys, pathlib\n"
        "folder = pathlib.Path(sys.argv[2])\n"
        "print(sys.argv[1], *sys.argv[3:])\n"
        "print(*sorted(f'{p.relative_to(folder)}: {p.read_text()}' for p in folder.rglob('*') if p.is_file()))\n"
        "if '--write' in sys.argv: (folder / 'verification.json').write_text('{}')\n"
        "sys.exit('tampered' in folder.name)\n"
    )
    lebench = executable(tmp_path / "bin/lebench", listing)

    def check(*options, commit="HEAD"):
        if commit == "HEAD":
            repository("switch", "-qc", "submission")
            repository("add", "-A")
            repository("commit", "-qm", "submission", "--allow-empty")
            repository("switch", "-q", "main")
            repository("merge", "-q", "--no-ff", "-m", "merge", "submission")
        command = [ROOT / ".ci/verify-entry", commit, "--out", tmp_path / "out", *options]
        environment = os.environ | {"LEBENCH": str(lebench)}
        done = subprocess.run(
            command, cwd=repository.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        result = json.loads((tmp_path / "out/result.json").read_text())
        assert result["lines"] == done.stdout.splitlines()
        return done.returncode, result

    return check


def write(repository, path, text="mine"):
    path = repository.folder / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_files_of_an_entry_are_given_to_lebench(check, repository):
    write(repository, f"{ENTRIES}/mine/entry.toml")
    write(repository, f"{ENTRIES}/mine/artifacts/a.npz")
    code, result = check()
    assert (code, result["verdict"], result["entry"], result["rerun"]) == (0, "accepted", "mine", "")
    assert result["lines"] == [
        f"validate --base {ENTRIES}",
        "artifacts/a.npz: mine entry.toml: mine",
        "verify",
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
    write(repository, f"{ENTRIES}/mine/entry.toml")
    code, result = check("--rerun", "3", "--seed", "secret", "--head", "0" * 40)
    assert (code, result["verdict"]) == (2, "failed")
    assert result["lines"] == ["the submission has changed meanwhile; ask for the check again"]
    head = repository("rev-parse", "submission")
    code, result = check("--rerun", "3", "--seed", "secret", "--head", head, commit="main")
    assert (code, result["rerun"]) == (0, "3")
    assert "verify --rerun 3 --seed secret --write" in result["lines"]
    assert (tmp_path / "out/verification.json").read_text() == "{}"
    executable(tmp_path / "bin/lebench", "")
    code, result = check("--rerun", "3", commit="main")
    assert (code, result["verdict"]) == (2, "failed")
    assert "the re-run has left no verification.json" in result["lines"][0]


def isolation():
    return subprocess.run([ROOT / ".ci/isolated", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not isolation(), reason="no command can be cut off from the network here")
def test_a_plugin_is_given_only_to_a_rerun_without_network_and_environment(check, repository, tmp_path, monkeypatch):
    write(repository, f"{ENTRIES}/mine/plugin.py")
    assert all("--plugin" not in line for line in check()[1]["lines"])
    executable(
        tmp_path / "bin/lebench",
        "import os, socket, sys\n"
        "if sys.argv[1] == 'validate': sys.exit()\n"
        "powerless = 'CapEff:\\t0000000000000000' in open('/proc/self/status').read()\n"
        "print(sys.argv[-2:], 'TOKEN' in os.environ, powerless)\n"
        "print(socket.if_nameindex())\n"
        "open(sys.argv[2] + '/verification.json', 'w').write('{}')\n",
    )
    monkeypatch.setenv("TOKEN", "secret")
    code, result = check("--rerun", "all", commit="HEAD~0")
    assert code == 0, result
    said, interfaces = result["lines"]
    assert "--plugin" in said
    assert said.endswith("plugin.py'] False True")
    assert interfaces == "[(1, 'lo')]"


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name.replace("_json", ".json"), content)
    return file.getvalue()


def result(**changes):
    return {"schema": 1, "entry": "mine", "verdict": "accepted", "rerun": "", "lines": ["it is valid"]} | changes


FILES = [f"{ENTRIES}/mine/entry.toml", f"{ENTRIES}/mine/artifacts/a.npz"]


def test_a_comment_says_what_was_found():
    comment = script("comment")
    said = comment.text(FILES, result(), "0123456789abcdef")
    assert said.splitlines() == [
        comment.MARK,
        "",
        "`mine` **holds what it claims**.",
        "",
        "```text",
        "it is valid",
        "```",
        "",
        "Checked at 0123456789ab by the code of the main branch.",
    ]
    assert "A re-run was asked for" in comment.text(FILES, result(rerun="3"), "0" * 40)
    assert "`mine` **does not hold what it claims**." in comment.text(FILES, result(verdict="refused"), "0" * 40)
    assert "`mine` **could not be checked**: the check did not end" in comment.text(
        FILES, "the check did not end", "0" * 40
    )


def test_nothing_in_a_result_leaves_its_block():
    comment = script("comment")
    hostile = ["```", "@maintainer <img src=x onerror=alert(1)>", "a\nb\x1b[31m\u202e", "````", "x" * 1000]
    said = comment.text(FILES, result(lines=hostile + ["line"] * 100, entry="<script>"), "0" * 40)
    assert "<script>" not in said
    before, inside, after = said.split("`````")
    assert "img" in inside
    assert "img" not in before + after
    assert not {"\x1b", "\u202e"} & set(said)
    assert "x" * 300 + " …" in inside
    assert "x" * 301 not in inside
    assert "… and 65 more lines" in inside
    assert len(said) < 20_000


@pytest.mark.parametrize("foreign", [".github/workflows/entry.yml", "leaderboard/entries/other/entry.toml", "a`b\n@x"])
def test_a_result_counts_only_if_nothing_else_is_changed(foreign):
    """Who changes the workflow can make it say anything."""
    said = script("comment").text([*FILES, foreign], result(), "0" * 40)
    assert "**Refused**" in said
    assert "holds what it claims" not in said
    assert "it is valid" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "damaged"),
        (archive(other_json="{}"), "damaged"),
        (archive(result_json=" " * 1_000_001), "too large"),
        (archive(result_json="[" * 100_000), "no JSON"),
        (archive(result_json="[]"), "other fields"),
        (archive(result_json=json.dumps(result(more=1))), "other fields"),
        (archive(result_json=json.dumps(result(lines="text"))), "is not one"),
        (archive(result_json=json.dumps(result(lines=[1]))), "is not one"),
        (archive(result_json=json.dumps(result(verdict="<b>"))), "is not one"),
    ],
)
def test_a_hostile_artifact_is_no_result(content, message):
    with pytest.raises(ValueError, match=message):
        script("comment").read_result(content)


FAKE_GH = """import json, pathlib, sys
folder = pathlib.Path({folder!r})
path, options = sys.argv[2], sys.argv[3:]
assert sys.argv[1] == "api"
if path.endswith("/pulls"):
    assert "head=me:branch" in options
    print(json.dumps([{{"number": 7, "head": {{"sha": "abc"}}}}]))
elif path.endswith("/pulls/7/files"):
    print(*map(json.dumps, {files!r}), sep="\\n")
elif path.endswith("/runs/5/artifacts"):
    print(json.dumps({{"artifacts": [{{"name": "verification", "id": 3, "size_in_bytes": {size}}}]}}))
elif path.endswith("/artifacts/3/zip"):
    sys.stdout.buffer.write((folder / "artifact.zip").read_bytes())
elif path.endswith("/issues/7/comments") and "POST" in options:
    (folder / "11").write_text(json.load(sys.stdin)["body"])
elif path.endswith("/issues/7/comments"):
    print("11" if (folder / "11").exists() else "")
elif path.endswith("/issues/comments/11") and "PATCH" in options:
    (folder / "11").write_text(json.load(sys.stdin)["body"])
else:
    sys.exit(f"unexpected: {{path}}")
"""


def test_one_comment_is_posted_and_brought_up_to_date(tmp_path):
    def post(found, sha="abc", size=1000):
        (tmp_path / "artifact.zip").write_bytes(archive(result_json=json.dumps(found)))
        executable(tmp_path / "bin/gh", FAKE_GH.format(folder=str(tmp_path), files=FILES, size=size))
        environment = os.environ | {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "REPOSITORY": "lebench/lebench",
            "RUN_ID": "5",
            "HEAD_SHA": sha,
            "HEAD_OWNER": "me",
            "HEAD_BRANCH": "branch",
        }
        return subprocess.run(
            [ROOT / ".ci/comment"], env=environment, capture_output=True, text=True, check=True
        ).stdout

    # A pull request that has a newer commit than the one that was checked gets no comment.
    assert "no open pull request" in post(result(), sha="older")
    assert not (tmp_path / "11").exists()
    post(result(verdict="refused", lines=["first"]))
    assert "first" in (tmp_path / "11").read_text()
    post(result(lines=["second"]))
    assert "first" not in (tmp_path / "11").read_text()
    assert "`mine` **holds what it claims**" in (tmp_path / "11").read_text()
    post(result(), size=5_000_001)
    assert "the result is too large" in (tmp_path / "11").read_text()


def test_workflows_are_without_known_weaknesses():
    zizmor = Path(sys.executable).with_name("zizmor")
    if not zizmor.exists():
        pytest.skip("zizmor is not installed")
    command = [zizmor, "--offline", "--quiet", "--persona", "pedantic", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_who_may_do_what():
    """Only the comment and the publication may write, and neither installs or runs anything that was submitted."""
    yaml = pytest.importorskip("yaml")
    allowed = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        assert "secrets." not in text.replace("without secrets.", "")
        assert "pull_request_target" not in text
        for name, job in yaml.safe_load(text)["jobs"].items():
            own = job.get("permissions", yaml.safe_load(text)["permissions"])
            allowed[f"{path.stem}.{name}"] = {key for key, value in own.items() if value == "write"}
            if allowed[f"{path.stem}.{name}"]:
                assert [step["run"] for step in job["steps"] if "run" in step] in ([], [".ci/comment"])
                assert all("ref" not in step.get("with", {}) for step in job["steps"])
    assert {name: rights for name, rights in allowed.items() if rights} == {
        "comment.comment": {"pull-requests"},
        "publish.publish": {"pages", "id-token"},
    }


def test_everything_that_a_workflow_runs_can_be_run_here():
    yaml = pytest.importorskip("yaml")
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    commands = [
        step["run"]
        for path in (ROOT / ".github/workflows").glob("*.yml")
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert len(commands) > 5
    for command in commands:
        program, argument, *_ = [*command.split(), ""]
        if program == "make":
            assert argument in targets | {".venv/.ready"}
        elif program != "git":
            assert os.stat(ROOT / program).st_mode & stat.S_IXUSR
