import math

import pytest

from lebench.board import best_of, direction_of, frame, is_control, primary_of, ranks_on_tasks, summary
from lebench.board.ranking import is_random, rank_values
from lebench.stats import mean_interval

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
    expected = mean_interval(SCORES["mlp"], bounds=(0, 1))
    assert (row["lower"], row["upper"], row["seeds"]) == pytest.approx((expected.lower, expected.upper, 5), rel=1e-9)


def test_summary_of_one_seed_has_no_interval_and_missing_is_not_zero(make_record):
    one = make_record(metrics={"accuracy": 0.9}, missing={"norm": "no weights"})
    rows = summary(frame([one]))
    assert rows["metric"].tolist() == ["accuracy"]
    assert math.isnan(rows["lower"][0])


def test_ranks_on_a_task_where_higher_and_where_lower_is_better(table):
    lower, higher = ranks_on_tasks(table, "mlp")
    assert (higher.task, higher.metric, higher.direction) == ("toy/accuracy", "accuracy", "higher")
    assert (higher.lower, higher.upper, higher.models) == (1, 2, 4)
    assert (lower.task, lower.direction) == ("toy/collapse", "lower")
    assert (lower.lower, lower.upper) == (3, 4)


def test_one_common_seed_tells_nobody_apart(table):
    place = ranks_on_tasks(table[(table["seed"] == 0) | (table["model"] == "cnn")], "mlp")[1]
    assert (place.lower, place.upper) == (1, 4)


def test_a_value_without_direction_ranks_nobody():
    values = {"mlp": {0: 1.0, 1: 2.0}, "cnn": {0: 1.5, 1: 2.5}}
    assert rank_values(values, "none", {"mlp": "mlp", "cnn": "cnn"}) == {}
    assert rank_values({}, "higher", {"mlp": "mlp"}) == {}


def test_the_best_by_its_mean():
    values = {model: dict(enumerate(scores)) for model, scores in SCORES.items()}
    assert best_of(values, "higher") in {"mlp", "cnn"}
    assert best_of(values, "lower", exclude={"constant"}) == "linear"
    assert best_of(values, "none") is None
    assert best_of({}, "higher") is None


def test_kernels_of_infinite_width_draw_nothing_and_what_is_not_known_does():
    assert not any(map(is_random, ("ntk-mlp", "rbf", "knn", "ntk-cnn[depth=1]")))
    assert all(map(is_random, ("mlp", "entk-mlp", "lantk-hr-mlp", "lin-mlp", "somebody-elses")))


def test_what_the_registry_says(catalogue):
    assert primary_of("toy/small") == "accuracy@n=100"
    assert direction_of("accuracy@n=100") == "higher"
    assert is_control("constant[seed=1]")
    assert not is_control("mlp")
    assert not is_control("somebody-elses")
