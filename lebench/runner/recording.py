"""What fitted models answered while a task was scored, so that the score can be computed again without them.

A score sees a model only through its capabilities. :class:`Recorder` stands between the two and notes each answer;
:func:`replay` makes fits that give the same answers to the same questions. So every task can be recomputed from what
an entry holds, by the code of the task alone, and no task has to know of it. How a recording is written is in
:mod:`lebench.runner.recording_format`.

Features of a wide network, kernel matrices of many points and scores at many points are too large for that. They are
recorded in the few coordinates that measures of collapse look at (:mod:`lebench.runner.compaction`), or in what metrics
of predictions do (:mod:`lebench.runner.decisions`), and only if the score comes out the same from them.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import FloatArray
from lebench.capabilities import CAPABILITIES, Checkpoint, Trajectory, offers
from lebench.data.base import Split
from lebench.errors import DataError, LebenchError
from lebench.runner.compaction import Collapse, compacted, compacted_gram
from lebench.runner.decisions import MANY, classes_of, essence_of
from lebench.runner.recording_format import (
    DECIDED,
    DIMENSIONS,
    FACTOR,
    LIMIT,
    NOT_FITTED,
    OFFERS,
    REFUSED,
    SYMMETRIC,
    RecordingError,
    from_triangle,
    is_symmetric,
    read,
    upper_triangle,
    written,
)
from lebench.tasks.base import Fit, NotFitted, Task, metric_of

#: Numbers of features, kernels and scores at many points above which fewer are tried, and above which none are kept.
_MANY, _TOO_MANY = 100_000, 30_000_000
#: Places to which inputs are rounded before a question is told from another, so that another machine's last bits, in
#: data that it standardizes itself, ask the same question.
_PLACES = 6

#: Relative and absolute difference up to which a value computed from a recording is the same, and what ties between
#: centres, which the last bits of features decide, may move shares of points.
RELATIVE, ABSOLUTE = 1e-3, 1e-6
TIES = {"nc4": 2.5e-3, "ncc_accuracy": 2.5e-3}

#: Methods by which capabilities are used, with their signatures, bound without self.
_METHODS: dict[str, inspect.Signature] = {
    name: inspect.signature(partial(getattr(protocol, name), None))
    for protocol in CAPABILITIES.values()
    for name in vars(protocol)
    if not name.startswith("_")
}


class Recorder:
    """Notes what fitted models answer.

    Attributes
    ----------
    gap : str
        Why there is no recording, empty if there is one.
    """

    def __init__(self) -> None:
        self.gap = ""
        self._rows: dict[bytes, tuple[int, ...]] = {}
        self._answers: dict[bytes, NDArray[np.float32]] = {}
        self._splits: dict[str, Split] = {}
        self._collapses: dict[str, Collapse] = {}
        self._decided: dict[bytes, tuple[tuple[int, ...], NDArray[np.float64]]] = {}
        self._size = self._wide = 0

    def fits(self, made: Mapping[str, Fit]) -> dict[str, Fit]:
        """Return the same fits, whose answers are noted."""
        self._splits = {name: fit.split for name, fit in made.items()}
        return {name: Fit(fit.split, self._wrapped(fit.fitted, name), fit.seed) for name, fit in made.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the recording, nothing if there is none."""
        if self._size + self._wide > LIMIT:
            self.give_up("the answers are too many to keep")
        return {} if self.gap else written(self._rows, self._answers)

    def compacted(self) -> dict[str, NDArray[Any]]:
        """Return the recording with what is wide in fewer numbers, nothing if it is small or cannot be had.

        Whether a score is the same with them has to be tried.
        """
        if self.gap or self._wide <= _MANY:
            return {}
        rows, answers = dict(self._rows), dict(self._answers)
        for key, (row, kept) in self._decided.items():
            rows[key], answers[key] = row, kept.astype("<f4")
        for collapse in self._collapses.values():
            if collapse.elsewhere:
                continue
            for key, array in _fewer_coordinates(collapse, answers).items():
                rows[key] = (array.ndim, *array.shape, *[0] * (DIMENSIONS - array.ndim))
                answers[key] = array.astype("<f4")
            for key, labels in collapse.grams.items():
                kind, n, *_ = rows[key]
                if kind == SYMMETRIC:
                    factor = compacted_gram(from_triangle(answers[key].astype(np.float64), n), labels)
                    rows[key] = (FACTOR, *factor.shape, 0)
                    answers[key] = factor.astype("<f4")
        size = sum(array.size for array in answers.values())
        return {} if size > LIMIT or size == self._size + self._wide else written(rows, answers)

    def give_up(self, reason: str) -> None:
        """Keep no recording, for this reason."""
        self.gap = self.gap or reason
        self._rows, self._answers, self._collapses = {}, {}, {}

    def _wrapped(self, fitted: Any, path: str) -> Any:
        if isinstance(fitted, NotFitted):
            self._note(_key(path, "offers"), NOT_FITTED)
            return fitted
        offered = [name for name in CAPABILITIES if offers(fitted, name)]
        self._note(_key(path, "offers"), OFFERS, sum(1 << list(CAPABILITIES).index(name) for name in offered))
        return _recorded(fitted, offered, self, path)

    def _call(self, method: Callable[..., Any], path: str, name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            key = _question(path, name, *args, **kwargs)
        except TypeError:
            self.give_up(f"{name} is asked for in a way of its own")
            return method(*args, **kwargs)
        try:
            answer = method(*args, **kwargs)
        except LebenchError:
            self._note(key, REFUSED)
            raise
        if name == "checkpoints":
            self._keep(key, [np.array([checkpoint.time for checkpoint in answer])])
            return tuple(
                Checkpoint(checkpoint.time, partial(self._restored, checkpoint, f"{path}/{moment}"))
                for moment, checkpoint in enumerate(answer)
            )
        scores = isinstance(answer, np.ndarray) and answer.ndim == 2 <= answer.shape[1]
        many = name in ("predict", "predict_proba") and scores and len(answer) >= MANY
        self._keep(key, _parts_of(answer), many or name in ("features", "gram"))
        if many and not self.gap:
            self._decide(key, name, np.asarray(answer, dtype=np.float64), args, self._split(path))
        if name in ("features", "gram"):
            self._collapses.setdefault(path, Collapse()).asked(key, name, args, self._split(path))
        elif name == "head":
            self._collapses.setdefault(path, Collapse()).head = key
        return answer

    def _decide(self, key: bytes, name: str, scores: FloatArray, inputs: tuple[Any, ...], split: Split) -> None:
        of = (split.x_test, split.y_test), (split.x_train, split.y_train)
        labels = [y for x, y in of if inputs and inputs[0] is x]
        if labels or name == "predict":
            kept = classes_of(scores)[None] if name == "predict" else essence_of(scores, labels[0])
            self._decided[key] = (DECIDED, *scores.shape, len(kept)), kept

    def _split(self, path: str) -> Split:
        return next(split for name, split in self._splits.items() if path == name or path.startswith(f"{name}/"))

    def _restored(self, checkpoint: Checkpoint, path: str) -> Any:
        return self._wrapped(checkpoint.restore(), path)

    def _keep(self, key: bytes, arrays: list[NDArray[Any]] | None, wide: bool = False) -> None:
        if self.gap:
            return
        if arrays is None or any(array.ndim > DIMENSIONS for array in arrays):
            self.give_up("an answer is no array of at most three dimensions")
            return
        for place, array in enumerate(arrays):
            symmetric = is_symmetric(array)
            kind = (SYMMETRIC, len(array)) if symmetric else (array.ndim, *array.shape)
            if not self._note(_part(key, place), *kind):
                continue
            if symmetric:
                array = upper_triangle(array)
            if wide:
                self._wide += array.size
            else:
                self._size += array.size
            if self._size > LIMIT or self._wide > _TOO_MANY:
                self.give_up("the answers are too many to keep")
                return
            with np.errstate(over="ignore"):
                numbers = array.astype("<f4")
            if not np.isfinite(numbers).all():
                self.give_up("an answer is not finite")
                return
            self._answers[_part(key, place)] = numbers

    def _note(self, key: bytes, kind: int, *lengths: int) -> bool:
        """Note a question and return whether it is a new one."""
        if self.gap or key in self._rows:
            return False
        self._rows[key] = (kind, *lengths, *[0] * (DIMENSIONS - len(lengths)))
        return True


class _Recorded:
    """A fitted model whose answers are noted; in every other respect it is the model."""

    def __init__(self, fitted: Any, recorder: Recorder) -> None:
        self._fitted, self._recorder = fitted, recorder

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._fitted, name)
        if not name.startswith("__"):
            self._recorder.give_up(f"the score uses {name}, which is no capability")
        return value

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # So that a score may tell models apart by their class as well.
        return type(self._fitted)


def _recorded(fitted: Any, offered: list[str], recorder: Recorder, path: str) -> Any:
    methods = {name: getattr(fitted, name) for name in _methods_of(offered)}
    answers = {name: _method(partial(recorder._call, method, path, name)) for name, method in methods.items()}
    return type("Recorded", (_Recorded,), answers)(fitted, recorder)


def _fewer_coordinates(
    collapse: Collapse, answers: Mapping[bytes, NDArray[np.float32]]
) -> dict[bytes, NDArray[np.float64]]:
    """Return the features and the weights of the head of one network in fewer coordinates, nothing if it cannot be."""
    points = [answers[key].astype(np.float64) for key in collapse.features]
    weights = None if collapse.head is None else answers[collapse.head].astype(np.float64)
    widths = {array.shape[1:] for array in (*points, *(() if weights is None else (weights,)))}
    if not points or len(widths) != 1 or points[0].ndim != 2:
        return {}
    fewer, weights = compacted(points, list(collapse.features.values()), weights)
    found = dict(zip(collapse.features, fewer, strict=True))
    return found if collapse.head is None or weights is None else {**found, collapse.head: weights}


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that a class can hold as a method."""

    def method(self: object, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return method


def _methods_of(capabilities: list[str]) -> list[str]:
    return [name for name in _METHODS if any(name in vars(CAPABILITIES[capability]) for capability in capabilities)]


@dataclass(frozen=True)
class _Tape:
    """A recording that is looked up: what was answered, by question."""

    found: Mapping[bytes, tuple[int, NDArray[Any]]]

    def fitted(self, path: str) -> Any:
        kind, answer = self._look_up(_key(path, "offers"))
        if kind == NOT_FITTED:
            return NotFitted("as it is recorded")
        offered = [name for place, name in enumerate(CAPABILITIES) if int(answer) >> place & 1]
        answers = {name: _method(partial(self._answer, path, name)) for name in _methods_of(offered)}
        return type("Replayed", (), answers)()

    def _answer(self, path: str, name: str, *args: Any, **kwargs: Any) -> Any:
        key = _question(path, name, *args, **kwargs)
        if key in self.found and self.found[key][0] == REFUSED:
            raise DataError("as it is recorded")
        if name == "checkpoints":
            return tuple(
                Checkpoint(float(time), partial(self.fitted, f"{path}/{moment}"))
                for moment, time in enumerate(self._array(key))
            )
        if name == "head":
            return self._array(key, 0), self._array(key, 1)
        if name == "diagnostics":
            names = bytes(self._array(key, 1).astype(np.uint8)).decode("ascii").splitlines()
            return dict(zip(names, self._array(key, 0).tolist(), strict=True))
        if name == "trajectory":
            parts = {field.name: self._array(key, place) for place, field in enumerate(fields(Trajectory))}
            return Trajectory(**{**parts, "probe": parts["probe"].astype(np.int64)})
        return self._array(key)

    def _array(self, key: bytes, place: int = 0) -> NDArray[Any]:
        kind, answer = self._look_up(_part(key, place))
        if kind < 0:
            raise RecordingError("the recording has no array where the score needs one")
        # A score may change what it gets.
        return answer.copy()

    def _look_up(self, key: bytes) -> tuple[int, NDArray[Any]]:
        try:
            return self.found[key]
        except KeyError:
            raise RecordingError("the score asks what the recording has no answer to") from None


def replay(task: Task, split: Split, seed: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Fit]:
    """Return the fits of a task, which answer from a recording.

    Parameters
    ----------
    task : Task
        Its variants are the fits.
    split : Split
        The data of the cell.
    seed : int
        The cell's.
    arrays : mapping of str to ndarray
        As :meth:`Recorder.arrays` returned them. They may come from anybody.

    Raises
    ------
    RecordingError
        If they are not a recording. The methods of the fits raise it for a question that is not in it.
    """
    tape = _Tape(read(arrays))
    return {variant.name: Fit(variant.apply(split, seed), tape.fitted(variant.name), seed) for variant in task.variants}


def key_of_answer(variant: str, capability: str, x: NDArray[Any]) -> bytes:
    """Return the key under which a recording has what the model of a variant answered about points (n, ...)."""
    return _part(_question(variant, capability, x), 0)


def same(claimed: Mapping[str, float], found: Mapping[str, float], share: float = 1.0) -> bool:
    """Return whether a record's values are those that came out of its recording, within a share of the tolerance."""
    return claimed.keys() == found.keys() and all(
        math.isclose(value, found[name], rel_tol=share * RELATIVE, abs_tol=share * TIES.get(metric_of(name), ABSOLUTE))
        for name, value in claimed.items()
    )


def _parts_of(answer: Any) -> list[NDArray[Any]] | None:
    """Return the arrays that an answer consists of, None if it is something else.

    Of values by name, these are the values and the characters of the names, a line each.
    """
    if isinstance(answer, Mapping):
        if not all(isinstance(name, str) and name.isascii() and name.isprintable() for name in answer):
            return None
        answer = np.array(list(answer.values())), np.array(list("\n".join(answer).encode()), np.uint8)
    if is_dataclass(answer) and not isinstance(answer, type):
        answer = tuple(getattr(answer, field.name) for field in fields(answer))
    parts = answer if isinstance(answer, tuple) else (answer,)
    arrays = [np.asarray(part) for part in parts]
    return arrays if all(array.dtype.kind in "fiub" for array in arrays) else None


def _question(path: str, name: str, *args: Any, **kwargs: Any) -> bytes:
    bound = _METHODS[name].bind(*args, **kwargs)
    bound.apply_defaults()
    return _key(path, name, *bound.args, *(bound.kwargs[key] for key in sorted(bound.kwargs)))


def _key(*parts: Any) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape}".encode())
            # Adding zero makes the negative zero a positive one.
            rounded = np.round(part, _PLACES) + 0.0
            digest.update(rounded.astype("<f8").tobytes())
        else:
            digest.update(f"{part!r};".encode())
    return digest.digest()[:16]


def _part(key: bytes, place: int) -> bytes:
    """Return the key of one of the arrays of an answer; that of the first is the question's own."""
    return key if place == 0 else hashlib.sha256(key + bytes([place])).digest()[:16]
