"""The class of the registries: names of objects that are imported only when they are asked for.

A registry maps names to objects that are imported only when they are asked for. Three sources fill it:

* the index of what lebench itself offers (``lebench/index.json``, generated, see :func:`lebench.registry.write_index`),
  so that listing names costs no import;
* entry points of installed packages, one group per kind (``lebench.tasks``, ``lebench.models``, ...);
* decorators that run when a module is imported, among them those of plug-ins, see :mod:`lebench.plugins`.
"""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar, Unpack, overload

from lebench import plugins
from lebench.errors import LebenchError, LebenchWarning, UnknownNameError
from lebench.names import did_you_mean, with_plugin

T = TypeVar("T")
F = TypeVar("F")

INDEX_FILE = Path(__file__).with_name("index.json")
#: The plug-ins that are being loaded, each by the one before.
loading: list[plugins.Plugin] = []


class PluginWarning(LebenchWarning):
    """A plug-in could not be loaded; the rest works."""


class Change(NamedTuple):
    """Why a version was raised.

    Attributes
    ----------
    version : int
        The new one.
    date : str
        ISO 8601: ``"2026-12-01"``.
    what : str
        Which numbers changed, and by what, in a line.
    """

    version: int
    date: str
    what: str


@dataclass(frozen=True)
class Item:
    """What a registry knows of a name before its object is imported.

    Attributes
    ----------
    name : str
        The registered name.
    summary : str
        One line of description; empty until a third party's object has been loaded.
    tags : tuple of str
        Words one can select by, such as the track of a task.
    target : str
        ``"module"`` (importing it registers the name), ``"module:attribute"``, or ``""`` if loaded.
    source : str
        Who provides it: ``"lebench"``, a package's name, or a plug-in as it was given.
    plugin : str
        Name of the module of the plug-in that was being loaded when it was registered, or empty.
    version : int
        Of a model or backend: part of the identity of its records, raised when its numbers change.
    history : tuple of Change
        What raised the version, once the object is loaded.
    digest : str
        Of what is not lebench's own, where that is not code which is imported here: that of a plug-in in a sandbox, or
        of files of weights.
    aliases : tuple of str
        Earlier names, which stand for it for ever.
    """

    name: str
    summary: str = ""
    tags: tuple[str, ...] = ()
    target: str = ""
    source: str = "lebench"
    version: int = 1
    plugin: str = ""
    digest: str = ""
    history: tuple[Change, ...] = ()
    aliases: tuple[str, ...] = ()


class About(TypedDict, total=False):
    """What may be said of an object when it is registered; all of it is optional.

    Attributes
    ----------
    summary : str
        One line; by default the first line of the object's docstring.
    tags : iterable of str
        Words to select by.
    version : int
        Of a model or backend, 1 by default: raised when its numbers change, so that records of the old ones are told
        apart.
    history : iterable of Change
        What raised the version.
    aliases : iterable of str
        Earlier names, by which it is found too.
    """

    summary: str
    tags: Iterable[str]
    version: int
    history: Iterable[Change]
    aliases: Iterable[str]


def first_line(text: str | None) -> str:
    """Return the first line of a docstring without its final full stop."""
    return (text or "").strip().split("\n", 1)[0].rstrip(".")


class Registry(Generic[T]):
    """Objects of one kind, by name.

    Parameters
    ----------
    kind : str
        What the objects are, in the singular: ``"task"``. The entry-point group is ``lebench.<kind>s``.
    derive : str, optional
        ``"module:function"`` that makes item and object of a name ``"a/b"`` that nobody registered, or returns None.

    Examples
    --------
    >>> shapes = Registry[type]("shape", index={})
    >>> @shapes.register("circle", summary="Round")
    ... class Circle: ...
    >>> shapes.get("circle") is Circle
    True
    >>> shapes.get("cirle")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    lebench.errors.UnknownNameError: unknown shape 'cirle'; did you mean 'circle'?...
    """

    def __init__(self, kind: str, index: dict[str, dict[str, Any]] | None = None, derive: str = "") -> None:
        self.kind = kind
        self._derive = derive
        self._objects: dict[str, T] = {}
        self._items: dict[str, Item] = {}
        self._broken: dict[str, str] = {}
        self._asked: set[str] = set()
        self._entry_points_read = index is not None
        for name, entry in (read_index().get(kind, {}) if index is None else index).items():
            more = {"version": entry.get("version", 1), "aliases": tuple(entry.get("aliases", ()))}
            self._items[name] = Item(name, entry["summary"], tuple(entry["tags"]), entry["target"], **more)

    def aliases(self) -> dict[str, str]:
        """Return the names of today by the earlier names that stand for them."""
        return {alias: item.name for item in self._items.values() for alias in item.aliases}

    def _resolve(self, name: str) -> str:
        """Return the registered name that a name stands for; an object that others imply is made and registered."""
        self._read_entry_points()
        if name in self._items:
            return name
        if name in (aliases := self.aliases()):
            return aliases[name]
        if not self._derive or "/" not in name:
            return name
        module, _, function = self._derive.partition(":")
        found = getattr(importlib.import_module(module), function)(name)
        if found is None:
            return name
        self._items[name], self._objects[name] = found
        return name

    @property
    def group(self) -> str:
        """The entry-point group in which packages announce objects of this kind."""
        return f"lebench.{self.kind}s"

    @overload
    def register(self, name: str, obj: None = None, **about: Unpack[About]) -> Callable[[F], F]: ...
    @overload
    def register(self, name: str, obj: F, **about: Unpack[About]) -> F: ...
    def register(self, name: str, obj: Any = None, **about: Unpack[About]) -> Any:
        """Record an object under a name, as a call or as a decorator; the object is returned unchanged.

        Parameters
        ----------
        name : str
            The name on the command line.
        obj : object, optional
            The object; without it a decorator is returned.
        **about
            See :class:`About`.

        Raises
        ------
        LebenchError
            If a name is taken by another object, or the version is no whole number from 1.
        """
        if obj is None:
            return lambda decorated: self.register(name, decorated, **about)
        version, former = about.get("version", 1), tuple(about.get("aliases", ()))
        if type(version) is not int or version < 1:
            raise LebenchError(f"{self.kind} {name!r}: its version must be a whole number from 1, not {version!r}")
        caller = _calling_module()
        known = self._items.get(name)
        if self._objects.get(name) is obj:
            return obj
        # Whoever runs a cell of a notebook again means the new object.
        again = known is not None and caller == known.target == "__main__"
        if known is not None and not again and (name in self._objects or known.target.split(":")[0] != caller):
            raise LebenchError(
                f"{self.kind} {name!r} is already registered by {known.source}; register yours under another name"
            )
        taken = self.aliases()
        for each in (name, *former):
            holder = each if each in self._items else taken.get(each)
            if holder not in (None, name):
                raise LebenchError(f"{self.kind} {name!r} cannot have the name {each!r}, which stands for {holder!r}")
        target = known.target if known else caller
        self._objects[name] = obj
        self._items[name] = Item(
            name,
            about.get("summary") or first_line(getattr(obj, "summary", None) or inspect.getdoc(obj)),
            tuple(about.get("tags", ())),
            target,
            _source(target.split(":")[0]),
            version,
            loading[-1].module if loading and not target.startswith("lebench.") else "",
            history=tuple(about.get("history", ())),
            aliases=former,
        )
        return obj

    def adopt(self, item: Item, obj: T) -> None:
        """Record an object of a session, in the place of the one that had its name in it.

        Raises
        ------
        LebenchError
            If the name is taken by an object of lebench's, a package's or a plug-in's.
        """
        known = self._items.get(item.name)
        if known is not None and known.target != item.target:
            raise LebenchError(f"{self.kind} {item.name!r} is registered by {known.source}: give yours another name")
        self._items[item.name], self._objects[item.name] = item, obj

    def is_loaded(self, name: str, obj: object) -> bool:
        """Return whether a name is that of an object; nothing is imported."""
        return self._objects.get(name) is obj

    def names(self) -> list[str]:
        """Return all names, sorted; nothing is imported."""
        self._read_entry_points()
        return sorted(self._items)

    def items(self) -> list[Item]:
        """Return what is known of each name, sorted by name; nothing is imported."""
        return [self._items[name] for name in self.names()]

    def item(self, name: str) -> Item:
        """Return what is known of one name.

        Raises
        ------
        UnknownNameError
            If there is no such name; the message suggests near ones.
        """
        name = self._resolve(name)
        if name not in self._items:
            raise UnknownNameError(self._unknown(name))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._resolve(name) in self._items

    def get(self, name: str) -> T:
        """Return the object of a name, importing it if it was not yet.

        Raises
        ------
        UnknownNameError
            If there is no such name; the message suggests near ones.
        LebenchError
            If the name is known but its module fails to import.
        """
        item = self.item(name)
        self._asked.add(item.name)
        if item.name not in self._objects:
            self._load(item)
        return self._objects[item.name]

    @contextmanager
    def watched(self) -> Iterator[set[str]]:
        """Collect the names whose objects are asked for while it is entered."""
        before, self._asked = self._asked, set()
        try:
            yield self._asked
        finally:
            self._asked = before

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Return the names that match any of the patterns, in sorted order without repetition.

        Parameters
        ----------
        patterns : iterable of str
            Each is a name, a glob (``digits/*``, ``digits*``), or a tag such as a track (``collapse``).

        Raises
        ------
        UnknownNameError
            For a pattern that matches nothing.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            if pattern in self:
                chosen.add(self._resolve(pattern))
                continue
            self._load_untagged()
            matches = [
                i.name for i in self.items() if pattern in i.tags or fnmatch.filter((i.name, *i.aliases), pattern)
            ]
            if not matches:
                raise UnknownNameError(self._unknown(pattern))
            chosen.update(matches)
        return sorted(chosen)

    def _unknown(self, name: str) -> str:
        words = set(self._items) | {tag for item in self._items.values() for tag in item.tags}
        hint = did_you_mean(name, words) or f"see 'lebench list {self.kind}s'"
        return f"unknown {self.kind} {name!r}; {with_plugin(hint, f'a {self.kind}')}"

    def _load(self, item: Item) -> None:
        if item.name in self._broken:
            raise LebenchError(self._broken[item.name])
        module_name, _, attribute = item.target.partition(":")
        try:
            module = importlib.import_module(module_name)
            if attribute:
                obj = module
                for part in attribute.split("."):
                    obj = getattr(obj, part)
                if item.name not in self._objects:
                    self._objects[item.name] = obj  # type: ignore[assignment]
                    summary = item.summary or first_line(getattr(obj, "summary", None) or inspect.getdoc(obj))
                    tags = item.tags or _tags_of(obj)
                    self._items[item.name] = Item(item.name, summary, tags, item.target, item.source)
        except LebenchError:
            raise
        except Exception as error:
            message = f"{self.kind} {item.name!r} of {item.source} cannot be loaded: {type(error).__name__}: {error}"
            self._broken[item.name] = message
            raise LebenchError(message) from error
        if item.name not in self._objects:
            raise LebenchError(f"importing {module_name} did not register the {self.kind} {item.name!r}")

    def _load_untagged(self) -> None:
        """Load third parties' objects, whose tags are not known before; warn of those that fail."""
        for item in list(self._items.values()):
            if item.source != "lebench" and item.name not in self._objects and item.name not in self._broken:
                try:
                    self._load(item)
                except LebenchError as error:
                    self._broken[item.name] = str(error)
                    warnings.warn(str(error), PluginWarning, stacklevel=3)

    def _read_entry_points(self) -> None:
        if self._entry_points_read:
            return
        self._entry_points_read = True
        from importlib.metadata import entry_points

        for point in entry_points(group=self.group):
            package = point.dist.name if point.dist else point.value
            if point.name in self._items:
                message = f"{self.kind} {point.name!r} of package {package} is ignored: the name is taken"
                warnings.warn(message, PluginWarning, stacklevel=3)
                continue
            self._items[point.name] = Item(point.name, "", (), point.value, package)


def _tags_of(obj: object) -> tuple[str, ...]:
    track = getattr(obj, "track", None)
    return (track,) if isinstance(track, str) else ()


def _calling_module() -> str:
    """Return the name of the module that registers: the first one on the stack that does not do so for another.

    A module whose decorators register on behalf of their caller says so with ``_REGISTERS_FOR_CALLER = True``.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_globals.get("__name__") == __name__ or frame.f_globals.get("_REGISTERS_FOR_CALLER")
    ):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _source(module: str) -> str:
    if module.startswith("lebench."):
        return "lebench"
    return loading[-1].given if loading else module


def read_index() -> dict[str, dict[str, Any]]:
    """Return what the index says of each name, by kind."""
    return json.loads(INDEX_FILE.read_text(encoding="utf-8")) if INDEX_FILE.exists() else {}
