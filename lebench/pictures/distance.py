"""Similarity against distance along the manifold, relative and signed side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import metrics
from lebench.errors import DataError
from lebench.pictures.base import Arrays, Picture, Spec, axis, colour, is_square, listed, make, number, panel, rounded

_KINDS = {"similarity": "relative", "signed": "signed"}
_BINS = 14
_DISTANCE = "distance along the manifold"


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    shapes = {arrays[name].shape for name in ("similarity", "distance") if name in arrays}
    return len(shapes) == 1 and {"similarity", "distance"} <= arrays.keys() and is_square(arrays["distance"])


def single(arrays: Arrays) -> Picture:
    """Return every pair of points as a dot, and the mean over bins of distance."""
    panels = []
    for name, kind in _kinds(arrays).items():
        upper = np.triu_indices(len(arrays["distance"]), 1)
        pairs = [
            {"d": rounded(d, 3), "s": rounded(s, 3)}
            for d, s in zip(arrays["distance"][upper], arrays[name][upper], strict=True)
        ]
        x, y = axis("d", _DISTANCE), axis("s", f"{kind} similarity")
        dots = {"mark": {"type": "circle", "size": 14, "opacity": 0.28}, "encoding": {"x": x, "y": y}}
        line = {
            "data": {"values": _means(arrays["distance"], arrays[name])},
            "mark": {"type": "line", "point": True, "strokeWidth": 2, "color": "currentColor"},
            "encoding": {"x": x, "y": y, "tooltip": [{"field": "d"}, {"field": "s"}]},
        }
        panels.append(panel(f"{kind} similarity", pairs, [dots, line]))
    return make("distance", "Similarity against geodesic distance", _sentence(arrays), panels)


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return the means over bins of distance, a line for each model."""
    panels = []
    for name, kind in _KINDS.items():
        values = [
            {**point, "model": label}
            for label, arrays in models.items()
            if name in _kinds(arrays)
            for point in _means(arrays["distance"], arrays[name])
        ]
        if values:
            encoding: Spec = {
                "x": axis("d", _DISTANCE),
                "y": axis("s", f"{kind} similarity"),
                "color": colour("model", list(models), "model"),
                "tooltip": [{"field": field} for field in ("model", "d", "s")],
            }
            layer: Spec = {"mark": {"type": "line", "point": True, "strokeWidth": 2}, "encoding": encoding}
            panels.append(panel(f"{kind} similarity, mean over bins of distance", values, [layer]))
    found = {label: _correlation(arrays, "similarity") for label, arrays in models.items()}
    told = [f"{number(value)} for {label}" for label, value in found.items() if value is not None]
    sentence = "The correlation of relative similarity with geodesic distance cannot be computed for these models."
    if told:
        sentence = f"The correlation of relative similarity with geodesic distance is {listed(told)}."
    return make("distance", "Similarity against geodesic distance", sentence, panels, models)


def _kinds(arrays: Arrays) -> dict[str, str]:
    shape = arrays["distance"].shape
    return {name: kind for name, kind in _KINDS.items() if name in arrays and arrays[name].shape == shape}


def _means(distance: NDArray[Any], similarity: NDArray[Any]) -> list[dict[str, float]]:
    """Return the mean similarity of different points over bins of distance of the same width."""
    upper = np.triu_indices(len(distance), 1)
    d, s = distance[upper].astype(np.float64), similarity[upper].astype(np.float64)
    edges = np.linspace(d.min(), d.max(), _BINS + 1)
    bins = np.clip(np.searchsorted(edges, d, side="right") - 1, 0, _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    sums = {"d": np.bincount(bins, d, _BINS), "s": np.bincount(bins, s, _BINS)}
    return [{field: rounded(total[k] / count[k]) for field, total in sums.items()} for k in np.flatnonzero(count)]


def _correlation(arrays: Arrays, name: str) -> float | None:
    try:
        return metrics.distance_pearson(arrays[name], arrays["distance"])
    except DataError:
        # Similarities or distances that are all equal have none.
        return None


def _sentence(arrays: Arrays) -> str:
    told = []
    for name, kind in _kinds(arrays).items():
        value = _correlation(arrays, name)
        if value is not None:
            told.append(f"of {kind} similarity {number(value)}")
    means = _means(arrays["distance"], arrays["similarity"])
    first, last = means[0], means[-1]
    course = (
        f"Relative similarity is {number(first['s'])} in the mean at distance {number(first['d'])} and "
        f"{number(last['s'])} at {number(last['d'])}."
    )
    return f"Correlation with geodesic distance: {listed(told)}. {course}" if told else course
