"""Neural collapse of features against the last layer: self-duality (NC3), and the nearest class centre (NC4)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from lebench.metrics import class_statistics, planted
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("collapse",)

_PAPYAN = "Papyan, Han & Donoho 2020"
_ZHU = "Zhu et al. 2021"


_metric = partial(
    metric, direction="lower", invariant_to=("permutation", "rotation", "scale", "translation"), tags=_TAGS
)


@_metric(
    symbol=r"\mathrm{NC3}",
    equation=r"\left\|\frac{W}{\|W\|_F} - \frac{M}{\|M\|_F}\right\|_F^2",
    source=f"{_PAPYAN}, NC3, squared as in the released code",
    bounds=(0.0, 4.0),
    known_answers=(
        KnownAnswer("W = M", planted.simplex_with_head, 0.0, "self-dual"),
        KnownAnswer("W = -M", lambda: planted.simplex_with_head(-1.0), 4.0, "opposite", rtol32=1e-5),
        KnownAnswer("W orthogonal to M", planted.orthogonal_head, 2.0, "orthogonal"),
    ),
)
def nc3_selfduality(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Squared distance between classifier and centred class means, both of norm 1.

    Parameters
    ----------
    features, labels, classes
        As in :func:`~lebench.metrics.nc1_pinv_over_C`.
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer.

    Raises
    ------
    DataError
        If the shapes do not fit, a class is missing, or the weights or the centred means are zero.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    weights = formula.read_weights(weights, statistics.classes, statistics.dimension)
    return formula.selfduality(statistics, weights)


@_metric(
    symbol=r"\mathrm{NC3}_\mathrm{Zhu}",
    equation=r"\left\|\frac{WM^\top}{\|WM^\top\|_F} - \frac{I - \mathbf 1\mathbf 1^\top/C}{\sqrt{C-1}}\right\|_F",
    source=f"{_ZHU}, NC3",
    bounds=(0.0, 2.0),
    known_answers=(
        KnownAnswer("W = M", planted.simplex_with_head, 0.0, "W M^T is the target"),
        KnownAnswer("W = -M", lambda: planted.simplex_with_head(-1.0), 2.0, "opposite", rtol32=1e-5),
    ),
)
def nc3_zhu(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Distance of the normalized W M^T from the simplex.

    Takes what :func:`nc3_selfduality` takes.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    weights = formula.read_weights(weights, statistics.classes, statistics.dimension)
    return formula.distance_to_simplex(weights @ statistics.centred.T, "W M^T")


@_metric(
    symbol=r"\mathrm{NC3}_b",
    equation=r"\|b + W\mu_G\|",
    source=f"{_ZHU}, NC3 of the bias",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation"),
    known_answers=(
        KnownAnswer(
            "the bias removes the mean",
            lambda: planted.with_bias(planted.simplex_with_head()),
            0.0,
            "b = -W mu_G",
            atol=1e-12,
        ),
        KnownAnswer("means 0 and 2 on an axis", planted.head_off_by_a_bias, 5.0, "|(2.5, 4) + (.5, 0)| = |(3, 4)|"),
    ),
)
def nc3_bias(features: Any, labels: Any, weights: Any, bias: Any, classes: int | None = None) -> float:
    """Norm of the scores at the mean of the class means; 0 if the bias takes the mean away.

    Parameters
    ----------
    features, labels, weights, classes
        As in :func:`nc3_selfduality`.
    bias : array of shape (C,), float32 or float64
        Bias of the last layer.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    return formula.bias_norm(statistics, *formula.read_head(weights, bias, statistics.classes, statistics.dimension))


@_metric(
    symbol=r"\mathrm{NC4}",
    equation=r"1 - \mathrm{mean}\,\mathbf 1\left[\arg\max_c w_c^\top h + b_c = \arg\min_c \|h - \mu_c\|\right]",
    source=f"{_PAPYAN}, NC4; a tie of either rule counts as disagreement (our choice)",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "rotation"),
    known_answers=(
        KnownAnswer(
            "W = M, the bias removes the mean",
            lambda: planted.with_bias(planted.simplex_with_head()),
            0.0,
            "the same rule for equal norms",
        ),
        KnownAnswer("W = -M", lambda: planted.with_bias(planted.simplex_with_head(-1.0)), 1.0, "never the farthest"),
        KnownAnswer(
            "a bias that outweighs the scores", planted.head_off_by_a_bias, 0.5, "the second class always wins"
        ),
    ),
)
def nc4(
    features: Any, labels: Any, weights: Any, bias: Any, means: Any | None = None, classes: int | None = None
) -> float:
    """Fraction of points on which the classifier and the nearest class centre disagree.

    Parameters
    ----------
    features, labels, weights, bias, classes
        As in :func:`nc3_bias`.
    means : array of shape (C, p), float32 or float64, optional
        Class centres; those of the training points when the features are of others, whose classes may then be
        incomplete. By default the class means of these features.

    Raises
    ------
    DataError
        If the shapes do not fit, or a class is missing and no `means` are given.
    """
    data, centres = class_statistics.about_centres(features, labels, means, classes)
    seen = class_statistics.look_again(
        data, centres, formula.read_head(weights, bias, centres.classes, centres.dimension)
    )
    assert seen.disagreement is not None
    return seen.disagreement


@_metric(
    symbol=r"\mathrm{acc}_\mathrm{ncc}",
    equation=r"\frac1n\sum_i \mathbf 1\left[\|h_i - \mu_{y_i}\| < \min_{c\ne y_i}\|h_i - \mu_c\|\right]",
    source=f"{_PAPYAN}, NC4; a tie counts as wrong (our choice)",
    direction="higher",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer(
            "simplex frame and isotropic noise", planted.noisy_simplex, 1.0, "noise smaller than half the distance"
        ),
        KnownAnswer("two of eight on the other side", planted.two_astray, 0.75, "counting"),
    ),
)
def ncc_accuracy(features: Any, labels: Any, means: Any | None = None, classes: int | None = None) -> float:
    """Accuracy of the nearest class centre.

    Parameters
    ----------
    features, labels, classes
        As in :func:`~lebench.metrics.nc1_pinv_over_C`.
    means
        As in :func:`nc4`.

    Raises
    ------
    DataError
        If the shapes do not fit, or a class is missing and no `means` are given.
    """
    data, statistics = class_statistics.about_centres(features, labels, means, classes)
    unit = class_statistics.unit_of(statistics, features)
    if unit != 1:  # Which centre is nearest does not depend on the scale.
        smaller = as_floats("features", features, 2) / unit
        centres = None if means is None else as_floats("class means", means, 2) / unit
        data, statistics = class_statistics.about_centres(smaller, labels, centres, classes)
    seen = class_statistics.look_again(data, statistics)
    assert seen.nearest is not None
    return seen.nearest
