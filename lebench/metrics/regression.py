"""Errors of predictions of real numbers, in units in which they can be compared."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("generalization", "regression")


def _read(predictions: Any, targets: Any) -> tuple[FloatArray, FloatArray]:
    found, wanted = as_floats("predictions", predictions, 2), as_floats("targets", targets, 2)
    if found.shape != wanted.shape:
        raise DataError(f"predictions have shape {found.shape}, targets {wanted.shape}: they must be the same")
    return found, wanted


def _two_points(prediction: float, **more: Any) -> dict[str, Any]:
    return {"predictions": np.full((2, 1), prediction), "targets": np.array([[1.0], [3.0]]), **more}


_metric = partial(metric, direction="lower", bounds=(0.0, math.inf), tags=_TAGS)


@_metric(
    symbol=r"d\,L",
    equation=r"\frac dn\sum_i|f(x_i)-y_i|^2",
    source="Li, Ma & Zhang 2020 compare losses with 1/d, the order of a constant predictor's",
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer("predicting zero", lambda: _two_points(0.0, dimension=4), 20.0, "4 (1 + 9)/2"),
        KnownAnswer("predicting the mean", lambda: _two_points(2.0, dimension=4), 4.0, "4 times the variance 1"),
    ),
)
def scaled_loss(predictions: Any, targets: Any, dimension: int) -> float:
    """Mean squared error times the dimension of the input.

    Parameters
    ----------
    predictions, targets : array of shape (n, K), float32 or float64
        What is predicted, and what is true.
    dimension : int
        Of the input, d, at least 1.

    Raises
    ------
    DataError
        If the shapes differ, an array is empty or not finite, or the dimension is below 1.
    """
    found, wanted = _read(predictions, targets)
    if dimension < 1:
        raise DataError(f"dimension is {dimension}: at least 1 is needed")
    return float(dimension * np.square(found - wanted).sum(axis=1).mean())


@_metric(
    symbol=r"1-R^2",
    equation=r"\sum_i|f(x_i)-y_i|^2\,/\,\sum_i|y_i-\bar y|^2",
    source="standard: one minus the coefficient of determination",
    invariant_to=("permutation", "translation", "scale"),
    known_answers=(
        KnownAnswer("predicting the mean", lambda: _two_points(2.0), 1.0, "identity"),
        KnownAnswer("predicting zero", lambda: _two_points(0.0), 5.0, "(1 + 9)/(1 + 1)"),
    ),
)
def unexplained_share(predictions: Any, targets: Any) -> float:
    """Mean squared error as a share of the variance of the targets; a constant has 1 at best.

    Parameters
    ----------
    predictions, targets : array of shape (n, K), float32 or float64
        What is predicted, and what is true.

    Raises
    ------
    DataError
        If the shapes differ, an array is empty or not finite, or all targets are equal.
    """
    found, wanted = _read(predictions, targets)
    spread = np.square(wanted - wanted.mean(axis=0)).sum()
    if spread == 0:
        raise DataError("targets are all equal: there is no variance to explain")
    return float(np.square(found - wanted).sum() / spread)


@_metric(
    symbol=r"L/L_\mathrm{ref}",
    equation=r"L\,/\,L_\mathrm{ref}",
    source="ours: below 1 a model beats what it is compared with, at the same points",
    known_answers=(
        KnownAnswer("half of it", lambda: {"loss": 0.25, "reference": 0.5}, 0.5, "division"),
        KnownAnswer("the reference itself", lambda: {"loss": 0.3, "reference": 0.3}, 1.0, "identity"),
    ),
)
def loss_ratio(loss: float, reference: float) -> float:
    """Loss of a model in units of another's.

    Parameters
    ----------
    loss : float
        Not negative.
    reference : float
        Positive.

    Raises
    ------
    DataError
        If the loss is negative or the reference not positive, or one is not finite.
    """
    if not (0 <= loss < math.inf and 0 < reference < math.inf):
        raise DataError(f"loss is {loss}, reference {reference}: finite, not negative, and positive is needed")
    return float(loss / reference)
