"""Records that no run has made, for tests of the store and of merging."""

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


def agree(entry):
    """Put on record of an entry that everything in it was computed and run again and agrees."""
    reruns = [Rerun(record, "agrees", rule="exact") for record in entry.records if record.status == "ok"]
    recomputed = [Recomputed(record, "") for record in entry.records if record.recorded]
    write_verification(entry, make_verification(entry, recomputed, reruns, "a test"))
    return entry
