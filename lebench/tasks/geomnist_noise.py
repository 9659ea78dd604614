"""Wrong labels in training on GeoMNIST and CIFAR-10: the phase transition of Zhang, Wang & Su 2021."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lebench import metrics
from lebench.data.base import Variant
from lebench.dynamics import estimate_impacts
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored, Values, declare, or_missing
from lebench.tasks.facts import Derived, KnownAnswer, Share, test, train
from lebench.tasks.geomnist import Problem, of_both, tail

#: Shares of wrong labels; of three classes, the best rule is at chance on the true ones from 2/3 on.
_SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8)


def score_label_noise(fits: Mapping[str, Fit]) -> Scored:
    """Measure accuracy and loss on true labels, and the tail index of the given ones, at each share of wrong labels."""
    values: Values = {}
    shares, accuracies = [], []
    for name, fit in fits.items():
        fitted, split = fit.fitted, fit.split
        shares.append(float(name.removeprefix("p=")))
        accuracies.append(metrics.accuracy(fitted.predict(split.x_test), split.y_test))
        values[f"accuracy@{name}"] = accuracies[-1]
        values[f"log_loss@{name}"] = metrics.log_loss(fitted.predict_proba(split.x_test), split.y_test)
        values[f"error@{name}-train"] = float(fitted.trajectory().error[-1])
        values[f"tail_index@{name}"] = _noisy_tail(fit)
    course, p = np.array(accuracies), np.array(shares)
    values["noise_crossing"] = or_missing(lambda: metrics.noise_crossing(course, p, split.classes))
    return Scored(values, {"shares": p, "accuracy": course})


def _noisy_tail(fit: Fit) -> float | Missing:
    """Return the tail index of A - B, from class means over all training points by the labels they were given.

    A few points would not do: with much noise, class means differ by less than the scores of few points do by chance.
    """
    x, y = fit.split.x_train, fit.split.y_train
    kept = {checkpoint.time: checkpoint for checkpoint in fit.fitted.checkpoints()}
    last = max(kept)
    times = [last / 8, last / 4, last / 2, last]
    if not kept.keys() >= set(times):
        return Missing(f"the model was not kept at the times {times}")
    means = np.stack([metrics.class_means(kept[time].fitted.predict(x), y, fit.split.classes) for time in times])
    try:
        intra, inter = estimate_impacts(means, method="norms")
    except DataError as problem:
        return Missing(str(problem))
    return tail(np.array(times), intra - inter, windows=3)


_LABEL_NOISE = (
    *(
        f"{name}@p={p:g}{part}"
        for name, part in (("accuracy", ""), ("log_loss", ""), ("error", "-train"))
        for p in _SHARES
    ),
    *(f"tail_index@p={p:g}" for p in _SHARES),
    "noise_crossing",
)


def _noisy(problem: Problem) -> tuple[Variant, ...]:
    # 400 points of each class, so that 9,600 steps see each eight times and do not yet memorize it.
    recipe = problem.steps(epochs=8)
    return tuple(
        Variant(f"p={p:g}", n_train=1200, groups=problem.groups, label_noise=p, recipe=recipe) for p in _SHARES
    )


for _task in of_both(
    "noise-transition",
    _noisy,
    track="generalization",
    summary="How does accuracy on true labels fall with wrong ones in training, and where is it at chance?",
    reference="Zhang, Wang & Su 2021, label corruption; the best rule is at chance from (C-1)/C on",
    needs=("predict", "predict_proba", "trajectory", "checkpoints"),
    primary="accuracy@p=0.4",
    metrics=_LABEL_NOISE,
    score=score_label_noise,
    facts=(
        Share(test, ("accuracy@{variant}",)),
        Share(train, ("error@{variant}-train",)),
        Derived(
            "noise_crossing",
            lambda *found: metrics.noise_crossing(np.array(found), np.array(_SHARES), 3),
            tuple(f"accuracy@p={p:g}" for p in _SHARES),
            "where the accuracies fall to chance",
        ),
    ),
    known=(
        KnownAnswer(
            "noise_crossing",
            2 / 3,
            "the best rule for noisy labels of three classes",
            "beyond (C − 1)/C a wrong class has more of the labels than the right one",
        ),
        KnownAnswer(
            "log_loss@p=0.4",
            -math.log(0.6),
            "a calibrated model at a share p of wrong labels",
            "it gives the right class the probability 1 − p: −ln(1 − p)",
        ),
    ),
):
    declare(_task, _task.dataset, "dynamics")
