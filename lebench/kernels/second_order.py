"""Second-order kernels: what the quadratic part of a network's expansion at its initialization can express.

A network is f(w0) + <J, w> + <H, w w^T>/2 + ... in the change w of its weights, with the Jacobian J and the Hessian H
of an input. The linear part is a linear model with the tangent kernel <J(x), J(x')>. The quadratic part is a linear
model, too, once w w^T may be any matrix, and its kernel is <H(x), H(x')>_F: what the quadratic part can express, as the
tangent kernel says it of the linear one. Here are its limits as all widths go to infinity.

For one hidden layer, u = <w, x>, the covariance c of u at x and x' and the last layer's weight variance s,

    K2 = s ( c^2 E[s''(u) s''(u')] + 2 c E[s'(u) s'(u')] ).

A ReLU has no second derivative. Allen-Zhu, Li & Liang 2019 freeze which units are active, which leaves the products of
weights of different layers, and smooth by Gaussian noise on the weights; the first term is what random signs leave of
two layers (Bai & Lee 2020). With frozen units every pair of layers contributes the part that the lower layer has in the
tangent kernel, so that for L hidden layers

    K2 = 2 sum_l (L + 1 - l) Theta_l,    Theta = sum_l Theta_l, l = 1 .. L + 1:

their second-order kernel weights the parts of the tangent kernel anew, and sees no function that it does not see.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from lebench.activations import ACTIVATIONS
from lebench.arrays import FloatArray
from lebench.errors import DataError, ParameterError
from lebench.metrics.arrays import as_floats

_RELU: Any = ACTIVATIONS["relu"].dual
_ERF: Any = ACTIVATIONS["erf"].dual


def second_order_kernel(
    x1: Any,
    x2: Any = None,
    *,
    depth: int = 1,
    activation: Literal["relu", "erf"] = "relu",
    smoothing: float = 0.0,
    weight_variance: float = 2.0,
    bias_variance: float = 0.1,
    tangent: bool = False,
) -> FloatArray:
    """Return the expected Frobenius product of the Hessians of a perceptron at two inputs, in the limit of large width.

    Neural tangent parametrization, all layers trained, as :func:`lebench.kernels.infinite_width_kernel`.

    Parameters
    ----------
    x1 : array of shape (n, d), float32 or float64
        Inputs.
    x2 : array of shape (m, d), optional
        Second inputs; by default `x1`.
    depth : int
        Hidden layers L. More than one only for ReLU without smoothing.
    activation : {"relu", "erf"}
        Of the hidden units.
    smoothing : float
        For ReLU: the network is averaged over Gaussian noise on the first layer's weights, of this many of their
        standard deviations. With 0 the active units are frozen.
    weight_variance, bias_variance : float
        Of all layers.
    tangent : bool
        Whether the tangent kernel is added: the expansion up to second order.

    Returns
    -------
    ndarray of shape (n, m), float64

    Raises
    ------
    DataError
        If inputs are empty, not finite, or differ in dimension.
    ParameterError
        If there is no hidden layer, a variance or the smoothing is out of range, or the combination has no closed form.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> second_order_kernel(x, weight_variance=2.0, bias_variance=0.0).round(4)
    array([[2., 0.],
           [0., 2.]])
    """
    check_options(depth, activation, smoothing, weight_variance, bias_variance)
    first = as_floats("inputs", x1, 2)
    second = first if x2 is None else as_floats("second inputs", x2, 2)
    if first.shape[1] != second.shape[1]:
        raise DataError(f"inputs have {first.shape[1]} dimensions, second inputs {second.shape[1]}: they must agree")
    d = first.shape[1]
    c = weight_variance * (first @ second.T) / d + bias_variance
    v1, v2 = (weight_variance * np.einsum("nd,nd->n", x, x) / d + bias_variance for x in (first, second))
    return _kernel(c, v1[:, None], v2[None], depth, activation, smoothing, weight_variance, bias_variance, tangent)


def second_order_diagonal(x: Any, **options: Any) -> FloatArray:
    """Return the second-order kernel (n,) of each input with itself.

    Parameters
    ----------
    x : array of shape (n, d), float32 or float64
        Inputs.
    **options
        As of :func:`second_order_kernel`.

    Raises
    ------
    DataError, ParameterError
        As :func:`second_order_kernel`.
    """
    rows = as_floats("inputs", x, 2)
    return np.concatenate([second_order_kernel(row[None], **options)[0] for row in rows])


def check_options(depth: int, activation: str, smoothing: float, weight_variance: float, bias_variance: float) -> None:
    """Refuse options of :func:`second_order_kernel` that make no sense or have no closed form.

    Raises
    ------
    ParameterError
        As :func:`second_order_kernel`.
    """
    if depth < 1:
        raise ParameterError(f"depth={depth}: at least one hidden layer is needed")
    if activation not in ("relu", "erf"):
        raise ParameterError(f"activation={activation!r} has no second-order kernel here: use 'relu' or 'erf'")
    if not (math.isfinite(smoothing) and smoothing >= 0):
        raise ParameterError(f"smoothing={smoothing}: a number of standard deviations, 0 or more, is needed")
    if not (0 < weight_variance < math.inf and 0 <= bias_variance < math.inf):
        raise ParameterError(f"variances {weight_variance} of weights and {bias_variance} of biases are out of range")
    if depth > 1 and (activation != "relu" or smoothing > 0):
        raise ParameterError(
            f"depth={depth} has a closed form for activation='relu' and smoothing=0 only: use these, or depth=1"
        )
    if activation == "erf" and smoothing > 0:
        raise ParameterError(f"smoothing={smoothing} is for relu: erf is smooth")


def _kernel(
    c: FloatArray,
    v1: FloatArray,
    v2: FloatArray,
    depth: int,
    activation: str,
    smoothing: float,
    weights: float,
    biases: float,
    tangent: bool,
) -> FloatArray:
    """Return the kernel from covariances and variances of the first layer's preactivations."""
    if smoothing > 0 or activation == "erf":
        value, slope, curvature = _smooth_moments(c, v1, v2, activation, smoothing)
        quadratic = weights * (c**2 * curvature + 2 * c * slope)
        return np.asarray(quadratic + (weights * (value + c * slope) + biases if tangent else 0))
    parts: list[FloatArray] = [c]
    for _ in range(depth):
        value, slope = _RELU(np, c, v1, v2)
        # c is now that of the next layer's preactivations.
        c, v1, v2 = (weights * part + biases for part in (value, v1 / 2, v2 / 2))
        parts = [weights * slope * part for part in parts] + [c]
    layers = depth + 1
    upper = [2 * (layers - number) + tangent for number in range(1, layers + 1)]
    return np.asarray(sum(count * part for count, part in zip(upper, parts, strict=True)))


def _smooth_moments(
    c: FloatArray, v1: FloatArray, v2: FloatArray, activation: str, smoothing: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return E[s s], E[s' s'] and E[s'' s''] of erf, or of a ReLU smoothed by noise that is fresh at each input."""
    if activation == "erf":
        value, slope = _ERF(np, c, v1, v2)
        spread = (1 + 2 * v1) * (1 + 2 * v2) - 4 * c**2
        return value, slope, 16 / math.pi * c / spread**1.5
    # Smoothing is an average over noise of its own at each input: it adds to the variances, not to the covariance.
    noisy1, noisy2 = (1 + smoothing**2) * v1, (1 + smoothing**2) * v2
    value, slope = _RELU(np, c, noisy1, noisy2)
    # The second derivative of a smoothed ReLU is a density: their product is that of both preactivations at zero. An
    # input of zeros without biases has no preactivation: it is orthogonal to all others, and the curvature is not used.
    determinant = np.asarray(noisy1 * noisy2 - c**2)
    curvature = np.divide(1, 2 * math.pi * np.sqrt(determinant), out=np.zeros_like(determinant), where=determinant > 0)
    return value, slope, curvature
