"""Why values are not in a table: said once per model and reason, with the seeds it concerns."""

import pandas as pd
import pytest

from lebench.board.frame import COLUMNS
from lebench.cli import reading
from lebench.cli.reasons import without_value

TASK = "geomnist/dynamics"


def table(*rows):
    """Rows of model, seed, metric, value, reason, and the status if it is not ok."""
    found = pd.DataFrame(
        [
            dict(zip(("model", "seed", "metric", "value", "reason"), row, strict=False))
            | {"task": TASK, "track": "elasticity", "status": row[5] if len(row) > 5 else "ok"}
            for row in rows
        ],
        columns=list(COLUMNS),
    )
    return found.astype({"value": "float64"})


PLANTED = table(
    ("mlp", 0, "impact_difference@I", 2.0, ""),
    ("mlp", 1, "impact_difference@I", 3.0, ""),
    ("mlp", 0, "tail_index@inter-I", None, "no power law among its last 3 values"),
    ("mlp", 1, "tail_index@inter-I", None, "no power law among its last 4 values"),
    ("mlp", 0, "tail_index@intra-I", 1.0, ""),
    ("mlp", 1, "tail_index@intra-I", None, "no power law among its last 4 values"),
    ("linear", 0, "impact_difference@I", 1.0, ""),
    ("linear", 0, "tail_index@inter-I", None, "it vanishes"),
    ("cnn", 0, "", None, "training diverged", "failed"),
)


def test_a_reason_names_its_values_and_how_many_seeds_lack_them():
    assert without_value(PLANTED) == [
        "– mlp: tail_index@inter-I, tail_index@intra-I (1 of 2 seeds): no power law among its last 3 values",
        "– linear: tail_index@inter-I: it vanishes",
        "– cnn: no value: failed: training diverged",
    ]


def test_where_nothing_is_missing_nothing_is_said():
    assert without_value(PLANTED[PLANTED["value"].notna()]) == []


def test_reasons_stand_below_the_table_of_a_task(monkeypatch, lebench):
    monkeypatch.setattr(reading, "collect", lambda *_: ({"mlp", "linear", "cnn"}, PLANTED))
    code, out, _ = lebench("show", "--task", TASK)
    assert code == 0
    said = " ".join(out.split())
    for line in without_value(PLANTED):
        assert line in said
    assert said.index("tail_index@inter-I ↓") < said.index("– linear: tail_index@inter-I: it vanishes")


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_reasons_are_those_of_the_models_asked_for(monkeypatch, lebench, model):
    monkeypatch.setattr(reading, "collect", lambda *_: ({"mlp", "linear", "cnn"}, PLANTED))
    out = lebench("show", model, "--task", TASK)[1]
    assert [name for name in ("mlp", "linear", "cnn") if f"– {name}:" in out] == [model]
