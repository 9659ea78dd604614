"""``lebench.score``: what is trained already, scored in this process with the values that a run gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Loss
from lebench.backends.wrapping import as_array, wrap
from lebench.capabilities import CAPABILITIES, offers
from lebench.data.base import Dataset, Split
from lebench.errors import DataError, LebenchError, LebenchWarning, ParameterError
from lebench.models.checkpoint import loaded_weights
from lebench.models.estimator import is_estimator
from lebench.models.trained import FeatureArrays, fitted_estimator, is_fitted_estimator
from lebench.pictures import Arrays
from lebench.reading.frames import Scores, of_scores
from lebench.runner.results import checked_values
from lebench.seeds import seeded
from lebench.tasks.base import Fit, Scored, Task
from lebench.tasks.questions import Data, Question

#: What is asked if nothing else is said, and in addition of several moments of a training.
QUESTIONS = ("accuracy", "elasticity", "collapse")
OVER_TRAINING = ("trajectory", "over-training", "alignment")


def score(
    model: Any,
    x: Any,
    y: Any = None,
    x_test: Any = None,
    y_test: Any = None,
    *,
    builder: str | Callable[..., Any] | None = None,
    questions: str | Iterable[str] | None = None,
    seed: int = 0,
    loss: Loss = "cross_entropy",
    channels_last: bool | None = None,
) -> Scores:
    """Score a trained model in this process; values are those that a run of the same fitted model records.

    Parameters
    ----------
    model : object
        A ``torch.nn.Module``; JAX functions with their weights, ``(apply, weights)`` or ``(features, head, weights)``
        (see :func:`lebench.wrap`); a fitted classifier of scikit-learn's kind; anything with capabilities
        (:mod:`lebench.capabilities`), as :func:`lebench.wrap` and ``model.fit(split, seed)`` return it; or ``None``, in
        which case the inputs are features themselves. With `builder` the path of a file of weights. Several modules in
        a list or ``{epoch: module}``, several files or a folder of them are one training: NC1 to NC4, elasticity and
        alignment of the kernel are measured over it.
    x : array of shape (n, ...), str, Dataset or Split
        Training inputs, as the model takes them; or data with all that follows: the name of a registered dataset, one
        of your own, or a split.
    y : array of shape (n,)
        Training labels. Integers 0 to C-1 are taken as they are; others, strings too, are encoded in their order.
    x_test, y_test : array, optional
        Test points; by default the training points stand for them.
    builder : str or callable, optional
        What makes the module of weights in files: a function, or ``"net.py:make"``. It is called without arguments or
        with ``(input_shape, outputs)``.
    questions : str or iterable of str, optional
        Registered questions about one fitted model, which train none of their own; by default :data:`QUESTIONS`, and
        :data:`OVER_TRAINING` for several moments of a training.
    seed : int
        Draws the split of a dataset and the points that are probed.
    loss : {"cross_entropy", "mse"}
        What a network was trained by; see :func:`lebench.wrap`.
    channels_last : bool, optional
        See :func:`lebench.wrap`; by default True for data of lebench, whose images are (n, height, width, channels).

    Returns
    -------
    DataFrame
        A row for each value: ``question``, ``track``, ``metric``, ``value``, ``reason``. Where a value is missing it is
        NaN and the reason says why; a question that the model cannot be asked is one row with the reason. A notebook
        shows it as a table; ``.plot()`` draws what stands behind the values, with Altair.

    Raises
    ------
    LebenchError
        If the model or the data cannot be used; the message names the argument.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> x, y = load_digits(return_X_y=True)
    >>> frame = score(KNeighborsClassifier().fit(x[:900], y[:900]), x[:900], y[:900], x[900:], y[900:],
    ...               questions="accuracy")
    >>> round(float(frame.set_index("metric").value["accuracy"]), 2)
    0.96
    """
    known_data = isinstance(x, str | Dataset | Split)
    split = _known_split(x, seed) if known_data else _split_of(model, x, y, x_test, y_test)
    if isinstance(questions, str):
        questions = [questions]
    tasks = {name: _task(name, split) for name in questions or ()}
    fitted = _fitted(model, builder, split, loss, known_data if channels_last is None else channels_last)
    _check_outputs(fitted, split)
    capabilities = frozenset(name for name in CAPABILITIES if offers(fitted, name))
    if questions is None:
        names = (*QUESTIONS, *(OVER_TRAINING if "checkpoints" in capabilities else ()))
        tasks = {name: _task(name, split) for name in names}
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Arrays] = {}
    for name, task in tasks.items():
        about = {"question": name, "track": task.track}
        unmet = task.unmet(capabilities, getattr(fitted, "unavailable", {}))
        if unmet is not None:
            rows.append({**about, "metric": task.primary, "value": np.nan, "reason": unmet})
            continue
        with seeded(seed, "score"):
            try:
                scored = task.score({"default": Fit(split, fitted, seed)})
            except LebenchError as error:
                rows.append({**about, "metric": task.primary, "value": np.nan, "reason": str(error)})
                continue
        if isinstance(scored, Scored):
            arrays[name], scored = scored.artifacts, scored.values
        values, missing = checked_values(task, scored)
        for metric in task.metrics:
            value = values.get(metric, np.nan)
            rows.append({**about, "metric": metric, "value": value, "reason": missing.get(metric, "")})
    return of_scores(rows, arrays)


def _task(question: str, split: Split) -> Task:
    """Return the task that asks the points of a split."""
    trained, tested = (int(np.bincount(y, minlength=split.classes).min()) for y in (split.y_train, split.y_test))
    asked: Question = registry.questions.get(question)
    task = asked.task(Data("this data", split.classes, len(split.y_train), trained, tested))
    if task.trains:
        raise ParameterError(f"questions: {question!r} {task.trains}; ask it by lebench.run")
    return task


def _known_split(data: str | Dataset | Split, seed: int) -> Split:
    if isinstance(data, Split):
        return data
    dataset: Dataset = registry.datasets.get(data) if isinstance(data, str) else data
    if dataset.has_targets:
        raise DataError(f"x: {dataset.name!r} has real-valued targets; scoring needs labels")
    return dataset.split(seed)


def _split_of(model: Any, x: Any, y: Any, x_test: Any, y_test: Any) -> Split:
    if y is None:
        raise ParameterError("y is missing: give the labels of x, or the name of a dataset in place of x")
    if (x_test is None) != (y_test is None):
        raise ParameterError("x_test and y_test belong together: give both or neither")
    inputs, labels = _points("x", x), _labels("y", y)
    others = (inputs, labels) if x_test is None else (_points("x_test", x_test), _labels("y_test", y_test))
    for (name, array), given in zip((("y", inputs), ("y_test", others[0])), (labels, others[1]), strict=True):
        if len(array) != len(given):
            raise DataError(f"{name} has {len(given)} labels for {len(array)} points")
    classes = getattr(model, "classes_", None) if is_fitted_estimator(model) else None
    encoded, names = _encoded(labels, others[1], classes)
    return Split(inputs, encoded[0], others[0], encoded[1], names)


def _points(name: str, x: Any) -> FloatArray:
    try:
        return as_array(x)
    except LebenchError as error:
        raise DataError(f"{name}: {error}") from error


def _labels(name: str, y: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if array.ndim != 1 or array.dtype.kind not in "iubUSO":
        raise DataError(f"{name}: labels must be integers or strings of shape (n,), got {array.dtype} {array.shape}")
    return array


def _encoded(
    y: np.ndarray[Any, Any], y_test: np.ndarray[Any, Any], classes: Any
) -> tuple[tuple[IntArray, IntArray], tuple[str, ...]]:
    """Return labels 0 to C-1 of both parts, and the names of the classes."""
    together = np.concatenate([y, y_test])
    found = np.unique(together) if classes is None else np.asarray(classes)
    strange = set(together.tolist()) - set(found.tolist())
    if strange:
        raise DataError(f"y holds the label {min(strange)!r}, which the model does not know")
    if classes is None and together.dtype.kind in "iub" and found[0] == 0:
        # As they are, whatever classes are absent.
        names = tuple(str(label) for label in range(int(found[-1]) + 1))
        return (y.astype(np.int64), y_test.astype(np.int64)), names
    if not np.array_equal(found, np.arange(len(found))):
        pairs = ", ".join(f"{label!r} is {code}" for code, label in enumerate(found.tolist()[:3]))
        warnings.warn(f"labels are encoded: {pairs}{', ...' if len(found) > 3 else ''}", LebenchWarning, stacklevel=4)
    order = np.argsort(found)
    codes = [order[np.searchsorted(found, part, sorter=order)].astype(np.int64) for part in (y, y_test)]
    return (codes[0], codes[1]), tuple(map(str, found.tolist()))


def _fitted(model: Any, builder: Any, split: Split, loss: Loss, channels_last: bool) -> Any:
    if isinstance(model, str | Path) or (
        isinstance(model, list) and model and all(isinstance(m, str | Path) for m in model)
    ):
        if builder is None:
            raise ParameterError(f"builder is missing: what makes the module of the weights {model!r:.60}?")
        try:
            return loaded_weights(
                model, builder, split.x_train[:2], split.classes, loss=loss, channels_last=channels_last
            )
        except LebenchError as error:
            raise ParameterError(f"model: {error}") from error
    if isinstance(model, list | Mapping) and not model:
        raise ParameterError("model holds no moment of training")
    if builder is not None:
        raise ParameterError(f"builder is for weights in files; model is {type(model).__name__}")
    if model is None:
        return FeatureArrays()
    if is_fitted_estimator(model):
        return fitted_estimator(model)
    if is_estimator(model):
        raise ParameterError(f"model: {type(model).__name__} is not fitted yet; call its fit first, or use lebench.run")
    if any(offers(model, name) for name in CAPABILITIES) and not hasattr(model, "parameters"):
        return model
    try:
        return wrap(model, split.x_train[:2], loss=loss, channels_last=channels_last)
    except LebenchError as error:
        raise ParameterError(f"model: {error}") from error


def _check_outputs(fitted: Any, split: Split) -> None:
    if not offers(fitted, "predict"):
        return
    outputs = fitted.predict(split.x_train[:2]).shape[1]
    if outputs <= max(int(split.y_train.max()), int(split.y_test.max())):
        raise DataError(
            f"the model has {outputs} scores, the labels go up to {max(split.y_train.max(), split.y_test.max())}: "
            "labels must be 0 to C-1"
        )
