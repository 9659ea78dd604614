"""Class means on their first principal axes, with points around them, and the cosines that tell a simplex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.pictures.base import (
    COLOURS,
    Arrays,
    Picture,
    Spec,
    axis,
    colour,
    is_square,
    listed,
    make,
    number,
    off_diagonal,
    panel,
    rounded,
)

_NEEDED = {"means", "points", "labels", "shares", "cosines"}


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    if not arrays.keys() >= _NEEDED:
        return False
    means, points = arrays["means"], arrays["points"]
    return (
        means.ndim == points.ndim == 2
        and means.shape[1] == points.shape[1] == len(arrays["shares"]) >= 3
        and arrays["labels"].shape == points.shape[:1]
        and is_square(arrays["cosines"])
        and 2 <= len(means) == len(arrays["cosines"])
    )


def single(arrays: Arrays) -> Picture:
    """Return two views of the first three axes, and the cosines between the class means."""
    views = [_view(arrays, across, up) for across, up in ((0, 1), (2, 1))]
    cosines = _cosines({"": arrays})
    names = [str(c) for c in range(len(arrays["means"]))]
    return make("class-means", "Class means and training points", _sentence(arrays), [*views, cosines], _series(names))


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return the first two axes, a panel for each model, and the cosines of all."""
    most = max(len(arrays["means"]) for arrays in models.values())
    views = [_view(arrays, 0, 1) | {"title": label} for label, arrays in models.items()]
    told = []
    for label, arrays in models.items():
        low, high = _range(arrays)
        told.append(f"{number(low)} and {number(high)} for {label}")
    sentence = (
        f"The cosines between different class means lie between {listed(told)}; "
        f"in a simplex of {most} classes they are all {number(-1 / (most - 1))}."
    )
    series = _series([str(c) for c in range(most)])
    return make("class-means", "Class means on their first two axes", sentence, [*views, _cosines(models)], series)


def _series(names: list[str]) -> list[str]:
    return names if len(names) <= COLOURS else []


def _view(arrays: Arrays, across: int, up: int) -> Spec:
    means, points = arrays["means"], arrays["points"]
    reach = rounded(1.05 * max(float(np.abs(means).max()), float(np.quantile(np.abs(points), 0.995)), 1e-12), 3)
    names = [str(c) for c in range(len(means))]
    scale = {"domain": [-reach, reach], "nice": False}
    shares = [f"{100 * float(share):.0f}%" for share in arrays["shares"]]

    def place(field: str, k: int) -> Spec:
        return axis(field, f"axis {k + 1} ({shares[k]})", scale=scale, axis={"tickCount": 5, "grid": False})

    def rows(coordinates: NDArray[Any], classes: NDArray[Any]) -> list[Spec]:
        return [
            {"x": rounded(p[across], 3), "y": rounded(p[up], 3), "c": str(int(c))}
            for p, c in zip(coordinates, classes, strict=True)
        ]

    x, y = place("x", across), place("y", up)
    hue = colour("c", names, "class") if len(names) <= COLOURS else {"value": "currentColor"}
    own = {"values": rows(means, np.arange(len(means)))}
    spokes = {
        "data": own,
        "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.8},
        "encoding": {"x": x, "y": y, "x2": {"datum": 0}, "y2": {"datum": 0}, "color": hue},
    }
    dots = {"mark": {"type": "circle", "size": 12, "opacity": 0.45, "clip": True}}
    ends = {"data": own, "mark": {"type": "circle", "size": 110, "opacity": 1}}
    text = {"data": own, "mark": {"type": "text", "dy": -11, "fontWeight": "bold"}}
    place_and_hue = {"x": x, "y": y, "color": hue}
    layers: list[Spec] = [
        dots | {"encoding": place_and_hue},
        spokes,
        ends | {"encoding": place_and_hue},
        text | {"encoding": place_and_hue | {"text": {"field": "c"}}},
    ]
    title = f"axes {across + 1} and {up + 1} of the class means"
    return panel(title, rows(points, arrays["labels"]), layers, square=True)


def _cosines(models: Mapping[str, Arrays]) -> Spec:
    """Return the panel with a tick for each pair of classes, a row for each model, and a simplex as a line."""
    values, ideals = [], set()
    for label, arrays in models.items():
        cosines = arrays["cosines"]
        ideals.add(rounded(-1 / (len(cosines) - 1)))
        upper = np.triu_indices(len(cosines), 1)
        values += [{"v": rounded(value, 3), "model": label} for value in cosines[upper]]
    several_models = len(models) > 1
    x = axis("v", "cosine", scale={"domain": [-1, 1]})
    y: Spec = {"field": "model", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False}}
    marks: Spec = {"mark": {"type": "tick", "thickness": 1.5, "opacity": 0.7}, "encoding": {"x": x}}
    if several_models:
        marks["encoding"]["y"] = y
    ideal = {
        "data": {"values": [{"v": value} for value in sorted(ideals)]},
        "mark": {"type": "rule", "strokeDash": [4, 3], "color": "currentColor"},
        "encoding": {"x": x},
    }
    shown = panel("cosines of the means (dashed: simplex)", values, [marks, ideal])
    return shown | {"height": 24 * len(models) if several_models else 90}


def _range(arrays: Arrays) -> tuple[float, float]:
    cosines = off_diagonal(arrays["cosines"])
    return float(cosines.min()), float(cosines.max())


def _sentence(arrays: Arrays) -> str:
    classes = len(arrays["means"])
    low, high = _range(arrays)
    share, ideal = float(np.sum(arrays["shares"][:3])), min(3 / (classes - 1), 1)
    return (
        f"The first three axes hold {100 * share:.0f}% of the variance of the class means, {100 * ideal:.0f}% in a "
        f"simplex of {classes} classes; the cosines between different means lie between {number(low)} and "
        f"{number(high)}, in a simplex all are {number(-1 / (classes - 1))}."
    )
