"""Gaussian moments of activations: what one nonlinearity does to the covariance of two preactivations.

For ``(u, v)`` Gaussian with mean zero, variances ``v1``, ``v2`` and covariance ``c``, an activation s has the moments
``E[s(u) s(v)]`` (of the NNGP) and ``E[s'(u) s'(v)]`` (of the tangent kernel). Closed forms: Cho & Saul 2009 for ReLU,
Williams 1997 for erf. Written once in the array API: NumPy, torch and JAX arrays, float32 and float64.
"""

from __future__ import annotations

import math
from typing import Any

from lebench.architectures import Activation, describe
from lebench.errors import LebenchError

#: Slope of the leaky ReLU for negative inputs, that of torch.nn.LeakyReLU.
LEAKY_SLOPE = 0.01
#: A cosine is 1 if it is so up to this many units of rounding. Kernels of ReLU have a square-root singularity there:
#: without it, equal inputs would get an error of the square root of the rounding.
COSINE_ULPS = 4


def slope_of(activation: Activation) -> float | None:
    """Return the slope for negative inputs of a piecewise linear activation, None for erf.

    Raises
    ------
    LebenchError
        If the activation has no closed form.
    """
    slopes = {"relu": 0.0, "leaky_relu": LEAKY_SLOPE, "identity": 1.0, "erf": None}
    if activation.name not in slopes:
        raise LebenchError(
            f"{describe(activation)} has no closed-form infinite-width kernel: use relu, leaky_relu, erf or identity"
        )
    return slopes[activation.name]


def activation_moments(xp: Any, activation: Activation, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    """Return the two moments of an activation.

    Parameters
    ----------
    xp : namespace
        Array API namespace of the arrays.
    activation : Activation
        ReLU, leaky ReLU, erf or identity.
    c : array
        Covariances.
    v1, v2 : array
        Variances of the first and second argument; they broadcast against `c`.

    Returns
    -------
    value, derivative : array
        ``E[s(u) s(v)]`` and ``E[s'(u) s'(v)]``, of the shape of `c`.

    Raises
    ------
    LebenchError
        If the activation has no closed form.
    """
    slope = slope_of(activation)
    if slope == 1.0:
        return c, xp.ones_like(c)
    if slope is None:
        return _erf(xp, c, v1, v2)
    return _piecewise_linear(xp, slope, c, v1, v2)


def _piecewise_linear(xp: Any, slope: float, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    # s(u) = slope u + (1 - slope) relu(u), and E[u relu(v)] = c / 2.
    norm = xp.sqrt(v1) * xp.sqrt(v2)
    positive = norm > 0
    cosine = xp.where(positive, c / xp.where(positive, norm, xp.ones_like(norm)), xp.zeros_like(c))
    gap, angle = _acute_angle(xp, cosine)
    obtuse = cosine < 0
    # sin + (pi - th) cos for an obtuse angle is sin - acute |cos|; for an acute one the same plus pi cos.
    sine = xp.sqrt(gap * (2.0 - gap))
    value = sine - angle * (1.0 - gap) + math.pi * xp.where(obtuse, xp.zeros_like(cosine), cosine)
    derivative = xp.where(obtuse, angle, math.pi - angle)
    weight = (1.0 - slope) ** 2 / (2.0 * math.pi)
    return slope * c + weight * norm * value, slope + weight * derivative


def _erf(xp: Any, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    norm = xp.sqrt(1.0 + 2.0 * v1) * xp.sqrt(1.0 + 2.0 * v2)
    sine = 2.0 * c / norm
    derivative = 4.0 / (math.pi * norm * xp.sqrt(1.0 - sine * sine))
    return 2.0 / math.pi * xp.asin(sine), derivative


def _acute_angle(xp: Any, cosine: Any) -> tuple[Any, Any]:
    """Return 1 - |cosine| and the angle between 0 and pi/2 that it stands for."""
    gap = 1.0 - xp.abs(cosine)
    gap = xp.where(gap < COSINE_ULPS * xp.finfo(cosine.dtype).eps, xp.zeros_like(gap), gap)
    return gap, 2.0 * xp.asin(xp.sqrt(gap / 2.0))
