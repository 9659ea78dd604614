"""A grid of trained networks, kept with their weights, on which measures of generalization are scored.

Two values of each of six hyper-parameters and five seeds: perceptrons on digits, each taken where its training
cross-entropy first falls to 0.01. ``benchmarks/make_measure_grid.py`` made the file. Weights are in half precision, and
the networks are those of the rounded weights, so nothing measured on them is off by the rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.arrays import FloatArray
from lebench.data.base import Dataset, Split, Variant

#: Hyper-parameters and their values.
AXES: dict[str, tuple[float, ...]] = {
    "width": (16, 64),
    "depth": (1, 2),
    "lr": (0.02, 0.1),
    "batch_size": (16, 64),
    "weight_decay": (0.0, 1e-3),
    "n_train": (60, 400),
}
SEEDS = (0, 1, 2, 3, 4)
#: Training cross-entropy at which every network is taken; those that never reach it are left out.
STOP = 0.01
FILE = Path(__file__).with_name("measure_grid.npz")

_INPUTS, _CLASSES = 64, 10


def split_of(seed: int, n_train: int) -> Split:
    """Return the digits on which the networks of a seed and size were trained."""
    return _split_of(registry.datasets.get("digits"), seed, n_train)


@lru_cache(maxsize=16)
def _split_of(digits: Dataset, seed: int, n_train: int) -> Split:
    # The dataset is part of what is cached by: another may stand under the name for a while, as in tests.
    return Variant(n_train=n_train).apply(digits.split(seed), seed)


def initial_key(seed: int, width: int, depth: int) -> str:
    """Return the name in the file of the weights that networks of a seed and shape started with."""
    return f"initial-{seed}-{width}-{depth}"


@dataclass(frozen=True)
class GridNetwork:
    """One trained perceptron: dense layers with ReLUs between them.

    Attributes
    ----------
    seed : int
        Of data, initialization and batches.
    setting : mapping of str to float
        Its hyper-parameters, by the names in `AXES`.
    weights, biases : tuple of ndarray, float64
        One of each per layer, (outputs, inputs) and (outputs,), after training.
    initial_weights, initial_biases : tuple of ndarray, float64
        The same before training.
    train_error, test_error : float
        Its errors.
    """

    seed: int
    setting: Mapping[str, float]
    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    initial_weights: tuple[FloatArray, ...]
    initial_biases: tuple[FloatArray, ...]
    train_error: float
    test_error: float

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], index: int) -> GridNetwork:
        """Return a network of the file by its number."""
        seed = int(arrays["seeds"][index])
        setting = dict(zip(AXES, map(float, arrays["settings"][index]), strict=True))
        width, depth = int(setting["width"]), int(setting["depth"])
        final = _unpacked(arrays[f"final-{index}"], width, depth)
        initial = _unpacked(arrays[initial_key(seed, width, depth)], width, depth)
        errors = arrays["errors"][index] if "errors" in arrays else (np.nan, np.nan)
        return cls(seed, setting, *final, *initial, float(errors[0]), float(errors[1]))

    @property
    def gap(self) -> float:
        """Test error minus training error."""
        return self.test_error - self.train_error

    @property
    def split(self) -> Split:
        """The training and test points, labels included."""
        return split_of(self.seed, int(self.setting["n_train"]))

    @cached_property
    def train_scores(self) -> FloatArray:
        """Scores of the training points, (n, 10)."""
        return self.predict(self.split.x_train)

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, 10) of inputs (n, 8, 8, 1)."""
        hidden = x.reshape(len(x), -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.T + bias, 0)
        return np.asarray(hidden @ self.weights[-1].T + self.biases[-1])

    def measured_errors(self) -> tuple[float, float]:
        """Return training and test error, computed anew."""
        split = self.split
        pairs = ((split.x_train, split.y_train), (split.x_test, split.y_test))
        train, test = (float((self.predict(x).argmax(axis=1) != y).mean()) for x, y in pairs)
        return train, test


def _unpacked(flat: NDArray[Any], width: int, depth: int) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    sizes = [_INPUTS, *[width] * depth, _CLASSES]
    weights, biases, start = [], [], 0
    for inputs, outputs in pairwise(sizes):
        end = start + inputs * outputs
        weights.append(flat[start:end].reshape(outputs, inputs).astype(np.float64))
        biases.append(flat[end : end + outputs].astype(np.float64))
        start = end + outputs
    return tuple(weights), tuple(biases)


def load_grid() -> tuple[GridNetwork, ...]:
    """Return all networks that reached the training loss at which they are compared."""
    return _load_grid(registry.datasets.get("digits"))


@lru_cache(maxsize=2)
def _load_grid(digits: Dataset) -> tuple[GridNetwork, ...]:
    # Networks keep their scores, so others are made where another dataset stands under the name for a while.
    with np.load(FILE) as file:
        arrays = dict(file)
    return tuple(GridNetwork.read(arrays, int(index)) for index in np.flatnonzero(arrays["loss"] <= STOP))
