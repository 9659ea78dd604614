"""``lebench fits``: what is kept of fits, and what it costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path

import click

from lebench.errors import LebenchError
from lebench.runner.fits import Found, kept_fits


def list_(results: Path, models: tuple[str, ...], *, as_json: bool) -> None:
    """Print the fits in a results folder with their sizes."""
    found = _of_models(results, models)
    if as_json:
        click.echo(json.dumps([{**asdict(fit), "folder": str(fit.folder)} for fit in found], indent=2))
        return
    for fit in found:
        what = f"{fit.label} on {fit.backend}, {fit.dataset}, seed {fit.seed}, {fit.variant}"
        click.echo(f"{_size(fit.bytes):>10}  {what}")
    click.echo(_total(found, "kept"))


def prune(results: Path, models: tuple[str, ...]) -> None:
    """Remove the fits of a results folder and print how much that was."""
    found = _of_models(results, models)
    for fit in found:
        try:
            fit.remove()
        except OSError as error:
            raise LebenchError(f"cannot remove {str(fit.folder)!r}: {error.strerror or error}") from error
    click.echo(_total(found, "removed"))


def _of_models(results: Path, models: tuple[str, ...]) -> list[Found]:
    if not results.is_dir():
        raise LebenchError(f"there is no results folder {str(results)!r}")
    found = kept_fits(results)
    return [fit for fit in found if not models or any(fit.label == m or fnmatchcase(fit.label, m) for m in models)]


def _total(found: list[Found], what: str) -> str:
    number = "1 fit" if len(found) == 1 else f"{len(found)} fits"
    return f"{number} {what}, {_size(sum(fit.bytes for fit in found))}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
