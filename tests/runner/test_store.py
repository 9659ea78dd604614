"""The store: what is put is there, whole, whoever else writes, whatever is copied over it."""

import json
import os
import random
import resource
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import DESCRIBED, SCHEMA_1, content, make, put_as_schema_1

from lebench.errors import LebenchError
from lebench.records import SCHEMA, Record
from lebench.runner.migrations import read_record
from lebench.runner.store import RecordWarning, Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def files(store):
    return sorted((store.folder / "records").iterdir())


def test_record_comes_back_as_it_was_from_a_line_of_json(store):
    record = make()
    store.put(record)
    (path,) = files(store)
    assert Record.model_validate_json(path.read_text()) == record
    assert store.load() == [record]
    assert store.has(record.cell)
    assert store.labels() == [record.label]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("status", "known"),
    [("ok", True), ("skipped", True), ("failed", False), ("timeout", False), ("out_of_memory", False)],
)
def test_failure_is_a_record_but_not_a_hit(store, status, known):
    record = make(status)
    store.put(record)
    assert store.load() == [record]
    assert store.has(record.cell) is known


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=5))
def test_every_label_keeps_its_own_record(tmp_path_factory, labels):
    store = Store(tmp_path_factory.mktemp("results"))
    store.prepare()
    made = [make(label=label, params={"name": label}) for label in labels]
    for record in made:
        store.put(record)
    assert {record.label: record for record in store.load()} == {record.label: record for record in made}
    for record in made:
        assert store.load(labels=[record.label]) == [record]
        assert store.has(record.cell)
    assert content(store.folder).keys() == {Path("claims"), files(store)[0].relative_to(store.folder)}


def test_labels_that_differ_late_or_only_beyond_ascii_are_told_apart(store):
    labels = ["m" * 200 + "a", "m" * 200 + "b", "é", "è", "../../x", "a/b", "a-b", "con", "", "."]
    for label in labels:
        store.put(make(label=label, params={"name": label}))
    assert sorted(record.label for record in store.load()) == sorted(labels)


def test_nothing_is_replaced_by_what_is_put_later(store):
    made = [make(), make(task_version=2), make(seed=33), make("failed"), make(value=0.6, finished=2)]
    for record in made:
        store.put(record)
    assert len(store.load()) == len(made)
    assert all(record in store.load() for record in made)
    key = made[0].cell.key
    assert store.checksums([key, "none"]) == {key: {made[i].checksum for i in (0, 3, 4)}, "none": set()}


def test_records_are_asked_for_by_label_or_key_with_all_of_their_cells(store):
    mine, renamed, other = make(), make(label="mlp[ width = 4 ]", value=0.6), make(label="knn", model="knn")
    for record in (mine, renamed, other):
        store.put(record)
    assert {record.checksum for record in store.load(labels=["mlp[width=4]"])} == {mine.checksum, renamed.checksum}
    assert store.load(keys=[other.cell.key]) == [other]
    assert store.load(keys=[]) == store.load(labels=["none"]) == []


def test_same_record_twice_is_one(store):
    store.put(make())
    store.put(make())
    assert store.load() == [make()]
    assert len(files(store)[0].read_text().splitlines()) == 2


def test_what_another_process_appends_is_seen(store):
    reader = Store(store.folder)
    for seed in range(5):
        store.put(make(seed=seed))
        assert reader.has(make(seed=seed).cell)
        assert not reader.has(make(seed=seed + 1).cell)
    assert len(reader.load()) == 5


def test_a_forked_process_has_a_file_of_its_own(store):
    store.put(make())
    child = os.fork()
    if child == 0:
        store.put(make(seed=4))
        os._exit(0)
    os.waitpid(child, 0)
    store.put(make(seed=5))
    assert sorted(len(path.read_text().splitlines()) for path in files(store)) == [1, 2]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda line: line[:200], "it is no record, or was cut off"),
        (lambda line: b"", "it is no record, or was cut off"),
        (lambda line: b"\xff\x00", "it is no record, or was cut off"),
        (lambda line: line.replace(b'"accuracy":0.5', b'"accuracy":0.6'), "its checksum does not fit"),
        (lambda line: line.replace(b'"width":4', b'"width":5'), "its checksum does not fit"),
        (lambda line: line.replace(b'"track"', b'"trakc"'), "its checksum does not fit"),
        (lambda line: line.replace(f'"schema":{SCHEMA}'.encode(), b'"schema":99'), "schema 99"),
        (lambda line: json.dumps({"hello": "world"}).encode(), "it is no record"),
        (lambda line: b"[1]", "it is no record"),
    ],
)
def test_line_that_cannot_be_used_is_named_and_left_out(store, damage, reason):
    made = [make(seed=seed) for seed in range(3)]
    for record in made:
        store.put(record)
    (path,) = files(store)
    lines = path.read_bytes().splitlines()
    lines[1] = damage(lines[1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    reader = Store(store.folder)
    with pytest.warns(RecordWarning) as caught:
        assert reader.load() == [made[0], made[2]]
    assert [str(warning.message).split(":")[0] for warning in caught] == [f"line 2 of '{path}' is ignored"]
    assert reason in str(caught[0].message)
    # It was said, and is not repeated.
    assert not reader.has(made[1].cell)
    assert path.read_bytes().splitlines() == lines


def test_sealed_line_that_is_no_record_is_named(store):
    document = make().model_dump(mode="json", by_alias=True) | {"colour": "red"}
    from lebench.canonical import canonical, digest

    del document["checksum"]
    document["checksum"] = digest(document)
    store._append(canonical(document) + b"\n")
    with pytest.warns(RecordWarning, match="colour: Extra inputs are not permitted"):
        assert store.load() == []


def test_line_that_another_program_wrote_is_read(store):
    """Its spaces and order do not matter: the checksum is of the canonical form."""
    record = make()
    store.put(record)
    (path,) = files(store)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(document.items()))) + "\n")
    reader = Store(store.folder)
    assert reader.load() == [record]
    assert reader.has(record.cell)


def test_torn_last_line_is_left_out_and_nothing_else(store):
    made = [make(seed=seed) for seed in range(3)]
    for record in made:
        store.put(record)
    (path,) = files(store)
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in (1, 10, last - 1):
        path.write_bytes(whole[:-cut])
        reader = Store(store.folder)
        with pytest.warns(RecordWarning, match=r"line 3 of .* was cut off"):
            assert reader.load() == made[:2]
        # A line that was seen half while it was written is whole later.
        path.write_bytes(whole)
        assert reader.load() == made


def test_index_may_be_deleted_old_or_damaged(store, monkeypatch):
    monkeypatch.setattr("lebench.runner.record_files._WORTHWHILE", 0)
    made = [make(seed=seed) for seed in range(4)]
    index = store.folder / "index.sqlite"
    for record in made[:2]:
        store.put(record)
    assert store.load() == made[:2]
    assert index.exists()
    before = index.read_bytes()
    for record in made[2:]:
        store.put(record)
    for state in (before, b"", b"no database", before[:5000], before[:-4096]):
        index.write_bytes(state)
        reader = Store(store.folder)
        assert reader.load() == made
        assert reader.labels() == ["mlp[width=4]"]
    index.unlink()
    assert Store(store.folder).load() == made


def test_index_is_not_believed_of_a_file_that_has_changed(store, monkeypatch):
    monkeypatch.setattr("lebench.runner.record_files._WORTHWHILE", 0)
    made = [make(seed=seed) for seed in (1, 22, 333)]
    for record in made:
        store.put(record)
    assert Store(store.folder).load() == made
    (path,) = files(store)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))
    os.utime(path, ns=(1, 1))
    assert Store(store.folder).load() == made
    path.unlink()
    assert Store(store.folder).load() == []


def test_folder_that_cannot_be_written_to_is_read(store, monkeypatch):
    monkeypatch.setattr("lebench.runner.record_files._WORTHWHILE", 0)
    store.put(make())

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lebench.runner.record_files.write_whole", refuse)
    assert Store(store.folder).load() == [make()]
    assert not (store.folder / "index.sqlite").exists()


@pytest.mark.parametrize("seed", range(3))
def test_folders_are_merged_by_copying_in_any_order(tmp_path, seed):
    draw = random.Random(seed)
    folders = [tmp_path / name for name in "abc"]
    made = []
    for folder in folders:
        store = Store(folder)
        store.prepare()
        for _ in range(draw.randint(1, 4)):
            made.append(make(seed=draw.randint(0, 5), value=draw.random()))
            store.put(made[-1])
        store.load()
    draw.shuffle(folders)
    for folder in folders:
        shutil.copytree(folder, tmp_path / "all", dirs_exist_ok=True)
    assert {record.checksum for record in Store(tmp_path / "all").load()} == {record.checksum for record in made}


def test_arrays_are_kept_by_checksum_once_for_all_records(store):
    described = {"x": DESCRIBED["x"].model_copy(update={"sha256": "1" * 64}), "recorded_y": DESCRIBED["x"]}
    first, second, other = make(artifacts=DESCRIBED), make(seed=4, artifacts=DESCRIBED), make(artifacts=described)
    store.put(first, arrays=b"arrays")
    store.put(second, arrays=b"arrays")
    store.put(other, arrays=b"others", recording=b"recording")
    assert store.artifacts(first) == store.artifacts(second) == b"arrays"
    assert (store.artifacts(other), store.recording(other)) == (b"others", b"recording")
    assert store.recording(first) == store.artifacts(make()) == b""
    assert len(list((store.folder / "arrays").iterdir())) == 3


def test_arrays_that_were_damaged_are_written_anew(store):
    store.put(make(artifacts=DESCRIBED), arrays=b"arrays")
    (path,) = (store.folder / "arrays").iterdir()
    path.write_bytes(b"arr")
    store.put(make(artifacts=DESCRIBED), arrays=b"arrays")
    assert path.read_bytes() == b"arrays"


def test_log_of_a_failure_stands_by_the_checksum_of_its_record(store):
    failed = make("failed")
    store.put(failed, log="Traceback \udcff")
    assert store.log_path(failed).read_text() == "Traceback \\udcff"
    store.put(make())
    assert store.log_path(failed).exists()
    assert not store.log_path(make()).exists()


def test_folder_of_schema_1_is_read_and_added_to(store):
    """It has a file a record, and beside it those of its arrays."""
    for document in SCHEMA_1:
        path = put_as_schema_1(store.folder, document, npz=document["label"].encode(), recording_npz=b"recording")
    path.with_name("seed-4-damaged.json").write_text(path.read_text()[:100])
    store.put(make(seed=5))
    with pytest.warns(RecordWarning, match="record '.*seed-4-damaged.json' is ignored: it is no record, or was cut"):
        found = store.load()
    old = [read_record(document) for document in SCHEMA_1]
    assert sorted(found, key=lambda r: r.checksum) == sorted([*old, make(seed=5)], key=lambda r: r.checksum)
    for record in old:
        assert store.has(record.cell)
        assert store.artifacts(record) == (record.label.encode() if record.pictured else b"")
        assert store.recording(record) == (b"recording" if record.recorded else b"")


def test_reading_a_folder_that_is_not_there_makes_none(tmp_path):
    for ask in (Store.load, Store.labels):
        with pytest.raises(LebenchError, match="there are no results in"):
            ask(Store(tmp_path / "none"))
    assert not Store(tmp_path / "none").has(make().cell)
    assert not (tmp_path / "none").exists()


def test_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LebenchError, match="Not a directory; choose another"):
        Store(tmp_path / "file" / "results").prepare()


@pytest.mark.parametrize("what", ["record", "arrays"])
def test_full_disk_leaves_nothing_half_written(store, what):
    made = [make(seed=seed, artifacts=DESCRIBED) for seed in range(4)]
    store.put(made[0])
    size = files(store)[0].stat().st_size
    before = content(store.folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Half of the next record has room, or a tenth of its arrays.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 2, limits[1]))
    try:
        with pytest.raises(LebenchError, match=r"cannot write the record of mlp\[width=4\] on digits/accuracy, seed 1"):
            store.put(made[1], arrays=bytes(size * 10) if what == "arrays" else b"")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = content(store.folder)
    assert before.items() <= after.items()
    assert not [path for path in after if path.name.startswith(".") or path.suffix == ".npz"]
    assert Store(store.folder).load() == made[:1]
    for record in made[1:]:
        store.put(record)
    assert Store(store.folder).load() == made
