"""Randomness: one root seed, an independent stream per axis."""

from __future__ import annotations

import numpy as np

#: One independent stream per axis of randomness: changing one leaves the others alone.
STREAMS = ("data", "init", "batches", "probe")


def stream(seed: int, axis: str) -> np.random.SeedSequence:
    """Return the seed sequence of one axis of randomness.

    Parameters
    ----------
    seed : int
        The root seed of a cell.
    axis : {"data", "init", "batches", "probe"}
        What is drawn.
    """
    return np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(axis)]


def generator(seed: int, axis: str) -> np.random.Generator:
    """Return a generator for one axis of randomness (see :func:`stream`)."""
    return np.random.default_rng(stream(seed, axis))
