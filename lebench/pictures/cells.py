"""Mean similarities between the cells of a design, a small matrix for each labelling of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from lebench.pictures.base import Arrays, Picture, Spec, is_square, listed, make, number
from lebench.pictures.matrices import matrix_panel

_PREFIX = "cells_"


def fits(arrays: Arrays) -> bool:
    """Return whether these arrays have such a picture."""
    return bool(_matrices(arrays))


def single(arrays: Arrays) -> Picture:
    """Return a heat map for each labelling."""
    matrices = _matrices(arrays)
    return make("cells", "Mean similarity of cells", _sentence(matrices), _panels(matrices, ""))


def several(models: Mapping[str, Arrays]) -> Picture:
    """Return the heat maps of each model."""
    panels = [shown for label, arrays in models.items() for shown in _panels(_matrices(arrays), f"{label}, ")]
    told = []
    for label, arrays in models.items():
        matrices = _matrices(arrays).values()
        low, high = min(float(m.min()) for m in matrices), max(float(m.max()) for m in matrices)
        told.append(f"{number(low)} to {number(high)} for {label}")
    sentence = f"The mean similarity between two cells goes from {listed(told)}."
    return make("cells", "Mean similarity of cells", sentence, panels)


def _matrices(arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(_PREFIX): array
        for name, array in arrays.items()
        if name.startswith(_PREFIX) and is_square(array)
    }


def _panels(matrices: Mapping[str, NDArray[Any]], before: str) -> list[Spec]:
    return [_panel(f"{before}labelling: {name}", matrix) for name, matrix in matrices.items()]


def _panel(title: str, matrix: NDArray[Any]) -> Spec:
    cells = range(len(matrix))
    return matrix_panel(title, matrix, ("cell of the source", "cell of the target"), (cells, cells), "mean similarity")


def _sentence(matrices: Mapping[str, NDArray[Any]]) -> str:
    told = [
        f"from {number(float(matrix.min()))} to {number(float(matrix.max()))} (labelling: {name})"
        for name, matrix in matrices.items()
    ]
    return f"The mean similarity between two cells goes {listed(told)}."
