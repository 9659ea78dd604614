"""Bounds of the generalization error of two-layer ReLU networks, by the capacity of their units and by norms of layers.

Source: Neyshabur, Li, Bhojanapalli, LeCun & Srebro 2019, theorems 1 and 2, and the bounds that its figures compare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import metric
from lebench.metrics.capacity import (
    CAPACITY_TAGS,
    PAPER,
    SYMMETRIES,
    frobenius_norm,
    network_answers,
    read_init,
    read_layers,
    row_norms,
    spectral_norm,
    unit_impact,
)

_BOUND = ("hidden", "hidden_init", "output", "inputs", "gamma")


def _read_inputs(inputs: Any, hidden: FloatArray) -> FloatArray:
    x = as_floats("inputs", inputs, 2)
    if x.shape[1] != hidden.shape[1]:
        raise DataError(f"inputs have shape {x.shape}: (points, {hidden.shape[1]}) is needed by the hidden weights")
    return x


def read_margin(gamma: float) -> float:
    """Return a margin as a float.

    Raises
    ------
    DataError
        If it is not finite. A margin that is not positive is no error: bounds at it are infinite.
    """
    value = float(gamma)
    if not math.isfinite(value):
        raise DataError(f"gamma is {value}: a finite margin is needed")
    return value


def _terms(hidden: Any, hidden_init: Any, output: Any, inputs: Any) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return alpha, beta, |u_j^0 X| per unit and ||X||_F."""
    first, second = read_layers(hidden, output)
    start = read_init("initial hidden weights", hidden_init, first)
    x = _read_inputs(inputs, first)
    return unit_impact(second), row_norms(first - start), row_norms(start @ x.T), frobenius_norm(x)


_metric = partial(metric, direction="lower", bounds=(0.0, math.inf), invariant_to=SYMMETRIES, tags=CAPACITY_TAGS)


@_metric(
    symbol=r"\hat{\mathcal R}_\gamma",
    equation=r"\frac{2\sqrt{2c}+2}{\gamma m}\sum_j \alpha_j\left(\beta_j\|X\|_F + \|u_j^0 X\|\right)",
    source=f"{PAPER}, theorem 1, first line",
    known_answers=network_answers(_BOUND, 6 + 3 * math.sqrt(2), 60.0),
)
def unit_bound(hidden: Any, hidden_init: Any, output: Any, inputs: Any, gamma: float) -> float:
    """Bound of the Rademacher complexity of a two-layer ReLU network by the capacity and impact of its units.

    Invariant to the order of the units, to a rotation of inputs and hidden weights together, and to the rescaling
    (U, U0, V) to (cU, cU0, V/c), c > 0, which leaves the function unchanged.

    Parameters
    ----------
    hidden, hidden_init : array of shape (h, d), float32 or float64
        Hidden weights U after training and U0 before; no biases.
    output : array of shape (c, h), float32 or float64
        Output weights V.
    inputs : array of shape (m, d), float32 or float64
        Training inputs.
    gamma : float
        Margin of the ramp loss. If it is not positive, nothing is bounded and the value is infinite.

    Raises
    ------
    DataError
        If the arrays do not fit, are empty or not finite, or the margin is not finite.
    """
    impact, capacity, start, x = _terms(hidden, hidden_init, output, inputs)
    return _theorem_1(float(impact @ (capacity * x + start)), output, inputs, gamma)


@_metric(
    symbol=r"\hat{\mathcal R}^F_\gamma",
    equation=r"\frac{2\sqrt{2c}+2}{\gamma\sqrt m}\|\alpha\|"
    r"\left(\|\beta\|\sqrt{\tfrac1m\textstyle\sum_i\|x_i\|^2} + \sqrt{\tfrac1m\textstyle\sum_i\|U^0x_i\|^2}\right)",
    source=f"{PAPER}, theorem 1, second line",
    known_answers=network_answers(_BOUND, 6 + 3 * math.sqrt(2), 60.0),
)
def unit_bound_norms(hidden: Any, hidden_init: Any, output: Any, inputs: Any, gamma: float) -> float:
    """The bound of `unit_bound` loosened to norms of whole layers; equal if all units share one ratio.

    Takes what :func:`unit_bound` takes.
    """
    impact, capacity, start, x = _terms(hidden, hidden_init, output, inputs)
    norms = [float(np.linalg.norm(vector)) for vector in (impact, capacity, start)]
    return _theorem_1(norms[0] * (norms[1] * x + norms[2]), output, inputs, gamma)


def _theorem_1(total: float, output: Any, inputs: Any, gamma: float) -> float:
    margin = read_margin(gamma)
    if margin <= 0:
        return math.inf
    return (2 * math.sqrt(2 * len(output)) + 2) * total / (margin * len(inputs))


@_metric(
    symbol=r"\tilde O",
    equation=r"\frac{\sqrt c\,\|V\|_F\left(\|U-U^0\|_F\|X\|_F + \|U^0X\|_F\right)}{\gamma m} + \sqrt{h/m}",
    source=f"{PAPER}, theorem 2, without constants and logarithms",
    known_answers=network_answers(_BOUND, 2 + math.sqrt(2), 10 * math.sqrt(2) + 1),
)
def two_layer_bound(hidden: Any, hidden_init: Any, output: Any, inputs: Any, gamma: float) -> float:
    """Bound of the generalization error of a two-layer ReLU network, up to constants and logarithms.

    Takes what :func:`unit_bound` takes.
    """
    impact, capacity, start, x = _terms(hidden, hidden_init, output, inputs)
    margin, points = read_margin(gamma), len(inputs)
    if margin <= 0:
        return math.inf
    norms = [float(np.linalg.norm(vector)) for vector in (impact, capacity, start)]
    fit = math.sqrt(len(output)) * norms[0] * (norms[1] * x + norms[2]) / (margin * points)
    return fit + math.sqrt(len(impact) / points)


def effective_capacities(
    hidden: Any,
    hidden_init: Any,
    output: Any,
    output_init: Any,
    inputs: Any,
    gamma: float,
    *,
    hidden_bias_init: Any = None,
    parameters: int | None = None,
    delta: float = 0.01,
) -> Mapping[str, float]:
    """Six bounds with all their constants, as the number of points E at which sqrt(E/m) bounds the error.

    With m points, margin gamma, and norms as in :mod:`lebench.metrics.capacity`; B^2 = mean |x|^2, P parameters.
    A value above m says nothing.

    - ``vc``: 8 c D ln(e max(m/D, 1)) + 8 ln(2/delta), with the VC dimension D of Harvey et al. 2017.
    - ``l1_max``: (R + 3 sqrt(ln(m/delta)))^2, R = 16 c ||U||_{inf,1} ||V||_{inf,1} sqrt(ln d) max|x_j| / gamma
      (Bartlett & Mendelson 2002).
    - ``frobenius``: the same with R = 8 sqrt(c) ||U||_F ||V||_F B / gamma (Neyshabur et al. 2015).
    - ``spectral_l1``: Bartlett et al. 2017, with R = 144 ln(m) ln(2P) (B + 1/sqrt(m))
      (a^(2/3) + b^(2/3))^(3/2) / gamma, a and b the two terms of :func:`capacity_spectral_l1`.
    - ``spectral_frobenius``: R^2 + 6 ln(2m/delta), R = 336 sqrt(ln(8h)/2) max|x| sqrt(h a^2 + c b^2) / gamma,
      a = ||V||_2 ||U-U0||_F, b = ||U||_2 ||V-V0||_F (Neyshabur et al. 2018).
    - ``unit``: (R + 3 sqrt(5h + ln(max(1, gamma sqrt(m))/delta)))^2, R = 3 sqrt(2) (sqrt(2c) + 1) (||V||_F + 1)
      (A + ||U-U0||_F B + 1) / gamma, A^2 = mean |[U0 x + b0]_+|^2 (Neyshabur et al. 2019, released code, which
      takes the output of the initial units where theorem 2 has ||U0 X||_F).

    Parameters
    ----------
    hidden, hidden_init : array of shape (h, d), float32 or float64
        Hidden weights after training and before.
    output, output_init : array of shape (c, h), float32 or float64
        Output weights after training and before.
    inputs : array of shape (m, d), float32 or float64
        Training inputs.
    gamma : float
        Margin; every bound but ``vc`` is infinite if it is not positive.
    hidden_bias_init : array of shape (h,), optional
        Biases of the hidden units before training; zero by default.
    parameters : int, optional
        Parameters of the network; by default its weights, without biases.
    delta : float
        Probability that a bound does not hold, in (0, 1).

    Raises
    ------
    DataError
        If the arrays do not fit, are empty or not finite, the margin is not finite, `parameters` is below 1, or
        `delta` is not in (0, 1).
    """
    first, second = read_layers(hidden, output)
    start = read_init("initial hidden weights", hidden_init, first)
    moved, moved_2 = first - start, second - read_init("initial output weights", output_init, second)
    x, margin = _read_inputs(inputs, first), read_margin(gamma)
    bias = np.zeros(len(first)) if hidden_bias_init is None else as_floats("initial biases", hidden_bias_init, 1)
    if len(bias) != len(first):
        raise DataError(f"initial biases have shape {bias.shape}: ({len(first)},) is needed")
    if not 0 < delta < 1:
        raise DataError(f"delta is {delta}: a probability between 0 and 1 is needed")
    (h, d), c, m = first.shape, len(second), len(x)
    count = first.size + second.size if parameters is None else parameters
    if count < 1:
        raise DataError(f"parameters is {count}: a network has at least one")
    values = {"vc": _vc_capacity(h, d, c, m, count, delta)}
    if margin <= 0:
        return values | dict.fromkeys(("l1_max", "frobenius", "spectral_l1", "spectral_frobenius", "unit"), math.inf)
    mean_square, spread = float(np.square(x).sum() / m), 3 * math.sqrt(math.log(m / delta))
    spectra, moves = (spectral_norm(first), spectral_norm(second)), (frobenius_norm(moved), frobenius_norm(moved_2))
    largest = [float(np.abs(layer).sum(axis=1).max()) for layer in (first, second)]
    complexity = 16 * c * largest[0] * largest[1] * math.sqrt(math.log(d)) * float(np.abs(x).max()) / margin
    values["l1_max"] = (complexity + spread) ** 2
    complexity = 8 * math.sqrt(c * mean_square) * frobenius_norm(first) * frobenius_norm(second) / margin
    values["frobenius"] = (complexity + spread) ** 2
    terms = spectra[1] * float(row_norms(moved).sum()), spectra[0] * float(row_norms(moved_2).sum())
    complexity = 144 * math.log(m) * math.log(2 * count) * (math.sqrt(mean_square) + 1 / math.sqrt(m)) / margin
    complexity *= (terms[0] ** (2 / 3) + terms[1] ** (2 / 3)) ** 1.5
    union = sum(math.log(2 + 2 * norm) for norm in (*spectra, *moves)) + math.log(2 + math.sqrt(m * mean_square))
    values["spectral_l1"] = (
        complexity + math.sqrt(4.5 * math.log(1 / delta) + math.log(2 * m / margin) + 2 * union)
    ) ** 2
    terms = spectra[1] * moves[0], spectra[0] * moves[1]
    complexity = 336 * math.sqrt(math.log(8 * h) / 2) * float(row_norms(x).max()) / margin
    values["spectral_frobenius"] = complexity**2 * (h * terms[0] ** 2 + c * terms[1] ** 2) + 6 * math.log(2 * m / delta)
    initial = frobenius_norm(np.maximum(x @ start.T + bias, 0)) / math.sqrt(m)
    complexity = 3 * math.sqrt(2) * (math.sqrt(2 * c) + 1) * (frobenius_norm(second) + 1) / margin
    complexity *= initial + moves[0] * math.sqrt(mean_square) + 1
    values["unit"] = (complexity + 3 * math.sqrt(5 * h + math.log(max(1.0, margin * math.sqrt(m)) / delta))) ** 2
    return values


def _vc_capacity(h: int, d: int, c: int, m: int, parameters: int, delta: float) -> float:
    units, weights = h + 2 * c, ((d + 1) * h, (h + 1) * c)
    depth = (2 * weights[0] + weights[1]) / (weights[0] + weights[1])
    dimension = 2 + parameters * depth * math.log2(8 * math.e * units * math.log2(4 * math.e * units))
    return 8 * c * dimension * math.log(math.e * max(m / dimension, 1)) + 8 * math.log(2 / delta)
