"""Whether a model that is fitted twice is the same twice."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from lebench.runner.events import CellEnded, Event, ModelChecked, Result
from lebench.runner.plan import Job, Plan, PlannedCell

if TYPE_CHECKING:
    from lebench.runner.cluster import DaskExecutor
    from lebench.runner.executors import LocalExecutor

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
    executor: LocalExecutor | DaskExecutor,
    plan: Plan,
    jobs: list[Job],
    stopped: Callable[[], bool],
    on_event: Callable[[Event], None],
) -> dict[Model, bool]:
    """Do each job of :func:`cheapest` twice; return whether both came out the same, where both succeeded.

    Processes are of their own. `on_event` receives at the end of a model :class:`~lebench.runner.events.ModelChecked`.
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
                    found[model] = all(
                        getattr(one, what) == getattr(other, what) for what in ("metrics", "missing", "artifacts")
                    )
                    on_event(ModelChecked(*model, one.cell.task, found[model]))
    return found
