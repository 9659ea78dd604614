"""``lebench validate`` and ``lebench verify``: entries, and whether they hold what they claim."""

from __future__ import annotations

from pathlib import Path

import click

from lebench.board import read_entry
from lebench.verify import Recomputed, recompute, validate

#: Exit code if an entry is not what it claims.
INVALID = 1


def show_violations(folder: Path) -> int:
    """Print what is wrong with an entry, a line each; return the exit code."""
    violations = validate(folder.absolute())
    for violation in violations:
        click.echo(str(violation))
    if violations:
        return INVALID
    click.echo(f"{folder.absolute().name} is valid: {len(read_entry(folder.absolute()).records)} records")
    return 0


def verify(folder: Path) -> int:
    """Validate an entry, compute its scores again and print how they compare; return the exit code."""
    return check(folder)[0]


def check(folder: Path) -> tuple[int, list[Recomputed]]:
    """Do what :func:`verify` does; return the exit code and what was computed again."""
    code = show_violations(folder)
    if code:
        return code, []
    entry = read_entry(folder.absolute())
    checked = list(recompute(entry))
    for each in checked:
        if each.differs:
            click.echo(f"{each.record.cell.task} seed {each.record.cell.seed}: {each.differs}")
    agree = sum(not each.differs for each in checked)
    scored = sum(record.status == "ok" for record in entry.records)
    click.echo(f"{agree} of {len(checked)} records with a recording agree; {scored - len(checked)} have none")
    return (0 if agree == len(checked) else INVALID), checked
