"""Impacts A(t), B(t), alpha(t), beta(t) of the LE-ODE from class means (Zhang, Wang & Su 2021).

Exact on exact trajectories. The released estimator of the L-model is not: it keeps the component of the means that the
model leaves alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.signal import savgol_filter

from lebench.arrays import FloatArray
from lebench.dynamics.le_ode import Model, checked_classes, class_coordinates
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats

#: A mean below this share of the largest feature is rounding.
_VANISHES = 1e-13


class Impacts(NamedTuple):
    """Integrated impacts at T moments, 0 at the first.

    Attributes
    ----------
    intra : ndarray of shape (T,)
        A, the integral of alpha: within a class.
    inter : ndarray of shape (T,)
        B, the integral of beta: between classes.
    """

    intra: FloatArray
    inter: FloatArray


def estimate_impacts(
    means: FloatArray, model: Model = "I", *, method: Literal["projection", "logarithms", "norms"] = "projection"
) -> Impacts:
    """Estimate A(t) and B(t) from the course of the class means.

    Parameters
    ----------
    means : ndarray of shape (T, K, p)
        Class means at T moments; p = K in the L-model.
    model : {"I", "L"}
        Which model they are taken to follow.
    method : {"projection", "logarithms", "norms"}
        How a gain is read. ``"projection"``: the part of the means along what they were at the first moment.
        ``"logarithms"``, I-model only: the average over classes and coordinates of the logarithms of the ratios of
        absolute values, the paper's estimator: no coordinate may vanish, and it does not see a change of sign.
        ``"norms"``: the logarithm of the ratio of norms. It is for trained networks, whose class means turn from where
        they happened to be at initialization: it does not see that they do.

    Returns
    -------
    Impacts

    Raises
    ------
    DataError
        If the shapes do not fit; if the mean over classes, or the deviations from it, vanish at the first moment (then
        only A - B can be told, see :func:`estimate_difference`); or if one of them turns away from what it was at the
        first moment, so that its gain has no logarithm.
    ParameterError
        If there are fewer than two classes, or the model or method is unknown.

    Examples
    --------
    >>> from lebench.dynamics import solve_le_ode
    >>> start, a, b = np.array([[1.0, 2.0], [3.0, 0.5]]), np.array([0.0, 1.0]), np.array([0.0, 0.25])
    >>> found = estimate_impacts(solve_le_ode(start, a, b))
    >>> bool(np.allclose(found.intra, a) and np.allclose(found.inter, b))
    True
    """
    course = _course(means)
    classes = course.shape[1]
    if model not in ("I", "L") or method not in _LOG_GAINS:
        raise ParameterError(
            f"model {model!r} by method {method!r} is unknown: there are 'I' and 'L' by "
            + ", ".join(map(repr, _LOG_GAINS))
        )
    if model == "L":
        if method == "logarithms":
            raise ParameterError(
                "the L-model is estimated by 'projection' or 'norms' only: single coordinates do not grow alike"
            )
        if course.shape[2] != classes:
            raise DataError(f"the L-model needs one dimension per class: {course.shape[2]} for {classes} classes")
        coordinates = class_coordinates(course)
        centre, deviations = _parts(coordinates[..., None])
    else:
        centre, deviations = _parts(course)
    size = float(np.abs(course[0]).max())
    log_gain = _LOG_GAINS[method]
    if model == "I" and method == "projection" and _vanishes(centre[0], size):
        raise DataError(
            "the mean over classes vanishes at the first moment, so that A and B cannot be told apart: begin later, or "
            "use estimate_difference, which needs the deviations only"
        )
    of_mean = log_gain("the mean over classes" if model == "I" else "the mean coordinate of the classes", centre, size)
    of_deviations = log_gain("the deviation of the class means from their mean", deviations, size)
    if model == "I":
        return Impacts(of_mean + (classes - 1) * of_deviations, of_mean - of_deviations)
    return Impacts(of_mean + (classes - 1) * of_deviations, (classes - 1) * (of_deviations - of_mean))


def estimate_difference(means: FloatArray) -> FloatArray:
    """Estimate A(t) - B(t) of the I-model from the deviations of the class means alone.

    It needs no mean over classes, which logits that sum to zero, or centred features, do not have.

    Parameters
    ----------
    means : ndarray of shape (T, K, p)
        Class means at T moments.

    Returns
    -------
    ndarray of shape (T,)

    Raises
    ------
    DataError
        If the class means are equal at the first moment, or turn away from what they were there.
    ParameterError
        If there are fewer than two classes.
    """
    course = _course(means)
    _, deviations = _parts(course)
    size = float(np.abs(course[0]).max())
    logs = _log_gain("the deviation of the class means from their mean", deviations, size)
    return np.asarray(course.shape[1] * logs)


def window_rates(times: FloatArray, integral: FloatArray, windows: int = 4) -> tuple[FloatArray, FloatArray]:
    """Return the mean impact in windows that end at T and begin at T/2, T/4, ...: each twice as long as the one before.

    The impacts of a single run are too noisy to be differentiated; their means over windows as long as the time that
    has passed are not, and those of t^-r fall as t^-r, exactly.

    Parameters
    ----------
    times : ndarray of shape (m,)
        Moments, increasing; between them the integral is interpolated.
    integral : ndarray of shape (m,)
        A, B or a combination of them.
    windows : int
        How many, at least 2.

    Returns
    -------
    tuple of ndarray of shape (windows,)
        Geometric middles of the windows, and mean impacts in them; what :func:`lebench.metrics.tail_index` takes.

    Raises
    ------
    ParameterError
        If there are fewer than two windows.
    DataError
        If the lengths differ, the times do not increase, or the first window begins before the first moment.
    """
    t, values = as_floats("times", times, 1), as_floats("values", integral, 1)
    if windows < 2:
        raise ParameterError(f"windows={windows}: a slope needs at least 2")
    if len(t) != len(values) or (np.diff(t) <= 0).any():
        raise DataError(f"{len(values)} values at {len(t)} times: as many are needed, at times that increase")
    edges = t[-1] * 0.5 ** np.arange(windows, -1, -1.0)
    if edges[0] < max(t[0], 0) or t[-1] <= 0:
        raise DataError(f"the first of {windows} windows begins at {edges[0]:.4g}, before the first moment {t[0]:.4g}")
    rates = np.diff(np.interp(edges, t, values)) / np.diff(edges)
    return np.sqrt(edges[1:] * edges[:-1]), rates


def differentiate(values: FloatArray, step: float, window: int, order: int = 2) -> FloatArray:
    """Return the derivative by a Savitzky-Golay filter: alpha from A, beta from B.

    Parameters
    ----------
    values : ndarray of shape (T,)
        A or B at equidistant moments.
    step : float
        Time from one moment to the next, positive.
    window : int
        Moments in a fit, odd and at most T; the paper takes 151 for GeoMNIST, 551 for CIFAR-10, 21 for simulations.
    order : int
        Degree of the polynomial, at least 1 and below `window`; the paper takes 2. Exact for such polynomials.

    Raises
    ------
    ParameterError
        If the step is not positive, or window and order do not fit.
    DataError
        If there are fewer values than the window is long.
    """
    course = as_floats("values", values, 1)
    if not step > 0 or not np.isfinite(step):
        raise ParameterError(f"step {step} is not positive")
    if window % 2 == 0 or not 1 <= order < window:
        raise ParameterError(f"window {window} with order {order}: the window must be odd and longer than the order")
    if len(course) < window:
        raise DataError(f"{len(course)} values are fewer than the window of {window}: choose a shorter one")
    slope: FloatArray = np.asarray(savgol_filter(course, window, order, deriv=1, delta=step))
    return slope


def _course(means: FloatArray) -> FloatArray:
    course = as_floats("means", means, 3)
    checked_classes(course.shape[1])
    return course


def _parts(course: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean over classes (T, 1, p), and the deviations from it (T, K, p)."""
    centre = course.mean(axis=1, keepdims=True)
    return centre, course - centre


def _vanishes(part: FloatArray, size: float) -> bool:
    return bool(np.abs(part).max() <= _VANISHES * size)


def _log_gain(what: str, part: FloatArray, size: float) -> FloatArray:
    flat = part.reshape(len(part), -1)
    first = flat[0]
    if _vanishes(first, size):
        raise DataError(
            f"{what} vanishes at the first moment, so that its gain has no logarithm: begin later or average over more "
            "runs"
        )
    gain = flat @ first / (first @ first)
    if (gain <= 0).any():
        raise DataError(
            f"{what} turns away from what it was at the first moment (moment {int(np.argmax(gain <= 0))}): its gain "
            "has no logarithm; begin later or average over more runs"
        )
    logs: FloatArray = np.log(gain)
    return logs


def _mean_log_gain(what: str, part: FloatArray, size: float) -> FloatArray:
    flat = np.abs(part.reshape(len(part), -1))
    gone = flat <= _VANISHES * size
    if gone.any():
        moment = int(np.argmax(gone.any(axis=1)))
        raise DataError(
            f"{what} has a coordinate that vanishes (moment {moment}), which has no logarithm: use method='projection'"
        )
    logs: FloatArray = np.log(flat / flat[0]).mean(axis=1)
    return logs


def _log_norm_gain(what: str, part: FloatArray, size: float) -> FloatArray:
    norms = np.linalg.norm(part.reshape(len(part), -1), axis=1)
    if norms.min() <= _VANISHES * size:
        raise DataError(f"{what} vanishes (moment {int(np.argmin(norms))}), so that its growth has no logarithm")
    logs: FloatArray = np.log(norms / norms[0])
    return logs


#: By name of the method: how much a part of the means has grown, in logarithms.
_LOG_GAINS = {"projection": _log_gain, "logarithms": _mean_log_gain, "norms": _log_norm_gain}
