"""Running: plan, worker processes, records.

Importing this package imports nothing heavy; :func:`run` imports what it needs when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lebench.run.events import Event
    from lebench.run.execution import Summary

#: Where results go unless asked otherwise.
RESULTS = "results"


def run(
    models: str | Iterable[str],
    tasks: str | Iterable[str] = "*",
    seeds: int | Sequence[int] = 1,
    *,
    results: str | Path = RESULTS,
    backend: str | None = None,
    plugins: Iterable[str | Path] = (),
    jobs: int | None = None,
    force: bool = False,
    time_limit: float | None = None,
    memory_limit: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Summary:
    """Score models on tasks; what the folder `results` has already is not done again.

    Parameters
    ----------
    models : str or iterable of str
        Specifications (``"mlp[width=4096]"``), names, globs or tags.
    tasks : str or iterable of str
        Names, globs or tracks; by default all.
    seeds : int or sequence of int
        Number of repetitions, or their root seeds.
    results : path
        Folder of the records.
    backend, plugins
        See :func:`lebench.run.plan.make_plan`.
    jobs, force, time_limit, memory_limit, on_event
        See :func:`lebench.run.execution.execute`.

    Returns
    -------
    Summary
        With the records that were made.

    Raises
    ------
    LebenchError
        For bad input; nothing has been computed then.
    """
    from lebench.run.execution import TIME_LIMIT, execute
    from lebench.run.plan import make_plan
    from lebench.run.store import Store

    plan = make_plan(
        [tasks] if isinstance(tasks, str) else tasks,
        [models] if isinstance(models, str) else models,
        range(seeds) if isinstance(seeds, int) else seeds,
        backend,
        plugins,
    )
    return execute(
        plan,
        Store(results),
        jobs,
        force,
        TIME_LIMIT if time_limit is None else time_limit,
        memory_limit,
        on_event or (lambda event: None),
    )
