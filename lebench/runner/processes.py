"""What all processes have in common that lebench starts to compute in: how they begin, and what became of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, parent_process

from lebench.records import Status

#: Every library that computes with threads of its own is told to use one.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@contextmanager
def hidden_main() -> Iterator[None]:
    """Keep a worker from running the user's script again, which it needs nothing from."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def with_variables(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def die_with_parent() -> None:
    """See to it that this process does not outlive its parent, however that ends."""
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel
    if sys.platform == "linux":
        # The kernel itself sends SIGIO when the parent's end of the pipe closes, and SIGIO kills by default. It also
        # reaches a process that is stuck in C code and would never run a Python thread again.
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
        if connection.wait([sentinel], timeout=0):
            os._exit(1)
    else:

        def watch() -> None:
            connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def post_mortem(exitcode: int | None) -> tuple[Status, str]:
    """Return what a worker that ended by itself made of its cell, and why it ended."""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name if -exitcode in list(signal.Signals) else f"signal {-exitcode}"
        if name == "SIGKILL":
            return "out_of_memory", "the worker was killed (SIGKILL), most likely by the system for want of memory"
        return "failed", f"the worker crashed ({name})"
    return "failed", f"the worker ended with exit code {exitcode}"
