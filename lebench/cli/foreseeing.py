"""What the board will say of an entry, as ``lebench submit`` prints it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lebench import board
from lebench.cli import reading
from lebench.errors import LebenchError

if TYPE_CHECKING:
    from lebench.board import Entry, Outlook, Prospect
    from lebench.board.scores import Score

_INTERVALS = (
    "Intervals are the board's: over seeds and, where it resamples them, over test points; so wider than those "
    "that a run ends with."
)
#: How many of the tasks that are lacking for a rank are named; the command below them has all.
_NAMED = 3


def show(
    root: Path,
    entry: Entry,
    *,
    able: Callable[[Sequence[str]], Collection[str] | None],
    command: Callable[[Sequence[str]], str],
) -> Outlook | None:
    """Print what the board will say of an entry; None if that cannot be computed here.

    Parameters
    ----------
    root : Path
        The folder of entries.
    entry : Entry
        The new one.
    able : callable
        Returns those of some tasks that the model can be run on, None if that is not known.
    command : callable
        Returns the command that runs the model on some tasks.
    """
    try:
        outlook = board.make_outlook(
            board.read_entries(root) if root.is_dir() else [], entry, points=root.parent / "points"
        )
    except LebenchError as error:
        click.echo(f"note: what the board will say cannot be shown: {error}")
        return None
    console = reading.make_console()
    shown = reading.make_table(
        f"The board with {entry.name}, {outlook.entries} entries", ("ranks", "interval", "on exactly these tasks", "of")
    )
    for scope, interval, here, of in ranks(outlook):
        reading.add_row(shown, scope, interval, here, of)
    console.print()
    console.print(shown)
    left = _in_order(task for each in outlook.standings for lack in each.lacking for task in lack.left)
    can = able(left) if left else set()
    for standing in outlook.standings:
        if standing.place is None:
            line = f"– {standing.scope}: {'; '.join([standing.reason, *_lacking(standing, can)])}"
            console.print(line, style="dim", highlight=False, markup=False)
    if asked := _in_order(task for each in outlook.standings for task in each.ranked_by(can or ())):
        click.echo(f"\nThese tasks would give it the missing ranks:\n\n  {command(asked)}")
    console.print()
    shown = reading.make_table("Scores", ("task", "metric", "score", "95% interval", "next better", "next worse"))
    for each in outlook.scores:
        own = each.score
        reading.add_row(
            shown,
            each.task.name,
            reading.titled(each.task.primary),
            reading.number(own.mean),
            "one seed" if own.lower is None else f"[{reading.number(own.lower)}, {reading.number(own.upper or 0)}]",
            *(_neighbour(score) for score in (each.better, each.worse)),
        )
    console.print(shown)
    console.print(_INTERVALS, style="dim", highlight=False, markup=False)
    return outlook


def ranks(outlook: Outlook) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table of ranks."""
    return [
        (
            each.scope,
            _span(each.place.lower, each.place.upper) if each.place else "–",
            _span(each.place.seed_lower, each.place.seed_upper) if each.place else "–",
            str(each.ranked),
        )
        for each in outlook.standings
    ]


def _span(lower: int, upper: int) -> str:
    return str(lower) if lower == upper else f"{lower} to {upper}"


def _neighbour(score: Score | None) -> str:
    return "–" if score is None else f"{score.entry} {reading.number(score.mean)}"


def _lacking(standing: Prospect, able: Collection[str] | None) -> list[str]:
    """Say which tasks are lacking for a rank: those that were not run yet, and how many cannot be."""
    left = [task for lack in standing.lacking for task in lack.left]
    said = [task for task in left if able is None or task in able]
    refused = len(left) - len(said)
    parts = []
    if said:
        more = f" and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
        parts.append(f"not run: {', '.join(said[:_NAMED])}{more}")
    if refused:
        others = f" other{'s' * (refused > 1)}" if said else ""
        parts.append(f"it cannot be run here on {refused}{others}")
    return parts


def _in_order(tasks: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tasks))
