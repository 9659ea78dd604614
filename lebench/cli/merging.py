"""``lebench merge``: results folders into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lebench import api
from lebench.errors import LebenchError


def merge(folders: Sequence[Path], into: Path | None) -> int:
    """Copy folders into one and print what it holds; return the exit code, 1 if records contradict each other."""
    if into is None:
        *folders, into = folders
    if not folders:
        raise LebenchError(f"name the folders to merge into {str(into)!r}, or give another with --into")
    merged = api.merge(folders, into)
    click.echo(f"{into} has {merged.records} records, {merged.new} of them new")
    for note in merged.current.notes:
        click.echo(note)
    return 1 if merged.current.conflicts else 0
