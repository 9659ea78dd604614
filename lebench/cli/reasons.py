"""Why a value is not in a table of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lebench.board.frame import by_seed
from lebench.reading.sources import primary_of

if TYPE_CHECKING:
    import pandas as pd

_NUMBER = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?")


def without_score(table: pd.DataFrame) -> list[str]:
    """Return a line for each task and reason that some models have no primary score of it."""
    reasons: dict[tuple[str, str], set[str]] = {}
    for task in sorted(set(table["task"])):
        scored = by_seed(table, task, primary_of(table, task))
        lacking = table[(table["task"] == task) & ~table["model"].isin(scored)]
        for model, status, reason in zip(lacking["model"], lacking["status"], lacking["reason"], strict=True):
            reasons.setdefault((task, f"{status}: {reason}"), set()).add(str(model))
    return [f"– {task}: {', '.join(sorted(models))}: {reason}" for (task, reason), models in reasons.items()]


def without_value(table: pd.DataFrame) -> list[str]:
    """Return a line for each model of one task and reason that some of its values are missing, in some seeds or in all.

    Reasons that differ in their numbers are one; the first stands for all.
    """
    seeds = table.groupby("model")["seed"].nunique()
    found: dict[tuple[str, str], tuple[str, dict[str, int]]] = {}
    lacking = table[table["value"].isna()]
    columns = (lacking[name] for name in ("model", "metric", "status", "reason"))
    for model, metric, status, reason in zip(*columns, strict=True):
        said = str(reason) if metric else f"{status}: {reason}"
        _, counts = found.setdefault((str(model), _NUMBER.sub("0", said)), (said, {}))
        counts[str(metric)] = counts.get(str(metric), 0) + 1
    return [
        f"– {model}: {', '.join(_counted(metric, n, int(seeds[model])) for metric, n in counts.items())}: {said}"
        for (model, _), (said, counts) in found.items()
    ]


def _counted(metric: str, missing: int, seeds: int) -> str:
    name = metric or "no value"
    return name if missing == seeds else f"{name} ({missing} of {seeds} seeds)"
