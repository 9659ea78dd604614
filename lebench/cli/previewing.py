"""What the board will say of an entry, as ``lebench submit`` prints it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lebench import board
from lebench.cli import reading
from lebench.errors import LebenchError
from lebench.reading import sources

if TYPE_CHECKING:
    from lebench.board import Entry, Preview
    from lebench.board.scores import Score

_INTERVALS = (
    "Intervals are the board's: over seeds and, where it resamples them, over test points; so wider than those "
    "that a run ends with. Ranks are taken once the entry is merged and records of it were run again and agree."
)


def show(
    root: Path,
    entry: Entry,
    *,
    able: Callable[[Sequence[str]], Set[str] | None],
    command: Callable[[Sequence[str]], str],
) -> Preview | None:
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
        preview = board.make_preview(
            board.read_entries(root) if root.is_dir() else [], entry, points=root.parent / "points"
        )
    except LebenchError as error:
        click.echo(f"note: what the board will say cannot be shown: {error}")
        return None
    console = reading.make_console()
    shown = reading.make_table(
        f"The board with {entry.name}, {preview.entries} entries", ("track", "rank", "of", "track score")
    )
    for row in ranks(preview):
        reading.add_row(shown, *row)
    console.print()
    console.print(shown)
    left = _in_order(task for each in preview.tracks for task in each.lacking)
    can = able(left) if left else set()
    for each in preview.tracks:
        if each.rank is None:
            line = f"– {each.track}: {'; '.join([each.reason, *_refused(each.lacking, can)])}"
            console.print(line, style="dim", highlight=False, markup=False)
    asked = [task for each in preview.tracks if can is not None and set(each.lacking) <= can for task in each.lacking]
    if asked:
        click.echo(f"\nThese tasks would give it the missing ranks:\n\n  {command(_in_order(asked))}")
    console.print()
    shown = reading.make_table("Scores", ("task", "metric", "score", "95% interval", "next better", "next worse"))
    for beside in preview.scores:
        own = beside.score
        reading.add_row(
            shown,
            beside.task.name,
            sources.titled(beside.task.primary),
            sources.number(own.mean),
            "one seed" if own.lower is None else f"[{sources.number(own.lower)}, {sources.number(own.upper or 0)}]",
            *(_neighbour(score) for score in (beside.better, beside.worse)),
        )
    console.print(shown)
    console.print(_INTERVALS, style="dim", highlight=False, markup=False)
    return preview


def ranks(preview: Preview) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table of ranks."""
    return [
        (
            each.track,
            _span(each.rank.lower, each.rank.upper) if each.rank else "–",
            str(each.ranked),
            f"{each.rank.score:.1f} [{each.rank.score_lower:.1f}, {each.rank.score_upper:.1f}]" if each.rank else "–",
        )
        for each in preview.tracks
    ]


def _span(lower: int, upper: int) -> str:
    return str(lower) if lower == upper else f"{lower} to {upper}"


def _neighbour(score: Score | None) -> str:
    return "–" if score is None else f"{score.entry} {sources.number(score.mean)}"


def _refused(lacking: Collection[str], able: Collection[str] | None) -> list[str]:
    """Say on how many of the tasks that are lacking for a rank the model cannot be run here."""
    refused = 0 if able is None else sum(task not in able for task in lacking)
    return [f"it cannot be run here on {refused} of them"] if refused else []


def _in_order(tasks: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tasks))
