"""What a submission may do to the leaderboard, on small entries of a toy catalogue."""

import os
import shutil
import subprocess

import pytest

from lebench.artifacts import pack
from lebench.board import EntryInfo, read_entry, write_entry
from lebench.cli import verifying
from lebench.errors import LebenchError
from lebench.records import Cost
from lebench.verify import base
from lebench.verify.submission import check_submission, skeleton

ONE, OTHER = pack({"recorded_answers": [[1.0, 2.0]]})[1], pack({"recorded_answers": [[3.0, 4.0]]})[1]


@pytest.fixture
def put(make_record):
    """A function that writes an entry of one record into a folder of entries."""

    def put(folder, name, label, authors=("A. Author",), value=0.5, artifacts=ONE, fit_s=1.0, **changes):
        cost = Cost(fit_s=fit_s, score_s=0.1, cpu_s=1.0, peak_memory_bytes=10**8, fits=1)
        record = make_record(
            label=label, metrics={"accuracy": value, "norm": 1.0}, artifacts=artifacts, cost=cost, **changes
        )
        info = EntryInfo(
            name=name, model=label, authors=list(authors), lebench="0.1.0", command=f"lebench run --model {label}"
        )
        return write_entry(folder, name, [record], info).folder

    return put


@pytest.fixture
def main(put, tmp_path):
    """The folder of the main branch's entries: two of them."""
    entries = tmp_path / "main" / "leaderboard" / "entries"
    put(entries, "mlp", "mlp")
    put(entries, "lenet", "linear", artifacts=OTHER, fit_s=2.0)
    return entries


def found(folder, reference, own=()):
    with base(str(reference), folder) as known:
        violations = check_submission(folder, read_entry(folder), known, {folder.name, *own})
        return "\n".join(map(str, violations))


def test_a_new_entry_is_welcome(put, main, tmp_path):
    new = put(tmp_path / "new", "cnn", "cnn", artifacts={}, fit_s=3.0)
    assert found(new, main) == ""
    # A checkout of the main branch says the same as its folder of entries.
    assert found(new, main.parents[1]) == ""


@pytest.mark.parametrize(
    ("name", "label", "options", "line"),
    [
        ("len_et", "cnn", {}, "len_et: name: looks like that of the entry lenet; choose another"),
        ("1enet", "cnn", {}, "1enet: name: looks like that of the entry lenet"),
        ("m-l-p", "cnn", {}, "m-l-p: name: looks like that of the entry mlp"),
        ("copy", "mlp", {}, "records.jsonl: model configuration: is that of the entry mlp, which stands"),
        (
            "copy",
            "mlp",
            {"value": 0.9},
            "toy/accuracy seed 0: is the same cell with other values: accuracy is claimed as",
        ),
        (
            "mine",
            "cnn",
            {"fit_s": 1.0},
            "toy/accuracy seed 0: cost and times are those of toy/accuracy seed 0 in the entry mlp",
        ),
        ("mine", "cnn", {"artifacts": ONE}, "what the model answered is that of the entry mlp, number by number"),
        ("mlp", "mlp", {"authors": ["B. Other"]}, "entry.toml: authors: are not those of the entry of this name"),
        ("mlp", "cnn", {}, "entry.toml: model: is not that of the entry of this name; choose another name"),
        (
            "mlp",
            "mlp",
            {"value": 0.9},
            "is the same cell with other values: accuracy is claimed as 0.9, in the entry mlp",
        ),
    ],
)
def test_what_a_new_entry_may_not_be(put, main, tmp_path, name, label, options, line):
    new = put(tmp_path / "new", name, label, **({"artifacts": {}, "fit_s": 3.0} | options))
    assert line in found(new, main)


def test_an_entry_is_renewed_by_its_authors(put, main, tmp_path):
    assert found(put(tmp_path / "new", "mlp", "mlp"), main) == ""


def test_a_renewed_entry_keeps_its_seeds(main, tmp_path, make_record):
    before = read_entry(main / "mlp")
    seeds = [make_record(label="mlp", seed=seed, metrics={"accuracy": 0.5, "norm": 1.0}) for seed in (1, 2)]
    write_entry(main, "mlp", [*before.records, *seeds], before.info)
    fewer = write_entry(tmp_path / "new", "mlp", [*before.records, seeds[0]], before.info)
    assert found(fewer.folder, main).startswith("records.jsonl: toy/accuracy: had 3 seeds on the board and has 2 now")


def test_a_verification_is_not_brought_along(put, main, tmp_path):
    new = put(tmp_path / "new", "cnn", "cnn", artifacts={}, fit_s=3.0)
    (new / "verification.json").write_text("{}")
    assert found(new, main).startswith("verification.json: content: is written by maintainers")
    renewed = put(tmp_path / "new", "mlp", "mlp")
    for folder in (renewed, main / "mlp"):
        (folder / "verification.json").write_text("{}")
    assert found(renewed, main, ["cnn"]) == ""


def test_a_folder_with_other_entries_must_be_the_main_branch_s(put, main, tmp_path):
    entries = tmp_path / "checkout"
    shutil.copytree(main, entries)
    new = put(entries, "cnn", "cnn", artifacts={}, fit_s=3.0)
    assert found(new, main) == ""
    (entries / "mlp" / "more").write_text("x")
    assert found(new, main) == "mlp: change: a submission changes no other entry"
    (entries / "mlp" / "more").unlink()
    shutil.rmtree(entries / "lenet")
    assert found(new, main) == "lenet: change: a submission removes no other entry"
    shutil.copytree(main / "lenet", entries / "lenet")
    put(entries, "second", "constant", artifacts={}, fit_s=4.0)
    assert found(new, main) == "second: change: a submission brings one entry; send this one by itself"
    assert found(new, main, ["second"]) == ""


@pytest.fixture
def git(main):
    """A function that runs git in a repository whose main branch has the entries."""
    repository = main.parents[1]

    def git(*arguments):
        own = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", repository, *own, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "before")
    return git


def test_a_branch_changes_its_entry_and_nothing_else(put, main, git):
    git("switch", "-qc", "submission")
    new = put(main, "cnn", "cnn", artifacts={}, fit_s=3.0)
    assert found(new, "main") == ""
    git("add", "-A")
    git("commit", "-qm", "submission")
    assert found(new, "main") == ""
    (main / "mlp" / "entry.toml").write_text("changed")
    (main.parents[1] / "Makefile").write_text("changed")
    git("add", "-A")
    said = found(new, "main")
    rule = "change: a submission changes the folder of its entry and nothing else"
    assert said.splitlines() == [f"Makefile: {rule}", f"leaderboard/entries/mlp/entry.toml: {rule}"]
    # What lies about and is not part of the branch is no part of the submission.
    git("reset", "-q", "--hard")
    (main.parents[1] / "results").write_text("mine")
    assert found(new, "main") == ""


def test_what_main_has_got_meanwhile_is_not_the_submission_s_change(put, main, git):
    git("switch", "-qc", "submission")
    put(main, "cnn", "cnn", artifacts={}, fit_s=3.0)
    git("add", "-A")
    git("commit", "-qm", "submission")
    git("switch", "-q", "main")
    put(main, "c_n_n", "constant", artifacts={}, fit_s=4.0)
    git("add", "-A")
    git("commit", "-qm", "another")
    git("switch", "-q", "submission")
    assert found(main / "cnn", "main") == "cnn: name: looks like that of the entry c_n_n; choose another"


def test_a_bad_base_is_a_bad_command(put, main, tmp_path):
    for reference in ("nowhere", "--output=x", "\x1b[31m"):
        with pytest.raises(LebenchError, match="neither a folder nor a revision"), base(reference, main / "mlp"):
            pass
    with pytest.raises(LebenchError, match="there is no folder"):
        verifying.show([tmp_path / "nowhere"])
    (main / "mlp" / "records.jsonl").write_text("[" * 10)
    new = put(tmp_path / "new", "cnn", "cnn")
    with pytest.raises(LebenchError, match="the entry mlp cannot be read"):
        found(new, main)


def test_both_are_said_what_is_wrong_with_an_entry_and_with_submitting_it(put, main, tmp_path, capsys):
    new = put(tmp_path / "new", "m-lp", "cnn", artifacts={}, fit_s=3.0)
    (new / "more").write_text("x")
    os.mkfifo(new / "pipe")
    assert verifying.show([new], str(main)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "more: name: does not belong to an entry; remove it",
        "pipe: name: does not belong to an entry; remove it",
        "m-lp: name: looks like that of the entry mlp; choose another",
    ]


@pytest.mark.parametrize(
    ("label", "taken"),
    [("MLP", "mlp"), ("mlp.", "mlp"), ("m-lp", "mlp"), ("l1near", "linear"), ("Linear[width=3]", "linear")],
)
def test_a_model_is_not_called_like_another(put, main, tmp_path, label, taken):
    new = put(tmp_path / "new", "mine", label, artifacts={}, fit_s=3.0)
    name = label.split("[")[0]
    assert found(new, main).startswith(f"entry.toml: model: {name} looks like {taken}, the model of the entry")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("resnet", "res-net", True),
        ("resnet", "ResNet", True),
        ("mlp-depth1", "mlp-depthl", True),
        ("vgg", "vgg.", True),
        ("linear-kernel", "linearkemel", True),
        ("mlp-lr1.0", "mlp-lr10", False),
        ("mlp-lr0.1", "mlp-lr0.01", False),
        ("nngp-mlp", "ntk-mlp", False),
    ],
)
def test_names_that_look_alike(one, other, alike):
    assert (skeleton(one) == skeleton(other)) is alike
