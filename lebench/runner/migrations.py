"""Records of earlier schemas, read as records of today's.

A record of schema 1 had checksums of lebench's code in place of versions. ``schema_1.json`` holds those of the code at
the time when versions began: what was made by that code, the leaderboard's records among it, has the versions of that
day. What was made by other code has version 0, which is none of today's, so that it counts as outdated. Five tasks had
names that questions have now.

A record of a task's earlier name is read as one of today's name: see ``aliases`` of :mod:`lebench.registry`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from lebench import registry
from lebench.canonical import digest
from lebench.errors import LebenchError
from lebench.models.spec import parse_spec
from lebench.records import SCHEMA, Record

_FROZEN = Path(__file__).with_name("schema_1.json")


class EditedError(LebenchError):
    """A record whose checksum is not that of its content."""

    def __init__(self) -> None:
        super().__init__("the checksum does not match, so the record was edited; run the cell again")


def read_record(document: dict[str, Any]) -> Record:
    """Return the record of a document of this schema or an earlier one, checked against its checksum.

    Parameters
    ----------
    document : dict
        The JSON object of a record.

    Raises
    ------
    EditedError
        If the checksum is not that of the content.
    LebenchError
        If the schema is newer than this version of lebench.
    ValueError
        If it is no record.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if type(schema) is not int or schema < 1:
        raise ValueError("schema: is missing or no whole number from 1")
    if schema > SCHEMA:
        raise LebenchError(f"it has schema {schema}, which this version of lebench does not know; update lebench")
    if schema < SCHEMA:
        return _of_schema_1(document)
    record = Record.model_validate(document)
    if not record.intact:
        raise EditedError
    return renamed(record)


@cache
def earlier_names() -> dict[str, str]:
    """Return the names of lebench's tasks by their earlier ones."""
    own = {item.name for item in registry.tasks.items() if item.source == "lebench"}
    return {old: new for old, new in registry.tasks.aliases().items() if new in own}


def renamed(record: Record) -> Record:
    """Return a record under the name that its task has today; what was made in its place knows its old checksum."""
    name = earlier_names().get(record.cell.task)
    if name is None:
        return record
    changes = {
        "cell": record.cell.model_copy(update={"task": name}),
        "fingerprints": record.fingerprints | {"checksum": record.checksum},
    }
    return record.model_copy(update=changes).sealed()


def _of_schema_1(document: dict[str, Any]) -> Record:
    content = {name: value for name, value in document.items() if name != "checksum"}
    if document.get("checksum") != digest(content):
        raise EditedError
    try:
        cell = _cell(content["cell"], content["label"])
        prints = {name: content["cell"][name] for name in ("task_fingerprint", "model_fingerprint")}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"cell: is none of schema 1 ({error})") from error
    return renamed(Record.model_validate(content | {"schema": SCHEMA, "cell": cell, "fingerprints": prints}).sealed())


def _cell(old: dict[str, Any], label: str) -> dict[str, Any]:
    frozen = _frozen()
    cell = dict(old)
    of_task, of_model = cell.pop("task_fingerprint"), cell.pop("model_fingerprint")
    task = frozen["tasks"].get(cell["task"], {})
    own_task, own_model = bool(task), _is_own(cell["model"])
    # Whether a plug-in's code is that of today cannot be said: its checksum was of another kind.
    same_task = of_task == task["fingerprint"] if own_task else True
    same_model = frozen["models"].get(of_model) == f"{label}@{cell['backend']}" if own_model else True
    references = dict(task.get("references", {})) if same_task else {}
    if own_model and "base" in cell["params"]:
        references[parse_spec(cell["params"]["base"])[0]] = 1
    return cell | {
        "task": frozen["renamed"].get(cell["task"], cell["task"]),
        "task_version": cell["task_version"] if same_task else 0,
        "dataset_version": 1 if same_task else 0,
        "model_version": int(same_model),
        "plugin": "" if own_task and own_model else of_task if own_model else of_model,
        "references": references,
        "backend_version": 1,
    }


def _is_own(model: str) -> bool:
    return model in registry.models and registry.models.item(model).source == "lebench"


@cache
def _frozen() -> dict[str, Any]:
    frozen: dict[str, Any] = json.loads(_FROZEN.read_text(encoding="utf-8"))
    return frozen
