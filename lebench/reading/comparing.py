"""``lebench.compare``: two models, with the intervals of the board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lebench import board
from lebench.artifacts import ArtifactError, unpack
from lebench.board.frame import by_seed
from lebench.errors import LebenchError, ParameterError
from lebench.models.objects import folder_of, names_of
from lebench.reading.frames import Comparison, of_models
from lebench.reading.sources import (
    direction_of,
    entries_folder,
    known_label,
    metrics_of,
    sources,
    tasks_among,
    together,
)
from lebench.records import Record
from lebench.runner.store import Store
from lebench.stats import LEVEL, PointEffects

if TYPE_CHECKING:
    import pandas as pd


def compare(
    a: str,
    b: str,
    tasks: str | Iterable[str] = (),
    results: str | Path = "results",
    *,
    baselines: bool = True,
    entries: str | Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Return paired differences of two models, of a results folder or the leaderboard.

    Parameters
    ----------
    a, b : str
        Models as their records call them: ``"mlp[width=4096]"``.
    tasks : str or iterable of str
        Names, globs or tags: every value of these. By default the value that ranks, of all tasks.
    results : path
        Folder of the records.
    baselines : bool
        Whether the leaderboard's entries are read, too.
    entries : path, optional
        Folder of entries; by default that of this checkout.
    tell : callable, optional
        Is told what is left out; by default a warning.

    Returns
    -------
    DataFrame
        ``task``, ``metric``; ``a`` and ``b``, means over the seeds that both have; ``difference`` with ``lower`` and
        ``upper``, the ends of its 95% interval (Student's t over seeds; where a score is a mean over test points that
        seeds share, those are resampled, too); ``seeds``, ``points``; ``verdict``.

    Raises
    ------
    LebenchError
        If there are no results of a model, or no task and seed that both have.
    """
    import pandas as pd

    for name, model in (("a", a), ("b", b)):
        if not isinstance(model, str):
            raise ParameterError(f"{name} must be the name of a model, not {type(model).__name__} {model!r:.60}")
    folder, chosen_entries = folder_of("results", results), None if entries is None else Path(entries)
    records, board_entries = sources(folder, chosen_entries, baselines, tell)
    own, table = together(records, board_entries)
    a, b = known_label(a, table["model"]), known_label(b, table["model"])
    if a == b:
        raise LebenchError(f"compare needs two different models, both are {a!r}")
    wanted = names_of("tasks", tasks, "a task")
    chosen = tasks_among(wanted, table["task"]) if wanted else sorted(set(table["task"]))
    store = Store(folder)
    runs = [_Run(f"results/{label}", [r for r in records if r.label == label], store) for label in own & {a, b}]
    points, names = _points(runs, board_entries, entries_folder(chosen_entries))
    rows = [row for task in chosen for row in _differences(table, task, a, b, points, names, every_metric=bool(wanted))]
    if not rows:
        raise LebenchError(f"{a!r} and {b!r} have no task and seed in common; run both with the same seeds")
    found = Comparison(pd.DataFrame(rows))
    found.models = (a, b)
    found.behind = partial(of_models, folder, chosen_entries if baselines else folder / "none", (a, b))
    return found


@dataclass(frozen=True)
class _Run:
    """The records of a model in a results folder, with what was recorded with them."""

    name: str
    records: Sequence[Record]
    store: Store

    def recording(self, record: Record) -> dict[str, NDArray[Any]]:
        try:
            return unpack(self.store.recording(record), record.recorded)
        except ArtifactError:
            # Without it the interval resamples seeds alone, and says so.
            return {}


def _points(
    runs: Iterable[_Run], entries: Iterable[board.Entry], folder: Path
) -> tuple[Mapping[str, board.TaskPoints], dict[str, str]]:
    """Return values at test points, and the name of each model's records there.

    Models of the results folder that are not compared are left out: the field is that of the board.
    """
    found: dict[str, board.Recorded] = {run.records[0].label: run for run in runs}
    for entry in entries:
        found.setdefault(entry.records[0].label, entry)
    points = board.gather(found.values(), folder.parent / "points", keep=False)
    return points, {label: each.name for label, each in found.items()}


def _differences(
    table: pd.DataFrame,
    task: str,
    a: str,
    b: str,
    points: Mapping[str, board.TaskPoints],
    names: Mapping[str, str],
    *,
    every_metric: bool,
) -> list[dict[str, Any]]:
    metrics = metrics_of(table, task)[: None if every_metric else 1]
    rows = []
    for metric in metrics:
        values = by_seed(table, task, metric)
        difference = board.paired_difference(values.get(a, {}), values.get(b, {}))
        if difference is None:
            continue
        models = {names[label]: label for label in values if label in names}
        field = [name for name, label in models.items() if not board.is_control(label)]
        effects = board.effects_on(points, task, metric, sorted(models), field)
        added, count = _added(effects, sorted(models), names.get(a), names.get(b))
        difference = difference.widened(added)
        direction = direction_of(metric)
        common = sorted(values[a].keys() & values[b].keys())
        verdict = "not distinguishable"
        if difference.excludes_zero:
            better = a if (difference.mean > 0) == (direction == "higher") else b
            verdict = "differs" if direction == "none" else f"{better} is better"
        elif difference.lower is None:
            verdict = "one seed: no interval"
        rows.append(
            {
                "task": task,
                "metric": metric,
                "a": sum(values[a][seed] for seed in common) / len(common),
                "b": sum(values[b][seed] for seed in common) / len(common),
                "difference": difference.mean,
                "lower": difference.lower,
                "upper": difference.upper,
                "seeds": difference.seeds,
                "points": 0 if difference.lower is None else count,
                "verdict": verdict,
            }
        )
    return rows


def _added(effects: PointEffects | None, models: Sequence[str], a: str | None, b: str | None) -> tuple[float, int]:
    """Return what test points add to the half width of the difference of two models, and their number."""
    if effects is None or a not in models or b not in models:
        return 0.0, 0
    halves = effects.half_widths(effects.pair_deviations, LEVEL)
    return float(halves[models.index(a), models.index(b)]), len(effects.ids)
