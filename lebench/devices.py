"""Devices on which networks are trained and measured: by name, without any framework."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lebench.errors import ParameterError

CPU = "cpu"
_NAMES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

_chosen: ContextVar[str] = ContextVar("lebench_device", default=CPU)


@dataclass(frozen=True)
class Device:
    """A device that a framework has.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"cuda:0"`` or ``"mps"``.
    model : str
        What it is called by who made it.
    driver : str
        Versions of what drives it.
    """

    name: str
    model: str = ""
    driver: str = ""


def chosen() -> str:
    """Return the name of the device on which networks are computed here."""
    return _chosen.get()


def use(name: str) -> None:
    """Compute networks on a device from now on."""
    _chosen.set(name)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Compute networks of torch on a device inside the ``with`` block."""
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def share_out(
    wanted: str, backends: Sequence[str], found: Callable[[str], Sequence[Device]]
) -> Mapping[str, tuple[Device, ...]]:
    """Return for each backend the devices that its workers share.

    Parameters
    ----------
    wanted : str
        ``"auto"``: all GPUs if there are any; ``"cuda"``: all of NVIDIA's; or the name of one device.
    backends : sequence of str
        Names of backends.
    found : callable
        Returns the devices of a backend beside the processor.

    Raises
    ------
    ParameterError
        If a backend has no such device.
    """
    if not _NAMES.fullmatch(wanted):
        raise ParameterError(f"device {wanted!r} is none of auto, cpu, cuda, cuda:0, cuda:1, ..., mps")
    shared = {}
    for backend in backends:
        there = () if wanted == CPU else tuple(found(backend))
        fitting = tuple(
            device for device in there if wanted in ("auto", device.name) or device.name.split(":")[0] == wanted
        )
        if not fitting and wanted not in ("auto", CPU):
            names = ", ".join([CPU, *(device.name for device in there)])
            raise ParameterError(f"there is no device {wanted!r} for the {backend} backend here; it has {names}")
        shared[backend] = fitting or (Device(CPU),)
    return shared
