"""Whether a model that is fitted twice is the same twice."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing

from lebench.runner.events import CellEnded, Event, ModelChecked, Result
from lebench.runner.executors import Executor
from lebench.runner.plan import Job, Plan, PlannedCell

#: A model as its records name it: label and backend.
Model = tuple[str, str]


def cheapest(plan: Plan, models: Iterable[Model]) -> list[Job]:
    """Return for each model a job with one cell: with the fewest fits, on the fewest points."""
    wanted = set(models)
    cells: dict[Model, list[tuple[tuple[int, float], int, Job, PlannedCell]]] = defaultdict(list)
    for job in plan.jobs:
        if (job.label, job.backend) in wanted:
            cells[job.label, job.backend] += [(_cost(cell), job.seed, job, cell) for cell in job.cells]
    chosen = (min(found, key=lambda each: each[:2]) for found in cells.values())
    return [Job(job.label, job.backend, job.dataset, job.seed, (cell,)) for _, _, job, cell in chosen]


def _cost(cell: PlannedCell) -> tuple[int, float]:
    return len(cell.fit_keys), sum(math.inf if v.n_train is None else v.n_train for v in cell.variants)


def check(
    executor: Executor, plan: Plan, jobs: list[Job], stopped: Callable[[], bool], on_event: Callable[[Event], None]
) -> dict[Model, bool]:
    """Do each job twice, in processes of their own; return whether both came out the same, where both succeeded.

    Parameters
    ----------
    executor : Executor
        Does them.
    plan : Plan
        To which they belong.
    jobs : list of Job
        From :func:`cheapest`.
    stopped : callable
        See :meth:`Executor.run`.
    on_event : callable
        Receives what happens, at the end of a model :class:`~lebench.runner.events.ModelChecked`.
    """
    results: dict[Model, list[Result]] = defaultdict(list)
    found: dict[Model, bool] = {}
    with closing(executor.run(plan, [job for job in jobs for _ in range(2)], stopped)) as events:
        for event in events:
            if not isinstance(event, CellEnded):
                on_event(event)
                continue
            model = event.job.label, event.job.backend
            results[model].append(event.result)
            if len(results[model]) == 2:
                one, other = (result.record for result in results[model])
                if one.status == other.status == "ok":
                    found[model] = (one.metrics, one.missing, one.artifacts) == (
                        other.metrics,
                        other.missing,
                        other.artifacts,
                    )
                    on_event(ModelChecked(*model, one.cell.task, found[model]))
    return found
