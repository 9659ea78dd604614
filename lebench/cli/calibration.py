"""``lebench calibrate``: every metric against its known answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

from lebench.calibrate import calibrate
from lebench.cli import reading


def show(patterns: Sequence[str], *, as_json: bool) -> int:
    """Print the calibration; return 1 if a metric is out of tolerance."""
    results = calibrate(patterns or None)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
        return int(not all(result["ok"] for result in results))
    columns = ("metric", "known answer", "backend", "dtype", "value", "expected", "deviation", "tolerance", "")
    table = reading.make_table("Calibration", columns)
    for result in results:
        table.add_row(
            result["metric"],
            result["known_answer"],
            result["backend"],
            result["dtype"],
            f"{result['value']:.10g}",
            f"{result['expected']:.10g}",
            f"{result['deviation']:.1e}",
            f"{result['tolerance']:.1e}",
            "ok" if result["ok"] else "OUT",
            style="" if result["ok"] else "red",
        )
    console = reading.make_console()
    console.print(table)
    out = sum(not result["ok"] for result in results)
    console.print(f"{len(results)} checks, {out} out of tolerance", highlight=False)
    return int(out > 0)
