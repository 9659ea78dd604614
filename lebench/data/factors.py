"""Planted data with two independent binary factors.

Trained on one of them, does a model's similarity follow that one?
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import hadamard

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset, balanced_subset

DIMENSION = 64
#: Distance of a factor's two means from the origin, in standard deviations of the noise of a coordinate.
SIGNAL = 3.0
_POOL, _TRAIN, _TEST = 1000, 100, 100


def load() -> tuple[FloatArray, IntArray]:
    """Return the pool of points, the same every time: coordinates (4000, 64) and cells (4000,).

    A point is x = s1 a h1 + s2 a h2 + noise, with signs s1, s2 of its two factors, a = `SIGNAL`, two orthogonal unit
    vectors h1 and h2, and standard normal noise in each coordinate. The cell is 2 [s1 > 0] + [s2 > 0].

    All entries of h1 and h2 are +-1/8, so the variance of every coordinate is the same, and one permutation of the
    coordinates exchanges h1 and h2: neither factor is easier than the other, for any model that treats all
    coordinates alike. The best classifier of a factor, the sign of h'x, is right with probability Phi(`SIGNAL`).
    """
    rng = np.random.default_rng(np.random.SeedSequence(list(b"two-factor")))
    cells = np.repeat(np.arange(4), _POOL)
    signs = 2.0 * np.stack([cells // 2, cells % 2], axis=1) - 1
    return SIGNAL * signs @ directions() + rng.standard_normal((len(cells), DIMENSION)), cells


def directions() -> FloatArray:
    """Return the unit vectors h1 and h2 of the two factors, (2, 64)."""
    # Rows 1 and 2 change sign every coordinate and every second coordinate: swapping coordinates 1 and 2 of each
    # group of four exchanges them.
    rows: FloatArray = hadamard(DIMENSION)[1:3] / np.sqrt(DIMENSION)
    return rows


def draw(x: FloatArray, y: IntArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw 100 training and 100 test points of each cell from the pool."""
    chosen = balanced_subset(y, 4 * (_TRAIN + _TEST), 4, rng)
    first = np.concatenate([chosen[y[chosen] == cell][:_TRAIN] for cell in range(4)])
    rest = np.concatenate([chosen[y[chosen] == cell][_TRAIN:] for cell in range(4)])
    train, test = rng.permutation(first), rng.permutation(rest)
    return x[train], y[train], x[test], y[test]


registry.datasets.register(
    "two-factor",
    Dataset(
        name="two-factor",
        summary="Four cells of two planted factors, 64 dimensions; of each, 100 for training and 100 for test per seed",
        licence="CC0-1.0",
        citation="after the images of cat or dog with chair or bench in S. Chen, H. He, W. J. Su. Label-Aware "
        "Neural Tangent Kernel: Toward Better Generalization and Local Elasticity. NeurIPS 2020, arXiv 2010.11775",
        version=1,
        input_shape=(DIMENSION,),
        class_names=("both low", "second high", "first high", "both high"),
        load=load,
        splitter=draw,
    ),
)
