"""Models that are given as objects and not by name: estimators, instances of a class of one's own."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lebench import registry
from lebench.errors import LebenchError, ParameterError
from lebench.models.checkpoint import TrainedElsewhere, trained_elsewhere
from lebench.models.estimator import is_estimator, make_estimator, name_of
from lebench.registry import Item, first_line

_LONGEST = 100


def named(models: object) -> list[str]:
    """Return models as names and specifications; objects among them are registered for this session.

    Parameters
    ----------
    models : str, object, iterable of these, or mapping of str to these
        A specification, an estimator of scikit-learn's kind, or an object with ``fit(split, seed)`` and
        ``capabilities``. A mapping gives names; by default an object has that of its repr.

    Raises
    ------
    ParameterError
        If one is no model; the message names its place.
    """
    if isinstance(models, Mapping):
        return [_registered(f"models[{name!r}]", model, str(name)) for name, model in models.items()]
    if isinstance(models, str) or not isinstance(models, Iterable) or is_estimator(models):
        return [_registered("models", models)]
    names: list[str] = []
    for place, model in enumerate(models):
        names.append(_registered(f"models[{place}]", model))
        if names[-1] in names[:-1] and not isinstance(model, str):
            raise ParameterError(
                f"models[{place}] has the name of another, {names[-1]!r}: give them as {{name: model}}"
            )
    return names


def with_checkpoints(models: object, checkpoint: str | Path | Iterable[str | Path], builder: str | None) -> object:
    """Return the models that a run is asked for, files or folders of weights among them.

    Raises
    ------
    ParameterError
        If there are weights without a builder, or a file does not exist.
    """
    paths = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    if not paths:
        return models
    if builder is None:
        raise ParameterError("a checkpoint needs a builder, FILE:FUNCTION: the function that returns the module")
    chosen: dict[str, object] = {name: name for name in named(models)}
    for path in paths:
        chosen |= trained_elsewhere(path, builder)
    return chosen


def _registered(where: str, model: Any, name: str = "") -> str:
    if isinstance(model, str):
        return model
    if isinstance(model, type):
        return _of_class(where, model)
    try:
        made = make_estimator(model) if is_estimator(model) else model
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from error
    kind = type(model)
    if not (callable(getattr(made, "fit", None)) and hasattr(made, "capabilities")):
        if any(base.__module__.startswith("torch.nn") for base in kind.__mro__):
            hint = "lebench.Network(builder) makes a model of a function that builds such a module"
        else:
            hint = "a name, an estimator, or an object with fit(split, seed) and capabilities is needed"
        raise ParameterError(f"{where} is of type {kind.__name__}, which is no model; {hint}")
    text = name or (name_of(model) if is_estimator(model) else repr(model).translate(str.maketrans("[]", "()")))
    if " at 0x" in text:
        raise ParameterError(
            f"{where} has a repr that says nothing; give it a name: models={{'mine': {kind.__name__}(...)}}"
        )
    if len(text) > _LONGEST:
        text = f"{kind.__name__}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    if "[" in text or "]" in text:
        raise ParameterError(f"{where}: the name {text!r} must be without brackets, which hold parameters")
    summary = first_line(inspect.getdoc(model)) if kind.__module__ == "__main__" else ""
    digest = made.digest if isinstance(made, TrainedElsewhere) else ""
    item = Item(text, summary or f"A {kind.__name__} of this session", (), "__main__", "this session", digest=digest)
    registry.models.adopt(item, lambda: made)
    return text


def _of_class(where: str, cls: type) -> str:
    names = [item.name for item in registry.models.items() if registry.models.is_loaded(item.name, cls)]
    if not names:
        raise ParameterError(f"{where} is the class {cls.__name__}: give an object of it, {cls.__name__}(...)")
    return names[0]


def names_of(argument: str, names: object, what: str) -> list[str]:
    """Return an argument that is a name or names as a list.

    Raises
    ------
    LebenchError
        If it is something else; the message names the argument.
    """
    if isinstance(names, str):
        return [names]
    listed: list[Any] = list(names) if isinstance(names, Iterable) else [names]
    for place, name in enumerate(listed):
        if not isinstance(name, str):
            where = argument if not isinstance(names, Iterable) else f"{argument}[{place}]"
            raise LebenchError(f"{where} must be the name of {what}, not {type(name).__name__} {name!r:.60}")
    return listed


def folder_of(argument: str, path: object) -> Path:
    """Return an argument that is a path.

    Raises
    ------
    ParameterError
        If it is none; the message names the argument.
    """
    if not isinstance(path, str | os.PathLike):
        raise ParameterError(f"{argument} must be a path, not {type(path).__name__} {path!r:.60}")
    return Path(path)
