"""The board as tables to download: a row for each value of each entry, task and seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lebench.board.board import Board
from lebench.errors import LebenchError

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
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for score in board.scores:
        entry, task, count = entries[score.entry], tasks[score.task], len(score.by_seed)
        row = (score.entry, entry.info.model, entry.control, task.track, task.name, task.version, score.value)
        for name, value in zip(COLUMNS, (*row, directions[metric_of(score.value)]), strict=False):
            columns[name] += [value] * count
        columns["seed"] += score.by_seed.keys()
        columns["score"] += score.by_seed.values()
    return pd.DataFrame(columns).astype(
        {"control": "bool", "task_version": "int64", "seed": "int64", "score": "float64"}
    )


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
        raise LebenchError("board.parquet needs pyarrow: pip install 'lebench[site]'") from error
    except OSError as error:
        raise LebenchError(f"cannot write tables to {folder}: {error.strerror or error}") from error
    return [csv, parquet]
