"""How the modules of a plug-in that is given by its path are imported: under names made of that path.

``import helper`` in such a module means the file beside it, and becomes an import from the folder's own name; so two
plug-ins, each with a ``helper.py`` beside it, have two modules.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path

from lebench.plugins.closure import note_imports, parse, place

#: Begin of the names; a digest of the folder follows.
PREFIX = "lebench_plugin_"


def import_file(name: str, file: Path, root: Path, *, package: bool) -> types.ModuleType:
    """Import the module of a file.

    Parameters
    ----------
    name : str
        Of the module, below the name of the folder.
    file, root : Path
        The file, and the folder below which its imports are looked for.
    package : bool
        Whether the folder is a package, which is imported first.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    importlib.invalidate_caches()
    space, *inner = name.split(".")
    if space not in sys.modules:
        if package:
            _execute(space, root / "__init__.py")
        else:
            folder = types.ModuleType(space)
            folder.__path__ = [str(root)]
            sys.modules[space] = folder
    if inner[:-1]:
        importlib.import_module(".".join([space, *inner[:-1]]))
    return sys.modules[name] if name in sys.modules else _execute(name, file)


def _execute(name: str, file: Path) -> types.ModuleType:
    inner = [str(file.parent)] if file.name == "__init__.py" else None
    loader = _Loader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=inner)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(PREFIX) or path is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        # Without a cache of compiled files, which goes by the second of a change: an edit may be quicker.
        space, file = fullname.split(".")[0], Path(self.path)
        folder = sys.modules[space]
        is_package = getattr(folder, "__file__", None) is not None
        tree = _OwnImports(space, file, Path(folder.__path__[0]), package=is_package).visit(copy.deepcopy(parse(file)))
        code: types.CodeType = compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        before = set(sys.modules)
        try:
            super().exec_module(module)
        finally:
            note_imports(Path(self.path), before)


class _OwnImports(ast.NodeTransformer):
    """Makes absolute imports of what belongs to the plug-in imports from the name of its folder."""

    def __init__(self, space: str, file: Path, root: Path, *, package: bool) -> None:
        self._space, self._file, self._root, self._package = space, file, root, package

    def _own(self, name: str) -> str | None:
        folder = place(name, self._file, self._root, package=self._package)
        if folder is None:
            return None
        if not folder.is_relative_to(self._root):  # the package's own name
            return ".".join([self._space, *name.split(".")[1:]])
        return ".".join([self._space, *folder.relative_to(self._root).parts, name])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module and not node.level:
            node.module = self._own(node.module) or node.module
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        names: list[ast.alias] = []
        for alias in node.names:
            top = alias.name.split(".")[0]
            own = self._own(alias.name)
            if own is None:
                names.append(alias)
            elif alias.asname or top == alias.name:
                names.append(ast.alias(own, alias.asname or top))
            else:  # 'import a.b' makes a known, and b in it
                names += [ast.alias(own, top), ast.alias(str(self._own(top)), top)]
        return [ast.copy_location(ast.Import([name]), node) for name in names]
