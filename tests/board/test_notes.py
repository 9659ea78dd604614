"""Entries renamed, withdrawn, corrected and challenged: by the commands, as the pages show it."""

import json

import pytest
from click.testing import CliRunner
from stored import agree

from lebench.board import EntryInfo, make_board, read_entries, read_entry, verified, write_entry
from lebench.board.notes import NAME, read_notes
from lebench.cli.app import app
from lebench.errors import LebenchError
from lebench.site import leaderboard
from lebench.site.pictures import Gallery
from lebench.verify import base
from lebench.verify.submission import check_submission


@pytest.fixture
def entries(tmp_path, make_record):
    """A folder with two entries, whose values at test points are kept beside it."""
    folder = tmp_path / "leaderboard" / "entries"
    (folder.parent / "points" / "entries").mkdir(parents=True)
    for name in ("mlp", "cnn"):
        records = [make_record("toy/accuracy", name, seed, {"accuracy": 0.5 + seed / 10}) for seed in range(3)]
        command = f"lebench run --plugin leaderboard/entries/{name}/plugin.py --model {name}"
        info = EntryInfo(name=name, model=name, authors=["A. Author"], lebench="0.1.0", command=command)
        agree(write_entry(folder, name, records, info))
        (folder.parent / "points" / "entries" / f"{name}.npz").write_bytes(b"kept")
    return folder


@pytest.fixture
def run(entries):
    def run(*words):
        done = CliRunner().invoke(app, ["entry", *words, "--entries", str(entries)], catch_exceptions=True)
        if isinstance(done.exception, LebenchError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def pages(folder):
    return leaderboard.pages(make_board(read_entries(folder)), Gallery(), notes=read_notes(folder))


def test_an_entry_that_is_renamed_keeps_records_and_checks(entries, run):
    before = read_entry(entries / "mlp")
    checked = verified(before)
    assert run("rename", "mlp", "mlp-relu", "--reason", "There are two now.").startswith("mlp is mlp-relu now")
    after = read_entry(entries / "mlp-relu")
    assert (after.records, verified(after)) == (before.records, checked)
    assert after.info.command == "lebench run --plugin leaderboard/entries/mlp-relu/plugin.py --model mlp"
    points = entries.parent / "points" / "entries"
    assert sorted(path.name for path in points.iterdir()) == ["cnn.npz", "mlp-relu.npz"]
    found = pages(entries)
    assert "mlp renamed to" in " ".join(found["entries/mlp-relu.md"].split())
    assert 'href="../../entries/mlp-relu/"' in found["entries/mlp.md"]


def test_a_withdrawn_entry_leaves_a_tombstone_and_its_name_is_not_given_again(entries, run, tmp_path, make_record):
    run("withdraw", "mlp", "--reason", "The data were wrong.", "--link", "https://example.org/why")
    assert [path.name for path in entries.iterdir()] == ["cnn"]
    page = pages(entries)["entries/mlp.md"]
    assert "There is no entry of this name any more." in page
    assert "mlp withdrawn. The data were wrong." in page
    assert 'href="https://example.org/why"' in page
    info = EntryInfo(name="mlp", model="linear", authors=["B"], lebench="0.1.0", command="lebench run")
    other = write_entry(tmp_path / "new", "mlp", [make_record("toy/accuracy", "linear", 0, {"accuracy": 0.1})], info)
    with base(str(entries), other.folder) as main:
        said = [str(each) for each in check_submission(other.folder, other, main, {"mlp"})]
    assert said[0].startswith("mlp: name: is that of an entry that was withdrawn on 20")


def test_a_challenge_is_shown_and_settled(entries, run):
    with pytest.raises(LebenchError, match="mlp has no challenge that is open"):
        run("settle", "mlp", "--reason", "Nothing was.")
    run("challenge", "mlp", "--reason", "Seed 2 cannot be made again.")
    run("settle", "mlp", "--reason", "It was made again.")
    run("correct", "mlp", "--reason", "Seed 2 was run with one thread.")
    assert [note.kind for note in read_notes(entries)] == ["challenged", "settled", "corrected"]
    page = pages(entries)["entries/mlp.md"]
    for said in ("mlp challenged. Seed 2 cannot be made again.", "mlp settled. It was made again."):
        assert said in page
    assert "entries/gone" not in pages(entries)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("withdraw", "nobody", "--reason", "x"), "there is no entry 'nobody'"),
        (("withdraw", "../cnn", "--reason", "x"), "there is no entry '../cnn'"),
        (("rename", "mlp", "cnn", "--reason", "x"), "there is or was an entry 'cnn'"),
        (("rename", "mlp", "con", "--reason", "x"), "'con' is no name of an entry"),
        (("correct", "mlp", "--reason", "<b>"), "--reason has < >, which HTML or Markdown may act on"),
        (("correct", "mlp", "--reason", "x", "--link", "javascript:x"), "--link is not a plain http"),
    ],
)
def test_bad_words_are_one_line_and_change_nothing(entries, run, words, said):
    with pytest.raises(LebenchError, match=said.replace("(", r"\(")):
        run(*words)
    assert not (entries.parent / NAME).exists()
    assert sorted(path.name for path in entries.iterdir()) == ["cnn", "mlp"]


def test_a_line_that_is_no_note_is_named(entries):
    (entries.parent / NAME).write_text(json.dumps({"date": "today"}) + "\n")
    with pytest.raises(LebenchError, match=r"notes.jsonl line 1"):
        read_notes(entries)
