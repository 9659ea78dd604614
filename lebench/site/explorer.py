"""Similarities on the torus, point by point: whom a step on one of them moves, in networks and in linear models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lebench import registry
from lebench.site.leaderboard import View
from lebench.site.pages import render
from lebench.site.pictures import Gallery

TASK = "manifold/torus"
_MODELS = ("mlp", "deep-linear", "linear", "ntk-mlp")
#: Side of a drawing in pixels; the curve fills it but for a margin.
SIDE, _MARGIN = 220, 14
_KINDS = {"similarity": "relative", "signed": "signed"}


@dataclass(frozen=True)
class Cloud:
    """A model's similarities by kind, (n, n), as whole percent."""

    entry: str
    label: str
    similarities: dict[str, list[list[int]]]


def _places() -> NDArray[np.float64]:
    """Return where the points of the first class stand in a drawing (n, 2)."""
    dataset = registry.datasets.get(registry.tasks.get(TASK).dataset)
    split = dataset.split(0)
    points = split.x_train[split.y_train == 1]
    # The two directions in which the curve is widest.
    centred = points - points.mean(axis=0)
    flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    low, high = flat.min(axis=0), flat.max(axis=0)
    return np.asarray(_MARGIN + (flat - low) / (high - low) * (SIDE - 2 * _MARGIN))


def order_along(distance: NDArray[np.float64]) -> list[int]:
    """Return the points in their order along a closed curve, from distances along it.

    Examples
    --------
    >>> order_along(np.array([[0, 2, 1, 1], [2, 0, 1, 1], [1, 1, 0, 2], [1, 1, 2, 0]]))
    [0, 2, 1, 3]
    """
    left, order = set(range(1, len(distance))), [0]
    while left:
        nearest = min(left, key=lambda k: (distance[order[-1], k], k))
        order.append(nearest)
        left.remove(nearest)
    return order


def page(view: View, gallery: Gallery, models: Sequence[str] = _MODELS) -> str:
    """Return the text of the page; without the arrays of any model it says so."""
    arrays = {
        name: found for name in models if (found := gallery.arrays.get(name, {}).get(TASK)) and name in view.entries
    }
    clouds, places, order = list[Cloud](), np.zeros((0, 2)), list[int]()
    if arrays:
        places = _places()
        distance = next(iter(arrays.values()))["distance"]
        order = order_along(distance) if len(distance) == len(places) else []
    for name, found in arrays.items() if order else ():
        kinds = {kind: np.round(100 * found[kind]).astype(int).tolist() for kind in _KINDS if kind in found}
        clouds.append(Cloud(name, view.label(view.entries[name]), kinds))
    data = {"order": order, "clouds": {cloud.entry: cloud.similarities for cloud in clouds}}
    return render(
        "explorer.md",
        clouds=clouds,
        places=np.round(places, 1).tolist(),
        data=Markup(json.dumps(data, separators=(",", ":"))),
        kinds=_KINDS,
        side=SIDE,
        task=TASK,
        root="../",
    )
