"""What belongs to a plug-in: its module, what that imports below its folder, and the data files that these declare."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lebench.errors import LebenchError

#: The list in which a module declares its data files.
DATA = "__lebench_data__"

_ENDS = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
_IMPORTERS = ("import_module", "__import__")
#: Folders of what is installed, wherever they are.
_SITE = frozenset({"site-packages", "dist-packages"})
_LEBENCH, _STANDARD = Path(__file__).resolve().parents[1], Path(sysconfig.get_path("stdlib")).resolve()
#: The files that were imported while the module of a file ran.
_SEEN: dict[Path, frozenset[Path]] = {}


def note_imports(file: Path, before: set[str]) -> None:
    """Note that the modules that were not there before were imported while the module of a file ran."""
    files = [getattr(sys.modules.get(name), "__file__", None) for name in set(sys.modules) - before]
    _SEEN[file] = frozenset(Path(found) for found in files if isinstance(found, str))


def closure(start: Iterable[Path], root: Path, *, package: bool) -> set[Path]:
    """Return the files of which a plug-in consists.

    Parameters
    ----------
    start : iterable of Path
        Its module, and the packages above that.
    root : Path
        Its folder.
    package : bool
        Whether the folder is a package.

    Raises
    ------
    LebenchError
        If a module cannot be read, or a declared data file is missing or lies outside of the folder.
    """
    # A module that is installed as a single file has all that is installed beside it.
    alone = not package and (root.name in _SITE or root == _STANDARD)
    found: set[Path] = set()
    pending = list(start)
    while pending:
        file = pending.pop()
        if file in found or not file.is_file() or not _is_own(file, root):
            continue
        found.add(file)
        if alone or file.suffix != ".py":
            continue
        tree = parse(file)
        pending += _SEEN.get(file, ())
        pending += _imported(tree, file, root, package=package)
        found.update(_declared(tree, file, root))
    return found


def outside(files: Iterable[Path], root: Path, *, package: bool) -> set[str]:
    """Return the names of the packages that the modules of a closure import from elsewhere, Python's own left out."""
    names: set[str] = set()
    for file in files:
        for node in ast.walk(parse(file)) if file.suffix == ".py" else ():
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found = [node.module]
            else:
                continue
            names.update(name.split(".")[0] for name in found if place(name, file, root, package=package) is None)
    return names - sys.stdlib_module_names


def place(name: str, file: Path, root: Path, *, package: bool) -> Path | None:
    """Return the folder in which an absolute import finds a module of the plug-in, None if it is somebody else's.

    A file without a package imports what stands beside it before anything that is installed, as a script does. In a
    package an absolute name is that of the package itself, or of what stands beside if nothing else has the name.
    """
    top = name.split(".")[0]
    if top == "lebench" or top in sys.builtin_module_names:
        return None
    if package and top == root.name:
        return root.parent
    if not package and _is_module(root, top):
        return root
    return file.parent if _is_module(file.parent, top) and not _is_elsewhere(top, root) else None


def in_environment(file: Path) -> bool:
    """Return whether a file is installed, or comes with Python."""
    return not _SITE.isdisjoint(file.parts) or file.is_relative_to(_STANDARD)


def parse(file: Path) -> ast.Module:
    """Return the syntax tree of a module, which must not be changed.

    Raises
    ------
    LebenchError
        If it is not Python; the message names the line.
    """
    about = file.stat()
    return _parsed(file, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=256)
def _parsed(file: Path, modified: int, size: int) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise LebenchError(f"{file.name}{line} is not Python: {getattr(error, 'msg', error)}") from error


def _is_own(file: Path, root: Path) -> bool:
    """Return whether a file is a plug-in's: below its folder, and not installed there, in a virtual environment say."""
    if not file.is_relative_to(root) or file.is_relative_to(_LEBENCH):
        return False
    return _SITE.isdisjoint(file.relative_to(root).parts)


def _imported(tree: ast.Module, file: Path, root: Path, *, package: bool) -> Iterator[Path]:
    """Yield the files that a module names: in an import, or in a text such as the path of a module beside it."""
    for node in ast.walk(tree):
        names: list[tuple[int, str]] = []
        text = _text(node)
        if isinstance(node, ast.Import):
            names = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # Each may be a module of a package, or only a name in it.
            start = f"{node.module}." if node.module else ""
            names = [(node.level, start + alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and _last_name(node.func) in _IMPORTERS:
            called = _text(node.args[0])
            names = [(len(called) - len(called.lstrip(".")), called.lstrip("."))] if called else []
        elif text.endswith(".py") and len(text) < 200 and (file.parent / text).is_file():
            yield Path(os.path.normpath(file.parent / text))
        for level, name in names:
            folder = file.parents[level - 1] if level else place(name, file, root, package=package)
            if folder is not None:
                yield from _files_of(folder, name.split("."))


def _files_of(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield the files that are run by importing ``a.b.c`` below a folder."""
    for part in parts:
        for file in (folder / part / "__init__.py", *(folder / f"{part}{end}" for end in _ENDS)):
            if file.is_file():
                yield file
                break
        folder /= part


def _is_module(folder: Path, name: str) -> bool:
    inner = folder / name
    if (inner / "__init__.py").is_file() or any((folder / f"{name}{end}").is_file() for end in _ENDS):
        return True
    # A folder without __init__.py is a package only if nothing else has the name.
    return inner.is_dir() and any(inner.glob("*.py")) and not _is_elsewhere(name, inner)


def _is_elsewhere(top: str, folder: Path) -> bool:
    """Return whether a module of this name is found outside of a folder."""
    try:
        spec = importlib.util.find_spec(top)
    except (ValueError, ImportError):
        return top in sys.modules
    if spec is None or (spec.origin is None and spec.submodule_search_locations is not None):
        return False
    return spec.origin is None or not _is_own(Path(spec.origin).resolve(), folder)


def _declared(tree: ast.Module, file: Path, root: Path) -> Iterator[Path]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if not any(isinstance(target, ast.Name) and target.id == DATA for target in targets):
            continue
        try:
            names = ast.literal_eval(value)
        except (ValueError, TypeError):
            names = None
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise LebenchError(f"{DATA} in {file.name} must be a list of file names, written out: ['weights.npz']")
        for name in names:
            declared = Path(os.path.normpath(file.parent / name))
            if not declared.is_relative_to(root):
                raise LebenchError(f"the data file {name!r} that {file.name} declares lies outside of {root.name}/")
            if not declared.is_file():
                what = "is a folder; name its files" if declared.is_dir() else "is not there"
                raise LebenchError(f"the data file {name!r} that {file.name} declares {what}")
            yield declared


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
