"""What the package offers to Python code beside its types: run, load and register."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lebench import board, registry
from lebench.errors import LebenchWarning, ParameterError
from lebench.models.objects import folder_of, names_of, with_checkpoints
from lebench.reading.frames import Results, of_records
from lebench.reading.sources import noted
from lebench.runner import merging
from lebench.runner.current import current
from lebench.runner.execution import TIME_LIMIT, execute
from lebench.runner.plan import make_plan
from lebench.runner.shares import Shard, parse_seeds
from lebench.runner.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from lebench.runner.events import Event
    from lebench.runner.merging import Merged

register_task = registry.tasks.register
register_model = registry.models.register
register_dataset = registry.datasets.register
register_backend = registry.backends.register


def run(
    models: object = (),
    tasks: str | Iterable[str] = (),
    seeds: int | str | Sequence[int] = 3,
    *,
    dataset: str | Iterable[str] = (),
    results: str | Path = "results",
    backend: str | None = None,
    plugins: str | Path | Iterable[str | Path] = (),
    shard: str | None = None,
    jobs: int | None = None,
    force: bool = False,
    time_limit: float = TIME_LIMIT,
    memory_limit: int | None = None,
    check_determinism: bool = False,
    keep_fits: bool = False,
    cluster: str | Path | None = None,
    checkpoint: str | Path | Iterable[str | Path] = (),
    builder: str | None = None,
    device: str = "cpu",
    on_event: Callable[[Event], None] = lambda event: None,
) -> Results:
    """Score models on tasks and return the values; what the folder has already is not computed again.

    Parameters
    ----------
    models : str, object, iterable of these, or mapping of str to object
        Specifications (``"mlp[width=4096]"``), names, globs or tags; estimators of scikit-learn's kind, or objects with
        ``fit(split, seed)`` and ``capabilities``. An object has the name of its repr, or that in a mapping. Records of
        models that are objects, or are defined in a script or notebook, cannot be submitted.
    tasks : str or iterable of str
        Names, globs or tracks; names of questions where `dataset` is given. By default the suite on digits.
    seeds : int, str or sequence of int
        Number of repetitions, or their root seeds; a list may be a text: ``"0-9,12"``.
    dataset : str or iterable of str
        Registered names of the datasets that the questions are asked of.
    results : path
        Folder of the records.
    checkpoint : path or iterable of path
        Weights that were trained elsewhere: files, or folders with those of several moments of a training; see
        :func:`lebench.score`. Records say so, and take no rank.
    builder : str, optional
        ``"net.py:make"``: the function that returns the module of the checkpoints.
    backend, plugins
        See :func:`lebench.runner.plan.make_plan`.
    shard : str, optional
        Run this share only: ``"2/8"`` is the second of eight. The same on every machine, each job in one of them.
    jobs, force, time_limit, memory_limit, check_determinism, keep_fits, cluster, device, on_event
        See :func:`lebench.runner.execution.execute`.

    Returns
    -------
    pandas.DataFrame
        The values of the cells that were asked for, as :func:`load` returns them. A cell that failed has a row with
        its status and reason.

    Raises
    ------
    LebenchError
        For bad input; nothing has been computed then.
    UnavailableDataError
        If there are no files for any of the tasks; tasks for whose data there are none are left out with a warning.
    KeyboardInterrupt
        If the run was interrupted; the records of finished cells are kept.
    """
    if backend is not None and not isinstance(backend, str):
        raise ParameterError(f"backend must be a name, not {type(backend).__name__} {backend!r:.60}")
    results = folder_of("results", results)
    plan = make_plan(
        names_of("tasks", tasks, "a task"),
        with_checkpoints(models, checkpoint, builder),
        parse_seeds(seeds),
        backend,
        [plugins] if isinstance(plugins, str | Path) else plugins,
        None if shard is None else Shard.parse(shard),
        names_of("dataset", dataset, "a dataset"),
    )
    for task, reason in plan.unavailable:
        warnings.warn(f"{task} is left out: {reason}", LebenchWarning, stacklevel=2)
    store = Store(results)
    summary = execute(
        plan,
        store,
        jobs,
        force,
        time_limit,
        memory_limit,
        on_event,
        check_determinism=check_determinism,
        keep_fits=keep_fits,
        cluster=cluster,
        device=device,
    )
    if summary.interrupted:
        raise KeyboardInterrupt
    return of_records(board.frame(noted(current(store.load(keys=(cell.cell.key for cell in plan.cells))))), results)


def merge(folders: Iterable[str | Path], into: str | Path) -> Merged:
    """Copy the records of results folders into another; see :func:`lebench.runner.merging.merge`."""
    return merging.merge(list(folders), into)


def load(results: str | Path = "results") -> Results:
    """Return the values in a folder of records: a row for each metric of each current cell; others give a warning.

    Parameters
    ----------
    results : path
        Folder of the records.

    Returns
    -------
    pandas.DataFrame
        Columns: see :func:`lebench.board.frame`.

    Raises
    ------
    LebenchError
        If there is no such folder.
    """
    results = folder_of("results", results)
    return of_records(board.frame(noted(current(Store(results).load()))), results)


def calibrated(metrics: str | Iterable[str] = (), backends: Iterable[str] | None = None) -> pd.DataFrame:
    """Return every known answer of metrics on every installed array library; see :mod:`lebench.calibrate`."""
    import pandas as pd

    from lebench.calibrate import calibrate

    return pd.DataFrame(calibrate(names_of("metrics", metrics, "a metric") or None, backends))


def agreed(names: str | Iterable[str] = ()) -> pd.DataFrame:
    """Return how far implementations of kernels and networks agree; see :func:`lebench.agree.agree`."""
    import pandas as pd

    from lebench.agree import agree

    return pd.DataFrame(agree(names_of("names", names, "a quantity, network or implementation") or None))
