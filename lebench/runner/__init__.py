"""Running: plan, worker processes, records."""

import sys

from lebench.errors import LebenchError

if sys.platform == "win32":
    # Worker processes are supervised by means of POSIX: signals, limits of resources, file locks.
    raise LebenchError("it does not run on Windows itself: use it in the Windows Subsystem for Linux (WSL)")
