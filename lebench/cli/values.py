"""The values of a task and what is better in them, also of a plug-in's task that is not loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lebench import board, registry
from lebench.metrics.base import Direction
from lebench.tasks.base import metric_of

if TYPE_CHECKING:
    import pandas as pd


def metrics_of(table: pd.DataFrame, task: str) -> Sequence[str]:
    """Return the values of a task, the one that ranks first; of a task that is not known here, those in its records."""
    if task in registry.tasks:
        primary = board.primary_of(task)
        return [primary, *(name for name in registry.tasks.get(task).metrics if name != primary)]
    recorded = sorted(set(table.loc[(table["task"] == task) & table["value"].notna(), "metric"]))
    return sorted(recorded, key=lambda name: name != "accuracy")


def primary_of(table: pd.DataFrame, task: str) -> str:
    """Return the value that ranks a task, or stands first in its records; empty if there is none."""
    return next(iter(metrics_of(table, task)), "")


def direction_of(metric: str) -> Direction:
    """Return what is better in a value; ``"none"`` of a metric that is not known here."""
    return board.direction_of(metric) if metric_of(metric) in registry.metrics else "none"
