"""Records of schema 1, as the leaderboard had them at several commits, read as records of today's schema."""

import json
from pathlib import Path

import pytest

from lebench import registry
from lebench.canonical import canonical
from lebench.errors import LebenchError
from lebench.records import SCHEMA
from lebench.runner.current import current, outdated
from lebench.runner.migrations import EditedError, read_record
from lebench.runner.store import Store

FILE = Path(__file__).parents[1] / "reference" / "records_of_schema_1.jsonl"
LINES = [json.loads(line) for line in FILE.read_text().splitlines()]


def of(commit, label):
    (document,) = [line["record"] for line in LINES if (line["commit"], line["record"]["label"]) == (commit, label)]
    return document


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line['commit']}-{line['record']['label']}")
def test_a_record_keeps_what_it_says(line):
    document = line["record"]
    record = read_record(document)
    assert (record.schema_version, record.intact) == (SCHEMA, True)
    assert read_record(json.loads(record.to_json())) == record
    kept = record.model_dump(mode="json", by_alias=True)
    for name in ("track", "label", "status", "metrics", "missing", "artifacts", "cost", "environment", "run"):
        assert kept[name] == document[name]
    assert kept["cell"]["task"] == registry.tasks.item(document["cell"]["task"]).name
    for name in ("dataset", "dataset_sha256", "model", "params", "backend", "precision", "seed"):
        assert kept["cell"][name] == document["cell"][name]
    assert {name: record.fingerprints[name] for name in ("task_fingerprint", "model_fingerprint")} == {
        name: document["cell"][name] for name in ("task_fingerprint", "model_fingerprint")
    }


def of_earlier_name(task, **changes):
    document = of("36c23f9", "constant")
    record = read_record(document | {"checksum": document["checksum"]})
    cell = record.cell.model_copy(update={"task": task})
    return record.model_copy(update={"cell": cell, "status": "ok", **changes}).sealed()


def test_a_record_of_an_earlier_name_is_one_of_today_s():
    today = of_earlier_name("digits/gap")
    record = read_record(json.loads(of_earlier_name("kernel/gap").to_json()))
    assert (record.cell, record.intact) == (today.cell, True)
    assert record.fingerprints["checksum"] == of_earlier_name("kernel/gap").checksum
    assert read_record(json.loads(record.to_json())) == record


def test_what_a_record_of_an_earlier_name_was_made_in_the_place_of_stays_replaced(tmp_path):
    old = of_earlier_name("kernel/gap", metrics={"gap_closed": 0.1})
    new = of_earlier_name("kernel/gap", metrics={"gap_closed": 0.9}, replaces=(old.checksum,))
    found = current(read_record(json.loads(record.to_json())) for record in (new, old))
    assert ([record.metrics["gap_closed"] for record in found.records], found.conflicts) == ([0.9], ())
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(canonical(json.loads(r.to_json())) + b"\n" for r in (old, new)))
    store = Store(tmp_path)
    assert store.has(of_earlier_name("digits/gap").cell)
    assert {record.cell.task for record in store.load()} == {"digits/gap"}


def test_only_what_the_code_made_that_had_the_versions_first_is_of_these_versions():
    made = {(line["commit"], line["record"]["label"]): outdated(read_record(line["record"]).cell) for line in LINES}
    old = {commit for (commit, _), reason in made.items() if reason}
    assert old == {"a779f78", "ad5cbfa", "4718a04"}
    assert made["a779f78", "mlp"] == "digits/accuracy: made by code from before versions, today's is version 1"


def test_models_that_a_task_or_a_model_fits_are_named():
    assert read_record(of("36c23f9", "rbf")).cell.references == {"mlp": 1, "ntk-mlp": 1, "torch": 1}
    assert read_record(of("36c23f9", "lantk-hr-mlp")).cell.references == {"ntk-mlp": 1}


def test_code_of_a_plug_in_stays_what_it_was_known_by(monkeypatch):
    from lebench.runner import migrations

    monkeypatch.setattr(migrations, "_is_own", lambda model: False)
    cell = read_record(of("36c23f9", "constant")).cell
    assert (cell.plugin, cell.model_version) == (of("36c23f9", "constant")["cell"]["model_fingerprint"], 1)


def test_other_code_of_the_model_is_another_version():
    document = of("36c23f9", "constant")
    changed = document | {"cell": document["cell"] | {"model_fingerprint": "0" * 64}}
    cell = read_record(sealed(changed)).cell
    assert (cell.task_version, cell.model_version) == (1, 0)


def sealed(document):
    from lebench.canonical import digest

    return document | {"checksum": digest({name: value for name, value in document.items() if name != "checksum"})}


def test_an_edited_record_is_refused():
    document = of("36c23f9", "constant")
    with pytest.raises(EditedError, match="was edited; run the cell again"):
        read_record(document | {"label": "mlp"})
    now = json.loads(read_record(document).to_json())
    with pytest.raises(EditedError):
        read_record(now | {"label": "mlp"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, f"it has schema {SCHEMA + 1}, which this version of lebench does not know; update"),
        ({"schema": None}, "schema: is missing or no whole number"),
        ({"schema": 0}, "schema: is missing or no whole number"),
        ({"cell": {"task": "digits/accuracy"}}, "cell: is none of schema 1"),
        ({"cell": 3}, "cell: is none of schema 1"),
    ],
)
def test_what_is_no_record_is_named(change, message):
    with pytest.raises((LebenchError, ValueError), match=message):
        read_record(sealed(of("36c23f9", "constant") | change))


@pytest.mark.parametrize("document", [None, 3, [], {}, "text"])
def test_what_is_no_document_is_named(document):
    with pytest.raises(ValueError, match="schema: is missing"):
        read_record(document)
