"""Which test points a model got right: found in the recording of a record, for values that are means over test points.

A task gives one number for a record. Where that number is a mean over test points, what each of them contributed is in
the recording: the task's score is computed again by the code of the task alone, the predictions that it asks for are
noted, and of those on test points the ones are kept whose mean is the number in the record. So no task has to know of
it, and a value for which this does not come out is left without.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.data.base import Split
from lebench.metrics.generalization import LOG_LOSS_EPS
from lebench.records import Record
from lebench.runner.recording import ABSOLUTE, RELATIVE, replay
from lebench.tasks.base import Fit, Task, metric_of

FloatArray = NDArray[np.float64]
Ids = NDArray[np.uint32]

#: Decimals of standardized inputs that tell two points apart.
_PLACES = 4


def _right(scores: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return np.asarray(scores[rows, labels] > others.max(axis=1), dtype=np.float64)


def _surprise(probabilities: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    true = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(true, LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)))


def _squares(probabilities: FloatArray, labels: NDArray[np.int64]) -> FloatArray:
    return np.asarray(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1))


#: Metrics that are means over test points: the capability that they look at, and the value of each point.
_AT_POINTS: dict[str, tuple[str, Callable[[FloatArray, NDArray[np.int64]], FloatArray]]] = {
    "accuracy": ("predict", _right),
    "log_loss": ("predict_proba", _surprise),
    "brier": ("predict_proba", _squares),
}


@dataclass(frozen=True)
class Part:
    """How a value is made of means over test points: ``sign`` times the mean over variants of the mean of a metric."""

    metric: str
    variants: tuple[str, ...]
    sign: float = 1.0


def part_of(value: str, variants: Sequence[str]) -> Part | None:
    """Return how a value of a task is made of means over test points, None if its name does not say so.

    Parameters
    ----------
    value : str
        ``"metric"`` of a task with one variant, ``"metric@variant"``, or ``"metric@mean"`` over all variants.
    variants : sequence of str
        Names of the task's variants.

    Examples
    --------
    >>> part_of("error@n=50", ["n=50", "n=100"])
    Part(metric='accuracy', variants=('n=50',), sign=-1.0)
    >>> part_of("accuracy@n=50-train", ["n=50", "n=100"])
    """
    _, _, qualifier = value.partition("@")
    metric, sign = metric_of(value), 1.0
    if metric == "error":
        metric, sign = "accuracy", -1.0
    if metric not in _AT_POINTS:
        return None
    if qualifier in variants:
        return Part(metric, (qualifier,), sign)
    if (not qualifier and len(variants) == 1) or qualifier == "mean":
        return Part(metric, tuple(variants), sign)
    return None


@dataclass(frozen=True)
class Found:
    """Values at test points of one record.

    Attributes
    ----------
    ids : mapping of str to ndarray of uint32, shape (n,)
        By variant: the test points, the same numbers for the same inputs of a split.
    values : mapping of (variant, metric) to ndarray of float, shape (n,)
        What each point contributed.
    """

    ids: Mapping[str, Ids]
    values: Mapping[tuple[str, str], NDArray[Any]]


def find_values(task: Task, split: Split, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Found:
    """Return what the test points contributed to the values of a record.

    Parameters
    ----------
    task : Task
        Of the record.
    split : Split
        Data of the record's seed.
    record : Record
        Its numbers are what the means are compared with.
    arrays : mapping of str to ndarray
        Its recording, which may come from anybody.

    Returns
    -------
    Found
        Without what is no mean over test points, or not to be found in the recording.
    """
    wanted = {
        variant: {part.metric for value in task.metrics if (part := part_of(value, [variant]))}
        for variant in (v.name for v in task.variants)
    }
    noted: dict[str, list[tuple[str, FloatArray, FloatArray]]] = {}
    fits = replay(task, split, record.cell.seed, arrays)
    for name, fit in fits.items():
        noted[name] = _listen(fit)
    task.score(fits)
    ids: dict[str, Ids] = {}
    values: dict[tuple[str, str], FloatArray] = {}
    for name, calls in noted.items():
        labels = dict(zip(point_ids(fits[name].split.x_test).tolist(), fits[name].split.y_test.tolist(), strict=True))
        for metric in sorted(wanted[name]):
            claimed = record.metrics.get(f"{metric}@{name}", record.metrics.get(metric) if len(fits) == 1 else None)
            found = None if claimed is None else _match(metric, claimed, calls, labels)
            # Metrics of a variant are over the same points, or only the first of them is kept.
            if found and (name not in ids or np.array_equal(ids[name], found[0])):
                ids[name], values[name, metric] = found
    return Found(ids, values)


def _listen(fit: Fit) -> list[tuple[str, FloatArray, FloatArray]]:
    calls: list[tuple[str, FloatArray, FloatArray]] = []

    def noted(name: str, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answer(x: Any) -> Any:
            given = method(x)
            calls.append((name, np.asarray(x), np.array(given, dtype=np.float64)))
            return given

        return answer

    for name in {name for name, _ in _AT_POINTS.values()}:
        if hasattr(fit.fitted, name):
            setattr(fit.fitted, name, noted(name, getattr(fit.fitted, name)))
    return calls


def _match(
    metric: str, claimed: float, calls: Sequence[tuple[str, FloatArray, FloatArray]], labels: Mapping[int, int]
) -> tuple[Ids, FloatArray] | None:
    capability, at_points = _AT_POINTS[metric]
    for name, x, answer in calls:
        if name != capability or answer.ndim != 2 or len(answer) != len(x) or len(x) < 2:
            continue
        ids = point_ids(x)
        if not all(point in labels for point in ids.tolist()):
            continue
        y = np.array([labels[point] for point in ids.tolist()], dtype=np.int64)
        if y.max() >= answer.shape[1]:
            continue
        values = at_points(answer, y)
        if math.isclose(float(values.mean()), claimed, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            return ids, values
    return None


def adds_up(part: Part, value: float, found: Found) -> bool:
    """Return whether a value is what the values at test points say.

    Parameters
    ----------
    part : Part
        How it is made of them.
    value : float
        In the record.
    found : Found
        Values at test points.
    """
    if not all((variant, part.metric) in found.values for variant in part.variants):
        return False
    mean = float(np.mean([found.values[variant, part.metric].mean(dtype=np.float64) for variant in part.variants]))
    return math.isclose(1 - mean if part.sign < 0 else mean, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def point_ids(x: NDArray[Any]) -> Ids:
    """Return a number for each input (n, *shape), the same for the same input.

    Two of some thousand inputs get the same number with a probability of less than a hundredth; they are then resampled
    together.
    """
    rows = np.ascontiguousarray(np.round(np.asarray(x, dtype=np.float64), _PLACES) + 0.0, dtype=np.float32)
    rows = rows.reshape(len(rows), -1)
    digests = (hashlib.blake2b(row.tobytes(), digest_size=4).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype="<u4").copy()
