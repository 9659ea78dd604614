"""``lebench entry``: what happens to entries apart from their records (maintainers)."""

from __future__ import annotations

from pathlib import Path

import click

from lebench.board import notes
from lebench.errors import LebenchError
from lebench.reading import sources
from lebench.verify.texts import address_rule, sentence_rule


def rename(old: str, new: str, reason: str, entries: Path | None) -> None:
    """Rename an entry and print what is to be committed."""
    root = sources.folder_of_clone(entries)
    _check(reason)
    notes.rename(root, old, new, reason)
    _say(f"{old} is {new} now", root)


def note(name: str, kind: notes.NoteKind, reason: str, link: str, entries: Path | None) -> None:
    """Put on record what happened to an entry and print what is to be committed."""
    root = sources.folder_of_clone(entries)
    _check(reason, link)
    notes.add_note(root, name, kind, reason, link)
    _say(f"{name} is {kind}", root)


def _check(reason: str, link: str = "") -> None:
    for what, rule in (("--reason", sentence_rule(reason)), ("--link", address_rule(link) if link else None)):
        if rule:
            raise LebenchError(f"{what} {rule}")


def _say(what: str, root: Path) -> None:
    click.echo(f"{what}; on record in {root.parent / notes.NAME}. Commit {root.parent} to publish it.")
