"""``lebench verify``: entries checked, their scores computed again, and records run again from scratch."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lebench.board import Entry, Verified, read_entry, read_verification, verified, write_verification
from lebench.board.verification import LONGEST_S, drawable
from lebench.cli import reading
from lebench.cli.progress import display
from lebench.cli.verifying import Checked, check
from lebench.errors import LebenchError
from lebench.plugins import find
from lebench.runner.environment import source
from lebench.runner.rescoring import LIMITS, PULL_REQUEST
from lebench.sandbox import StandIns
from lebench.verify import Base, Rerun, available, draw, make_verification, not_of_lebench, run_again, skips
from lebench.verify import base as compared_with
from lebench.verify.forensics import flags_of_reruns

if TYPE_CHECKING:
    from rich.console import Console

#: Rows up to which records that agree are listed one by one.
_LISTED = 40
_SEED_LENGTH = 200


def verify(
    paths: str | Path | Sequence[str | Path],
    *,
    rerun: str | int | None = None,
    seed: str | None = None,
    write: bool = False,
    jobs: int | None = None,
    time_limit: float = 1800.0,
    plugin: Sequence[str | Path] = (),
    base: str | None = None,
) -> list[Checked]:
    """Check entries one after another and print what was found.

    Arguments are the options of ``lebench verify``.

    Returns
    -------
    list of Checked
        By entry; ``holds`` says whether it is what it claims.
    """
    folders = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    rerun = None if rerun is None else str(rerun)
    count = _count(rerun)
    if rerun is None and seed is not None:
        raise LebenchError("--seed says which records are run again: add --rerun N or --rerun all")
    if seed is not None and not (0 < len(seed) <= _SEED_LENGTH and seed.isprintable()):
        raise LebenchError(f"--seed must be a line of 1 to {_SEED_LENGTH} characters")
    stand_ins = [StandIns(find(each)) for each in plugin] if rerun is not None else []
    for each in stand_ins:
        each.register()
    found = []
    for place, path in enumerate(folders):
        if place:
            click.echo()
        try:
            with compared_with(base, path) if base is not None else nullcontext() as main:
                found.append(_verify(path, rerun is not None, count, seed, write, jobs, time_limit, stand_ins, main))
        except KeyboardInterrupt:
            click.echo(f"nothing is on record of {path.absolute().name}")
            raise
    return found


def _count(rerun: str | None) -> int | None:
    """Return how many records of an entry are drawn, None for all."""
    if rerun is None or rerun == "all":
        return None
    if not rerun.isdecimal() or int(rerun) < 1:
        raise LebenchError(f"--rerun must be a whole number from 1, or all, not {rerun!r}")
    return int(rerun)


def _verify(
    path: Path,
    again: bool,
    count: int | None,
    seed: str | None,
    write: bool,
    jobs: int | None,
    time_limit: float,
    stand_ins: Sequence[StandIns],
    main: Base | None,
) -> Checked:
    # What a maintainer puts on record is all of it.
    checked = check(path, main, LIMITS if write or main is None else PULL_REQUEST)
    if not checked.valid:
        return checked
    entry = read_entry(path.absolute())
    reruns: list[Rerun] = []
    text = ""
    if again:
        text = seed if seed is not None else _commit(entry.folder)
        reruns = _rerun(entry, count, text, jobs, time_limit, stand_ins)
    if write:
        _refuse_to_forget(entry, again)
        file = write_verification(entry, make_verification(entry, checked.recomputed, reruns, text))
        click.echo(f"{entry.name} is {_status(verified(entry))}; written to {file}")
    return replace(checked, reruns=tuple(reruns))


def _rerun(
    entry: Entry, count: int | None, seed: str, jobs: int | None, time_limit: float, stand_ins: Sequence[StandIns]
) -> list[Rerun]:
    console = reading.make_console()
    if refusal := not_of_lebench(entry):
        click.echo(f"no record was run again: {refusal}")
        return []
    here, absent = available(entry)
    for task, reason in sorted(absent.items()):
        click.echo(f"{task} is not checked: {reason}")
    drawn = draw(here, count, seed)
    ran = sum(record.status != "skipped" for record in entry.records)
    click.echo(f"{len(drawn)} of {ran} records are run again, drawn by {seed!r}")
    if exempt := ran - len(drawable(entry)):
        click.echo(f"{exempt} are not drawn: their fits took more than {LONGEST_S / 60:.0f} minutes")
    if not drawn:
        return []
    with display(console) as on_event:
        found = run_again(entry, (*drawn, *skips(here)), jobs, time_limit, on_event, stand_ins)
    reruns = [each for each in found if each.record.status != "skipped"]
    could = [each for each in found if each.record.status == "skipped" and each.verdict != "agrees"]
    _table([*reruns, *could], console)
    agree = sum(each.verdict == "agrees" for each in reruns)
    exact = sum(each.rule == "exact" for each in reruns)
    click.echo(f"{agree} of {len(reruns)} records that were run again agree, {exact} of them exactly")
    for flag in flags_of_reruns(entry, reruns):
        click.echo(str(flag))
    return found


def _table(reruns: Sequence[Rerun], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = [each for each in reruns if len(reruns) <= _LISTED or each.verdict != "agrees" or each.reason]
    if not shown:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("task", "seed", "verdict", "furthest value", "claimed", "run again", "of the tolerance"):
        table.add_column(name, justify="right" if name in ("seed", "claimed", "run again") else "left")
    for each in shown:
        style = {"agrees": "green", "differs": "red", "not checked": "yellow"}[each.verdict]
        claimed, found = each.record.metrics, each.again.metrics if each.again else {}
        value = each.value or next(iter(claimed), "")
        numbers = [f"{values[value]:.6g}" if value in values else "" for values in (claimed, found)]
        allowed = {"exact": "exact", "": ""}.get(each.rule, f"{each.deviation or 0:.2g}, by {each.rule}")
        cells = (value, *numbers, allowed)
        where = (Text(each.record.cell.task), Text(str(each.record.cell.seed)), Text(each.verdict, style))
        table.add_row(*where, *(Text(cell) for cell in cells))
    console.print(table)
    for each in shown:
        if each.reason:
            click.echo(f"{each.record.cell.task} seed {each.record.cell.seed}: {each.reason}")


def _status(found: Verified) -> str:
    covers = f"{found.rerun} of {found.total} records run again, {found.recomputed} of {found.recordings} recomputed"
    return f"{found.status} ({covers}{f'; {found.reason}' if found.reason else ''})"


def _refuse_to_forget(entry: Entry, again: bool) -> None:
    known = read_verification(entry.folder)
    if not again and known is not None and any(each.how == "re-run" for each in known.checks):
        raise LebenchError(f"{entry.name} has records that were run again on record; add --rerun N to replace them")


def _commit(folder: Path) -> str:
    """Return the commit that is checked out where an entry stands, else that of lebench itself."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = source().commit
    if commit is None:
        raise LebenchError(f"{folder} is in no git repository; say with --seed TEXT by what to draw records")
    return commit
