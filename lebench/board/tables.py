"""The board as tables to download: a row for each value of each entry, task and seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lebench.board.board import Board
from lebench.errors import LebenchError, install_hint

if TYPE_CHECKING:
    import pandas as pd

#: Columns of :func:`score_table`, in this order.
COLUMNS = ("entry", "model", "control", "track", "task", "task_version", "value", "direction", "seed", "score")


def score_table(board: Board) -> pd.DataFrame:
    """Return all scores in long form.

    Parameters
    ----------
    board : Board
        See :func:`lebench.board.make_board`.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`: ``value`` is the name of what was measured, ``score`` its number with that seed, and
        ``direction`` what is better. Sorted as the board's scores are; what is missing has no row.
    """
    import pandas as pd

    from lebench.tasks.base import metric_of

    tasks = {task.name: task for task in board.tasks}
    entries = {entry.info.name: entry for entry in board.entries}
    directions = {metric.name: metric.direction for metric in board.metrics}
    heads = []
    for score in board.scores:
        entry, task = entries[score.entry], tasks[score.task]
        row = (score.entry, entry.info.model, entry.control, task.track, task.name, task.version, score.value)
        heads.append((*row, directions[metric_of(score.value)]))
    head = pd.DataFrame(heads, columns=list(COLUMNS[:-2]))
    table = head.loc[head.index.repeat([len(score.by_seed) for score in board.scores])].reset_index(drop=True)
    table["seed"] = np.fromiter((seed for score in board.scores for seed in score.by_seed), np.int64, len(table))
    table["score"] = np.fromiter((v for score in board.scores for v in score.by_seed.values()), float, len(table))
    return table.astype({"control": "bool", "task_version": "int64"})


def write_tables(board: Board, folder: Path) -> list[Path]:
    """Write ``board.csv`` and ``board.parquet``, the same bytes for the same board.

    Parameters
    ----------
    board : Board
        See :func:`lebench.board.make_board`.
    folder : Path
        Where; made if it is not there.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    LebenchError
        If pyarrow is missing or the folder cannot be written.
    """
    table = score_table(board)
    csv, parquet = folder / "board.csv", folder / "board.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(csv, index=False, lineterminator="\n")
        table.to_parquet(parquet, index=False, engine="pyarrow", compression="zstd")
    except ImportError as error:
        raise LebenchError(f"board.parquet needs pyarrow: {install_hint('site')}") from error
    except OSError as error:
        raise LebenchError(f"cannot write tables to {folder}: {error.strerror or error}") from error
    return [csv, parquet]
