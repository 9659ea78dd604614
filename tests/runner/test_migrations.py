"""Documents of records: what is refused, and what becomes of one whose task has another name today."""

import json

import pytest
from stored import make

from lebench import registry
from lebench.canonical import canonical
from lebench.errors import LebenchError
from lebench.records import SCHEMA
from lebench.runner.current import current
from lebench.runner.migrations import EditedError, read_record
from lebench.runner.store import Store


def document(record):
    return json.loads(record.to_json())


def of(task, **changes):
    version = registry.tasks.get("digits/gap").version
    return make(task=task, task_version=version, backend_version=registry.backends.item("torch").version, **changes)


def test_a_record_of_an_earlier_name_is_one_of_today_s():
    today, old = of("digits/gap"), of("kernel/gap")
    record = read_record(document(old))
    assert (record.cell, record.intact) == (today.cell, True)
    assert record.fingerprints["checksum"] == old.checksum
    assert read_record(document(record)) == record


def test_what_a_record_of_an_earlier_name_was_made_in_the_place_of_stays_replaced(tmp_path):
    old = of("kernel/gap", value=0.1)
    new = of("kernel/gap", value=0.9, replaces=(old.checksum,))
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(canonical(document(record)) + b"\n" for record in (old, new)))
    store = Store(tmp_path)
    assert store.has(of("digits/gap").cell)
    records = store.load()
    assert {record.cell.task for record in records} == {"digits/gap"}
    found = current(records)
    assert ([record.metrics["accuracy"] for record in found.records], found.conflicts) == ([0.9], ())


def test_an_edited_record_is_refused():
    with pytest.raises(EditedError, match="was edited; run the cell again"):
        read_record(document(make()) | {"label": "knn"})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (SCHEMA + 1, f"it has schema {SCHEMA + 1}, and this version reads schema {SCHEMA}: upgrade lebench"),
        (1, "it has schema 1, from before the first release: run the cell again"),
        (None, "schema: is missing or no whole number"),
        (0, "schema: is missing or no whole number"),
    ],
)
def test_another_schema_is_named(schema, message):
    with pytest.raises((LebenchError, ValueError), match=message):
        read_record(document(make()) | {"schema": schema})


@pytest.mark.parametrize("what", [None, 3, [], {}, "text"])
def test_what_is_no_document_is_named(what):
    with pytest.raises(ValueError, match="schema: is missing"):
        read_record(what)
