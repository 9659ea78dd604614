"""``lebench.board``: the leaderboard's tracks or one task as a table, and where other scores would stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lebench import board, registry
from lebench.errors import LebenchError, ParameterError
from lebench.reading.frames import Board
from lebench.reading.sources import entries_folder
from lebench.runner.current import current
from lebench.tasks.questions import Question

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("question", "metric", "model", "score", "lower", "upper", "best_rank", "worst_rank", "seeds")


def make_standing(
    tasks: Any = (), *, entries: str | Path | None = None, beside: pd.DataFrame | None = None, name: str = "yours"
) -> Board:
    """Return the leaderboard: of each track the ranks and scores, or of some tasks the models by score.

    Parameters
    ----------
    tasks : str or iterable of str
        Names, globs or tags of tasks. Without any, the ranking of each track.
    entries : path, optional
        Folder of entries; by default that of this checkout.
    beside : DataFrame, optional
        What :func:`lebench.score` returned: its values of these tasks, or of those of the dataset "digits" that ask its
        questions, stand among the others, without a rank.
    name : str
        What the model of `beside` is called.

    Returns
    -------
    DataFrame
        ``question``, a track or task; ``metric``; ``model``; ``score`` with the ends of its 95% interval, ``lower`` and
        ``upper``; ``best_rank`` and ``worst_rank``, a 95% range, NaN for controls and other models without a rank;
        ``seeds``. The best model of each question comes first.

    Raises
    ------
    LebenchError
        If there is no folder of entries, or no result of a task.
    """
    import pandas as pd

    folder = entries_folder(entries)
    if not folder.is_dir():
        raise LebenchError(
            f"entries: there is no folder {folder}; work in a clone of lebench's repository, or name one"
        )
    found = board.read_entries(folder)
    own = {} if beside is None else _own(beside)
    wanted = [tasks] if isinstance(tasks, str) else list(tasks)
    chosen = registry.tasks.select(wanted) if wanted else list(own)
    if not chosen:
        return Board(pd.DataFrame(list(_tracks(found)), columns=list(_COLUMNS)))
    table = board.frame(record for entry in found for record in current(entry.records).records)
    rows = [row for task in chosen for row in _task(table, task, own.get(task, {}), name)]
    if not rows:
        raise LebenchError(f"tasks: no entry has results of {', '.join(chosen)}")
    return Board(pd.DataFrame(rows, columns=list(_COLUMNS)))


def _own(beside: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return values of scores by task of digits and metric."""
    if not {"question", "metric", "value"} <= set(beside.columns):
        raise ParameterError("beside must be what lebench.score returns, a frame with question, metric and value")
    found: dict[str, dict[str, float]] = {}
    for question, metric, value in beside[["question", "metric", "value"]].itertuples(index=False):
        asked: Question = registry.questions.get(question)
        task = registry.tasks.item(f"digits/{asked.name}").name
        if value == value:
            found.setdefault(task, {})[metric] = float(value)
    return found


def _tracks(found: list[board.Entry]) -> Iterator[dict[str, Any]]:
    made = board.make_board(found)
    labels = {entry.name: entry.info.model for entry in found}
    for ranking in made.rankings:
        for rank in ranking.ranks:
            yield {
                "question": ranking.track,
                "metric": "track score",
                "model": labels[rank.entry],
                "score": rank.score,
                "lower": rank.score_lower,
                "upper": rank.score_upper,
                "best_rank": rank.lower,
                "worst_rank": rank.upper,
                "seeds": rank.seeds,
            }


def _task(table: pd.DataFrame, task: str, own: dict[str, float], name: str) -> Iterator[dict[str, Any]]:
    metric = board.primary_of(task)
    direction = board.direction_of(metric)
    values = board.by_seed(table, task, metric)
    models = {model: model for model in sorted(values) if not board.is_control(model)}
    ranks = board.rank_values({model: values[model] for model in models}, direction, models) if models else {}
    rows = []
    for model, seeds in values.items():
        estimate = board.mean_interval(seeds.values())
        _, best, worst = ranks.get(model, (0, np.nan, np.nan))
        rows.append((model, estimate.mean, estimate.lower, estimate.upper, best, worst, estimate.seeds))
    if metric in own:
        rows.append((name, own[metric], None, None, np.nan, np.nan, 1))
    for row in sorted(rows, key=lambda row: (-row[1] if direction == "higher" else row[1], row[0])):
        # An end of an interval that there is none of is no number.
        yield dict(zip(_COLUMNS, (task, metric, *(np.nan if each is None else each for each in row)), strict=True))
