"""What networks learn that kernels do not: teacher networks and concept classes, scored relative to the best kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.special import gammaln

from lebench import metrics, registry
from lebench.arrays import FloatArray
from lebench.capabilities import offers
from lebench.data.base import Split, Variant
from lebench.data.teachers import DIMENSIONS, teacher_directions
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scores, declare, declared
from lebench.tasks.facts import Derived, KnownAnswer

#: What a network is compared with, at the same points: kernels of two and three layers, of all weights or of the last
#: layer's alone, with biases and without, and two that no network has.
_KERNELS: dict[str, tuple[str, dict[str, float]]] = {
    "ntk-1-no-bias": ("ntk-mlp", {"depth": 1, "bias_variance": 0.0}),
    "ntk-1": ("ntk-mlp", {"depth": 1}),
    "ntk-2": ("ntk-mlp", {"depth": 2}),
    "last-layer": ("nngp-mlp", {"depth": 1}),
    "gaussian": ("rbf", {"scale": 0.5}),
    "gaussian-wide": ("rbf", {"scale": 1.5}),
}
#: What the board has in any dimension, and where the kernels that each is compared with cost a tenth.
_FEW_MODELS = ("mlp[depth=1]", "ntk-mlp", "rbf")
_MODELS = (*_FEW_MODELS, "mlp", "linear", "deep-linear", "nngp-mlp", "laplace", "linear-kernel")
_REFERENCES = tuple(sorted({model for model, _ in _KERNELS.values()}))


@lru_cache(maxsize=2)
def kernel_errors(dataset: str, seed: int) -> Mapping[str, float]:
    """Return the mean squared test error of every kernel, ridge by leave-one-out, on the split of a seed."""
    split = registry.datasets.get(dataset).split(seed)
    errors = {}
    for name, (model, parameters) in _KERNELS.items():
        fitted = registry.models.get(model)(**parameters).fit(split, seed)
        errors[name] = _squared_error(fitted, split.x_test, split.target_test)
    return errors


def _squared_error(fitted: Any, x: FloatArray, targets: FloatArray) -> float:
    return float(np.square(fitted.predict(x) - targets).sum(axis=1).mean())


def homogeneous_floor(d: int) -> float:
    """Return d times the loss of the best multiple of |x| against the teacher: what homogeneous kernels see of it.

    R_d = 1 + (d - 1) 2/pi - d^2 (2/pi) / (E|x|)^2, E|x| = sqrt(2) Gamma((d+1)/2) / Gamma(d/2).
    """
    mean_norm = math.sqrt(2) * math.exp(gammaln((d + 1) / 2) - gammaln(d / 2))
    return 1 + (d - 1) * 2 / math.pi - d**2 * (2 / math.pi) / mean_norm**2


#: d times the loss of the best constant and of the best quadratic in |x|, in the limit of large d.
CONSTANT_FLOOR, QUADRATIC_FLOOR = 1 - 2 / math.pi, 1 - 3 / math.pi


def score_teacher(fits: Mapping[str, Fit]) -> Scores:
    """Compare the loss on new points with the best kernel's and with the floors of predictors blind to the teacher."""
    (fit,) = fits.values()
    split = fit.split
    d = split.x_test.shape[1]
    train, test = fit.fitted.predict(split.x_train), fit.fitted.predict(split.x_test)
    loss = metrics.scaled_loss(test, split.target_test, d)
    best = d * min(kernel_errors(f"teacher-{d}", fit.seed).values())
    return {
        "loss_ratio": metrics.loss_ratio(loss, best),
        "scaled_loss": loss,
        "scaled_loss@train": metrics.scaled_loss(train, split.target_train, d),
        "scaled_loss@best-kernel": best,
        "scaled_population_loss": _population_loss(fit.fitted, split),
        "loss_ratio@homogeneous": metrics.loss_ratio(loss, homogeneous_floor(d)),
        "loss_ratio@quadratic": metrics.loss_ratio(loss, QUADRATIC_FLOOR),
        "loss_ratio@constant": metrics.loss_ratio(loss, CONSTANT_FLOOR),
    }


def _population_loss(fitted: Any, split: Split) -> float | Missing:
    """Return the exact loss of a two-layer ReLU network, which is recognized by what it predicts."""
    if not offers(fitted, "weights"):
        return Missing("no closed form: the model has no layers")
    weights, biases = metrics.folded_layers(fitted.weights())
    if len(weights) != 2:
        return Missing(f"no closed form for {len(weights)} layers: two are needed")
    x = split.x_test[:50]
    scores = np.maximum(x @ weights[0].T + biases[0], 0) @ weights[1].T + biases[1]
    if not np.allclose(scores, fitted.predict(x), rtol=1e-8, atol=1e-8):
        return Missing("no closed form: the hidden units are no ReLUs")
    directions = teacher_directions(x.shape[1])
    units = np.concatenate([directions, -directions])
    outputs = np.full((1, len(units)), 1 / len(directions))
    return float(metrics.scaled_population_loss(weights[0], biases[0], weights[1], biases[1], units, outputs))


#: Chosen on other data, before any score. Weight decay, decoupled from Adam's steps, is what removes the random
#: function that a network of standard initialization starts with.
_TEACHER_RECIPE: tuple[tuple[str, str | int | float], ...] = (
    ("optimizer", "adam"),
    ("lr", 0.01),
    ("weight_decay", 0.3),
    ("schedule", "cosine"),
    ("batch_size", 64),
    ("epochs", 1),
    ("min_steps", 6000),
)

for _d in DIMENSIONS:
    declare(
        declared(
            name=f"overparam/teacher-{_d}",
            track="generalization",
            summary=f"Does the model learn a teacher network in {_d} dimensions better than every kernel?",
            reference="Li, Ma & Zhang 2020: loss o(1/d) for networks, of order 1/d for kernels. Ours: uniform weights, "
            "ridge by leave-one-out, AdamW for all networks",
            dataset=f"teacher-{_d}",
            needs=("predict",),
            primary="loss_ratio",
            metrics=(
                "loss_ratio",
                "scaled_loss",
                "scaled_loss@train",
                "scaled_loss@best-kernel",
                "scaled_population_loss",
                "loss_ratio@homogeneous",
                "loss_ratio@quadratic",
                "loss_ratio@constant",
            ),
            score=score_teacher,
            facts=(
                Derived(
                    "loss_ratio",
                    metrics.loss_ratio,
                    ("scaled_loss", "scaled_loss@best-kernel"),
                    "the loss relative to the best kernel's",
                ),
            ),
            known=(
                KnownAnswer(
                    "scaled_loss", CONSTANT_FLOOR, "the best constant", "d times its loss, in the limit of large d"
                ),
                KnownAnswer(
                    "scaled_loss",
                    QUADRATIC_FLOOR,
                    "the best quadratic function",
                    "d times its loss, in the limit of large d (Li, Ma & Zhang 2020)",
                ),
                KnownAnswer("loss_ratio", 1.0, "the best of six kernels on the same points", "by definition"),
            ),
            baselines=_MODELS if _d == 8 else _FEW_MODELS,
            variants=(Variant("trained", recipe=_TEACHER_RECIPE),),
            references=_REFERENCES,
        ),
        "overparam",
    )


def score_concept(dataset: str, fits: Mapping[str, Fit]) -> Scores:
    """Compare the error on new points with that of every kernel."""
    (fit,) = fits.values()
    split = fit.split
    assert split.target_test is not None, "the dataset has targets"
    spread = float(split.target_test.var())
    kernels = {name: error / spread for name, error in kernel_errors(dataset, fit.seed).items()}
    share = metrics.unexplained_share(fit.fitted.predict(split.x_test), split.target_test)
    return {
        "loss_ratio": metrics.loss_ratio(share, min(kernels.values())),
        "unexplained_share": share,
        "unexplained_share@train": metrics.unexplained_share(fit.fitted.predict(split.x_train), split.target_train),
        **{f"unexplained_share@{name}": value for name, value in kernels.items()},
    }


#: Chosen on other data, before any score.
_CONCEPT_RECIPE: tuple[tuple[str, str | int | float], ...] = (
    ("optimizer", "adam"),
    ("lr", 0.01),
    ("weight_decay", 0.0),
    ("schedule", "cosine"),
    ("batch_size", 50),
    ("epochs", 1),
    ("min_steps", 5000),
)

for _name, _formula in (
    ("sin", "(sin 3x1 + sin 3x2 + sin 3x3 - 2)^2 cos 7x4"),
    ("tanh", "(tanh 8x1 + tanh 8x2 + tanh 8x3 - 2)^2 tanh 8x4"),
):
    declare(
        declared(
            name=f"overparam/concept-{_name}",
            track="generalization",
            summary=f"Does the model learn {_formula} from 1,000 points better than every kernel?",
            reference="Allen-Zhu, Li & Liang 2019, section on experiments: networks of three and two layers, NTK, last "
            "layer. Ours: kernels at infinite width with the ridge by leave-one-out, all weights trained, one recipe "
            "that was not chosen on test points",
            dataset=f"concept-{_name}",
            needs=("predict",),
            primary="loss_ratio",
            metrics=(
                "loss_ratio",
                "unexplained_share",
                "unexplained_share@train",
                *(f"unexplained_share@{kernel}" for kernel in _KERNELS),
            ),
            score=partial(score_concept, f"concept-{_name}"),
            facts=(
                Derived(
                    "loss_ratio",
                    lambda share, *kernels: metrics.loss_ratio(share, min(kernels)),
                    ("unexplained_share", *(f"unexplained_share@{kernel}" for kernel in _KERNELS)),
                    "the error relative to the best kernel's",
                ),
            ),
            known=(
                KnownAnswer("loss_ratio", 1.0, "the best of six kernels on the same points", "by definition"),
                KnownAnswer(
                    "unexplained_share",
                    1.0,
                    "a constant",
                    "it explains nothing of the variance",
                    ("constant",),
                    "is about",
                    0.02,
                ),
            ),
            baselines=(*_MODELS, "second-order-mlp"),
            variants=(Variant("trained", recipe=_CONCEPT_RECIPE),),
            references=_REFERENCES,
        ),
        "overparam",
    )
