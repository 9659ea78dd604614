"""Real-valued targets computed by a teacher, for the question what networks learn that kernels do not.

Inputs are used as they are: they are drawn standardized, and a teacher that is homogeneous in them would not be so in
what differs by an estimated mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from lebench import registry
from lebench.arrays import FloatArray
from lebench.data.base import Dataset

#: Input dimensions of the teacher networks; training points are 8 d^2.
DIMENSIONS = (8, 16)
_POOL, _TEST = 20_000, 5_000
#: Training points of the concept classes, as in the paper's comparison.
_CONCEPT_TRAIN = 1_000


def teacher_directions(d: int) -> FloatArray:
    """Return the orthonormal directions w*_1, ..., w*_d of the teacher network, (d, d)."""
    rng = np.random.default_rng(np.random.SeedSequence([d, *b"teacher directions"]))
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    # Uniform over rotations: the signs are then not the factorization's.
    return np.asarray(q * np.sign(np.diagonal(r)))


def teacher(x: FloatArray) -> FloatArray:
    """Return the targets (n, 1): the mean of |w*_i . x| over the d directions."""
    return np.asarray(np.abs(x @ teacher_directions(x.shape[1]).T).mean(axis=1, keepdims=True))


def sines(x: FloatArray) -> FloatArray:
    """Return (sin 3x1 + sin 3x2 + sin 3x3 - 2)^2 cos 7x4 of points (n, 4), (n, 1)."""
    return np.asarray((np.sin(3 * x[:, :3]).sum(axis=1) - 2) ** 2 * np.cos(7 * x[:, 3]))[:, None]


def tangents(x: FloatArray) -> FloatArray:
    """Return (tanh 8x1 + tanh 8x2 + tanh 8x3 - 2)^2 tanh 8x4 of points (n, 4), (n, 1)."""
    return np.asarray((np.tanh(8 * x[:, :3]).sum(axis=1) - 2) ** 2 * np.tanh(8 * x[:, 3]))[:, None]


def _normal(d: int, name: str) -> FloatArray:
    return np.random.default_rng(np.random.SeedSequence(list(name.encode()))).standard_normal((_POOL, d))


def _load(
    function: Callable[[FloatArray], FloatArray], d: int, name: str, sphere: bool
) -> tuple[FloatArray, FloatArray]:
    x = _normal(d, name)
    if sphere:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, function(x)


def draw(
    n: int, x: FloatArray, y: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Draw n training points and 5,000 test points from the pool."""
    chosen = rng.permutation(len(x))
    train, test = chosen[:n], chosen[n : n + _TEST]
    return x[train], y[train], x[test], y[test]


def _register(
    name: str, summary: str, citation: str, function: Callable[[FloatArray], FloatArray], d: int, n: int, sphere: bool
) -> None:
    registry.datasets.register(
        name,
        Dataset(
            name=name,
            summary=f"{summary}; {n:,} training and 5,000 test points per seed",
            licence="CC0-1.0",
            citation=citation,
            version=1,
            input_shape=(d,),
            class_names=("target",),
            load=partial(_load, function, d, name, sphere),
            splitter=partial(draw, n),
            standardized=False,
        ),
        tags=("regression",),
    )


for _d in DIMENSIONS:
    _register(
        f"teacher-{_d}",
        f"Mean of |w.x| over {_d} orthonormal directions, x standard normal in {_d} dimensions",
        "Y. Li, T. Ma, H. R. Zhang. Learning Over-Parametrized Two-Layer ReLU Neural Networks beyond NTK. COLT 2020, "
        "arXiv 2007.04596",
        teacher,
        _d,
        8 * _d**2,
        False,
    )
_ALLEN_ZHU = (
    "Z. Allen-Zhu, Y. Li, Y. Liang. Learning and Generalization in Overparameterized Neural Networks, Going Beyond Two "
    "Layers. NeurIPS 2019, arXiv 1811.04918"
)
_register(
    "concept-sin",
    "(sin 3x1 + sin 3x2 + sin 3x3 - 2)^2 cos 7x4 on the unit sphere in 4 dimensions",
    _ALLEN_ZHU,
    sines,
    4,
    _CONCEPT_TRAIN,
    True,
)
_register(
    "concept-tanh",
    "(tanh 8x1 + tanh 8x2 + tanh 8x3 - 2)^2 tanh 8x4 on the unit sphere in 4 dimensions",
    _ALLEN_ZHU,
    tangents,
    4,
    _CONCEPT_TRAIN,
    True,
)
