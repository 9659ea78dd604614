"""The table of activations: what each one is in a network, and what it does to a kernel of infinite width.

For ``(u, v)`` Gaussian with mean zero, variances ``v1``, ``v2`` and covariance ``c``, an activation s has the dual
activation ``E[s(u) s(v)]`` (of the NNGP) and that of its derivative, ``E[s'(u) s'(v)]`` (of the tangent kernel), which
is the slope of the first in ``c``. They are written once in the array API: NumPy, torch and JAX, float32 and float64.

To add an activation, add its name to :data:`ActivationName` and an entry to :data:`ACTIVATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

ActivationName = Literal["relu", "leaky_relu", "erf", "tanh", "gelu", "identity"]

#: Slope of the leaky ReLU for negative inputs, that of torch.nn.LeakyReLU.
LEAKY_SLOPE = 0.01
#: A cosine is 1 if it is so up to this many units of rounding. Kernels of ReLU have a square-root singularity there:
#: without it, equal inputs would get an error of the square root of the rounding.
COSINE_ULPS = 4

#: ``(xp, c, v1, v2)``, the namespace, covariances and variances that broadcast against them, to both dual activations.
Dual = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Nonlinearity:
    """All facts about an activation.

    Attributes
    ----------
    torch : callable
        ``torch`` to a module, or to a function of a tensor.
    jax : callable
        ``jax`` to a function of an array.
    dual : callable, optional
        The dual activations in closed form; without them there is no kernel of infinite width.
    slope : float, optional
        Slope for negative inputs of a piecewise linear activation; the other one is 1.
    compiled : {"piecewise", "erf"}, optional
        Which compiled loop has it (:mod:`lebench.kernels.dense_loops`); others take the recursion in the array API.
    stax : callable, optional
        ``neural_tangents.stax`` to a layer.
    instead : str
        What to use where a closed form is needed and there is none.
    """

    torch: Callable[[Any], Any]
    jax: Callable[[Any], Any]
    dual: Dual | None = None
    slope: float | None = None
    compiled: Literal["piecewise", "erf"] | None = None
    stax: Callable[[Any], Any] | None = None
    instead: str = ""


def _piecewise_linear(slope: float) -> Dual:
    """Return the arc-cosine kernels of order 1 and 0 (Cho & Saul 2009), for a slope of negative inputs."""
    weight = (1.0 - slope) ** 2 / (2.0 * math.pi)

    def dual(xp: Any, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
        # s(u) = slope u + (1 - slope) relu(u), and E[u relu(v)] = c / 2.
        norm = _root(xp, v1) * _root(xp, v2)
        positive = norm > 0
        cosine = xp.where(positive, c / xp.where(positive, norm, xp.ones_like(norm)), xp.zeros_like(c))
        gap, angle = _acute_angle(xp, cosine)
        obtuse = cosine < 0
        # sin + (pi - th) cos for an obtuse angle is sin - acute |cos|; for an acute one the same plus pi cos.
        sine = _root(xp, gap * (2.0 - gap))
        value = sine - angle * (1.0 - gap) + math.pi * xp.where(obtuse, xp.zeros_like(cosine), cosine)
        derivative = xp.where(obtuse, angle, math.pi - angle)
        return slope * c + weight * norm * value, slope + weight * derivative

    return dual


def _erf(xp: Any, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    """Return the dual activations of erf (Williams 1997): arcsines of cosines of variances 1/2 + v."""
    norm = xp.sqrt(1.0 + 2.0 * v1) * xp.sqrt(1.0 + 2.0 * v2)
    sine = 2.0 * c / norm
    # 1 - sine^2, without the cancellation where variances are large.
    square = (1.0 + 2.0 * v1 + 2.0 * v2) / norm / norm + 4.0 * _determinant(xp, c, v1, v2, norm)
    cosine = xp.sqrt(square)
    return 2.0 / math.pi * xp.atan2(sine, cosine), 4.0 / math.pi / norm / cosine


def _gelu(xp: Any, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    """Return the dual activations of GELU, ``s(u) = u Phi(u)`` (Tsuchida et al. 2021, section 3).

    With ``r = c / N``, ``N = sqrt((1 + v1)(1 + v2))`` and ``q = 1 - r^2``, twice Stein's lemma gives
    ``E[s s] = c (1/4 + asin(r) / 2 pi) + (v1 v2 q + r^2) / (2 pi N sqrt(q))``; its slope in c is ``E[s' s']``.
    """
    norm = xp.sqrt(1.0 + v1) * xp.sqrt(1.0 + v2)
    sine = c / norm
    square = (1.0 + v1 + v2) / norm / norm + _determinant(xp, c, v1, v2, norm)
    cosine = xp.sqrt(square)
    quadrant = 0.25 + xp.atan2(sine, cosine) / (2.0 * math.pi)
    product = (v1 / norm) * v2 * cosine
    value = c * quadrant + (product + sine / norm * (sine / cosine)) / (2.0 * math.pi)
    bracket = (3.0 + v1 + v2) / norm / norm + xp.square(sine / norm / cosine)
    return value, quadrant + sine / cosine * bracket / (2.0 * math.pi)


def _identity(xp: Any, c: Any, v1: Any, v2: Any) -> tuple[Any, Any]:
    return c, xp.ones_like(c)


def _determinant(xp: Any, c: Any, v1: Any, v2: Any, norm: Any) -> Any:
    """Return (v1 v2 - c^2) / norm^2 without cancellation or overflow; it is 0 for a cosine of one up to rounding."""
    root = _root(xp, v1) * _root(xp, v2)
    gap = root - xp.abs(c)
    gap = xp.where(gap < COSINE_ULPS * xp.finfo(c.dtype).eps * root, xp.zeros_like(gap), gap)
    return gap / norm * ((root + xp.abs(c)) / norm)


def _acute_angle(xp: Any, cosine: Any) -> tuple[Any, Any]:
    """Return 1 - |cosine| and the angle between 0 and pi/2 that it stands for."""
    gap = 1.0 - xp.abs(cosine)
    gap = xp.where(gap < COSINE_ULPS * xp.finfo(cosine.dtype).eps, xp.zeros_like(gap), gap)
    return gap, 2.0 * xp.asin(_root(xp, gap / 2.0))


def _root(xp: Any, square: Any) -> Any:
    """Return the square root, with derivative 0 at 0, where that of the root would make NaN of a product with 0."""
    positive = square > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, square, xp.ones_like(square))), xp.zeros_like(square))


ACTIVATIONS: dict[str, Nonlinearity] = {
    "relu": Nonlinearity(
        torch=lambda torch: torch.nn.ReLU(),
        jax=lambda jax: jax.nn.relu,  # with derivative 0 at 0, as in torch
        dual=_piecewise_linear(0.0),
        slope=0.0,
        compiled="piecewise",
        stax=lambda stax: stax.Relu(),
    ),
    "leaky_relu": Nonlinearity(
        torch=lambda torch: torch.nn.LeakyReLU(LEAKY_SLOPE),
        # With derivative LEAKY_SLOPE at 0, as in torch.
        jax=lambda jax: lambda x: jax.numpy.where(x > 0, x, LEAKY_SLOPE * x),
        dual=_piecewise_linear(LEAKY_SLOPE),
        slope=LEAKY_SLOPE,
        compiled="piecewise",
        stax=lambda stax: stax.LeakyRelu(LEAKY_SLOPE),
    ),
    "erf": Nonlinearity(
        torch=lambda torch: torch.erf,
        jax=lambda jax: jax.scipy.special.erf,
        dual=_erf,
        compiled="erf",
        stax=lambda stax: stax.Erf(),
    ),
    "gelu": Nonlinearity(
        torch=lambda torch: torch.nn.GELU(),
        jax=lambda jax: lambda x: jax.nn.gelu(x, approximate=False),
        dual=_gelu,
        stax=lambda stax: stax.Gelu(),
    ),
    "tanh": Nonlinearity(
        torch=lambda torch: torch.nn.Tanh(),
        jax=lambda jax: jax.numpy.tanh,
        instead="use erf, which has nearly its shape",
    ),
    "identity": Nonlinearity(
        torch=lambda torch: torch.nn.Identity(),
        jax=lambda jax: lambda x: x,
        dual=_identity,
        slope=1.0,
        compiled="piecewise",
    ),
}
