"""How collapse comes about and what becomes of it: over epochs, with imbalanced classes, with wrong labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lebench import metrics
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import offers
from lebench.data.base import Split, Variant
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored, Scores, Task, Values, declared, or_missing
from lebench.tasks.baselines import CORE
from lebench.tasks.facts import Derived, KnownAnswer, Share, chance, test, train
from lebench.tasks.questions import Data, question

_NO_HEAD = Missing("a kernel machine has no last layer")

#: Measures that need the features, by the short name of their course.
_OF_FEATURES = {
    "nc1": "nc1_pinv_over_C",
    "nc2_equinorm": "nc2_equinorm",
    "nc2_equiangular": "nc2_equiangular",
    "nc3": "nc3_selfduality",
    "nc4": "nc4",
    "ncc_accuracy": "ncc_accuracy",
    "error": "error",
}
_OF_WEIGHTS = ("nc2_equinorm_weights", "nc2_equiangular_weights")
_PARTS = ("train", "test")
_MOMENTS = ("interpolation", "end")
#: Courses whose change in the terminal phase is scored.
_FOLLOWED = ("nc1_train", "nc1_test", "nc2_equinorm_train", "nc2_equiangular_train", "nc3_train")


def _measured(fitted: Any, split: Split) -> dict[str, Values]:
    """Return the measures of collapse and the error on training and test points."""
    weights, bias = fitted.head()
    train, test = fitted.features(split.x_train), fitted.features(split.x_test)
    # Test points are compared with the centres of the training points (Papyan, Han & Donoho 2020).
    centres = metrics.class_means(train, split.y_train)
    found = {
        "train": metrics.collapse(train, split.y_train, weights, bias),
        "test": metrics.collapse(test, split.y_test, weights, bias, centres),
    }
    found["train"]["error"] = metrics.error(train @ weights.T + bias, split.y_train)
    found["test"]["error"] = metrics.error(test @ weights.T + bias, split.y_test)
    return found


def score_trajectory(fits: Mapping[str, Fit]) -> Scored:
    """Follow collapse over training, and compare its end with the moment at which the training error vanishes."""
    (fit,) = fits.values()
    kept = fit.fitted.checkpoints()
    measured = [_measured(checkpoint.fitted, fit.split) for checkpoint in kept]
    courses: dict[str, list[float | Missing]] = {
        f"{short}_{part}": [moment[part][name] for moment in measured]
        for short, name in _OF_FEATURES.items()
        for part in _PARTS
    }
    courses |= {name: [moment["train"][name] for moment in measured] for name in _OF_WEIGHTS}
    arrays = {name: np.array(c) for name, c in courses.items() if not any(isinstance(value, Missing) for value in c)}

    error = arrays["error_train"]
    reached = metrics.interpolation_moment(error)
    never = Missing(f"the training error never vanishes, it is at least {error.min():.3g}")
    values: Values = {}
    for name, course in courses.items():
        values[_value_name(name, "interpolation")] = never if reached is None else course[reached]
        values[_value_name(name, "end")] = course[-1]
    for name in _FOLLOWED:
        values[f"terminal_ratio@{name.replace('_', '-')}"] = _terminal_ratio(courses[name], error)
    return Scored(values, {"epochs": np.array([checkpoint.time for checkpoint in kept]), **arrays})


def _value_name(course: str, moment: str) -> str:
    """Return ``"nc1_pinv_over_C@end-train"`` for the course ``"nc1_train"``."""
    if course in _OF_WEIGHTS:
        return f"{course}@{moment}"
    short, _, part = course.rpartition("_")
    return f"{_OF_FEATURES[short]}@{moment}-{part}"


def _terminal_ratio(course: Sequence[float | Missing], error: FloatArray) -> float | Missing:
    for value in course:
        if isinstance(value, Missing):
            return value
    return or_missing(lambda: metrics.terminal_ratio(np.array(course), error))


@question("trajectory", formerly={"digits": "collapse/trajectory"})
def _ask_trajectory(data: Data) -> Task:
    return declared(
        track="collapse",
        summary="Once every training point is classified correctly, do the features go on collapsing?",
        reference="Papyan, Han & Donoho 2020: the terminal phase of training",
        # Not from a Gram matrix: the kernel of a kernel machine is the same at every moment of its training.
        needs=("checkpoints", "features"),
        primary="terminal_ratio@nc1-train",
        metrics=(
            *(f"terminal_ratio@{name.replace('_', '-')}" for name in _FOLLOWED),
            *(
                _value_name(f"{short}_{part}", moment)
                for moment in _MOMENTS
                for part in _PARTS
                for short in _OF_FEATURES
            ),
            *(_value_name(name, moment) for moment in _MOMENTS for name in _OF_WEIGHTS),
        ),
        score=score_trajectory,
        facts=(
            *(
                Share(
                    points,
                    tuple(
                        f"{name}@{moment}-{part}" for name in ("ncc_accuracy", "nc4", "error") for moment in _MOMENTS
                    ),
                )
                for part, points in (("train", train), ("test", test))
            ),
            *(
                Derived(
                    f"terminal_ratio@{course}-{part}",
                    lambda end, start: end / start,
                    (f"{name}@end-{part}", f"{name}@interpolation-{part}"),
                    "the ratio of the end to the moment at which the training error vanishes",
                )
                for course, name, part in (
                    ("nc1", "nc1_pinv_over_C", "train"),
                    ("nc1", "nc1_pinv_over_C", "test"),
                    ("nc2-equinorm", "nc2_equinorm", "train"),
                    ("nc2-equiangular", "nc2_equiangular", "train"),
                    ("nc3", "nc3_selfduality", "train"),
                )
            ),
        ),
        known=(
            KnownAnswer(
                "terminal_ratio@nc1-train",
                1.0,
                "features that rest",
                "what does not move after the training error is zero has the same collapse at the end",
            ),
        ),
    )


#: Points that balanced classes have together, and the imbalances: the second five classes keep 50, 10 and 2 points.
_POINTS = 500
_RATIOS = (1, 5, 25)
_UNDER_IMBALANCE = ("nc1_pinv_over_C", "nc2_equinorm", "nc2_equiangular", "nc3_selfduality", *_OF_WEIGHTS)


def _minority(split: Split) -> int:
    """Return the number of test points of the second half of the classes, which have few training points."""
    return int((split.y_test >= split.classes // 2).sum())


def score_imbalance(fits: Mapping[str, Fit]) -> Scores:
    """Measure how close the minority's classifiers and class means come, and what that costs on test points."""
    # At R = 1 there is no minority: the classes that will be one are measured there too, to compare.
    counts = np.bincount(fits[f"R={_RATIOS[-1]}"].split.y_train)
    small = metrics.minority_classes(counts)
    values: Values = {}
    for name, fit in fits.items():
        fitted, split = fit.fitted, fit.split
        x, y = split.x_train, split.y_train
        if offers(fitted, "features"):
            features, (weights, bias) = fitted.features(x), fitted.head()
            found, gram = metrics.collapse(features, y, weights, bias), features @ features.T
            values[f"minority_cosine@{name}"] = metrics.minority_cosine(weights, counts)
        else:
            gram = fitted.gram(x, x)
            found = metrics.collapse_from_gram(gram, y)
            values[f"minority_cosine@{name}"] = _NO_HEAD
        values |= {f"{measure}@{name}": found.get(measure, _NO_HEAD) for measure in _UNDER_IMBALANCE}
        values[f"minority_cosine@{name}-means"] = metrics.minority_cosine(_centred_means(gram, y), counts)
        values[f"error@{name}-train"] = metrics.error(fitted.predict(x), y)
        scores, minority = fitted.predict(split.x_test), np.isin(split.y_test, small)
        values[f"accuracy@{name}-majority"] = metrics.accuracy(scores[~minority], split.y_test[~minority])
        values[f"accuracy@{name}-minority"] = metrics.accuracy(scores[minority], split.y_test[minority])
    return values


def _centred_means(gram: FloatArray, labels: IntArray) -> FloatArray:
    """Return C vectors with the inner products of the centred class means, from those of the points."""
    means = np.equal.outer(np.arange(labels.max() + 1), labels) / np.bincount(labels)[:, None]
    centred = means - means.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ gram @ centred.T)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))


@question("imbalance", classes=4, balanced=_POINTS, formerly={"digits": "collapse/imbalance"})
def _ask_imbalance(data: Data) -> Task:
    return declared(
        track="collapse",
        summary="When half of the classes have few points, do their classifiers fall together?",
        reference="Fang, He, Long & Su 2021: minority collapse under step imbalance",
        needs=("predict", ("features", "gram")),
        primary=f"minority_cosine@R={_RATIOS[-1]}",
        metrics=tuple(
            f"{measure}@R={ratio}{part}"
            for measure, part in (
                ("minority_cosine", ""),
                ("minority_cosine", "-means"),
                ("accuracy", "-minority"),
                ("accuracy", "-majority"),
                *((measure, "") for measure in _UNDER_IMBALANCE),
                ("error", "-train"),
            )
            for ratio in _RATIOS
        ),
        score=score_imbalance,
        facts=(
            Share(train, ("error@{variant}-train",)),
            Share(_minority, ("accuracy@{variant}-minority",)),
            Share(lambda split: test(split) - _minority(split), ("accuracy@{variant}-majority",)),
        ),
        known=(
            KnownAnswer(
                "minority_cosine@R=25-means",
                -1 / (data.classes - 1),
                "means of classes that form a simplex",
                "the cosine of any two of C vectors of a simplex is −1/(C − 1), however many points a class has",
                ("leak-kernel",),
                "is about",
                5e-3,
            ),
            KnownAnswer(
                "minority_cosine@R=25",
                1.0,
                "complete minority collapse",
                "the classifiers of all classes with few points coincide (Fang, He, Long & Su 2021)",
            ),
        ),
        variants=tuple(Variant(f"R={ratio}", n_train=_POINTS, imbalance=float(ratio)) for ratio in _RATIOS),
    )


_SHARES = (0, 0.2, 0.4)
_UNDER_NOISE = ("nc1_pinv_over_C", "ncc_accuracy")


def score_label_noise(fits: Mapping[str, Fit]) -> Scores:
    """Measure collapse of the training points to the classes they were given, and to those they belong to."""
    values: Values = {}
    for name, fit in fits.items():
        fitted, split = fit.fitted, fit.split
        x = split.x_train
        features = fitted.features(x) if offers(fitted, "features") else None
        gram = fitted.gram(x, x) if features is None else None
        for which, labels in (("noisy", split.y_train), ("clean", split.clean_train)):
            if labels is None:
                continue
            found = metrics.collapse_from_gram(gram, labels) if features is None else metrics.collapse(features, labels)
            values |= {f"{measure}@{name}-{which}": found[measure] for measure in _UNDER_NOISE}
        values[f"error@{name}-train"] = metrics.error(fitted.predict(x), split.y_train)
        values[f"accuracy@{name}"] = metrics.accuracy(fitted.predict(split.x_test), split.y_test)
    return values


@question(
    "label-noise", baselines=CORE, core=("digits",), balanced=_POINTS, formerly={"digits": "collapse/label-noise"}
)
def _ask_label_noise(data: Data) -> Task:
    return declared(
        track="collapse",
        summary="When training labels are wrong, do the features collapse to the wrong ones?",
        reference="Nguyen, Levie, Lienen, Kutyniok & Hüllermeier 2023: memorization and dilation of collapse",
        needs=("predict", ("features", "gram")),
        primary=f"nc1_pinv_over_C@p={_SHARES[-1]}-noisy",
        metrics=(
            *(
                f"{measure}@p={share}-{which}"
                for measure in _UNDER_NOISE
                for which in ("noisy", "clean")
                for share in _SHARES
                # Without noise the two labels are the same.
                if share or which == "noisy"
            ),
            *(f"accuracy@p={share}" for share in _SHARES),
            *(f"error@p={share}-train" for share in _SHARES),
        ),
        score=score_label_noise,
        facts=(
            Share(test, ("accuracy@{variant}",)),
            Share(train, ("error@{variant}-train", "ncc_accuracy@{variant}-noisy", "ncc_accuracy@{variant}-clean")),
        ),
        known=(
            KnownAnswer(
                "nc1_pinv_over_C@p=0.4-noisy",
                0.0,
                "features that are the given labels",
                "points of a class coincide, so that nothing varies within it",
                ("leak-kernel",),
                "is",
                1e-4,
            ),
            *chance("accuracy@p=0.4", data.classes),
        ),
        variants=tuple(Variant(f"p={share}", n_train=_POINTS, label_noise=share) for share in _SHARES),
    )
