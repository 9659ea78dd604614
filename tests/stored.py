"""Records that no run has made, for tests of the store and of merging."""

import json
from pathlib import Path

from lebench.board import write_verification
from lebench.records import SCHEMA, Artifact, Cell, Cost, Record, RunInfo
from lebench.runner.environment import environment, source
from lebench.verify import Recomputed, Rerun, make_verification

DESCRIBED = {"x": Artifact(sha256="0" * 64, shape=(1,), dtype="<f4", bytes=4)}


def make(status="ok", label="mlp[width=4]", value=0.5, artifacts=None, finished=1, params=None, replaces=(), **changes):
    content = {
        "task": "digits/accuracy",
        "task_version": 1,
        "dataset": "digits",
        "dataset_version": 1,
        "dataset_sha256": "d" * 64,
        "model": "mlp",
        "params": params or {"width": 4, "lr": 1e-7},
        "model_version": 1,
        "backend": "torch",
        "backend_version": 1,
        "precision": "float32",
        "seed": 3,
    }
    run = RunInfo(started="2026-01-01T00:00:00Z", finished=f"2026-01-01T00:00:0{finished}Z", command="lebench run")
    return Record(
        schema=SCHEMA,
        cell=Cell(**(content | changes)),
        track="generalization",
        label=label,
        status=status,
        metrics={"accuracy": value} if status == "ok" else {},
        artifacts=artifacts or {},
        cost=Cost(fit_s=1.0, score_s=1e-5, cpu_s=1e22, peak_memory_bytes=7, fits=1),
        environment=environment(),
        source=source(),
        run=run,
        replaces=replaces,
    ).sealed()


def content(folder):
    """Return the content of every file below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


_FILE = Path(__file__).with_name("reference") / "records_of_schema_1.jsonl"
#: Records as lebench made them at several commits before it had versions.
SCHEMA_1 = [json.loads(line)["record"] for line in _FILE.read_text().splitlines()]


def put_as_schema_1(folder, document, **files):
    """Write a record as it was written then: a file each, and others beside it, named by their suffixes."""
    cell = document["cell"]
    path = (
        folder
        / cell["task"]
        / f"{document['label']}@{cell['backend']}"
        / f"seed-{cell['seed']}-{document['checksum'][:12]}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "lebench.json").write_text('{"schema": 1, "lebench": "0.1.0"}')
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    for suffix, data in files.items():
        path.with_suffix("." + suffix.replace("_", ".")).write_bytes(data)
    return path


def agree(entry):
    """Put on record of an entry that everything in it was computed and run again and agrees."""
    reruns = [Rerun(record, "agrees", rule="exact") for record in entry.records if record.status == "ok"]
    recomputed = [Recomputed(record, "") for record in entry.records if record.recorded]
    write_verification(entry, make_verification(entry, recomputed, reruns, "a test"))
    return entry
