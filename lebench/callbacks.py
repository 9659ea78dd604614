"""Measuring while somebody else trains: one class for a plain loop, Lightning, and the Trainer of Hugging Face."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from lebench.errors import MissingDependencyError, ParameterError
from lebench.reading.frames import Scores, of_scores
from lebench.scoring import score


class Follow:
    """Scores a module while it is trained, by :func:`lebench.score`, and writes the values where they can be watched.

    In a loop of your own, call it with the module after an epoch; ``follow.lightning()`` is a callback for Lightning's
    ``Trainer`` and ``follow.hugging_face()`` one for that of transformers. The module is measured on a copy; its mode
    and the random numbers of training stay as they are.

    Parameters
    ----------
    x, y, x_test, y_test
        Points and labels, or a dataset, as :func:`lebench.score` takes them.
    questions : str or iterable of str
        What is asked each time.
    csv_file : path, optional
        File that each row is appended to: ``time``, ``question``, ``metric``, ``value``. One that is there is replaced.
    tensorboard : path, optional
        Folder that ``SummaryWriter`` writes the values to.
    every : int
        Measure at every so many calls; the first is always measured.
    **how
        More arguments of :func:`lebench.score`: `seed`, `loss`, `channels_last`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> x, y = np.eye(8), np.arange(8) % 2
    >>> follow = Follow(x, y, questions="accuracy")
    >>> for epoch in range(3):
    ...     follow(torch.nn.Linear(8, 2), epoch)
    >>> sorted(set(follow.frame["time"]))
    [0.0, 1.0, 2.0]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        x_test: Any = None,
        y_test: Any = None,
        *,
        questions: str | Iterable[str] = ("accuracy", "collapse"),
        csv_file: str | Path | None = None,
        tensorboard: str | Path | None = None,
        every: int = 1,
        **how: Any,
    ) -> None:
        if not isinstance(every, int) or every < 1:
            raise ParameterError(f"every must be a whole number from 1, not {every!r}")
        self._data, self._every, self._calls = (x, y, x_test, y_test), every, 0
        self._how = {"questions": questions, **how}
        self._rows: list[dict[str, Any]] = []
        self._file = None if csv_file is None else Path(csv_file)
        self._writer = None if tensorboard is None else _summary_writer(Path(tensorboard))
        if self._file is not None:
            self._write([["time", "question", "metric", "value"]], "w")

    @property
    def frame(self) -> pd.DataFrame:
        """What was measured: the columns of :func:`lebench.score` and ``time``; ``.plot()`` draws the courses."""
        found: Scores = of_scores(self._rows, {})
        found["time"] = [row["time"] for row in self._rows]
        found.behind = _courses
        return found

    def __call__(self, module: Any, time: float) -> None:
        """Measure a module at a time, an epoch or a step, if it is its turn.

        Raises
        ------
        LebenchError
            If the module or the data cannot be scored.
        """
        self._calls += 1
        if (self._calls - 1) % self._every:
            return
        found: Any = score(module, *self._data, **self._how).to_dict(orient="records")
        self._rows += [{**row, "time": float(time)} for row in found]
        if self._file is not None:
            self._write([[float(time), row["question"], row["metric"], row["value"]] for row in found], "a")
        if self._writer is not None:
            for row in found:
                if row["value"] == row["value"]:
                    self._writer.add_scalar(f"{row['question']}/{row['metric']}", row["value"], int(time))
            self._writer.flush()

    def lightning(self) -> Any:
        """Return a callback of Lightning that measures the ``LightningModule`` before training and after each epoch."""
        base = _first_of("Lightning", "lightning.pytorch", "pytorch_lightning").Callback

        def start(_: Any, trainer: Any, module: Any) -> None:
            self(module, trainer.current_epoch)

        def end(_: Any, trainer: Any, module: Any) -> None:
            self(module, trainer.current_epoch + 1)

        return type("FollowLightning", (base,), {"on_train_start": start, "on_train_epoch_end": end})()

    def hugging_face(self) -> Any:
        """Return a ``TrainerCallback`` of transformers that measures the model before training and after each epoch."""
        base = _first_of("transformers", "transformers").TrainerCallback

        def measure(_: Any, args: Any, state: Any, control: Any, model: Any = None, **__: Any) -> None:
            self(model, round(state.epoch or 0.0, 3))

        return type("FollowTrainer", (base,), {"on_train_begin": measure, "on_epoch_end": measure})()

    def _write(self, rows: Iterable[list[Any]], mode: str) -> None:
        assert self._file is not None
        with self._file.open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def _courses(frame: pd.DataFrame) -> Any:
    """Return pictures of the values over time, by question."""
    from lebench import pictures

    found = []
    for question in dict.fromkeys(frame["question"]):
        table = frame[(frame["question"] == question) & frame["value"].notna()].pivot_table(
            index="time", columns="metric", values="value"
        )
        # Those that are there at all times; "nc1@train" is the part "train" of "nc1".
        arrays = {name.replace("@", "_"): table[name].to_numpy() for name in table if table[name].notna().all()}
        found.append((question, pictures.of_model({"epochs": table.index.to_numpy(), **arrays})))
    return [(question, made) for question, made in found if made]


def _first_of(package: str, *modules: str) -> Any:
    for name in modules:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingDependencyError(f"{package} is not installed; in a loop of your own call follow(module, epoch)")


def _summary_writer(folder: Path) -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError as error:
        raise MissingDependencyError(
            "tensorboard: TensorBoard is not installed; pip install tensorboard, or give csv_file"
        ) from error
