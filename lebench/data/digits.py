"""The handwritten digits that come with scikit-learn: real images, no download."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset

_CITATION = (
    "E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998; "
    "the test part of it, as distributed with scikit-learn"
)
_LICENCE = "CC BY 4.0"
_TEST_SHARE = 450 / 1797


def _load() -> tuple[FloatArray, IntArray]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images[..., np.newaxis] / 16.0, bunch.target.astype(np.int64)


def _stratified(
    x: FloatArray, y: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=round(_TEST_SHARE * len(y)), stratify=y, random_state=int(rng.integers(2**31))
    )
    return x_train, y_train, x_test, y_test


digits = registry.datasets.register(
    "digits",
    Dataset(
        name="digits",
        summary="1,797 handwritten digits, 8x8 grey, 10 classes; stratified 1,347/450 split per seed",
        licence=_LICENCE,
        citation=_CITATION,
        version=1,
        input_shape=(8, 8, 1),
        class_names=tuple(str(d) for d in range(10)),
        load=_load,
        splitter=_stratified,
    ),
)


def digits_pair(first: int, second: int) -> Dataset:
    """Return the binary dataset of two digits: label 0 is `first`, label 1 is `second`."""

    def load() -> tuple[FloatArray, IntArray]:
        x, y = _load()
        keep = (y == first) | (y == second)
        return x[keep], (y[keep] == second).astype(np.int64)

    return Dataset(
        name=f"digits-{first}v{second}",
        summary=f"Digits {first} against {second}, 8x8 grey; a quarter held out per seed",
        licence=_LICENCE,
        citation=_CITATION,
        version=1,
        input_shape=(8, 8, 1),
        class_names=(str(first), str(second)),
        load=load,
        splitter=_stratified,
    )


for _first, _second in combinations(range(10), 2):
    _pair = digits_pair(_first, _second)
    registry.datasets.register(_pair.name, _pair, tags=("digits-pairs",))
