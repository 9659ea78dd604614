import json

import numpy as np
import pytest
from pydantic import ValidationError

from lebench.artifacts import pack
from lebench.board import EntryError, EntryInfo, entry_name, read_entries, read_entry, write_entry
from lebench.records import Source


@pytest.fixture
def info():
    return EntryInfo(
        name="mlp",
        model="mlp",
        summary='A "quoted" line with a \\ and ünïcode',
        authors=["A. Author", "B. Author"],
        links=["https://example.org/paper"],
        lebench="0.1.0",
        command="lebench run --model mlp --seeds 2",
    )


@pytest.fixture
def records(make_record):
    return [
        make_record(task=task, seed=seed, metrics={metric: 0.1 + 0.2 * seed})
        for seed in (1, 0)
        for task, metric in (("toy/collapse", "spread"), ("toy/accuracy", "accuracy"))
    ]


def test_an_entry_comes_back_as_it_was_written(tmp_path, info, records):
    written = write_entry(tmp_path, "mlp", records, info)
    read = read_entry(tmp_path / "mlp")
    assert read == written
    assert read_entries(tmp_path) == [written]
    assert all(record.intact for record in read.records)
    assert [(r.cell.task, r.cell.seed) for r in read.records] == [
        ("toy/accuracy", 0),
        ("toy/accuracy", 1),
        ("toy/collapse", 0),
        ("toy/collapse", 1),
    ]


def test_writing_again_in_another_order_changes_no_byte(tmp_path, info, records):
    write_entry(tmp_path, "mlp", records, info)
    before = {path.name: path.read_bytes() for path in (tmp_path / "mlp").iterdir()}
    write_entry(tmp_path, "mlp", reversed(records), info)
    assert {path.name: path.read_bytes() for path in (tmp_path / "mlp").iterdir()} == before
    assert sorted(before) == ["entry.toml", "environments.json", "records.jsonl"]


def test_each_distinct_environment_and_source_stands_once(tmp_path, info, make_record):
    other = Source(commit="1" * 40, dirty=True)
    records = [make_record(seed=0), make_record(seed=1, source=other), make_record(seed=2, source=other)]
    write_entry(tmp_path, "mlp", records, info)
    shared = json.loads((tmp_path / "mlp" / "environments.json").read_text())
    assert (len(shared["environments"]), len(shared["sources"])) == (1, 2)
    assert [record.source for record in read_entry(tmp_path / "mlp").records] == [r.source for r in records]


def test_arrays_of_the_first_seed_are_kept_and_checked(tmp_path, info, make_record):
    content, described = pack({"x": np.arange(3.0)})
    records = [make_record(seed=seed, artifacts=described) for seed in (0, 1)]
    arrays = {record.cell.key: content for record in records}
    entry = write_entry(tmp_path, "mlp", records, info, arrays)
    first, second = read_entry(tmp_path / "mlp").records
    np.testing.assert_array_equal(entry.artifacts(first)["x"], np.arange(3.0))
    assert entry.artifacts(second) == {}
    entry.artifacts_path(first).write_bytes(pack({"x": np.arange(4.0)})[0])
    with pytest.raises(EntryError, match=r"\.npz: .*'x'"):
        entry.artifacts(first)
    assert not list((write_entry(tmp_path, "mlp", records, info).folder / "artifacts").iterdir())


def test_recordings_are_kept_of_the_first_seed_of_each_task_and_then_of_others_as_they_fit(
    tmp_path, info, make_record, monkeypatch
):
    made = {
        f"toy/{name}": pack({"recorded_answers": np.arange(size)})
        for name, size in (("collapse", 999), ("accuracy", 9))
    }
    pictured, described = pack({"x": np.arange(3.0)})
    records = [
        make_record(task=task, seed=seed, artifacts=artifacts | described)
        for task, (_, artifacts) in made.items()
        for seed in (0, 1)
    ]
    arrays = {record.cell.key: pictured for record in records}
    recordings = {record.cell.key: made[record.cell.task][0] for record in records}
    entry = write_entry(tmp_path, "mlp", records, info, arrays, recordings)
    kept = [(record.cell.task, record.cell.seed) for record in entry.records if entry.recording(record)]
    assert kept == [("toy/accuracy", 0), ("toy/accuracy", 1), ("toy/collapse", 0), ("toy/collapse", 1)]
    for record in entry.records:
        assert list(entry.artifacts(record)) == ["x"] * (record.cell.seed == 0)
        assert list(entry.recording(record)) == ["recorded_answers"]
    limits = "lebench.board.entry_writing.LARGEST"
    # Of another seed than the first, one that is too large is not kept, and a smaller one is.
    with monkeypatch.context() as patch:
        patch.setattr(f"{limits}_RECORDING", len(made["toy/accuracy"][0]))
        entry = write_entry(tmp_path, "mlp", records, info, arrays, recordings)
        kept = [(record.cell.task, record.cell.seed) for record in entry.records if entry.recording(record)]
        assert kept == [("toy/accuracy", 0), ("toy/accuracy", 1), ("toy/collapse", 0)]
    size = sum(path.stat().st_size for path in entry.folder.rglob("*.*"))
    monkeypatch.setattr(f"{limits}_ENTRY", size)
    assert sum(path.stat().st_size for path in entry.folder.rglob("*.*")) <= size
    entry = write_entry(tmp_path, "mlp", records, info, arrays, recordings)
    assert [(r.cell.task, r.cell.seed) for r in entry.records if entry.recording(r)] == kept
    monkeypatch.setattr(f"{limits}_ENTRY", size - 1)
    entry = write_entry(tmp_path, "mlp", records, info, arrays, recordings)
    kept = [(record.cell.task, record.cell.seed) for record in entry.records if entry.recording(record)]
    assert kept == [("toy/accuracy", 0), ("toy/collapse", 0)]
    assert sum(path.stat().st_size for path in entry.folder.rglob("*.*")) < size


def test_text_with_line_separators_survives(tmp_path, info, make_record):
    record = make_record(status="failed", reason="first\u2028second\nthird\x85")
    write_entry(tmp_path, "mlp", [record], info)
    assert read_entry(tmp_path / "mlp").records == (record,)


def _edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("records.jsonl", '"accuracy":0.1', '"accuracy":0.99', r"records.jsonl line 1: the checksum does not match"),
        (
            "records.jsonl",
            '{"schema":2',
            '{"schema":3',
            r"line 1: it has schema 3, which this version of lebench does not know",
        ),
        ("records.jsonl", '"track":"generalization"', '"track":', "line 1: not a record"),
        ("records.jsonl", '"accuracy":0.1', '"accuracy":NaN', "line 1: not a record of this version .*finite"),
        ("environments.json", "two cores", "many cores", "is not the one with this checksum"),
        ("environments.json", '"sources"', '"source"', "'sources' is missing"),
        ("entry.toml", 'name = "mlp"', 'name = "cnn"', "the folder is 'mlp'"),
        ("entry.toml", "schema = 1", "schema = 2", "schema: Input should be 1"),
        ("entry.toml", "authors", "author", "authors: is missing"),
        ("entry.toml", "licence", "evil = 1\nlicence", "evil: there is no such field; remove it"),
        ("entry.toml", "licence", 'licence = "MIT"\nlicence', "has a key twice"),
        ("entry.toml", 'name = "mlp"', 'name = "MLP"', "a name has at most 80 lower-case letters"),
        ("entry.toml", 'name = "mlp"', "name = ", "entry.toml: Invalid value"),
        ("entry.toml", "https://example.org", "javascript:alert(1)//", "links.0: is not of the form"),
    ],
)
def test_an_edited_entry_is_refused_by_name(tmp_path, info, records, file, old, new, message):
    write_entry(tmp_path, "mlp", records, info)
    _edit(tmp_path / "mlp" / file, old, new)
    with pytest.raises(EntryError, match=message):
        read_entry(tmp_path / "mlp")


def test_missing_lines_order_and_doubles(tmp_path, info, records):
    write_entry(tmp_path, "mlp", records, info)
    path = tmp_path / "mlp" / "records.jsonl"
    lines = path.read_text().splitlines()
    for changed, message in (
        (lines[::-1], "not sorted"),
        ([lines[0], *lines], "are the same cell"),
        ([], "line 1: not a record"),
    ):
        path.write_text("\n".join(changed))
        with pytest.raises(EntryError, match=message):
            read_entry(tmp_path / "mlp")
    path.unlink()
    with pytest.raises(EntryError, match=r"records\.jsonl cannot be read: No such file"):
        read_entry(tmp_path / "mlp")


def test_what_cannot_be_written(tmp_path, info, records):
    with pytest.raises(EntryError, match="no record to write"):
        write_entry(tmp_path, "mlp", [], info)
    with pytest.raises(EntryError, match="is named 'mlp'"):
        write_entry(tmp_path, "cnn", records, info)
    with pytest.raises(EntryError, match="not sealed"):
        write_entry(tmp_path, "mlp", [records[0].model_copy(update={"reason": "x"})], info)
    with pytest.raises(EntryError, match="same cell"):
        write_entry(tmp_path, "mlp", [records[0], records[0]], info)
    (tmp_path / "file").write_text("")
    with pytest.raises(EntryError, match="cannot write the entry"):
        write_entry(tmp_path / "file", "mlp", records, info)
    with pytest.raises(EntryError, match="no folder"):
        read_entries(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("mlp", "mlp"),
        ("mlp[width=4096,depth=2]", "mlp-width4096-depth2"),
        ("cnn[act='tanh']", "cnn-act-tanh"),
        ("con", "con-model"),
    ],
)
def test_a_folder_name_for_every_label(label, name):
    assert entry_name(label) == name


@pytest.mark.parametrize(
    "name", ["index", "con", "nul", "nul.mlp", "aux", "com1", "lpt9.x", "mlp.", "404", "search", ".mlp"]
)
def test_names_that_file_systems_or_pages_have_taken_are_refused(info, name):
    with pytest.raises(ValidationError, match="a name has at most 80"):
        EntryInfo(**{**info.model_dump(by_alias=True), "name": name})
    EntryInfo(**{**info.model_dump(by_alias=True), "name": "console"})
