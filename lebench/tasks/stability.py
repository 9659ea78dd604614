"""What one training point changes: class-level sensitivity by retraining, and stability bounds of the last layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lebench import metrics
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import offers
from lebench.data.base import Variant
from lebench.kernels import one_hot_targets
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored, Scores, Task, Values, declared
from lebench.tasks.facts import Derived, KnownAnswer
from lebench.tasks.questions import Data, question

_SENSITIVITY_SIZE = 200
#: The first points of a training set that is in random order: a sample of its points, not one of each class.
_REMOVED = 8
#: Rounds to no label at all: the same training problem, but not the same fit, so that it is trained once more.
_NO_LABEL = 1e-9


def score_class_sensitivity(fits: Mapping[str, Fit]) -> Scored:
    """Compare predictions on test points with those of the same model trained without one point."""
    whole = fits["whole"]
    without = {fit.split.removed: fit for fit in fits.values() if fit.split.removed is not None}
    x, y = whole.split.x_test, whole.split.y_test
    removed = whole.split.y_train[list(without)]
    models = [fit.fitted for fit in without.values()]
    scores = whole.fitted.predict(x)
    changes = metrics.prediction_changes(scores, np.stack([model.predict(x) for model in models]))
    losses = metrics.loss_changes(_losses(whole, x, y), np.stack([_losses(fit, x, y) for fit in without.values()]))
    floor = metrics.prediction_changes(scores, fits["again"].fitted.predict(x)[None])
    values: Values = {
        "class_sensitivity": _score(metrics.class_sensitivity, changes, removed, y),
        "class_sensitivity_loss": _score(metrics.class_sensitivity_loss, losses, removed, y),
        "removal_change@removed": metrics.removal_change(changes),
        "removal_change@nothing": metrics.removal_change(floor),
    }
    if offers(whole.fitted, "predict_proba"):
        moved = np.stack([model.predict_proba(x) for model in models])
        of_probabilities = metrics.prediction_changes(whole.fitted.predict_proba(x), moved)
        values["class_sensitivity@probabilities"] = _score(metrics.class_sensitivity, of_probabilities, removed, y)
    else:
        values["class_sensitivity@probabilities"] = Missing("the model gives scores, not probabilities")
    matrix = metrics.class_sensitivity_matrix(changes, removed, y)
    return Scored(values, {"sensitivity": matrix, "removed_classes": np.unique(removed)})


def _score(
    metric: Callable[[FloatArray, IntArray, IntArray], float], changes: FloatArray, removed: IntArray, y: IntArray
) -> float | Missing:
    return metric(changes, removed, y) if changes.any() else Missing("nothing changes when a point is removed")


def _losses(fit: Fit, x: FloatArray, y: IntArray) -> FloatArray:
    """Return the cross-entropy of probabilities, and of scores that are none the squared loss; both bounded."""
    if offers(fit.fitted, "predict_proba"):
        probabilities = np.maximum(fit.fitted.predict_proba(x), np.finfo(np.float64).tiny)
        return metrics.clipped_cross_entropy(np.log(probabilities), y)
    return metrics.clipped_squared_loss(fit.fitted.predict(x), one_hot_targets(y, fit.split.classes))


@question("class-sensitivity", balanced=_SENSITIVITY_SIZE, formerly={"digits": "stability/class-sensitivity"})
def _ask_class_sensitivity(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="Does training without one point move the predictions of its own class more than those of others?",
        reference="Deng, He & Su 2021, class-level sensitivity, by retraining with the same randomness",
        needs=("predict",),
        primary="class_sensitivity",
        metrics=(
            "class_sensitivity",
            "class_sensitivity@probabilities",
            "class_sensitivity_loss",
            "removal_change@removed",
            "removal_change@nothing",
        ),
        score=score_class_sensitivity,
        known=(
            KnownAnswer(
                "class_sensitivity",
                1.0,
                "a model that does not look at the input",
                "leaving a point out moves the predictions for all classes alike",
                ("constant",),
                "is",
                1e-6,
            ),
            KnownAnswer(
                "class_sensitivity",
                1.0,
                "features that are independent of the input",
                "a point's influence knows no class",
                ("random-features",),
                "is about",
                0.1,
            ),
        ),
        variants=(
            Variant("whole", n_train=_SENSITIVITY_SIZE),
            Variant("again", n_train=_SENSITIVITY_SIZE, label_noise=_NO_LABEL),
            *(Variant(f"without-{i}", n_train=_SENSITIVITY_SIZE, leave_out=i) for i in range(_REMOVED)),
        ),
    )


_BOUND_SIZE = 500
#: The same for every model, relative to the mean diagonal of its kernel.
_RIDGE = 0.01
#: Largest loss; predicting nothing costs (1 - 1/C)/2.
_LARGEST_LOSS = 1.0
_DELTA = 0.05


def score_bound(fits: Mapping[str, Fit]) -> Scores:
    """Leave each training point out of a ridge regression on the model's features or kernel, exactly."""
    (fit,) = fits.values()
    split = fit.split
    targets, held = (one_hot_targets(y, split.classes) for y in (split.y_train, split.y_test))
    gram, cross = _kernels(fit)
    ridge = _RIDGE * float(np.trace(gram)) / len(gram)
    found = metrics.leave_one_out_kernel_ridge(gram, targets, cross, ridge)
    on_train = gram @ np.linalg.solve(gram + ridge * np.eye(len(gram)), targets)
    test_losses = metrics.clipped_squared_loss(found.full, held, _LARGEST_LOSS)
    train_losses = metrics.clipped_squared_loss(on_train, targets, _LARGEST_LOSS)
    changes = metrics.loss_changes(test_losses, metrics.clipped_squared_loss(found.without, held, _LARGEST_LOSS))
    moved = metrics.prediction_changes(found.full, found.without)
    return {
        "elastic_to_uniform_ratio": metrics.elastic_to_uniform_ratio(changes),
        "elastic_stability": metrics.elastic_stability(changes),
        "uniform_stability": metrics.uniform_stability(changes),
        "elastic_bound": metrics.elastic_bound(changes, _LARGEST_LOSS, _DELTA),
        "uniform_bound": metrics.uniform_bound(changes, _LARGEST_LOSS, _DELTA),
        "loss_gap": metrics.loss_gap(train_losses, test_losses),
        "class_sensitivity": metrics.class_sensitivity(moved, split.y_train, split.y_test),
    }


def _kernels(fit: Fit) -> tuple[FloatArray, FloatArray]:
    """Return the kernel among training points and from test to training points, of the last layer if there is one."""
    train, test = fit.split.x_train, fit.split.x_test
    if not offers(fit.fitted, "features"):
        return fit.fitted.gram(train, train), fit.fitted.gram(test, train)
    # One more than the product of features: ridge regression with a column of ones for the bias.
    of_train, of_test = fit.fitted.features(train), fit.fitted.features(test)
    return of_train @ of_train.T + 1.0, of_test @ of_train.T + 1.0


@question("stability", balanced=_BOUND_SIZE, formerly={"digits": "stability/bound"})
def _ask_stability(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="How much smaller is the locally elastic stability of the last layer than its uniform stability?",
        reference="Deng, He & Su 2021; uniform stability: Bousquet & Elisseeff 2002",
        needs=(("features", "gram"),),
        primary="elastic_to_uniform_ratio",
        metrics=(
            "elastic_to_uniform_ratio",
            "elastic_stability",
            "uniform_stability",
            "elastic_bound",
            "uniform_bound",
            "loss_gap",
            "class_sensitivity",
        ),
        score=score_bound,
        facts=(
            Derived(
                "elastic_to_uniform_ratio",
                lambda uniform, elastic: elastic / uniform,
                ("uniform_stability", "elastic_stability"),
                "the ratio of elastic to uniform stability",
            ),
            *(
                Derived(
                    f"{kind}_bound",
                    # A row of changes alike has the stability n times each of them.
                    lambda stability, bound=bound: bound(
                        np.full((_BOUND_SIZE, 1), stability / _BOUND_SIZE), _LARGEST_LOSS
                    ),
                    (f"{kind}_stability",),
                    f"the bound by {kind} stability",
                )
                for kind, bound in (("elastic", metrics.elastic_bound), ("uniform", metrics.uniform_bound))
            ),
        ),
        known=(
            KnownAnswer(
                "elastic_to_uniform_ratio",
                1.0,
                "every model",
                "a largest mean is not above the largest value (Deng, He & Su 2021)",
                ("*",),
                "is at most",
            ),
        ),
        variants=(Variant(f"n={_BOUND_SIZE}", n_train=_BOUND_SIZE),),
    )
