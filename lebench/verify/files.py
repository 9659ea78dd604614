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
from lebench.board.entries import LARGEST, LARGEST_ARTIFACT, PLUGIN, PLUGIN_LIMIT, EntryError
from lebench.verify.plugin_source import check_source
from lebench.verify.violations import Violation

_ARTIFACT = re.compile(r"[0-9a-f]{16}(\.recording)?\.npz")
#: Files that one folder of an entry may have, and the bytes of all arrays together.
_MOST_FILES = 1000
_LARGEST_TOGETHER = 3_000_000
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


def check_plugin(folder: Path) -> Iterator[Violation]:
    """Yield what is wrong with a model's own code as text; it is neither run nor compiled.

    Parameters
    ----------
    folder : Path
        Of an entry whose files are as :func:`check_files` wants them.
    """
    if not (folder / PLUGIN).exists():
        return
    try:
        content = read_bytes(folder / PLUGIN, PLUGIN_LIMIT)
    except DocumentError as error:
        yield Violation(PLUGIN, "content", str(error))
        return
    yield from check_source(PLUGIN, content)


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
