"""Records as a table: one row for each value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lebench.records import Record

if TYPE_CHECKING:
    import pandas as pd

#: Columns of :func:`frame`, in this order.
COLUMNS = (
    "track",
    "task",
    "task_version",
    "dataset",
    "model",
    "backend",
    "precision",
    "seed",
    "metric",
    "value",
    "status",
    "reason",
    "fit_s",
    "score_s",
    "cpu_s",
    "peak_memory_bytes",
    "fits",
    "key",
)


def frame(records: Iterable[Record], model: str | None = None) -> pd.DataFrame:
    """Return records in long form: a row for each metric of each cell.

    Parameters
    ----------
    records : iterable of Record
        Of any models and tasks.
    model : str, optional
        What to write under ``model`` for all of them. By default the label of each record; a label that comes with
        several backends or precisions is told apart as ``"mlp (jax, float32)"``.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`. A metric that could not be computed has the value NaN and its ``reason``. A cell that
        did not finish has one row, with the metric ``""``, the value NaN, its ``status`` and ``reason``. Cost columns
        repeat the cost of the cell and are NaN where it has none.
    """
    import pandas as pd

    records = list(records)
    names = _names(records) if model is None else defaultdict(lambda: model)
    rows = []
    for record in records:
        cell, cost = record.cell, record.cost
        common: dict[str, Any] = {
            "track": record.track,
            "task": cell.task,
            "task_version": cell.task_version,
            "dataset": cell.dataset,
            "model": names[record.label, cell.backend, cell.precision],
            "backend": cell.backend,
            "precision": cell.precision,
            "seed": cell.seed,
            "status": record.status,
            "reason": record.reason,
            "key": cell.key,
        }
        if cost is not None:
            common |= cost.model_dump()
        outcomes = [{"metric": metric, "value": value} for metric, value in record.metrics.items()]
        outcomes += [{"metric": metric, "reason": reason} for metric, reason in record.missing.items()]
        rows += [common | outcome for outcome in outcomes or [{"metric": ""}]]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(("value", "fit_s", "score_s", "cpu_s", "peak_memory_bytes", "fits"), "float64"))


def _names(records: list[Record]) -> dict[tuple[str, str, str], str]:
    computed: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for record in records:
        computed[record.label].add((record.cell.backend, record.cell.precision))
    return {
        (label, backend, precision): label if len(ways) == 1 else f"{label} ({backend}, {precision})"
        for label, ways in computed.items()
        for backend, precision in ways
    }
