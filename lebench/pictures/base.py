"""What all pictures share: the document, its numbers, and the pieces of Vega-Lite that they are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Spec = dict[str, Any]

#: Categories that the palettes of the site can tell apart.
COLOURS = 10
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
#: Sides of a square panel in pixels: it fits a phone.
SQUARE = 240
_HEIGHT = 200
_WIDTH = 320
_DIGITS = 4
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows in words.

    Attributes
    ----------
    name : str
        Kind of the picture, as a part of file names.
    title : str
        Title.
    sentence : str
        What it shows, with numbers: the text for who cannot see it.
    spec : dict
        Vega-Lite specification with its data: panels side by side, under ``concat``.
    series : tuple of str
        What the colours of the palette stand for, in its order; empty if colours are numbers.
    """

    name: str
    title: str
    sentence: str
    spec: Spec
    series: tuple[str, ...] = ()


def make(name: str, title: str, sentence: str, panels: Sequence[Spec], series: Iterable[str] = ()) -> Picture:
    """Return a picture of some panels."""
    spec = {
        "$schema": SCHEMA,
        "title": title,
        "description": sentence,
        # Here rather than at each legend, so that a page which explains its colours itself can turn them off.
        "config": {"legend": {"orient": "bottom", "columns": 4}},
        "columns": 2,
        "concat": list(panels),
    }
    return Picture(name, title, sentence, spec, tuple(series))


def panel(title: str, values: Sequence[Any], layers: Sequence[Spec], *, square: bool = False) -> Spec:
    """Return a panel of some layers over the same data, as wide as there is room unless it is square."""
    size = {"width": SQUARE, "height": SQUARE} if square else {"width": _WIDTH, "height": _HEIGHT}
    return {"title": title, **size, "data": {"values": list(values)}, "layer": list(layers)}


def rounded(value: float, digits: int = _DIGITS) -> float:
    """Return a number with few digits, so that a specification stays small."""
    short = float(f"{float(value):.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def axis(field: str, title: str | None, **more: Any) -> Spec:
    """Return a quantitative encoding that need not begin at zero; `more` goes into it, ``scale`` into its scale."""
    scale = {"zero": False, "nice": True} | more.pop("scale", {})
    if scale.get("type") == "log":
        del scale["zero"]
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **more}


def colour(field: str, domain: Sequence[str], title: str) -> Spec:
    """Return the encoding of categories by the palette, in the order of the domain."""
    return {"field": field, "type": "nominal", "scale": {"domain": list(domain)}, "title": title}


def number(value: float) -> str:
    """Return a number as it stands in a sentence.

    Examples
    --------
    >>> number(-0.6133), number(12345.0), number(0.00012)
    ('−0.61', '1.2×10^4', '1.2×10^−4')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = int(f"{value:.1e}".partition("e")[2])
    if -3 <= exponent < 4:
        return f"{value:.{max(1 - exponent, 0)}f}".replace("-", _MINUS)
    return f"{value / 10.0**exponent:.1f}×10^{exponent}".replace("-", _MINUS)


def listed(items: Sequence[str]) -> str:
    """Return words as an enumeration.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def is_square(array: NDArray[Any]) -> bool:
    """Return whether an array is a matrix with as many rows as columns."""
    return array.ndim == 2 and array.shape[0] == array.shape[1]


def off_diagonal(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the entries of pairs of different points."""
    return np.asarray(matrix[~np.eye(len(matrix), dtype=bool)])
