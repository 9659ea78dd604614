"""``lebench baselines``: the plan is printed, run in shares, and its entries are written when all of it is there."""

import pytest

from lebench import board
from lebench.cli import baselines


@pytest.fixture
def asked(monkeypatch, tmp_path):
    monkeypatch.setattr(
        baselines, "stand", lambda: {"constant": ("digits/accuracy",), "knn": ("digits/accuracy", "digits/small-n")}
    )
    (tmp_path / "entries").mkdir()
    return ["baselines", "-o", tmp_path / "results", "--entries", tmp_path / "entries", "--seeds", "3"]


def rows(out):
    found = [line.split() for line in out.splitlines() if "digits" in line]
    return {label: " ".join(rest) for label, *rest in found}


def test_the_plan_is_done_in_shares_and_then_written(asked, tmp_path, lebench):
    code, out, _ = lebench(*asked, "--plan")
    assert code == 0
    assert rows(out)["knn"].startswith("digits 2 3 0 of 6")
    assert "of 9 cells the time is not known" in out
    for shard in ("1/2", "2/2"):
        assert lebench(*asked, "--shard", shard, "--jobs", "1")[0] == 0
        assert not list((tmp_path / "entries").iterdir())
    assert rows(lebench(*asked, "--plan")[1])["knn"].startswith("digits 2 3 6 of 6")
    assert lebench(*asked, "--jobs", "1")[0] == 0
    entries = {entry.name: entry for entry in board.read_entries(tmp_path / "entries")}
    assert {name: len(entry.records) for name, entry in entries.items()} == {"constant": 3, "knn": 6}
    assert (
        entries["knn"].info.command == "lebench run --model knn --task digits/accuracy --task digits/small-n --seeds 3"
    )
    # What the entries hold need not be made again.
    elsewhere = [tmp_path / "other" if part == tmp_path / "results" else part for part in asked]
    assert rows(lebench(*elsewhere, "--plan")[1])["knn"].startswith("digits 2 3 6 of 6")
    assert lebench(*elsewhere, "--shard", "1/0")[0] == 2


def test_what_costs_most_starts_first(asked, tmp_path, lebench):
    assert lebench(*asked, "--jobs", "1")[0] == 0
    plan = baselines.whole_plan(5, tmp_path / "entries")
    assert [job.label for job in plan.jobs] == ["knn"] * 5 + ["constant"] * 5
