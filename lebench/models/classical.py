"""Models without a network and without a kernel matrix: nearest neighbours and logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt

from lebench import registry
from lebench.arrays import FloatArray
from lebench.data.base import Split
from lebench.errors import DataError
from lebench.models.kernel_scores import KernelScores, flat


@registry.models.register("knn", tags=("classical",))
@dataclass(frozen=True)
class KNearestNeighbours:
    """Majority vote of the k nearest training points in Euclidean distance.

    Parameters
    ----------
    k : int
        Number of neighbours.
    """

    k: Annotated[int, Ge(1)] = 3
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "predict_proba"})

    def fit(self, split: Split, seed: int) -> object:
        """Store the training points."""
        from sklearn.neighbors import KNeighborsClassifier

        if self.k > len(split.x_train):
            raise DataError(f"knn needs at least k={self.k} training points, there are {len(split.x_train)}")
        return _Votes(KNeighborsClassifier(self.k).fit(flat(split.x_train), split.y_train))


class _Votes:
    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    def predict(self, x: FloatArray) -> FloatArray:
        # Equal votes are decided by the nearest neighbour: a share below one vote keeps the order of the votes.
        votes = self.predict_proba(x)
        _, nearest = self._classifier.kneighbors(flat(x), n_neighbors=1)
        votes[np.arange(len(x)), self._classifier._y[nearest[:, 0]]] += 0.5 / self._classifier.n_neighbors
        return votes

    def predict_proba(self, x: FloatArray) -> FloatArray:
        shares: FloatArray = self._classifier.predict_proba(flat(x)).astype(np.float64)
        return shares


@registry.models.register("logistic-regression", tags=("classical",))
@dataclass(frozen=True)
class LogisticRegression:
    """Multinomial logistic regression on the pixels, L2-regularized.

    Parameters
    ----------
    c : float
        Inverse strength of the regularization, as in scikit-learn.
    """

    c: Annotated[float, Gt(0)] = 1.0
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "predict_proba", "features", "similarity", "gram"})

    def fit(self, split: Split, seed: int) -> object:
        """Minimize the regularized log-loss."""
        from sklearn.linear_model import LogisticRegression as Classifier

        classifier = Classifier(C=self.c, max_iter=5000, tol=1e-6).fit(flat(split.x_train), split.y_train)
        weights, bias = classifier.coef_, classifier.intercept_
        if len(weights) == 1:  # scikit-learn keeps one row for two classes; softmax wants two
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        return LinearClassifier(weights, bias)


class LinearClassifier(KernelScores):
    """A linear map with softmax, whose kernel is <x, x'> + 1 for every step and every weight."""

    def __init__(self, weights: FloatArray, bias: FloatArray) -> None:
        self._weights = np.ascontiguousarray(weights)
        self._bias = bias

    def predict(self, x: FloatArray) -> FloatArray:
        """Return logits (n, C)."""
        scores: FloatArray = flat(x) @ self._weights.T + self._bias
        return scores

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Return the softmax of the logits (n, C)."""
        from scipy.special import softmax

        probabilities: FloatArray = softmax(self.predict(x), axis=1)
        return probabilities

    def features(self, x: FloatArray) -> FloatArray:
        """Return the pixels (n, d)."""
        return np.ascontiguousarray(flat(x))

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, d) and bias (C,)."""
        return self._weights, self._bias

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return <x, x'> + 1, (n, m)."""
        kernel: FloatArray = flat(x1) @ flat(x2).T + 1.0
        return kernel

    def diagonal(self, x: FloatArray) -> FloatArray:
        """Return |x|^2 + 1, (n,)."""
        return np.asarray(np.einsum("nd,nd->n", flat(x), flat(x)) + 1)
