"""What a parameter of a model may be, in the words in which a reader writes it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from lebench.models.spec import Parameter

_SIGNS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


def values_in_words(parameter: Parameter) -> str:
    """Return the values that a parameter takes.

    Parameters
    ----------
    parameter : Parameter
        As :func:`lebench.models.spec.parameters` returns it.

    Returns
    -------
    str
        Its type with the bounds that its annotation sets, or what there is to choose from.

    Examples
    --------
    >>> from lebench.models.spec import parameters
    >>> described = parameters("mlp")
    >>> values_in_words(described["depth"]), values_in_words(described["optimizer"])
    ('int ≥ 1, ≤ 1,000', 'sgd or adam')
    """
    annotation = parameter.annotation
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        rules = [rule for part in parts[1:] for rule in _single(part)]
        bounds = [f"{sign} {getattr(rule, name):,}" for rule in rules for name, sign in _SIGNS if hasattr(rule, name)]
        return f"{_of(parts[0])} {', '.join(bounds)}".rstrip()
    if origin is typing.Literal:
        return _listed([str(part) for part in parts])
    if origin in (typing.Union, types.UnionType):
        return _listed([_of(part) for part in parts])
    return "None" if annotation is types.NoneType else parameter.type_name


def _of(annotation: Any) -> str:
    return values_in_words(Parameter("", annotation, None))


def _single(rule: object) -> Iterable[object]:
    if isinstance(rule, FieldInfo):
        return rule.metadata
    return rule if isinstance(rule, annotated_types.GroupedMetadata) else (rule,)


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
