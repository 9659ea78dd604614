"""Scores of a table of records: means with intervals, and who can be told from whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lebench import registry
from lebench.errors import UnknownNameError
from lebench.metrics.base import Direction
from lebench.stats import LEVEL, Estimate, mean_interval, paired_difference
from lebench.tasks.base import metric_of

if TYPE_CHECKING:
    import pandas as pd


def direction_of(metric: str) -> Direction:
    """Return what is better in a recorded value: ``"higher"``, ``"lower"`` or ``"none"`` (descriptive).

    Parameters
    ----------
    metric : str
        ``"metric"`` or ``"metric@qualifier"``.

    Raises
    ------
    UnknownNameError
        If the metric is not registered.
    """
    direction: Direction = registry.metrics.get(metric_of(metric)).direction
    return direction


def primary_of(task: str) -> str:
    """Return the metric that ranks a task.

    Raises
    ------
    UnknownNameError
        If the task is not registered.
    """
    return str(registry.tasks.get(task).primary)


def is_control(model: str) -> bool:
    """Return whether a model is a control: one that is on the board in order to lose.

    Parameters
    ----------
    model : str
        Registered name or label; a name that is not registered here is no control.
    """
    name = model.split("[", 1)[0]
    return name in registry.models and "control" in registry.models.item(name).tags


def summary(frame: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Return the mean and interval over seeds of every value.

    Parameters
    ----------
    frame : pandas.DataFrame
        As :func:`lebench.board.frame` makes it.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    pandas.DataFrame
        One row per (track, task, model, metric), sorted, with the columns ``mean``, ``lower``, ``upper`` and ``seeds``;
        the ends are NaN with fewer than two seeds. Values that are missing are left out, not counted as zero.
    """
    import pandas as pd

    rows = []
    keys = ["track", "task", "model", "metric"]
    for key, group in frame.dropna(subset="value").groupby(keys, sort=True):
        estimate = mean_interval(group["value"], level)
        rows.append((*key, estimate.mean, estimate.lower, estimate.upper, estimate.seeds))
    table = pd.DataFrame(rows, columns=[*keys, "mean", "lower", "upper", "seeds"])
    return table.astype({"mean": "float64", "lower": "float64", "upper": "float64"})


def by_seed(frame: pd.DataFrame, task: str, metric: str) -> dict[str, dict[int, float]]:
    """Return the values of one metric of one task as ``{model: {seed: value}}``; missing ones are left out."""
    chosen = frame[(frame["task"] == task) & (frame["metric"] == metric)].dropna(subset="value")
    values: dict[str, dict[int, float]] = {}
    for model, seed, value in zip(chosen["model"], chosen["seed"], chosen["value"], strict=True):
        values.setdefault(str(model), {})[int(seed)] = float(value)
    return values


@dataclass(frozen=True)
class Standing:
    """Where a model stands among the others on one task.

    Attributes
    ----------
    track, task, metric, direction : str
        The question, the value that ranks, and what is better.
    estimate : Estimate
        The model's own score.
    ahead, tied, behind : tuple of str
        Models that are better, not distinguishable, and worse. Not distinguishable means that the interval of the
        paired difference contains zero, or that there are fewer than two common seeds.
    """

    track: str
    task: str
    metric: str
    direction: Direction
    estimate: Estimate
    ahead: tuple[str, ...]
    tied: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def ranks(self) -> tuple[int, int]:
        """Best and worst rank that the evidence allows, from 1."""
        return len(self.ahead) + 1, len(self.ahead) + len(self.tied) + 1


def standing(frame: pd.DataFrame, label: str, level: float = LEVEL) -> list[Standing]:
    """Return where a model stands on every task that it has a primary score of.

    Tasks that are not registered, and those whose primary metric is only descriptive, are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
        Values of the model and of those it is compared with.
    label : str
        The model, as in the column ``model``.
    level : float, default 0.95
        Confidence level of the paired differences; not corrected for the number of comparisons.

    Returns
    -------
    list of Standing
        Sorted by track and task.
    """
    found = []
    tasks = frame.loc[frame["model"] == label, ["track", "task"]].drop_duplicates().sort_values(["track", "task"])
    for track, task in tasks.itertuples(index=False):
        try:
            metric = primary_of(task)
            direction = direction_of(metric)
        except UnknownNameError:
            continue
        values = by_seed(frame, task, metric)
        if direction == "none" or label not in values:
            continue
        others = {
            other: _compare(values[label], values[other], direction, level) for other in sorted(values.keys() - {label})
        }
        ahead, tied, behind = (tuple(o for o, verdict in others.items() if verdict == sign) for sign in (-1, 0, 1))
        estimate = mean_interval(values[label].values(), level)
        found.append(Standing(track, task, metric, direction, estimate, ahead, tied, behind))
    return found


def leaders(
    values: dict[str, dict[int, float]], direction: Direction, exclude: Collection[str] = (), level: float = LEVEL
) -> tuple[str | None, frozenset[str]]:
    """Return the model with the best mean and those that cannot be told from it.

    Parameters
    ----------
    values : dict
        ``{model: {seed: value}}``, see :func:`by_seed`.
    direction : {"higher", "lower", "none"}
        What is better.
    exclude : collection of str
        Models that cannot lead, such as controls.
    level : float, default 0.95
        Confidence level of the paired differences.

    Returns
    -------
    best : str or None
        None if the metric is descriptive or there is no model.
    tied : frozenset of str
        Without `best`.
    """
    candidates = {model: seeds for model, seeds in values.items() if model not in exclude}
    if direction == "none" or not candidates:
        return None, frozenset()
    sign = 1.0 if direction == "higher" else -1.0
    best = min(candidates, key=lambda model: (-sign * mean_interval(candidates[model].values()).mean, model))
    tied = {
        model
        for model, seeds in candidates.items()
        if model != best and _compare(candidates[best], seeds, direction, level) == 0
    }
    return best, frozenset(tied)


def _compare(a: dict[int, float], b: dict[int, float], direction: Direction, level: float) -> int:
    """Return 1 if a is better than b, -1 if it is worse, 0 if the seeds do not tell."""
    difference = paired_difference(a, b, level)
    if difference is None or not difference.excludes_zero:
        return 0
    return 1 if (difference.mean > 0) == (direction == "higher") else -1
