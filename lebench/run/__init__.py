"""Running: plan, worker processes, records.

The package shares its name with a function of the public API. Python puts a package into its parent under its name,
over the function; so the package can be called, and is that function then.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


class _CallablePackage(types.ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return importlib.import_module("lebench.api").run(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
