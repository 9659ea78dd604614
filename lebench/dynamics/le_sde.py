"""Paths of the locally elastic stochastic differential equation (Zhang, Wang & Su 2021): the LE-ODE with noise.

:mod:`lebench.dynamics.le_ode` has the equation, and its solution without noise.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy.special import exprel

from lebench.arrays import FloatArray
from lebench.dynamics.le_ode import (
    Model,
    checked_impacts,
    class_coordinates,
    class_directions,
    l_coordinates,
    log_gains,
    refuse_overflow,
    side_effect,
)
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats

#: Nodes on a step for the covariances of the L-model: exact to rounding while an exponent changes by less than about 4.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LARGEST_CHANGE = 4.0


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
    means, a, b = checked_impacts(points.mean(axis=1), intra, inter, model)
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
    return refuse_overflow("features", path)


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
    directions, along, rest = l_coordinates(means)
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
        rest = rest + rate[m] * side_effect(spread, directions) + across[m]
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
