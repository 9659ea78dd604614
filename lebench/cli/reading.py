"""``lebench show`` and the tables at the end of a run."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lebench import board
from lebench.board.frame import by_seed
from lebench.cli.reasons import without_score, without_value
from lebench.reading.sources import (
    direction_of,
    entries_folder,
    interval,
    known_label,
    metrics_of,
    noted,
    number,
    primary_of,
    same_model,
    sources,
    tasks_among,
    titled,
    together,
)
from lebench.records import Record
from lebench.runner.current import Current, current
from lebench.runner.store import Store
from lebench.tasks.base import TRACKS

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

#: Width of tables where there is no terminal to ask.
_PLAIN_WIDTH = 140
_MODELS_WIDE = 5
_TEXT_COLUMNS = frozenset(
    {"metric", "model", "verdict", "task", "best other", "known answer", "state", "file", "folder", "network"}
)
_RANKS = (
    ' A rank is a 95% range among the entries of the leaderboard, corrected for the number of comparisons: "of" counts '
    "those with a score on the task, and the model itself. Controls do not count."
)


def show(
    *,
    models: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    baselines: bool,
    entries: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print results as tables, JSON or CSV."""
    own, table = _of_models(models, results) or collect(results, entries, baselines)
    if models:
        table = table[table["model"].isin([known_label(model, table["model"]) for model in models])]
    if tasks:
        table = table[table["task"].isin(tasks_among(tasks, table["task"]))]
    if as_json or as_csv:
        dump(board.summary(table), as_json)
        return
    console = make_console()
    if tasks:
        for task in sorted(set(table["task"])):
            of_task = table[table["task"] == task]
            mine = of_task[of_task["model"].isin(own)]
            shown = mine if len(mine) and not models else of_task
            for part in _few_models(shown):
                console.print(_every_metric(part, task))
            for line in without_value(shown):
                console.print(line, style="dim", highlight=False, markup=False)
        return
    for track in TRACKS:
        of_track = table[table["track"] == track]
        families = of_track["task"].str.split("/").str[0]
        # A table for each family of tasks: all tasks of a track side by side do not fit a terminal.
        for family in sorted(set(families)):
            part = of_track[families == family]
            if part["value"].notna().any():
                console.print(_track(part, f"{track.capitalize()}: {family}", own))
    console.print(_legend(table), style="dim", highlight=False, markup=False)
    for line in without_score(table):
        console.print(line, style="dim", highlight=False, markup=False)


def report(labels: Sequence[str], records: Sequence[Record], entries: Path | None, console: Console) -> None:
    """Print, at the end of a run, the scores of its models and where each stands among the entries.

    What else lies in the results folder is no rival, and neither are the other models of the run: the same records have
    the same ranks whatever was run beside them.
    """
    folder = entries_folder(entries)
    found = board.read_entries(folder) if entries is not None or folder.is_dir() else []
    tasks = {record.cell.task for record in records}
    of_entries = [current(r for r in entry.records if r.cell.task in tasks) for entry in found]
    field = board.frame(record for each in of_entries for record in each.records)
    field = field[~field["model"].map(board.is_control).astype(bool)]
    outside = {record.label: record.outside for record in records if record.outside}
    rows = []
    for label in labels:
        own = board.frame(record for record in records if record.label == label)
        rivals = field[~field["model"].map(lambda name, label=label: _is_of(name, label)).astype(bool)]
        for model in sorted(set(own["model"])):
            rows += [(model, place, rivals) for place in board.ranks_on_tasks(_joined(own, model, rivals), model)]
    for track in TRACKS:
        of_track = [row for row in rows if row[1].track == track]
        if not of_track:
            continue
        beside = ("rank", "best other") if len(field) else ()
        shown = make_table(track.capitalize(), ("task", "metric", "model", "score", "95% interval", *beside))
        for model, place, rivals in sorted(of_track, key=lambda row: (row[1].task, row[0])):
            best, value = _best(rivals, place.task, place.metric)
            other = f"{best} {number(value)}" if best else ""
            cells = (number(place.estimate.mean), interval(place.estimate.lower, place.estimate.upper))
            rank = ("not ranked" if model in outside else _rank(place), other) if beside else ()
            add_row(shown, place.task, titled(place.metric), model, *cells, *rank)
        console.print(shown)
    seeds = len({record.cell.seed for record in records})
    over = f"Intervals are Student's t over {seeds} seeds (split, initialization, batches)."
    if seeds < 2:
        over = "One seed has no interval." if seeds else "There are no records to show."
    console.print(
        f"{over}{_RANKS if len(field) and outside.keys() < set(labels) else ''}",
        style="dim",
        highlight=False,
        markup=False,
    )
    for label, sha256 in outside.items():
        text = f"{label} has weights that were trained elsewhere (sha256 {sha256}): it takes no rank."
        console.print(text, style="dim", highlight=False, markup=False)
    left = Counter[str]()
    for each in of_entries:
        left.update(each.outdated)
    for note in Current((), dict(sorted(left.items()))).notes:
        console.print(f"Of the leaderboard, {note}", style="dim", highlight=False, markup=False)


def _is_of(name: str, label: str) -> bool:
    # Where entries have one label on several backends, their names in the table say which.
    return name == label or name.startswith(f"{label} (")


def _joined(own: pd.DataFrame, model: str, rivals: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    mine = own[own["model"] == model]
    return pd.concat([mine, rivals]) if len(rivals) else mine


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that does not break lines where the output is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PLAIN_WIDTH)


def _of_models(models: Sequence[str], results: Path) -> tuple[set[str], pd.DataFrame] | None:
    """Return what :func:`collect` does, of some models only if the folder has records of them all: it may be large."""
    if not models or not results.exists():
        return None
    store = Store(results)
    present = store.labels()
    labels = [same_model(model, present) for model in models]
    if None in labels:
        return None
    return together(say(current(store.load(labels=[label for label in labels if label]))), [])


def tell(note: str) -> None:
    """Say on stderr what is left out."""
    click.echo(note, err=True)


def say(found: Current) -> tuple[Record, ...]:
    """Return the current records, and say which are left out and why."""
    return noted(found, tell)


def collect(results: Path, entries: Path | None, baselines: bool) -> tuple[set[str], pd.DataFrame]:
    """Return the labels of the results folder, and all values: its own, then those of the entries it lacks."""
    return together(*sources(results, entries, baselines, tell))


def _track(table: pd.DataFrame, title: str, own: set[str]) -> Table:
    """Return the table of some tasks of a track: models by their mean rank on the tasks, which are the columns."""
    tasks = sorted(set(table["task"]))
    primary = {task: primary_of(table, task) for task in tasks}
    values = {task: by_seed(table, task, primary[task]) for task in tasks}
    ranks: dict[str, list[int]] = {}
    for task in tasks:
        sign = 1 if direction_of(primary[task]) == "lower" else -1
        means = {model: board.mean_interval(seeds.values()).mean for model, seeds in values[task].items()}
        for place, model in enumerate(sorted(means, key=lambda model: sign * means[model])):
            ranks.setdefault(model, []).append(place)
    # Who has a score of more tasks comes first, so that a missing score never helps.
    order = sorted(ranks, key=lambda model: (-len(ranks[model]), sum(ranks[model]), model))
    shown = make_table(title, ("model", *(f"{task}\n{titled(primary[task])}" for task in tasks)))
    for model in order:
        cells = []
        for task in tasks:
            seeds = values[task].get(model)
            cells.append(_mean(board.mean_interval(seeds.values())) if seeds else "–")
        style = "dim" if board.is_control(model) else "bold" if model in own else ""
        add_row(shown, model + (" (control)" if board.is_control(model) else ""), *cells, style=style)
    return shown


def _few_models(table: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Yield the values of a few models at a time, as many as stand side by side in a terminal."""
    scored = sorted(set(table.dropna(subset="value")["model"]))
    for start in range(0, len(scored), _MODELS_WIDE):
        yield table[table["model"].isin(scored[start : start + _MODELS_WIDE])]


def _every_metric(table: pd.DataFrame, task: str) -> Table:
    models = sorted(set(table["model"]))
    shown = make_table(task, ("metric", *models))
    for metric in metrics_of(table, task):
        values = by_seed(table, task, metric)
        cells = [_mean(board.mean_interval(values[m].values())) if m in values else "–" for m in models]
        add_row(shown, titled(metric), *cells)
    return shown


def _legend(table: pd.DataFrame) -> str:
    seeds = sorted(set(table.groupby("model")["seed"].nunique()))
    counts = (
        f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else "one seed" if seeds == [1] else f"{seeds[0]} seeds"
    )
    return (
        f"Mean ± half-width of the 95% t-interval over {counts}. ↑ higher is better, ↓ lower is better. "
        "Bold: from the results folder; others: from the leaderboard."
    )


def _best(table: pd.DataFrame, task: str, metric: str) -> tuple[str | None, float]:
    values = by_seed(table, task, metric)
    best = board.best_of(values, board.direction_of(metric))
    return best, board.mean_interval(values[best].values()).mean if best else 0.0


def narrow(text: str, width: int = 16) -> str:
    r"""Return a name in lines of about a width that end where it has parts, never inside a word.

    Examples
    --------
    >>> narrow("fourier-res[width=16] is better")
    'fourier-res[\nwidth=16] is\nbetter'
    """
    lines = [""]
    # An arrow stays with the last word.
    for part in re.findall(r"[^\s_,@\[-]*(?: [↑↓]|[\s_,@\[-])?", text):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def make_table(title: str, columns: Sequence[str], *, whole: bool = False) -> Table:
    """Return an empty table in the style of all tables of the command line; if `whole`, no line of a cell is broken."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        text = place == 0 or name in _TEXT_COLUMNS
        table.add_column(
            Text(name),
            justify="left" if text else "right",
            no_wrap=whole or place == 0 or name == "95% interval",
            overflow="fold",
        )
    return table


def add_row(table: Table, *cells: str, style: str = "") -> None:
    """Add a row of plain text: the brackets of ``mlp[width=4096]`` are not markup."""
    from rich.text import Text

    table.add_row(*map(Text, cells), style=style)


def _mean(estimate: board.Estimate) -> str:
    if estimate.upper is None:
        return number(estimate.mean)
    return f"{number(estimate.mean)} ±{number(estimate.upper - estimate.mean)}"


def _rank(place: board.TaskRank) -> str:
    best, worst = place.lower, place.upper
    return f"{best} of {place.models}" if best == worst else f"{best} to {worst} of {place.models}"


def dump(table: pd.DataFrame, as_json: bool) -> None:
    """Print a table as JSON or CSV."""
    if as_json:
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        click.echo(json.dumps(rows, indent=1))
    else:
        click.echo(table.to_csv(index=False).rstrip("\n"))
