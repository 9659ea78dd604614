import json
from pathlib import Path

import numpy as np
import pytest

from lebench.board import (
    Board,
    Entry,
    EntryInfo,
    direction_of,
    frame,
    leaders,
    make_board,
    mean_interval,
    standing,
    write_board,
)
from lebench.board.ranking import by_seed


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
    board = make_board(entries)
    assert [task.name for task in board.tasks] == ["toy/collapse", "toy/accuracy"]
    scores = {(s.task, s.entry): s for s in board.scores}
    assert scores["toy/accuracy", "mlp"].best
    assert scores["toy/accuracy", "mlp"].mean == pytest.approx(0.96)
    assert not scores["toy/accuracy", "linear"].tied
    # The control has the best mean, which a board must not reward.
    control = scores["toy/accuracy", "constant"]
    assert (control.best, control.tied) == (False, False)


def test_wins_are_against_models_not_controls(entries):
    rows = {entry.info.name: entry for entry in make_board(entries).entries}
    assert rows["constant"].control
    assert (rows["mlp"].wins["generalization"], rows["mlp"].losses["generalization"]) == (1, 0)
    assert (rows["linear"].wins["generalization"], rows["linear"].losses["generalization"]) == (0, 1)
    assert (rows["constant"].wins["generalization"], rows["constant"].losses["generalization"]) == (2, 0)


def test_what_is_missing_has_its_reason(entries):
    rows = {entry.info.name: entry for entry in make_board(entries).entries}
    assert rows["constant"].missing == {"toy/collapse": "skipped: needs features"}
    assert rows["linear"].missing == {"toy/collapse": "not run"}
    assert rows["mlp"].missing == {}
    assert rows["mlp"].ignored == ["toy/small: made with version 1, the current one is 2 (records: 1)"]


def test_cost_is_the_mean_of_the_cells(entries):
    cost = {entry.info.name: entry for entry in make_board(entries).entries}["mlp"].costs["toy/accuracy"]
    assert (cost.fit_s, cost.score_s, cost.cpu_s, cost.fits) == pytest.approx((2.0, 0.1, 2.2, 1))


def test_the_document_comes_back_from_its_file(tmp_path, entries):
    board = make_board(entries)
    write_board(board, tmp_path / "new" / "board.json")
    text = (tmp_path / "new" / "board.json").read_text()
    assert Board.model_validate_json(text) == board
    assert json.loads(text)["schema"] == 3
    assert "Infinity" not in text


def test_no_entries_make_an_empty_board():
    board = make_board([])
    assert (board.tasks, board.entries, board.scores) == ([], [], [])


def test_standings_have_a_scope_for_each_track_and_leave_out_controls(entries):
    board = make_board(entries, draws=100)
    assert [standings.scope for standings in board.standings] == ["generalization", "collapse", "overall"]
    generalization, collapse, overall = board.standings
    assert [(place.entry, place.rank) for place in generalization.places] == [("mlp", 1), ("linear", 2)]
    assert collapse.places == []
    assert [one.entry for one in collapse.unranked] == ["linear", "mlp"]
    assert overall.places == generalization.places
    (resolution,) = board.resolutions
    assert (resolution.task, resolution.deviation) == ("toy/accuracy", pytest.approx(0))


def test_the_same_entries_in_any_order_make_the_same_bytes(entries):
    one, other = make_board(entries, draws=50), make_board(reversed(entries), draws=50)
    assert one.model_dump_json() == other.model_dump_json()
    assert one.method.draws == 50


def test_scores_and_wins_are_those_of_pairs_one_by_one(make_record):
    """The arrays of the board against the functions behind `lebench show`, with seeds missing here and there."""
    rng = np.random.default_rng(0)
    entries, records = [], []
    for i, name in enumerate(("mlp", "cnn", "linear", "constant")):
        own = [
            make_record(task, name, seed, {value: float(rng.normal(i / 3, 0.2))})
            for task, value in (("toy/accuracy", "accuracy"), ("toy/collapse", "spread"))
            for seed in range(5)
            if rng.random() < 0.8
        ]
        entries.append(_entry(name, own))
        records += own
    board, table = make_board(entries, draws=10), frame(records)
    for score in board.scores:
        of_models = by_seed(table, score.task, score.value)
        expected = mean_interval(of_models[score.entry].values())
        assert (score.mean, score.lower, score.upper) == pytest.approx((expected.mean, expected.lower, expected.upper))
        best, tied = leaders(of_models, direction_of(score.value), exclude={"constant"})
        assert (score.best, score.tied) == (score.entry == best, score.entry in tied)
    for entry in board.entries:
        rivals = table[table["model"].isin({"mlp", "cnn", "linear", entry.info.name})]
        for place in standing(rivals, entry.info.name):
            assert entry.wins[place.track] == len(place.behind)
            assert entry.losses[place.track] == len(place.ahead)
