"""``lebench validate`` and ``lebench verify``: entries, and whether they hold what they claim."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lebench.board import read_entry
from lebench.errors import LebenchError
from lebench.runner.current import current
from lebench.runner.rescoring import LIMITS, Limits, Rescorer
from lebench.verify import Base, Recomputed, Rerun, base, recompute, validate
from lebench.verify.files import reached
from lebench.verify.forensics import flags

#: Exit code if an entry is not what it claims.
INVALID = 1
#: Lines about one entry.
_SHOWN = 200


@dataclass(frozen=True)
class Checked:
    """What became of the check of an entry.

    Attributes
    ----------
    entry : str
        Its name.
    valid : bool
        Whether :func:`lebench.verify.validate` has nothing against it.
    recomputed : tuple of Recomputed
        Scores that were computed again; none where it is not valid.
    reruns : tuple of Rerun
        Records that were run again.
    """

    entry: str
    valid: bool
    recomputed: tuple[Recomputed, ...] = ()
    reruns: tuple[Rerun, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is valid and agrees wherever something was made again."""
        again = any(each.verdict == "differs" for each in self.reruns)
        return self.valid and not again and not any(each.differs for each in self.recomputed)


def show(folders: Sequence[Path], reference: str | None = None) -> int:
    """Print what is wrong with entries, and with submitting them to a main branch; return the exit code.

    Parameters
    ----------
    folders : sequence of Path
        Of the entries.
    reference : str, optional
        The main branch, a git revision or a folder; see :func:`lebench.verify.base`.

    Raises
    ------
    LebenchError
        If there is no such folder or main branch.
    """
    for folder in folders:
        if not os.path.lexists(folder):
            raise LebenchError(f"there is no folder {folder}")
    if reference is None:
        return max(show_violations(folder) for folder in folders)
    names = [folder.absolute().name for folder in folders]
    with base(reference, folders[0]) as main:
        return max(show_violations(folder, main, names) for folder in folders)


def show_violations(folder: Path, main: Base | None = None, own: Sequence[str] = ()) -> int:
    """Print what is wrong with an entry, a line each; return the exit code."""
    violations = validate(folder.absolute(), main, own)
    for violation in violations[:_SHOWN]:
        click.echo(str(violation))
    if len(violations) > _SHOWN:
        click.echo(f"{folder.absolute().name}: and {len(violations) - _SHOWN:,} more")
    if violations:
        return INVALID
    records = read_entry(folder.absolute()).records
    click.echo(f"{folder.absolute().name} is valid: {len(records)} records")
    for note in current(records).notes:
        click.echo(note)
    for line in reached(folder.absolute()):
        click.echo(line)
    return 0


def check(folder: Path, main: Base | None = None, limits: Limits = LIMITS) -> Checked:
    """Validate an entry, compute its scores again and print how they compare."""
    # Its process begins while the entry is validated.
    with Rescorer(limits) as rescorer:
        if show_violations(folder, main):
            return Checked(folder.absolute().name, valid=False)
        entry = read_entry(folder.absolute())
        checked = list(recompute(entry, rescorer))
    different = [each for each in checked if each.differs]
    for each in different[:_SHOWN]:
        click.echo(f"{each.record.cell.task} seed {each.record.cell.seed}: {each.differs}")
    if len(different) > _SHOWN:
        click.echo(f"{entry.name}: and {len(different) - _SHOWN:,} more")
    scored = sum(record.status == "ok" for record in entry.records)
    agree, without = len(checked) - len(different), scored - len(checked)
    others = f"; {without} {'has' if without == 1 else 'have'} none" if without else ""
    click.echo(f"{agree} of {len(checked)} records with a recording agree{others}")
    if left := sum(entry.recording_path(r).is_file() for r in entry.current.records if r.recorded) - len(checked):
        spent = f"those before took {limits.entry_s:g} CPU seconds, or their data are not here"
        click.echo(f"{left} {'recording was' if left == 1 else 'recordings were'} not computed again: {spent}")
    recorded = {each.record.cell.task for each in checked}
    if bare := sorted({record.cell.task for record in entry.current.records if record.status == "ok"} - recorded):
        click.echo(f"without a recording of any seed: {', '.join(bare)}")
    if main is not None:
        if entry.name in main.names():
            click.echo(f"look at: it replaces the entry of {', '.join(entry.info.authors)}; is it they who ask?")
        for flag in flags(entry, (read_entry(main.entries / name) for name in main.names() if name != entry.name)):
            click.echo(str(flag))
    return Checked(entry.name, valid=True, recomputed=tuple(checked))
