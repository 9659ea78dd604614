"""Local elasticity over training, and whether similarity follows the labels that a model is trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lebench import metrics
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Split, Variant
from lebench.tasks.base import POINTS_PER_CLASS, Fit, Scored, Task, declare, declared, held_out
from lebench.tasks.baselines import STANDARD
from lebench.tasks.facts import KERNELS, LABEL_BLIND, Derived, KnownAnswer, Share, labellings, test
from lebench.tasks.questions import Data, question

#: Moments of training at which they are, by their share of log(1 + epochs).
_STAGES = {"start": 0.0, "t=0.2": 0.2, "t=0.4": 0.4, "t=0.6": 0.6, "t=0.8": 0.8, "end": 1.0}
#: Values by the name of their course over training: metric and qualifier.
_COURSES = {
    "ratio": ("elasticity_ratio", ""),
    "difference": ("elasticity_difference", ""),
    "signed_difference": ("elasticity_difference", "-signed"),
}


def stages(times: FloatArray) -> IntArray:
    """Return the moments of the stages: those nearest to even steps in log(1 + time), from the first to the last.

    Parameters
    ----------
    times : ndarray of shape (T,)
        Increasing, from 0.
    """
    passed = np.log1p(times)
    wanted = np.array(list(_STAGES.values())) * passed[-1]
    return np.asarray(np.abs(passed - wanted[:, None]).argmin(axis=1))


def score_over_training(fits: Mapping[str, Fit]) -> Scored:
    """Measure elasticity on the same held-out points before, during and after training."""
    (fit,) = fits.values()
    x, y = held_out(fit)
    kept = fit.fitted.checkpoints()
    times = np.array([checkpoint.time for checkpoint in kept])
    at = stages(times)
    courses: dict[str, list[float]] = {course: [] for course in _COURSES}
    for moment in at:
        fitted = kept[moment].fitted
        relative, signed = (fitted.similarity(x, y, x, kind=kind) for kind in ("relative", "signed"))
        courses["ratio"].append(metrics.elasticity_ratio(relative, y))
        courses["difference"].append(metrics.elasticity_difference(relative, y))
        courses["signed_difference"].append(metrics.elasticity_difference(signed, y))
    arrays = {course: np.array(values) for course, values in courses.items()}
    values = {
        f"{metric}@{stage}{kind}": value
        for course, (metric, kind) in _COURSES.items()
        for stage, value in zip(_STAGES, courses[course], strict=True)
    }
    growth = {_growth(course): metrics.elasticity_growth(array) for course, array in arrays.items()}
    return Scored(values | growth, {"epochs": times[at], **arrays})


def _growth(course: str) -> str:
    return f"elasticity_growth@{course.replace('_', '-')}"


@question("over-training", tested_per_class=POINTS_PER_CLASS, formerly={"digits": "elasticity/over-training"})
def _ask_over_training(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="Does a network become more elastic as it is trained?",
        reference="He & Su 2020; growth of the ratio in training: Chen, He & Su 2020",
        needs=("similarity", "checkpoints"),
        primary=_growth("difference"),
        metrics=(
            *(_growth(course) for course in _COURSES),
            *(f"{metric}@{stage}{kind}" for metric, kind in _COURSES.values() for stage in _STAGES),
        ),
        score=score_over_training,
        facts=tuple(
            Derived(
                _growth(course),
                lambda end, start: end - start,
                (f"{metric}@end{kind}", f"{metric}@start{kind}"),
                "the difference of end and start",
            )
            for course, (metric, kind) in _COURSES.items()
        ),
        known=(
            KnownAnswer(
                "elasticity_growth@difference",
                0.0,
                "a kernel that training does not change",
                "a linear model and a kernel machine have one similarity from the first step to the last",
                ("linear", "logistic-regression", *KERNELS),
            ),
        ),
    )


#: The cells of each factor, low and high, in the numbering of ``two-factor``.
SYSTEMS = {"first": ((0, 1), (2, 3)), "second": ((0, 2), (1, 3))}


def factors(split: Split, trained: str) -> tuple[IntArray, IntArray]:
    """Return the levels of the test points in the factor that was trained on, and in the other one."""
    cells = split.fine_test
    assert cells is not None, "the variants of this task merge cells"
    return (cells // 2, cells % 2) if trained == "first" else (cells % 2, cells // 2)


def score_label_systems(fits: Mapping[str, Fit]) -> Scored:
    """Compare held-out pairs that share only the factor trained on with pairs that share only the other one."""
    values: dict[str, float] = {}
    arrays: dict[str, FloatArray] = {}
    for name, fit in fits.items():
        x, y = fit.split.x_test, fit.split.y_test
        own, other = factors(fit.split, name)
        kernel = metrics.normalize(fit.fitted.similarity(x, y, x, kind="kernel"))
        relative = fit.fitted.similarity(x, y, x, kind="relative")
        values[f"label_following@{name}"] = metrics.label_following(kernel, own, other)
        values[f"label_following@{name}-relative"] = metrics.label_following(relative, own, other)
        values[f"accuracy@{name}"] = metrics.accuracy(fit.fitted.predict(x), y)
        arrays[f"cells_{name}"] = _cell_means(kernel, np.asarray(fit.split.fine_test))
    for kind in ("", "-relative"):
        values[f"label_following@mean{kind}"] = (
            values[f"label_following@first{kind}"] + values[f"label_following@second{kind}"]
        ) / 2
    return Scored(values, arrays)


def _cell_means(similarity: FloatArray, cells: IntArray) -> FloatArray:
    """Return the mean similarity between the points of two cells (4, 4), a point's with itself left out."""
    members = np.equal.outer(np.arange(4), cells).astype(np.float64)
    pairs = members @ (1 - np.eye(len(cells))) @ members.T
    return np.asarray(members @ (similarity - np.diag(np.diagonal(similarity))) @ members.T / pairs)


declare(
    declared(
        name="elasticity/label-systems",
        track="elasticity",
        summary="Of two labellings of the same points, does similarity follow the one that was trained on?",
        reference="Chen, He & Su 2020: label systems; on planted factors instead of photographs",
        dataset="two-factor",
        needs=("predict", "similarity"),
        primary="label_following@mean",
        metrics=(
            *(f"label_following@{name}{kind}" for kind in ("", "-relative") for name in ("mean", *SYSTEMS)),
            *(f"accuracy@{name}" for name in SYSTEMS),
        ),
        score=score_label_systems,
        facts=(Share(test, ("accuracy@{variant}",)), *(labellings(kind) for kind in ("", "-relative"))),
        known=LABEL_BLIND,
        baselines=STANDARD,
        variants=tuple(Variant(name, groups=groups) for name, groups in SYSTEMS.items()),
    ),
    "elasticity",
)
