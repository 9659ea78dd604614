"""Values at test points: found in the recordings of real runs, kept, and void when they no longer hold."""

from pathlib import Path

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.board import EntryInfo, gather, make_board, point_store, read_entry, write_entry
from lebench.board.point_values import Part, find_values, part_of, point_ids
from lebench.errors import LebenchError, UnavailableDataError
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

TASKS = ("digits/accuracy", "digits/small-n", "lantk/digits-pairs", "digits/elasticity")
MODELS = {"weak": "logistic-regression[c=0.001]", "usual": "logistic-regression"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Records of two models and two seeds, by a real run, and their recordings."""
    store = Store(tmp_path_factory.mktemp("run") / "results")
    records = execute(make_plan(list(TASKS), list(MODELS.values()), [0, 1]), store, jobs=1).records
    return records, {record.cell.key: store.recording(record) for record in records}


@pytest.fixture
def entries(made, tmp_path):
    def entry(name, model):
        info = EntryInfo(name=name, model=model, authors=["A. Author"], lebench="0.1.0", command="lebench run")
        own = [record for record in made[0] if record.label == model]
        return read_entry(write_entry(tmp_path / "entries", name, own, info, recordings=made[1]).folder)

    return [entry(*each) for each in MODELS.items()]


def test_names_say_what_is_a_mean_over_test_points():
    assert part_of("accuracy", ["default"]) == Part("accuracy", ("default",))
    assert part_of("accuracy", ["a", "b"]) is None
    assert part_of("error@mean", ["a", "b"]) == Part("accuracy", ("a", "b"), -1.0)
    assert part_of("log_loss@a", ["a", "b"]) == Part("log_loss", ("a",))
    assert part_of("accuracy@a-train", ["a", "b"]) is None
    assert part_of("nc1@mean", ["a"]) is None


def test_what_is_found_is_what_the_metrics_say(entries):
    weak = entries[0]
    record = next(r for r in weak.records if r.cell.task == "digits/accuracy" and r.cell.seed == 0)
    split = registry.datasets.get("digits").split(0)
    found = find_values(registry.tasks.get("digits/accuracy"), split, record, weak.recording(record))
    assert sorted(metric for _, metric in found.values) == ["accuracy", "brier", "log_loss"]
    np.testing.assert_array_equal(found.ids["default"], point_ids(split.x_test))
    for (_, metric), values in found.values.items():
        assert len(values) == 450
        assert values.mean() == pytest.approx(record.metrics[metric], rel=1e-3)
    # Point by point, a model that is certain of the right class.
    right = np.eye(10)[split.y_test]
    for point, value in zip(range(5), found.values["default", "accuracy"], strict=False):
        own = metrics.accuracy(right[[point]], split.y_test[[point]])
        assert own == 1
        assert value in (0, own)


def test_points_are_resampled_where_predictions_are_recorded(entries):
    points = gather(entries)
    assert sorted(points) == ["digits/accuracy", "digits/small-n", "lantk/digits-pairs"]
    assert points["digits/small-n"].sums["weak"] == {
        f"accuracy@{n}" for n in ("n=50", "n=100", "n=200", "n=500", "mean")
    }
    # Pairs of classes are parts of the same 450 points, of which another seed has a quarter.
    assert 8 * 30 < sum(map(len, points["lantk/digits-pairs"].ids[0].values())) < 8 * 60
    assert set(points["lantk/digits-pairs"].ids[0]["3-8"]) < set(points["digits/accuracy"].ids[0]["default"])
    assert points["digits/accuracy"].overlap == pytest.approx(450 / 1797, abs=0.06)

    alone, both = make_board(entries), make_board(entries, points=points)
    said = {task.name: task.resampled for task in both.tasks}
    # Points of both seeds: 450 each, of which some are the same.
    shared = np.intersect1d(*(points["digits/accuracy"].ids[seed]["default"] for seed in (0, 1)))
    assert len(shared) == pytest.approx(450 * points["digits/accuracy"].overlap, abs=1)
    assert said["digits/accuracy"].note == f"seeds and {900 - len(shared)} test points, of which two seeds share 28%"
    assert (said["digits/accuracy"].points, said["digits/accuracy"].entries) == (900 - len(shared), 2)
    assert said["digits/elasticity"].note == "seeds only: elasticity_ratio is not known as a mean over test points"
    assert {task.resampled.points for task in alone.tasks} == {0}
    wider = 0
    for before, after in zip(alone.scores, both.scores, strict=True):
        assert (before.mean, before.by_seed) == (after.mean, after.by_seed)
        known = part_of(after.value, [v.name for v in registry.tasks.get(after.task).variants]) is not None
        assert (after.points > 0) == known
        if known:
            # Where the errors of both seeds have nothing in common, other points move nothing that seeds do not show.
            assert after.upper - after.lower >= before.upper - before.lower
            wider += after.upper - after.lower > before.upper - before.lower
    assert wider > 0


def test_a_model_without_recordings_is_assumed_to_move_as_the_others(entries):
    silent = read_entry(
        write_entry(
            entries[0].folder.parent,
            "silent",
            entries[0].records,
            entries[0].info.model_copy(update={"name": "silent"}),
        ).folder
    )
    board = make_board([*entries, silent], points=gather([*entries, silent]))
    said = {task.name: task.resampled for task in board.tasks}["digits/accuracy"]
    assert said.note.endswith("; 1 of 3 models are assumed to move as the others do")
    of = {s.entry: s for s in board.scores if s.task == "digits/accuracy" and s.value == "accuracy"}
    assert of["weak"].points > 450
    assert of["silent"].points == 0
    assert of["silent"].upper < of["weak"].upper


def files(folder: Path):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


def test_kept_values_serve_without_the_data(entries, tmp_path, monkeypatch):
    first = make_board(entries, points=gather(entries, tmp_path / "points"))
    kept = files(tmp_path / "points")
    assert {"entries/weak.npz", "tasks/digits-accuracy.npz"} <= set(kept)

    def unavailable(*_):
        raise UnavailableDataError("no data here")

    monkeypatch.setattr(point_store, "_split", lambda *_: None)
    monkeypatch.setattr(point_store, "_overlap", unavailable)
    monkeypatch.setattr(point_store, "find_values", unavailable)
    assert make_board(entries, points=gather(entries, tmp_path / "points")) == first
    assert files(tmp_path / "points") == kept
    assert gather(entries) == {}


def test_values_of_other_records_or_points_are_void(entries, tmp_path, monkeypatch):
    folder = tmp_path / "points"
    gather(entries, folder)
    monkeypatch.setattr(point_store, "_split", lambda *_: None)
    changed = [record.model_copy(update={"reason": "run again"}).sealed() for record in entries[0].records]
    again = write_entry(tmp_path / "other", "weak", changed, entries[0].info)
    assert "weak" not in gather([again, entries[1]], folder)["digits/accuracy"].of_entries
    path = folder / "tasks" / "digits-accuracy.npz"
    with np.load(path) as arrays:
        other = {name: arrays[name][::-1] if arrays[name].ndim else arrays[name] for name in arrays.files}
    np.savez_compressed(path, **other)
    assert "digits/accuracy" not in gather(entries, folder)


def test_damaged_files_are_named_and_damaged_recordings_are_no_values(entries, tmp_path, monkeypatch):
    folder = tmp_path / "points"
    gather(entries, folder)
    (folder / "entries" / "weak.npz").write_bytes(b"PK no archive")
    with pytest.raises(LebenchError, match=r"weak\.npz is damaged .*delete it"):
        gather(entries, folder)
    monkeypatch.setattr(type(entries[0]), "recording", lambda self, record: {"recorded_calls": np.zeros(3)})
    assert gather(entries) == {}
