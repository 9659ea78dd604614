"""The calibrated ruler: every metric against planted data whose answer is known, on every installed array library."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import callables, registry
from lebench.errors import ParameterError
from lebench.metrics.base import KnownAnswer, Metric

#: Array libraries that metrics take; those that are not installed are left out.
LIBRARIES = ("numpy", "torch", "jax")

#: Units in which metrics that are invariant to scale get their known answers, too: peers share errors on ordinary ones.
_UNITS = {"float64": (1e-150, 1e150), "float32": (1e-15, 1e15)}

#: A float32 answer may be off by as much more as float32 is coarser than float64, unless it says otherwise.
_COARSER = float(np.finfo(np.float32).eps / np.finfo(np.float64).eps)


def calibrate(metrics: Iterable[str] | None = None, backends: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Compute every known answer on every installed array library, in float64 and float32.

    Metrics that are invariant to scale get the same numbers in very small and very large units as well.

    Parameters
    ----------
    metrics : iterable of str, optional
        Names, globs or tags (``"nc*"``, ``"collapse"``); by default all registered metrics.
    backends : iterable of str, optional
        Of ``"numpy"``, ``"torch"`` and ``"jax"``; by default those that are installed.

    Returns
    -------
    list of dict
        ``metric``, ``known_answer``, ``source``, ``backend``, ``dtype`` (str); ``value``, ``expected``, ``deviation``,
        ``tolerance`` (float; value and deviation are None if there is no finite value); ``ok`` (bool); ``reason`` (str,
        why there is no value). Made of what JSON can hold.

    Raises
    ------
    UnknownNameError
        If a name matches no metric.
    ParameterError
        If an array library is unknown or not installed.
    """
    names = registry.metrics.names() if metrics is None else registry.metrics.select(metrics)
    libraries = [name for name in LIBRARIES if _installed(name)] if backends is None else list(backends)
    for name in libraries:
        if name not in LIBRARIES or not _installed(name):
            raise ParameterError(f"array library {name!r} cannot be calibrated: it is unknown or not installed")
    return [
        check(metric, answer, library, dtype)
        for metric in map(registry.metrics.get, names)
        for dtype, units in _UNITS.items()
        for answer in (*metric.known_answers, *(a for unit in units for a in in_unit(metric, unit)))
        for library in libraries
    ]


def in_unit(metric: Metric, unit: float) -> tuple[KnownAnswer, ...]:
    """Return the known answers of a metric with all numbers in another unit; none if it is not invariant to scale."""

    def scaled(value: Any) -> Any:
        if isinstance(value, list):
            return [scaled(entry) for entry in value]
        return value * unit if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

    def inputs(answer: KnownAnswer) -> dict[str, Any]:
        given = answer.inputs().items()
        return {name: value if name in answer.unscaled else scaled(value) for name, value in given}

    answers = metric.known_answers if "scale" in metric.invariant_to else ()
    return tuple(
        replace(answer, name=f"{answer.name}, times {unit:.0e}", inputs=partial(inputs, answer)) for answer in answers
    )


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def check(metric: Metric, answer: KnownAnswer, library: str = "numpy", dtype: str = "float64") -> dict[str, Any]:
    """Compute one known answer; see :func:`calibrate` for what is returned."""
    convert, context = _converter(library, dtype)
    value, reason = None, ""
    try:
        with context:
            result = float(metric(**{name: convert(entry) for name, entry in answer.inputs().items()}))
        if math.isfinite(result):
            value = result
        else:
            reason = f"the value is {result}"
    except Exception as error:  # A metric that fails on its own known answer is a finding, not the end of the table.
        reason = f"{type(error).__name__}: {error}"
    coarser = 1.0 if dtype == "float64" else _COARSER
    rtol = answer.rtol32 if dtype == "float32" and answer.rtol32 is not None else answer.rtol * coarser
    tolerance = rtol * abs(answer.expected) + answer.atol * coarser
    deviation = None if value is None else abs(value - answer.expected)
    return {
        "metric": metric.name,
        "known_answer": answer.name,
        "source": answer.source,
        "backend": library,
        "dtype": dtype,
        "value": value,
        "expected": answer.expected,
        "deviation": deviation,
        "tolerance": tolerance,
        "ok": deviation is not None and deviation <= tolerance,
        "reason": reason,
    }


def _converter(library: str, dtype: str) -> tuple[Callable[[Any], Any], AbstractContextManager[Any]]:
    """Return what turns a known answer's input into an array of a library, and the context to do it in."""
    make: Callable[[NDArray[Any]], Any] = np.asarray
    context: AbstractContextManager[Any] = nullcontext()
    if library == "torch":
        make = importlib.import_module("torch").from_numpy
    elif library == "jax":
        make = importlib.import_module("jax.numpy").asarray
        # Without it JAX would turn float64 into float32 without a word.
        context = importlib.import_module("jax").enable_x64(dtype == "float64")

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(entry) for entry in value]
        if not isinstance(value, np.ndarray):
            return value
        array = value.astype(dtype) if value.dtype.kind == "f" else value
        return make(np.ascontiguousarray(array))

    return convert, context


# ``lebench.calibrate(...)`` is a function, too.
callables.call(__name__, "lebench.api:calibrated")
