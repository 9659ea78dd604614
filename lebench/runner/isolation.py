"""Fits and scores that begin alike: whatever a model did before to the process in which they run is taken back."""

from __future__ import annotations

import gc
import locale
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import psutil

_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_RESOURCES = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

#: What of torch a model may change for everybody, and what it is in a process that has just imported torch.
_TORCH: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    ("get_default_dtype", "set_default_dtype", lambda torch: torch.float32),
    ("get_num_threads", "set_num_threads", lambda torch: 1),
    ("is_grad_enabled", "set_grad_enabled", lambda torch: True),
    ("are_deterministic_algorithms_enabled", "use_deterministic_algorithms", lambda torch: False),
    ("get_float32_matmul_precision", "set_float32_matmul_precision", lambda torch: "highest"),
    ("get_default_device", "set_default_device", lambda torch: torch.device("cpu")),
)


def _umask() -> int:
    # The system call that reads the mask also sets it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _set_variables(wanted: dict[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _set_handlers(wanted: dict[int, Any]) -> None:
    for number, handler in wanted.items():
        # None: one that was not set by Python.
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _limits() -> dict[int, int]:
    return {kind: resource.getrlimit(kind)[0] for kind in _RESOURCES}


def _set_limits(wanted: dict[int, int]) -> None:
    for kind, soft in wanted.items():
        now, hard = resource.getrlimit(kind)
        if now != soft:
            resource.setrlimit(kind, (soft, hard))


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr


def _set_streams(wanted: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = wanted


def _set_filters(wanted: list[Any]) -> None:
    warnings.filters[:] = wanted  # type: ignore[index]


def _set_path(wanted: list[str]) -> None:
    sys.path[:] = wanted


#: How each part of the state of a process is read and set.
_STATE: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), _set_variables),
    (_umask, os.umask),
    (_handlers, _set_handlers),
    (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
    ),
    (_limits, _set_limits),
    (_streams, _set_streams),
    (lambda: list(sys.path), _set_path),
    (lambda: list(warnings.filters), _set_filters),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    (lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)),
    (np.geterr, lambda errors: np.seterr(**errors)),
    (np.geterrcall, np.seterrcall),
)


@contextmanager
def restored() -> Iterator[None]:
    """Give the process back the state it has on entering: folder, variables, signals, limits, NumPy, torch, JAX."""
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    before = [read() for read, _ in _STATE]
    of_torch = None if torch is None else [getattr(torch, read)() for read, _, _ in _TORCH]
    of_jax = None if jax is None else dict(jax.config.values)
    try:
        yield
    finally:
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        for (read, write), value in zip(_STATE, before, strict=True):
            # What cannot be set back, as a hard limit, harms the model itself at most.
            with suppress(Exception):
                if read() != value:
                    write(value)
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None:
            for place, (getter, setter, usual) in enumerate(_TORCH):
                value = usual(torch) if of_torch is None else of_torch[place]
                if getattr(torch, getter)() != value:
                    getattr(torch, setter)(value)
        if jax is not None and of_jax is not None:
            for name, value in of_jax.items():
                if jax.config.values.get(name) != value:
                    jax.config.update(name, value)


def busy() -> int:
    """Return how many threads of Python and child processes this process has beside its main thread."""
    return threading.active_count() - 1 + len(psutil.Process().children())
