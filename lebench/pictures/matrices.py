"""A panel of a small matrix: a cell for each row and column, its value as a colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from lebench.pictures.base import SQUARE, Spec, panel, rounded

_SCHEME = "viridis"
#: Height of a row of a matrix with few rows, in pixels.
_ROW = 26


def matrix_panel(
    title: str,
    matrix: NDArray[Any],
    axes: tuple[str, str],
    names: tuple[Sequence[Any], Sequence[Any]],
    value: str,
    domain: Sequence[float] | None = None,
) -> Spec:
    """Return the panel of a matrix.

    Parameters
    ----------
    title : str
        Title.
    matrix : ndarray of shape (r, c)
        Values.
    axes, names : pair
        Titles of rows and columns, and their names.
    value : str
        What a value is.
    domain : sequence of float, optional
        Values of the first and the last colour, by default the smallest and the largest.
    """
    rows, columns = matrix.shape
    values = [{"i": i, "j": j, "s": rounded(s, 3)} for i, row in enumerate(matrix) for j, s in enumerate(row)]
    labels = [{"labelExpr": f"{[str(name) for name in one]}[datum.value]"} for one in names]
    plain = {"labelAngle": 0, "ticks": False, "domain": False}
    encoding: Spec = {
        "x": {"field": "j", "type": "ordinal", "title": axes[1], "axis": labels[1] | plain},
        "y": {"field": "i", "type": "ordinal", "title": axes[0], "axis": labels[0] | plain},
        "color": shade("s", value, domain),
        "tooltip": [{"field": "s", "title": value}],
    }
    square = rows == columns
    shown = panel(title, values, [{"mark": {"type": "rect"}, "encoding": encoding}], square=square)
    return shown if square else shown | {"height": _ROW * rows}


def shade(field: str, title: str, domain: Sequence[float] | None = None) -> Spec:
    """Return the encoding of numbers by colours that can be told apart in light and dark."""
    scale: Spec = {"scheme": _SCHEME, "zero": False}
    if domain is not None:
        scale = {"scheme": _SCHEME, "domain": [rounded(end) for end in domain], "clamp": True}
    legend = {"title": title, "gradientLength": SQUARE - 50}
    return {"field": field, "type": "quantitative", "scale": scale, "legend": legend}
