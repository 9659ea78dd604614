"""Neural collapse: NC1 to NC4 of features and last layer, and of a kernel from its Gram matrix.

Features are the input of the last layer; the formulas are in :mod:`lebench.metrics.collapse_values`. Averages over
points are pooled, averages over classes unweighted, also under imbalance.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.errors import DataError
from lebench.metrics import class_statistics, planted
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import FloatArray
from lebench.metrics.base import KnownAnswer, Missing, metric
from lebench.metrics.class_statistics import ClassStatistics, Grouped

_TAGS = ("collapse",)

_PAPYAN = "Papyan, Han & Donoho 2020"
_ZHU = "Zhu et al. 2021"

_SIMPLEX = "simplex frame and isotropic noise, C=5, rho=2, s=.3, p=40"
_EXACT = "simplex frame without noise"
_NORMS = KnownAnswer("norms 1, 1, 3, 3", planted.rhombus, 1 / math.sqrt(3), "unbiased deviation 2/sqrt 3 over mean 2")
_ANGLES = KnownAnswer("cosines -1 and 0", planted.rhombus, 4 / 9, "4 of 12 pairs are off by 2/3, 8 by 1/3")


def _of_means(features: Any, labels: Any, classes: int | None) -> ClassStatistics:
    return class_statistics.means_of(class_statistics.group_by_class(features, labels, classes))


def _of_points(features: Any, labels: Any, classes: int | None) -> ClassStatistics:
    data = class_statistics.group_by_class(features, labels, classes)
    return class_statistics.look_again(data, class_statistics.means_of(data))


def _about_centres(features: Any, labels: Any, means: Any, classes: int | None) -> tuple[Grouped, ClassStatistics]:
    """Return the points, and statistics that hold the class centres: `means` if given, else those of the points."""
    if means is None:
        data = class_statistics.group_by_class(features, labels, classes)
        return data, class_statistics.means_of(data)
    centres = formula.read_centres(means)
    data = class_statistics.group_by_class(features, labels, len(centres), complete=False)
    if centres.shape[1] != data.features.shape[1]:
        raise DataError(f"means have shape {centres.shape}, but the features have {data.features.shape[1]} dimensions")
    return data, class_statistics.from_means(centres, data.counts)


def _read_head(weights: Any, bias: Any, statistics: ClassStatistics) -> tuple[FloatArray, FloatArray]:
    w = formula.read_weights(weights, statistics.classes, statistics.dimension)
    return w, formula.read_bias(bias, len(w))


@metric(
    symbol=r"\mathrm{NC1}",
    equation=r"\frac1C\,\mathrm{Tr}\left(\Sigma_W\,\Sigma_B^{+}\right),\quad \mathrm{rank}\,\Sigma_B^{+} = C-1",
    source=f"{_PAPYAN}, NC1; {_ZHU}",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.072, "s^2 (C-1)^2/(C rho^2)", rtol32=1e-5),
        KnownAnswer(_EXACT, planted.collapsed_simplex, 0.0, "no noise"),
    ),
    tags=_TAGS,
)
def nc1_pinv_over_C(features: Any, labels: Any, classes: int | None = None) -> float:
    """Within-class over between-class covariance: the trace of NC1, divided by C.

    Parameters
    ----------
    features : array of shape (n, p), float32 or float64
        Input of the last layer; NumPy, torch or JAX.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or the class means span fewer than min(C-1, p) dimensions.

    Notes
    -----
    The pseudo-inverse has rank C-1 by construction, never by a cut-off: the default of ``numpy.linalg.pinv`` in float32
    gives numbers of order 1e7 where the truth is 0.1. With fewer dimensions than C-1 the rank is p.
    """
    statistics = _of_points(features, labels, classes)
    return formula.nc1_trace(statistics) / statistics.classes


@metric(
    symbol=r"\mathrm{NC1}_\Sigma",
    equation=r"\mathrm{Tr}\left(\Sigma_W\,\Sigma_B^{+}\right),\quad \mathrm{rank}\,\Sigma_B^{+} = C-1",
    source=f"released code of {_PAPYAN}, without the division by C",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.36, "s^2 (C-1)^2/rho^2", rtol32=1e-5),),
    tags=_TAGS,
)
def nc1_pinv_sum(features: Any, labels: Any, classes: int | None = None) -> float:
    """Within-class over between-class covariance: the trace of NC1, not divided by C.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        As :func:`nc1_pinv_over_C`.
    """
    return formula.nc1_trace(_of_points(features, labels, classes))


@metric(
    symbol=r"\mathrm{NC1}_\mathrm{tr}",
    equation=r"\frac{\mathrm{Tr}\,\Sigma_W}{\mathrm{Tr}\,\Sigma_B}",
    source="Tirer, Huang & Niles-Weed 2023",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.9, "p s^2/rho^2", rtol32=1e-5),),
    tags=_TAGS,
)
def nc1_quotient(features: Any, labels: Any, classes: int | None = None) -> float:
    """Trace of the within-class covariance over the trace of the between-class covariance.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or all class means coincide.
    """
    return formula.trace_quotient(_of_points(features, labels, classes))


@metric(
    symbol=r"\mathrm{CDNV}",
    equation=r"\mathrm{mean}_{c\ne c'}\,\frac{\mathrm{Var}_c + \mathrm{Var}_{c'}}{2\,\|\mu_c - \mu_{c'}\|^2},\quad "
    r"\mathrm{Var}_c = \mathrm E\|h - \mu_c\|^2",
    source="Galanti, György & Hutter 2022",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.36, "p s^2 (C-1)/(2 C rho^2)", rtol32=1e-5),
        KnownAnswer("variances 1 and 3, distance 4", planted.two_on_a_line, 0.125, "(1 + 3)/(2 16)"),
    ),
    tags=_TAGS,
)
def cdnv(features: Any, labels: Any, classes: int | None = None) -> float:
    """Class-distance normalized variance, averaged over pairs of classes.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or two class means coincide.
    """
    return formula.mean_cdnv(_of_points(features, labels, classes))


@metric(
    symbol=r"\mathrm{NC2}_\mathrm{norm}",
    equation=r"\frac{\mathrm{Std}_c\,\|\mu_c - \mu_G\|}{\mathrm{Avg}_c\,\|\mu_c - \mu_G\|}",
    source=f"{_PAPYAN}, NC2; unbiased deviation, as in the released code",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.0, "equal norms"),
        _NORMS,
    ),
    tags=_TAGS,
)
def nc2_equinorm(features: Any, labels: Any, classes: int | None = None) -> float:
    """Variation of the norms of the centred class means: deviation over mean.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or all class means coincide.
    """
    statistics = _of_means(features, labels, classes)
    return formula.variation(statistics.gram, statistics.rounding)


@metric(
    symbol=r"\mathrm{NC2}_\mathrm{angle}",
    equation=r"\mathrm{Avg}_{c\ne c'}\left|\cos(\mu_c - \mu_G,\,\mu_{c'} - \mu_G) + \frac1{C-1}\right|",
    source=f"{_PAPYAN}, NC2, the form of the released code",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.0, "cosines -1/(C-1)"),
        _ANGLES,
    ),
    tags=_TAGS,
)
def nc2_equiangular(features: Any, labels: Any, classes: int | None = None) -> float:
    """Mean distance of the cosines between centred class means from -1/(C-1).

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or a class mean is the mean of all.
    """
    statistics = _of_means(features, labels, classes)
    return formula.angle_gap(statistics.gram, statistics.floor)


@metric(
    symbol=r"\mathrm{NC2}_\mathrm{norm}(W)",
    equation=r"\frac{\mathrm{Std}_c\,\|w_c\|}{\mathrm{Avg}_c\,\|w_c\|}",
    source=f"{_PAPYAN}, NC2; unbiased deviation, as in the released code",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale"),
    known_answers=(
        KnownAnswer("orthonormal, 3 classes", lambda: planted.orthonormal_weights(3), 0.0, "equal norms"),
        KnownAnswer(
            "norms 1, 1, 3, 3", planted.rhombus_weights, 1 / math.sqrt(3), "unbiased deviation 2/sqrt 3 over mean 2"
        ),
    ),
    tags=_TAGS,
)
def nc2_equinorm_weights(weights: Any) -> float:
    """Variation of the norms of the classifiers: deviation over mean.

    Parameters
    ----------
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer, as they are (not centred).

    Raises
    ------
    DataError
        If there are fewer than two classes, or the weights are zero or not finite.
    """
    w = formula.read_weights(weights)
    return formula.variation(w @ w.T)


@metric(
    symbol=r"\mathrm{NC2}_\mathrm{angle}(W)",
    equation=r"\mathrm{Avg}_{c\ne c'}\left|\cos(w_c, w_{c'}) + \frac1{C-1}\right|",
    source=f"{_PAPYAN}, NC2, the form of the released code",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale"),
    known_answers=(
        KnownAnswer("orthonormal, 3 classes", lambda: planted.orthonormal_weights(3), 0.5, "1/(C-1)"),
        KnownAnswer("cosines -1 and 0", planted.rhombus_weights, 4 / 9, "4 of 12 pairs are off by 2/3, 8 by 1/3"),
    ),
    tags=_TAGS,
)
def nc2_equiangular_weights(weights: Any) -> float:
    """Mean distance of the cosines between classifiers from -1/(C-1).

    Parameters
    ----------
    weights
        As in :func:`nc2_equinorm_weights`.

    Raises
    ------
    DataError
        If the classifier of a class is zero, or as :func:`nc2_equinorm_weights`.
    """
    w = formula.read_weights(weights)
    return formula.angle_gap(w @ w.T)


@metric(
    symbol=r"\mathrm{NC2}_\mathrm{Zhu}",
    equation=r"\left\|\frac{WW^\top}{\|WW^\top\|_F} - \frac{I - \mathbf 1\mathbf 1^\top/C}{\sqrt{C-1}}\right\|_F",
    source=f"{_ZHU}, the NC2 of its code (on W, not on the means)",
    direction="lower",
    bounds=(0.0, 2.0),
    invariant_to=("permutation", "rotation", "scale"),
    known_answers=(
        KnownAnswer(
            "orthonormal, 2 classes",
            lambda: planted.orthonormal_weights(2),
            math.sqrt(2 - 2 * math.sqrt(1 / 2)),
            "sqrt(2 - 2 sqrt((C-1)/C))",
        ),
        KnownAnswer(
            "orthonormal, 3 classes",
            lambda: planted.orthonormal_weights(3),
            math.sqrt(2 - 2 * math.sqrt(2 / 3)),
            "sqrt(2 - 2 sqrt((C-1)/C))",
        ),
        KnownAnswer(
            "orthonormal, 10 classes",
            lambda: planted.orthonormal_weights(10),
            math.sqrt(2 - 2 * math.sqrt(9 / 10)),
            "sqrt(2 - 2 sqrt((C-1)/C))",
        ),
        KnownAnswer(
            "simplex frame",
            lambda: {"weights": planted.simplex_frame(5, 40, 2.0)},
            0.0,
            "W W^T is the target",
            atol=1e-12,
        ),
    ),
    tags=_TAGS,
)
def nc2_weights(weights: Any) -> float:
    """Distance of the normalized W W^T from the simplex.

    Parameters
    ----------
    weights
        As in :func:`nc2_equinorm_weights`.

    Raises
    ------
    DataError
        As :func:`nc2_equinorm_weights`.
    """
    w = formula.read_weights(weights)
    return formula.distance_to_simplex(w @ w.T, "W W^T")


@metric(
    symbol=r"\mathrm{NC3}",
    equation=r"\left\|\frac{W}{\|W\|_F} - \frac{M}{\|M\|_F}\right\|_F^2",
    source=f"{_PAPYAN}, NC3, squared as in the released code",
    direction="lower",
    bounds=(0.0, 4.0),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer("W = M", planted.simplex_with_head, 0.0, "self-dual"),
        KnownAnswer("W = -M", lambda: planted.simplex_with_head(-1.0), 4.0, "opposite", rtol32=1e-5),
        KnownAnswer("W orthogonal to M", planted.orthogonal_head, 2.0, "orthogonal"),
    ),
    tags=_TAGS,
)
def nc3_selfduality(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Squared distance between classifier and centred class means, both of norm 1.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.
    weights : array of shape (C, p), float32 or float64
        Weights of the last layer.

    Raises
    ------
    DataError
        If the shapes do not fit, a class is missing, or the weights or the centred means are zero.
    """
    statistics = _of_means(features, labels, classes)
    weights = formula.read_weights(weights, statistics.classes, statistics.dimension)
    return formula.selfduality(statistics, weights)


@metric(
    symbol=r"\mathrm{NC3}_\mathrm{Zhu}",
    equation=r"\left\|\frac{WM^\top}{\|WM^\top\|_F} - \frac{I - \mathbf 1\mathbf 1^\top/C}{\sqrt{C-1}}\right\|_F",
    source=f"{_ZHU}, NC3",
    direction="lower",
    bounds=(0.0, 2.0),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer("W = M", planted.simplex_with_head, 0.0, "W M^T is the target"),
        KnownAnswer("W = -M", lambda: planted.simplex_with_head(-1.0), 2.0, "opposite", rtol32=1e-5),
    ),
    tags=_TAGS,
)
def nc3_zhu(features: Any, labels: Any, weights: Any, classes: int | None = None) -> float:
    """Distance of the normalized W M^T from the simplex.

    Parameters
    ----------
    features, labels, weights, classes
        As in :func:`nc3_selfduality`.

    Raises
    ------
    DataError
        As :func:`nc3_selfduality`.
    """
    statistics = _of_means(features, labels, classes)
    weights = formula.read_weights(weights, statistics.classes, statistics.dimension)
    return formula.distance_to_simplex(weights @ statistics.centred.T, "W M^T")


@metric(
    symbol=r"\mathrm{NC3}_b",
    equation=r"\|b + W\mu_G\|",
    source=f"{_ZHU}, NC3 of the bias",
    direction="lower",
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
    tags=_TAGS,
)
def nc3_bias(features: Any, labels: Any, weights: Any, bias: Any, classes: int | None = None) -> float:
    """Norm of the scores at the mean of the class means; 0 if the bias takes the mean away.

    Parameters
    ----------
    features, labels, weights, classes
        As in :func:`nc3_selfduality`.
    bias : array of shape (C,), float32 or float64
        Bias of the last layer.

    Raises
    ------
    DataError
        If the shapes do not fit or a class is missing.
    """
    statistics = _of_means(features, labels, classes)
    return formula.bias_norm(statistics, *_read_head(weights, bias, statistics))


@metric(
    symbol=r"\mathrm{NC4}",
    equation=r"1 - \mathrm{mean}\,\mathbf 1\left[\arg\max_c w_c^\top h + b_c = \arg\min_c \|h - \mu_c\|\right]",
    source=f"{_PAPYAN}, NC4; a tie of either rule counts as disagreement (our choice)",
    direction="lower",
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
    tags=_TAGS,
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
    data, centres = _about_centres(features, labels, means, classes)
    seen = class_statistics.look_again(data, centres, _read_head(weights, bias, centres))
    assert seen.disagreement is not None
    return seen.disagreement


@metric(
    symbol=r"\mathrm{acc}_\mathrm{ncc}",
    equation=r"\frac1n\sum_i \mathbf 1\left[\|h_i - \mu_{y_i}\| < \min_{c\ne y_i}\|h_i - \mu_c\|\right]",
    source=f"{_PAPYAN}, NC4; a tie counts as wrong (our choice)",
    direction="higher",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 1.0, "noise smaller than half the distance"),
        KnownAnswer("two of eight on the other side", planted.two_astray, 0.75, "counting"),
    ),
    tags=_TAGS,
)
def ncc_accuracy(features: Any, labels: Any, means: Any | None = None, classes: int | None = None) -> float:
    """Accuracy of the nearest class centre.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.
    means
        As in :func:`nc4`.

    Raises
    ------
    DataError
        If the shapes do not fit, or a class is missing and no `means` are given.
    """
    seen = class_statistics.look_again(*_about_centres(features, labels, means, classes))
    assert seen.nearest is not None
    return seen.nearest


def class_means(features: Any, labels: Any, classes: int | None = None) -> FloatArray:
    """Return the class means (C, p), float64, to pass as `means` when other points are scored.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.

    Raises
    ------
    DataError
        If a class is missing or features are not finite.
    """
    means = _of_means(features, labels, classes).means
    assert means is not None
    return means


def collapse(
    features: Any,
    labels: Any,
    weights: Any | None = None,
    bias: Any | None = None,
    means: Any | None = None,
    classes: int | None = None,
) -> dict[str, float | Missing]:
    """Return all collapse metrics of features, sharing two passes over them.

    Parameters
    ----------
    features, labels, classes
        As in :func:`nc1_pinv_over_C`.
    weights, bias : array of shapes (C, p) and (C,), optional
        The last layer, for NC2 of the weights, NC3 and NC4; a layer without bias has a bias of zero.
    means : array of shape (C, p), optional
        Class centres for ``nc4`` and ``ncc_accuracy``, of the training points when the features are of others.

    Returns
    -------
    dict
        By name of the metric; :class:`~lebench.metrics.base.Missing` with the reason where a value is undefined.

    Raises
    ------
    DataError
        If the arrays do not fit, a class is missing, or features are not finite.
    """
    if bias is not None and weights is None:
        raise DataError("a bias is given without weights")
    data, statistics = _about_centres(features, labels, None, classes)
    head = None
    if weights is not None:
        head = _read_head(weights, np.zeros(statistics.classes) if bias is None else bias, statistics)
    statistics = class_statistics.look_again(data, statistics, head)
    values = formula.values_of(statistics, *(head or ()))
    if means is not None:
        seen = class_statistics.look_again(*_about_centres(features, labels, means, classes), head)
        values |= {"ncc_accuracy": seen.nearest or 0.0}
        if seen.disagreement is not None:
            values["nc4"] = seen.disagreement
    return values


def collapse_from_gram(
    gram: Any, labels: Any, classes: int | None = None, dimension: int | None = None
) -> dict[str, float | Missing]:
    """Return the collapse metrics that need class means only, of points known by their inner products.

    They equal those of :func:`collapse` for K = H H^T: NC1 in its variants, class-distance normalized variance, NC2 of
    the means, and nearest-class-centre accuracy.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.
    dimension : int, optional
        Dimension of the feature space, if it is known to be smaller than C-1.

    Returns
    -------
    dict
        By name of the metric; :class:`~lebench.metrics.base.Missing` with the reason where a value is undefined.

    Raises
    ------
    DataError
        If the matrix is not symmetric or does not fit the labels, or a class is missing.
    """
    return formula.values_of(class_statistics.from_gram(gram, labels, classes, dimension))
