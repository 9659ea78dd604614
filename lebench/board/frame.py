"""Records as a table, one row for each value, and what is read from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lebench import registry
from lebench.metrics.base import Direction
from lebench.records import Record
from lebench.stats import FREE, LEVEL, Bounds, mean_interval
from lebench.tasks.base import metric_of

if TYPE_CHECKING:
    import pandas as pd

#: Values of one metric of one task: ``{model: {seed: value}}``.
BySeed = Mapping[str, Mapping[int, float]]

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


def direction_of(metric: str) -> Direction:
    """Return what is better in a recorded value: ``"higher"``, ``"lower"`` or ``"none"`` (descriptive).

    Parameters
    ----------
    metric : str
        ``"metric"`` or ``"metric@qualifier"``.

    Raises
    ------
    UnknownNameError
        If the metric is not registered.
    """
    direction: Direction = registry.metrics.get(metric_of(metric)).direction
    return direction


def primary_of(task: str) -> str:
    """Return the metric that ranks a task.

    Raises
    ------
    UnknownNameError
        If the task is not registered.
    """
    return str(registry.tasks.get(task).primary)


def is_control(model: str) -> bool:
    """Return whether a model is a control, which is expected to lose; one that is not registered here is none."""
    return has_tag(model, "control")


def has_tag(model: str, tag: str) -> bool:
    """Return whether a model, by its name or label, is registered here with a tag."""
    name = model.split("[", 1)[0]
    return name in registry.models and tag in registry.models.item(name).tags


def summary(frame: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Return the mean and interval over seeds of every value.

    Parameters
    ----------
    frame : pandas.DataFrame
        As :func:`lebench.board.frame` makes it.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        One row per (track, task, model, metric), sorted, with the columns ``mean``, ``lower``, ``upper`` and ``seeds``;
        the ends are NaN with fewer than two seeds. Values that are missing are left out, not counted as zero.
    """
    import pandas as pd

    rows = []
    keys = ["track", "task", "model", "metric"]
    for key, group in frame.dropna(subset="value").groupby(keys, sort=True):
        estimate = mean_interval(group["value"], level, bounds_of(str(key[-1])))
        rows.append((*key, estimate.mean, estimate.lower, estimate.upper, estimate.seeds))
    table = pd.DataFrame(rows, columns=[*keys, "mean", "lower", "upper", "seeds"])
    return table.astype({"mean": "float64", "lower": "float64", "upper": "float64"})


def bounds_of(value: str) -> Bounds:
    """Return the bounds of a recorded value, infinite ones of a metric that is not registered here."""
    name = metric_of(value)
    return registry.metrics.get(name).bounds if name in registry.metrics else FREE


def by_seed(frame: pd.DataFrame, task: str, metric: str) -> dict[str, dict[int, float]]:
    """Return the values of one metric of one task as ``{model: {seed: value}}``; missing ones are left out."""
    chosen = frame[(frame["task"] == task) & (frame["metric"] == metric)].dropna(subset="value")
    values: dict[str, dict[int, float]] = {}
    for model, seed, value in zip(chosen["model"], chosen["seed"], chosen["value"], strict=True):
        values.setdefault(str(model), {})[int(seed)] = float(value)
    return values


def _names(records: list[Record]) -> dict[tuple[str, str, str], str]:
    computed: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for record in records:
        computed[record.label].add((record.cell.backend, record.cell.precision))
    return {
        (label, backend, precision): label if len(ways) == 1 else f"{label} ({backend}, {precision})"
        for label, ways in computed.items()
        for backend, precision in ways
    }
