"""Checks that whoever adds a metric, a model or a task runs on it: each returns what is wrong, in words.

An empty list means that nothing was found:

>>> from lebench.testing import check_metric
>>> check_metric("accuracy")
[]
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np

from lebench import registry
from lebench.calibrate import check
from lebench.capabilities import CAPABILITIES, offers
from lebench.data.base import Split, Variant
from lebench.errors import LebenchError
from lebench.metrics.base import Metric
from lebench.tasks.base import TRACKS, Task, metric_of


def check_metric(metric: str | Metric | Callable[..., Any]) -> list[str]:
    """Return what a metric lacks: its definition, and whether it gives its known answers.

    Parameters
    ----------
    metric : str, Metric or callable
        Registered name, definition, or the registered function itself.

    Returns
    -------
    list of str
        Complaints, empty if there are none.
    """
    name = metric if isinstance(metric, str) else getattr(metric, "name", getattr(metric, "__name__", repr(metric)))
    if not isinstance(metric, Metric):
        if name not in registry.metrics:
            return [f"{name}: not registered; decorate the function with lebench.metrics.base.metric"]
        metric = registry.metrics.get(name)
        assert isinstance(metric, Metric)
    complaints = [
        f"no {what}"
        for what, value in (
            ("symbol", metric.symbol),
            ("equation", metric.equation),
            ("source", metric.source),
            ("summary: the function needs a docstring", metric.summary),
            ("known answer", metric.known_answers),
        )
        if not value
    ]
    if metric.direction not in ("higher", "lower", "none"):
        complaints.append(f"direction is {metric.direction!r}: 'higher', 'lower' or 'none' is needed")
    if not metric.bounds[0] < metric.bounds[1]:
        complaints.append(f"bounds {metric.bounds} are not a smallest and a largest value")
    for answer in metric.known_answers:
        about = f"known answer {answer.name!r}"
        if not answer.source:
            complaints.append(f"{about} does not say where it comes from")
        if not metric.bounds[0] <= answer.expected <= metric.bounds[1]:
            complaints.append(f"{about}: {answer.expected} is outside the bounds {metric.bounds}")
        for dtype in ("float64", "float32"):
            result = check(metric, answer, dtype=dtype)
            if not result["ok"]:
                got = result["reason"] or f"got {result['value']}, tolerance {result['tolerance']:.1e}"
                complaints.append(f"{about} in {dtype}: expected {answer.expected}, {got}")
        if not complaints:
            complaints += _repeated(metric, answer.inputs, about)
    return [f"{name}: {complaint}" for complaint in complaints]


def _repeated(metric: Metric, make: Callable[[], Any], about: str) -> list[str]:
    """Return whether a metric gives a Python float, twice the same, and leaves its inputs alone."""
    inputs = make()
    before = copy.deepcopy(dict(inputs))
    first, second = metric(**inputs), metric(**inputs)
    complaints = []
    if type(first) is not float:
        complaints.append(f"{about}: returns {type(first).__name__}, a Python float is needed")
    if first != second:
        complaints.append(f"{about}: {first} the first time, {second} the second; seed what is random")
    if any(not _equal(before[name], inputs[name]) for name in before):
        complaints.append(f"{about}: the metric changes its inputs")
    return complaints


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_equal, before, after))
    return np.array_equal(before, after) if isinstance(before, np.ndarray) else True


def check_model(model: Any, split: Split | None = None, seed: int = 0) -> list[str]:
    """Fit a model three times and return where it breaks the contracts of :mod:`lebench.capabilities`.

    The third time the split has other test labels: what fit returns must not depend on them.

    Parameters
    ----------
    model : Model
        A frozen dataclass with ``capabilities`` and ``fit``.
    split : Split, optional
        What to fit it to; by default 50 training points of digits.
    seed : int
        Root seed.

    Returns
    -------
    list of str
        Complaints, empty if there are none.
    """
    complaints = []
    if not (is_dataclass(model) and not isinstance(model, type) and type(model).__dataclass_params__.frozen):  # type: ignore[attr-defined]
        complaints.append("is no instance of a frozen dataclass, whose fields are its parameters")
    elif repr(replace(model)) != repr(model):
        complaints.append("a copy has another repr, which is to identify the configuration")
    capabilities = getattr(model, "capabilities", None)
    if not isinstance(capabilities, frozenset):
        return [*complaints, "capabilities is no frozenset"]
    if unknown := capabilities - set(CAPABILITIES):
        return [*complaints, f"declares unknown capabilities {sorted(unknown)}; there are {', '.join(CAPABILITIES)}"]
    split = split or _small_digits()
    fitted, again = model.fit(split, seed), model.fit(split, seed)
    misled = model.fit(_other_test_labels(split), seed)
    for name in CAPABILITIES:
        if offers(fitted, name) and name not in capabilities:
            complaints.append(f"offers {name} without declaring it")
        elif name in capabilities and not offers(fitted, name):
            reason = getattr(fitted, "unavailable", {}).get(name)
            if reason is None:
                complaints.append(f"declares {name}, but what fit returns does not offer it")
            # A layer that has no capacity is no fault: tasks on weights refuse this network and say why.
            elif name != "weights":
                complaints.append(f"{name}: {reason}")
        elif name in capabilities:
            found = _check(name, fitted, again, split)
            # What two fits with the same labels share, and fits with other test labels do not, comes from those labels.
            if not found and _check(name, fitted, misled, split):
                found = ["depends on the test labels: a leak"]
            complaints += [f"{name}: {complaint}" for complaint in found]
    return complaints


def _check(name: str, fitted: Any, again: Any, split: Split) -> list[str]:
    try:
        return _CHECKS[name](fitted, again, split)
    except LebenchError as error:
        # Capacities are not defined for every layer; tasks that ask for weights take that for a reason.
        return [] if name == "weights" else [str(error)]


def _other_test_labels(split: Split) -> Split:
    fine = split.fine_test
    return replace(
        split,
        y_test=(split.y_test + 1) % split.classes,
        fine_test=None if fine is None else (fine + 1) % (fine.max() + 1),
    )


def _small_digits() -> Split:
    split = Variant(n_train=50).apply(registry.datasets.get("digits").split(0), 0)
    return replace(split, x_test=split.x_test[:20], y_test=split.y_test[:20], fine_test=None)


def _array(value: Any, shape: tuple[int, ...], what: str = "") -> list[str]:
    what = what and f"{what} "
    if not isinstance(value, np.ndarray):
        return [f"{what}is {type(value).__name__}, a NumPy array is needed"]
    complaints = []
    if value.dtype != np.float64:
        complaints.append(f"{what}has dtype {value.dtype}, float64 is needed")
    if value.shape != shape:
        complaints.append(f"{what}has shape {value.shape}, {shape} is needed")
    if not value.flags.c_contiguous:
        complaints.append(f"{what}is not C-contiguous")
    if not np.isfinite(value).all():
        complaints.append(f"{what}contains NaN or infinity")
    return complaints


def _same(first: Any, second: Any, what: str = "") -> list[str]:
    return (
        [] if np.array_equal(first, second) else [f"{what and what + ' '}differs between two fits with the same seed"]
    )


def _check_predict(fitted: Any, again: Any, split: Split) -> list[str]:
    scores = fitted.predict(split.x_test)
    return _array(scores, (len(split.x_test), split.classes)) or _same(scores, again.predict(split.x_test))


def _check_predict_proba(fitted: Any, again: Any, split: Split) -> list[str]:
    values = fitted.predict_proba(split.x_test)
    complaints = _array(values, (len(split.x_test), split.classes))
    if not complaints and (values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > 1e-6):
        complaints.append("rows are no probabilities: non-negative and summing to 1")
    return complaints or _same(values, again.predict_proba(split.x_test))


def _check_features(fitted: Any, again: Any, split: Split) -> list[str]:
    features = fitted.features(split.x_test)
    if not isinstance(features, np.ndarray) or features.ndim != 2:
        return ["features are no (n, p) NumPy array"]
    weights, bias = fitted.head()
    complaints = _array(features, (len(split.x_test), features.shape[1]))
    complaints += _array(weights, (split.classes, features.shape[1]), "weights")
    complaints += _array(bias, (split.classes,), "bias")
    if not complaints and offers(fitted, "predict"):
        scores, expected = fitted.predict(split.x_test), features @ weights.T + bias
        if not np.allclose(scores, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(scores).max()))):
            complaints.append("head applied to features is not what predict returns")
    return complaints or _same(features, again.features(split.x_test))


def _check_weights(fitted: Any, again: Any, split: Split) -> list[str]:
    layers, others = fitted.weights(), again.weights()
    if not layers:
        return ["there are no layers"]
    complaints: list[str] = []
    for index, layer in enumerate(layers):
        complaints += _array(layer.weight, layer.weight.shape, f"weight of layer {index}")
        complaints += _array(layer.bias, layer.weight.shape[:1], f"bias of layer {index}")
    if layers[-1].weight.shape[0] != split.classes:
        complaints.append(f"the last layer has {layers[-1].weight.shape[0]} outputs, {split.classes} are needed")
    return complaints or [
        complaint
        for index, (first, second) in enumerate(zip(layers, others, strict=True))
        for complaint in _same(first.weight, second.weight, f"weight of layer {index}")
    ]


def _check_similarity(fitted: Any, again: Any, split: Split) -> list[str]:
    sources, labels, targets = split.x_train[:4], split.y_train[:4], split.x_test[:5]
    complaints = []
    for kind in ("relative", "signed", "kernel"):
        values = fitted.similarity(sources, labels, targets, kind=kind)
        complaints += _array(values, (4, 5), kind)
        if not complaints and kind == "relative" and values.min() < 0:
            complaints.append("relative has a negative entry: it is a ratio of norms")
        if not complaints and kind != "kernel":
            own = np.diagonal(fitted.similarity(sources, labels, sources, kind=kind))
            if not np.allclose(own, 1, atol=1e-6):
                complaints.append(f"{kind} of a point with itself is not 1")
        if not complaints:
            complaints += _same(values, again.similarity(sources, labels, targets, kind=kind), kind)
    return complaints


def _check_gram(fitted: Any, again: Any, split: Split) -> list[str]:
    rows, columns = split.x_train[:6], split.x_test[:4]
    cross, square = fitted.gram(rows, columns), fitted.gram(rows, rows)
    complaints = _array(cross, (6, 4)) + _array(square, (6, 6), "gram of points with themselves")
    if not complaints and not np.allclose(square, square.T, rtol=1e-6, atol=1e-6 * float(np.abs(square).max())):
        complaints.append("gram of points with themselves is not symmetric")
    return complaints or _same(cross, again.gram(rows, columns))


def _check_trajectory(fitted: Any, again: Any, split: Split) -> list[str]:
    course = fitted.trajectory()
    times, probes = len(course.times), len(course.probe)
    complaints = _array(course.times, (times,), "times") + _array(course.loss, (times,), "loss")
    complaints += _array(course.error, (times,), "error")
    complaints += _array(course.scores, (times, probes, course.scores.shape[-1]), "scores")
    if not complaints and (np.diff(course.times) <= 0).any():
        complaints.append("times do not increase")
    if not complaints and (course.probe.min(initial=0) < 0 or course.probe.max(initial=0) >= len(split.x_train)):
        complaints.append("probe contains no indices of training points")
    return complaints or _same(course.scores, again.trajectory().scores)


def _check_checkpoints(fitted: Any, again: Any, split: Split) -> list[str]:
    kept = fitted.checkpoints()
    times = [point.time for point in kept]
    if not times or times[0] != 0 or (np.diff(times) <= 0).any():
        return [f"times are {times}: they must begin with 0 and increase"]
    scores = kept[-1].fitted.predict(split.x_test)
    complaints = _array(scores, (len(split.x_test), split.classes), "the last one's predict")
    if not complaints and not np.allclose(scores, fitted.predict(split.x_test), rtol=1e-4, atol=1e-4):
        complaints.append("the last one does not predict what the fitted model predicts")
    return complaints or _same(scores, again.checkpoints()[-1].fitted.predict(split.x_test))


def _check_diagnostics(fitted: Any, again: Any, split: Split) -> list[str]:
    values = fitted.diagnostics()
    complaints = []
    for name, value in values.items():
        if metric_of(name) not in registry.metrics:
            complaints.append(f"{name}: no registered metric says what it is")
        elif not (isinstance(value, float) and np.isfinite(value)):
            complaints.append(f"{name} is {value!r}, a finite float is needed")
    return complaints or ([] if values == again.diagnostics() else ["differ between two fits with the same seed"])


def _check_complexity(fitted: Any, again: Any, split: Split) -> list[str]:
    # Imported here: only measures need the grid.
    from lebench.data.measure_grid import load_grid

    for network in load_grid()[:2]:
        value = fitted.complexity(network)
        if not isinstance(value, float) or np.isnan(value):
            return [f"is {value!r}, a float that is no NaN is needed"]
        if value != again.complexity(network):
            return ["differs between two calls on the same network"]
    return []


_CHECKS: dict[str, Callable[[Any, Any, Split], list[str]]] = {
    "predict": _check_predict,
    "predict_proba": _check_predict_proba,
    "features": _check_features,
    "weights": _check_weights,
    "similarity": _check_similarity,
    "gram": _check_gram,
    "trajectory": _check_trajectory,
    "checkpoints": _check_checkpoints,
    "diagnostics": _check_diagnostics,
    "complexity": _check_complexity,
}


def check_task(task: str | Task) -> list[str]:
    """Return what is wrong with the declaration of a task.

    Parameters
    ----------
    task : str or Task
        Registered name or the task itself.

    Returns
    -------
    list of str
        Complaints, empty if there are none.
    """
    if isinstance(task, str):
        task = registry.tasks.get(task)
        assert isinstance(task, Task)
    complaints = [f"no {what}" for what in ("summary", "reference", "metrics", "variants") if not getattr(task, what)]
    family, _, question = task.name.partition("/")
    if not (family and question):
        complaints.append(f"the name {task.name!r} is not 'family/question'")
    if task.track not in TRACKS:
        complaints.append(f"the track {task.track!r} is none of {', '.join(TRACKS)}")
    if not isinstance(task.version, int) or task.version < 1:
        complaints.append(f"the version is {task.version!r}: an integer from 1 is needed")
    if task.primary not in task.metrics:
        complaints.append(f"the primary metric {task.primary!r} is not among its metrics")
    options = {option for need in task.needs for option in ((need,) if isinstance(need, str) else need)}
    complaints += [f"needs {name!r}, which is no capability" for name in sorted(options - set(CAPABILITIES))]
    names = [variant.name for variant in task.variants]
    if len(set(names)) != len(names):
        complaints.append("two variants have the same name")
    if task.dataset not in registry.datasets:
        complaints.append(f"the dataset {task.dataset!r} is not registered")
    else:
        classes = len(registry.datasets.get(task.dataset).class_names)
        complaints += [
            f"variant {variant.name!r} groups class {label}, the dataset has classes 0 to {classes - 1}"
            for variant in task.variants
            for label in sorted(label for group in variant.groups or () for label in group)
            if not 0 <= label < classes
        ]
    complaints += _check_task_metrics(task)
    return [f"{task.name}: {complaint}" for complaint in complaints]


def _check_task_metrics(task: Task) -> list[str]:
    complaints = []
    for name in dict.fromkeys([*task.metrics, task.primary]):
        try:
            definition = registry.metrics.get(metric_of(name))
        except LebenchError as error:
            complaints.append(f"metric {name!r}: {error}")
            continue
        if name == task.primary and definition.direction == "none":
            complaints.append(f"the primary metric {name!r} has no direction: it cannot rank")
    return complaints
