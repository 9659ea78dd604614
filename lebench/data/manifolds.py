"""Two classes on curves and surfaces whose geodesic distances are known (He & Su 2020, section 3 and appendix).

Formulas are those of the paper, with two departures. Distances are lengths along the manifold, where the released code
takes differences of the parameter; on the folded boxes the sheets meet where they do meet, at half-width (b + d) / k,
where the code has 10 + d. And points on the spheres are uniform on the sphere, not in its angles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset
from lebench.errors import DataError
from lebench.seeds import generator

_POOL = 2000
_DRAWN = 50
_CITATION = "H. He, W. J. Su. The Local Elasticity of Neural Networks. ICLR 2020, arXiv 1910.06943"

#: Draws points: (how many, class 0 or 1, generator) to coordinates (n, d).
Sampler = Callable[[int, int, np.random.Generator], FloatArray]
#: Geodesic distances (n, m) of points of class 1, from their coordinates (n, d) and (m, d).
Geodesic = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Manifold:
    """Two classes of points on two manifolds of the same kind.

    Attributes
    ----------
    name, summary : str
        What it is.
    sample : callable
        Draws points of one class.
    geodesic : callable
        Distances along the manifold of class 1.
    """

    name: str
    summary: str
    sample: Sampler
    geodesic: Geodesic

    def load(self) -> tuple[FloatArray, IntArray]:
        """Return the pool of points, the same every time: coordinates (4000, d) and labels (4000,)."""
        rng = np.random.default_rng(np.random.SeedSequence(list(self.name.encode())))
        x = np.concatenate([self.sample(_POOL, label, rng) for label in (0, 1)])
        return x, np.repeat(np.arange(2), _POOL)

    def training_points(self, seed: int) -> tuple[FloatArray, IntArray]:
        """Return coordinates (100, d) and labels (100,) of a seed's training points, not standardized, in order."""
        x, y, _, _ = draw(*self.load(), generator(seed, "data"))
        return x, y


def draw(x: FloatArray, y: IntArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw 50 training and 50 test points of each class from the pool."""
    chosen = [rng.permutation(np.flatnonzero(y == label))[: 2 * _DRAWN] for label in (0, 1)]
    train = rng.permutation(np.concatenate([c[:_DRAWN] for c in chosen]))
    test = rng.permutation(np.concatenate([c[_DRAWN:] for c in chosen]))
    return x[train], y[train], x[test], y[test]


def _along_curve(length: FloatArray, other: FloatArray, period: float = np.inf) -> FloatArray:
    """Return distances along a curve from positions in arc length; a closed curve has a period."""
    apart: FloatArray = np.abs(length[:, None] - other[None])
    return np.minimum(apart, period - apart)


class _ArcLength:
    """Arc length of a curve from its speed |dx/dt|, by Gauss-Legendre quadrature on short intervals."""

    _NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)

    def __init__(self, speed: Callable[[FloatArray], FloatArray], start: float, end: float, pieces: int = 64) -> None:
        self._speed = speed
        self._edges = np.linspace(start, end, pieces + 1)
        self._lengths = np.concatenate([[0.0], np.cumsum(self._integral(self._edges[:-1], self._edges[1:]))])

    @property
    def total(self) -> float:
        """Length of the whole curve."""
        return float(self._lengths[-1])

    def __call__(self, t: FloatArray) -> FloatArray:
        """Return the length from the start to parameters t (n,)."""
        piece = np.clip(np.searchsorted(self._edges, t) - 1, 0, len(self._edges) - 2)
        length: FloatArray = self._lengths[piece] + self._integral(self._edges[piece], t)
        return length

    def _integral(self, a: FloatArray, b: FloatArray) -> FloatArray:
        half = (b - a) / 2
        nodes = a[:, None] + half[:, None] * (self._NODES + 1)
        integral: FloatArray = half * (self._speed(nodes) @ self._WEIGHTS)
        return integral


# Torus curve: ((R + s sin kt) cos t, (R + s sin kt) sin t, s cos kt), s = 1 for class 1 and -1 for class 0.
_TORUS_R, _TORUS_K = 8.0, 4.0


def _sample_torus(n: int, label: int, rng: np.random.Generator) -> FloatArray:
    t, s = rng.uniform(-np.pi, np.pi, n), 1.0 if label else -1.0
    radius = _TORUS_R + s * np.sin(_TORUS_K * t)
    return np.stack([radius * np.cos(t), radius * np.sin(t), s * np.cos(_TORUS_K * t)], axis=1)


_torus_length = _ArcLength(lambda t: np.sqrt(_TORUS_K**2 + (_TORUS_R + np.sin(_TORUS_K * t)) ** 2), -np.pi, np.pi)


def _torus(x: FloatArray, other: FloatArray) -> FloatArray:
    first, second = (_torus_length(np.arctan2(p[:, 1], p[:, 0])) for p in (x, other))
    return _along_curve(first, second, _torus_length.total)


# Double helix: s (cos kt, sin kt), t.
_HELIX_K = 1.5


def _sample_helix(n: int, label: int, rng: np.random.Generator) -> FloatArray:
    t, s = rng.uniform(-np.pi / 2, np.pi / 2, n), 1.0 if label else -1.0
    return np.stack([s * np.cos(_HELIX_K * t), s * np.sin(_HELIX_K * t), t], axis=1)


def _helix(x: FloatArray, other: FloatArray) -> FloatArray:
    speed = float(np.sqrt(_HELIX_K**2 + 1))
    return speed * _along_curve(x[:, 2], other[:, 2])


# Two cosines: (t, cos t + d) and (t, cos t - d).
_COSINE_D, _COSINE_END = 0.2, 0.6 * np.pi


def _sample_cosines(n: int, label: int, rng: np.random.Generator) -> FloatArray:
    t = rng.uniform(-_COSINE_END, _COSINE_END, n)
    return np.stack([t, np.cos(t) + (_COSINE_D if label else -_COSINE_D)], axis=1)


_cosine_length = _ArcLength(lambda t: np.sqrt(1 + np.sin(t) ** 2), -_COSINE_END, _COSINE_END)


def _cosines(x: FloatArray, other: FloatArray) -> FloatArray:
    return _along_curve(_cosine_length(x[:, 0]), _cosine_length(other[:, 0]))


# Two circles, radius 10 for class 1 and 50 for class 0; two spheres, radius 10 and 20.
_CIRCLE_RADII, _SPHERE_RADII = (50.0, 10.0), (20.0, 10.0)


def _sample_ball(dimension: int, radii: tuple[float, float]) -> Sampler:
    def sample(n: int, label: int, rng: np.random.Generator) -> FloatArray:
        normal = rng.standard_normal((n, dimension))
        points: FloatArray = radii[label] * normal / np.linalg.norm(normal, axis=1, keepdims=True)
        return points

    return sample


def _great_circle(x: FloatArray, other: FloatArray) -> FloatArray:
    first, second = (p / np.linalg.norm(p, axis=1, keepdims=True) for p in (x, other))
    # Half the chord keeps the digits of small angles, which the arc cosine of the product loses.
    half_chord = np.linalg.norm(first[:, None] - second[None], axis=2) / 2
    angle: FloatArray = 2 * np.arcsin(np.clip(half_chord, 0.0, 1.0))
    distance: FloatArray = np.linalg.norm(x, axis=1)[:, None] * angle
    return distance


# Folded boxes: two sheets y = +-(b + d - k|x|) for class 1, +-(b - d - k|x|) for class 0, with z in (-1, 1).
_BOX_K, _BOX_B, _BOX_D = 1.2, 12.0, 1.0


def _sample_boxes(n: int, label: int, rng: np.random.Generator) -> FloatArray:
    top = _BOX_B + (_BOX_D if label else -_BOX_D)
    x = rng.uniform(-top / _BOX_K, top / _BOX_K, n)
    sheet = np.where(np.arange(n) % 2, 1.0, -1.0)
    return np.stack([x, sheet * (top - _BOX_K * np.abs(x)), rng.uniform(-1, 1, n)], axis=1)


def _boxes(x: FloatArray, other: FloatArray) -> FloatArray:
    slope, half_width = np.sqrt(_BOX_K**2 + 1), (_BOX_B + _BOX_D) / _BOX_K
    # Unfolded, the two sheets are a flat strip closed to a tube: the lower sheet continues where the upper ends.
    first, second = (np.where(p[:, 1] >= 0, p[:, 0], 2 * half_width - p[:, 0]) for p in (x, other))
    around = _along_curve(slope * first, slope * second, slope * 4 * half_width)
    distance: FloatArray = np.hypot(around, x[:, None, 2] - other[None, :, 2])
    return distance


MANIFOLDS: dict[str, Manifold] = {
    m.name: m
    for m in (
        Manifold("torus", "Two curves that wind around a torus", _sample_torus, _torus),
        Manifold("boxes", "Two folded boxes, one inside the other", _sample_boxes, _boxes),
        Manifold("cosines", "Two cosine curves, one above the other", _sample_cosines, _cosines),
        Manifold("helix", "A double helix", _sample_helix, _helix),
        Manifold("spheres", "Two concentric spheres, uniform on each", _sample_ball(3, _SPHERE_RADII), _great_circle),
        Manifold("circles", "Two concentric circles", _sample_ball(2, _CIRCLE_RADII), _great_circle),
    )
}


def manifold(dataset: str) -> Manifold:
    """Return the manifold of a dataset's name, ``"manifold-torus"``.

    Raises
    ------
    DataError
        If the dataset is not one of the manifolds.
    """
    name = dataset.removeprefix("manifold-")
    if name not in MANIFOLDS:
        raise DataError(
            f"dataset {dataset!r} has no geodesic distances; choose manifold-{', manifold-'.join(MANIFOLDS)}"
        )
    return MANIFOLDS[name]


for _manifold in MANIFOLDS.values():
    registry.datasets.register(
        f"manifold-{_manifold.name}",
        Dataset(
            name=f"manifold-{_manifold.name}",
            summary=f"{_manifold.summary}: 50 training and 50 test points of each of two classes, drawn per seed",
            licence="CC0-1.0",
            citation=_CITATION,
            version=1,
            input_shape=(_manifold.sample(1, 0, np.random.default_rng(0)).shape[1],),
            class_names=("outer" if _manifold.name in ("circles", "spheres") else "second", "first"),
            load=_manifold.load,
            splitter=draw,
        ),
        tags=("manifolds",),
    )
