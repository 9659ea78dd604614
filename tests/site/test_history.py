"""The page of changes: from a real git history, from a shallow one, and from none."""

import json
import re
import shutil
import subprocess

import pytest

from lebench.board import EntryInfo, make_board, read_entries, write_entry
from lebench.site import leaderboard
from lebench.site.history import Change, Day, Difference, History, read_history
from lebench.site.pictures import Gallery


def git(folder, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def write(make_record, tmp_path):
    def write(name, values):
        info = EntryInfo(name=name, model="mlp", authors=["A. Author"], lebench="0.1.0", command="lebench run")
        records = [
            make_record(task, "mlp", seed, {value: number})
            for task, value, numbers in values
            for seed, number in enumerate(numbers)
        ]
        write_entry(tmp_path / "repository" / "leaderboard" / "entries", name, records, info)

    return write


@pytest.fixture
def repository(write, tmp_path):
    """Two entries; then one changes and a new one comes by a merge; then one is removed, one described anew."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write("one", [("toy/accuracy", "accuracy", [0.5, 0.7]), ("toy/collapse", "spread", [1.0])])
    write("two", [("toy/accuracy", "accuracy", [0.1])])
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "The first <b>entries</b>")
    git(folder, "checkout", "-qb", "pull")
    write("one", [("toy/accuracy", "accuracy", [0.6, 0.8]), ("toy/collapse", "spread", [1.0])])
    git(folder, "commit", "-qam", "half of it")
    write("three", [("toy/small", "accuracy@n=100", [0.25])])
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "the other half")
    git(folder, "checkout", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "Merged: one and three", "pull")
    entries = folder / "leaderboard" / "entries"
    shutil.rmtree(entries / "two")
    info = entries / "one" / "entry.toml"
    info.write_text(info.read_text().replace("A. Author", "B. Author"))
    (folder / "elsewhere.txt").write_text("of no concern")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Two is gone")
    return folder


def test_every_commit_says_what_became_of_the_entries(repository):
    root = repository / "leaderboard" / "entries"
    history = read_history(root, read_entries(root))
    assert history.source == "From the git history of the entries."
    assert [day.subject for day in history.days] == ["Two is gone", "Merged: one and three", "The first <b>entries</b>"]
    told = [[(change.entry, change.kind, change.records) for change in day.changes] for day in history.days]
    assert told == [
        [("one", "described", 0), ("two", "removed", 1)],
        [("one", "changed", 3), ("three", "added", 1)],
        [("one", "added", 3), ("two", "added", 1)],
    ]
    one = history.days[1].changes[0]
    assert one.same == 1
    (difference,) = one.differences
    assert difference == Difference("toy/accuracy", "accuracy", pytest.approx(0.6), pytest.approx(0.7))


def test_the_page_is_a_table_that_needs_no_script(repository):
    root = repository / "leaderboard" / "entries"
    entries = read_entries(root)
    pages = leaderboard.pages(make_board(entries), Gallery(), read_history(root, entries))
    page = pages["changes.md"]
    assert "0.600 → 0.700 (+0.100)" in page
    assert "1 of 2" in page
    # The entry that is gone is named and has no page; what a message says is text.
    assert '<td data-csv="two">two</td>' in page
    # The two entries of the first commit are one line, and their records are counted together.
    assert page.count('"><th scope="row">') == 5
    assert "added with 4 records" in page
    assert "entries/two/" not in page
    assert "&lt;b&gt;entries&lt;/b&gt;" in page
    assert "[Changes](changes.md)" in pages["SUMMARY.md"]


def test_what_one_commit_changed_is_one_row_with_all_differences(repository):
    root = repository / "leaderboard" / "entries"
    entries = read_entries(root)
    better = Difference("toy/accuracy", "accuracy", 0.5, 0.75)
    new = Difference("toy/collapse", "spread", None, 2.0)
    day = Day(
        "2026-11-28",
        "0123abcd",
        "Run anew",
        (
            Change("one", "changed", 4, 2, (better, new)),
            Change("gone", "changed", 2, 1),
            Change("three", "changed", 2, 0, (better,)),
        ),
    )
    page = leaderboard.pages(make_board(entries), Gallery(), History((day,), ""))["changes.md"]
    (row,) = re.findall(r"<tr [^>]*>\s*<th scope=.row.>.*?</tr>", page, re.DOTALL)
    assert 'data-entries="one gone three"' in row
    assert '<td data-v="3"><details><summary>3 of 6</summary>' in row
    # An entry without a difference has no part in their list.
    assert re.findall(r"<p>(?:<a [^>]*>)?(\w+)", row) == ["one", "three"]
    assert "new, 2.00" in row


def test_a_shallow_checkout_says_that_it_is_one(repository, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    root = clone / "leaderboard" / "entries"
    history = read_history(root, read_entries(root))
    assert "shallow" in history.source
    assert [[(c.entry, c.kind) for c in day.changes] for day in history.days] == [
        [("one", "added"), ("three", "added")]
    ]


def test_without_git_the_dates_of_the_records_serve(repository, tmp_path, monkeypatch):
    root = repository / "leaderboard" / "entries"
    entries = read_entries(root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    shutil.rmtree(repository / ".git")
    plain = read_history(root, entries)
    assert plain.source.startswith("There is no git history here: dates are those of the last record")
    assert [(day.date, day.commit, [c.entry for c in day.changes]) for day in plain.days] == [
        (entries[0].records[0].run.finished[:10], "", ["one", "three"])
    ]
    git(tmp_path, "init", "-q")
    assert read_history(root, entries).source.startswith("The entries are not under version control")
    monkeypatch.setenv("PATH", "")
    assert read_history(root, entries).days == plain.days


def test_lines_that_are_no_records_are_passed_over(repository):
    root = repository / "leaderboard" / "entries"
    entries = read_entries(root)
    records = root / "three" / "records.jsonl"
    good = json.loads(records.read_text())
    lines = ["{", "[" * 100_000, json.dumps({"cell": 3}), json.dumps(good | {"metrics": {"accuracy@n=100": "much"}})]
    records.write_text("\n".join(lines))
    git(repository, "commit", "-qam", "Damaged")
    (change,) = read_history(root, entries).days[0].changes
    assert (change.entry, change.kind, change.records) == ("three", "changed", 1)
    assert [(each.before, each.after) for each in change.differences] == [(0.25, None)]
