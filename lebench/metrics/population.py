"""Exact population losses of two-layer ReLU networks on standard normal inputs.

The loss against a teacher that is such a network, too, is a sum of the moments E[(z)_+ (z')_+] of bivariate normal
variables over pairs of units, which have a closed form with the bivariate normal distribution function. That one is
given by Owen's T function (Owen 1956, "Tables for computing bivariate normal probabilities").
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtr, owens_t

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric

#: From here to 1 two units count as parallel: dividing by sqrt(1 - c^2) would lose more digits than that costs.
_PARALLEL = 1 - 1e-11


def both_positive(h: FloatArray, k: FloatArray, correlation: FloatArray) -> FloatArray:
    """Return P(z > -h and z' > -k) of standard normal variables with a correlation inside (-1, 1).

    Owen's formula, ``(Phi(h) + Phi(k))/2 - T(h, a) - T(k, b) - beta`` with beta = 1/2 if h and k have opposite signs.
    """
    root = np.sqrt((1 - correlation) * (1 + correlation))
    with np.errstate(divide="ignore", invalid="ignore"):
        # At h = 0 the slope is infinite, and T(0, +-inf) = +-1/4; 0/0 stands for k = 0, too.
        first = np.where(
            (h == 0) & (k == 0), np.sqrt((1 - correlation) / (1 + correlation)), (k / h - correlation) / root
        )
        second = np.where((h == 0) & (k == 0), first, (h / k - correlation) / root)
    opposite = (h * k < 0) | ((h * k == 0) & (h + k < 0))
    return np.asarray((ndtr(h) + ndtr(k)) / 2 - owens_t(h, first) - owens_t(k, second) - opposite / 2)


def relu_moments(weights: Any, biases: Any) -> tuple[FloatArray, FloatArray]:
    """Return E[(w_i.x + b_i)_+] and E[(w_i.x + b_i)_+ (w_j.x + b_j)_+] for standard normal x.

    Parameters
    ----------
    weights : array of shape (h, d), float32 or float64
        Incoming weights of the units; a unit without any is a constant.
    biases : array of shape (h,), float32 or float64
        Their biases.

    Returns
    -------
    mean : ndarray of shape (h,), float64
    product : ndarray of shape (h, h), float64

    Notes
    -----
    With z = s (n + h), n standard normal, and c the correlation of two units, the product is ``s s'`` times
    ``(h h' + c) P + h phi(h') Phi(g) + h' phi(h) Phi(g') + r phi(h) phi(g')``, where P is the probability that both
    are positive, r = sqrt(1 - c^2), g = (h - c h')/r and g' = (h' - c h)/r. Without biases it is the arc-cosine kernel
    of Cho & Saul 2009.
    """
    w, b = as_floats("weights", weights, 2), as_floats("biases", biases, 1)
    if len(b) != len(w):
        raise DataError(f"biases have shape {b.shape}: ({len(w)},) is needed, one per unit")
    norms = np.linalg.norm(w, axis=1)
    constant = norms == 0
    scale = np.where(constant, 1.0, norms)
    h = b / scale
    density, positive = _density(h), ndtr(h)
    mean = np.where(constant, np.maximum(b, 0), scale * (h * positive + density))
    directions = w / scale[:, None]
    cosines = directions @ directions.T
    correlation = np.clip(cosines, -_PARALLEL, _PARALLEL)
    root = np.sqrt((1 - correlation) * (1 + correlation))
    first, second = np.broadcast_to(h[:, None], root.shape), np.broadcast_to(h[None], root.shape)
    # given[i, j]: how far unit i is from zero where unit j is at zero, in standard deviations.
    given = (first - correlation * second) / root
    product = (first * second + correlation) * both_positive(first, second, correlation)
    product += first * density[None] * ndtr(given) + second * density[:, None] * ndtr(given.T)
    product += root * density[None] * _density(given)
    product = np.where(cosines > _PARALLEL, _same_direction(first, second), product)
    product = np.where(cosines < -_PARALLEL, _opposite_directions(first, second), product)
    product *= scale[:, None] * scale[None]
    either = constant[:, None] | constant[None]
    return mean, np.where(either, mean[:, None] * mean[None], product)


def _density(h: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-(h**2) / 2) / math.sqrt(2 * math.pi))


def _same_direction(h: FloatArray, k: FloatArray) -> FloatArray:
    """Return E (n + h)_+ (n + k)_+."""
    least = np.minimum(h, k)
    return (h * k + 1) * ndtr(least) + (h + k - least) * _density(least)


def _opposite_directions(h: FloatArray, k: FloatArray) -> FloatArray:
    """Return E (n + h)_+ (k - n)_+, where n must lie between -h and k."""
    inside = (h * k - 1) * (ndtr(k) - ndtr(-h)) + k * _density(h) + h * _density(k)
    return np.where(h + k > 0, inside, 0.0)


def _absolute_values(d: int) -> dict[str, Any]:
    """The mean of |x_i| as a teacher, and a student that says zero."""
    return {
        "hidden": np.zeros((1, d)),
        "hidden_bias": np.zeros(1),
        "output": np.zeros((1, 1)),
        "output_bias": np.zeros(1),
        "teacher_hidden": np.concatenate([np.eye(d), -np.eye(d)]),
        "teacher_output": np.full((1, 2 * d), 1 / d),
    }


@metric(
    symbol=r"d\,L",
    equation=r"d\,\mathrm E_{x\sim N(0,I)}|f(x)-f^*(x)|^2",
    source="Li, Ma & Zhang 2020; closed form by moments of rectified bivariate normal variables",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "rescaling"),
    known_answers=(
        KnownAnswer(
            "the best constant",
            lambda: _absolute_values(8) | {"output_bias": np.array([math.sqrt(2 / math.pi)])},
            1 - 2 / math.pi,
            "d Var f* = 1 - 2/pi",
            rtol=1e-12,
            rtol32=1e-5,
        ),
        KnownAnswer(
            "zero",
            lambda: _absolute_values(8),
            8 * (2 / math.pi) + 1 - 2 / math.pi,
            "d (E f*)^2 + d Var f*",
            rtol=1e-12,
            rtol32=1e-5,
        ),
        KnownAnswer(
            "the teacher itself",
            lambda: (
                _absolute_values(8)
                | {"hidden": np.concatenate([np.eye(8), -np.eye(8)])}
                | {"hidden_bias": np.zeros(16), "output": np.full((1, 16), 1 / 8)}
            ),
            0.0,
            "identity",
            atol=1e-12,
        ),
    ),
    tags=("generalization", "regression"),
)
def scaled_population_loss(
    hidden: Any, hidden_bias: Any, output: Any, output_bias: Any, teacher_hidden: Any, teacher_output: Any
) -> float:
    """Exact mean squared error of a two-layer ReLU network against a teacher on standard normal inputs, times d.

    Parameters
    ----------
    hidden : array of shape (h, d), float32 or float64
        Hidden weights of the network.
    hidden_bias : array of shape (h,)
        Biases of its hidden units.
    output : array of shape (c, h)
        Its output weights.
    output_bias : array of shape (c,)
        Biases of its outputs.
    teacher_hidden, teacher_output : array of shape (k, d) and (c, k)
        Weights of the teacher, a two-layer ReLU network without biases.
    """
    u, w = as_floats("hidden weights", hidden, 2), as_floats("teacher's hidden weights", teacher_hidden, 2)
    v, a = as_floats("output weights", output, 2), as_floats("teacher's output weights", teacher_output, 2)
    b, offset = as_floats("hidden biases", hidden_bias, 1), as_floats("output biases", output_bias, 1)
    shapes = (v.shape, a.shape, b.shape, offset.shape, w.shape[1])
    wanted = ((len(v), len(u)), (len(v), len(w)), (len(u),), (len(v),), u.shape[1])
    if shapes != wanted:
        raise DataError(f"the layers' shapes {shapes} do not fit: {wanted} are needed")
    # The network minus the teacher is a network with the units of both.
    mean, product = relu_moments(np.concatenate([u, w]), np.concatenate([b, np.zeros(len(w))]))
    difference = np.concatenate([v, -a], axis=1)
    loss = np.einsum("ci,ij,cj->", difference, product, difference, optimize=True)
    loss += 2 * offset @ (difference @ mean) + offset @ offset
    return float(u.shape[1] * max(loss, 0.0))
