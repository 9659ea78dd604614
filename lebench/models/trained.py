"""What is trained already and is no network: fitted estimators, and features without a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.models.estimator import FittedEstimator, FittedWithProbabilities, is_estimator
from lebench.models.kernel_scores import flat


class FeatureArrays:
    """Inputs that are features themselves: their kernel is the linear one."""

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the inner products (n, m) of features."""
        result: FloatArray = flat(x1) @ flat(x2).T
        return result


def is_fitted_estimator(value: object) -> bool:
    """Return whether something is a fitted classifier of scikit-learn's kind."""
    return is_estimator(value) and hasattr(value, "classes_") and hasattr(value, "predict")


def fitted_estimator(estimator: Any) -> object:
    """Return a fitted classifier with the capabilities of a model; class c is ``estimator.classes_[c]``."""
    classes = np.asarray(estimator.classes_)
    kind = FittedWithProbabilities if hasattr(estimator, "predict_proba") else FittedEstimator
    return kind(_Encoded(estimator, classes), np.arange(len(classes)), len(classes))


class _Encoded:
    """A fitted classifier that predicts the places of its classes."""

    def __init__(self, estimator: Any, classes: np.ndarray[Any, Any]) -> None:
        self._estimator, self._classes = estimator, classes

    def predict(self, x: FloatArray) -> IntArray:
        order = np.argsort(self._classes)
        found = np.searchsorted(self._classes, np.asarray(self._estimator.predict(x)).ravel(), sorter=order)
        return order[found].astype(np.int64)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._estimator, name)
