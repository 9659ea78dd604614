"""Which files an entry may consist of. They are looked at, not read: links, pipes and sizes are found before that."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lebench.board import verification
from lebench.board.documents import DocumentError, read_bytes
from lebench.board.entries import LARGEST, LARGEST_ARTIFACT, EntryError
from lebench.board.entry_plugin import MOST_FILES, PACKED, PACKED_LIMIT, PLUGIN, PLUGIN_LIMIT, PLUGIN_PATH, plugin_of
from lebench.verify.plugin_source import check_source, listing
from lebench.verify.violations import Violation

_ARTIFACT = re.compile(r"[0-9a-f]{16}(\.recording)?\.npz")
#: Files that one folder of an entry may have, and the bytes of all arrays together.
_MOST_FILES = 1000
_LARGEST_TOGETHER = 3_000_000
#: Ends of names of code that is not text, and names that some file systems have taken or change.
_COMPILED = (".so", ".pyd", ".pyc", ".dll", ".dylib")
_TAKEN = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*\.")
#: Files that must be there, and those that may.
_DOCUMENTS = {**LARGEST, verification.NAME: verification.LARGEST, PLUGIN: PLUGIN_LIMIT}


def check_files(folder: Path) -> Iterator[Violation]:
    """Yield the files of an entry that are missing, do not belong to one, are no plain files or are too large.

    Parameters
    ----------
    folder : Path
        Of the entry. What is below a folder that does not belong to an entry is not looked at.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            yield Violation(folder.name, "type", "is not a folder; an entry is a folder with entry.toml")
            return
        found = _listed(folder)
        arrays = _listed(folder / "artifacts") if "artifacts" in found and _is_folder(found["artifacts"]) else {}
    except OSError as error:
        yield Violation(folder.name, "type", f"there is no such folder: {error.strerror}")
        return
    # Of a crowd only a part is listed: what is missing or does not belong cannot be said.
    for where, listed in (("", found), ("artifacts", arrays)):
        if len(listed) > _MOST_FILES:
            yield Violation(where or folder.name, "size", f"has more than {_MOST_FILES:,} files")
            return
    for name in sorted(set(LARGEST) - set(found)):
        yield Violation(name, "name", "is missing")
    for name, entry in sorted(found.items()):
        if name in _DOCUMENTS:
            yield from _check_file(entry, name, _DOCUMENTS[name])
        elif name == PACKED:
            yield from _check_packed(folder / PACKED)
            if PLUGIN in found:
                yield Violation(PLUGIN, "name", f"stands beside the folder {PACKED}; an entry has the one or the other")
        elif name != "artifacts":
            yield Violation(name, "name", "does not belong to an entry; remove it")
        elif not _is_folder(entry):
            yield Violation(name, "type", "is not a folder")
    together = 0
    for name, entry in sorted(arrays.items()):
        if not _ARTIFACT.fullmatch(name):
            yield Violation(f"artifacts/{name}", "name", "is not the name of a file of arrays; remove it")
            continue
        yield from _check_file(entry, f"artifacts/{name}", LARGEST_ARTIFACT)
        together += entry.stat(follow_symlinks=False).st_size
    if together > _LARGEST_TOGETHER:
        yield Violation("artifacts", "size", f"has {together:,} bytes, at most {_LARGEST_TOGETHER:,} are allowed")


def _check_packed(folder: Path) -> Iterator[Violation]:
    """Yield what is wrong with the files of a folder of code: links, names, sizes, what nobody can read."""
    pending, count, together = [folder], 0, 0
    while pending:
        at = pending.pop()
        name = at.relative_to(folder.parent).as_posix()
        if at.is_symlink() or not at.is_dir():
            yield Violation(name, "type", "is not a folder")
            return
        seen: set[str] = set()
        for entry in sorted(_listed(at).values(), key=lambda entry: entry.name):
            lower = entry.name.lower()
            name = Path(entry.path).relative_to(folder.parent).as_posix()
            count += 1
            if count > MOST_FILES:
                yield Violation(PACKED, "size", f"has more than {MOST_FILES} files")
                return
            if not re.fullmatch(PLUGIN_PATH, name.removeprefix(f"{PACKED}/")) or entry.name.endswith(_COMPILED):
                yield Violation(name, "name", "does not belong to code that can be read; remove it")
            elif lower in seen or _TAKEN.fullmatch(lower):
                yield Violation(name, "name", "is that of another file or of a device on some systems; choose another")
            elif _is_folder(entry):
                pending.append(Path(entry.path))
            else:
                yield from _check_file(entry, name, PLUGIN_LIMIT if entry.name.endswith(".py") else PACKED_LIMIT)
                together += entry.stat(follow_symlinks=False).st_size
            seen.add(lower)
    if together > PACKED_LIMIT:
        yield Violation(PACKED, "size", f"has {together:,} bytes, at most {PACKED_LIMIT:,} are allowed")


def check_plugin(folder: Path, given: str) -> Iterator[Violation]:
    """Yield what is wrong with a model's own code as text; it is neither run nor compiled.

    Parameters
    ----------
    folder : Path
        Of an entry whose files are as :func:`check_files` wants them.
    given : str
        The field `plugin` of its ``entry.toml``.
    """
    path = plugin_of(folder, given)
    if bool(given) != (folder / PACKED).exists() or (given and path is not None and not _is_plugin(path)):
        yield Violation("entry.toml", "plugin", f"must name a file or package in the folder {PACKED}, if there is one")
    for file in _code(folder):
        name = file.relative_to(folder).as_posix()
        try:
            yield from check_source(name, read_bytes(file, PLUGIN_LIMIT))
        except DocumentError as error:
            yield Violation(name, "content", str(error))


def _code(folder: Path) -> list[Path]:
    """Return the files of a model's own code."""
    return sorted(file for file in {folder / PLUGIN, *(folder / PACKED).rglob("*.py")} if file.exists())


def _is_plugin(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.is_file() and path.suffix == ".py")


def reached(folder: Path) -> list[str]:
    """Return what a model's own code reaches, for whoever reads it, a line each; see :func:`plugin_source.listing`.

    Parameters
    ----------
    folder : Path
        Of a valid entry.
    """
    lines = []
    for file in _code(folder):
        lines += listing(file.relative_to(folder).as_posix(), read_bytes(file, PLUGIN_LIMIT).decode("utf-8"))
    return lines


def check_verification(folder: Path) -> Iterator[Violation]:
    """Yield what is wrong with what a maintainer has put on record of earlier checks.

    Parameters
    ----------
    folder : Path
        Of an entry whose files are as :func:`check_files` wants them.
    """
    try:
        verification.read_verification(folder)
    except (EntryError, RecursionError) as error:
        rule = str(error).removeprefix(f"{folder / verification.NAME}").lstrip(": ")
        yield Violation(verification.NAME, "content", rule or "is nested too deeply")


def _listed(folder: Path) -> dict[str, os.DirEntry[str]]:
    """Return what is in a folder by name, one more than is allowed at most."""
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in islice(entries, _MOST_FILES + 1)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _check_file(entry: os.DirEntry[str], name: str, largest: int) -> Iterator[Violation]:
    about = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(about.st_mode):
        yield Violation(name, "type", "is not a regular file")
    elif about.st_nlink > 1:
        yield Violation(name, "type", "is a hard link; copy the file")
    elif about.st_size > largest:
        yield Violation(name, "size", f"has {about.st_size:,} bytes, at most {largest:,} are allowed")
