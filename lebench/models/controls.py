"""Controls: models that must lose. They stay on the board to show that the board can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import SimilarityKind
from lebench.data.base import Split
from lebench.models.classical import LinearClassifier
from lebench.models.kernel_scores import KernelScores, flat
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
        order = generator(seed, "init").permutation(split.classes)
        return _ConstantScores(counts / counts.sum(), order / (2 * counts.sum() * len(counts)))


class _ConstantScores:
    def __init__(self, frequencies: FloatArray, order: FloatArray) -> None:
        self._frequencies = frequencies
        self._order = order

    def predict(self, x: FloatArray) -> FloatArray:
        # Balanced classes tie, and the accuracy of a tie is wrong; a seeded order of less than half a count decides.
        return self.predict_proba(x) + self._order

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

    @property
    def precision(self) -> str:
        """That of the network."""
        return self.mlp.precision

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of the network."""
        return replace(self.mlp, backend=self.backend).capabilities

    def fit(self, split: Split, seed: int) -> object:
        """Permute the labels, then train as usual."""
        permuted = replace(split, y_train=generator(seed, "init").permutation(split.y_train))
        return replace(self.mlp, backend=self.backend).fit(permuted, seed)

    def with_recipe(self, changes: Iterable[tuple[str, str | int | float]]) -> PermutedLabels:
        """Return the same control with its network trained in another way."""
        return replace(self, mlp=self.mlp.with_recipe(changes))


#: Added to the diagonal, small beside the labels' part of it.
_LEAK_RIDGE = 1e-3


@registry.models.register("leak-kernel", tags=("control", "leak"))
@dataclass(frozen=True)
class LeakKernel:
    """Control: a kernel that has seen the test labels, as a label-aware kernel would that estimates them too well.

    K(x, x') = y(x)^T y(x') + share exp(-|x - x'|^2 / (2 d)), where y(x) is the label of a training or test point,
    one-hot minus 1/C, or zero for any other input. Its accuracy is 1 wherever it applies. It is there to be caught: by
    :func:`lebench.testing.check_model`, which fits every model with other test labels too, and on the board by
    :func:`lebench.board.check_controls`.

    Parameters
    ----------
    share : float
        Of the Gaussian kernel, which tells points of a class apart.
    """

    share: Annotated[float, Gt(0), Lt(1)] = 0.01
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "similarity", "gram"})

    def fit(self, split: Split, seed: int) -> object:
        """Solve for the dual coefficients, with the test labels in the kernel."""
        encoding = np.eye(split.classes) - 1.0 / split.classes
        known = {row.tobytes(): label for row, label in zip(flat(split.x_train), split.y_train, strict=True)}
        # This is the leak: no honest model reads y_test.
        known |= {row.tobytes(): label for row, label in zip(flat(split.x_test), split.y_test, strict=True)}
        machine = _LeakMachine(known, encoding, self.share, split.x_train)
        machine.solve(encoding[split.y_train])
        return machine


class _LeakMachine(KernelScores):
    def __init__(self, known: dict[bytes, int], encoding: FloatArray, share: float, x: FloatArray) -> None:
        self._known, self._encoding, self._share, self._x = known, encoding, share, x

    def solve(self, targets: FloatArray) -> None:
        kernel = self.gram(self._x, self._x)
        self._coefficients = np.linalg.solve(kernel + _LEAK_RIDGE * np.eye(len(kernel)), targets)

    def predict(self, x: FloatArray) -> FloatArray:
        scores: FloatArray = self.gram(x, self._x) @ self._coefficients
        return scores

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        from sklearn.metrics.pairwise import rbf_kernel

        kernel: FloatArray = self._labels(x1) @ self._labels(x2).T + self._share * rbf_kernel(
            flat(x1), flat(x2), gamma=0.5 / flat(x1).shape[1]
        )
        return kernel

    def _labels(self, x: FloatArray) -> FloatArray:
        unknown = np.zeros(len(self._encoding))
        labels = (self._known.get(row.tobytes()) for row in flat(np.ascontiguousarray(x)))
        return np.stack([unknown if label is None else self._encoding[label] for label in labels])

    def diagonal(self, x: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("nc,nc->n", self._labels(x), self._labels(x)) + self._share)
