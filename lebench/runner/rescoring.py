"""Scores computed again from recordings in a process of its own, whose time and memory are bounded.

A recording comes from anybody. Few numbers of a legal shape can be a matrix whose square fits into no memory, or
thousands of questions that each take a while, so what becomes of the process that computes with them is no matter.
"""

from __future__ import annotations

import importlib
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

from numpy.typing import NDArray

from lebench import registry
from lebench.data.files import VARIABLE
from lebench.errors import LebenchError, UnavailableDataError
from lebench.models.spec import NUMPY
from lebench.plugins import Plugin
from lebench.runner.plan import LAZY, providers
from lebench.runner.processes import ONE_THREAD, die_with_parent, hidden_main, post_mortem, with_variables
from lebench.runner.worker import rescored
from lebench.tasks.base import Task

_GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """What scores may cost.

    Attributes
    ----------
    record_s : float
        CPU seconds for one, rounded up to whole ones: on a busy machine a good one takes longer, but not more of these.
    entry_s : float
        CPU seconds for all together.
    memory_bytes : int
        Of the process, without its code; kept by the kernel of Linux, and by nothing elsewhere.
    """

    record_s: float = 60.0
    entry_s: float = 600.0
    memory_bytes: int = 2 * _GIB


LIMITS = Limits()


class RescoringError(LebenchError):
    """A score that cannot be computed from a recording, or not within the limits."""


@dataclass(frozen=True)
class _Answer:
    """What became of a score: its values, or an exception; and the CPU seconds that it took."""

    found: dict[str, float] | Exception
    cpu_s: float


class Rescorer:
    """Computes scores of recordings in another process, a new one after each that had to be ended.

    The process begins, which takes a second or two, when the object is entered.

    Parameters
    ----------
    limits : Limits
        What the scores may cost.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits, self._left_s = limits, limits.entry_s
        self._child: tuple[BaseProcess, Connection] | None = None

    def __enter__(self) -> Self:
        self._child = self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def score(self, task: Task, seed: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Return the values that the score of a task has by a recording.

        Parameters
        ----------
        task : Task
            It is registered.
        seed : int
            The cell's.
        arrays : mapping of str to ndarray
            See :func:`lebench.runner.recording.replay`.

        Raises
        ------
        RescoringError
            If the score fails or reaches a limit.
        UnavailableDataError
            If there are no files of the dataset.
        """
        if self._left_s <= 0:
            limit = f"{self._limits.entry_s:g} CPU seconds, the limit for an entry"
            raise RescoringError(f"is not computed again: scores before it took {limit}")
        allowed = min(self._limits.record_s, self._left_s)
        answer = self._ask((task.name, seed, dict(arrays), *providers([task]), allowed))
        if answer is None or isinstance(answer.found, MemoryError):
            self._left_s -= allowed if answer is None else answer.cpu_s
            raise RescoringError(self._why(self._end(), answer is not None, allowed))
        self._left_s -= answer.cpu_s
        if isinstance(answer.found, Exception):
            raise answer.found
        return answer.found

    def _why(self, exitcode: int | None, out_of_memory: bool, allowed: float) -> str:
        """Return why there is no score, where the process had to be ended or has ended."""
        if out_of_memory:
            return f"the score takes more than {self._limits.memory_bytes / _GIB:.3g} GiB of memory, the limit"
        whose = "a record" if allowed == self._limits.record_s else "an entry"
        if exitcode == -signal.SIGXCPU:
            return f"the score takes more than {allowed:.3g} CPU seconds, the limit for {whose}"
        return f"the score fails: {post_mortem(exitcode)[1]}"

    def _ask(self, question: tuple[object, ...]) -> _Answer | None:
        """Return what the process answers, None if it has ended."""
        process, channel = self._child = self._child or self._begin()
        with suppress(EOFError, OSError):
            channel.send(question)
            connection.wait([channel, process.sentinel])
            if channel.poll():
                answer: _Answer = channel.recv()
                return answer
        return None

    def _begin(self) -> tuple[BaseProcess, Connection]:
        # Nothing is inherited: a fork of a process in which threads have computed may stand still for ever.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        facts = (theirs, os.environ.get(VARIABLE, ""), self._limits.memory_bytes)
        process = context.Process(target=main, args=facts, daemon=True)
        with hidden_main(), with_variables(ONE_THREAD):
            process.start()
        theirs.close()
        return process, ours

    def _end(self) -> int | None:
        """End the process and return its exit code."""
        if self._child is None:
            return None
        process, channel = self._child
        self._child = None
        channel.close()
        # One that has ended by itself keeps its exit code.
        process.kill()
        process.join()
        return process.exitcode


def main(channel: Connection, data_folder: str, memory_bytes: int) -> None:
    """Answer questions for scores until nobody asks any more.

    Parameters
    ----------
    channel : Connection
        Where questions come from and answers go.
    data_folder : str
        Value of ``LEBENCH_DATA``.
    memory_bytes : int
        What the process may have.
    """
    os.environ[VARIABLE] = data_folder
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for standard in range(3):
            os.dup2(nothing.fileno(), standard)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    for module in LAZY[NUMPY]:
        importlib.import_module(module)
    with suppress(EOFError, OSError):
        while True:
            *question, allowed = channel.recv()
            began = time.process_time()
            # Beyond this the kernel ends the process, by SIGXCPU.
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began + allowed), resource.RLIM_INFINITY))
            found = _found(*question)
            channel.send(_Answer(found, time.process_time() - began))


def _found(
    task: str, seed: int, arrays: Mapping[str, NDArray[Any]], plugins: Iterable[Plugin], modules: Iterable[str]
) -> dict[str, float] | Exception:
    try:
        for module in modules:
            importlib.import_module(module)
        for plugin in plugins:
            registry.load_plugin(plugin)
        known: Task = registry.tasks.get(task)
        return rescored(known, registry.datasets.get(known.dataset).split(seed), seed, arrays)
    except UnavailableDataError as error:
        return UnavailableDataError(str(error))
    except MemoryError:
        return MemoryError()
    except Exception as error:
        # Arrays from anybody may break a score in any way.
        return RescoringError(f"the score fails: {' '.join(str(error).split()) or type(error).__name__}")
