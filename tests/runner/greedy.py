"""A plug-in for the tests: a task whose score costs what a recording makes it cost."""

import os

import numpy as np

from lebench import registry
from lebench.tasks.base import Task
from lebench.tasks.facts import Share


def _score(fits):
    (fit,) = fits.values()
    answers = fit.fitted.predict(fit.split.x_test)
    if answers.ndim == 1:
        # As many steps as there are pairs of numbers.
        steps = sum(1 for first in answers for _ in answers)
        return {"accuracy": float(steps > 0)}
    if answers.ndim == 3:
        # As a defect in a library would do.
        os.abort()
    pairs = answers @ answers.T
    return {"accuracy": float(np.mean(np.diag(pairs) > 0))}


registry.tasks.register(
    "greedy/pairs",
    Task(
        name="greedy/pairs",
        track="generalization",
        summary="What do all pairs of answers cost?",
        reference="none",
        version=1,
        dataset="digits",
        needs=("predict",),
        primary="accuracy",
        metrics=("accuracy",),
        score=_score,
        facts=(Share(lambda split: 0, ("accuracy",)),),
    ),
)
