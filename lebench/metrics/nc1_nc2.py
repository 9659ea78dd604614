"""Neural collapse of features and classifiers: variability (NC1) and geometry (NC2).

Features are the input of the last layer; the formulas are in :mod:`lebench.metrics.collapse_values`. Averages over
points are pooled, averages over classes unweighted, also under imbalance.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from lebench.metrics import class_statistics, planted
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.class_statistics import ClassStatistics

_TAGS = ("collapse",)

_PAPYAN = "Papyan, Han & Donoho 2020"
_ZHU = "Zhu et al. 2021"

_SIMPLEX = "simplex frame and isotropic noise, C=5, rho=2, s=.3, p=40"
_EXACT = "simplex frame without noise"
_NORMS = KnownAnswer("norms 1, 1, 3, 3", planted.rhombus, 1 / math.sqrt(3), "unbiased deviation 2/sqrt 3 over mean 2")
_ANGLES = KnownAnswer("cosines -1 and 0", planted.rhombus, 4 / 9, "4 of 12 pairs are off by 2/3, 8 by 1/3")


def _of_points(features: Any, labels: Any, classes: int | None) -> ClassStatistics:
    data = class_statistics.read_labelled(features, labels, classes)
    statistics = class_statistics.means_of(data)
    unit = class_statistics.unit_of(statistics, features)
    if unit != 1:  # What is made of them is invariant to scale.
        data = class_statistics.read_labelled(as_floats("features", features, 2) / unit, labels, classes)
        statistics = class_statistics.means_of(data)
    return class_statistics.look_again(data, statistics)


_metric = partial(
    metric,
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "scale", "translation"),
    tags=_TAGS,
)


@_metric(
    symbol=r"\mathrm{NC1}",
    equation=r"\frac1C\,\mathrm{Tr}\left(\Sigma_W\,\Sigma_B^{+}\right),\quad \mathrm{rank}\,\Sigma_B^{+} = C-1",
    source=f"{_PAPYAN}, NC1; {_ZHU}",
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.072, "s^2 (C-1)^2/(C rho^2)", rtol32=1e-5),
        KnownAnswer(_EXACT, planted.collapsed_simplex, 0.0, "no noise"),
    ),
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


@_metric(
    symbol=r"\mathrm{NC1}_\Sigma",
    equation=r"\mathrm{Tr}\left(\Sigma_W\,\Sigma_B^{+}\right),\quad \mathrm{rank}\,\Sigma_B^{+} = C-1",
    source=f"released code of {_PAPYAN}, without the division by C",
    known_answers=(KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.36, "s^2 (C-1)^2/rho^2", rtol32=1e-5),),
)
def nc1_pinv_sum(features: Any, labels: Any, classes: int | None = None) -> float:
    """Within-class over between-class covariance: the trace of NC1, not divided by C.

    Takes what :func:`nc1_pinv_over_C` takes.
    """
    return formula.nc1_trace(_of_points(features, labels, classes))


@_metric(
    symbol=r"\mathrm{NC1}_\mathrm{tr}",
    equation=r"\frac{\mathrm{Tr}\,\Sigma_W}{\mathrm{Tr}\,\Sigma_B}",
    source="Tirer, Huang & Niles-Weed 2023",
    known_answers=(KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.9, "p s^2/rho^2", rtol32=1e-5),),
)
def nc1_quotient(features: Any, labels: Any, classes: int | None = None) -> float:
    """Trace of the within-class covariance over the trace of the between-class covariance.

    Takes what :func:`nc1_pinv_over_C` takes.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or all class means coincide.
    """
    return formula.trace_quotient(_of_points(features, labels, classes))


@_metric(
    symbol=r"\mathrm{CDNV}",
    equation=r"\mathrm{mean}_{c\ne c'}\,\frac{\mathrm{Var}_c + \mathrm{Var}_{c'}}{2\,\|\mu_c - \mu_{c'}\|^2},\quad "
    r"\mathrm{Var}_c = \mathrm E\|h - \mu_c\|^2",
    source="Galanti, György & Hutter 2022",
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.36, "p s^2 (C-1)/(2 C rho^2)", rtol32=1e-5),
        KnownAnswer("variances 1 and 3, distance 4", planted.two_on_a_line, 0.125, "(1 + 3)/(2 16)"),
    ),
)
def cdnv(features: Any, labels: Any, classes: int | None = None) -> float:
    """Class-distance normalized variance, averaged over pairs of classes.

    Takes what :func:`nc1_pinv_over_C` takes.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or two class means coincide.
    """
    return formula.mean_cdnv(_of_points(features, labels, classes))


@_metric(
    symbol=r"\mathrm{NC2}_\mathrm{norm}",
    equation=r"\frac{\mathrm{Std}_c\,\|\mu_c - \mu_G\|}{\mathrm{Avg}_c\,\|\mu_c - \mu_G\|}",
    source=f"{_PAPYAN}, NC2; unbiased deviation, as in the released code",
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.0, "equal norms"),
        _NORMS,
    ),
)
def nc2_equinorm(features: Any, labels: Any, classes: int | None = None) -> float:
    """Variation of the norms of the centred class means: deviation over mean.

    Takes what :func:`nc1_pinv_over_C` takes.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or all class means coincide.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    return formula.variation(statistics.gram, statistics.rounding)


@_metric(
    symbol=r"\mathrm{NC2}_\mathrm{angle}",
    equation=r"\mathrm{Avg}_{c\ne c'}\left|\cos(\mu_c - \mu_G,\,\mu_{c'} - \mu_G) + \frac1{C-1}\right|",
    source=f"{_PAPYAN}, NC2, the form of the released code",
    known_answers=(
        KnownAnswer(_SIMPLEX, planted.noisy_simplex, 0.0, "cosines -1/(C-1)"),
        _ANGLES,
    ),
)
def nc2_equiangular(features: Any, labels: Any, classes: int | None = None) -> float:
    """Mean distance of the cosines between centred class means from -1/(C-1).

    Takes what :func:`nc1_pinv_over_C` takes.

    Raises
    ------
    DataError
        If a class is missing, features are not finite, or a class mean is the mean of all.
    """
    statistics = class_statistics.means_of_classes(features, labels, classes)
    return formula.angle_gap(statistics.gram, statistics.floor)


@_metric(
    symbol=r"\mathrm{NC2}_\mathrm{norm}(W)",
    equation=r"\frac{\mathrm{Std}_c\,\|w_c\|}{\mathrm{Avg}_c\,\|w_c\|}",
    source=f"{_PAPYAN}, NC2; unbiased deviation, as in the released code",
    invariant_to=("permutation", "rotation", "scale"),
    known_answers=(
        KnownAnswer("orthonormal, 3 classes", lambda: planted.orthonormal_weights(3), 0.0, "equal norms"),
        KnownAnswer(
            "norms 1, 1, 3, 3", planted.rhombus_weights, 1 / math.sqrt(3), "unbiased deviation 2/sqrt 3 over mean 2"
        ),
    ),
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


@_metric(
    symbol=r"\mathrm{NC2}_\mathrm{angle}(W)",
    equation=r"\mathrm{Avg}_{c\ne c'}\left|\cos(w_c, w_{c'}) + \frac1{C-1}\right|",
    source=f"{_PAPYAN}, NC2, the form of the released code",
    invariant_to=("permutation", "rotation", "scale"),
    known_answers=(
        KnownAnswer("orthonormal, 3 classes", lambda: planted.orthonormal_weights(3), 0.5, "1/(C-1)"),
        KnownAnswer("cosines -1 and 0", planted.rhombus_weights, 4 / 9, "4 of 12 pairs are off by 2/3, 8 by 1/3"),
    ),
)
def nc2_equiangular_weights(weights: Any) -> float:
    """Mean distance of the cosines between classifiers from -1/(C-1).

    Takes what :func:`nc2_equinorm_weights` takes.

    Raises
    ------
    DataError
        If the classifier of a class is zero, or as :func:`nc2_equinorm_weights`.
    """
    w = formula.read_weights(weights)
    return formula.angle_gap(w @ w.T)


@_metric(
    symbol=r"\mathrm{NC2}_\mathrm{Zhu}",
    equation=r"\left\|\frac{WW^\top}{\|WW^\top\|_F} - \frac{I - \mathbf 1\mathbf 1^\top/C}{\sqrt{C-1}}\right\|_F",
    source=f"{_ZHU}, the NC2 of its code (on W, not on the means)",
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
)
def nc2_weights(weights: Any) -> float:
    """Distance of the normalized W W^T from the simplex.

    Takes what :func:`nc2_equinorm_weights` takes.
    """
    w = formula.read_weights(weights)
    return formula.distance_to_simplex(w @ w.T, "W W^T")
