"""Capacity of two-layer ReLU networks: unit capacity and impact, and the norms that it is compared with.

The network is f(x) = V [U x]_+ with hidden weights U (h, d) and output weights V (c, h), which started at U0 and V0.
Source: Neyshabur, Li, Bhojanapalli, LeCun & Srebro 2019, "The role of over-parametrization in generalization of neural
networks", theorems 1 and 2 and table 1. The constants of table 1 are dropped there and here.
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
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.planted import two_layer_identities, two_layer_one_unit

CAPACITY_TAGS = ("generalization", "capacity")
#: The source of every definition here.
PAPER = "Neyshabur et al. 2019"
#: Order of the units; a rotation of inputs and hidden weights together; (U, U0, V, V0) to (cU, cU0, V/c, V0/c), c > 0.
SYMMETRIES = ("permutation", "rotation", "rescaling")
_CLOSED_FORM = "closed form"
_ALL = ("hidden", "hidden_init", "output", "output_init")


def network_answers(names: tuple[str, ...], identity: float, one_unit: float) -> tuple[KnownAnswer, ...]:
    """Return the known answers on the two planted networks, of which the named parts are the inputs."""
    return (
        KnownAnswer(
            "two units, all matrices multiples of I", lambda: two_layer_identities(*names), identity, _CLOSED_FORM
        ),
        KnownAnswer("one unit, two outputs", lambda: two_layer_one_unit(*names), one_unit, _CLOSED_FORM),
    )


def read_layers(hidden: Any, output: Any) -> tuple[FloatArray, FloatArray]:
    """Return the weights (h, d) and (c, h) of the two layers, or raise a DataError."""
    first, second = as_floats("hidden weights", hidden, 2), as_floats("output weights", output, 2)
    if second.shape[1] != len(first):
        raise DataError(
            f"output weights have shape {second.shape}, hidden weights {first.shape}: "
            "(classes, units) and (units, inputs) are needed"
        )
    return first, second


def read_init(name: str, array: Any, final: FloatArray) -> FloatArray:
    """Return the initial weights of a layer, or raise a DataError if they have another shape than the final ones."""
    values = as_floats(name, array, 2)
    if values.shape != final.shape:
        raise DataError(f"{name} have shape {values.shape}, after training {final.shape}: they must be the same layer")
    return values


def spectral_norm(matrix: FloatArray) -> float:
    """Return the largest singular value of a matrix."""
    # The largest eigenvalue of the smaller Gram matrix is as exact as a singular value, and several times as fast.
    narrow = matrix if len(matrix) < matrix.shape[1] else matrix.T
    return math.sqrt(max(float(np.linalg.eigvalsh(narrow @ narrow.T)[-1]), 0.0))


def frobenius_norm(matrix: FloatArray) -> float:
    """Return the root of the sum of squares of a matrix."""
    return float(np.linalg.norm(matrix))


def row_norms(matrix: FloatArray) -> FloatArray:
    """Return the Euclidean norm of each row."""
    return np.asarray(np.linalg.norm(matrix, axis=1))


def unit_capacity(hidden: Any, hidden_init: Any) -> FloatArray:
    """Distance of each hidden unit's incoming weights from initialization: beta_i = |u_i - u_i^0|.

    Parameters
    ----------
    hidden, hidden_init : array of shape (h, d), float32 or float64
        Hidden weights after training and before.

    Returns
    -------
    ndarray of shape (h,), float64

    Examples
    --------
    >>> unit_capacity(1.5 * np.eye(2), np.eye(2))
    array([0.5, 0.5])
    """
    final = as_floats("hidden weights", hidden, 2)
    return row_norms(final - read_init("initial hidden weights", hidden_init, final))


def unit_impact(output: Any) -> FloatArray:
    """Norm of each hidden unit's outgoing weights: alpha_i = |v_i|.

    Parameters
    ----------
    output : array of shape (c, h), float32 or float64
        Output weights.

    Returns
    -------
    ndarray of shape (h,), float64
    """
    return row_norms(as_floats("output weights", output, 2).T)


_metric = partial(metric, direction="lower", bounds=(0.0, math.inf), invariant_to=SYMMETRIES, tags=CAPACITY_TAGS)


@_metric(
    symbol=r"dh",
    equation=r"d\,h",
    source=f"{PAPER}, table 1 (VC dimension, Harvey et al. 2017)",
    bounds=(1.0, math.inf),
    known_answers=network_answers(("hidden",), 4.0, 1.0),
)
def capacity_parameters(hidden: Any) -> float:
    """Number of hidden weights: inputs times hidden units.

    Takes weights as :func:`two_layer_measures` does.
    """
    return float(as_floats("hidden weights", hidden, 2).size)


@_metric(
    symbol=r"\|U\|_{\infty,1}\|V\|_{\infty,1}",
    equation=r"\max_i\|u_i\|_1\,\max_k\sum_i|V_{ki}|",
    source=f"{PAPER}, table 1 (Bartlett & Mendelson 2002)",
    invariant_to=("permutation", "rescaling"),
    known_answers=network_answers(("hidden", "output"), 1.5, 8.0),
)
def capacity_l1_max(hidden: Any, output: Any) -> float:
    """Largest sum of absolute incoming weights of a unit, times the same of an output.

    Takes weights as :func:`two_layer_measures` does.
    """
    first, second = read_layers(hidden, output)
    return float(np.abs(first).sum(axis=1).max() * np.abs(second).sum(axis=1).max())


@_metric(
    symbol=r"\|U\|_F\|V\|_F",
    equation=r"\|U\|_F\,\|V\|_F",
    source=f"{PAPER}, table 1 (Neyshabur et al. 2015)",
    known_answers=network_answers(("hidden", "output"), 3.0, 10.0),
)
def capacity_frobenius(hidden: Any, output: Any) -> float:
    """Product of the Frobenius norms of the two layers.

    Takes weights as :func:`two_layer_measures` does.
    """
    first, second = read_layers(hidden, output)
    return frobenius_norm(first) * frobenius_norm(second)


def _read_all(
    hidden: Any, hidden_init: Any, output: Any, output_init: Any
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return U, U - U0, V and V - V0."""
    first, second = read_layers(hidden, output)
    first_start = read_init("initial hidden weights", hidden_init, first)
    return first, first - first_start, second, second - read_init("initial output weights", output_init, second)


@_metric(
    symbol=r"\mathcal C_{2,1}",
    equation=r"\|U\|_2\|V-V^0\|_{1,2} + \|U-U^0\|_{1,2}\|V\|_2",
    source=f"{PAPER}, table 1 (Bartlett et al. 2017); sums of the norms of the rows: of each unit's incoming weights",
    known_answers=network_answers(_ALL, 4.0, 19.0),
)
def capacity_spectral_l1(hidden: Any, hidden_init: Any, output: Any, output_init: Any) -> float:
    """Spectral norm of each layer times the summed distances that the other layer's units moved.

    Takes weights as :func:`two_layer_measures` does.
    """
    first, moved, second, second_moved = _read_all(hidden, hidden_init, output, output_init)
    return float(spectral_norm(first) * row_norms(second_moved).sum() + row_norms(moved).sum() * spectral_norm(second))


@_metric(
    symbol=r"\mathcal C_{2,F}",
    equation=r"\|U\|_2\|V-V^0\|_F + \sqrt h\,\|U-U^0\|_F\|V\|_2",
    source=f"{PAPER}, table 1 (Neyshabur et al. 2018)",
    known_answers=network_answers(_ALL, 1.5 * math.sqrt(2) + 1, 15.0),
)
def capacity_spectral_frobenius(hidden: Any, hidden_init: Any, output: Any, output_init: Any) -> float:
    """Spectral norm of each layer times the distance that the other moved, with the root of the width.

    Takes weights as :func:`two_layer_measures` does.
    """
    first, moved, second, second_moved = _read_all(hidden, hidden_init, output, output_init)
    wide = math.sqrt(len(first)) * frobenius_norm(moved) * spectral_norm(second)
    return spectral_norm(first) * frobenius_norm(second_moved) + wide


@_metric(
    symbol=r"\mathcal C_\mathrm{unit}",
    equation=r"\|U^0\|_2\|V\|_F + \|U-U^0\|_F\|V\|_F + \sqrt h",
    source=f"{PAPER}, table 1 (theorem 2)",
    bounds=(1.0, math.inf),
    known_answers=network_answers(("hidden", "hidden_init", "output"), 2 * math.sqrt(2) + 1, 11.0),
)
def capacity_unit(hidden: Any, hidden_init: Any, output: Any) -> float:
    """Norms of unit capacity and unit impact with the initialization: the measure that falls with width.

    Takes weights as :func:`two_layer_measures` does.
    """
    first, second = read_layers(hidden, output)
    start = read_init("initial hidden weights", hidden_init, first)
    impact = frobenius_norm(second)
    return spectral_norm(start) * impact + frobenius_norm(first - start) * impact + math.sqrt(len(first))


def two_layer_measures(hidden: Any, hidden_init: Any, output: Any, output_init: Any) -> Mapping[str, float]:
    """The six measures of table 1, by the names of their metrics and in the order of the table.

    Parameters
    ----------
    hidden, hidden_init : array of shape (h, d), float32 or float64
        Hidden weights after training and before.
    output, output_init : array of shape (c, h), float32 or float64
        Output weights after training and before.
    """
    return {
        "capacity_parameters": capacity_parameters(hidden),
        "capacity_l1_max": capacity_l1_max(hidden, output),
        "capacity_frobenius": capacity_frobenius(hidden, output),
        "capacity_spectral_l1": capacity_spectral_l1(hidden, hidden_init, output, output_init),
        "capacity_spectral_frobenius": capacity_spectral_frobenius(hidden, hidden_init, output, output_init),
        "capacity_unit": capacity_unit(hidden, hidden_init, output),
    }
