"""``lebench.wrap``: a fitted network of a function that somebody else has trained."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.backends.base import Loss
from lebench.backends.fitted import FittedNetwork
from lebench.errors import LebenchError

#: Points on which scores are compared, and the least dependence that is found, relative to the scores.
_FEW, _WEAKEST = 4, 1e-5


def wrap(model: Any, example: Any, *, loss: Loss = "cross_entropy", channels_last: bool = False) -> FittedNetwork:
    """Return the fitted network of a torch module or a JAX function that is trained already.

    It offers every capability that the function allows, as if lebench had trained it; ``unavailable`` says why it lacks
    another. The module itself is left as it is: a copy in float64 and evaluation mode is measured.

    Parameters
    ----------
    model : torch.nn.Module, tuple, list of these, or mapping of float to these
        A module that maps inputs (n, ...) to scores (n, C), or to an object with them as ``.logits``; or JAX functions
        with their weights, any pytree: ``(apply, weights)`` with ``apply(weights, x)`` the scores, or
        ``(features, head, weights)`` with ``features(weights, x)`` the features (n, p) and ``head(weights)`` the
        matrix (C, p) and the bias (C,) of the last layer. Several are one model at moments of its training, in order;
        a mapping names their times, as epochs. What is returned is the last one with ``checkpoints``.
    example : array of shape (n, ...)
        An input or more, as the model takes them.
    loss : {"cross_entropy", "mse"}
        What it was trained by; with cross-entropy its scores are logits. ``mse`` is half of the squared distance to
        one-hot targets minus 1/C.
    channels_last : bool
        For modules that take images as (n, channels, height, width): whether arrays hold them as (n, height, width,
        channels), as the datasets of lebench do.

    Raises
    ------
    LebenchError
        If the model is none of these, does not take the example, returns no scores (n, C) that are finite and each a
        function of its own input alone, or has weights that are not finite real numbers.

    Examples
    --------
    >>> import numpy as np, torch
    >>> fitted = wrap(torch.nn.Linear(2, 3), np.eye(2))
    >>> fitted.gram(np.eye(2), np.eye(2))
    array([[2., 1.],
           [1., 2.]])
    """
    if loss not in ("cross_entropy", "mse"):
        raise LebenchError(f"the loss must be 'cross_entropy' or 'mse', got {loss!r}")
    several = model if isinstance(model, Mapping) else dict(enumerate(model)) if isinstance(model, list) else None
    if several is None:
        return wrap_course({0.0: lambda: model}, example, loss=loss, channels_last=channels_last)
    return wrap_course(
        {time: partial(_same, each) for time, each in several.items()},
        example,
        loss=loss,
        channels_last=channels_last,
    )


def wrap_course(
    models: Mapping[float, Callable[[], Any]],
    example: Any,
    *,
    loss: Loss = "cross_entropy",
    channels_last: bool = False,
) -> FittedNetwork:
    """Return the fitted network of the last of some moments, with the others as checkpoints if there are any.

    Parameters
    ----------
    models : mapping of float to callable
        By increasing time, what makes the model of that moment: one is in memory at a time. See :func:`wrap`.
    example, loss, channels_last
        See :func:`wrap`.

    Raises
    ------
    LebenchError
        As :func:`wrap`, for each moment when it is asked for; or if the times do not increase.
    """
    times, makers = list(models), list(models.values())
    if not times or sorted(set(times)) != times:
        raise LebenchError(f"the moments of training must be in order, got the times {times}")
    points = as_array(example)
    function = _function(makers[-1], points, channels_last)
    classes = function.scores(points).shape[1]
    if len(times) == 1:
        missing = function.unavailable | {"checkpoints": "it is one moment of training: give several, in order"}
        return FittedNetwork(function, loss, classes, unavailable=missing)
    moments = [partial(_function, maker, points, channels_last) for maker in makers]
    return FittedNetwork(function, loss, classes, None, moments, function.unavailable, times)


def _same(model: Any) -> Any:
    return model


def _function(make: Callable[[], Any], points: FloatArray, channels_last: bool) -> Any:
    """Return a model as a differentiable function that returns scores (n, C) of points."""
    model, torch = make(), sys.modules.get("torch")
    function: Any
    if torch is not None and isinstance(model, torch.nn.Module):
        function = importlib.import_module("lebench.backends.torch_function").wrapped(model, points, channels_last)
    elif isinstance(model, tuple) and len(model) in (2, 3) and all(map(callable, model[:-1])):
        function = importlib.import_module("lebench.backends.jax_backend").wrapped(*model)
    else:
        raise LebenchError(
            f"cannot wrap {type(model).__name__}: give a torch.nn.Module, or JAX functions with their weights, "
            "(apply, weights) or (features, head, weights)"
        )
    try:
        scores = function.scores(points)
    except LebenchError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise LebenchError(f"the model does not take inputs of shape {points.shape[1:]}: {reason}") from error
    if scores.ndim != 2 or len(scores) != len(points):
        raise LebenchError(f"the model must return scores of shape (n, C), got {scores.shape} for {len(points)} inputs")
    jaxed = importlib.import_module("lebench.backends.jax_operators") if isinstance(model, tuple) else None
    check_rows(function.scores, points, jaxed.coarsest(model[0], model[-1], points) if jaxed else 0.0)
    return function


def check_rows(scores: Callable[[FloatArray], FloatArray], points: FloatArray, epsilon: float = 0.0) -> None:
    """Refuse scores that are not finite, or no function of each point alone.

    Scores of a few points and of zeros, together and twice, are compared with those of each point alone. Nothing else
    is certified about a function whose layers are not known: its gradients are formed one by one.

    Parameters
    ----------
    scores : callable
        Points (n, ...) to scores (n, C) in float64.
    points : ndarray of shape (n, ...)
    epsilon : float
        Machine epsilon of the coarsest precision that the scores pass through.

    Raises
    ------
    LebenchError
        Says which it is.
    """
    few = points[:_FEW]
    batch = np.concatenate([few, np.zeros_like(few[:1])])
    try:
        together, again = scores(batch)[:-1], scores(batch)[:-1]
        single = [scores(point[None]) for point in few]
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise LebenchError(f"the model fails on other inputs of the same shape: {reason}") from error
    widths = sorted({part.shape[1] for part in (together, again, *single)})
    if len(widths) > 1:
        raise LebenchError(f"the model returns another number of scores each time, {widths[0]} and {widths[-1]}")
    if not np.isfinite(together).all():
        raise LebenchError("the scores are NaN or infinite; look at the weights and inputs")
    tolerance = max(_WEAKEST, 30 * epsilon) * max(float(np.abs(together).max()), np.finfo(float).tiny)
    if np.abs(again - together).max() > tolerance:
        raise LebenchError("the scores depend on chance: two passes differ; switch off what is random in the model")
    alone = np.concatenate(single)
    if np.abs(alone - together).max() > tolerance:
        raise LebenchError(
            "the scores of an input depend on the other inputs of its batch, or on chance; let the model treat each "
            "row of the batch alone"
        )


def as_array(x: Any) -> FloatArray:
    """Return inputs as an array: floating-point numbers as float64, integers as they are.

    Raises
    ------
    LebenchError
        If they are no array of numbers with at least one point, or not finite.
    """
    try:
        # Tensors that require gradients or live on another device refuse to be arrays.
        array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LebenchError(f"the inputs cannot be made an array: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0 or len(array) == 0:
        raise LebenchError(f"inputs must be an array of numbers (n, ...), got {array.dtype} of shape {array.shape}")
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    if not np.isfinite(array).all():
        raise LebenchError("the inputs contain NaN or infinite numbers; remove or replace them first")
    return array.astype(np.float64)
