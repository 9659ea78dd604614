"""Similarities as a heat map, sorted by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.pictures.base import SQUARE, Arrays, Picture, Spec, is_square, listed, make, number, panel
from lebench.pictures.matrices import matrix_panel, shade

#: More points than this are drawn as means over classes.
_MOST = 160


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    if not {"similarity", "labels"} <= arrays.keys() or not is_square(arrays["similarity"]):
        return False
    labels = arrays["labels"]
    return labels.shape == arrays["similarity"].shape[:1] and 1 < len(np.unique(labels)) < len(labels)


def single(arrays: Arrays) -> Picture:
    """Return all similarities, a cell for each pair of points."""
    order = np.argsort(arrays["labels"], kind="stable")
    similarity, labels = arrays["similarity"][np.ix_(order, order)], arrays["labels"][order]
    if len(labels) > _MOST:
        classes, matrix = _by_class(arrays)
        shown = _classes("mean similarity of classes", classes, matrix, float(matrix.max()))
    else:
        # A similarity far above one would leave no colours to the others.
        top = float(np.quantile(similarity, 0.99)) or 1.0
        decimals = 2 - math.floor(math.log10(abs(top)))
        values = [round(float(value), decimals) for value in similarity.ravel()]
        shown = panel("similarity of points, sorted by class", values, [_points(labels, top)])
    shown |= {"width": SQUARE, "height": SQUARE}
    picture = make("similarity", "Similarity of points, sorted by class", _sentence(arrays), [shown])
    # Ten thousand cells are too many for elements of a page.
    picture.spec["usermeta"] = {"embedOptions": {"renderer": "canvas"}}
    return picture


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return the mean similarities between classes, a panel for each model."""
    found = {label: _by_class(arrays) for label, arrays in models.items()}
    top = max(float(matrix.max()) for _, matrix in found.values())
    panels = [_classes(label, classes, matrix, top) for label, (classes, matrix) in found.items()]
    told = []
    for label, arrays in models.items():
        within, between = _within_between(arrays)
        told.append(f"{number(within)} and {number(between)} for {label}")
    sentence = f"The mean similarity within and between classes is {listed(told)}."
    return make("similarity", "Mean similarity of classes", sentence, panels)


def _by_class(arrays: Arrays) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the classes and the mean similarity between the points of two, a point's with itself left out."""
    classes, index = np.unique(arrays["labels"], return_inverse=True)
    members = np.equal.outer(np.arange(len(classes)), index).astype(np.float64)
    similarity = np.asarray(arrays["similarity"], dtype=np.float64)
    pairs = members @ (1 - np.eye(len(index))) @ members.T
    sums = members @ (similarity - np.diag(np.diagonal(similarity))) @ members.T
    return classes, sums / np.maximum(pairs, 1)


def _points(labels: NDArray[Any], top: float) -> Spec:
    """Return the layer of all pairs: their values come row by row, so that only they are stored."""
    n = len(labels)
    classes, first, counts = np.unique(labels, return_index=True, return_counts=True)
    centres = [int(2 * f + c) // 2 for f, c in zip(first, counts, strict=True)]
    names = f"{[str(c) for c in classes]}[indexof({centres}, datum.value)]"
    ticks = {"values": centres, "labelExpr": names, "labelAngle": 0, "ticks": False, "domain": False}
    return {
        "transform": [
            {"window": [{"op": "row_number", "as": "row"}]},
            {"calculate": f"floor((datum.row - 1) / {n})", "as": "i"},
            {"calculate": f"(datum.row - 1) % {n}", "as": "j"},
        ],
        "mark": {"type": "rect"},
        "encoding": {
            "x": {"field": "j", "type": "ordinal", "title": "target", "axis": ticks},
            "y": {"field": "i", "type": "ordinal", "title": "source of the step", "axis": ticks},
            "color": shade("data", "similarity", (0, top)),
        },
    }


def _classes(title: str, classes: NDArray[Any], matrix: NDArray[Any], top: float) -> Spec:
    axes = ("class of the source", "class of the target")
    return matrix_panel(title, matrix, axes, (list(classes), list(classes)), "mean similarity", (0, top))


def _within_between(arrays: Arrays) -> tuple[float, float]:
    labels, similarity = arrays["labels"], np.asarray(arrays["similarity"], dtype=np.float64)
    same = np.equal.outer(labels, labels)
    other = ~np.eye(len(labels), dtype=bool)
    return float(similarity[same & other].mean()), float(similarity[~same].mean())


def _sentence(arrays: Arrays) -> str:
    within, between = _within_between(arrays)
    classes, matrix = _by_class(arrays)
    others = np.where(np.eye(len(classes), dtype=bool), -np.inf, (matrix + matrix.T) / 2)
    a, b = sorted(np.unravel_index(int(np.argmax(others)), others.shape))
    nearest = f"; the most similar classes are {classes[a]} and {classes[b]} ({number(float(others[a, b]))})"
    return (
        f"The mean similarity is {number(within)} within classes and {number(between)} between them, over "
        f"{len(arrays['labels'])} points{nearest if len(classes) > 2 else ''}."
    )
