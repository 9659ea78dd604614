"""Packages that are called like the function they are about: ``lebench.board()`` beside ``lebench.board.frame``."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from typing import Any


class _Callable(types.ModuleType):
    """A module that calls a function, ``"module:name"`` in ``_called``, which is imported at the first call."""

    _called: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def _function(self) -> Any:
        module, _, name = self._called.partition(":")
        return getattr(importlib.import_module(module), name)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)


def call(module: str, function: str) -> None:
    """Make a module that is being imported call a function."""
    found = sys.modules[module]
    found.__class__ = _Callable
    found._called = function  # type: ignore[attr-defined]
