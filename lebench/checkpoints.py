"""Training that goes on where it was: its state is kept every few minutes and, on request, at its end.

A training loop asks :func:`training` for its place, and hands it its state after each step. Outside of a run there is
none; inside, the worker has opened a :class:`KeptFit` with :func:`keeping`, in a context variable as progress is.
What is kept are arrays and plain values, read without pickles.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.errors import LebenchError

#: Arrays by name, and plain values by name.
State = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]

_FACTS = "facts"
#: Seconds of training for each second that keeping its state takes: it costs a hundredth at most.
_PRICE = 100.0

_current: ContextVar[KeptFit | None] = ContextVar("lebench_checkpoints", default=None)


class KeptFit:
    """The states of the trainings of one fit, numbered in their order.

    Parameters
    ----------
    folder : Path
        Its own; made when there is something to keep.
    described : mapping
        What the fit is, for people; plain values.
    made_by : mapping
        Packages and code: under others, training is not continued.
    every_s : float
        Seconds between two states of one training.
    to_the_end : bool
        Whether the last state is kept, from which the fit is had without training.
    """

    def __init__(
        self, folder: Path, described: Mapping[str, Any], made_by: Mapping[str, Any], every_s: float, to_the_end: bool
    ) -> None:
        self.folder, self.every_s, self.to_the_end = folder, every_s, to_the_end
        self.wall_s = self.cpu_s = 0.0
        self._described, self._made_by, self._trainings = dict(described), dict(made_by), 0

    def begin(self) -> None:
        """Count from the first training; what an earlier attempt in this process has kept is forgotten."""
        if self._trainings:
            self.forget()
        self._trainings = 0

    def training(self, recipe: str) -> Training:
        """Return the place of the next training, which `recipe` describes."""
        self._trainings += 1
        return Training(self, self.folder / f"{self._trainings}.npz", {"recipe": recipe, "made_by": self._made_by})

    def end(self) -> None:
        """Note that the fit is made; forget its states unless they are to be kept."""
        if not self.to_the_end:
            self.forget()

    def forget(self) -> None:
        """Remove all states."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, file: Path, state: State) -> None:
        """Write a state in one step: who reads it sees the old or the new one."""
        arrays, facts = state
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fit.json").write_text(json.dumps(self._described) + "\n", encoding="utf-8")
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as content:
                text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
                np.savez(content, **{**arrays, _FACTS: text})  # type: ignore[arg-type]
                content.flush()
                os.fsync(content.fileno())
            os.replace(temporary, file)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


class Training:
    """The state of one training; see :class:`KeptFit`."""

    def __init__(self, fit: KeptFit, file: Path, facts: Mapping[str, Any]) -> None:
        self._fit, self._file, self._facts = fit, file, dict(facts)
        self._began, self._cpu = time.monotonic(), time.process_time()
        self._next = self._began + fit.every_s
        self._before = (0.0, 0.0)

    def load(self) -> State | None:
        """Return the state that was kept, None if there is none from which this training can go on.

        Raises
        ------
        LebenchError
            If it is of another recipe.
        """
        try:
            with self._file.open("rb") as content, np.load(content, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            facts = json.loads(arrays.pop(_FACTS).tobytes())
            recipe, made_by, finished = facts["recipe"], facts["made_by"], facts["finished"]
            self._before = float(facts["wall_s"]), float(facts["cpu_s"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
            # Damaged: it is made anew.
            return None
        if recipe != self._facts["recipe"]:
            raise LebenchError(f"the checkpoint {str(self._file)!r} is of another recipe: remove it")
        if not finished and made_by != self._facts["made_by"]:
            return None
        self._fit.wall_s += self._before[0]
        self._fit.cpu_s += self._before[1]
        return arrays, facts["state"]

    def step(self, state: Callable[[], State]) -> None:
        """Keep the state of training if it is time to."""
        if time.monotonic() >= self._next:
            self._keep(state, finished=False)

    def end(self, state: Callable[[], State]) -> None:
        """Keep the last state of training if fits are kept."""
        if self._fit.to_the_end:
            self._keep(state, finished=True)

    def _keep(self, state: Callable[[], State], *, finished: bool) -> None:
        began = time.monotonic()
        arrays, facts = state()
        spent = {
            "wall_s": self._before[0] + began - self._began,
            "cpu_s": self._before[1] + time.process_time() - self._cpu,
        }
        # A full disk ends no training.
        with suppress(OSError):
            self._fit.write(self._file, (arrays, {**self._facts, **spent, "finished": finished, "state": facts}))
        self._next = time.monotonic() + max(self._fit.every_s, _PRICE * (time.monotonic() - began))


def training(recipe: str) -> Training | None:
    """Return where the training that now begins keeps its state, None if nowhere.

    Parameters
    ----------
    recipe : str
        What is trained and how; a state of another is refused.
    """
    fit = _current.get()
    return None if fit is None else fit.training(recipe)


@contextmanager
def keeping(fit: KeptFit | None) -> Iterator[None]:
    """Keep the states of what is trained inside the ``with`` block, if that is wanted."""
    if fit is not None:
        fit.begin()
    token = _current.set(fit)
    try:
        yield
    finally:
        _current.reset(token)
