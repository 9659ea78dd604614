"""Estimators of scikit-learn, and of others with its interface, as models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Split
from lebench.errors import ParameterError
from lebench.models.kernel_scores import flat
from lebench.seeds import generator


def is_estimator(value: object) -> bool:
    """Return whether something has the interface of an estimator."""
    return not isinstance(value, type) and hasattr(value, "fit") and hasattr(value, "get_params")


@dataclass(frozen=True)
class Estimator:
    """A classifier of scikit-learn or with its interface, fitted anew to every split.

    Its inputs are flat, (n, d), and its labels are 0, 1, ... of the classes that are there. Parameters called
    ``random_state`` that are None, at any depth, are drawn from the seed.

    Attributes
    ----------
    estimator : object
        With ``fit``, ``predict`` and ``get_params``; not fitted.
    """

    estimator: Any

    @property
    def capabilities(self) -> frozenset[str]:
        """Scores always; probabilities if it has ``predict_proba``."""
        return frozenset({"predict", "predict_proba"} if hasattr(self.estimator, "predict_proba") else {"predict"})

    def fit(self, split: Split, seed: int) -> object:
        """Fit a copy to the training part of a split."""
        made = _copy(self.estimator)
        drawn = int(generator(seed, "init").integers(2**31))
        random = {
            name: drawn
            for name, value in made.get_params(deep=True).items()
            if name.split("__")[-1] == "random_state" and value is None
        }
        if random:
            made.set_params(**random)
        present, y = np.unique(split.y_train, return_inverse=True)
        made.fit(flat(split.x_train), y)
        kind = FittedWithProbabilities if hasattr(made, "predict_proba") else FittedEstimator
        return kind(made, present, split.classes)


def make_estimator(value: Any) -> Estimator:
    """Return the model of an estimator, which may be fitted: what it has learned does not count.

    Raises
    ------
    ParameterError
        If it is no classifier.
    """
    from sklearn.base import is_regressor

    name = type(value).__name__
    if not hasattr(value, "predict"):
        raise ParameterError(f"{name} has no method predict: a classifier is needed")
    if is_regressor(value):
        raise ParameterError(f"{name} predicts numbers: a classifier is needed")
    return Estimator(_copy(value))


def name_of(estimator: Any) -> str:
    """Return an estimator as scikit-learn writes it, with the parameters that are not the defaults.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> name_of(make_pipeline(StandardScaler(), LogisticRegression(C=0.5)))
    'StandardScaler() + LogisticRegression(C=0.5)'
    """
    if isinstance(steps := getattr(estimator, "steps", None), list):
        return " + ".join(name_of(step) for _, step in steps)
    try:
        text = estimator.__repr__(N_CHAR_MAX=10**6)
    except TypeError:
        text = repr(estimator)
    # Brackets hold the parameters of a specification.
    return re.sub(r"\s+", " ", text).translate(str.maketrans("[]", "()"))


def _copy(estimator: Any) -> Any:
    from sklearn.base import clone

    return clone(estimator)


class FittedEstimator:
    """A fitted classifier; of its classes that of number i is the class ``present[i]`` of C."""

    def __init__(self, estimator: Any, present: IntArray, classes: int) -> None:
        self._estimator, self._present, self._classes = estimator, present, classes

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C), of which that of the predicted class is the largest."""
        x = flat(x)
        scores = self._scores(x)
        # What it predicts decides, also where two classes have one score.
        chosen = self._present[np.asarray(self._estimator.predict(x)).ravel().astype(np.int64)]
        rows = np.arange(len(x))
        others = scores.copy()
        others[rows, chosen] = -np.inf
        best = others.max(axis=1)
        scores[rows, chosen] = np.maximum(scores[rows, chosen], np.nextafter(best, np.inf))
        return scores

    def _scores(self, x: FloatArray) -> FloatArray:
        """Return what it says of each class: a margin, else a probability, else only which one it predicts."""
        count = len(self._present)
        if hasattr(self._estimator, "decision_function"):
            margins = np.asarray(self._estimator.decision_function(x), dtype=np.float64)
            margins = np.stack([-margins, margins], axis=1) / 2 if margins.ndim == 1 else margins
            if margins.shape[1] == count:  # not the case of one margin for each pair of classes
                return self._widened(margins, margins.min(axis=1, keepdims=True) - 1)
        if hasattr(self._estimator, "predict_proba"):
            return self._widened(np.asarray(self._estimator.predict_proba(x), dtype=np.float64), 0.0)
        return np.zeros((len(x), self._classes))

    def _widened(self, values: NDArray[np.float64], absent: Any) -> FloatArray:
        """Return the values of all classes, those without a training point with a value of their own."""
        wide = np.empty((len(values), self._classes))
        wide[:] = absent
        wide[:, self._present] = values
        return wide


class FittedWithProbabilities(FittedEstimator):
    """One that knows probabilities."""

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Return probabilities (n, C)."""
        return self._widened(np.asarray(self._estimator.predict_proba(flat(x)), dtype=np.float64), 0.0)
