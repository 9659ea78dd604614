"""How much of a network its kernels explain: alignment in training, laziness, linearization, and the gap to it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial

import numpy as np

from lebench import metrics, registry
from lebench.arrays import IntArray
from lebench.data.base import Variant
from lebench.metrics.base import Missing
from lebench.tasks.base import POINTS_PER_CLASS, Fit, NotFitted, Scored, Scores, Task, Values, declared, held_out
from lebench.tasks.baselines import CORE
from lebench.tasks.facts import Derived, KnownAnswer, Relation, Share, at_least, test
from lebench.tasks.questions import Data, question

#: Moments of training at which the kernel is looked at, by their share of log(1 + epochs).
_STAGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def score_alignment(fits: Mapping[str, Fit]) -> Scored:
    """Follow the kernel over training: how it turns, and whether towards the labels."""
    (fit,) = fits.values()
    x, y = held_out(fit)
    kept = fit.fitted.checkpoints()
    passed = np.log1p([checkpoint.time for checkpoint in kept])
    at = np.unique(np.abs(passed - passed[-1] * np.array(_STAGES)[:, None]).argmin(axis=1))
    times = np.expm1(passed[at])
    kernels = [kept[moment].fitted.gram(x, x) for moment in at]
    alignment = np.array([metrics.centred_target_alignment(kernel, y) for kernel in kernels])
    rotation = np.array([metrics.kernel_rotation(kernels[0], kernel) for kernel in kernels])
    values: Values = {
        "centred_target_alignment@start": alignment[0],
        "centred_target_alignment@end": alignment[-1],
        "kernel_target_alignment@start": metrics.kernel_target_alignment(kernels[0], y),
        "kernel_target_alignment@end": metrics.kernel_target_alignment(kernels[-1], y),
        "kernel_rotation": rotation[-1],
        "kernel_change": metrics.kernel_change(kernels[0], kernels[-1]),
        "kernel_velocity@first": metrics.kernel_velocity(kernels[0], kernels[1], times[1] - times[0]),
        "kernel_velocity@last": metrics.kernel_velocity(kernels[-2], kernels[-1], times[-1] - times[-2]),
    }
    return Scored(values, {"epochs": times, "alignment": alignment, "rotation": rotation})


@question(
    "alignment",
    baselines=CORE,
    core=("digits",),
    tested_per_class=POINTS_PER_CLASS,
    formerly={"digits": "kernel/alignment"},
    tags=("kernel",),
)
def _ask_alignment(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="How far does training turn the kernel of a network towards the labels of points it has not seen?",
        reference="Fort et al. 2020 for the kernel's distance and velocity; Cortes, Mohri & Rostamizadeh 2012",
        needs=("gram", "checkpoints"),
        primary="centred_target_alignment@end",
        metrics=(
            "centred_target_alignment@end",
            "centred_target_alignment@start",
            "kernel_target_alignment@end",
            "kernel_target_alignment@start",
            "kernel_rotation",
            "kernel_change",
            "kernel_velocity@first",
            "kernel_velocity@last",
        ),
        score=score_alignment,
    )


#: Output scales a of lazy training, and how the published recipe is changed: weight decay would move every kernel.
_SCALES = (1, 4, 16)
_SHORT = (("epochs", "x0.5"), ("min_steps", "x0.5"), ("weight_decay", 0.0))


def score_laziness(fits: Mapping[str, Fit]) -> Scores:
    """Measure how far the kernel moves and how well the network does, from rich training to lazy training."""
    values: Values = {}
    for name, fit in fits.items():
        if isinstance(fit.fitted, NotFitted):
            values |= {f"{metric}@{name}": Missing(fit.fitted.reason) for metric in _LAZINESS}
            continue
        x, _ = held_out(fit)
        kept = fit.fitted.checkpoints()
        before, after = kept[0].fitted.gram(x, x), fit.fitted.gram(x, x)
        values |= {
            f"accuracy@{name}": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test),
            f"kernel_change@{name}": metrics.kernel_change(before, after),
            f"kernel_rotation@{name}": metrics.kernel_rotation(before, after),
        }
    return values


_LAZINESS = ("accuracy", "kernel_change", "kernel_rotation")


@question(
    "laziness",
    baselines=("mlp",),
    tested_per_class=POINTS_PER_CLASS,
    balanced=200,
    formerly={"digits": "kernel/laziness"},
    tags=("kernel",),
)
def _ask_laziness(data: Data) -> Task:
    return declared(
        track="generalization",
        summary="How well does a network do whose training an output scale makes lazy, and does its kernel move?",
        reference="Chizat, Oyallon & Bach 2019; Geiger, Spigler, Jacot & Wyart 2019; centred scores, no weight decay",
        needs=("predict", "gram", "checkpoints"),
        primary=f"accuracy@a={_SCALES[-1]}",
        metrics=tuple(f"{metric}@a={scale}" for metric in _LAZINESS for scale in reversed(_SCALES)),
        score=score_laziness,
        facts=(Share(test, ("accuracy@{variant}",)),),
        variants=tuple(
            Variant(f"a={scale}", n_train=200, recipe=(*_SHORT, ("output_scale", float(scale))), may_fail=True)
            for scale in _SCALES
        ),
    )


_SIDES = ("network", "linearized")


def score_linearization(fits: Mapping[str, Fit]) -> Scores:
    """Compare a network with its first-order expansion: predictions, elasticity, collapse of their kernels."""
    values: Values = {}
    predicted: dict[str, IntArray] = {}
    for name in _SIDES:
        fit = fits[name]
        if isinstance(fit.fitted, NotFitted):
            values |= {f"{metric}@{name}": Missing(fit.fitted.reason) for metric in _COMPARED}
            continue
        x, y = held_out(fit)
        scores = fit.fitted.predict(fit.split.x_test)
        predicted[name] = scores.argmax(axis=1)
        similarity = fit.fitted.similarity(x, y, x, kind="relative")
        values |= {
            f"accuracy@{name}": metrics.accuracy(scores, fit.split.y_test),
            f"elasticity_ratio@{name}": metrics.elasticity_ratio(similarity, y),
            f"elasticity_difference@{name}": metrics.elasticity_difference(similarity, y),
            f"cdnv@{name}": metrics.collapse_from_gram(fit.fitted.gram(x, x), y)["cdnv"],
        }
    if len(predicted) == len(_SIDES):
        values["prediction_disagreement"] = metrics.prediction_disagreement(*predicted.values())
    else:
        values["prediction_disagreement"] = Missing("one of the two could not be trained")
    return values


_COMPARED = ("accuracy", "elasticity_ratio", "elasticity_difference", "cdnv")


@question(
    "linearization",
    baselines=("mlp",),
    tested_per_class=POINTS_PER_CLASS,
    balanced=500,
    formerly={"digits": "kernel/linearization"},
    tags=("kernel",),
)
def _ask_linearization(data: Data) -> Task:
    return declared(
        track="generalization",
        summary="How far is a network from its first-order expansion at initialization, trained in the same way?",
        reference="Lee et al. 2019; Fort et al. 2020; collapse is that of the tangent kernels, which both have",
        needs=("predict", "similarity", "gram", "checkpoints"),
        primary="prediction_disagreement",
        metrics=("prediction_disagreement", *(f"{metric}@{side}" for metric in _COMPARED for side in _SIDES)),
        score=score_linearization,
        facts=(
            Share(test, ("accuracy@{variant}", "prediction_disagreement")),
            Relation(
                ("prediction_disagreement", "accuracy@network", "accuracy@linearized"),
                lambda differ, a, b: at_least(differ, abs(a - b)),
                "is smaller than the difference of the accuracies",
            ),
        ),
        variants=(
            Variant("network", n_train=500),
            Variant("linearized", n_train=500, recipe=(("linearized", True),), may_fail=True),
        ),
    )


#: What spans the gap.
_ENDS = {"ntk": "ntk-mlp", "network": "mlp"}


@lru_cache(maxsize=4)
def _ends(dataset: str, variant: Variant, seed: int) -> dict[str, tuple[float, float]]:
    """Return accuracy and elasticity ratio of the infinite-width kernel and of the network that span the gap."""
    split = variant.apply(registry.datasets.get(dataset).split(seed), seed)
    return {
        name: _accuracy_and_ratio(Fit(split, registry.models.get(model)().fit(split, seed), seed))
        for name, model in _ENDS.items()
    }


def _accuracy_and_ratio(fit: Fit) -> tuple[float, float]:
    x, y = held_out(fit)
    accuracy = metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
    return accuracy, metrics.elasticity_ratio(fit.fitted.similarity(x, y, x, kind="relative"), y)


_GAP = Variant("n=200", n_train=200)


def score_gap(dataset: str, fits: Mapping[str, Fit]) -> Scores:
    """Place a model between the infinite-width kernel and the trained network on the same points."""
    (fit,) = fits.values()
    ends = _ends(dataset, _GAP, fit.seed)
    own = _accuracy_and_ratio(fit)
    values: Values = {}
    for index, metric in enumerate(("accuracy", "elasticity_ratio")):
        kernel, network, value = ends["ntk"][index], ends["network"][index], own[index]
        values |= {
            f"{metric}@model": value,
            f"{metric}@ntk": kernel,
            f"{metric}@network": network,
            f"difference_to_kernel@{metric}": metrics.difference_to_kernel(value, kernel),
            f"difference_to_kernel@{metric}-network": metrics.difference_to_kernel(network, kernel),
        }
        # A gap below two test points is noise, and what is divided by it too; below zero, closing it is no merit.
        smallest = 2 / len(fit.split.y_test)
        if network - kernel < smallest:
            values[f"gap_closed@{metric}"] = Missing(
                f"the network has {network:.4f}, the kernel {kernel:.4f}: there is no gap to close"
            )
        else:
            values[f"gap_closed@{metric}"] = metrics.gap_closed(value, kernel, network)
    return values


@question(
    "gap",
    baselines=CORE,
    core=("digits",),
    tested_per_class=POINTS_PER_CLASS,
    balanced=200,
    formerly={"digits": "kernel/gap"},
    tags=("kernel",),
)
def _ask_gap(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="How much of the gap between infinite-width kernel and trained perceptron does a model close?",
        reference="Chen, He & Su 2020 ask it of label-aware kernels; paired: the same points for all three",
        needs=("predict", "similarity"),
        primary="gap_closed@elasticity_ratio",
        metrics=(
            *(f"gap_closed@{metric}" for metric in ("elasticity_ratio", "accuracy")),
            *(
                f"difference_to_kernel@{metric}{whose}"
                for metric in ("elasticity_ratio", "accuracy")
                for whose in ("", "-network")
            ),
            *(
                f"{metric}@{whose}"
                for metric in ("elasticity_ratio", "accuracy")
                for whose in ("model", "ntk", "network")
            ),
        ),
        score=partial(score_gap, data.name),
        facts=(
            Share(test, tuple(f"accuracy@{whose}" for whose in ("model", *_ENDS))),
            *(
                Derived(value, function, others, what)
                for name in ("accuracy", "elasticity_ratio")
                for value, function, others, what in (
                    (
                        f"difference_to_kernel@{name}",
                        metrics.difference_to_kernel,
                        (f"{name}@model", f"{name}@ntk"),
                        "the difference of model and kernel",
                    ),
                    (
                        f"difference_to_kernel@{name}-network",
                        metrics.difference_to_kernel,
                        (f"{name}@network", f"{name}@ntk"),
                        "the difference of network and kernel",
                    ),
                    (
                        f"gap_closed@{name}",
                        metrics.gap_closed,
                        (f"{name}@model", f"{name}@ntk", f"{name}@network"),
                        "the share of the gap between kernel and network",
                    ),
                )
            ),
        ),
        known=(
            KnownAnswer(
                "gap_closed@elasticity_ratio", 0.0, "the kernel at infinite width", "by definition", ("ntk-mlp",)
            ),
            KnownAnswer("gap_closed@elasticity_ratio", 1.0, "the trained network", "by definition", ("mlp",)),
        ),
        variants=(_GAP,),
        references=tuple(_ENDS.values()),
    )
