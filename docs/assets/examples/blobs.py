"""A dataset of one's own, and a task on it."""

import numpy as np

import lebench
from lebench import metrics
from lebench.data.base import Dataset
from lebench.tasks.base import Task
from lebench.tasks.facts import Share, test


def load():
    """Return inputs (400, 2) and labels (400,): two blobs."""
    labels = np.repeat([0, 1], 200)
    return np.random.default_rng(0).standard_normal((400, 2)) + 3 * labels[:, None], labels


def split(x, y, rng):
    """Return training inputs, training labels, test inputs and test labels, drawn by the seed."""
    order = rng.permutation(len(x))
    train, test = order[:300], order[300:]
    return x[train], y[train], x[test], y[test]


lebench.register_dataset(
    "blobs",
    Dataset(
        name="blobs",
        summary="Two blobs in the plane",
        licence="CC0-1.0",
        citation="none",
        version=1,
        input_shape=(2,),
        class_names=("left", "right"),
        load=load,
        splitter=split,
    ),
)


def score(fits):
    """Return the values of the task from its fits, here a single one."""
    (fit,) = fits.values()
    return {"accuracy": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)}


lebench.register_task(
    "blobs/accuracy",
    Task(
        name="blobs/accuracy",
        track="generalization",
        summary="Does the model tell the blobs apart?",
        reference="none",
        version=1,
        dataset="blobs",
        needs=("predict",),
        primary="accuracy",
        metrics=("accuracy",),
        score=score,
        facts=(Share(test, ("accuracy",)),),
    ),
    tags=("generalization",),
)
