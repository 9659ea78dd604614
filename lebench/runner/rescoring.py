"""Scores computed again from recordings in a process of its own, whose time and memory are bounded.

A recording comes from anybody. Few numbers of a legal shape can be a matrix whose square fits into no memory, or
thousands of questions that each take a while, so what becomes of the process that computes with them is no matter.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self

from numpy.typing import NDArray
from pydantic import Field, ValidationError

from lebench import registry
from lebench.errors import LebenchError, UnavailableDataError
from lebench.models.spec import NUMPY
from lebench.records import Document
from lebench.runner.channel import DamagedError, Sender
from lebench.runner.plan import LAZY, providers
from lebench.runner.processes import SPAWN, Supervised, load, post_mortem
from lebench.runner.results import one_line
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


#: Of the check of a pull request, which computes what it can: the largest good entries take twice as long.
PULL_REQUEST = Limits(entry_s=60.0)


class RescoringError(LebenchError):
    """A score that cannot be computed from a recording, or not within the limits."""


class SpentError(RescoringError):
    """A score that is not computed, since those before it took what an entry may take."""


class _Answer(Document):
    """What became of a score, and the CPU seconds that it took."""

    values: dict[str, float] = Field(default_factory=dict)
    problem: Literal["", "unavailable", "out of memory", "failed"] = ""
    reason: str = ""
    cpu_s: float = 0.0


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
        self._process: Supervised | None = None

    def __enter__(self) -> Self:
        self._process = self._begin()
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
            raise SpentError(f"is not computed again: scores before it took {limit}")
        allowed = min(self._limits.record_s, self._left_s)
        answer = self._ask((task.name, seed, dict(arrays), *providers([task]), allowed))
        self._left_s -= allowed if answer is None else answer.cpu_s
        if answer is None or answer.problem == "out of memory":
            exitcode = self._end()
            cut = allowed < self._limits.record_s and exitcode == -signal.SIGXCPU
            kind = SpentError if cut else RescoringError
            raise kind(self._why(exitcode, answer is not None, allowed))
        if answer.problem == "unavailable":
            raise UnavailableDataError(answer.reason)
        if answer.problem:
            raise RescoringError(f"the score fails: {answer.reason}")
        return answer.values

    def _why(self, exitcode: int | None, out_of_memory: bool, allowed: float) -> str:
        """Return why there is no score, where the process had to be ended or has ended."""
        if out_of_memory:
            return f"the score takes more than {self._limits.memory_bytes / _GIB:.3g} GiB of memory, the limit"
        whose = "a record" if allowed == self._limits.record_s else "an entry"
        if exitcode == -signal.SIGXCPU:
            return f"the score takes more than {allowed:.3g} CPU seconds, the limit for {whose}"
        return f"the score fails: {post_mortem(exitcode)[1]}"

    def _ask(self, question: tuple[object, ...]) -> _Answer | None:
        """Return what the process answers, None if it has ended or talks nonsense."""
        process = self._process = self._process or self._begin()
        with suppress(EOFError, OSError, DamagedError, ValidationError):
            process.send(question)
            while True:
                process.wait()
                ended = process.ended
                for content in process.messages():
                    return _Answer.model_validate_json(content)
                if ended:
                    break
        return None

    def _begin(self) -> Supervised:
        # Nothing is inherited: a fork of a process in which threads have computed may stand still for ever.
        return Supervised(SPAWN, main, self._limits.memory_bytes)

    def _end(self) -> int | None:
        """End the process and return its exit code."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        # One that has ended by itself keeps its exit code.
        process.kill()
        return process.close()


def main(sender: Sender, memory_bytes: int) -> None:
    """Answer questions for scores until nobody asks any more.

    Parameters
    ----------
    sender : Sender
        Where questions come from and answers go.
    memory_bytes : int
        What the process may have.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    load((), LAZY[NUMPY])
    while True:
        *question, allowed = sender.ask()
        began = time.process_time()
        # Beyond this the kernel ends the process, by SIGXCPU.
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(began + allowed), resource.RLIM_INFINITY))
        answer = _answer(*question)
        sender.send(answer.model_copy(update={"cpu_s": time.process_time() - began}).model_dump_json().encode())


def _answer(
    name: str, seed: int, arrays: Mapping[str, NDArray[Any]], plugins: Iterable[registry.Source], modules: Iterable[str]
) -> _Answer:
    try:
        load(plugins, modules)
        task: Task = registry.tasks.get(name)
        return _Answer(values=rescored(task, registry.datasets.get(task.dataset).split(seed), seed, arrays))
    except UnavailableDataError as error:
        return _Answer(problem="unavailable", reason=str(error))
    except MemoryError:
        return _Answer(problem="out of memory")
    except Exception as error:
        # Arrays from anybody may break a score in any way.
        return _Answer(problem="failed", reason=one_line(str(error)) or type(error).__name__)
