"""Randomness: one root seed, an independent stream per axis."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

Stream = Literal["data", "init", "batches", "probe", "fit", "score", "augmentation"]
#: One independent stream per axis of randomness: changing one leaves the others alone. New ones come last.
STREAMS: tuple[Stream, ...] = ("data", "init", "batches", "probe", "fit", "score", "augmentation")


def stream(seed: int, axis: Stream) -> np.random.SeedSequence:
    """Return the seed sequence of one axis of randomness.

    Parameters
    ----------
    seed : int
        The root seed of a cell.
    axis : {"data", "init", "batches", "probe", "fit", "score", "augmentation"}
        What is drawn. ``"fit"`` and ``"score"`` are for what draws from global generators, see :func:`seeded`.
    """
    return np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(axis)]


def generator(seed: int, axis: Stream) -> np.random.Generator:
    """Return a generator for one axis of randomness (see :func:`stream`)."""
    return np.random.default_rng(stream(seed, axis))


@contextmanager
def seeded(seed: int, axis: Stream) -> Iterator[None]:
    """Draw what comes from global generators from a stream of the seed; afterwards they are as they were before.

    These are ``random``, ``numpy.random`` and, if it is imported, torch on all devices: dropout, drop path,
    augmentation.

    Parameters
    ----------
    seed : int
        The root seed.
    axis : str
        See :func:`stream`.
    """
    words = stream(seed, axis).generate_state(8)
    torch = sys.modules.get("torch")
    before, before_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(words.tobytes())
    np.random.seed(words)  # noqa: NPY002
    try:
        if torch is None:
            yield
        else:
            devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            with torch.random.fork_rng(devices):
                torch.manual_seed(int(words[:2].view(np.uint64)[0] >> np.uint64(1)))
                yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)  # noqa: NPY002
