"""Class-level sensitivity: how much removing a training point moves its own class, and how much the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, class_counts
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("elasticity", "stability")


def read_changes(changes: Any) -> FloatArray:
    """Return changes (n, m), float64, none of them negative."""
    values = as_floats("changes", changes, 2)
    if values.min() < 0:
        raise DataError("changes contain a negative value: take absolute values before averaging")
    return values


def class_sensitivity_matrix(changes: Any, train_labels: Any, target_labels: Any) -> FloatArray:
    """Return C(a, b): mean change at targets of class b when a training point of class a is removed.

    Deng, He & Su 2021, class-level sensitivity. A row for each class of which a point was removed, in ascending order:
    all C if every training point is removed once, fewer where only some are.

    Parameters
    ----------
    changes : array of shape (n, m), float32 or float64
        Size of the change at target j when training point i is removed: of its loss, or of its scores (their norm).
    train_labels : array of shape (n,), integer
        Classes of the removed training points; not all classes need to occur.
    target_labels : array of shape (m,), integer
        Classes of the targets.

    Returns
    -------
    ndarray of shape (A, C), float64
        A classes were removed from.

    Raises
    ------
    DataError
        If a change is negative, the shapes do not fit, or a class has no targets.
    """
    size = read_changes(changes)
    train = as_labels("train_labels", train_labels, size.shape[0])
    target = as_labels("target_labels", target_labels, size.shape[1])
    classes = int(max(train.max(), target.max())) + 1
    class_counts("target_labels", target, classes)
    removed = np.unique(train)
    return np.asarray(_averaging(removed, train) @ size @ _averaging(np.arange(classes), target).T)


def _averaging(classes: IntArray, labels: IntArray) -> FloatArray:
    members = np.equal.outer(classes, labels)
    return np.asarray(members / members.sum(axis=1, keepdims=True), dtype=np.float64)


def _sensitivity_score(changes: Any, train_labels: Any, target_labels: Any) -> tuple[float, int]:
    matrix = class_sensitivity_matrix(changes, train_labels, target_labels)
    if not matrix.any():
        raise DataError("nothing changes when a training point is removed: the class sensitivity is undefined")
    own = matrix[np.arange(len(matrix)), np.unique(train_labels)]
    return float(own.mean() / matrix.mean()), matrix.shape[1]


def _removal(classes: int, *, loss: bool) -> dict[str, Any]:
    """Return the first-order changes under a constant kernel: predictions move by a multiple of the target y_a."""
    labels = np.repeat(np.arange(classes), 4)
    targets = np.eye(classes)[labels] - 1 / classes
    changes = np.abs(targets @ targets.T) if loss else np.tile(np.linalg.norm(targets, axis=1)[:, None], len(labels))
    return {"changes": changes, "train_labels": labels, "target_labels": labels}


def _some_removed(*, loss: bool) -> dict[str, Any]:
    """Return the changes under a constant kernel where only points of classes 1 and 3 of five are removed."""
    inputs = _removal(5, loss=loss)
    some = np.isin(inputs["train_labels"], (1, 3))
    return inputs | {"changes": inputs["changes"][some], "train_labels": inputs["train_labels"][some]}


def _orthogonal_removal() -> dict[str, Any]:
    labels = np.repeat(np.arange(3), 2)
    return {"changes": np.equal.outer(labels, labels) * 0.7, "train_labels": labels, "target_labels": labels}


@metric(
    symbol=r"\kappa_f",
    equation=r"\frac{\mathrm{mean}_a C(a,a)}{\mathrm{mean}_{a,b} C(a,b)},\quad C(a,b) = "
    r"\mathrm{mean}_{i\in a,\,z\in b} \|f_\theta(z) - f_{\theta^{-i}}(z)\|",
    source="Deng, He & Su 2021, class-level sensitivity, of predictions (our choice: 1 for a constant kernel, any C)",
    direction="higher",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("constant kernel, 5 classes", lambda: _removal(5, loss=False), 1.0, "every prediction moves alike"),
        KnownAnswer(
            "constant kernel, 2 of 5 classes removed from", lambda: _some_removed(loss=False), 1.0, "no row differs"
        ),
        KnownAnswer("classes in orthogonal subspaces", _orthogonal_removal, 3.0, "no change across classes: C"),
    ),
    tags=_TAGS,
)
def class_sensitivity(changes: Any, train_labels: Any, target_labels: Any) -> float:
    """Change of predictions at the removed point's own class over the mean change; 1 is no elasticity.

    The mean over a is over the classes of which a point was removed.

    Parameters
    ----------
    changes : array of shape (n, m), float32 or float64
        Norm of the change of the scores at target j when training point i is removed.
    train_labels, target_labels : array of shapes (n,) and (m,), integer
        Classes.

    Raises
    ------
    DataError
        If nothing changes, or as :func:`class_sensitivity_matrix`.
    """
    return _sensitivity_score(changes, train_labels, target_labels)[0]


@metric(
    symbol=r"\kappa_\ell",
    equation=r"\frac2C\,\frac{\mathrm{mean}_a C(a,a)}{\mathrm{mean}_{a,b} C(a,b)},\quad C(a,b) = "
    r"\mathrm{mean}_{i\in a,\,z\in b} |\ell(\theta,z) - \ell(\theta^{-i},z)|",
    source="Deng, He & Su 2021, class-level sensitivity, over C/2, its value for a constant kernel (our correction)",
    direction="higher",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("constant kernel, 2 classes", lambda: _removal(2, loss=True), 1.0, "|<y_a, y_b>|, first order"),
        KnownAnswer("constant kernel, 5 classes", lambda: _removal(5, loss=True), 1.0, "|<y_a, y_b>|, first order"),
        KnownAnswer(
            "constant kernel, 2 of 5 classes removed from", lambda: _some_removed(loss=True), 1.0, "C/2 in every row"
        ),
        KnownAnswer("classes in orthogonal subspaces", _orthogonal_removal, 2.0, "C divided by C/2"),
    ),
    tags=_TAGS,
)
def class_sensitivity_loss(changes: Any, train_labels: Any, target_labels: Any) -> float:
    """Change of the loss at the removed point's own class over the mean change, divided by C/2.

    Parameters
    ----------
    changes : array of shape (n, m), float32 or float64
        Absolute change of the loss at target j when training point i is removed.
    train_labels, target_labels : array of shapes (n,) and (m,), integer
        Classes.

    Raises
    ------
    DataError
        If nothing changes, or as :func:`class_sensitivity_matrix`.
    """
    score, classes = _sensitivity_score(changes, train_labels, target_labels)
    return score / (classes / 2)


def _two_removed() -> dict[str, Any]:
    return {"changes": np.array([[0.4, 0.1, 0.1], [0.1, 0.1, 0.1]])}


@metric(
    symbol=r"\bar\Delta",
    equation=r"\mathrm{mean}_{i,z}\,\|f_\theta(z) - f_{\theta^{-i}}(z)\|",
    source="the scale of class-level sensitivity; its noise floor is the same with nothing removed",
    direction="none",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(KnownAnswer("two points, three targets", _two_removed, 0.15, "(.4 + 5 x .1)/6"),),
    tags=_TAGS,
)
def removal_change(changes: Any) -> float:
    """Mean change of the predictions when a training point is removed, in the units of the scores.

    Parameters
    ----------
    changes : array of shape (n, m), float32 or float64
        Norm of the change of the scores at target j when training point i is removed.

    Raises
    ------
    DataError
        If a change is negative or not finite.
    """
    return float(read_changes(changes).mean())
