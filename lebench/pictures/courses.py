"""Courses over training: collapse, elasticity and whatever else a score keeps by the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.pictures.base import Arrays, Picture, Spec, axis, colour, listed, make, number, panel, rounded

#: What is shown, in this order; other arrays follow under their own names.
_TITLES = {
    "nc1": "NC1, variability within classes",
    "nc2_equinorm": "NC2, differing norms of the means",
    "nc2_equiangular": "NC2, differing angles of the means",
    "nc3": "NC3, classifier against means",
    "nc4": "NC4, classifier against nearest mean",
    "ncc_accuracy": "accuracy of the nearest class mean",
    "error": "error",
    "loss": "loss",
    "ratio": "elasticity ratio",
    "difference": "elasticity difference",
    "signed_difference": "elasticity difference, signed similarity",
    "alignment": "alignment of the kernel with the labels",
    "rotation": "rotation of the kernel",
}
_PARTS = {"train": "training points", "test": "test points", "weights": "classifier weights"}
#: Positive values that span more than this factor are shown on a logarithmic axis.
_LOG_FROM = 10.0


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    return "epochs" in arrays and arrays["epochs"].ndim == 1 and bool(_groups(arrays))


def single(arrays: Arrays) -> Picture:
    """Return a panel for each quantity, on training and test points."""
    groups = _groups(arrays)
    panels, parts = [], []
    for quantity, courses in groups.items():
        values = [
            {"t": t, "v": v, "part": _PARTS.get(part, part)}
            for part, course in courses.items()
            for t, v in _points(arrays["epochs"], course)
        ]
        parts += [_PARTS.get(part, part) for part in courses]
        panels.append((quantity, values))
    present = set(parts)
    series = [part for part in _PARTS.values() if part in present] if present - {""} else []
    hue = colour("part", series, "measured on") if series else None
    shown = [_panel(quantity, values, hue) for quantity, values in panels]
    return make("courses", "Over training", _sentence(arrays), shown, series)


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return a panel for each quantity on training points, a line for each model."""
    found = {label: _groups(arrays) for label, arrays in models.items()}
    quantities = _ordered({quantity for groups in found.values() for quantity in groups})
    panels, told = [], []
    for quantity in quantities:
        values = []
        ends = []
        for label, groups in found.items():
            if quantity not in groups:
                continue
            course = next(iter(groups[quantity].values()))
            values += [{"t": t, "v": v, "model": label} for t, v in _points(models[label]["epochs"], course)]
            ends.append(f"{number(float(course[-1]))} for {label}")
        panels.append(_panel(quantity, values, colour("model", list(models), "model")))
        if quantity == quantities[0]:
            told = ends
    part = " (training points)" if any("train" in c for groups in found.values() for c in groups.values()) else ""
    sentence = f"At the end of training, {_title(quantities[0])}{part} is {listed(told)}."
    return make("courses", f"Over training{part}", sentence, panels, models)


def _groups(arrays: Arrays) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the courses by quantity and part: ``"nc1_train"`` is the part ``"train"`` of ``"nc1"``."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        if name == "epochs" or array.shape != arrays["epochs"].shape:
            continue
        quantity, _, part = name.rpartition("_")
        if quantity and part in _PARTS:
            found.setdefault(quantity, {})[part] = array
        else:
            found.setdefault(name, {})[""] = array
    return {
        quantity: {part: found[quantity][part] for part in (*_PARTS, "") if part in found[quantity]}
        for quantity in _ordered(set(found))
    }


def _ordered(quantities: set[str]) -> list[str]:
    return [q for q in _TITLES if q in quantities] + sorted(quantities - _TITLES.keys())


def _title(quantity: str) -> str:
    return _TITLES.get(quantity, quantity.replace("_", " "))


def _points(epochs: NDArray[Any], course: NDArray[Any]) -> list[tuple[float, float]]:
    return [(rounded(t), rounded(v)) for t, v in zip(epochs, course, strict=True)]


def _panel(quantity: str, values: list[Spec], hue: Spec | None) -> Spec:
    last = max((point["t"] for point in values), default=1)
    ticks = [0, *(10**k for k in range(int(np.log10(max(last, 1))) + 1))]
    positive = [point["v"] for point in values if point["v"] > 0]
    # Zeros have no place on a logarithmic axis; where there are some, it stays linear.
    log = len(positive) == len(values) > 0 and max(positive) / min(positive) > _LOG_FROM
    x = axis(
        "t",
        "epochs (logarithmic in 1 + epochs)",
        scale={"type": "symlog", "constant": 1, "nice": False, "domain": [0, last or 1]},
        axis={"values": ticks},
    )
    if log:
        low, high = np.floor(np.log10(min(positive))), np.ceil(np.log10(max(positive)))
        decades = [rounded(10.0**k) for k in np.arange(low, high + 1)]
        marks = {"format": "~g", "values": decades}
        y = {"field": "v", "type": "quantitative", "title": None, "scale": {"type": "log"}, "axis": marks}
    else:
        y = axis("v", None, axis={"format": "~g", "tickCount": 5})
    encoding: Spec = {"x": x, "y": y, "tooltip": [{"field": "t", "title": "epochs"}, {"field": "v", "title": quantity}]}
    if hue:
        encoding["color"] = hue
        encoding["tooltip"].append({"field": hue["field"]})
    mark = {"type": "line", "point": {"size": 16}, "strokeWidth": 2}
    return panel(_title(quantity), values, [{"mark": mark, "encoding": encoding}])


def _sentence(arrays: Arrays) -> str:
    epochs = float(arrays["epochs"][-1])
    told = []
    for quantity, courses in list(_groups(arrays).items())[:4]:
        part, course = next(iter(courses.items()))
        on = f" ({_PARTS[part]})" if part else ""
        told.append(f"{_title(quantity)}{on} from {number(float(course[0]))} to {number(float(course[-1]))}")
    return f"Over {epochs:g} epochs: {'; '.join(told)}."
