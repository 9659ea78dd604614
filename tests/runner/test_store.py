"""The store: files that are whole or not there, and folders of other versions."""

import json
import os
import stat

import pytest

from lebench.errors import LebenchError
from lebench.records import SCHEMA, Artifact, Cell, Record, RunInfo
from lebench.runner.environment import environment, source
from lebench.runner.store import RecordWarning, Store


def make(status="ok", label="mlp[width=4]", artifacts=None, **changes):
    content = {
        "task": "digits/accuracy",
        "task_version": 1,
        "task_fingerprint": "f" * 64,
        "dataset": "digits",
        "dataset_sha256": "d" * 64,
        "model": "mlp",
        "params": {"width": 4},
        "model_fingerprint": "m" * 64,
        "backend": "torch",
        "precision": "float32",
        "seed": 3,
    }
    run = RunInfo(started="2026-01-01T00:00:00Z", finished="2026-01-01T00:00:01Z", command="lebench run")
    return Record(
        schema=SCHEMA,
        cell=Cell(**(content | changes)),
        track="generalization",
        label=label,
        status=status,
        metrics={"accuracy": 0.5} if status == "ok" else {},
        artifacts=artifacts or {},
        environment=environment(),
        source=source(),
        run=run,
    ).sealed()


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def test_record_comes_back_as_it_was_from_a_readable_path(store):
    record = make()
    path = store.put(record)
    assert path == store.folder / "digits/accuracy/mlp-width=4@torch" / f"seed-3-{record.cell.key[:12]}.json"
    assert store.load() == [record]
    assert store.has(record.cell, record.label)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("status", "known"),
    [("ok", True), ("skipped", True), ("failed", False), ("timeout", False), ("out_of_memory", False)],
)
def test_failure_is_a_record_but_not_a_hit(store, status, known):
    record = make(status)
    store.put(record)
    assert store.load() == [record]
    assert store.has(record.cell, record.label) is known


def test_label_cannot_leave_the_folder(store):
    record = make(label="../../x[path=/etc]", task="../up")
    assert store.put(record).resolve().is_relative_to(store.folder.resolve())
    assert store.load() == [record]


def test_record_of_changed_code_replaces_the_old_one_of_that_seed_only(store):
    first, other_seed, changed = make(), make(seed=33), make(task_fingerprint="0" * 64)
    store.put(first)
    store.put(other_seed)
    store.put(changed)
    assert {record.cell.key for record in store.load()} == {other_seed.cell.key, changed.cell.key}
    assert not store.has(first.cell, first.label)


def test_log_of_a_failure_goes_when_the_cell_succeeds(store):
    failed = make("failed")
    store.put(failed, log="Traceback")
    log = store.log_path(failed.cell, failed.label)
    assert log.read_text() == "Traceback"
    store.put(make())
    assert not log.exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:200], "Invalid JSON"),
        (lambda text: "", "Invalid JSON"),
        (lambda text: text.replace('"accuracy":0.5', '"accuracy":0.6'), "its checksum does not fit"),
        (lambda text: text.replace('"track"', '"trakc"'), "Field required"),
        (lambda text: text.replace('"schema":1', '"schema":2'), "it has schema 2, not 1"),
        (lambda text: json.dumps({"hello": "world"}), "Field required"),
    ],
)
def test_file_that_cannot_be_used_is_named_and_left_out(store, damage, reason):
    record = make()
    path = store.put(record)
    path.write_text(damage(path.read_text()))
    with pytest.warns(RecordWarning) as caught:
        assert store.load() == []
    assert str(caught[0].message).startswith(f"record '{path}' is ignored: ")
    assert reason in str(caught[0].message)
    with pytest.warns(RecordWarning):
        assert not store.has(record.cell, record.label)


def test_record_under_the_name_of_another_is_left_out(store):
    path = store.put(make())
    path.rename(path.with_name("seed-4-000000000000.json"))
    with pytest.warns(RecordWarning, match="it is the record of another cell"):
        assert store.load() == []


def test_half_written_file_is_never_seen(store, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(LebenchError, match=r"cannot write the record .*No space left on device"):
        store.put(make())
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == ["lebench.json"]


def test_folder_of_another_schema_version(store):
    (store.folder / "lebench.json").write_text('{"schema": 99, "lebench": "9.9"}')
    with pytest.raises(LebenchError) as error:
        Store(store.folder)
    assert "has schema 99 of lebench 9.9, this is schema 1 of lebench" in str(error.value)
    assert "choose another folder" in str(error.value)


def test_damaged_marker(store):
    (store.folder / "lebench.json").write_text("{")
    with pytest.raises(LebenchError, match="is damaged"):
        Store(store.folder)


def test_reading_a_folder_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(LebenchError, match="there are no results in"):
        Store(tmp_path / "none").load()
    assert not (tmp_path / "none").exists()


def test_arrays_stand_beside_the_record_until_it_is_replaced(store):
    described = {"x": Artifact(sha256="0" * 64, shape=(1,), dtype="<f4", bytes=4)}
    record = make(artifacts=described)
    store.put(record, arrays=b"arrays")
    assert store.artifacts(record) == b"arrays"
    assert store.artifacts_path(record.cell, record.label).suffix == ".npz"
    store.put(make())
    assert store.artifacts(record) == b""


def test_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LebenchError, match="Not a directory; choose another"):
        Store(tmp_path / "file" / "results").prepare()
