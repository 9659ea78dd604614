"""What must hold between the values of a record.

Values lie within the bounds of their metrics. Three tables hold the rest, each declared by task and value:
:data:`~lebench.verify.shares.SHARES` says which values are shares of how many points,
:data:`~lebench.verify.relations.RELATIONS` what holds between values on the same points,
:data:`~lebench.verify.derived.DERIVED` which values follow from others.
"""

from __future__ import annotations

from collections.abc import Iterator

from lebench import registry
from lebench.records import Record
from lebench.tasks.base import Task, metric_of
from lebench.verify.derived import broken_derived
from lebench.verify.relations import ROUNDING, broken_relations
from lebench.verify.shares import broken_shares


def broken(record: Record, task: Task) -> Iterator[tuple[str, str]]:
    """Yield the values of a record that break an invariant, each with the rule.

    Parameters
    ----------
    record : Record
        Complete; its metrics are those of the task.
    task : Task
        Its own.
    """
    found = record.metrics
    for name, value in found.items():
        low, high = registry.metrics.get(metric_of(name)).bounds
        if not low - ROUNDING <= value <= high + ROUNDING:
            yield name, f"is {value:.6g}, outside of its bounds from {low:.6g} to {high:.6g}"
    yield from broken_relations(task.name, found)
    yield from broken_derived(task, found)
    yield from broken_shares(task, record.cell.seed, found)
