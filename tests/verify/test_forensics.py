"""Flags: made-up entries with a known answer, honest entries, and the board of today."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lebench import registry
from lebench.artifacts import pack, unpack
from lebench.board import EntryInfo, read_entries, write_entry
from lebench.errors import UnavailableDataError
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.recorded_predictions import asked_of_test_points, predictions
from lebench.runner.recording_format import parts
from lebench.runner.store import Store
from lebench.verify import Rerun, forensics
from lebench.verify.forensics import flags, flags_of_reruns

MODELS = ("rbf", "knn", "logistic-regression")
BOARD = Path(__file__).parents[2] / "leaderboard" / "entries"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Entries of three honest models by real runs, by name."""
    folder = tmp_path_factory.mktemp("board")
    store = Store(folder / "results")
    records = execute(make_plan(["digits/accuracy", "digits/small-n"], MODELS, [0, 1]), store, jobs=1).records
    for name in MODELS:
        own = [record for record in records if record.label == name]
        recordings = {record.cell.key: store.recording(record) for record in own}
        info = EntryInfo(name=name, model=name, authors=["A. Author"], lebench="0.1.0", command="lebench run")
        write_entry(folder / "entries", name, own, info, {}, recordings)
    return {entry.name: entry for entry in read_entries(folder / "entries")}


@pytest.fixture
def claim(tmp_path):
    """A function that returns another's entry as one's own, its numbers, costs and description changed."""

    def claim(entry, change=lambda numbers: numbers, cost=lambda cost: cost, **info):
        records, recordings = [], {}
        for record in entry.records:
            arrays = entry.recording(record)
            numbers = change(np.concatenate(list(parts(arrays).values())))
            content, described = pack(arrays | {"recorded_answers": as_bytes(numbers)})
            cell = record.cell.model_copy(update={"model": "mine", "plugin": "0" * 64})
            changes = {"cell": cell, "label": "mine", "artifacts": described, "cost": cost(record.cost)}
            records.append(record.model_copy(update=changes).sealed())
            recordings[cell.key] = content
        info = entry.info.model_copy(update={"name": "mine", "model": "mine", "authors": ["B. Mine"], **info})
        return write_entry(tmp_path, "mine", records, info, {}, recordings)

    return claim


def as_bytes(numbers):
    words = np.asarray(numbers, "<f4").view("<u4")
    return np.stack([(words >> shift & 0xFF).astype(np.uint8) for shift in (24, 16, 8)])


def said(found):
    return [(flag.kind, str(flag)) for flag in found]


def test_honest_entries_are_not_flagged(board):
    for entry in board.values():
        assert said(flags(entry, board.values())) == []


def flipped(numbers):
    """A third of the lowest bits that are kept, flipped."""
    words = np.asarray(numbers, "<f4").view("<u4").copy()
    words[np.random.default_rng(0).random(words.size) < 1 / 3] ^= 1 << 8
    return words.view("<f4")


@pytest.mark.parametrize(
    "change",
    [
        flipped,
        lambda numbers: numbers * (1 + 1e-3 * np.random.default_rng(0).standard_normal(numbers.size)),
        lambda numbers: -2.5 * numbers,
    ],
    ids=["lowest bits", "noise", "a multiple"],
)
def test_a_copy_is_flagged(board, claim, change):
    found = [text for kind, text in said(flags(claim(board["rbf"], change), board.values())) if kind == "copy"]
    assert len(found) == 1
    assert "recorded numbers on digits/accuracy, digits/small-n are those of rbf within 1%" in found[0]


def test_errors_in_common_are_flagged_where_numbers_are_not_alike(board, claim):
    rng = np.random.default_rng(0)

    def sharpened(numbers):
        # Another number everywhere, in nearly the same order.
        return np.sign(numbers) * np.abs(numbers) ** 3 * (1 + 0.02 * rng.standard_normal(numbers.size))

    found = said(flags(claim(board["rbf"], sharpened), board.values()))
    assert {kind for kind, _ in found} == {"errors"}
    assert "it gives the same wrong class as rbf at" in found[0][1]


def test_what_is_too_much_to_compare_is_said(board, claim, monkeypatch):
    monkeypatch.setattr(forensics, "_MOST", 1000)
    assert "has more than 1,000 recorded numbers" in str(flags(board["rbf"], board.values())[0])


def test_models_of_one_function_are_expected_to_agree(board):
    entry = board["logistic-regression"]
    twin = replace(entry, info=entry.info.model_copy(update={"name": "linear", "model": "linear"}))
    found = flags(twin, [entry])
    assert {flag.kind for flag in found} == {"copy", "errors"}
    assert {flag.expected for flag in found} == {"all are linear in the inputs"}


@pytest.mark.parametrize(
    ("info", "line"),
    [
        ({"authors": ["\u0410. Author"]}, "looks like 'A. Author' of knn; it has CYRILLIC CAPITAL LETTER A"),
        ({"authors": ["A . Author"]}, "the author 'A . Author' looks like 'A. Author' of"),
        ({"authors": ["\u00c1. Author"]}, "LATIN CAPITAL LETTER A WITH ACUTE"),
    ],
)
def test_texts_that_look_like_another_s(board, claim, info, line):
    entry = claim(board["rbf"], lambda numbers: np.random.default_rng(0).standard_normal(numbers.size), **info)
    (found,) = [text for kind, text in said(flags(entry, board.values())) if kind == "text"]
    assert line in found


def test_costs_that_cannot_be(board, claim):
    cheap = claim(board["rbf"], cost=lambda cost: cost.model_copy(update={"cpu_s": 1e-4}))
    found = [text for kind, text in said(flags(cheap, board.values())) if kind == "cost"]
    assert len(found) == 4
    assert "took 0.0001 CPU s; the cheapest record of the board took" in found[0]
    same = claim(board["rbf"], cost=lambda cost: board["rbf"].records[0].cost)
    assert "has the cost of digits/accuracy seed 0, to the last digit" in str(flags(same, board.values()))
    slow = claim(board["rbf"], cost=lambda cost: cost.model_copy(update={"score_s": cost.score_s + 900}))
    assert "was scored for 90" in str(flags(slow, board.values()))


def again(entry, change, rule="seeds", cost=None):
    """Records of an entry as if they had been run again, with other numbers."""
    for place, record in enumerate(entry.records):
        metrics = record.metrics | change(record.metrics, place)
        made = record.model_copy(update={"metrics": metrics, "cost": cost or record.cost})
        yield Rerun(record, "agrees", rule=rule, again=made, recording=entry.recording(record))


def moved(points):
    """A change of the values that rank by so many test points of 450."""

    def change(metrics, place):
        names = [name for name in metrics if name.startswith("accuracy")]
        return {name: metrics[name] + points[place % len(points)] / 450 for name in names}

    return change


@pytest.mark.parametrize(("points", "flagged"), [([-4], True), ([-1, 1], False), ([4], False), ([0], False)])
def test_claimed_values_that_are_all_better_are_flagged(board, points, flagged):
    reruns = list(again(board["rbf"], moved(points)))
    found = said(flags_of_reruns(board["rbf"], reruns))
    assert [kind for kind, _ in found] == (["deviation"] if flagged else [])
    if flagged:
        assert "claimed values are better than when run again in 4 of 4 records" in found[0][1]


@pytest.mark.parametrize(("lost", "flagged"), [(12, True), (2, False)])
def test_test_points_that_are_right_only_as_claimed_are_flagged(board, lost, flagged):
    entry = board["rbf"]
    record = entry.records[0]
    arrays = entry.recording(record)
    split = registry.datasets.get("digits").split(record.cell.seed)
    questions = asked_of_test_points(registry.tasks.get("digits/accuracy"), split, record.cell.seed)
    found = predictions(questions, arrays)["default"]
    numbers, at = [], np.flatnonzero(found[0] == found[1])[:lost]
    for (_, kind, shape), answer in parts(arrays).items():
        if kind == 2 and shape[:2] == (len(found[1]), 10):
            scores = answer.reshape(shape[:2]).copy()
            scores[at, found[1][at]] = scores.min() - 1
            answer = scores.ravel()
        numbers.append(answer)
    worse = unpack(*pack(arrays | {"recorded_answers": as_bytes(np.concatenate(numbers))}))
    rerun = Rerun(record, "agrees", rule="seeds", again=record, recording=worse)
    flagged_ = said(flags_of_reruns(entry, [rerun]))
    assert [kind for kind, _ in flagged_] == (["paired"] if flagged else [])
    if flagged:
        assert "12 test points are right only as claimed, 0 only when run again" in flagged_[0][1]


def test_a_record_that_takes_far_longer_when_run_again_is_flagged(board):
    entry = board["knn"]
    cost = entry.records[0].cost.model_copy(update={"cpu_s": 100.0})
    found = said(flags_of_reruns(entry, list(again(entry, lambda metrics, place: {}, rule="exact", cost=cost))))
    assert {kind for kind, _ in found} == {"cost"}
    assert "digits/accuracy seed 0 is claimed to take" in found[0][1]


@pytest.mark.slow
def test_no_entry_of_today_is_flagged_without_a_reason():
    try:
        _ = registry.datasets.get("mnist").sha256
    except UnavailableDataError:
        pytest.skip("some answers can be compared only where MNIST is")
    entries = read_entries(BOARD)
    assert [f"{entry.name}: {flag}" for entry in entries for flag in flags(entry, entries) if not flag.expected] == []
