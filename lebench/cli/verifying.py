"""``lebench submit``, ``lebench validate`` and ``lebench verify``: entries, and whether they hold what they claim."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from lebench.board import EntryInfo, entry_name, newest, read_entry, write_entry
from lebench.cli.reading import entries_folder
from lebench.errors import LebenchError
from lebench.runner.store import Store
from lebench.verify import recompute, validate

_INVALID = 1


def show_violations(folder: Path) -> int:
    """Print what is wrong with an entry, a line each; return the exit code."""
    violations = validate(folder.absolute())
    for violation in violations:
        click.echo(str(violation))
    if violations:
        return _INVALID
    click.echo(f"{folder.absolute().name} is valid: {len(read_entry(folder.absolute()).records)} records")
    return 0


def verify(folder: Path) -> int:
    """Validate an entry, compute its scores again and print how they compare; return the exit code."""
    code = show_violations(folder)
    if code:
        return code
    entry = read_entry(folder.absolute())
    checked = list(recompute(entry))
    for each in checked:
        if each.differs:
            click.echo(f"{each.record.cell.task} seed {each.record.cell.seed}: {each.differs}")
    agree = sum(not each.differs for each in checked)
    scored = sum(record.status == "ok" for record in entry.records)
    click.echo(f"{agree} of {len(checked)} records with a recording agree; {scored - len(checked)} have none")
    return 0 if agree == len(checked) else _INVALID


def submit(
    results: Path, model: str, authors: Sequence[str], links: Sequence[str], summary: str, entries: Path | None
) -> int:
    """Write the records of a model as an entry, verify it and print how to submit it; return the exit code."""
    store = Store(results)
    records = newest(record for record in store.load() if record.label == model)
    if not records:
        raise LebenchError(f"there are no records of {model} in {results}; 'lebench show -o {results}' shows whose")
    if not authors:
        raise LebenchError("an entry has authors: add --author 'A. Author'")
    info = EntryInfo(
        schema=1,
        name=entry_name(model),
        model=model,
        summary=summary,
        authors=list(authors),
        links=list(links),
        lebench=records[0].environment.lebench,
        command=records[0].run.command,
    )
    root = entries_folder(entries)
    folder = root / info.name
    if folder.exists() and read_entry(folder).info.authors != info.authors:
        raise LebenchError(f"{folder} is an entry of others; a model with other parameters has another name")
    arrays = {record.cell.key: store.artifacts(record) for record in records}
    recordings = {record.cell.key: store.recording(record) for record in records}
    write_entry(root, info.name, records, info, arrays, recordings)
    code = verify(folder)
    if code:
        click.echo(f"{folder} is not ready to be submitted")
        return code
    click.echo(f"\n{folder} is ready; open a pull request with it and nothing else:\n")
    click.echo(f"  git switch -c entry-{info.name}\n  git add {folder}\n  git commit -m 'Entry: {info.name}'")
    click.echo("  gh pr create --fill" if shutil.which("gh") else f"  git push -u origin entry-{info.name}")
    return 0
