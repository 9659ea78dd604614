import math

import pytest
from scipy import stats

from lebench.board import direction_of, frame, is_control, leaders, primary_of, standing, summary

SCORES = {
    "mlp": [0.95, 0.96, 0.97, 0.95, 0.96],
    "cnn": [0.96, 0.95, 0.97, 0.96, 0.95],
    "linear": [0.90, 0.91, 0.92, 0.90, 0.91],
    "constant": [0.1, 0.1, 0.1, 0.1, 0.1],
}


@pytest.fixture
def table(make_record):
    return frame(
        make_record(task=task, label=label, seed=seed, metrics={metric: value})
        for label, values in SCORES.items()
        for seed, value in enumerate(values)
        for task, metric in (("toy/accuracy", "accuracy"), ("toy/collapse", "spread"))
    )


def test_summary_has_a_row_for_each_value_with_its_interval(table):
    rows = summary(table)
    assert len(rows) == 8
    row = rows[(rows["task"] == "toy/accuracy") & (rows["model"] == "mlp")].iloc[0]
    expected = stats.ttest_1samp(SCORES["mlp"], 0).confidence_interval(0.95)
    assert (row["lower"], row["upper"], row["seeds"]) == pytest.approx((expected.low, expected.high, 5), rel=1e-9)


def test_summary_of_one_seed_has_no_interval_and_missing_is_not_zero(make_record):
    one = make_record(metrics={"accuracy": 0.9}, missing={"norm": "no weights"})
    rows = summary(frame([one]))
    assert rows["metric"].tolist() == ["accuracy"]
    assert math.isnan(rows["lower"][0])


def test_standing_where_higher_is_better(table):
    place = standing(table, "mlp")[1]
    assert (place.task, place.metric, place.direction) == ("toy/accuracy", "accuracy", "higher")
    assert (place.ahead, place.tied, place.behind) == ((), ("cnn",), ("constant", "linear"))
    assert place.ranks == (1, 2)


def test_standing_where_lower_is_better(table):
    place = standing(table, "mlp")[0]
    assert (place.task, place.direction) == ("toy/collapse", "lower")
    assert (place.ahead, place.tied, place.behind) == (("constant", "linear"), ("cnn",), ())
    assert place.ranks == (3, 4)


def test_standing_with_one_common_seed_distinguishes_nobody(table):
    place = standing(table[(table["seed"] == 0) | (table["model"] == "cnn")], "mlp")[1]
    assert (place.ahead, place.behind) == ((), ())
    assert len(place.tied) == 3


def test_leaders_are_the_best_and_those_like_it():
    values = {model: dict(enumerate(scores)) for model, scores in SCORES.items()}
    best, tied = leaders(values, "higher")
    assert {best} | tied == {"mlp", "cnn"}
    assert leaders(values, "lower", exclude={"constant"}) == ("linear", frozenset())
    assert leaders(values, "none") == (None, frozenset())
    assert leaders({}, "higher") == (None, frozenset())


def test_what_the_registry_says(catalogue):
    assert primary_of("toy/small") == "accuracy@n=100"
    assert direction_of("accuracy@n=100") == "higher"
    assert is_control("constant[seed=1]")
    assert not is_control("mlp")
    assert not is_control("somebody-elses")
