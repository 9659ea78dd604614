"""Who computes a cell, where several runs share a folder: a lock that ends with its owner, however that dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from lebench.runner.plan import Job, PlannedCell
from lebench.runner.record_files import CLAIMS
from lebench.runner.store import Store

try:
    import fcntl
except ImportError:  # Windows has none.
    fcntl = None  # type: ignore[assignment]

#: Seconds between two looks at what other runs have let go of.
_LOOK_S = 0.5


class Locks:
    """Locks on cells, each a byte of one file that stays empty.

    The system lets go of a process's locks when it ends. Where it offers no locks, as some network file systems do,
    everybody gets every cell: all compute it, and the records are equal. So do two threads of one process.

    Parameters
    ----------
    file : Path
        It must exist.
    """

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR)

    def close(self) -> None:
        """Let others have all cells."""
        os.close(self._descriptor)

    def take(self, key: str) -> bool:
        """Return whether a cell is this process's from now on, or was before."""
        if fcntl is not None:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
            except (BlockingIOError, PermissionError):
                return False
            except OSError:
                return True
        return True

    def release(self, key: str) -> None:
        """Let others have a cell."""
        if fcntl is not None:
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _place(key))


def _place(key: str) -> int:
    # 60 bits: offsets of a file have 63, and no two of the keys at hand share them.
    return int(key[:15], 16)


class Division:
    """Divides the cells of a run with other runs on the same folder, so that each is computed by one of them.

    Parameters
    ----------
    store : Store
        Where all of them put their records.
    jobs : sequence of Job
        What this run is to do.
    force : bool
        Whether it does so although there are outcomes already.

    Attributes
    ----------
    elsewhere : int
        Cells that others have done since it began.
    before : dict of str to set of str
        Checksums of the records that there were of each cell, by its key.
    """

    def __init__(self, store: Store, jobs: Sequence[Job], force: bool) -> None:
        self.elsewhere = 0
        self._store, self._force = store, force
        self.before = store.checksums(cell.cell.key for job in jobs for cell in job.cells)
        self._locks = Locks(store.folder / CLAIMS)
        self._theirs: list[Job] = []

    def __enter__(self) -> Division:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._locks.close()

    def claim(self, job: Job) -> Job | None:
        """Return what of a job is this run's to compute; what others are computing is kept for :meth:`theirs`."""
        mine = [cell for cell in job.cells if self._locks.take(cell.cell.key)]
        # Another run may have finished one after this run has looked, and before it let go of it.
        done = self._done([cell.cell.key for cell in mine])
        for key in done:
            self._locks.release(key)
        self.elsewhere += len(done)
        if theirs := [cell for cell in job.cells if cell not in mine]:
            self._theirs.append(replace(job, cells=tuple(theirs)))
        left = tuple(cell for cell in mine if cell.cell.key not in done)
        return replace(job, cells=left) if left else None

    def release(self, cell: PlannedCell) -> None:
        """Let others see that a cell is done."""
        self._locks.release(cell.cell.key)

    def theirs(self, stopped: Callable[[], bool], on_wait: Callable[[int], None]) -> list[Job]:
        """Wait for other runs, and return what they have left behind; nothing if all of it is done.

        Parameters
        ----------
        stopped : callable
            Once it returns true, there is nothing to wait for.
        on_wait : callable
            Receives the number of cells that are waited for, if there are any.
        """
        left: list[Job] = []
        if self._theirs:
            on_wait(sum(len(job.cells) for job in self._theirs))
        while self._theirs and not left and not stopped():
            time.sleep(_LOOK_S)
            theirs, self._theirs = self._theirs, []
            left = [job for job in map(self.claim, theirs) if job is not None]
        theirs, self._theirs = self._theirs, []
        return [*left, *theirs] if left else []

    def _done(self, keys: Sequence[str]) -> set[str]:
        """Return those of some cells that others have done, be it that they failed."""
        known = set() if self._force else self._store.known(keys)
        return known | {key for key, found in self._store.checksums(keys).items() if found - self.before[key]}
