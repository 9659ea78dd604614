"""How lazy training is before it has begun: the scale of Chizat et al."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric


@metric(
    symbol=r"\kappa",
    equation=r"\frac{\|h(w_0) - y^*\|\,\|D^2 h(w_0)\|}{\|D h(w_0)\|^2}",
    source="Chizat, Oyallon & Bach 2019, section 1.2",
    direction="none",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer(
            "h(w) = w_1 w_2 at (1, 0), y = 1/2",
            lambda: {"residuals": np.array([-0.5]), "jacobian": np.array([[0.0, 1.0]]), "hessian_norm": 1.0},
            0.5,
            "|0 - 1/2| x 1 / 1^2: the Hessian of a product has eigenvalues -1 and 1",
        ),
        KnownAnswer(
            "two outputs",
            lambda: {"residuals": np.array([3.0, 4.0]), "jacobian": np.diag([2.0, 1.0]), "hessian_norm": 0.8},
            1.0,
            "5 x .8 / 2^2",
        ),
    ),
    tags=("kernel",),
)
def laziness(residuals: Any, jacobian: Any, hessian_norm: float) -> float:
    """Inverse relative scale kappa of Chizat et al.; training is lazy if it is far below 1.

    Parameters
    ----------
    residuals : array of shape (n,), float32 or float64
        h(w0) - y, of all outputs at all points.
    jacobian : array of shape (n, P), float32 or float64
        Derivatives of h in the parameters at w0.
    hessian_norm : float
        Operator norm of the second derivative of h at w0; :func:`two_layer_hessian_norm` for a two-layer network.

    Raises
    ------
    DataError
        If the shapes do not fit, the Jacobian is zero or the norm negative.
    """
    u, j = as_floats("residuals", residuals, 1), as_floats("Jacobian entries", jacobian, 2)
    if len(u) != len(j):
        raise DataError(f"{len(u)} residuals for a Jacobian of {len(j)} rows")
    if not (math.isfinite(hessian_norm) and hessian_norm >= 0):
        raise DataError(f"the norm of the second derivative is {hessian_norm}: a non-negative number is needed")
    size = float(np.linalg.norm(j, 2))
    if size == 0:
        raise DataError("the Jacobian is zero: laziness is undefined")
    return float(np.linalg.norm(u)) * hessian_norm / size**2


def two_layer_hessian_norm(first: Any, second: Any) -> float:
    """Return the operator norm of the Hessian of f(w) = sum_i b_i s(a_i x) at one input, from its units' derivatives.

    Each unit i has the block [[p_i, q_i], [q_i, 0]] with p_i = b_i s''(a_i x) x^2 and q_i = s'(a_i x) x, so the norm is
    max_i (|p_i| + sqrt(p_i^2 + 4 q_i^2))/2.

    Parameters
    ----------
    first : array of shape (m,), float32 or float64
        p_i, second derivative in a_i.
    second : array of shape (m,), float32 or float64
        q_i, mixed derivative in a_i and b_i.
    """
    p, q = as_floats("second derivatives", first, 1), as_floats("mixed derivatives", second, 1)
    if p.shape != q.shape:
        raise DataError(f"{len(p)} second derivatives for {len(q)} mixed ones")
    return float(((np.abs(p) + np.sqrt(p**2 + 4 * q**2)) / 2).max())
