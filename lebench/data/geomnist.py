"""GeoMNIST: blurred ellipses, rectangles and triangles (Zhang, Wang & Su 2021).

A picture is a shape of ones on zeros, 32 x 32, turned as a picture and blurred. In the paper the turn and the one
other factor of a class (the size of ellipses, the place of the others) both grow with the number of the picture and so
are one factor: that is ``geomnist-confounded``. In ``geomnist`` turn, size and place are drawn independently, and
all classes have all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset, balanced_subset
from lebench.errors import DataError

SIDE = 32
CLASS_NAMES = ("ellipse", "rectangle", "triangle")
#: Pictures turn by less than this, in degrees; beyond it, an ellipse and a rectangle would soon be what they were.
TURN = 176.0
_CENTRE = SIDE / 2
_POOL, _TRAIN, _TEST = 1000, 500, 500


@dataclass(frozen=True)
class Factors:
    """What distinguishes n pictures of one class.

    Attributes
    ----------
    turn : ndarray of shape (n,)
        Degrees.
    size : ndarray of shape (n,)
        Factor of all lengths; at 1 the semi-axes of an ellipse are 6 rows and 12 columns, the half-sides of a rectangle
        4 and 8, and a triangle has its corners 13.9 columns to the left of the centre, and 8 columns to the right of it
        10 rows above and below.
    shift : ndarray of shape (n, 2)
        Rows and columns by which the centre is moved before the turn.
    blur : ndarray of shape (n,)
        Standard deviation of the Gaussian filter, in pixels.
    """

    turn: FloatArray
    size: FloatArray
    shift: FloatArray
    blur: FloatArray


def independent_factors(n: int, rng: np.random.Generator) -> Factors:
    """Draw factors independently: turns in (0, 176), sizes in (5/6, 1), shifts in (-1, 1), blurs in (0.9, 1.1).

    No corner leaves the frame. Sizes are ours: the paper's grow to 7/6, and only ellipses differ in size.

    Raises
    ------
    DataError
        If n is below 1.
    """
    _check(n)
    return Factors(
        turn=rng.uniform(0, TURN, n),
        size=rng.uniform(5 / 6, 1, n),
        shift=rng.uniform(-1, 1, (n, 2)),
        blur=rng.uniform(0.9, 1.1, n),
    )


def confounded_factors(label: int, n: int, rng: np.random.Generator) -> Factors:
    """Return the paper's factors: picture i turns by 176 i/n, and the size or the place of the class grows with i too.

    Parameters
    ----------
    label : int
        0 for ellipses, whose size grows from 5/6 to 7/6; the others move from -1 to 1 along both coordinates.
    n : int
        Pictures.
    rng : numpy.random.Generator
        Draws the blur.

    Raises
    ------
    DataError
        If n is below 1.
    """
    _check(n)
    offset = np.linspace(-1, 1, n)
    return Factors(
        turn=TURN * np.arange(n) / n,
        size=1 + offset / 6 if label == 0 else np.ones(n),
        shift=np.zeros((n, 2)) if label == 0 else np.stack([offset, offset], axis=1),
        blur=rng.uniform(0.9, 1.1, n),
    )


def outlines(label: int, factors: Factors) -> NDArray[np.bool_]:
    """Return which pixels a shape covers before it is turned and blurred, of shape (n, 32, 32).

    Parameters
    ----------
    label : int
        Index into :data:`CLASS_NAMES`.
    factors : Factors
        Of n pictures; turns and blurs do not count here.

    Raises
    ------
    DataError
        If there is no such class.
    """
    if not 0 <= label < len(_SHAPES):
        raise DataError(f"class {label} of GeoMNIST does not exist: there are {', '.join(CLASS_NAMES)}")
    row, column = (_CENTRE + factors.shift[:, axis, None, None] for axis in (0, 1))
    rows, columns = np.arange(SIDE)[:, None], np.arange(SIDE)[None, :]
    return _SHAPES[label](rows, columns, row, column, factors.size[:, None, None])


def pictures(label: int, factors: Factors) -> NDArray[np.uint8]:
    """Return the pictures, of shape (n, 32, 32, 1), with 256 levels as MNIST has them.

    Parameters
    ----------
    label : int
        Index into :data:`CLASS_NAMES`.
    factors : Factors
        Of n pictures.

    Raises
    ------
    DataError
        If there is no such class.
    """
    drawn = np.empty((len(factors.turn), SIDE, SIDE))
    for i, outline in enumerate(outlines(label, factors).astype(np.float64)):
        drawn[i] = gaussian_filter(rotate(outline, factors.turn[i], reshape=False), factors.blur[i])
    # Turning by cubic splines overshoots a little on either side.
    return np.round(255 * np.clip(drawn, 0, 1)).astype(np.uint8)[..., None]


def _ellipse(
    rows: IntArray, columns: IntArray, row: FloatArray, column: FloatArray, size: FloatArray
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((rows - row) / (6 * size)) ** 2 + ((columns - column) / (12 * size)) ** 2 < 1
    return inside


def _rectangle(
    rows: IntArray, columns: IntArray, row: FloatArray, column: FloatArray, size: FloatArray
) -> NDArray[np.bool_]:
    # Its sides run through pixels, the nearest ones.
    top, bottom = np.round(row - 4 * size), np.round(row + 4 * size)
    left, right = np.round(column - 8 * size), np.round(column + 8 * size)
    inside: NDArray[np.bool_] = (top <= rows) & (rows <= bottom) & (left <= columns) & (columns <= right)
    return inside


def _triangle(
    rows: IntArray, columns: IntArray, row: FloatArray, column: FloatArray, size: FloatArray
) -> NDArray[np.bool_]:
    # Its tip points to the left; half its height grows from there to 10 at the side on the right.
    tip, side = column - 8 * np.sqrt(3) * size, column + 8 * size
    half = 10 * size * (columns - tip) / (side - tip)
    inside: NDArray[np.bool_] = (np.abs(rows - row) <= half) & (columns <= side)
    return inside


#: By class: rows (32, 1), columns (1, 32), and centre and size (n, 1, 1), to which pixels are inside (n, 32, 32).
_SHAPES: tuple[Callable[..., NDArray[np.bool_]], ...] = (_ellipse, _rectangle, _triangle)


def load(confounded: bool = False) -> tuple[NDArray[np.uint8], IntArray]:
    """Return the pool of pictures, the same every time: (3000, 32, 32, 1), and labels (3000,).

    Parameters
    ----------
    confounded : bool
        The paper's factors in place of independent ones.
    """
    rng = np.random.default_rng(np.random.SeedSequence(list(b"geomnist")))
    x = [
        pictures(label, confounded_factors(label, _POOL, rng) if confounded else independent_factors(_POOL, rng))
        for label in range(len(CLASS_NAMES))
    ]
    return np.concatenate(x), np.repeat(np.arange(len(CLASS_NAMES)), _POOL)


def draw(
    x: NDArray[np.uint8], y: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw 500 training and 500 test pictures of each class from the pool, as in the paper; values in [0, 1]."""
    classes = len(CLASS_NAMES)
    chosen = balanced_subset(y, classes * (_TRAIN + _TEST), classes, rng)
    first = np.concatenate([chosen[y[chosen] == label][:_TRAIN] for label in range(classes)])
    rest = np.concatenate([chosen[y[chosen] == label][_TRAIN:] for label in range(classes)])
    train, test = rng.permutation(first), rng.permutation(rest)
    return x[train] / 255.0, y[train], x[test] / 255.0, y[test]


def _check(n: int) -> None:
    if n < 1:
        raise DataError(f"{n} pictures cannot be drawn: at least 1 is needed")


_CITATION = (
    "J. Zhang, H. Wang, W. J. Su. Imitating Deep Learning Dynamics via Locally Elastic Stochastic Differential "
    "Equations. NeurIPS 2021, arXiv 2110.05960"
)

for _name, _confounded, _factors in (
    ("geomnist", False, "turn, size and place independent"),
    ("geomnist-confounded", True, "turn growing together with size or place as in the paper"),
):
    registry.datasets.register(
        _name,
        Dataset(
            name=_name,
            summary=f"Blurred ellipses, rectangles and triangles, {_factors}; 500 training and 500 test images a class",
            licence="CC0-1.0",
            citation=_CITATION,
            version=1,
            input_shape=(SIDE, SIDE, 1),
            class_names=CLASS_NAMES,
            load=partial(load, _confounded),
            splitter=draw,
        ),
        tags=("geomnist",),
    )
