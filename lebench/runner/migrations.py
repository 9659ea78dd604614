"""Records read from their documents; one of a task's earlier name (``aliases``) is read as one of today's name."""

from __future__ import annotations

from functools import cache
from typing import Any

from lebench import registry
from lebench.errors import LebenchError
from lebench.records import SCHEMA, Record


class EditedError(LebenchError):
    """A record whose checksum is not that of its content."""

    def __init__(self) -> None:
        super().__init__("the checksum does not match, so the record was edited; run the cell again")


def read_record(document: dict[str, Any]) -> Record:
    """Return the record of a document, checked against its checksum.

    Parameters
    ----------
    document : dict
        The JSON object of a record.

    Raises
    ------
    EditedError
        If the checksum is not that of the content.
    LebenchError
        If the schema is not that of this version of lebench.
    ValueError
        If it is no record.
    """
    check_schema(document.get("schema") if isinstance(document, dict) else None)
    record = Record.model_validate(document)
    if not record.intact:
        raise EditedError
    return renamed(record)


def check_schema(schema: object) -> None:
    """Refuse a schema that is not today's, by a LebenchError, and what is none, by a ValueError."""
    if type(schema) is not int or schema < 1:
        raise ValueError("schema: is missing or no whole number from 1")
    if schema > SCHEMA:
        raise LebenchError(f"it has schema {schema}, and this version reads schema {SCHEMA}: upgrade lebench")
    if schema < SCHEMA:
        raise LebenchError(f"it has schema {schema}, from before the first release: run the cell again")


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
