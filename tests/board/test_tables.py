"""The board as tables to download."""

from pathlib import Path

import pandas as pd
import pytest

from lebench.board import Entry, EntryInfo, make_board, score_table, write_tables
from lebench.board.tables import COLUMNS
from lebench.errors import LebenchError


@pytest.fixture
def board(make_record):
    entries = []
    for name in ("mlp", "constant"):
        records = [make_record("toy/accuracy", name, seed, {"accuracy": 0.5 + seed / 10}) for seed in range(3)]
        records.append(make_record("toy/small", name, 0, {"accuracy@n=50": 1 / 3}))
        info = EntryInfo(name=name, model=name, authors=["A"], lebench="0.1.0", command="lebench run")
        entries.append(Entry(info, tuple(records), Path(info.name)))
    return make_board(entries)


def test_a_row_for_each_value_of_each_seed(board):
    table = score_table(board)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * (3 + 1)
    row = table[(table["entry"] == "constant") & (table["value"] == "accuracy") & (table["seed"] == 2)].iloc[0]
    assert row.to_dict() == {
        "entry": "constant",
        "model": "constant",
        "control": True,
        "track": "generalization",
        "task": "toy/accuracy",
        "task_version": 1,
        "value": "accuracy",
        "direction": "higher",
        "seed": 2,
        "score": 0.7,
    }


def test_both_files_hold_the_table_to_the_last_bit_and_are_written_alike(board, tmp_path):
    files = write_tables(board, tmp_path / "new")
    again = write_tables(board, tmp_path / "again")
    assert [path.name for path in files] == ["board.csv", "board.parquet"]
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    table = score_table(board)
    pd.testing.assert_frame_equal(pd.read_csv(files[0]), table, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(files[1]), table, check_exact=True)


def test_a_board_without_entries_has_empty_tables(tmp_path):
    files = write_tables(make_board([]), tmp_path)
    assert files[0].read_text() == ",".join(COLUMNS) + "\n"
    assert len(pd.read_parquet(files[1])) == 0


def test_a_folder_that_cannot_be_written(board, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LebenchError, match="cannot write tables to"):
        write_tables(board, tmp_path / "file")
