"""Class-level sensitivity: what a removed training point of one class changes at test points of another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lebench.pictures.base import Arrays, Picture, Spec, listed, make, number
from lebench.pictures.matrices import matrix_panel


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    if not {"sensitivity", "removed_classes"} <= arrays.keys() or arrays["sensitivity"].ndim != 2:
        return False
    rows, columns = arrays["sensitivity"].shape
    removed = arrays["removed_classes"]
    return removed.shape == (rows,) and columns > 1 and bool(np.all((removed >= 0) & (removed < columns)))


def single(arrays: Arrays) -> Picture:
    """Return the matrix of class-level sensitivity."""
    own, other = _own_and_other(arrays)
    sentence = (
        f"Removing a training point changes the predictions at test points of its class by {number(own)} in the mean, "
        f"at those of other classes by {number(other)}."
    )
    return make("sensitivity", "Class-level sensitivity", sentence, [_panel("change of the predictions", arrays)])


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return the matrix of each model."""
    told = []
    for label, arrays in models.items():
        own, other = _own_and_other(arrays)
        told.append(f"{number(own)} and {number(other)} for {label}")
    sentence = f"Removing a training point changes the predictions at its own class and at others by {listed(told)}."
    panels = [_panel(label, arrays) for label, arrays in models.items()]
    return make("sensitivity", "Class-level sensitivity", sentence, panels)


def _panel(title: str, arrays: Arrays) -> Spec:
    matrix = arrays["sensitivity"]
    names = ([int(c) for c in arrays["removed_classes"]], range(matrix.shape[1]))
    return matrix_panel(title, matrix, ("class of the removed point", "class of the test point"), names, "change")


def _own_and_other(arrays: Arrays) -> tuple[float, float]:
    matrix = np.asarray(arrays["sensitivity"], dtype=np.float64)
    own = np.equal.outer(arrays["removed_classes"], np.arange(matrix.shape[1]))
    return float(matrix[own].mean()), float(matrix[~own].mean())
