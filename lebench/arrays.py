"""The array types at the borders between parts, NumPy's float64 and int64, and files that hold arrays."""

from __future__ import annotations

import os
from typing import IO

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Bytes that are written at a time where the system cannot reserve them.
_PART = 2**24


def reserve(file: IO[bytes], size: int) -> None:
    """Give a file all of its bytes at once: where a disk is full, a process that maps the file would be killed.

    Raises
    ------
    OSError
        If the disk has no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, _PART):
        file.write(bytes(min(_PART, size - start)))
    file.flush()
