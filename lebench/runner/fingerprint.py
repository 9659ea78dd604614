"""Checksums of the code behind a number: a changed formula changes them, a changed comment or docstring does not.

The code of a function or class is the text of its syntax tree without comments, docstrings, type annotations and
registering decorators, together with that of everything it names: functions, classes and constants of lebench or of
the package it comes from, followed through module globals, however deep. A module that a function imports when it
is called counts as a whole. A file given as a plug-in counts as a whole too, because it is small and may do anything.

Two things are left out on purpose: the contracts that hold no formula (errors, registry, protocols), and the versions
of other packages, which a record names in its environment.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import inspect
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from lebench import registry
from lebench.data.base import Dataset, Variant
from lebench.errors import LebenchError
from lebench.models.spec import NUMPY, Configured
from lebench.tasks.base import Task, metric_of

_R = TypeVar("_R")

_CONTRACTS = frozenset(
    {
        "lebench.capabilities",
        "lebench.errors",
        "lebench.progress",
        "lebench.records",
        "lebench.registry",
        "lebench.metrics.base",
        "lebench.models.base",
        "lebench.tasks.base",
    }
)
_REGISTERING = frozenset({"metric", "register"})


def task_fingerprint(task: Task, dataset: Dataset) -> str:
    """Return the sha256 of what a task computes: declaration, score, metrics, and how its data is split.

    Parameters
    ----------
    task : Task
        Its summary and reference do not count.
    dataset : Dataset
        The task's dataset; its arrays have a checksum of their own.

    Raises
    ------
    UnknownNameError
        If a metric of the task is not registered.
    """
    declared = {
        f.name: _plain(getattr(task, f.name))
        for f in dataclasses.fields(task)
        if f.name not in ("score", "summary", "reference")
    }
    metrics = [registry.metrics.get(name).function for name in sorted({metric_of(name) for name in task.metrics})]
    code = _code(task.score, *metrics, dataset.splitter, Dataset.split, Variant.apply)
    return _digest({"declared": declared, "dataset_version": dataset.version, "code": code})


def model_fingerprint(configured: Configured) -> str:
    """Return the sha256 of a model: its resolved configuration and the code of its class, factory and backend.

    Raises
    ------
    LebenchError
        If the model's repr does not identify its configuration.
    """
    functions: list[Any] = []
    configuration = _plain(configured.model, functions)
    if " at 0x" in repr(configuration):
        raise LebenchError(
            f"model {configured.name!r}: its repr does not say its configuration ({configured.model!r}); "
            "make it, and what it holds, a frozen dataclass"
        )
    code = _code(type(configured.model), registry.models.get(configured.name), *functions)
    if configured.backend != NUMPY and configured.backend in registry.backends:
        target = registry.backends.item(configured.backend).target.split(":")[0]
        code.update(_module_code(target))
    return _digest({"configuration": configuration, "code": code})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: Any, functions: list[Any] | None = None) -> Any:
    """Return a JSON form of a value that is the same in every process; functions in it are added to the list."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, type | types.FunctionType | functools.partial):
        if functions is not None:
            functions.append(value)
        return getattr(value, "__qualname__", "partial")
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name), functions) for f in dataclasses.fields(value)}
        return [type(value).__qualname__, fields]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, functions) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, functions) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(item, functions) for item in value]
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, Path):
        # Where lebench is installed is no part of its code.
        return value.name
    return repr(value)


def _code(*roots: Any) -> dict[str, str]:
    """Return the code of the roots and of all they name, by qualified name."""
    found: dict[str, str] = {}
    pending: list[Any] = list(roots)
    packages = {"lebench"}
    while pending:
        obj = pending.pop()
        if isinstance(obj, functools.partial):
            found[f"partial:{len(found)}"] = repr(_plain([obj.args, obj.keywords]))
            pending.append(obj.func)
            continue
        if isinstance(obj, Callable) and not isinstance(obj, type):  # type: ignore[arg-type]
            obj = inspect.unwrap(obj)
            obj = getattr(obj, "__func__", obj)
        if not isinstance(obj, type | types.FunctionType):
            obj = type(obj)
        module = obj.__module__
        if obj in roots:
            packages.add(module.split(".")[0])
        name = f"{module}:{obj.__qualname__}"
        if name in found or module.split(".")[0] not in packages or module in _CONTRACTS:
            continue
        if module.startswith("lebench_plugin_"):
            found.update(_module_code(module))
        node = _definition(obj)
        if node is None:
            found[name] = obj.__code__.co_code.hex() if isinstance(obj, types.FunctionType) else ""
            continue
        found[name] = _canonical(node)
        for used, value in _named(node, _namespace(obj)):
            if isinstance(value, type | types.FunctionType | functools.partial) or hasattr(value, "__wrapped__"):
                pending.append(value)
            elif isinstance(value, types.ModuleType):
                if value.__name__.split(".")[0] in packages and value.__name__ not in _CONTRACTS:
                    found.update(_module_code(value.__name__))
            else:
                constant = repr(_plain(value, pending))
                # The address of an object differs from process to process; its type has to do.
                found[f"{module}:{used}"] = type(value).__qualname__ if " at 0x" in constant else constant
    return found


def _namespace(obj: type | types.FunctionType) -> dict[str, Any]:
    names = dict(vars(sys.modules[obj.__module__]) if obj.__module__ in sys.modules else {})
    if isinstance(obj, types.FunctionType):
        names |= obj.__globals__
        names |= inspect.getclosurevars(obj).nonlocals
    return names


def _named(node: ast.AST, namespace: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a definition names: objects of its module, attributes of modules, modules imported inside."""
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            owner = namespace.get(part.value.id)
            if isinstance(owner, types.ModuleType) and hasattr(owner, part.attr):
                value = getattr(owner, part.attr)
                if isinstance(value, type | types.FunctionType):
                    yield part.attr, value
        elif isinstance(part, ast.Name) and part.id in namespace:
            value = namespace[part.id]
            if not isinstance(value, types.ModuleType):
                yield part.id, value
        elif isinstance(part, ast.ImportFrom) and part.module and not part.level:
            for alias in part.names:
                yield from _lazy(f"{part.module}.{alias.name}", part.module)
        elif isinstance(part, ast.Import):
            for alias in part.names:
                yield from _lazy(alias.name)


def _lazy(*candidates: str) -> Iterator[tuple[str, types.ModuleType]]:
    """Yield the first candidate that is a module of lebench, named but not executed."""
    for name in candidates:
        if name.startswith("lebench.") and _source_file(name) is not None:
            yield name, types.ModuleType(name)
            return


class _OncePerFile(Generic[_R]):
    """A function of a module's name, computed once for each file that it comes from: plug-ins may share a name."""

    def __init__(self, function: Callable[[str], _R]) -> None:
        self._of = functools.cache(lambda module, file: function(module))
        functools.update_wrapper(self, function)

    def __call__(self, module: str) -> _R:
        found: _R = self._of(module, getattr(sys.modules.get(module), "__file__", None))
        return found

    def cache_clear(self) -> None:
        """Forget what was computed."""
        self._of.cache_clear()


@_OncePerFile
def _module_code(name: str) -> dict[str, str]:
    """Return the code of a module and of those of its own package that it imports, without executing them."""
    found: dict[str, str] = {}
    pending = [name]
    while pending:
        module = pending.pop()
        tree = _tree(module)
        if module in found or tree is None:
            continue
        found[module] = _canonical(tree)
        package = module.rpartition(".")[0]
        if not package:
            continue
        for part in ast.walk(tree):
            if isinstance(part, ast.ImportFrom) and part.module:
                candidates = [part.module, *(f"{part.module}.{alias.name}" for alias in part.names)]
                pending += [c for c in candidates if c.startswith(package + ".") and c not in _CONTRACTS]
    return found


@_OncePerFile
def _source_file(module: str) -> Path | None:
    """Return the file of a module without importing it or its parents."""
    origin = getattr(sys.modules.get(module), "__file__", None)
    if origin is not None:
        return Path(origin) if origin.endswith(".py") else None
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # an interactive session
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(spec.submodule_search_locations[0], *rest)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@_OncePerFile
def _tree(module: str) -> ast.Module | None:
    file = _source_file(module)
    if file is None:
        return None
    tree: ast.Module = _Stripped().visit(ast.parse(file.read_text(encoding="utf-8")))
    return tree


@_OncePerFile
def _definitions(module: str) -> dict[tuple[str, int], ast.AST]:
    """Return the definitions of a module by name and first line; a class also under line 0, which it does not know."""
    found: dict[tuple[str, int], ast.AST] = {}
    for node in ast.walk(_tree(module) or ast.Module([], [])):
        if isinstance(node, ast.ClassDef):
            found[node.name, 0] = node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name, node.first_line] = node  # type: ignore[union-attr]
        elif isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno] = node
    return found


def _definition(obj: type | types.FunctionType) -> ast.AST | None:
    if isinstance(obj, types.FunctionType):
        return _definitions(obj.__module__).get((obj.__code__.co_name, obj.__code__.co_firstlineno))
    return _definitions(obj.__module__).get((obj.__name__, 0))


def _canonical(node: Any) -> str:
    """Return a syntax tree as text that is the same under every version of Python.

    ``ast.dump`` and ``ast.unparse`` change their output between versions; fields that are empty or new and the
    contexts of names, which say nothing that the place of the name does not, are left out.
    """
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind", "type_comment"))
        inner = ",".join(f"{name}={_canonical(value)}" for name, value in fields if value not in (None, []))
        return f"{type(node).__name__}({inner})"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
    return repr(node)


class _Stripped(ast.NodeTransformer):
    """Removes what does not change a result: docstrings, annotations, registering decorators."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            # A code object's first line is that of the first decorator, which may be about to go.
            node.first_line = min([node.lineno, *(d.lineno for d in node.decorator_list)])  # type: ignore[union-attr]
            node.decorator_list = [d for d in node.decorator_list if _last_name(d) not in _REGISTERING]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                argument.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
        return super().generic_visit(node)


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
