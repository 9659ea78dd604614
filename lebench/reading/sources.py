"""Where results come from: a results folder, the entries of the leaderboard, and what of them is asked for."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lebench import board, registry
from lebench.errors import LebenchError, LebenchWarning, ParameterError, UnknownNameError
from lebench.metrics.base import Direction
from lebench.models.spec import parse_spec
from lebench.records import Record
from lebench.runner.current import Current, current
from lebench.runner.store import Store
from lebench.tasks.base import metric_of

if TYPE_CHECKING:
    import pandas as pd

_ARROWS = {"higher": "↑", "lower": "↓", "none": ""}


def entries_folder(chosen: str | Path | None) -> Path:
    """Return the folder of entries: the one asked for, the one here, or the one of lebench's checkout."""
    if chosen is not None:
        return Path(chosen)
    here = Path("leaderboard/entries")
    return here if here.is_dir() else Path(__file__).parents[2] / here


def folder_of_clone(chosen: str | Path | None) -> Path:
    """Return the folder of entries to write to or to build from: the one asked for, or that of a clone.

    Raises
    ------
    LebenchError
        If none was asked for, and this is no clone of lebench's repository.
    """
    folder = entries_folder(chosen)
    if chosen is None and not folder.is_dir():
        raise LebenchError(
            "there is no folder leaderboard/entries here: run it in a clone of lebench's repository, "
            "or name a folder of entries with --entries"
        )
    return folder


def noted(found: Current, tell: Callable[[str], None] | None = None) -> tuple[Record, ...]:
    """Return the current records, and say which are left out and why: with `tell`, or as warnings."""
    for note in found.notes:
        if tell is None:
            warnings.warn(note, LebenchWarning, stacklevel=4)
        else:
            tell(note)
    return found.records


def sources(
    results: Path, entries: Path | None, baselines: bool, tell: Callable[[str], None] | None = None
) -> tuple[Sequence[Record], list[board.Entry]]:
    """Return the current records of the results folder, and the entries of the leaderboard if they are asked for.

    Raises
    ------
    LebenchError
        If there is neither.
    """
    records = noted(current(Store(results).load()), tell) if results.exists() or not baselines else ()
    folder = entries_folder(entries)
    found = board.read_entries(folder) if baselines and (entries is not None or folder.is_dir()) else []
    if not records and not found:
        raise LebenchError(f"there are no results in {str(results)!r}; 'lebench run --model resnet' makes some")
    return records, found


def together(records: Sequence[Record], entries: Iterable[board.Entry]) -> tuple[set[str], pd.DataFrame]:
    """Return the labels of some records, and all values: theirs, then those of the entries that they lack."""
    own = {record.label for record in records}
    others = [record for entry in entries for record in entry.current.records if record.label not in own]
    return own, board.frame([*records, *others])


def known_label(model: str, labels: Iterable[str]) -> str:
    """Return a model's label if there are results of it.

    Raises
    ------
    UnknownNameError
        If there are none; the message names similar labels.
    """
    labels = sorted(set(labels))
    if same := same_model(model, labels):
        return same
    hint = registry.did_you_mean(model, labels) or f"there are {', '.join(labels)}"
    raise UnknownNameError(f"there are no results of model {model!r}; {hint}")


def same_model(model: str, labels: Sequence[str]) -> str | None:
    """Return the label that means a model, whose parameters may be named in any order; None if there is none."""
    if model in labels:
        return model
    parsed = _parsed(model)
    return next((label for label in labels if parsed is not None and _parsed(label) == parsed), None)


def _parsed(label: str) -> tuple[str, dict[str, str]] | None:
    try:
        return parse_spec(label)
    except ParameterError:
        return None


def tasks_among(patterns: Iterable[str], present: Iterable[str]) -> list[str]:
    """Return the tasks that patterns select among those of which there are results.

    Raises
    ------
    LebenchError
        If there are no results of any.
    """
    present, patterns = set(present), list(patterns)
    # Also those of a plug-in that is not loaded.
    chosen = {task for task in present if any(fnmatch.fnmatchcase(task, pattern) for pattern in patterns)}
    others = [pattern for pattern in patterns if not any(fnmatch.fnmatchcase(task, pattern) for task in chosen)]
    chosen |= present.intersection(registry.tasks.select(others))
    if not chosen:
        raise LebenchError(f"there are no results of the tasks {', '.join(patterns)}")
    return sorted(chosen)


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


def titled(metric: str) -> str:
    """Return a value's name with an arrow that says what is better."""
    return f"{metric} {_ARROWS[direction_of(metric)]}".strip()


def number(value: float, signed: bool = False) -> str:
    """Return a number as it stands in a table."""
    if value == 0:
        return "0"
    digits = f"{value:.4f}" if 1e-3 <= abs(value) < 100 else f"{value:.3g}"
    return f"+{digits}" if signed and value > 0 else digits


def interval(lower: float | None, upper: float | None, signed: bool = False) -> str:
    """Return an interval as it stands in a table."""
    if lower is None or upper is None or lower != lower:
        return "one seed"
    return f"[{number(lower, signed)}, {number(upper, signed)}]"
