"""Plug-ins: code of somebody else's that registers models, tasks, ...: how it is found, imported and identified.

A plug-in is a file, a package folder, or a module that can be imported. What is given by its path is imported under a
name made of that path, so that two plug-ins of one file name, and the helpers beside them, are different modules: a
file may import what stands beside it as a script does (``import helper``), or relatively (``from .helper import x``).

Its identity is the content of its *closure*: its module, every module below its folder that it imports, and the data
files that these declare in a list of paths beside them, ``__lebench_data__ = ["weights.npz"]``. Imports are found by
reading the code, those inside functions too, and by what is imported while it runs. What comes from elsewhere is
named in the environment of a record.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

from lebench.errors import LebenchError
from lebench.plugins.closure import closure, in_environment, note_imports, outside
from lebench.plugins.importing import PREFIX as PREFIX
from lebench.plugins.importing import import_file

#: The attribute of an imported module under which its plug-in stands.
_MARK = "__lebench_plugin__"
#: How the only file of a plug-in is called in its digest, whatever its name: as in an entry of the leaderboard.
SINGLE = "plugin.py"


@dataclass(frozen=True)
class Plugin:
    """A plug-in as it was found.

    Attributes
    ----------
    given : str
        As it was asked for: a path or the name of a module.
    module : str
        Name under which its module is imported.
    file : Path
        Of that module.
    root : Path
        Its folder: what it imports from below is part of it.
    package : bool
        Whether the folder is a package.
    digest : str
        Sha256 of the closure as it was imported; empty before that.
    """

    given: str
    module: str
    file: Path
    root: Path
    package: bool
    digest: str = ""

    @property
    def by_path(self) -> bool:
        """Whether its name is made of its path, and is not its own, under which others may have imported it."""
        return self.module.startswith(PREFIX)

    @property
    def is_installed(self) -> bool:
        """Whether it is installed, or comes with Python: a record's environment names it then."""
        return in_environment(self.file)

    @property
    def base(self) -> Path:
        """The folder in which a copy of its files works as they do: that of a file, or that which holds a package."""
        return self.root.parent if self.package else self.root

    def closure(self) -> dict[str, Path]:
        """Return the files whose content is its identity, by their path below :attr:`base`.

        Raises
        ------
        LebenchError
            If a declared data file is missing or lies elsewhere, or a module cannot be read.
        """
        start = [self.file]
        if self.package:
            start += [folder / "__init__.py" for folder in self.file.parents if folder.is_relative_to(self.root)]
        try:
            found = closure(start, self.root, package=self.package)
        except LebenchError as error:
            raise LebenchError(f"plug-in {self.given!r}: {error}") from error
        return {file.relative_to(self.base).as_posix(): file for file in sorted(found)}

    def packages(self) -> frozenset[str]:
        """Return the names of the packages that it imports from elsewhere."""
        return frozenset(outside(self.closure().values(), self.root, package=self.package))


def find(given: str | Path) -> Plugin:
    """Return the plug-in at a path or of a module's name, without running it.

    Parameters
    ----------
    given : str or Path
        A Python file, a package folder, or the name of a module; what is not installed is looked for in the present
        folder too.

    Raises
    ------
    LebenchError
        If there is none.
    """
    text, path = str(given), Path(given).expanduser()
    if path.is_file():
        if path.suffix != ".py":
            raise LebenchError(f"plug-in {text!r} is not a Python file (its name must end in .py)")
        return _at(text, path.resolve())
    if path.is_dir():
        if not (path / "__init__.py").is_file():
            files = ", ".join(sorted(file.name for file in path.glob("*.py"))[:3])
            one = f", or give one of its files ({files})" if files else ""
            raise LebenchError(f"plug-in {text!r} is a folder without __init__.py: add one that imports the rest{one}")
        return _at(text, path.resolve() / "__init__.py")
    if all(part.isidentifier() for part in text.split(".")):
        if (found := _importable(text)) is not None:
            return found
        here = Path(*text.split("."))
        for file in (here.with_name(f"{here.name}.py"), here / "__init__.py"):
            if file.is_file():
                return _at(text, file.resolve())
    raise LebenchError(f"plug-in {text!r} is not a file, a package folder or a module that can be imported")


def of_module(name: str) -> Plugin | None:
    """Return the plug-in whose module has a name, imported or not; None if there is no file of it."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if name.startswith(PREFIX) and file:
        return _at(Path(file).name, Path(file))
    return _importable(name)


def loaded() -> list[Plugin]:
    """Return the plug-ins that were imported."""
    return [found for module in list(sys.modules.values()) if (found := _mark(module))]


def as_loaded(plugin: Plugin) -> Plugin | None:
    """Return a plug-in as it was when it was imported, None if it was not."""
    found = _mark(sys.modules.get(plugin.module))
    return found if found is not None and found.file == plugin.file else None


def load(plugin: Plugin) -> Plugin:
    """Import a plug-in and return it with its digest.

    Raises
    ------
    LebenchError
        If it raises, or what it declares is not there.
    """
    plugin.closure()  # a file that is missing is said before the code stumbles over it
    before = set(sys.modules)
    try:
        if plugin.by_path:
            module = import_file(plugin.module, plugin.file, plugin.root, package=plugin.package)
        else:
            module = importlib.import_module(plugin.module)
            note_imports(plugin.file, before)
    except BaseException as error:
        for name in set(sys.modules) - before:
            if name.startswith(PREFIX):
                del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        reason = " ".join(
            (str(error) if isinstance(error, LebenchError) else f"{type(error).__name__}: {error}").split()
        )
        fails = "" if isinstance(error, LebenchError) else " fails to import"
        raise LebenchError(f"plug-in {plugin.given!r}{fails}: {reason}") from error
    done = replace(plugin, digest=digest(plugin))
    setattr(module, _MARK, done)
    return done


def unload(plugin: Plugin) -> tuple[str, list[Plugin]]:
    """Forget the modules below a plug-in's folder; return their common name and the plug-ins among them.

    Raises
    ------
    LebenchError
        If it was imported under its own name, under which others may have it.
    """
    if not plugin.by_path:
        raise LebenchError(f"plug-in {plugin.given!r} has changed since it was imported: start Python anew")
    space = plugin.module.split(".")[0]
    modules = [name for name in sys.modules if name.split(".")[0] == space]
    gone = [found for name in modules if (found := _mark(sys.modules[name]))]
    for name in modules:
        del sys.modules[name]
    return space, gone


def digest(plugin: Plugin) -> str:
    """Return the sha256 of the closure of a plug-in as it is now.

    It depends on what the files hold and on where they stand to each other, not on where their folder is.
    """
    files = plugin.closure()
    listed = []
    for name, file in files.items():
        about = file.stat()
        content = _file_digest(file, about.st_mtime_ns, about.st_size)
        listed.append((name if len(files) > 1 else SINGLE, content))
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@functools.cache
def _file_digest(file: Path, modified: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mark(module: types.ModuleType | None) -> Plugin | None:
    # In the dictionary: asking a lazy module for an attribute would import it.
    found = getattr(module, "__dict__", {}).get(_MARK)
    return found if isinstance(found, Plugin) else None


def _at(given: str, file: Path) -> Plugin:
    """Return the plug-in whose module is a file."""
    folder = file.parent
    package = (folder / "__init__.py").is_file()
    while package and (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    space = f"{PREFIX}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    inner = list(file.relative_to(folder).with_suffix("").parts)
    # A dot in the name of a file would make it a package.
    last = [inner[-1].replace(".", "-")] if inner[-1] != "__init__" else []
    return Plugin(given, ".".join([space, *inner[:-1], *last]), file, folder, package)


def _importable(name: str) -> Plugin | None:
    """Return the plug-in that is a module under its own name, None if there is none or it has no file."""
    try:
        origin = getattr(sys.modules.get(name), "__file__", None) or getattr(
            importlib.util.find_spec(name), "origin", None
        )
    except (ModuleNotFoundError, ValueError):  # the latter for __main__ of an interactive session
        return None
    except Exception as error:
        raise LebenchError(f"plug-in {name!r} fails to import: {type(error).__name__}: {error}") from error
    if origin is None or not Path(origin).is_file():
        return None
    file = Path(origin).resolve()
    depth = name.count(".") + (file.name == "__init__.py")
    return Plugin(name, name, file, file.parents[max(depth - 1, 0)], package=depth > 0)
