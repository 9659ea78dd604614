"""Scores at many points are kept as classes and a few numbers, from which the same values come out."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lebench import metrics, registry
from lebench.artifacts import unpack
from lebench.board.entry_writing import LARGEST_RECORDING
from lebench.runner.decisions import classes_of, essence_of, scores_again
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.recorded_predictions import asked_of_test_points, predictions
from lebench.runner.recording import same
from lebench.runner.recording_format import DECIDED
from lebench.runner.store import Store
from lebench.runner.tolerance import compare
from lebench.runner.worker import rescored

MANY_POINTS = """
import numpy as np

import lebench

_rng = np.random.default_rng(7)
_y = np.arange(11_000) % 10
_x = np.eye(10)[_y] + 0.4 * _rng.normal(size=(len(_y), 10))
lebench.dataset("many", _x, _y, class_names=[str(label) for label in range(10)], test=10_000 / 11_000)
"""
TASKS = ["many/accuracy", "many/small-n"]
MODELS = ["knn", "constant", "linear[epochs=1,min_steps=0]"]
#: No confidence of few counts is at the edge of a bin.
OF_PROBABILITIES = (
    metrics.accuracy,
    metrics.log_loss,
    metrics.brier,
    partial(metrics.expected_calibration_error, bins=29),
)


@st.composite
def probabilities(draw):
    classes = draw(st.integers(2, 6))
    # Counts over their sum have ties, zeros and rows that are certain.
    counts = draw(st.lists(st.lists(st.integers(0, 4), min_size=classes, max_size=classes), min_size=1, max_size=20))
    rows = np.array(counts, dtype=np.float64)
    rows[rows.sum(axis=1) == 0] = 1
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=len(rows), max_size=len(rows)))
    return rows / rows.sum(axis=1, keepdims=True), np.array(labels)


@given(probabilities())
def test_what_is_kept_of_probabilities_has_their_metrics(made):
    found, labels = made
    again = scores_again(essence_of(found, labels), found.shape[1])
    for metric in OF_PROBABILITIES:
        assert metric(again, labels) == pytest.approx(metric(found, labels), abs=1e-9)
    again = scores_again(classes_of(found)[None], found.shape[1])
    assert metrics.accuracy(again, labels) == metrics.accuracy(found, labels)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.py").write_text(MANY_POINTS)
    store = Store(folder / "results")
    with pytest.MonkeyPatch.context() as patch:
        # What importing registers would be taken back with the rest.
        registry.datasets.get("digits"), registry.tasks.get("digits/accuracy"), registry.tasks.get("digits/small-n")
        for kind in (registry.datasets, registry.tasks):
            patch.setattr(kind, "_items", dict(kind._items))
            patch.setattr(kind, "_objects", dict(kind._objects))
        plan = make_plan(TASKS, MODELS, [0], plugins=[folder / "many.py"])
        records = execute(plan, store, jobs=1).records
        yield {(record.cell.task, record.cell.model): (record, store.recording(record)) for record in records}


@pytest.mark.parametrize("model", [model.split("[")[0] for model in MODELS])
@pytest.mark.parametrize("task", TASKS)
def test_a_recording_of_ten_thousand_test_points_is_small_and_exact(many, task, model):
    record, recording = many[task, model]
    assert 0 < len(recording) <= LARGEST_RECORDING
    split, question = registry.datasets.get("many").split(0), registry.tasks.get(task)
    assert len(split.y_test) == 10_000
    again = rescored(question, split, 0, unpack(recording, record.recorded))
    counted = [name for name in record.metrics if name.startswith(("accuracy", "error"))]
    assert {name: again[name] for name in counted} == {name: record.metrics[name] for name in counted}
    assert same(record.metrics, again)


def test_invented_answers_give_another_score(many):
    record, recording = many["many/small-n", "linear"]
    split, question = registry.datasets.get("many").split(0), registry.tasks.get("many/small-n")
    arrays = {name: array.copy() for name, array in unpack(recording, record.recorded).items()}
    (key, labels) = asked_of_test_points(question, split, 0)["n=500"]
    (place,) = (k for k, row in enumerate(arrays["recorded_calls"]) if row[:4].tobytes() == key)
    assert arrays["recorded_calls"][place, 4] == DECIDED
    before = sum(row[5] for row in arrays["recorded_calls"][:place] if row[4] == DECIDED)
    said = predictions({"n=500": (key, labels)}, arrays)["n=500"][0]
    wrong = np.flatnonzero((said != labels) & (said < 10))[:2]
    right = [np.flatnonzero((said == labels) & (labels == label))[0] for label in labels[wrong]]
    # Two errors of ten thousand points take over the right class.
    arrays["recorded_answers"][:, before + wrong] = arrays["recorded_answers"][:, before + np.array(right)]
    again = rescored(question, split, 0, arrays)
    assert again["accuracy@n=500"] > record.metrics["accuracy@n=500"]
    assert len(compare(record.metrics, again, "classes").differences) == 2


@pytest.mark.parametrize(
    "kept",
    [[[0.5]], [[3.0]], [[-1.0]], [[0.0], [3.0], [0.1], [0.0], [0.0]], [[0.0], [1.0], [0.9], [0.9], [0.1]]],
    ids=["no class", "too many", "negative", "no such class", "above one"],
)
def test_what_is_no_decision_is_refused(kept):
    with pytest.raises(ValueError, match=r"classes are whole|sum to 1"):
        scores_again(np.array(kept), 2)
