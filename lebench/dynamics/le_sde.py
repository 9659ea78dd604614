"""Locally elastic differential equations for the features of K classes (Zhang, Wang & Su 2021).

A step on a point of class l moves the features of class k; how far depends on whether the classes are the same:

    dX_i^k = (1/K) sum_l E_kl(t) H_l Xbar^l dt + noise dW_i^k,   E_kl = alpha(t) if k = l, else beta(t)

Xbar^l is the mean of class l; `alpha` is the impact within a class, `beta` the impact between classes. In the I-model
H_l is the identity, in the L-model the projection on d_l = e_l - 1/K, with as many dimensions as classes. Without noise
the equation is the LE-ODE. Only the integrated impacts A(t) and B(t), the integrals of alpha and beta, enter its
solution, in the L-model also the path on which they grow; between two moments alpha and beta are taken as constant.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy.special import exprel

from lebench.arrays import FloatArray
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats

#: ``"I"``: H_l is the identity; ``"L"``: H_l projects on d_l = e_l - 1/K.
Model = Literal["I", "L"]

#: Nodes on a step for the covariances of the L-model: exact to rounding while an exponent changes by less than about 4.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST_CHANGE = 4.0


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
    """
    difference = (intra - inter) / checked_classes(classes)
    if model == "I":
        return (intra + (classes - 1) * inter) / classes, difference
    if model == "L":
        return difference, (intra + inter / (classes - 1)) / classes
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
        If the shapes do not fit.
    ParameterError
        If there are fewer than two classes, or the model is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> means = solve_le_ode(np.array([[1.0], [3.0]]), np.array([0.0, 2.0]), np.array([0.0, 0.0]))
    >>> bool(np.allclose(means[1], np.e * means[0]))
    True
    """
    first, a, b = _checked(start, intra, inter, model)
    classes = len(first)
    mean, deviation = log_gains(a, b, classes, model)
    if model == "I":
        centre = first.mean(axis=0)
        grown: FloatArray = np.exp(deviation)[:, None, None] * (first - centre)
        grown += np.exp(mean)[:, None, None] * centre
        return grown
    directions, along, rest = _l_coordinates(first)
    middle = along.mean()
    s = np.exp(mean)[:, None] * middle + np.exp(deviation)[:, None] * (along - middle)
    # Integral of the deviations' gain times beta / K, for constant alpha and beta on each step.
    steps = np.exp(deviation[:-1]) * np.diff(b) / classes * exprel(np.diff(deviation))
    between = np.concatenate([[0.0], np.cumsum(steps)])
    moved = between[:, None, None] * _side_effect(along - middle, directions)
    solved: FloatArray = s[:, :, None] * directions + rest + moved
    return solved


def sample_le_sde(
    start: FloatArray,
    times: FloatArray,
    intra: FloatArray,
    inter: FloatArray,
    rng: np.random.Generator,
    *,
    model: Model = "I",
    noise: float = 1.0,
    method: Literal["exact", "euler"] = "exact",
) -> FloatArray:
    """Draw one path of the LE-SDE for all points of all classes.

    Parameters
    ----------
    start : ndarray of shape (K, n, p)
        Features at the first moment, n points of each of K classes; p = K in the L-model.
    times : ndarray of shape (T,)
        Moments, increasing.
    intra, inter : ndarray of shape (T,)
        A and B at these moments; only their increments matter.
    rng : numpy.random.Generator
        Draws the Brownian motions.
    model : {"I", "L"}
        Which model.
    noise : float
        Standard deviation of the noise of a coordinate in a unit of time; its covariance is noise^2 times the identity.
    method : {"exact", "euler"}
        ``"exact"``: right in distribution at the given moments, for any step, if alpha and beta are constant between
        them: the equation is linear. ``"euler"``: Euler-Maruyama, one step from each moment to the next, as stochastic
        gradient descent itself makes them.

    Returns
    -------
    ndarray of shape (T, K, n, p)

    Raises
    ------
    DataError
        If the shapes do not fit, the times do not increase, an exact step of the L-model is so long that an exponent
        changes by more than 4, or the features grow beyond what a number holds.
    ParameterError
        If there are fewer than two classes, the noise is negative, or the model or method is unknown.
    """
    points = as_floats("start", start, 3)
    means, a, b = _checked(points.mean(axis=1), intra, inter, model)
    steps = np.diff(as_floats("times", times, 1))
    if len(steps) != len(a) - 1:
        raise DataError(f"{len(steps) + 1} times do not fit {len(a)} values of A and B")
    if (steps <= 0).any():
        raise DataError(f"times do not increase: step {int(np.argmax(steps <= 0))} is not positive")
    if not (math.isfinite(noise) and noise >= 0):
        raise ParameterError(f"noise {noise} is no standard deviation: it must be finite and not negative")
    if method not in ("exact", "euler"):
        raise ParameterError(f"method {method!r} is unknown: there are 'exact' and 'euler'")
    classes, n, p = points.shape
    # Around its class mean a point only diffuses; the noise of the mean is independent of that of the deviations.
    scale = noise * np.sqrt(steps)[:, None, None]
    diffused = scale[..., None] * rng.standard_normal((len(steps), classes, n, p))
    diffused -= diffused.mean(axis=2, keepdims=True)
    path = np.empty((len(a), classes, n, p))
    path[0] = points - means[:, None]
    path[1:] = path[0] + np.cumsum(diffused, axis=0)
    size = noise / math.sqrt(n)
    # What is too large is said below, in one line.
    with np.errstate(over="ignore", invalid="ignore"):
        if method == "euler":
            course = _euler(means, a, b, size * np.sqrt(steps), rng, model)
        elif model == "I":
            course = _exact_i(means, a, b, steps, size, rng)
        else:
            course = _exact_l(means, a, b, steps, size, rng)
        path += course[:, :, None]
    grown = np.isfinite(path).all(axis=(1, 2, 3))
    if not grown.all():
        raise DataError(
            f"features grow beyond what a number holds (moment {int(np.argmin(grown))}): A and B must change by less "
            "from one moment to the next, or in all"
        )
    return path


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


def class_coordinates(means: FloatArray) -> FloatArray:
    """Return s_k = d_k'Xbar^k / |d_k|^2, the coordinates in which the L-model is closed.

    Parameters
    ----------
    means : ndarray of shape (..., K, K)
        Class means, one per row.

    Returns
    -------
    ndarray of shape (..., K)
    """
    classes = means.shape[-2]
    coordinates: FloatArray = (means * class_directions(classes)).sum(axis=-1) / (1 - 1 / classes)
    return coordinates


def _checked(
    start: FloatArray, intra: FloatArray, inter: FloatArray, model: Model
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return class means, and A and B from 0 at the first moment."""
    first = as_floats("start", start, 2)
    a, b = as_floats("values of A", intra, 1), as_floats("values of B", inter, 1)
    if len(a) != len(b):
        raise DataError(f"{len(a)} values of A do not fit {len(b)} of B")
    checked_classes(len(first))
    if model not in ("I", "L"):
        raise ParameterError(f"model {model!r} is unknown: there are 'I' and 'L'")
    if model == "L" and first.shape[1] != len(first):
        raise DataError(f"start has {first.shape[1]} dimensions: the L-model needs one per class, {len(first)}")
    return first, a - a[0], b - b[0]


def _l_coordinates(means: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the directions, the coordinate of each class mean along its own, and what is left of it."""
    directions = class_directions(len(means))
    along = class_coordinates(means)
    return directions, along, means - along[:, None] * directions


def _side_effect(deviations: FloatArray, directions: FloatArray) -> FloatArray:
    """Return how the classes move each other across their own directions, per unit of integrated beta / K."""
    classes = len(directions)
    across: FloatArray = deviations @ directions - classes / (classes - 1) * deviations[:, None] * directions
    return across


def _euler(
    means: FloatArray, a: FloatArray, b: FloatArray, sizes: FloatArray, rng: np.random.Generator, model: Model
) -> FloatArray:
    classes = len(means)
    course = np.empty((len(a), *means.shape))
    course[0] = means
    within, between = np.diff(a) / classes, np.diff(b) / classes
    kicks = sizes[:, None, None] * rng.standard_normal((len(sizes), *means.shape))
    directions = class_directions(classes)
    for m in range(len(sizes)):
        now = course[m]
        pulled = now if model == "I" else class_coordinates(now)[:, None] * directions
        course[m + 1] = now + (within[m] - between[m]) * pulled + between[m] * pulled.sum(axis=0) + kicks[m]
    return course


def _exact_i(
    means: FloatArray, a: FloatArray, b: FloatArray, steps: FloatArray, size: float, rng: np.random.Generator
) -> FloatArray:
    mean, deviation = (np.diff(gain) for gain in log_gains(a, b, len(means), "I"))
    noise = rng.standard_normal((len(steps), *means.shape))
    centre = noise.mean(axis=1, keepdims=True)
    # An Ornstein-Uhlenbeck process with exponent g on a step of length h has the variance h exprel(2 g).
    around = size * np.sqrt(steps * exprel(2 * deviation))[:, None, None] * (noise - centre)
    kicks = around + size * np.sqrt(steps * exprel(2 * mean))[:, None, None] * centre
    grow, lift = np.exp(deviation), np.exp(mean) - np.exp(deviation)
    course = np.empty((len(a), *means.shape))
    course[0] = means
    for m in range(len(steps)):
        course[m + 1] = grow[m] * course[m] + lift[m] * course[m].mean(axis=0) + kicks[m]
    return course


def _exact_l(
    means: FloatArray, a: FloatArray, b: FloatArray, steps: FloatArray, size: float, rng: np.random.Generator
) -> FloatArray:
    classes = len(means)
    directions, along, rest = _l_coordinates(means)
    mean, deviation = (np.diff(gain) for gain in log_gains(a, b, classes, "L"))
    if np.abs([mean, deviation]).max(initial=0.0) > _LARGEST_CHANGE:
        raise DataError(
            "a step is too long for the exact L-model: an exponent changes by more than 4; use more moments"
        )
    # The noise along a class's direction, of squared length 1 - 1/K, and across it, is independent.
    unit = size / math.sqrt(1 - 1 / classes)
    mean_kick = unit * np.sqrt(steps * exprel(2 * mean))
    end, area, joint = _step_covariance(deviation, steps)
    white = rng.standard_normal((2, len(steps), classes))
    centred = white - white.mean(axis=2, keepdims=True)
    kicks = mean_kick[:, None] * white[0].mean(axis=1, keepdims=True)
    kicks = kicks + unit * np.sqrt(end)[:, None] * centred[0]
    regression = joint / end
    left = np.sqrt(np.maximum(area - joint * regression, 0.0))
    areas = unit * ((regression * np.sqrt(end))[:, None] * centred[0] + left[:, None] * centred[1])
    across = size * np.sqrt(steps)[:, None, None] * rng.standard_normal((len(steps), classes, classes))
    across -= class_coordinates(across)[..., None] * directions
    rate = np.diff(b) / classes / steps
    integrals, grow, lift = steps * exprel(deviation), np.exp(deviation), np.exp(mean) - np.exp(deviation)
    course = np.empty((len(a), *means.shape))
    course[0] = means
    for m in range(len(steps)):
        spread = integrals[m] * (along - along.mean()) + areas[m]
        rest = rest + rate[m] * _side_effect(spread, directions) + across[m]
        along = grow[m] * along + lift[m] * along.mean() + kicks[m]
        course[m + 1] = along[:, None] * directions + rest
    return course


def _step_covariance(exponent: FloatArray, steps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return variances of a unit Ornstein-Uhlenbeck process at the end of a step and of its integral; their covariance.

    Noise that enters with a share u of the step left has grown by exp(g u) at the end, and added h u exprel(g u) to the
    integral.
    """
    share = (_NODES + 1) / 2
    weights = steps[:, None] * _WEIGHTS / 2
    grown = np.exp(exponent[:, None] * share)
    added = steps[:, None] * share * exprel(exponent[:, None] * share)
    end: FloatArray = (weights * grown**2).sum(axis=1)
    area: FloatArray = (weights * added**2).sum(axis=1)
    joint: FloatArray = (weights * grown * added).sum(axis=1)
    return end, area, joint
