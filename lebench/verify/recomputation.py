"""The scores of an entry computed again from what its models answered, by the code of the installed lebench."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lebench import registry
from lebench.board.entries import Entry
from lebench.errors import UnavailableDataError
from lebench.records import Record
from lebench.runner.recording import replay
from lebench.runner.worker import values
from lebench.tasks.base import Scored, Task, metric_of

#: Difference at which a recomputed value is another one; a recording has a relative error of at most 2^-16.
RELATIVE, ABSOLUTE = 1e-3, 1e-6
#: Shares of points whose nearest centre is decided by the last bits of features, and what such ties may move.
_TIES = {"nc4": 2.5e-3, "ncc_accuracy": 2.5e-3}


@dataclass(frozen=True)
class Recomputed:
    """A record whose score was computed again.

    Attributes
    ----------
    record : Record
        As it is claimed.
    differs : str
        What came out otherwise; empty if everything agrees.
    """

    record: Record
    differs: str


def recompute(entry: Entry) -> Iterator[Recomputed]:
    """Yield the records of an entry whose recordings it holds, their scores computed again.

    Raises
    ------
    EntryError
        If a recording is not the one that its record describes.
    UnknownNameError
        If there is no such task.
    """
    for record in entry.records:
        arrays = entry.recording(record)
        if not arrays:
            continue
        task: Task = registry.tasks.get(record.cell.task)
        try:
            split = registry.datasets.get(task.dataset).split(record.cell.seed)
            scored = task.score(replay(task, split, record.cell.seed, arrays))
            again, _ = values(task, scored.values if isinstance(scored, Scored) else scored)
        except UnavailableDataError:
            continue
        except Exception as error:
            # Arrays from anybody may break a score in any way.
            yield Recomputed(record, f"the score fails: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        yield Recomputed(record, "; ".join(differences(record.metrics, again, "recomputed")))


def differences(claimed: Mapping[str, float], again: Mapping[str, float], how: str) -> Iterator[str]:
    """Yield what differs between two makings of the same values, beyond the tolerance of each metric.

    Parameters
    ----------
    claimed, again : mapping of str to float
        Values by name.
    how : str
        How the second ones were made: ``"recomputed"``.
    """
    for name in sorted({*claimed, *again}):
        if name not in again or name not in claimed:
            yield f"{name} has a value {'only when' if name in again else 'that it has not when'} {how}"
        elif not math.isclose(
            claimed[name], again[name], rel_tol=RELATIVE, abs_tol=_TIES.get(metric_of(name), ABSOLUTE)
        ):
            yield f"{name} is claimed as {claimed[name]:.6g}, {how} as {again[name]:.6g}"
