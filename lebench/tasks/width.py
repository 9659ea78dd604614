"""Test error, capacity and bounds of perceptrons against their width, from under- to over-parameterized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lebench import metrics, registry
from lebench.arrays import FloatArray
from lebench.capabilities import offers
from lebench.data.base import Split, Variant
from lebench.errors import LebenchError
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, NotFitted, Scored, Task, Values, declare
from lebench.tasks.facts import Derived, Share, test

#: Units per hidden layer.
WIDTHS = (4, 8, 12, 16, 32, 64, 128, 256, 512)
#: Share of training labels that are wrong.
NOISE = 0.2
#: Training is looked at where its cross-entropy first falls to this, so that all widths fit equally well.
_STOP = 0.01
#: Percentile of the training margins that is the margin of the bounds.
_MARGIN_PERCENTILE = 5
#: From here on all widths fit the clean labels; bounds are followed from the first to the last.
_FROM, _TO = 64, 512

#: Plain SGD with momentum and no other regularization, as in the paper; learning rate and epochs are ours.
_RECIPE: tuple[tuple[str, str | int | float], ...] = (
    ("loss", "cross_entropy"),
    ("optimizer", "sgd"),
    ("lr", 0.02),
    ("momentum", 0.9),
    ("weight_decay", 0.0),
    ("schedule", "constant"),
    ("batch_size", 64),
    ("epochs", 500),
    ("min_steps", 0),
)
_PARTS = {"clean": 0.0, "noisy": NOISE}

#: What is followed over width on clean labels, the six measures that the paper compares and its bound.
_MEASURES = (
    "capacity_parameters",
    "capacity_l1_max",
    "capacity_frobenius",
    "capacity_spectral_l1",
    "capacity_spectral_frobenius",
    "capacity_unit",
)
_BOUND = "unit_bound"
#: Means over hidden units, of which only the growth is judged.
_PER_UNIT = ("unit_capacity", "unit_impact")


def score_width(fits: Mapping[str, Fit]) -> Scored:
    """Follow test error over width, clean and with wrong labels, and capacities over width on clean labels."""
    values: Values = {}
    artifacts: dict[str, FloatArray] = {"widths": np.array(WIDTHS, dtype=float)}
    for part in _PARTS:
        errors = []
        for width in WIDTHS:
            name = f"error@{part}-h={width}"
            values[name], values[f"log_loss@{part}-h={width}"] = _test(fits[f"{part}-h={width}"])
            errors.append(values[name])
        values[f"error_peak@{part}"] = _of(metrics.error_peak, errors)
        if all(isinstance(error, float) for error in errors):
            artifacts[f"error_{part}"] = np.array(errors)
    return Scored(values | _capacities(fits), artifacts)


def _test(fit: Fit) -> tuple[float | Missing, float | Missing]:
    """Return test error and cross-entropy at the end of training."""
    if isinstance(fit.fitted, NotFitted):
        return Missing(fit.fitted.reason), Missing(fit.fitted.reason)
    x, y = fit.split.x_test, fit.split.y_test
    error = metrics.error(fit.fitted.predict(x), y)
    if not offers(fit.fitted, "predict_proba"):
        return error, Missing("the model gives scores, not probabilities")
    return error, metrics.log_loss(fit.fitted.predict_proba(x), y)


def _of(metric: Any, numbers: list[float | Missing]) -> float | Missing:
    missing = next((value for value in numbers if isinstance(value, Missing)), None)
    return missing if missing is not None else float(metric(np.array(numbers)))


def _capacities(fits: Mapping[str, Fit]) -> Values:
    """Return how capacities grow with width, and whether they follow the test error, where all networks fit."""
    values: Values = {}
    found: dict[str, list[float | Missing]] = {name: [] for name in (*_MEASURES, _BOUND, *_PER_UNIT)}
    errors: list[float | Missing] = []
    followed = [width for width in WIDTHS if _FROM <= width <= _TO]
    for width in followed:
        fit = fits[f"clean-h={width}"]
        measured = _measured(fit)
        for name, kept in found.items():
            kept.append(measured[name] if isinstance(measured, dict) else measured)
        errors.append(measured["error"] if isinstance(measured, dict) else measured)
    widths = np.log(followed)
    for name, kept in found.items():
        values[f"width_exponent@{name}"] = _of(lambda v: metrics.width_exponent(np.exp(widths), v), kept)
        if name in _PER_UNIT:
            continue
        values[f"{name}@h={_TO}"] = kept[-1]
        both: list[float | Missing] = [*kept, *errors]
        values[f"kendall_tau@{name}"] = _of(lambda v: metrics.kendall_tau(v[: len(followed)], v[len(followed) :]), both)
    return values


def _measured(fit: Fit) -> dict[str, float | Missing] | Missing:
    """Return measures, bound and test error of the network when its training loss has come down, or why not."""
    if isinstance(fit.fitted, NotFitted):
        return Missing(fit.fitted.reason)
    if not (offers(fit.fitted, "weights") and offers(fit.fitted, "checkpoints")):
        return Missing("the model has no layers with weights")
    reached = np.flatnonzero(fit.fitted.trajectory().loss <= _STOP)
    if not len(reached):
        return Missing(f"the training loss does not come down to {_STOP}")
    kept = fit.fitted.checkpoints()
    network = kept[int(reached[0])].fitted
    try:
        (final, biases), (initial, _) = (
            metrics.folded_layers(fitted.weights()) for fitted in (network, kept[0].fitted)
        )
    except LebenchError as error:
        return Missing(str(error))
    if len(final) != 2:
        return Missing(f"defined for two layers, the network has {len(final)}")
    if not _rectifies(network, fit.split.x_test[:50], final, biases):
        return Missing("defined for ReLU networks: the hidden units are no ReLUs")
    measures: Values = dict(metrics.two_layer_measures(final[0], initial[0], final[1], initial[1]))
    return measures | {
        "unit_capacity": float(metrics.unit_capacity(final[0], initial[0]).mean()),
        "unit_impact": float(metrics.unit_impact(final[1]).mean()),
        _BOUND: _bound(network, fit.split, final, initial),
        "error": metrics.error(network.predict(fit.split.x_test), fit.split.y_test),
    }


def _rectifies(network: Any, x: FloatArray, weights: list[FloatArray], biases: list[FloatArray]) -> bool:
    """Return whether a two-layer network predicts as one of ReLUs with these weights does."""
    rows = x.reshape(len(x), -1)
    scores = np.maximum(rows @ weights[0].T + biases[0], 0) @ weights[1].T + biases[1]
    predicted = network.predict(x)
    # Far above the rounding of float32, and far below what another nonlinearity changes.
    return bool(np.abs(scores - predicted).max() <= 1e-3 * np.abs(predicted).max())


def _bound(network: Any, split: Split, final: list[FloatArray], initial: list[FloatArray]) -> float | Missing:
    rows = split.x_train.reshape(len(split.x_train), -1)
    scores = network.predict(split.x_train)
    gamma = metrics.margin(scores, split.y_train, _MARGIN_PERCENTILE)
    if gamma <= 0:
        return Missing(f"the margin is {gamma:.3g}: at one that is not positive nothing is bounded")
    return metrics.unit_bound(final[0], initial[0], final[1], rows, gamma)


def _names() -> tuple[str, ...]:
    ends = f"h={WIDTHS[-1]}"
    first = (f"error@noisy-{ends}", f"error@clean-{ends}", "error_peak@noisy", "error_peak@clean")
    curves = (f"{metric}@{part}-h={width}" for metric in ("error", "log_loss") for part in _PARTS for width in WIDTHS)
    capacities = (
        name
        for measure in (*_MEASURES, _BOUND)
        for name in (f"width_exponent@{measure}", f"kendall_tau@{measure}", f"{measure}@h={_TO}")
    )
    per_unit = (f"width_exponent@{name}" for name in _PER_UNIT)
    return tuple(dict.fromkeys((*first, *curves, *capacities, *per_unit)))


declare(
    Task(
        name="overparam/width",
        track="generalization",
        summary="How do test error, capacity and bounds of a perceptron change with its width, and with wrong labels?",
        reference="Neyshabur et al. 2019: momentum, no weight decay, stop at cross-entropy 0.01, margin at the 5th "
        "percentile. Ours: 500 digits, a larger learning rate, 500 epochs, 20 % wrong labels as a variant; capacities "
        "ignore biases. Double descent: Belkin et al. 2019",
        version=2,
        history=(registry.Change(2, "2026-12-01", "unit capacity and unit impact are followed over width"),),
        dataset="digits",
        needs=("predict",),
        primary=f"error@noisy-h={WIDTHS[-1]}",
        metrics=_names(),
        score=score_width,
        facts=(
            Share(test, ("error@{variant}",)),
            *(
                Derived(
                    f"error_peak@{part}",
                    lambda *errors: metrics.error_peak(np.array(errors)),
                    tuple(f"error@{part}-h={width}" for width in WIDTHS),
                    "the peak of the errors over width",
                )
                for part in _PARTS
            ),
        ),
        baselines=("mlp[depth=1]",),
        variants=tuple(
            Variant(f"{part}-h={width}", n_train=500, label_noise=noise, recipe=_RECIPE, width=width, may_fail=True)
            for part, noise in _PARTS.items()
            for width in WIDTHS
        ),
    ),
    "overparam",
)
