"""The scores of an entry computed again from what its models answered, by the code of the installed lebench."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lebench import registry
from lebench.board.entries import Entry
from lebench.errors import UnavailableDataError
from lebench.records import Record
from lebench.runner.current import outdated
from lebench.runner.recording_format import keeps_classes
from lebench.runner.rescoring import Rescorer, RescoringError, SpentError
from lebench.runner.tolerance import Rule, compare
from lebench.tasks.base import Task


@dataclass(frozen=True)
class Recomputed:
    """A record whose score was computed again.

    Attributes
    ----------
    record : Record
        As it is claimed.
    differs : str
        What came out otherwise; empty if everything agrees.
    value : str
        The value that deviates most; empty if none does.
    deviation : float or None
        How much, in units of its tolerance. None if there is no number to compare.
    rule : str
        That its tolerance follows, see :mod:`lebench.runner.tolerance`.
    """

    record: Record
    differs: str
    value: str = ""
    deviation: float | None = None
    rule: Rule = "recording"


def recompute(entry: Entry, rescorer: Rescorer | None = None) -> Iterator[Recomputed]:
    """Yield the records of an entry whose recordings it holds, their scores computed again, the first seeds first.

    Where the scores of an entry have taken what they may, the rest is left out.

    Parameters
    ----------
    entry : Entry
        Its recordings may come from anybody: a score that reaches a limit of time or memory differs.
    rescorer : Rescorer, optional
        What computes the scores, with which limits; by default one of its own, in a process that begins now.

    Raises
    ------
    EntryError
        If a recording is not the one that its record describes.
    UnknownNameError
        If there is no such task.
    """
    if rescorer is None:
        with Rescorer() as own:
            yield from recompute(entry, own)
        return
    for record in sorted(entry.records, key=lambda record: record.cell.seed):
        # Today's score says nothing of what another version has made.
        arrays = {} if outdated(record.cell) else entry.recording(record)
        if not arrays:
            continue
        task: Task = registry.tasks.get(record.cell.task)
        try:
            again = rescorer.score(task, record.cell.seed, arrays)
        except UnavailableDataError:
            continue
        except SpentError:
            return
        except RescoringError as error:
            yield Recomputed(record, str(error))
            continue
        rule: Rule = "classes" if keeps_classes(arrays) else "recording"
        found = compare(record.metrics, again, rule, how="recomputed")
        yield Recomputed(record, "; ".join(found.differences), found.value, found.deviation, rule)
