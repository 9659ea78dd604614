"""Whether similarity after training follows distance along the manifold on which the data lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lebench import metrics
from lebench.data.manifolds import MANIFOLDS, Manifold
from lebench.tasks.base import Fit, Scored, declare, declared
from lebench.tasks.baselines import STANDARD
from lebench.tasks.facts import KnownAnswer, Share, test

_METRICS = ("distance_pearson", "distance_spearman", "distance_pearson@signed", "distance_spearman@signed", "accuracy")


def scorer(manifold: Manifold) -> Callable[[Mapping[str, Fit]], Scored]:
    """Return the score of a manifold's task."""

    def score(fits: Mapping[str, Fit]) -> Scored:
        (fit,) = fits.values()
        points, labels = manifold.training_points(fit.seed)
        first = np.flatnonzero(labels == 1)
        distance = manifold.geodesic(points[first], points[first])
        x, y = fit.split.x_train[first], fit.split.y_train[first]
        relative = metrics.symmetrize(fit.fitted.similarity(x, y, x, kind="relative"))
        signed = metrics.symmetrize(fit.fitted.similarity(x, y, x, kind="signed"))
        values = {
            "distance_pearson": metrics.distance_pearson(relative, distance),
            "distance_spearman": metrics.distance_spearman(relative, distance),
            "distance_pearson@signed": metrics.distance_pearson(signed, distance),
            "distance_spearman@signed": metrics.distance_spearman(signed, distance),
            "accuracy": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test),
        }
        return Scored(values, {"similarity": relative, "signed": signed, "distance": distance})

    return score


for _manifold in MANIFOLDS.values():
    declare(
        declared(
            name=f"manifold/{_manifold.name}",
            track="elasticity",
            summary=f"{_manifold.summary}: does similarity fall with distance along the manifold?",
            reference="He & Su 2020, section 3; the signed similarity beside the relative one is ours",
            dataset=f"manifold-{_manifold.name}",
            needs=("predict", "similarity"),
            primary="distance_pearson",
            metrics=_METRICS,
            score=scorer(_manifold),
            baselines=STANDARD,
            facts=(Share(test, ("accuracy",)),),
            known=(
                KnownAnswer(
                    "distance_pearson",
                    0.0,
                    "features that are independent of the input",
                    "similarities that know nothing of the inputs cannot follow their distance",
                    ("random-features",),
                    "is about",
                    0.05,
                ),
            ),
        ),
        "elasticity",
    )
