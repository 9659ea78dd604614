"""Which class a model said of each test point, as its recording has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.data.base import Split
from lebench.runner.recording import key_of_answer
from lebench.runner.recording_format import DECIDED, parts
from lebench.tasks.base import Task


def asked_of_test_points(task: Task, split: Split, seed: int) -> dict[str, tuple[bytes, NDArray[np.int64]]]:
    """Return the key of the question for the scores of all test points, and their classes (n,), by variant.

    Parameters
    ----------
    task, split, seed
        See :func:`lebench.runner.recording.replay`.
    """
    own = {variant.name: variant.apply(split, seed) for variant in task.variants}
    return {name: (key_of_answer(name, "predict", of.x_test), of.y_test) for name, of in own.items()}


def predictions(
    questions: Mapping[str, tuple[bytes, NDArray[np.int64]]], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the predicted and the true class of each test point (n,) by variant, where a recording has predictions.

    Parameters
    ----------
    questions : mapping
        From :func:`asked_of_test_points`.
    arrays : mapping of str to ndarray
        See :func:`lebench.runner.recording.replay`.

    Raises
    ------
    RecordingError
        If the arrays are not a recording.
    """
    written = {key: (kind, lengths, numbers) for (key, kind, lengths), numbers in parts(arrays).items()}
    found = {}
    for name, (key, labels) in questions.items():
        kind, lengths, numbers = written.get(key, (0, (), None))
        if kind in (2, DECIDED) and numbers is not None and lengths[0] == len(labels) and lengths[1] > 1:
            of = numbers.reshape(lengths[:2]).argmax(axis=1) if kind == 2 else numbers[: len(labels)].astype(np.int64)
            found[name] = of, labels
    return found
