"""Entries whose records are of other versions than today's: outdated is not false."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lebench import registry
from lebench.board import make_board, read_entry
from lebench.cli import verifying
from lebench.runner.plan import make_plan
from lebench.verify import recompute, validate
from lebench.verify.submission import Base

ENTRIES = Path(__file__).parents[2] / "leaderboard/entries"
TASK = "digits/accuracy"
REASON = f"{TASK}: made by version 1, today's is version 2"


@pytest.fixture
def raised(monkeypatch):
    """Raise the version of a task for the time of a test."""
    monkeypatch.setitem(registry.tasks._objects, TASK, replace(registry.tasks.get(TASK), version=2))


def test_what_stands_on_the_board_is_what_a_run_would_make():
    """Whoever changes code without raising a version changes no key, so nothing is computed again."""
    for name in ("constant", "rbf", "lantk-hr-mlp"):
        entry = read_entry(ENTRIES / name)
        seeds = sorted({record.cell.seed for record in entry.records})
        tasks = sorted({r.cell.task for r in entry.records if registry.tasks.get(r.cell.task).dataset == "digits"})
        planned = {cell.cell.key for cell in make_plan(tasks, [entry.info.model], seeds).cells}
        kept = {record.cell.key for record in entry.records if record.cell.task in tasks}
        assert kept
        assert kept <= planned


def test_an_untouched_entry_stays_valid_and_says_what_is_outdated(raised, capsys):
    folder = ENTRIES / "constant"
    count = sum(record.cell.task == TASK for record in read_entry(folder).records)
    assert validate(folder) == []
    assert validate(folder, Base("main", ENTRIES, (), "leaderboard/entries"), ["constant"]) == []
    assert verifying.show([folder]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{count} records are outdated and left out: {REASON} ({count})"
    ]
    assert TASK not in {each.record.cell.task for each in recompute(read_entry(folder))}


def test_outdated_records_are_not_on_the_board_and_are_counted(raised):
    board = make_board([read_entry(ENTRIES / "constant")])
    assert TASK not in {task.name for task in board.tasks}
    (entry,) = board.entries
    assert [line.split(" (")[0] for line in entry.ignored] == [REASON]


def test_an_outdated_entry_is_not_taken_anew(raised, tmp_path):
    shutil.copytree(ENTRIES / "constant", tmp_path / "constant")
    (tmp_path / "constant/verification.json").unlink()
    empty = tmp_path / "main"
    empty.mkdir()
    found = validate(tmp_path / "constant", Base("main", empty, (), "leaderboard/entries"), ["constant"])
    assert [(each.file, each.field) for each in found] == [("records.jsonl", "version")]
    assert found[0].rule.startswith(REASON)
    assert found[0].rule.endswith("run them again")


def test_a_version_of_the_future_is_false(monkeypatch):
    monkeypatch.setitem(registry.tasks._objects, TASK, replace(registry.tasks.get(TASK), version=0))
    lines = {each.rule for each in validate(ENTRIES / "constant")}
    assert lines == {f"version 1 of {TASK} is none yet, today's is 0"}
