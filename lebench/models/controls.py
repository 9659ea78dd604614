"""Controls: models that must lose. They stay on the board to show that the board can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import SimilarityKind
from lebench.data.base import Split
from lebench.models.classical import LinearClassifier
from lebench.models.kernel_machine import flat
from lebench.models.network import Network
from lebench.seeds import generator, stream


@registry.models.register("constant", tags=("control",))
@dataclass(frozen=True)
class Constant:
    """Control: the class frequencies of the training labels, whatever the input."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "predict_proba"})

    def fit(self, split: Split, seed: int) -> object:
        """Count the labels."""
        counts = np.bincount(split.y_train, minlength=split.classes)
        return _ConstantScores(counts / counts.sum(), generator(seed, "init").permutation(split.classes))


class _ConstantScores:
    def __init__(self, frequencies: FloatArray, order: IntArray) -> None:
        self._frequencies = frequencies
        self._order = order

    def predict(self, x: FloatArray) -> FloatArray:
        # Balanced classes tie, and the accuracy of a tie is wrong; a seeded order far below one count decides.
        return self.predict_proba(x) + 1e-9 * self._order

    def predict_proba(self, x: FloatArray) -> FloatArray:
        return np.tile(self._frequencies, (len(x), 1))


@registry.models.register("random-features", tags=("control",))
@dataclass(frozen=True)
class RandomFeatures:
    """Control: a linear classifier on features that are noise, unrelated to the input.

    Each input gets a Gaussian feature vector drawn from a hash of its bytes and the seed, so that prediction is a
    function, but near inputs have independent features: the model can memorize and cannot generalize. (These are
    not random Fourier features, which are a good kernel approximation.)

    Parameters
    ----------
    width : int
        Number of features.
    """

    width: Annotated[int, Ge(1), Le(100_000)] = 256
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "predict_proba", "features", "similarity", "gram"})

    def fit(self, split: Split, seed: int) -> object:
        """Fit a ridge classifier on the noise."""
        noise = _Noise(int(stream(seed, "init").generate_state(1)[0]), self.width)
        features = noise(split.x_train)
        targets = np.eye(split.classes)[split.y_train] - 1.0 / split.classes
        ridge = features.T @ features + np.eye(self.width)
        weights = np.linalg.solve(ridge, features.T @ targets).T.astype(np.float64)
        return _OnNoise(noise, LinearClassifier(weights, np.full(split.classes, 1.0 / split.classes)))


@dataclass(frozen=True)
class _Noise:
    seed: int
    width: int

    def __call__(self, x: FloatArray) -> FloatArray:
        rows = [
            np.random.default_rng(
                int.from_bytes(hashlib.sha256(self.seed.to_bytes(8, "big") + row.tobytes()).digest()[:16], "big")
            ).standard_normal(self.width)
            for row in flat(np.ascontiguousarray(x))
        ]
        return np.stack(rows)


class _OnNoise:
    def __init__(self, noise: _Noise, classifier: LinearClassifier) -> None:
        self._noise = noise
        self._classifier = classifier

    def predict(self, x: FloatArray) -> FloatArray:
        return self._classifier.predict(self._noise(x))

    def predict_proba(self, x: FloatArray) -> FloatArray:
        return self._classifier.predict_proba(self._noise(x))

    def features(self, x: FloatArray) -> FloatArray:
        return self._noise(x)

    def head(self) -> tuple[FloatArray, FloatArray]:
        return self._classifier.head()

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        return self._classifier.gram(self._noise(x1), self._noise(x2))

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        return self._classifier.similarity(self._noise(sources), labels, self._noise(targets), kind, step)


@registry.models.register("permuted-labels", tags=("control",))
def permuted_labels() -> PermutedLabels:
    """Control: the default multilayer perceptron, trained on a random permutation of the training labels."""
    return PermutedLabels(registry.models.get("mlp")())


@dataclass(frozen=True)
class PermutedLabels:
    """A network that is trained on a random permutation of the training labels."""

    mlp: Network
    backend: str = "torch"

    backends: ClassVar[tuple[str, ...]] = Network.backends
    precision: ClassVar[str] = Network.precision

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of the network."""
        return self.mlp.capabilities

    def fit(self, split: Split, seed: int) -> object:
        """Permute the labels, then train as usual."""
        permuted = replace(split, y_train=generator(seed, "init").permutation(split.y_train))
        return replace(self.mlp, backend=self.backend).fit(permuted, seed)

    def with_recipe(self, changes: Iterable[tuple[str, str | int | float]]) -> PermutedLabels:
        """Return the same control with its network trained in another way."""
        return replace(self, mlp=self.mlp.with_recipe(changes))
