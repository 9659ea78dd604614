import math

from lebench.board import frame
from lebench.board.frame import COLUMNS


def test_a_row_for_each_value_and_each_reason(make_record):
    table = frame(
        [
            make_record(metrics={"accuracy": 0.9}, missing={"norm": "no weights"}),
            make_record(seed=1, status="timeout", reason="longer than 60 s"),
        ]
    )
    assert tuple(table.columns) == COLUMNS
    rows = table[["seed", "metric", "status", "reason"]].values.tolist()
    assert rows == [[0, "accuracy", "ok", ""], [0, "norm", "ok", "no weights"], [1, "", "timeout", "longer than 60 s"]]
    assert table["value"][0] == 0.9
    assert math.isnan(table["value"][1])
    assert math.isnan(table["value"][2])
    assert table["cpu_s"][0] == 2.2
    assert math.isnan(table["cpu_s"][2])


def test_a_label_with_two_backends_is_told_apart(make_record):
    records = [make_record(metrics={"accuracy": 0.9}, backend=backend) for backend in ("torch", "jax")]
    assert frame(records)["model"].tolist() == ["mlp (torch, float32)", "mlp (jax, float32)"]
    assert frame(records[:1])["model"].tolist() == ["mlp"]
    assert frame(records, "mine")["model"].tolist() == ["mine", "mine"]


def test_no_records_make_an_empty_table_with_the_same_columns():
    assert tuple(frame([]).columns) == COLUMNS
