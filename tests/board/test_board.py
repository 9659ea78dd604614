import json
from pathlib import Path

import numpy as np
import pytest

from lebench.board import (
    Board,
    Entry,
    EntryInfo,
    frame,
    make_board,
    ranks_on_tasks,
    write_board,
)
from lebench.board.verification import CELLS
from lebench.site import leaderboard
from lebench.site.pictures import Gallery
from lebench.stats import mean_interval

#: Entries that rank as if records of them had been run again.
TRUSTED = ("mlp", "cnn", "linear")


def _entry(name, records, model=None):
    info = EntryInfo(
        name=name, model=model or name, authors=["A. Author"], lebench="0.1.0", command=f"lebench run --model {name}"
    )
    return Entry(info, tuple(records), Path(info.name))


@pytest.fixture
def entries(make_record):
    def cells(label, values, task="toy/accuracy", value="accuracy"):
        return [make_record(task, label, seed, {value: v}) for seed, v in enumerate(values)]

    return [
        _entry(
            "mlp",
            cells("mlp", [0.95, 0.96, 0.97])
            + cells("mlp", [0.1, 0.2, 0.3], "toy/collapse", "spread")
            + [make_record("toy/small", "mlp", 0, task_version=1, metrics={"accuracy@n=100": 0.5})],
        ),
        _entry("linear", cells("linear", [0.90, 0.91, 0.92])),
        _entry(
            "constant",
            [
                *cells("constant", [0.99, 0.99, 0.99]),
                make_record("toy/collapse", "constant", status="skipped", reason="needs features"),
            ],
        ),
    ]


def test_scores_leaders_and_controls(entries):
    board = make_board(entries, trusted=TRUSTED)
    assert [task.name for task in board.tasks] == ["toy/collapse", "toy/accuracy"]
    scores = {(s.task, s.entry): s for s in board.scores}
    assert scores["toy/accuracy", "mlp"].best
    assert scores["toy/accuracy", "mlp"].mean == pytest.approx(0.96)
    assert not scores["toy/accuracy", "linear"].tied
    # The control has the best mean, which a board must not reward.
    control = scores["toy/accuracy", "constant"]
    assert (control.best, control.tied) == (False, False)


def test_intervals_stay_within_the_bounds_of_the_metric(entries):
    for score in make_board(entries, trusted=TRUSTED).scores:
        assert score.lower >= 0
        assert score.value != "accuracy" or score.upper <= 1
        assert score.lower <= score.mean <= score.upper


def test_what_is_missing_has_its_reason(entries):
    rows = {entry.info.name: entry for entry in make_board(entries, trusted=TRUSTED).entries}
    assert rows["constant"].missing == {"toy/collapse": "skipped: needs features"}
    assert rows["linear"].missing == {"toy/collapse": "not run"}
    assert rows["mlp"].missing == {}
    assert rows["mlp"].ignored == ["toy/small: made by version 1, today's is version 2 (records: 1)"]


def test_cost_is_the_mean_of_the_cells(entries):
    cost = {entry.info.name: entry for entry in make_board(entries, trusted=TRUSTED).entries}["mlp"].costs[
        "toy/accuracy"
    ]
    assert (cost.fit_s, cost.score_s, cost.cpu_s, cost.fits) == pytest.approx((2.0, 0.1, 2.2, 1))


def test_the_document_comes_back_from_its_file(tmp_path, entries):
    board = make_board(entries, trusted=TRUSTED)
    write_board(board, tmp_path / "new" / "board.json")
    text = (tmp_path / "new" / "board.json").read_text()
    assert Board.model_validate_json(text) == board
    assert json.loads(text)["schema"] == 4
    assert "Infinity" not in text


def test_no_entries_make_an_empty_board():
    board = make_board([])
    assert (board.tasks, board.entries, board.scores) == ([], [], [])


def test_each_track_with_core_tasks_has_ranks_and_controls_have_none(entries):
    board = make_board(entries, trusted=TRUSTED)
    assert [ranking.track for ranking in board.rankings] == ["generalization", "collapse"]
    generalization, collapse = board.rankings
    assert generalization.tasks == ["toy/accuracy"]
    assert [(rank.entry, rank.rank, rank.seeds, rank.tasks) for rank in generalization.ranks] == [
        ("mlp", 1, 3, 1),
        ("linear", 2, 3, 1),
    ]
    assert (generalization.decided, generalization.neighbours, generalization.frozen) == (1.0, 1.0, False)
    assert generalization.ranks[0].beats == [1]
    assert collapse.ranks == []
    assert {one.entry: one.reason for one in collapse.unranked} == {
        "linear": "no score on toy/collapse",
        "mlp": "there is no other model to compare it with",
    }
    (resolution,) = board.resolutions
    assert (resolution.task, resolution.deviation) == ("toy/accuracy", pytest.approx(0))


def test_what_a_kind_of_model_cannot_do_costs_no_rank_and_is_said(make_record):
    def cells(label, *tasks):
        values = {"mlp": 0.9, "linear": 0.5, "cnn": 0.7}
        return [
            make_record(task, label, seed, {"accuracy": values[label] + seed / 100, "norm": 1.0})
            for task in tasks
            for seed in range(3)
        ]

    skipped = make_record("toy/other", "cnn", status="skipped", reason="needs the capability gram")
    entries = [
        _entry("mlp", cells("mlp", "toy/accuracy", "toy/other")),
        _entry("linear", cells("linear", "toy/accuracy", "toy/other")),
        _entry("cnn", [*cells("cnn", "toy/accuracy"), skipped]),
    ]
    (ranking,) = make_board(entries, trusted=TRUSTED).rankings
    assert ranking.tasks == ["toy/accuracy", "toy/other"]
    assert [(rank.entry, rank.rank, rank.tasks) for rank in ranking.ranks] == [
        ("mlp", 1, 2),
        ("cnn", 2, 1),
        ("linear", 3, 2),
    ]
    assert ranking.ranks[1].not_applicable == {"toy/other": "needs the capability gram"}
    # One that was run with too few seeds is not ranked, and the reason names task and seeds.
    short = _entry("cnn", cells("cnn", "toy/accuracy")[:2] + cells("cnn", "toy/other"))
    (ranking,) = make_board([*entries[:2], short], trusted=TRUSTED).rankings
    assert [one.reason for one in ranking.unranked] == ["toy/accuracy has 2 of 3 seeds"]


def test_the_same_entries_in_any_order_make_the_same_bytes(entries):
    one, other = make_board(entries, trusted=TRUSTED), make_board(reversed(entries), trusted=TRUSTED)
    assert one.model_dump_json() == other.model_dump_json()


def test_scores_and_ranks_are_those_that_a_run_ends_with(make_record):
    """The arrays of the board against what `lebench run` prints, with seeds missing here and there."""
    rng = np.random.default_rng(0)
    entries, records = [], []
    for i, name in enumerate(("mlp", "cnn", "linear", "constant")):
        own = [
            make_record(task, name, seed, {value: float(rng.beta(4 + i, 3))})
            for task, value in (("toy/accuracy", "accuracy"), ("toy/collapse", "spread"))
            for seed in range(5)
            if rng.random() < 0.8
        ]
        entries.append(_entry(name, own))
        records += own
    board, table = make_board(entries, trusted=TRUSTED), frame(records)
    models = table[table["model"] != "constant"]
    found = {(place.task, name): place for name in ("mlp", "cnn", "linear") for place in ranks_on_tasks(models, name)}
    for score in board.scores:
        bounds = (0, 1) if score.value == "accuracy" else (0, np.inf)
        expected = mean_interval(score.by_seed.values(), bounds=bounds)
        assert (score.mean, score.lower, score.upper) == pytest.approx((expected.mean, expected.lower, expected.upper))
        if score.entry == "constant":
            assert score.rank is None
            continue
        place = found[score.task, score.entry]
        assert (score.rank_lower, score.rank_upper, place.models) == (place.lower, place.upper, 3)
        assert place.estimate.lower == pytest.approx(score.lower)


def test_who_is_alone_is_not_the_best(make_record):
    records = [make_record("toy/accuracy", "mlp", seed, {"accuracy": 0.9}) for seed in range(3)]
    (score,) = make_board([_entry("mlp", records)], trusted=TRUSTED).scores
    assert (score.best, score.rank) == (False, None)


def test_what_nobody_has_checked_takes_no_rank(entries):
    board = make_board(entries, trusted=["mlp"])
    generalization = next(ranking for ranking in board.rankings if ranking.track == "generalization")
    assert {one.entry: one.reason for one in generalization.unranked} == {
        "linear": f"claimed: a rank needs {CELLS} records that were run again and agree",
        "mlp": "there is no other model to compare it with",
    }
    assert {score.entry: score.rank for score in board.scores if score.value == "accuracy"} == {
        "mlp": None,
        "linear": None,
        "constant": None,
    }


@pytest.mark.parametrize("outcome", [{"status": "timeout", "reason": "slow"}, {"missing": {"accuracy": "no"}}])
def test_seeds_without_a_value_are_said_and_cost_the_rank(make_record, outcome):
    def of(name, *values):
        return [make_record("toy/accuracy", name, seed, {"accuracy": value}) for seed, value in enumerate(values)]

    lost = [make_record("toy/accuracy", "mlp", seed, **outcome) for seed in (3, 4)]
    entries = [
        _entry("mlp", of("mlp", 0.95, 0.96, 0.97) + lost),
        *(_entry(name, of(name, *values)) for name, values in (("cnn", [0.5, 0.6, 0.7]), ("linear", [0.4, 0.5, 0.6]))),
    ]
    board = make_board(entries, trusted=TRUSTED)
    (ranking,) = board.rankings
    assert [rank.entry for rank in ranking.ranks] == ["cnn", "linear"]
    assert [(one.entry, one.reason) for one in ranking.unranked] == [("mlp", "toy/accuracy has 3 of 5 seeds")]
    scores = {score.entry: score for score in board.scores if score.value == "accuracy"}
    assert (scores["mlp"].seeds, scores["mlp"].planned, scores["mlp"].complete, scores["mlp"].rank) == (
        3,
        5,
        False,
        None,
    )
    assert (scores["cnn"].complete, scores["cnn"].rank) == (True, 1)
    page = leaderboard.pages(board, Gallery())
    assert all("3 of 5 seeds" in page[name] for name in ("entries/mlp.md", "table.md", "tasks/toy-accuracy.md"))
