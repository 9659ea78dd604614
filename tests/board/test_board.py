import json
from pathlib import Path

import pytest

from lebench.board import Board, Entry, EntryInfo, make_board, write_board


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
    assert json.loads(text)["schema"] == 2
    assert "Infinity" not in text


def test_no_entries_make_an_empty_board():
    board = make_board([])
    assert (board.tasks, board.entries, board.scores) == ([], [], [])
