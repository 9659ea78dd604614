"""How a long computation says how far it is, without knowing who listens.

A model calls :func:`report` from its training loop. Outside a run nothing happens; inside a run the
worker has installed a listener with :func:`listen`, which forwards the values to the live display. The
listener is a context variable, so nested and concurrent fits do not see each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[dict[str, float]], None] | None] = ContextVar("lebench_progress", default=None)


def report(**values: float) -> None:
    """Tell the listener, if there is one, where the current fit stands.

    Parameters
    ----------
    **values : float
        What is worth showing, by name: ``epoch=12, epochs=100, loss=0.31``.
    """
    listener = _listener.get()
    if listener is not None:
        listener(values)


@contextmanager
def listen(listener: Callable[[dict[str, float]], None]) -> Iterator[None]:
    """Send what is reported inside the ``with`` block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
