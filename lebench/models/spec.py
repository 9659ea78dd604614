"""Model specifications as they are written on a command line: ``mlp[width=4096,depth=2]``.

A registered model is a factory: a frozen dataclass or a function with typed keyword parameters. The annotations say
what is allowed, ``Annotated[int, annotated_types.Ge(1)]`` or ``Literal["sgd", "adam"]``, and are the only place
where it is said: the text of a specification is converted and checked against them.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from lebench import registry
from lebench.errors import LebenchError, MissingDependencyError, ParameterError, install_hint
from lebench.records import Scalar

#: Where a model runs that needs no framework.
NUMPY = "numpy"
#: Among the backends of a model: every one that is registered.
ANY = "*"

_REQUIRED = inspect.Parameter.empty
_SPEC = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<parameters>.*)\])?", re.DOTALL)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    Attributes
    ----------
    name : str
        As it is written in a specification.
    annotation : object
        Its type, with constraints; ``inspect.Parameter.empty`` if there is none.
    default : object
        Its default; ``inspect.Parameter.empty`` if it has none.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is _REQUIRED

    def says_nothing(self, value: Any) -> bool:
        """Return whether it came later than records and its value is what they had without it."""
        # Of such a parameter the annotation has the field that it is.
        later = (f for f in getattr(self.annotation, "__metadata__", ()) if isinstance(f, dataclasses.Field))
        return any(value == field.default for field in later)

    @property
    def type_name(self) -> str:
        """The type without constraints, as a reader writes it: ``int``."""
        annotation = self.annotation
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        if annotation is _REQUIRED:
            return "any"
        return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


@dataclass(frozen=True)
class Configured:
    """A model with its parameters resolved.

    Attributes
    ----------
    name : str
        Registered name.
    label : str
        Name and the parameters that differ from their defaults, sorted: ``"mlp[depth=2,width=4096]"``. It is itself
        a specification of the same model.
    params : dict
        All parameters with their values, as JSON scalars; without later ones that say nothing.
    backend, precision : str
        Where it is computed: ``"torch"``, ``"float32"``.
    model : object
        The model itself, see :class:`lebench.models.base.Model`.
    """

    name: str
    label: str
    params: dict[str, Scalar]
    backend: str
    precision: str
    model: Any


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split a specification into the model's name and the texts of its parameters.

    Parameters
    ----------
    spec : str
        ``"name"`` or ``"name[parameter=value,...]"``; commas inside brackets belong to the value.

    Raises
    ------
    ParameterError
        If it is not of that form or names a parameter twice.

    Examples
    --------
    >>> parse_spec("mlp[width=4096,depth=2]")
    ('mlp', {'width': '4096', 'depth': '2'})
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise ParameterError(f"model {spec!r} is not of the form 'name' or 'name[parameter=value,...]'")
    texts: dict[str, str] = {}
    for item in _split_outside_brackets(match["parameters"] or ""):
        name, equals, text = (part.strip() for part in item.partition("="))
        if not (name and equals and text):
            raise ParameterError(f"model {spec!r}: {item!r} is not of the form parameter=value")
        if name in texts:
            raise ParameterError(f"model {spec!r}: parameter {name!r} is given twice")
        texts[name] = text
    return match["name"], texts


def parameters(name: str) -> dict[str, Parameter]:
    """Return the parameters of a registered model by name, without ``backend``, which is no parameter of it.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    LebenchError
        If its annotations cannot be resolved.
    """
    found = _signature(name, registry.models.get(name))
    found.pop("backend", None)
    return found


def build_model(spec: str, backend: str | None = None) -> Configured:
    """Return the model of a specification, checked, with all parameters resolved.

    Parameters
    ----------
    spec : str
        See :func:`parse_spec`.
    backend : str, optional
        Name of a backend; by default the model's own. A model that needs no framework runs on ``"numpy"``
        whatever is asked for.

    Raises
    ------
    UnknownNameError
        If the model is not registered.
    ParameterError
        If a parameter does not exist, is missing or has a value that is not allowed, or if the model does not
        support the backend.
    MissingDependencyError
        If the backend's framework is not installed.
    """
    name, texts = parse_spec(spec)
    factory = registry.models.get(name)
    known = parameters(name)
    for given in texts:
        if given not in known:
            raise ParameterError(_unknown_parameter(name, given, known))
    values = {given: _convert(name, known[given], text) for given, text in texts.items()}
    for parameter in known.values():
        if parameter.required and parameter.name not in values:
            raise ParameterError(f"model {name!r} needs a value for its parameter {parameter.name!r}")
    model = _call(name, factory, values)
    model, chosen = _on_backend(name, model, backend)
    resolved = {
        p.name: values.get(p.name, getattr(model, p.name, None) if _made_by_factory(p.default) else p.default)
        for p in known.values()
    }
    changed = [f"{key}={_text(values[key])}" for key in sorted(values) if values[key] != known[key].default]
    return Configured(
        name,
        f"{name}[{','.join(changed)}]" if changed else name,
        {key: _scalar(value) for key, value in resolved.items() if not known[key].says_nothing(value)}
        | dict(getattr(model, "declared", {})),
        chosen,
        str(getattr(model, "precision", "float64")),
        model,
    )


def _split_outside_brackets(text: str) -> list[str]:
    items, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item for item in items if item.strip()] if text.strip() else []


def _signature(name: str, factory: Callable[..., Any]) -> dict[str, Parameter]:
    try:
        signature = inspect.signature(factory, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        raise LebenchError(f"model {name!r}: its parameters cannot be read: {error}") from error
    return {
        p.name: Parameter(p.name, p.annotation, p.default)
        for p in signature.parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)
    }


def _unknown_parameter(name: str, given: str, known: Mapping[str, Parameter]) -> str:
    if given == "backend":
        return f"model {name!r}: the backend is no parameter; choose it with --backend"
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"model {name!r} has no parameter {given!r}; {hint}its parameters: {', '.join(sorted(known)) or 'none'}"


def _convert(name: str, parameter: Parameter, text: str) -> Any:
    """Return the value a text stands for: as it is if that is allowed, else as the literal it spells."""
    candidates: list[Any] = [text]
    try:
        candidates.append({"none": None, "null": None}.get(text.lower(), ...))
        candidates[-1] = ast.literal_eval(text) if candidates[-1] is ... else candidates[-1]
    except (ValueError, SyntaxError):
        candidates.pop()
    if parameter.annotation is _REQUIRED:
        return candidates[-1]
    try:
        adapter = TypeAdapter(parameter.annotation)
    except PydanticSchemaGenerationError as error:
        raise ParameterError(f"model {name!r}: parameter {parameter.name!r} cannot be set from text") from error
    problem: ValidationError | None = None
    for candidate in candidates:
        try:
            value = adapter.validate_python(candidate)
        except ValidationError as error:
            # The literal's complaint is about the value ("at least 1"), the text's about its spelling.
            problem = error
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(f"model {name!r}: parameter {parameter.name}={text} must be a finite number")
        return value
    assert problem is not None
    allowed = " or ".join(dict.fromkeys(e["msg"].removeprefix("Input should be ") for e in problem.errors()))
    raise ParameterError(f"model {name!r}: parameter {parameter.name}={text} is not allowed; it must be {allowed}")


def _call(name: str, factory: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return factory(**values)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"model {name!r}: {error}") from error


def _on_backend(name: str, model: Any, backend: str | None) -> tuple[Any, str]:
    default = getattr(model, "backend", None)
    if default is None:
        return model, NUMPY
    supported = list(getattr(model, "backends", (default,)))
    if ANY in supported:
        supported[supported.index(ANY) :] = registry.backends.names()
    chosen = backend or default
    if chosen not in supported:
        raise ParameterError(f"model {name!r} does not run on backend {chosen!r}; it supports {', '.join(supported)}")
    # An extra bears the name of its framework.
    own = chosen in registry.backends and registry.backends.item(chosen).source == "lebench"
    if own and importlib.util.find_spec(chosen) is None:
        raise MissingDependencyError(f"backend {chosen!r} is not installed; {install_hint(chosen)} installs it")
    return (model if chosen == default else dataclasses.replace(model, backend=chosen)), chosen


def _made_by_factory(default: Any) -> bool:
    # What the signature of a dataclass shows for a field with a default_factory.
    return repr(default) == "<factory>"


def _scalar(value: Any) -> Scalar:
    return value if value is None or isinstance(value, str | int | float | bool) else _text(value)


def _text(value: Any) -> str:
    """Return the text that :func:`_convert` turns back into the value."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value).replace(" ", "")


def expand(spec: str) -> list[str]:
    """Return the specifications that a name, a glob, a tag or a specification stands for.

    Raises
    ------
    UnknownNameError
        If no model matches.
    """
    if "[" in spec:
        name, _ = parse_spec(spec)
        if name not in registry.models:
            registry.models.item(name)
        return [spec]
    return registry.models.select([spec])
