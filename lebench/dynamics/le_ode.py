"""Locally elastic differential equations for the features of K classes (Zhang, Wang & Su 2021).

A step on a point of class l moves the features of class k; how far depends on whether the classes are the same:

    dX_i^k = (1/K) sum_l E_kl(t) H_l Xbar^l dt + noise dW_i^k,   E_kl = alpha(t) if k = l, else beta(t)

Xbar^l is the mean of class l; `alpha` is the impact within a class, `beta` the impact between classes. In the I-model
H_l is the identity, in the L-model the projection on d_l = e_l - 1/K, with as many dimensions as classes. Without noise
the equation is the LE-ODE, which is solved here; :mod:`lebench.dynamics.le_sde` draws paths with noise. Only the
integrated impacts A(t) and B(t), the integrals of alpha and beta, enter the solution, in the L-model also the path on
which they grow; between two moments alpha and beta are taken as constant.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import exprel

from lebench.arrays import FloatArray
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats

#: ``"I"``: H_l is the identity; ``"L"``: H_l projects on d_l = e_l - 1/K.
Model = Literal["I", "L"]


def class_directions(classes: int) -> FloatArray:
    """Return d_l = e_l - 1/K as rows, of shape (K, K).

    Parameters
    ----------
    classes : int
        K, at least 2.

    Raises
    ------
    ParameterError
        If there are fewer than two classes.
    """
    return np.eye(checked_classes(classes)) - 1 / classes


def checked_classes(classes: int) -> int:
    """Return a class count.

    Raises
    ------
    ParameterError
        If it is below 2.
    """
    if classes < 2:
        raise ParameterError(f"{classes} classes: local elasticity is about at least 2")
    return classes


def log_gains(intra: FloatArray, inter: FloatArray, classes: int, model: Model = "I") -> tuple[FloatArray, FloatArray]:
    """Return the logarithms of how much the two modes of the LE-ODE grow.

    I-model: the mean over classes grows by exp((A + (K-1) B) / K), the deviations of the class means from it by
    exp((A - B) / K). L-model: of the coordinates s_k = d_k'Xbar^k / |d_k|^2 the mean grows by exp((A - B) / K), the
    deviations by exp((A + B/(K-1)) / K).

    Parameters
    ----------
    intra, inter : ndarray of shape (T,)
        A and B.
    classes : int
        K, at least 2.
    model : {"I", "L"}
        Which model.

    Returns
    -------
    tuple of ndarray of shape (T,)
        Of the mean, of the deviations.

    Raises
    ------
    DataError
        If A and B differ in length.
    ParameterError
        If there are fewer than two classes, or the model is unknown.
    """
    a, b = same_moments(intra, inter)
    difference = (a - b) / checked_classes(classes)
    if model == "I":
        return (a + (classes - 1) * b) / classes, difference
    if model == "L":
        return difference, (a + b / (classes - 1)) / classes
    raise ParameterError(f"model {model!r} is unknown: there are 'I' and 'L'")


def solve_le_ode(start: FloatArray, intra: FloatArray, inter: FloatArray, model: Model = "I") -> FloatArray:
    """Return the class means at every moment, in closed form.

    Parameters
    ----------
    start : ndarray of shape (K, p)
        Class means at the first moment; p = K in the L-model.
    intra, inter : ndarray of shape (T,)
        A and B at T moments; only their increments matter.
    model : {"I", "L"}
        Which model.

    Returns
    -------
    ndarray of shape (T, K, p)
        The first is `start`. Exact in the I-model whatever the path between the moments is; in the L-model exact for
        alpha and beta in a fixed proportion between two moments.

    Raises
    ------
    DataError
        If the shapes do not fit, or a class mean grows beyond what a number holds.
    ParameterError
        If there are fewer than two classes, or the model is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> means = solve_le_ode(np.array([[1.0], [3.0]]), np.array([0.0, 2.0]), np.array([0.0, 0.0]))
    >>> bool(np.allclose(means[1], np.e * means[0]))
    True
    """
    first, a, b = checked_impacts(start, intra, inter, model)
    with np.errstate(over="ignore", invalid="ignore"):
        return refuse_overflow("class means", _solved(first, a, b, model))


def _solved(first: FloatArray, a: FloatArray, b: FloatArray, model: Model) -> FloatArray:
    classes = len(first)
    mean, deviation = log_gains(a, b, classes, model)
    if model == "I":
        centre = first.mean(axis=0)
        grown: FloatArray = np.exp(deviation)[:, None, None] * (first - centre)
        grown += np.exp(mean)[:, None, None] * centre
        return grown
    directions, along, rest = l_coordinates(first)
    middle = along.mean()
    s = np.exp(mean)[:, None] * middle + np.exp(deviation)[:, None] * (along - middle)
    # Integral of the deviations' gain times beta / K, for constant alpha and beta on each step.
    steps = np.exp(deviation[:-1]) * np.diff(b) / classes * exprel(np.diff(deviation))
    between = np.concatenate([[0.0], np.cumsum(steps)])
    moved = between[:, None, None] * side_effect(along - middle, directions)
    solved: FloatArray = s[:, :, None] * directions + rest + moved
    return solved


def class_coordinates(means: FloatArray) -> FloatArray:
    """Return s_k = d_k'Xbar^k / |d_k|^2, the coordinates in which the L-model is closed.

    Parameters
    ----------
    means : ndarray of shape (..., K, K)
        Class means, one per row.

    Returns
    -------
    ndarray of shape (..., K)

    Raises
    ------
    DataError
        If the last two dimensions differ: the L-model has one coordinate per class.
    ParameterError
        If there are fewer than two classes.
    """
    if np.ndim(means) < 2 or np.shape(means)[-1] != np.shape(means)[-2]:
        raise DataError(f"class means of shape {np.shape(means)}: the L-model needs one dimension per class")
    classes = means.shape[-2]
    coordinates: FloatArray = (means * class_directions(classes)).sum(axis=-1) / (1 - 1 / classes)
    return coordinates


def separation_rate(alpha: FloatArray, beta: FloatArray, classes: int) -> FloatArray:
    """Return gamma(t) = min(alpha - beta, alpha + (K-1) beta).

    Features of the LE-SDE separate, with a probability that tends to 1, if gamma falls more slowly than 1/t; if it
    falls faster, with ever more points they do not (the phase transition of the paper).

    Parameters
    ----------
    alpha, beta : ndarray of shape (T,)
        Impacts within and between classes.
    classes : int
        K, at least 2.

    Raises
    ------
    DataError
        If the lengths differ.
    ParameterError
        If there are fewer than two classes.
    """
    within, between = as_floats("alpha", alpha, 1), as_floats("beta", beta, 1)
    if len(within) != len(between):
        raise DataError(f"{len(within)} values of alpha do not fit {len(between)} of beta")
    rate: FloatArray = np.minimum(within - between, within + (checked_classes(classes) - 1) * between)
    return rate


def power_law_impact(times: FloatArray, exponent: float, scale: float = 1.0) -> FloatArray:
    """Return the integral of ``scale * t^-exponent`` from the first moment on.

    Parameters
    ----------
    times : ndarray of shape (T,)
        Moments, positive.
    exponent : float
        Tail index r: below 1 the integral diverges, above 1 it converges.
    scale : float
        c.

    Raises
    ------
    DataError
        If a moment is not positive, or the moments do not increase.
    ParameterError
        If exponent or scale is not finite, or the integral is more than a number holds.
    """
    t = as_floats("times", times, 1)
    if t.min() <= 0:
        raise DataError(f"times contain {t.min()}: a power law begins after 0")
    if (np.diff(t) <= 0).any():
        raise DataError(f"times do not increase: step {int(np.argmax(np.diff(t) <= 0))} is not positive")
    if not np.isfinite([exponent, scale]).all():
        raise ParameterError(f"exponent {exponent} and scale {scale}: finite numbers are needed")
    logs = np.log(t / t[0])
    # (t^(1-r) - 1)/(1-r) without cancellation, and log t in the limit r = 1.
    with np.errstate(over="ignore", invalid="ignore"):
        value: FloatArray = scale * t[0] ** (1 - exponent) * logs * exprel((1 - exponent) * logs)
    if not np.isfinite(value).all():
        raise ParameterError(f"exponent {exponent} and scale {scale}: the integral is more than a number holds")
    return value


def same_moments(intra: FloatArray, inter: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return A and B as arrays of one length."""
    a, b = as_floats("values of A", intra, 1), as_floats("values of B", inter, 1)
    if len(a) != len(b):
        raise DataError(f"{len(a)} values of A do not fit {len(b)} of B")
    return a, b


def checked_impacts(
    start: FloatArray, intra: FloatArray, inter: FloatArray, model: Model
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return class means, and A and B from 0 at the first moment."""
    first = as_floats("start", start, 2)
    a, b = same_moments(intra, inter)
    checked_classes(len(first))
    if model not in ("I", "L"):
        raise ParameterError(f"model {model!r} is unknown: there are 'I' and 'L'")
    if model == "L" and first.shape[1] != len(first):
        raise DataError(f"start has {first.shape[1]} dimensions: the L-model needs one per class, {len(first)}")
    return first, a - a[0], b - b[0]


def l_coordinates(means: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the directions, the coordinate of each class mean along its own, and what is left of it."""
    directions = class_directions(len(means))
    along = class_coordinates(means)
    return directions, along, means - along[:, None] * directions


def side_effect(deviations: FloatArray, directions: FloatArray) -> FloatArray:
    """Return how the classes move each other across their own directions, per unit of integrated beta / K."""
    classes = len(directions)
    across: FloatArray = deviations @ directions - classes / (classes - 1) * deviations[:, None] * directions
    return across


def refuse_overflow(what: str, course: FloatArray) -> FloatArray:
    """Return a course over moments, of shape (T, ...), if all of it is finite."""
    held = np.isfinite(course).reshape(len(course), -1).all(axis=1)
    if not held.all():
        raise DataError(
            f"{what} grow beyond what a number holds (moment {int(np.argmin(held))}): A and B must change by less from "
            "one moment to the next, or in all"
        )
    return course
