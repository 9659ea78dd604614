"""The registries of tasks, questions, models, metrics, datasets and backends, and what fills them.

These are the index of what lebench itself offers, entry points of installed packages, and plug-ins; see
:mod:`lebench.registering` and :mod:`lebench.plugins`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any, Protocol

from lebench import plugins
from lebench.errors import LebenchError
from lebench.names import did_you_mean as did_you_mean
from lebench.names import with_plugin as with_plugin
from lebench.registering import INDEX_FILE, loading
from lebench.registering import Change as Change
from lebench.registering import Item as Item
from lebench.registering import PluginWarning as PluginWarning
from lebench.registering import Registry as Registry
from lebench.registering import first_line as first_line

_BUILTIN_PACKAGES = ("lebench.data", "lebench.metrics", "lebench.backends", "lebench.models", "lebench.tasks")

tasks: Registry[Any] = Registry("task", derive="lebench.tasks.questions:task_of")
questions: Registry[Any] = Registry("question")
models: Registry[Any] = Registry("model")
metrics: Registry[Any] = Registry("metric")
datasets: Registry[Any] = Registry("dataset")
backends: Registry[Any] = Registry("backend")

REGISTRIES: dict[str, Registry[Any]] = {r.kind: r for r in (tasks, questions, models, metrics, datasets, backends)}


def of_kind(kind: str) -> Registry[Any]:
    """Return the registry of a kind in the singular: ``"task"``."""
    found: Registry[Any] = globals()[f"{kind}s"]
    return found


class Loadable(Protocol):
    """What registers objects by itself, such as those of a script that were sent to a worker."""

    def register(self) -> None:
        """Register them; twice is as good as once."""
        ...

    def packages(self) -> frozenset[str]:
        """Return the names of the packages that they need."""
        ...


Source = str | Path | plugins.Plugin | Loadable


def load_plugin(source: Source) -> None:
    """Import a plug-in, which registers tasks, models, metrics, datasets or backends; again if it has changed.

    Parameters
    ----------
    source : str, Path, Plugin or Loadable
        What is given with ``--plugin``: a Python file, a package folder or the name of a module. A plug-in with a
        digest must still have that content.

    Raises
    ------
    LebenchError
        If there is no such thing, it raises while it is imported, or its content is another.
    """
    if not isinstance(source, str | Path | plugins.Plugin):
        source.register()
        return
    plugin = source if isinstance(source, plugins.Plugin) else plugins.find(source)
    wanted = [plugin]
    now = plugins.as_loaded(plugin)
    if now is not None and now.digest == plugins.digest(now):
        wanted = []
    elif now is not None:
        space, wanted = plugins.unload(now)
        _forget(space)
    for each in wanted:
        loading.append(each)
        try:
            now = plugins.load(each)
        except BaseException:
            _forget(each.module)
            raise
        finally:
            loading.pop()
    if plugin.digest and plugins.digest(plugin) != plugin.digest:
        raise LebenchError(f"plug-in {plugin.given!r} has changed while the run went on: run it again")


def _forget(module: str) -> None:
    """Forget what a plug-in has registered, or those of a folder."""
    for known in (tasks, models, metrics, datasets, backends):
        for item in list(known._items.values()):
            if item.plugin == module or item.plugin.startswith(f"{module}."):
                del known._items[item.name]
                known._objects.pop(item.name, None)


def build_index() -> dict[str, dict[str, Any]]:
    """Import every module of lebench that registers something and return the index of names."""
    for package_name in _BUILTIN_PACKAGES:
        package = importlib.import_module(package_name)
        for module in pkgutil.iter_modules(package.__path__, package_name + "."):
            importlib.import_module(module.name)
    return {
        kind: {
            item.name: {"summary": item.summary, "tags": list(item.tags), "target": item.target}
            | ({"version": item.version} if item.version != 1 else {})
            | ({"aliases": list(item.aliases)} if item.aliases else {})
            for item in registry.items()
            if item.source == "lebench" and item.name in registry._objects
        }
        for kind, registry in REGISTRIES.items()
    }


def write_index() -> None:
    """Write ``lebench/index.json`` anew; ``make index`` calls it after something was registered."""
    for registry in REGISTRIES.values():
        registry._items.clear()
        registry._objects.clear()
    text = json.dumps(build_index(), indent=1, ensure_ascii=False) + "\n"
    INDEX_FILE.write_text(text, encoding="utf-8")
