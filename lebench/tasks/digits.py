"""The default suite on real handwritten digits, but for clustering, which has a file of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import metrics
from lebench.arrays import IntArray
from lebench.capabilities import offers
from lebench.data.base import Variant
from lebench.metrics.base import Missing
from lebench.metrics.class_projection import ClassProjection, project_on_class_means, project_on_class_means_from_gram
from lebench.seeds import generator
from lebench.tasks.base import POINTS_PER_CLASS, Fit, Scored, Scores, Task, Values, declared, held_out
from lebench.tasks.baselines import CORE
from lebench.tasks.facts import ELASTICITY, KnownAnswer, Relation, Share, at_least, chance, mean_of, test, train
from lebench.tasks.questions import Data, question

#: Training points in the picture of the class means.
_PICTURED_POINTS = 300


def _one(fits: Mapping[str, Fit]) -> Fit:
    (fit,) = fits.values()
    return fit


def score_accuracy(fits: Mapping[str, Fit]) -> Scores:
    """Score the predictions on the test points, and the gap to the training points."""
    fit = _one(fits)
    split = fit.split
    train, test = fit.fitted.predict(split.x_train), fit.fitted.predict(split.x_test)
    values: Values = {
        "accuracy": metrics.accuracy(test, split.y_test),
        "error": metrics.error(test, split.y_test),
        "generalization_gap": metrics.generalization_gap(train, split.y_train, test, split.y_test),
    }
    of_probabilities = {
        "log_loss": metrics.log_loss,
        "brier": metrics.brier,
        "expected_calibration_error": metrics.expected_calibration_error,
    }
    if offers(fit.fitted, "predict_proba"):
        probabilities = fit.fitted.predict_proba(split.x_test)
        return values | {name: metric(probabilities, split.y_test) for name, metric in of_probabilities.items()}
    return values | dict.fromkeys(of_probabilities, Missing("the model gives scores, not probabilities"))


@question("accuracy", baselines=CORE, core=("digits",))
def _ask_accuracy(data: Data) -> Task:
    return declared(
        track="generalization",
        summary="How well does the model classify what it has not seen, and does it know how sure it may be?",
        reference="Guo et al. 2017 for the calibration error; the rest is standard",
        needs=("predict",),
        primary="accuracy",
        metrics=("accuracy", "error", "log_loss", "brier", "expected_calibration_error", "generalization_gap"),
        score=score_accuracy,
        facts=(
            Share(test, ("accuracy", "error")),
            # The gap is the error on test points less that on training points.
            Relation(
                ("generalization_gap", "error"),
                lambda gap, error: at_least(error, gap) and at_least(gap, error - 1),
                "is no difference of the error and an error on training points",
            ),
        ),
        known=(
            *chance("accuracy", data.classes),
            KnownAnswer(
                "brier",
                1 - 1 / data.classes,
                "the same probability for each class",
                "1 − 1/C",
                ("constant",),
                "is about",
                1e-3,
            ),
            KnownAnswer(
                "log_loss",
                math.log(data.classes),
                "the same probability for each class",
                "ln C",
                ("constant",),
                "is about",
                1e-3,
            ),
        ),
    )


_SIZES = (50, 100, 200, 500)


def score_small_n(fits: Mapping[str, Fit]) -> Scores:
    """Score the test accuracy at each training size, and its mean over the sizes."""
    values = {
        f"accuracy@{name}": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
        for name, fit in fits.items()
    }
    return values | {"accuracy@mean": float(np.mean(list(values.values())))}


def _listed(sizes: tuple[int, ...]) -> str:
    *others, last = map(str, sizes)
    return f"{', '.join(others)} and {last}" if others else last


@question("small-n", baselines=CORE, core=("digits",), balanced=_SIZES[0])
def _ask_small_n(data: Data) -> Task:
    sizes = tuple(n for n in _SIZES if -(-n // data.classes) <= data.per_class)
    return declared(
        track="generalization",
        summary=f"How much does the model learn from {_listed(sizes)} points?",
        reference="Arora et al. 2020 ask it of kernels and networks on small data",
        needs=("predict",),
        primary="accuracy@mean",
        metrics=(*(f"accuracy@n={n}" for n in sizes), "accuracy@mean"),
        score=score_small_n,
        facts=(
            Share(test, ("accuracy@{variant}",)),
            mean_of("accuracy@mean", tuple(f"accuracy@n={n}" for n in sizes), "training sizes"),
        ),
        known=chance("accuracy@mean", data.classes),
        variants=tuple(Variant(f"n={n}", n_train=n) for n in sizes),
    )


def score_elasticity(fits: Mapping[str, Fit]) -> Scored:
    """Compare the effect of a gradient step within and between classes, on held-out points."""
    fit = _one(fits)
    x, y = held_out(fit)
    relative = fit.fitted.similarity(x, y, x, kind="relative")
    signed = fit.fitted.similarity(x, y, x, kind="signed")
    values = {
        "elasticity_ratio": metrics.elasticity_ratio(relative, y),
        "elasticity_difference": metrics.elasticity_difference(relative, y),
        "within_class_similarity": metrics.within_class_similarity(relative, y),
        "between_class_similarity": metrics.between_class_similarity(relative, y),
        "elasticity_difference@signed": metrics.elasticity_difference(signed, y),
    }
    order = np.argsort(y, kind="stable")
    return Scored(values, {"similarity": relative[np.ix_(order, order)], "labels": y[order]})


@question("elasticity", baselines=CORE, core=("digits",), tested_per_class=POINTS_PER_CLASS)
def _ask_elasticity(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="Does a gradient step on a point move the predictions of its own class more than of others?",
        reference="He & Su 2020, section 2; ratio: Chen, He & Su 2020, without the diagonal",
        needs=("similarity",),
        primary="elasticity_ratio",
        metrics=(
            "elasticity_ratio",
            "elasticity_difference",
            "within_class_similarity",
            "between_class_similarity",
            "elasticity_difference@signed",
        ),
        score=score_elasticity,
        facts=ELASTICITY,
        known=(
            KnownAnswer(
                "elasticity_ratio",
                0.5,
                "a model that moves all points alike",
                "p/(p + q) for a similarity p within and q between classes, p = q (Chen, He & Su 2020)",
                ("random-features",),
                "is about",
                0.01,
            ),
            KnownAnswer(
                "elasticity_difference",
                0.0,
                "a model that moves all points alike",
                "p − q with p = q",
                ("random-features",),
                "is about",
                0.01,
            ),
        ),
    )


_OF_MEANS = ("nc1_pinv_over_C", "nc1_quotient", "cdnv", "nc2_equinorm", "nc2_equiangular", "ncc_accuracy")
_OF_HEAD = ("nc2_equinorm_weights", "nc2_equiangular_weights", "nc3_selfduality", "nc4")


def score_collapse(fits: Mapping[str, Fit]) -> Scored:
    """Measure collapse on training points and on test points, from features or from the Gram matrix."""
    fit = _one(fits)
    split = fit.split
    pictured = np.sort(generator(fit.seed, "probe").permutation(len(split.y_train))[:_PICTURED_POINTS])
    values: Values = {}
    artifacts: dict[str, NDArray[Any]] = {}
    project: Callable[[Any, Any, IntArray], ClassProjection]
    for part, x, y in (("train", split.x_train, split.y_train), ("test", split.x_test, split.y_test)):
        if offers(fit.fitted, "features"):
            points, project = fit.fitted.features(x), project_on_class_means
            measured = metrics.collapse(points, y, *fit.fitted.head())
        else:
            points, project = fit.fitted.gram(x, x), project_on_class_means_from_gram
            measured = metrics.collapse_from_gram(points, y)
        for name in (*_OF_MEANS, *_OF_HEAD):
            values[f"{name}@{part}"] = measured.get(name, Missing("a kernel machine has no last layer"))
        if part == "train":
            shown = project(points, y, pictured)
            artifacts = {name: getattr(shown, name) for name in ("means", "points", "shares", "cosines")}
            artifacts["labels"] = y[pictured]
    return Scored(values, artifacts)


@question("collapse", baselines=CORE, core=("digits",))
def _ask_collapse(data: Data) -> Task:
    return declared(
        track="collapse",
        summary="Have the features of a class collapsed to its mean, and the means to a simplex?",
        reference="Papyan, Han & Donoho 2020; class-distance normalized variance: Galanti, György & Hutter 2022",
        needs=(("features", "gram"),),
        primary="nc1_pinv_over_C@train",
        metrics=tuple(f"{name}@{part}" for part in ("train", "test") for name in (*_OF_MEANS, *_OF_HEAD)),
        score=score_collapse,
        facts=(Share(train, ("ncc_accuracy@train", "nc4@train")), Share(test, ("ncc_accuracy@test", "nc4@test"))),
        known=(
            KnownAnswer(
                "nc1_pinv_over_C@train",
                0.0,
                "features that are the labels",
                "points of a class coincide, so that nothing varies within it",
                ("leak-kernel",),
                "is",
                1e-4,
            ),
            KnownAnswer(
                "ncc_accuracy@test",
                1.0,
                "features that are the labels",
                "each point is at the mean of its class",
                ("leak-kernel",),
            ),
        ),
    )
