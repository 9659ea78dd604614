"""Records as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from lebench import registry
from lebench.records import Record

_COLUMNS = {
    "task": "str",
    "track": "str",
    "model": "str",
    "backend": "str",
    "seed": "int64",
    "metric": "str",
    "value": "float64",
    "primary": "boolean",
    "status": "str",
    "reason": "str",
    "fit_s": "float64",
    "score_s": "float64",
    "cpu_s": "float64",
    "peak_memory_bytes": "Int64",
    "finished": "str",
    "key": "str",
}


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return a table of records; its columns are those of :func:`lebench.run.load`."""
    rows = [row for record in records for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    cell, cost = record.cell, record.cost
    primary = registry.tasks.get(cell.task).primary if cell.task in registry.tasks else None
    common = {
        "task": cell.task,
        "track": record.track,
        "model": record.label,
        "backend": cell.backend,
        "seed": cell.seed,
        "status": record.status,
        "fit_s": cost.fit_s if cost else None,
        "score_s": cost.score_s if cost else None,
        "cpu_s": cost.cpu_s if cost else None,
        "peak_memory_bytes": cost.peak_memory_bytes if cost else None,
        "finished": record.run.finished,
        "key": cell.key,
    }
    values: dict[str | None, tuple[float | None, str]] = {
        **{name: (value, record.reason) for name, value in record.metrics.items()},
        **{name: (None, reason) for name, reason in record.missing.items()},
    }
    for name, (value, reason) in (values or {None: (None, record.reason)}).items():
        ranks = name == primary if primary is not None else None
        yield {**common, "metric": name, "value": value, "primary": ranks, "reason": reason}
