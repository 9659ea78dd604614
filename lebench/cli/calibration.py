"""``lebench calibrate``: every metric against its known answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from lebench.calibrate import calibrate
from lebench.cli import reading


def show(patterns: Sequence[str], *, as_json: bool) -> int:
    """Print the calibration; return 1 if a metric is out of tolerance."""
    results = calibrate(patterns or None)
    out = [result for result in results if not result["ok"]]
    if as_json:
        click.echo(json.dumps(results, indent=1))
        return int(bool(out))
    ways = list(dict.fromkeys((result["backend"], result["dtype"]) for result in results))
    answers: dict[tuple[str, str], dict[tuple[str, str], dict[str, object]]] = {}
    for result in results:
        row = answers.setdefault((result["metric"], result["known_answer"]), {})
        row[result["backend"], result["dtype"]] = result
    table = reading.make_table(
        "Deviation from known answers",
        ("metric", "known answer", "expected", *(f"{backend}\n{dtype}" for backend, dtype in ways)),
    )
    for (metric, answer), row in answers.items():
        cells = [_deviation(row[way]) if way in row else "–" for way in ways]
        reading.add_row(table, metric, answer, f"{next(iter(row.values()))['expected']:.8g}", *cells)
    console = reading.make_console()
    console.print(table)
    for result in out:
        console.print(
            f"out of tolerance: {result['metric']}, {result['known_answer']}, {result['backend']} {result['dtype']}: "
            f"{result['reason'] or result['value']} instead of {result['expected']!r}, "
            f"tolerance {result['tolerance']:.1e}",
            style="red",
            highlight=False,
            markup=False,
        )
    console.print(f"{len(results)} checks, {len(out)} out of tolerance", highlight=False, markup=False)
    return int(bool(out))


def _deviation(result: dict[str, object]) -> str:
    text = "none" if result["deviation"] is None else f"{result['deviation']:.0e}"
    return text if result["ok"] else f"{text} OUT"
