"""What an input does: files that are opened or changed, processes, sockets and pickles; and what it costs."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: CPU seconds and bytes that one input may cost.
SECONDS, BYTES = 5.0, 400_000_000
CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink"}
STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
}


class Watch:
    """Sees, from the audit hook of Python, what happens while it is on.

    Parameters
    ----------
    readable : tuple of str
        Beginnings of paths that may be read. What may be written is the folder for temporary files.
    """

    def __init__(self, readable: tuple[str, ...]) -> None:
        self.readable, self.on = readable, False
        self.seen: list[str] = []

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note files that are opened or changed where they should not be, and processes that are started."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int):
                return
            where = absolute(path)
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if not (where.startswith(f"{tempfile.tempdir}/") if writes else where.startswith(self.readable)):
                self.seen.append(f"{where} is opened")
            if os.path.islink(where) and not flags & os.O_NOFOLLOW:
                self.seen.append(f"{where} is a link that is followed")
        elif event in CHANGES and not absolute(arguments[0]).startswith(f"{tempfile.tempdir}/"):
            self.seen.append(f"{event} of {arguments[0]!r}")
        elif event in STARTS:
            self.seen.append(f"{event} {arguments!r}")

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Raise an AssertionError for what is done meanwhile that should not be, or costs too much."""
        held, before, began = contents(folder), peak(), time.process_time()
        self.seen.clear()
        self.on = True
        try:
            yield
        finally:
            self.on = False
        spent, grown = time.process_time() - began, peak() - before
        assert not self.seen, self.seen
        assert held == contents(folder), "the entry has been changed"
        left = os.listdir(str(tempfile.tempdir))
        assert not left, f"temporary files are left: {left}"
        assert spent < SECONDS, f"{spent:.1f} s"
        assert grown < BYTES, f"{grown:,} bytes"


def absolute(path: Any) -> str:
    """Return a path from the root on. A relative one is below an open folder: so shutil removes temporary folders."""
    return os.path.abspath(os.path.join(str(tempfile.tempdir), os.fsdecode(path)))


def contents(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of all that is below a folder."""
    return sorted((str(path), (about := path.lstat()).st_size, about.st_mtime_ns) for path in folder.rglob("*"))


def peak() -> int:
    """Return the bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
