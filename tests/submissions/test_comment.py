"""The comment on a pull request, made of a result that may be forged."""

import io
import json
import os
import stat
import subprocess
import zipfile

import pytest
from submission_scripts import ENTRIES, ROOT, executable, script


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name.replace("_json", ".json"), content)
    return file.getvalue()


def linked(target):
    """Return an archive in which the result is a symbolic link, as zip on Linux stores one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        link = zipfile.ZipInfo("result.json")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, target)
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


def test_a_list_of_files_that_may_be_cut_off_is_refused():
    """GitHub lists 3,000 files; what comes after them is not seen."""
    files = [f"{ENTRIES}/mine/artifacts/{place}.npz" for place in range(2001)]
    said = script("comment").text(files, result(), "0" * 40)
    assert "**Refused**: it changes 2,001 files, at most 2,000 are looked at." in said
    assert "holds what it claims" not in said
    assert "holds what it claims" in script("comment").text(files[:-1], result(), "0" * 40)


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
        (archive(**{"../result_json": json.dumps(result())}), "damaged"),
        (linked("/etc/passwd"), "no JSON"),
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
    asked = folder / "asked"
    asked.write_text(asked.read_text() + "x" if asked.exists() else "x")
    print(json.dumps({pulls}[min(len(asked.read_text()), len({pulls})) - 1]))
elif path.endswith("/pulls/7/files"):
    print(*map(json.dumps, {files!r}), sep="\\n")
elif path.endswith("/runs/5/artifacts"):
    assert "name=verification" in options
    print(json.dumps({{"artifacts": [{{"id": 2, "size_in_bytes": 9}}, {{"id": 3, "size_in_bytes": {size}}}]}}))
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


def pull(number=7, sha="abc", branch="main", state="open"):
    return {"number": number, "state": state, "head": {"sha": sha}, "base": {"ref": branch}}


OURS = pull()


@pytest.fixture
def post(tmp_path):
    """A function that comments on a result, where GitHub answers what it is asked of pull requests one by one."""

    def post(found, sha="abc", size=1000, pulls=([OURS],)):
        (tmp_path / "asked").unlink(missing_ok=True)
        (tmp_path / "artifact.zip").write_bytes(archive(result_json=json.dumps(found)))
        gh = FAKE_GH.format(folder=str(tmp_path), files=FILES, size=size, pulls=pulls)
        executable(tmp_path / "bin/gh", gh)
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

    return post


@pytest.mark.parametrize(
    ("pulls", "said"),
    [
        pytest.param([[pull(branch="old")]], "not the newest of one", id="to another branch"),
        pytest.param([[pull(), pull(8, branch="old", state="closed")]], "not the newest of one", id="twice"),
        pytest.param([[pull(state="closed")]], "not the newest of one", id="closed"),
        pytest.param([[pull()], [pull(sha="later")]], "has changed meanwhile", id="pushed while files were listed"),
    ],
)
def test_a_result_is_said_only_of_the_pull_request_that_was_checked(post, tmp_path, pulls, said):
    assert said in post(result(), pulls=pulls)
    assert not (tmp_path / "11").exists()


def test_one_comment_is_posted_and_brought_up_to_date(post, tmp_path):
    # A pull request that has a newer commit than the one that was checked gets no comment.
    assert "not the newest" in post(result(), sha="older")
    assert not (tmp_path / "11").exists()
    post(result(verdict="refused", lines=["first"]))
    assert "first" in (tmp_path / "11").read_text()
    post(result(lines=["second"]))
    assert "first" not in (tmp_path / "11").read_text()
    assert "`mine` **holds what it claims**" in (tmp_path / "11").read_text()
    post(result(), size=5_000_001)
    assert "the result is too large" in (tmp_path / "11").read_text()
