"""A model's own code in an entry: one file, ``plugin.py``, or a folder, ``plugin/``, with all that it imports.

In the folder the files stand to each other as they did when the records were made, so that what is given with
``--plugin``, which ``entry.toml`` names as `plugin`, is the same plug-in there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lebench.errors import LebenchError
from lebench.plugins import Plugin

#: The file of code that stands alone, and the bytes that a file of code may have.
PLUGIN, PLUGIN_LIMIT = "plugin.py", 100_000
#: The folder of code and data that do not, the files that it may have, and their bytes together.
PACKED, MOST_FILES, PACKED_LIMIT = "plugin", 100, 1_000_000
#: A path below that folder.
PLUGIN_PATH = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}){0,7}"


def plugin_of(folder: Path, given: str) -> Path | None:
    """Return what is to be given with ``--plugin`` to run the model of an entry, None if it has no code of its own.

    Parameters
    ----------
    folder : Path
        Of the entry.
    given : str
        The field `plugin` of its ``entry.toml``.
    """
    if given:
        return folder / PACKED / given
    return folder / PLUGIN if (folder / PLUGIN).exists() else None


def packed(plugin: Plugin) -> tuple[str, Mapping[str, Path]]:
    """Return the field `plugin` of an entry with a plug-in, and its files by their paths in the entry.

    Raises
    ------
    LebenchError
        If an entry cannot hold it.
    """
    closure = plugin.closure()
    if plugin.is_installed:
        raise LebenchError(f"plug-in {plugin.given!r} is installed; give the folder of its source")
    for name, file in closure.items():
        if not re.fullmatch(PLUGIN_PATH, name):
            raise LebenchError(f"{name} has a name that an entry cannot hold: letters of ASCII, digits and _ . - only")
        if file.suffix == ".py" and file.stat().st_size > PLUGIN_LIMIT:
            raise LebenchError(f"{file} is too large: an entry takes code of at most {PLUGIN_LIMIT:,} bytes")
        if file.suffix in (".so", ".pyd"):
            raise LebenchError(f"{file} is compiled: an entry takes code that can be read")
    if len(closure) == 1:
        return "", {PLUGIN: plugin.file}
    if len(closure) > MOST_FILES or sum(file.stat().st_size for file in closure.values()) > PACKED_LIMIT:
        raise LebenchError(
            f"plug-in {plugin.given!r} is too large: an entry takes at most {MOST_FILES} files with {PACKED_LIMIT:,} "
            "bytes"
        )
    entry = plugin.file.parent if plugin.file.name == "__init__.py" else plugin.file
    return entry.relative_to(plugin.base).as_posix(), {f"{PACKED}/{name}": file for name, file in closure.items()}
