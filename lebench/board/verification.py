"""What was found when an entry was checked: ``verification.json`` in its folder, and the status that follows from it.

The document is written by a maintainer or by the automation of the main branch, never by who submits. It speaks of
records by their checksums, so a record that has changed since is one that nobody has checked. Nothing in it is
executed or trusted beyond that: what is not exactly as lebench writes it is refused.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from lebench.board.documents import DocumentError, one_line, printable, read_bytes
from lebench.board.entries import Entry, EntryError
from lebench.canonical import digest
from lebench.records import Document, Environment, Finite, Record

NAME = "verification.json"
#: Records that must have been run again for a rank, and seconds of fitting from which one is not drawn.
CELLS, LONGEST_S = 3, 1200.0
#: Bytes that the document may have.
LARGEST = 2_000_000

Status = Literal["re-run", "recomputed", "claimed"]
How = Literal["recomputed", "re-run"]
Verdict = Literal["agrees", "differs", "not checked"]

_Sha = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
_Text = Annotated[str, StringConstraints(max_length=300)]


class Check(Document):
    """What came of one record when it was checked in one way.

    Attributes
    ----------
    cell, record : str
        Key of the cell and checksum of the record that was checked.
    how : {"recomputed", "re-run"}
        From its recording, or from scratch.
    verdict : {"agrees", "differs", "not checked"}
        Whether every value agrees within its tolerance.
    tolerance : str
        Which rule the tolerances follow, see :mod:`lebench.runner.tolerance`; empty if nothing was compared.
    value : str
        The value that deviates most; empty if none does.
    deviation : float or None
        How much, in units of its tolerance: up to 1 agrees. None if there is no number to compare.
    reason : str
        Why it differs or was not checked.
    """

    cell: _Sha
    record: _Sha
    how: How
    verdict: Verdict
    tolerance: _Text = ""
    value: _Text = ""
    deviation: Annotated[Finite, Field(ge=0)] | None = None
    reason: _Text = ""


class Verification(Document):
    """The content of ``verification.json``.

    Attributes
    ----------
    lebench, commit, dirty
        Version and state of the code that checked.
    environment : Environment
        Machine and software on which it was checked.
    seed : str
        The text by which the records that were run again are drawn.
    entry : str
        Sha256 of the keys and checksums of all records of the entry: those among which was drawn.
    checks : list of Check
        By cell, then by how.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    lebench: _Text
    commit: _Text | None
    dirty: bool | None
    environment: Environment
    seed: _Text
    entry: _Sha
    checks: Annotated[list[Check], Field(max_length=20_000)]


class Verified(Document):
    """How far an entry is checked, as the board shows it.

    Attributes
    ----------
    status : {"re-run", "recomputed", "claimed"}
        ``"recomputed"``: the score of every record with a recording was computed again from it and agrees.
        ``"re-run"``: in addition every record that was drawn was run again from scratch and agrees.
        ``"claimed"``: neither, or something differs.
    rerun, recomputed : int
        Records that were run again, or computed again, and agree.
    recordings, total : int
        Records with a recording, and all records that ran, with scores or without.
    exempt : int
        Records whose fits take more than 20 minutes: they are not drawn.
    differing : int
        Records that were checked and do not agree.
    reason : str
        Why the status is no higher one, empty if it is the highest.
    lebench, commit, seed
        As in the document; empty if there is none.
    """

    status: Status
    rerun: int = 0
    recomputed: int = 0
    recordings: int
    total: int
    differing: int = 0
    exempt: int = 0
    reason: str = ""
    lebench: str = ""
    commit: str = ""
    seed: str = ""

    @property
    def ranks(self) -> bool:
        """Whether the entry takes ranks: all that was checked agrees, and enough records were run again."""
        return self.status == "re-run" and self.rerun >= min(CELLS, self.total - self.exempt)

    @property
    def amount(self) -> str:
        """How much was checked: ``"re-run 3 of 111, recomputed 60"``."""
        if self.status == "claimed":
            return f"claimed {self.total}"
        again = f"re-run {self.rerun} of {self.total}, " if self.status == "re-run" else ""
        return f"{again}recomputed {self.recomputed}{'' if again else f' of {self.total}'}"


def drawable(entry: Entry) -> tuple[Record, ...]:
    """Return the records of an entry that may be drawn to be run again: those that ran, whatever became of them.

    Records whose fits took more than 20 minutes are exempt where there are others.
    """
    ran = tuple(record for record in entry.records if record.status != "skipped")
    short = tuple(record for record in ran if record.cost is None or record.cost.fit_s <= LONGEST_S)
    return short or ran


def digest_of(entry: Entry) -> str:
    """Return the sha256 of the keys and checksums of an entry's records as they stand in its files."""
    return digest(sorted([stands.key, stands.checksum] for stands in map(entry.stands_as, entry.records)))


def write_verification(entry: Entry, verification: Verification) -> Path:
    """Write the document into the folder of its entry and return the file; the same content is the same bytes.

    Raises
    ------
    EntryError
        If the folder cannot be written to.
    """
    path = entry.folder / NAME
    draft = path.with_name(f"{NAME}.part")
    try:
        draft.write_text(_text(verification), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise EntryError(f"cannot write {path}: {error.strerror}") from error
    return path


def read_verification(folder: Path) -> Verification | None:
    """Return the document in the folder of an entry, None if there is none.

    Raises
    ------
    EntryError
        If it is no regular file, too large, or not as lebench writes it.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    try:
        content = read_bytes(path, LARGEST)
        verification = Verification.model_validate_json(content)
        if _text(verification).encode() != content:
            raise EntryError(f"{path}: not as lebench writes it; write it with 'lebench verify --write'")
    except ValidationError as error:
        rule = one_line(error).removeprefix(": ")
        raise EntryError(f"{path}: {rule}") from error
    except DocumentError as error:
        raise EntryError(f"{path} {error}") from error
    except UnicodeError as error:
        raise EntryError(f"{path} cannot be read: {printable(str(error))}") from error
    return verification


def verified(entry: Entry) -> Verified:
    """Return how far an entry is checked: what its document says of the records as they are now.

    A document that cannot be read counts as none, and the reason says so.
    """
    ran = [record for record in entry.records if record.status != "skipped"]
    exempt = len(ran) - len(drawable(entry))
    recorded = [r for r in ran if r.recorded and entry.recording_path(r).is_file()]
    try:
        document = read_verification(entry.folder)
        reason = "no check of it is on record"
    except EntryError as error:
        document, reason = None, f"its record of checks is not used: {error}"
    if document is None:
        return Verified(status="claimed", recordings=len(recorded), total=len(ran), exempt=exempt, reason=reason)
    checksums = {stands.key: stands.checksum for stands in map(entry.stands_as, entry.records)}
    known = [check for check in document.checks if checksums.get(check.cell) == check.record]
    differing = {check.cell for check in known if check.verdict == "differs"}
    agreeing: dict[How, set[str]] = {
        how: {check.cell for check in known if (check.how, check.verdict) == (how, "agrees")} - differing
        for how in ("recomputed", "re-run")
    }
    # That a task was skipped for good reason is checked as well, but is nothing that was run.
    drawn = {check.cell for check in known if check.how == "re-run"} & {entry.stands_as(record).key for record in ran}
    agreeing["re-run"] &= drawn
    keys = {entry.stands_as(record).key for record in recorded}
    # Of what the entry does not hold any more, nobody can compute a score again.
    agreeing["recomputed"] &= keys
    stale = keys - agreeing["recomputed"]
    status: Status = "claimed"
    if differing:
        reason = f"{_records(len(differing))} checked, and not in agreement"
    elif stale:
        reason = f"{_records(len(stale))} with a recording not computed again since the last change"
    elif drawn and drawn == agreeing["re-run"] and document.entry == digest_of(entry):
        status, reason = "re-run", ""
    else:
        status = "recomputed" if recorded else "claimed"
        if not drawn:
            reason = "no record was run again"
        elif drawn != agreeing["re-run"]:
            reason = "not every record that was drawn could be run again"
        else:
            reason = "records have changed since some of them were drawn to be run again"
    return Verified(
        status=status,
        rerun=len(agreeing["re-run"]),
        recomputed=len(agreeing["recomputed"]),
        recordings=len(recorded),
        total=len(ran),
        differing=len(differing),
        exempt=exempt,
        reason=reason,
        lebench=document.lebench,
        commit=document.commit or "",
        seed=document.seed,
    )


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"


def _text(verification: Verification) -> str:
    """Return the document with a line for each check, so that what changed can be read in a pull request."""
    document = verification.model_dump(mode="json", by_alias=True)
    checks = [_line(check) for check in document.pop("checks")]
    head = "".join(f' "{key}": {_line(value)},\n' for key, value in document.items())
    return f'{{\n{head} "checks": [\n' + ",\n".join(f"  {check}" for check in checks) + "\n ]\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
