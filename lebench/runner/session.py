"""What a script or a notebook defines itself, for workers and as an identity.

Workers do not run the script again; its objects are sent to them with cloudpickle, on this machine only. Nothing of
them is kept in a file, and records of them cannot be submitted: nobody else could make them again.

Their identity is a checksum of what would run: the compiled code of their functions and methods, the values that these
close over, and the globals that they name, however deep. It is the same in another session as long as the source is
(comments do not count), under the same version of Python.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import json
import pickletools
import sys
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from lebench import plugins, registry
from lebench.canonical import says_nothing
from lebench.data.base import Dataset
from lebench.errors import LebenchError
from lebench.registry import Item

#: Begin of the identity of code that was defined in a session.
MARK = "session:"

_UNCOUNTED = frozenset(
    {"__doc__", "__module__", "__annotations__", "__firstlineno__", "__static_attributes__", "_abc_impl"}
    | {"__dataclass_fields__", "__dataclass_params__"}
)


def is_of_session(item: Item) -> bool:
    """Return whether an object was registered by what is no module that a worker could import."""
    module = item.target.split(":")[0]
    return not item.plugin and (module == "__main__" or (module in sys.modules and _is_of_session(module)))


@functools.cache
def _is_of_session(module: str) -> bool:
    return not module.startswith("lebench.") and plugins.of_module(module) is None


@dataclass(frozen=True)
class Session:
    """Objects that were registered in a session, as a worker receives them.

    Attributes
    ----------
    pickled : bytes
        Items and their objects by kind, by cloudpickle.
    """

    pickled: bytes

    def register(self) -> None:
        """Register the objects."""
        import cloudpickle

        for kind, item, obj in cloudpickle.loads(self.pickled):
            registry.of_kind(kind).adopt(item, obj)

    def packages(self) -> frozenset[str]:
        """Return the names of the packages that the objects come from."""
        texts = {text for _, text, _ in pickletools.genops(self.pickled) if isinstance(text, str)}
        return frozenset(text.split(".")[0] for text in texts if text in sys.modules) - sys.stdlib_module_names


def make_session(wanted: Iterable[tuple[str, Item]]) -> Session:
    """Return objects that are registered, by kind and item, as workers receive them.

    Raises
    ------
    LebenchError
        If one cannot be sent.
    """
    import cloudpickle

    content = [(kind, item, registry.of_kind(kind).get(item.name)) for kind, item in wanted]
    for kind, item, obj in content:
        try:
            cloudpickle.dumps(obj)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise LebenchError(
                f"{kind} {item.name!r} of this session cannot be sent to worker processes ({reason}); "
                "put it into a file of its own and pass that as a plug-in"
            ) from error
    return Session(cloudpickle.dumps(content))


def digest(objects: Iterable[object]) -> str:
    """Return the sha256 of what objects of a session are."""
    described = _Description()
    content = [described.of(obj) for obj in objects]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Description:
    """JSON forms of objects that are the same in every process; what is met again is named by its number."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        # As long as they are alive, no other object has their address.
        self._alive: list[object] = []

    def of(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str | bytes | complex):
            return repr(value)
        if isinstance(value, np.generic):
            return repr(value.item())
        if id(value) in self._numbers:
            return {"again": self._numbers[id(value)]}
        self._numbers[id(value)] = len(self._numbers)
        self._alive.append(value)
        return [type(value).__qualname__, self._content(value)]

    def _content(self, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return _outside(value.__name__)
        if isinstance(value, types.FunctionType | type):
            if _is_here(value):
                return self._class(value) if isinstance(value, type) else self._function(value)
            held = [] if isinstance(value, type) else self._held(value)
            return [_outside(value.__module__), value.__qualname__, held]
        if isinstance(value, types.MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, staticmethod | classmethod):
            return self.of(value.__func__)
        if isinstance(value, property):
            return [self.of(part) for part in (value.fget, value.fset)]
        if isinstance(value, functools.cached_property):
            return self.of(value.func)
        if isinstance(value, functools.partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, Dataset):
            # Its arrays have a checksum of their own in every record.
            return [value.name, value.version, value.standardized, self.of(value.splitter)]
        if isinstance(value, np.ndarray) and value.dtype != object:
            return [value.shape, value.dtype.str, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
        if isinstance(value, Mapping):
            return sorted(([self.of(key), self.of(item)] for key, item in value.items()), key=json.dumps)
        if isinstance(value, set | frozenset):
            return sorted((self.of(item) for item in value), key=json.dumps)
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        return self._instance(value)

    def _function(self, function: types.FunctionType) -> Any:
        code = function.__code__
        used = sorted(_globals_of(code) & set(function.__globals__))
        return [_code(code), self._held(function), [[name, self.of(function.__globals__[name])] for name in used]]

    def _held(self, function: types.FunctionType) -> list[Any]:
        """Return the defaults of a function and what it closes over."""
        held = [self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # an empty one
                held.append(self.of(cell.cell_contents))
        return held

    def _class(self, cls: type) -> Any:
        members = [
            [name, self.of(value)]
            for name, value in sorted(vars(cls).items())
            if name not in _UNCOUNTED and not inspect.isdatadescriptor(value) and not _is_generated(value)
        ]
        properties = [[name, self.of(value)] for name, value in vars(cls).items() if isinstance(value, property)]
        declared = (
            [[f.name, self.of(f.default), self.of(f.default_factory)] for f in fields(cls)] if is_dataclass(cls) else []
        )
        return [cls.__qualname__, [self.of(base) for base in cls.__bases__], members, properties, declared]

    def _instance(self, value: Any) -> Any:
        if is_dataclass(value):
            told = [f.name for f in fields(value) if not says_nothing(value, f)]
            return [self.of(type(value)), [self.of(getattr(value, name, None)) for name in told]]
        if _is_here(type(value)):
            return [self.of(type(value)), self.of(getattr(value, "__dict__", None))]
        import cloudpickle

        # A text of it may leave out the middle of a table.
        with suppress(Exception):  # what cannot be sent is refused elsewhere, by its name
            return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
        return None


def _is_generated(value: Any) -> bool:
    """Return whether a method was made by a dataclass, of fields that are counted themselves."""
    return isinstance(value, types.FunctionType) and value.__code__.co_filename == "<string>"


def _is_here(value: Any) -> bool:
    module = value.__module__
    return module == "__main__" or (module not in sys.builtin_module_names and _is_of_session(module))


def _outside(module: str) -> list[str]:
    """Return what stands for a module: its name, and its content if it is neither installed nor lebench's."""
    top = module.split(".")[0]
    if top in ("lebench", "__main__") or top in sys.stdlib_module_names:
        return [module]
    found = plugins.of_module(module)
    return [module] if found is None or found.is_installed else [module, plugins.digest(found)]


def _code(code: types.CodeType) -> Any:
    return [
        code.co_code.hex(),
        [_constant(each) for each in code.co_consts],
        [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
        [code.co_argcount, code.co_kwonlyargcount, code.co_flags],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    # The order of a set of texts is another in every process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _globals_of(code: types.CodeType) -> set[str]:
    found = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals_of(each) for each in code.co_consts if isinstance(each, types.CodeType)))
