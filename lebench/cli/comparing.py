"""``lebench compare``: two models, with the intervals of the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lebench.cli.reading import add_row, dump, make_console, make_table, narrow, tell
from lebench.reading.comparing import compare as compared
from lebench.reading.sources import number, titled

if TYPE_CHECKING:
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
    found = compared(a, b, tasks, results, baselines=baselines, entries=entries, tell=tell)
    if as_json or as_csv:
        dump(found, as_json)
        return
    rows: Sequence[Mapping[Any, Any]] = found.to_dict(orient="records")
    console = make_console()
    shown = _table(*found.models, rows, whole=True)
    # What is not to be broken would be cut off, numbers too, where there is no room for it.
    fits = console.measure(shown, options=console.options.update(max_width=1000)).maximum <= console.width
    console.print(shown if fits else _table(*found.models, rows, whole=False))
    console.print(_NOTE, style="dim", highlight=False, markup=False)


def _table(a: str, b: str, rows: Iterable[Mapping[Any, Any]], *, whole: bool) -> Table:
    columns = ("task, value", narrow(a, 12), narrow(b, 12), "difference,\n95% interval", "resampled", "verdict")
    shown = make_table(f"{a} against {b}", columns, whole=whole)
    for row in rows:
        interval = "" if pd.isna(row["lower"]) else f"\n[{number(row['lower'], True)}, {number(row['upper'], True)}]"
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
