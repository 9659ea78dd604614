"""What the workflows may do, and for whom."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from submission_scripts import ROOT, executable


@pytest.mark.parametrize(
    ("reviews", "login", "commit"),
    [
        ([["maintainer", "APPROVED", "a" * 40]], "maintainer", "a" * 40),
        (
            [
                ["maintainer", "APPROVED", "a" * 40],
                ["other", "APPROVED", "b" * 40],
                ["maintainer", "APPROVED", "c" * 40],
            ],
            "maintainer",
            "c" * 40,
        ),
        ([["other", "APPROVED", "b" * 40]], "maintainer", ""),
        ([], "maintainer", ""),
        ([["maintainer", "APPROVED", "$(true)"]], "maintainer", ""),
        ([["maintainer", "APPROVED", "a" * 40], ["maintainer", "CHANGES_REQUESTED", "a" * 40]], "maintainer", ""),
        ([["maintainer", "APPROVED", "a" * 40], ["other", "CHANGES_REQUESTED", "a" * 40]], "maintainer", ""),
        ([["maintainer", "APPROVED", "a" * 40], ["maintainer", "DISMISSED", "a" * 40]], "maintainer", ""),
        (
            [["other", "CHANGES_REQUESTED", "a" * 40], ["other", "APPROVED", "b" * 40], ["me", "APPROVED", "b" * 40]],
            "me",
            "b" * 40,
        ),
        ([], "author", "d" * 40),
        ([["other", "CHANGES_REQUESTED", "d" * 40]], "author", ""),
    ],
)
def test_what_is_run_again_is_the_commit_that_who_asks_has_approved(tmp_path, reviews, login, commit):
    answer = "".join(json.dumps(review) + "\n" for review in reviews)
    executable(
        tmp_path / "bin/gh", f"import sys\nassert 'repos/a/b/pulls/7/reviews' in sys.argv\nprint({answer!r}, end='')"
    )
    facts = {"REPOSITORY": "a/b", "NUMBER": "7", "LOGIN": login, "AUTHOR": "author", "HEAD": "d" * 40}
    environment = os.environ | facts | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci/approved"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{commit}\n"


def test_workflows_are_without_known_weaknesses():
    zizmor = Path(sys.executable).with_name("zizmor")
    if not zizmor.exists():
        pytest.skip("zizmor is not installed")
    command = [zizmor, "--offline", "--quiet", "--persona", "pedantic", ROOT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_who_may_do_what():
    """Only the comment, publication and releases may write, and none installs or runs what was submitted."""
    yaml = pytest.importorskip("yaml")
    allowed = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        assert "secrets." not in text.replace("without secrets.", "")
        assert "pull_request_target" not in text
        # A cache is shared with runs that have more rights.
        assert "cache" not in text
        for name, job in yaml.safe_load(text)["jobs"].items():
            own = job.get("permissions", yaml.safe_load(text)["permissions"])
            allowed[f"{path.stem}.{name}"] = {key for key, value in own.items() if value == "write"}
            if allowed[f"{path.stem}.{name}"]:
                assert [step["run"] for step in job["steps"] if "run" in step] in ([], [".ci/comment"])
                assert all("ref" not in step.get("with", {}) for step in job["steps"])
    assert {name: rights for name, rights in allowed.items() if rights} == {
        "comment.comment": {"pull-requests"},
        "publish.publish": {"pages", "id-token"},
        "release.attest": {"attestations", "id-token"},
        "release.publish": {"id-token"},
    }


def test_submissions_are_checked_by_the_main_branch_and_only_if_they_are_for_it():
    yaml = pytest.importorskip("yaml")
    for name in ("entry", "rerun"):
        # YAML takes the word "on" for true.
        document = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
        assert document[True]["pull_request"]["branches"] == ["main"]
        (job,) = document["jobs"].values()
        assert job["steps"][0]["with"] == {"ref": "main", "persist-credentials": False}
        assert all("${{" not in step.get("run", "") for step in job["steps"])
        # The commit that the comment names is the one that is checked, also if something is pushed meanwhile.
        (check,) = [step for step in job["steps"] if ".ci/verify-entry" in step.get("run", "")]
        assert "--head" in check["run"]
        assert check["env"]["HEAD"] == "${{ github.event.pull_request.head.sha }}"


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
        elif program not in ("git", "grep", "sudo"):
            assert os.stat(ROOT / program).st_mode & stat.S_IXUSR
