"""``lebench compare``: two models, with the intervals of the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lebench import board
from lebench.artifacts import ArtifactError, unpack
from lebench.board.frame import by_seed
from lebench.cli.reading import (
    add_row,
    dump,
    entries_folder,
    known_label,
    make_console,
    make_table,
    narrow,
    number,
    sources,
    tasks_among,
    titled,
    together,
)
from lebench.cli.values import direction_of, metrics_of
from lebench.errors import LebenchError
from lebench.records import Record
from lebench.runner.store import Store
from lebench.stats import LEVEL, PointEffects

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

_NOTE = (
    "Differences are paired: a seed gives both models the same split. Intervals are Student's t over seeds; where a "
    "score is a mean over test points that seeds share, those are resampled too, as on the board."
)


def compare(
    *,
    a: str,
    b: str,
    tasks: Sequence[str],
    results: Path,
    baselines: bool,
    entries: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print paired differences of two models."""
    import pandas as pd

    records, board_entries = sources(results, entries, baselines)
    own, table = together(records, board_entries)
    a, b = known_label(a, table["model"]), known_label(b, table["model"])
    if a == b:
        raise LebenchError(f"compare needs two different models, both are {a!r}")
    chosen = tasks_among(tasks, table["task"]) if tasks else sorted(set(table["task"]))
    store = Store(results)
    runs = [_Run(f"results/{label}", [r for r in records if r.label == label], store) for label in own & {a, b}]
    points, names = _points(runs, board_entries, entries_folder(entries))
    rows = [row for task in chosen for row in _differences(table, task, a, b, points, names, every_metric=bool(tasks))]
    if not rows:
        raise LebenchError(f"{a!r} and {b!r} have no task and seed in common; run both with the same seeds")
    if as_json or as_csv:
        dump(pd.DataFrame(rows), as_json)
        return
    console = make_console()
    shown = _table(a, b, rows, whole=True)
    # What is not to be broken would be cut off, numbers too, where there is no room for it.
    fits = console.measure(shown, options=console.options.update(max_width=1000)).maximum <= console.width
    console.print(shown if fits else _table(a, b, rows, whole=False))
    console.print(_NOTE, style="dim", highlight=False, markup=False)


def _table(a: str, b: str, rows: Iterable[Mapping[str, Any]], *, whole: bool) -> Table:
    columns = ("task, value", narrow(a, 12), narrow(b, 12), "difference,\n95% interval", "resampled", "verdict")
    shown = make_table(f"{a} against {b}", columns, whole=whole)
    for row in rows:
        interval = "" if row["lower"] is None else f"\n[{number(row['lower'], True)}, {number(row['upper'], True)}]"
        add_row(
            shown,
            "\n  ".join([row["task"], *narrow(titled(row["metric"]), 26).split("\n")]),
            number(row["a"]),
            number(row["b"]),
            f"{number(row['difference'], True)}{interval}",
            f"{row['seeds']} seeds" + (f",\n{row['points']:,} points" if row["points"] else ""),
            narrow(row["verdict"], 12),
        )
    return shown


@dataclass(frozen=True)
class _Run:
    """The records of a model in a results folder, with what was recorded with them."""

    name: str
    records: Sequence[Record]
    store: Store

    def recording(self, record: Record) -> dict[str, NDArray[Any]]:
        try:
            return unpack(self.store.recording(record), record.recorded)
        except ArtifactError:
            # Without it the interval resamples seeds alone, and says so.
            return {}


def _points(
    runs: Iterable[_Run], entries: Iterable[board.Entry], folder: Path
) -> tuple[Mapping[str, board.TaskPoints], dict[str, str]]:
    """Return values at test points, and the name of each model's records there.

    Models of the results folder that are not compared are left out: the field is that of the board.
    """
    found: dict[str, board.Recorded] = {run.records[0].label: run for run in runs}
    for entry in entries:
        found.setdefault(entry.records[0].label, entry)
    points = board.gather(found.values(), folder.parent / "points", keep=False)
    return points, {label: each.name for label, each in found.items()}


def _differences(
    table: pd.DataFrame,
    task: str,
    a: str,
    b: str,
    points: Mapping[str, board.TaskPoints],
    names: Mapping[str, str],
    *,
    every_metric: bool,
) -> list[dict[str, Any]]:
    metrics = metrics_of(table, task)[: None if every_metric else 1]
    rows = []
    for metric in metrics:
        values = by_seed(table, task, metric)
        difference = board.paired_difference(values.get(a, {}), values.get(b, {}))
        if difference is None:
            continue
        models = {names[label]: label for label in values if label in names}
        field = [name for name, label in models.items() if not board.is_control(label)]
        effects = board.effects_on(points, task, metric, sorted(models), field)
        added, count = _added(effects, sorted(models), names.get(a), names.get(b))
        difference = difference.widened(added)
        direction = direction_of(metric)
        common = sorted(values[a].keys() & values[b].keys())
        verdict = "not distinguishable"
        if difference.excludes_zero:
            better = a if (difference.mean > 0) == (direction == "higher") else b
            verdict = "differs" if direction == "none" else f"{better} is better"
        elif difference.lower is None:
            verdict = "one seed: no interval"
        rows.append(
            {
                "task": task,
                "metric": metric,
                "a": sum(values[a][seed] for seed in common) / len(common),
                "b": sum(values[b][seed] for seed in common) / len(common),
                "difference": difference.mean,
                "lower": difference.lower,
                "upper": difference.upper,
                "seeds": difference.seeds,
                "points": 0 if difference.lower is None else count,
                "verdict": verdict,
            }
        )
    return rows


def _added(effects: PointEffects | None, models: Sequence[str], a: str | None, b: str | None) -> tuple[float, int]:
    """Return what test points add to the half width of the difference of two models, and their number."""
    if effects is None or a not in models or b not in models:
        return 0.0, 0
    halves = effects.half_widths(effects.pair_deviations, LEVEL)
    return float(halves[models.index(a), models.index(b)]), len(effects.ids)
