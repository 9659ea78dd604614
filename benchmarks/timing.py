"""CPU time of functions, measured so that a busy machine disturbs all contestants alike.

Call :func:`single_thread` before numpy, torch or jax is imported, then :func:`interleaved`.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def at_least(smallest: float, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """Return a type of an option of ``argparse``: a number that is not below the smallest one, nor infinite.

    With the smallest 0 it is positive.
    """

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= smallest and value > 0):
            wanted = "a positive number" if smallest == 0 else f"a number of at least {smallest:g}"
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return read


def single_thread() -> None:
    """Set one thread for the linear algebra of this process; in vain for libraries that are already imported."""
    late = {"numpy", "torch", "jax"} & set(sys.modules)
    if late:
        raise RuntimeError(f"{', '.join(sorted(late))} is imported already: call single_thread() first")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def settle(quiet: float = 0.02) -> None:
    """Wait until no other thread of this process computes.

    The threads of XLA and OpenMP go on spinning for some 25 ms after their work is done. CPU time counts that, and it
    would be charged to whoever runs next: half of what the fastest contestants take.
    """
    for _ in range(100):
        start = time.process_time()
        time.sleep(quiet)
        if time.process_time() - start < quiet / 20:
            return


def interleaved(functions: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, list[float]]:
    """Time functions in turn, round by round, in CPU seconds of this process, each after :func:`settle`.

    Parameters
    ----------
    functions : mapping of str to callable
        The contestants, without arguments. Each is called once beforehand, untimed.
    rounds : int
        Rounds, at least 5 for a figure one quotes.

    Returns
    -------
    dict
        CPU seconds of every round, by name.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            settle()
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], slow: str, fast: str) -> list[float]:
    """Return how many times as long one contestant took as another, round by round."""
    return [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]


def spread(values: Sequence[float]) -> str:
    """Return ``median [smallest, largest]``."""
    return f"{statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"
