"""Processes that compute for lebench: how they begin, how they are watched, and what became of them.

What runs in them may be anybody's code. Whatever it does to its process, the process that supervises it goes on.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any

import psutil

from lebench import registry
from lebench.records import Status
from lebench.runner.channel import Receiver, Sender

#: With what every process begins: one thread for each library that has threads of its own, and sets in one order.
VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "PYTHONHASHSEED": "0",
}
#: By this variable the processes that a model has started are known.
_MARK = "LEBENCH_PROCESS"
#: Characters of a temporary folder in which the path of a socket still fits into the 108 bytes that Linux allows, and
#: the 104 of macOS.
_LONGEST_FOLDER = 60
_CHILD_SUBREAPER = 36

Context = ForkServerContext | SpawnContext

#: What is changed of this process while another is started is no other thread's.
_STARTING = threading.Lock()


class Supervised:
    """A process that lebench has started.

    Parameters
    ----------
    context : ForkServerContext or SpawnContext
        From :func:`fork_server` or :data:`SPAWN`.
    target : callable
        Function of a module, called there with a :class:`Sender` and the arguments.
    *arguments
        Can be pickled.
    output : Path, optional
        File that receives what anything in the process writes to its standard output and error.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, context: Context, target: Callable[..., None], *arguments: Any, output: Path | None = None):
        ours, theirs = context.Pipe()
        self._mark = uuid.uuid4().hex
        self.output = output or Path(os.devnull)
        with _STARTING, _hidden_main(), _with_variables(VARIABLES):
            # The server that forks has the variables of the time when it began, and must not have the mark.
            variables = {**os.environ, _MARK: self._mark}
            self._process = context.Process(
                target=_begin, args=(theirs, variables, self.output, target, arguments), daemon=False
            )
            try:
                self._process.start()
            except EOFError as error:
                raise OSError("what starts processes was ended") from error
            finally:
                theirs.close()
        self._connection = ours
        self._receiver = Receiver(ours)
        self.messages = self._receiver.messages
        try:
            self._seen: psutil.Process | None = psutil.Process(self._process.pid)
        except psutil.NoSuchProcess:
            self._seen = None

    @property
    def waitable(self) -> list[Any]:
        """What :func:`multiprocessing.connection.wait` waits for: messages, and the end."""
        return [self._process.sentinel, *([] if self._receiver.closed else [self._connection])]

    @property
    def silent(self) -> bool:
        """Whether it has closed its end of the pipe, and so can tell nothing any more."""
        return self._receiver.closed

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return not self._process.is_alive()

    @property
    def orphaned(self) -> bool:
        """Whether it runs on though the server that forked it, and would have told of its end, is gone."""
        return self.ended and self._seen is not None and self._seen.is_running() and self._status() != "zombie"

    @property
    def stopped(self) -> bool:
        """Whether it stands still until it gets a signal to continue."""
        return self._status() == psutil.STATUS_STOPPED

    @property
    def resident(self) -> int:
        """Bytes of memory that it has, without its children."""
        try:
            return 0 if self._seen is None else int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0

    def send(self, question: object) -> None:
        """Send an object to it, which it gets from :meth:`Sender.ask`."""
        self._connection.send(question)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for a message or the end."""
        connection.wait(self.waitable, timeout)

    def kill(self) -> None:
        """Kill it and everything that it has started."""
        family: list[psutil.Process] = []
        if self._seen is not None and self._seen.is_running():
            with suppress(psutil.Error):
                family = [self._seen, *self._seen.children(recursive=True)]
        for process in (*family, *self._strays()):
            with suppress(psutil.Error):
                process.kill()

    def close(self) -> int | None:
        """Wait for its end, kill what it has left behind, and return its exit code."""
        self._process.join()
        self._connection.close()
        self.kill()
        return self._process.exitcode

    def _status(self) -> str:
        try:
            return "" if self._seen is None else str(self._seen.status())
        except psutil.Error:
            return ""

    def _strays(self) -> Iterator[psutil.Process]:
        """Yield processes of its own that are no children of it any more: they have its mark or write to its output."""
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, psutil.Error):
                if mark in (folder / "environ").read_bytes() or str(self.output) in (
                    os.readlink(folder / "fd" / standard) for standard in "12" if self.output != Path(os.devnull)
                ):
                    yield psutil.Process(int(folder.name))


SPAWN = multiprocessing.get_context("spawn")


def fork_server(preload: Iterable[str]) -> Context:
    """Return what starts processes quickest: a server that has imported modules once for all of them.

    Parameters
    ----------
    preload : iterable of str
        Has an effect only before the first process.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods() or not _socket_folder():
        return SPAWN
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


def _socket_folder() -> bool:
    """Give multiprocessing a folder for its sockets whose path is short enough; return whether there is one."""
    from multiprocessing import util

    usual = tempfile.gettempdir()
    for folder in (usual, "/tmp", "/var/tmp"):
        if len(os.fsencode(folder)) <= _LONGEST_FOLDER and os.access(folder, os.W_OK | os.X_OK):
            tempfile.tempdir = folder
            try:
                # Chooses the folder at the first call of a process, and then keeps to it.
                return len(os.fsencode(util.get_temp_dir())) <= _LONGEST_FOLDER + len("/pymp-") + 8
            except OSError:
                continue
            finally:
                tempfile.tempdir = usual
    return False


def _begin(
    channel: Connection,
    variables: dict[str, str],
    output: Path,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Prepare the process in which this is called, and call the target."""
    os.environ.clear()
    os.environ.update(variables)
    _die_with_parent()
    _adopt_orphans()
    _close_what_all_share()
    # Signals of the terminal reach all of its processes; the parent decides what they mean.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open(os.devnull, "rb") as nothing, output.open("ab", buffering=0) as file:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    with suppress(EOFError, OSError):  # nobody listens any more
        target(Sender(channel), *arguments)
    with suppress(Exception):
        sys.stdout.flush()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    # A thread that a model has left running must not keep the process.
    os._exit(0)


def load(plugins: Iterable[registry.Source], modules: Iterable[str]) -> None:
    """Import what registers the things that a process needs; see :class:`lebench.runner.plan.Plan`."""
    for module in modules:
        importlib.import_module(module)
    for plugin in plugins:
        registry.load_plugin(plugin)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a process from running the user's script again, which it needs nothing from."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _with_variables(variables: dict[str, str]) -> Iterator[None]:
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


def _die_with_parent() -> None:
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


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has ended, so that what a model has left behind is found."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


def _close_what_all_share() -> None:
    """Close the pipes to multiprocessing's own servers: a byte written into them would end every other process."""
    from multiprocessing import forkserver, resource_tracker

    server: Any = forkserver._forkserver
    tracker: Any = resource_tracker._resource_tracker
    # Without them, a model that asks for such a server gets one of its own.
    with suppress(AttributeError, OSError, TypeError):
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = server._forkserver_address = server._forkserver_pid = None
    with suppress(AttributeError, OSError, TypeError):
        os.close(tracker._fd)
        tracker._fd = tracker._pid = None


def post_mortem(exitcode: int | None) -> tuple[Status, str]:
    """Return what a worker that ended by itself made of its cell, and why it ended."""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name if -exitcode in list(signal.Signals) else f"signal {-exitcode}"
        if name == "SIGKILL":
            return "out_of_memory", "the worker was killed (SIGKILL), most likely by the system for want of memory"
        return "failed", f"the worker crashed ({name})"
    if exitcode == 0:
        return "failed", "the worker ended before its time: something in it left the process or closed its files"
    return "failed", f"the worker ended with exit code {exitcode}"
