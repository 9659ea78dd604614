"""Generalization: accuracy, proper scores, calibration and margins."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("generalization",)

#: Probabilities are clipped to [eps, 1 - eps], so that a certain and wrong prediction costs 36 nats, not infinity.
LOG_LOSS_EPS = float(np.finfo(np.float64).eps)

#: How far the sum of a row of probabilities may be from 1: rounding of float32 over many classes.
_SUM_TOLERANCE = 1e-4


def _read_scores(scores: Any, labels: Any, what: str = "scores") -> tuple[FloatArray, IntArray]:
    values = as_floats(what, scores, 2)
    if values.shape[1] < 2:
        raise DataError(f"{what} have shape {values.shape}: a column for each of at least two classes is needed")
    return values, as_labels("labels", labels, len(values), values.shape[1])


def _read_probabilities(probabilities: Any, labels: Any) -> tuple[FloatArray, IntArray]:
    values, y = _read_scores(probabilities, labels, "probabilities")
    if values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise DataError("probabilities must be non-negative with rows that sum to 1: apply a softmax to scores first")
    return values, y


def _margins(scores: FloatArray, labels: IntArray) -> FloatArray:
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -math.inf
    return np.asarray(scores[rows, labels] - others.max(axis=1))


def _scores_four_points() -> dict[str, Any]:
    # Right by 1, wrong by 2, a tie (wrong), right by 3.
    scores = [[2.0, 1.0, 0.0], [3.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 4.0]]
    return {"scores": np.array(scores), "labels": np.array([0, 1, 0, 2])}


def _uniform(classes: int, n: int) -> dict[str, Any]:
    return {"probabilities": np.full((n, classes), 1 / classes), "labels": np.arange(n) % classes}


def _half_right_at_three_quarters() -> dict[str, Any]:
    probabilities = np.array([[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    return {"probabilities": probabilities, "labels": np.array([0, 1, 1, 0])}


_metric = partial(metric, direction="lower", tags=_TAGS)


@_metric(
    symbol=r"\mathrm{acc}",
    equation=r"\frac1n\sum_i \mathbf 1\left[f_{y_i}(x_i) > \max_{c\ne y_i} f_c(x_i)\right]",
    source="standard; a tie of the maximum counts as wrong (our choice, so that a constant scores nothing)",
    direction="higher",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer("two right, one wrong, one tie", _scores_four_points, 0.5, "counting"),
        KnownAnswer(
            "a constant", lambda: {"scores": np.zeros((6, 3)), "labels": np.arange(6) % 3}, 0.0, "every score is a tie"
        ),
    ),
)
def accuracy(scores: Any, labels: Any) -> float:
    """Fraction of points whose true class has the strictly largest score.

    Parameters
    ----------
    scores : array of shape (n, C), float32 or float64
        Scores; NumPy, torch or JAX.
    labels : array of shape (n,), integer
        Labels 0 to C-1; classes may be absent.

    Examples
    --------
    >>> accuracy(np.array([[2.0, 1.0], [0.0, 0.0]]), np.array([0, 1]))
    0.5
    """
    return float(np.mean(_margins(*_read_scores(scores, labels)) > 0))


@_metric(
    symbol=r"\mathrm{err}",
    equation=r"1 - \mathrm{acc}",
    source="standard; a tie of the maximum counts as wrong (our choice)",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(KnownAnswer("two right, one wrong, one tie", _scores_four_points, 0.5, "counting"),),
)
def error(scores: Any, labels: Any) -> float:
    """Fraction of points that are classified wrongly, ties included.

    Takes what :func:`accuracy` takes.
    """
    return float(np.mean(_margins(*_read_scores(scores, labels)) <= 0))


@_metric(
    symbol=r"\ell_{\log}",
    equation=r"-\frac1n\sum_i \ln\,\mathrm{clip}(p_{i,y_i},\varepsilon,1-\varepsilon),\quad \varepsilon=2^{-52}",
    source="standard; clipped as in scikit-learn",
    bounds=(0.0, -math.log(LOG_LOSS_EPS)),
    unit="nats",
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("uniform over 10 classes", lambda: _uniform(10, 20), math.log(10), "ln C"),
        KnownAnswer(
            "3/4 on one class, right half of the time",
            _half_right_at_three_quarters,
            math.log(4) - math.log(3) / 2,
            "-(ln 3/4 + ln 1/4)/2",
        ),
        KnownAnswer(
            "certain and wrong",
            lambda: {"probabilities": np.array([[1.0, 0.0]]), "labels": np.array([1])},
            -math.log(LOG_LOSS_EPS),
            "the clip",
        ),
    ),
)
def log_loss(probabilities: Any, labels: Any) -> float:
    """Mean negative log-likelihood in nats, probabilities clipped at 2^-52.

    Parameters
    ----------
    probabilities : array of shape (n, C), float32 or float64
        Rows sum to 1.
    labels : array of shape (n,), integer
        Labels 0 to C-1.

    Raises
    ------
    DataError
        If the rows are no probabilities, or as in :func:`accuracy`.
    """
    values, y = _read_probabilities(probabilities, labels)
    true = np.clip(values[np.arange(len(y)), y], LOG_LOSS_EPS, 1 - LOG_LOSS_EPS)
    return float(-np.mean(np.log(true)))


@_metric(
    symbol=r"\mathrm{BS}",
    equation=r"\frac1n\sum_i\sum_c (p_{ic} - \mathbf 1[y_i=c])^2",
    source="Brier 1950, the multi-class form; for two classes twice the one-column form",
    bounds=(0.0, 2.0),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("uniform over 10 classes", lambda: _uniform(10, 20), 0.9, "1 - 1/C"),
        KnownAnswer(
            "certain and wrong",
            lambda: {"probabilities": np.array([[1.0, 0.0]]), "labels": np.array([1])},
            2.0,
            "the upper bound",
        ),
    ),
)
def brier(probabilities: Any, labels: Any) -> float:
    """Mean squared distance of the probabilities from the one-hot label, summed over classes.

    Parameters
    ----------
    probabilities : array of shape (n, C), float32 or float64
        Rows sum to 1.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    """
    values, y = _read_probabilities(probabilities, labels)
    return float(np.mean(np.sum((values - np.eye(values.shape[1])[y]) ** 2, axis=1)))


@_metric(
    symbol=r"\mathrm{ECE}",
    equation=r"\sum_b \frac{n_b}{n}\left|\mathrm{acc}(b) - \mathrm{conf}(b)\right|",
    source="Guo et al. 2017, eq. 3; equal-width bins, closed on the right",
    bounds=(0.0, 1.0),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer("confidence 3/4, accuracy 1/2", _half_right_at_three_quarters, 0.25, "|1/2 - 3/4| in one bin"),
        KnownAnswer(
            "confidence 3/4, accuracy 3/4",
            lambda: {"probabilities": np.tile([0.75, 0.25], (4, 1)), "labels": np.array([0, 0, 0, 1])},
            0.0,
            "calibrated by construction",
        ),
    ),
)
def expected_calibration_error(probabilities: Any, labels: Any, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over equal-width bins of the confidence.

    Parameters
    ----------
    probabilities : array of shape (n, C), float32 or float64
        Rows sum to 1.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    bins : int
        Number of bins of (0, 1].

    Raises
    ------
    DataError
        If `bins` is not positive, or as in :func:`log_loss`.
    """
    if bins < 1:
        raise DataError(f"bins is {bins}: at least one is needed")
    values, y = _read_probabilities(probabilities, labels)
    confidence = values.max(axis=1)
    right = _margins(values, y) > 0
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    gaps = np.bincount(np.searchsorted(edges, confidence, side="left"), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(y))


@_metric(
    symbol=r"\Delta",
    equation=r"\mathrm{acc}_\mathrm{train} - \mathrm{acc}_\mathrm{test}",
    source="standard",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer(
            "all right in training, half in test",
            lambda: {
                "scores_train": np.eye(3),
                "labels_train": np.arange(3),
                "scores_test": _scores_four_points()["scores"],
                "labels_test": _scores_four_points()["labels"],
            },
            0.5,
            "1 - 1/2",
        ),
    ),
)
def generalization_gap(scores_train: Any, labels_train: Any, scores_test: Any, labels_test: Any) -> float:
    """Training accuracy minus test accuracy.

    Parameters
    ----------
    scores_train, scores_test : array of shape (n, C), float32 or float64
        Scores.
    labels_train, labels_test : array of shape (n,), integer
        Labels 0 to C-1.
    """
    return accuracy(scores_train, labels_train) - accuracy(scores_test, labels_test)


@_metric(
    symbol=r"\gamma_q",
    equation=r"\mathrm{percentile}_q\left(f_{y_i}(x_i) - \max_{c\ne y_i} f_c(x_i)\right)",
    source="Dziugaite et al. 2020 (10th percentile); linear interpolation between points",
    direction="higher",
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer(
            "margins 0, 1, ..., 10",
            lambda: {
                "scores": np.stack([np.arange(11.0), np.zeros(11)], axis=1),
                "labels": np.zeros(11, dtype=np.int64),
            },
            1.0,
            "order statistic",
        ),
        KnownAnswer(
            "the smallest of 1, -2, 0, 3", lambda: {**_scores_four_points(), "percentile": 0.0}, -2.0, "minimum"
        ),
    ),
)
def margin(scores: Any, labels: Any, percentile: float = 10.0) -> float:
    """Percentile of the margins: score of the true class minus the best other score.

    Parameters
    ----------
    scores : array of shape (n, C), float32 or float64
        Scores.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    percentile : float
        From 0 (the smallest margin) to 100.

    Raises
    ------
    DataError
        If `percentile` is out of range, or as in :func:`accuracy`.
    """
    if not 0 <= percentile <= 100:
        raise DataError(f"percentile is {percentile}: a number from 0 to 100 is needed")
    return float(np.percentile(_margins(*_read_scores(scores, labels)), percentile))
