"""``lebench agree``: every kernel and capability by every implementation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import click

from lebench.agree import agree, versions
from lebench.cli import reading


def show(patterns: Sequence[str], *, as_json: bool) -> int:
    """Print the agreement; return 1 if something is out of tolerance."""
    waiting = reading.make_console(stderr=True)
    said = "Comparing; most of the time is that of compiling for JAX"
    with waiting.status(said) if waiting.is_terminal else nullcontext():
        results = agree(patterns or None)
    out = [result for result in results if result["state"] == "out"]
    if as_json:
        click.echo(json.dumps({"versions": versions(), "checks": results}, indent=1))
        return int(bool(out))
    console = reading.make_console()
    for reference, dtype in dict.fromkeys((result["reference"], result["dtype"]) for result in results):
        part = [result for result in results if (result["reference"], result["dtype"]) == (reference, dtype)]
        console.print(_table(f"Deviation in {dtype} from {reference}", part))
    for result in out:
        deviates = result["reason"] or f"deviation {result['deviation']:.1e}, tolerance {result['tolerance']:.1e}"
        console.print(
            f"out of tolerance: {result['quantity']} of {result['network']}, {result['implementation']} "
            f"{result['dtype']}: {deviates}",
            style="red",
            highlight=False,
            markup=False,
        )
    missing = [result for result in results if result["state"] == "missing"]
    for implementation, reason in dict.fromkeys((result["implementation"], result["reason"]) for result in missing):
        console.print(f"left out: {implementation}: {reason}", highlight=False, markup=False)
    summary = f"{len(results) - len(missing)} checks, {len(out)} out of tolerance"
    console.print(summary + (f", {len(missing)} left out" if missing else ""), highlight=False, markup=False)
    return int(bool(out))


def _table(title: str, results: Sequence[dict[str, Any]]) -> Any:
    ways = list(dict.fromkeys(result["implementation"] for result in results))
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for result in results:
        rows.setdefault((result["quantity"], result["network"]), {})[result["implementation"]] = result
    table = reading.make_table(title, ("quantity", "network", "tolerance", *(way.replace(" ", "\n") for way in ways)))
    for (quantity, network), row in rows.items():
        cells = [_deviation(row[way]) if way in row else "–" for way in ways]
        reading.add_row(table, quantity, network, f"{next(iter(row.values()))['tolerance']:.0e}", *cells)
    return table


def _deviation(result: dict[str, Any]) -> str:
    if result["state"] == "missing":
        return "–"
    text = "none" if result["deviation"] is None else f"{result['deviation']:.0e}"
    return f"{text} OUT" if result["state"] == "out" else text
