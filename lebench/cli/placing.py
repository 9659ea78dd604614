"""``lebench between``, and the table of label-aware kernels at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lebench import board
from lebench.board import Position, Triple
from lebench.cli import reading
from lebench.errors import LebenchError
from lebench.reading import sources
from lebench.reading.sources import metrics_of
from lebench.runner.current import current
from lebench.runner.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

#: What is placed of every task beside the value that ranks it.
_BESIDE = ("elasticity_ratio@mean", "elasticity_difference@mean")
_NOTE = (
    "Paired over seeds, with 95% intervals: Student's t, of the share Fieller's. A difference is positive where the "
    "first is better. There is a share only where the network is ahead of the kernel beyond the interval."
)


def between(
    *,
    model: str,
    kernel: str,
    network: str,
    tasks: Sequence[str],
    results: Path,
    baselines: bool,
    entries: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print where a model lies between a kernel and a network."""
    import pandas as pd

    _, table = reading.collect(results, entries, baselines)
    labels = [sources.known_label(label, table["model"]) for label in (model, kernel, network)]
    if len(set(labels)) < 3:
        raise LebenchError(f"three different models are needed, not {', '.join(labels)}")
    triple = Triple(*labels)
    chosen = sources.tasks_among(tasks, table["task"]) if tasks else sorted(set(table["task"]))
    found = list(_positions(table, chosen, triple, every_value=bool(tasks)))
    if not found:
        raise LebenchError(f"{', '.join(labels)} have no task and seed in common; run all three with the same seeds")
    if as_json or as_csv:
        reading.dump(pd.DataFrame([_row(*each) for each in found]), as_json)
        return
    _print(triple, found, reading.make_console())


def report(labels: Iterable[str], store: Store, console: Console) -> None:
    """Print, at the end of a run, where each label-aware kernel of it lies between its kernel and its network."""
    triples = list(board.triples_among(labels))
    if not triples:
        return
    names = {name for triple in triples for name in (triple.model, triple.kernel, triple.network)}
    _, table = sources.together(current(store.load(labels=names)).records, [])
    tasks = sorted(set(table["task"]))
    for triple in triples:
        found = list(_positions(table, tasks, triple, every_value=False))
        if found:
            console.print()
            _print(triple, found, console)


def _positions(
    table: pd.DataFrame, tasks: Iterable[str], triple: Triple, *, every_value: bool
) -> Iterable[tuple[str, str, Position]]:
    for task in tasks:
        primary, *others = metrics_of(table, task) or [""]
        shown = [primary, *(value for value in others if every_value or value in _BESIDE)]
        for value in shown:
            found = board.place(table, task, value, triple)
            if found is not None:
                yield task, value, found


def _row(task: str, value: str, found: Position) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "metric": value}
    row |= {name: getattr(found, name) for name in ("kernel", "model", "network")}
    for name in ("gain", "rest", "gap"):
        estimate = getattr(found, name)
        row |= {name: estimate.mean, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
    for end in ("value", "lower", "upper"):
        row[f"closed_{end}"] = None if found.closed is None else getattr(found.closed, end)
    return row | {"seeds": found.gap.seeds, "verdict": found.verdict}


def _print(triple: Triple, found: Sequence[tuple[str, str, Position]], console: Console) -> None:
    title = f"{triple.model} between {triple.kernel} and {triple.network}"
    differences = (f"{a}\n− {b}" for a, b in (("model", "kernel"), ("network", "model")))
    columns = ("task, value", "kernel", "model", "network", *differences, "share of the gap", "verdict")
    shown = reading.make_table(title, columns)
    for task, value, at in found:
        share = at.closed
        reading.add_row(
            shown,
            f"{task}\n  {value}",
            *(sources.number(mean) for mean in (at.kernel, at.model, at.network)),
            *(_difference(estimate) for estimate in (at.gain, at.rest)),
            "–" if share is None else f"{share.value:.2f} [{share.lower:.2f}, {share.upper:.2f}]",
            at.verdict,
        )
    console.print(shown)
    console.print(_NOTE, style="dim", highlight=False, markup=False)


def _difference(estimate: board.Estimate) -> str:
    if estimate.upper is None:
        return sources.number(estimate.mean, True)
    return f"{sources.number(estimate.mean, True)} ±{sources.number(estimate.upper - estimate.mean)}"
