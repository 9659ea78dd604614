"""The valid entry that the fuzzer begins with, and how one is written whose content lebench would not write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785
from loose import LOOSE

from lebench import artifacts, registry
from lebench.board import entries, verification
from lebench.runner.identity import make_cell
from lebench.verify import Recomputed, make_verification, validation

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("digits/accuracy", "digits/collapse", "digits/gap")
NAME = "linear"


class Start:
    """A valid entry in memory: its description, its records with their environments in them, and its arrays."""

    def __init__(self) -> None:
        made = entries.read_entry(ROOT / "leaderboard/entries" / NAME)
        self.info = made.info.model_dump(mode="json", by_alias=True)
        self.records: list[dict[str, Any]] = []
        self.arrays: dict[tuple[int, str], dict[str, np.ndarray]] = {}
        for record in made.records:
            if record.cell.task not in TASKS or record.cell.seed:
                continue
            configured = validation._configured(record.label, record.cell.backend)
            now = make_cell(registry.tasks.get(record.cell.task), configured, record.cell.seed)
            old, record = record, record.model_copy(update={"cell": now})
            place = len(self.records)
            for kind, arrays in (("", made.artifacts(old)), (".recording", made.recording(old))):
                if arrays:
                    self.arrays[place, kind] = arrays
            self.records.append(record.model_dump(mode="json", by_alias=True))
        self.packed = {key: artifacts.pack(arrays)[0] for key, arrays in self.arrays.items()}
        self.records = [sealed(record) for record in self.records]
        # The design is that of the records which were taken.
        self.info["seeds"] = {record["cell"]["task"]: 1 for record in self.records}
        self.verification = b""
        self.verified: Any = None

    def write(self, folder: Path) -> None:
        """Write the entry into a folder, see that it is valid, and put on record that it was verified."""
        folder.mkdir(parents=True)
        for name, content in written(self.info, self.records).items():
            (folder / name).write_bytes(content)
        (folder / "artifacts").mkdir()
        for (place, kind), content in self.packed.items():
            (folder / "artifacts" / f"{key_of(self.records[place])}{kind}.npz").write_bytes(content)
        found = validation.validate(folder)
        assert not found, f"the entry to begin with is not valid: {[str(each) for each in found]}"
        entry = entries.read_entry(folder)
        checked = [Recomputed(record, "", next(iter(record.metrics)), 0.0) for record in entry.records]
        verification.write_verification(entry, make_verification(entry, checked, seed="seed"))
        self.verification = (folder / "verification.json").read_bytes()
        self.verified = json.loads(self.verification)


def sealed(record: Any) -> Any:
    """Return a document with the checksum of its content, as far as it has one."""
    try:
        content = {key: value for key, value in record.items() if key != "checksum"}
        return content | {"checksum": hashlib.sha256(rfc8785.dumps(content)).hexdigest()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return record


def key_of(record: Any) -> str:
    try:
        return hashlib.sha256(rfc8785.dumps(record["cell"])).hexdigest()[:16]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "0" * 16


def written(info: Any, records: list[Any]) -> dict[str, bytes]:
    """Return the documents of an entry as lebench writes them, for content that it would not write."""
    shared: dict[str, dict[str, Any]] = {"environments": {}, "sources": {}}
    lines = []
    for record in records:
        if isinstance(record, dict):
            record = dict(record)
            for field in ("environment", "source"):
                try:
                    digest = hashlib.sha256(rfc8785.dumps(record[field])).hexdigest()
                    shared[f"{field}s"][digest] = record[field]
                    record[field] = digest
                except (ValueError, TypeError, KeyError, RecursionError):
                    pass
        lines.append(dumped(record))
    return {
        "entry.toml": described(info).encode(*LOOSE),
        "environments.json": (json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(*LOOSE),
        "records.jsonl": ("\n".join(lines) + "\n").encode(*LOOSE),
    }


def described(info: Any) -> str:
    """Return ``entry.toml``; tables stand last."""
    tables = {key: value for key, value in info.items() if isinstance(value, dict)}
    text = "".join(f"{key} = {dumped(value, None)}\n" for key, value in info.items() if key not in tables)
    for name, table in tables.items():
        lines = (f"{dumped(key, None)} = {dumped(value, None)}\n" for key, value in table.items())
        text += f"\n[{name}]\n{''.join(lines)}"
    return text


def dumped(value: Any, separators: tuple[str, str] | None = (",", ":")) -> str:
    return json.dumps(value, ensure_ascii=False, separators=separators)
