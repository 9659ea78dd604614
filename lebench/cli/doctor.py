"""``lebench doctor``: what this machine has, and whether its devices compute the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click
import numpy as np
import psutil

from lebench import devices, registry
from lebench.cli import reading
from lebench.data.files import VARIABLE, cache_folder
from lebench.data.images import SOURCES
from lebench.devices import CPU
from lebench.errors import install_hint
from lebench.runner.environment import PACKAGES, cores, environment
from lebench.runner.executors import devices_of

#: Optional packages and the extra that installs each.
_OPTIONAL = {"torch": "torch", "jax": "jax", "neural-tangents": "jax", "dask": "cluster", "dask-jobqueue": "cluster"}
#: Largest differences, as shares of the largest number: of kernels in float64 at the same weights, which training
#: starts from, and of scores after a few steps in float32.
_MEASURED, _TRAINED = 1e-6, 1e-2


@dataclass(frozen=True)
class Finding:
    """One line of what was found.

    Attributes
    ----------
    what : str
        Of what.
    found : str
        What there is, or what to do.
    right : bool or None
        Whether a check came out well; None if there is nothing to check.
    """

    what: str
    found: str
    right: bool | None = None


def show(*, as_json: bool) -> int:
    """Print what there is and what the self-check found; return 1 if a device computes something else."""
    found = list(_findings())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=1))
    else:
        console = reading.make_console()
        marks = {True: "right", False: "WRONG", None: ""}
        table = reading.make_table("This machine", ("what", "found", "check"))
        for finding in found:
            reading.add_row(table, finding.what, finding.found, marks[finding.right])
        console.print(table)
    return int(any(finding.right is False for finding in found))


def _findings() -> Iterator[Finding]:
    here, memory = environment(), psutil.virtual_memory()
    yield Finding("lebench", f"{here.lebench}, Python {here.python}, {here.os}")
    yield Finding("processor", f"{here.cpu}, {cores()} cores; a worker computes with {here.threads} thread")
    yield Finding("memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free")
    for name in dict.fromkeys((*PACKAGES, *_OPTIONAL)):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, f"not installed; {install_hint(_OPTIONAL[name])} installs it")
    complete = [name for name, source in SOURCES.items() if not any(state.problem for state in source.states())]
    folder = os.environ.get(VARIABLE) or f"{VARIABLE} is not set, {cache_folder()}"
    yield Finding("data", f"{folder}: {', '.join(complete) or 'no image sets'}")
    for item in registry.backends.items():
        if item.source != "lebench" or item.name in _missing():
            continue
        names = [CPU]
        for device in devices_of(item.name):
            names.append(device.name)
            yield Finding(f"{item.name} on {device.name}", f"{device.model}, {device.driver}")
        yield from _agreement(item.name, names)


def _missing() -> set[str]:
    missing = set()
    for name in _OPTIONAL:
        try:
            version(name)
        except PackageNotFoundError:
            missing.add(name)
    return missing


def _agreement(backend: str, names: list[str]) -> Iterator[Finding]:
    """Compare every device, the processor too, with the processor."""
    reference = _computed(backend)
    for name in names:
        began = time.perf_counter()
        try:
            with devices.using(name):
                kernel, scores = _computed(backend)
        except Exception as error:
            yield Finding(f"{backend} on {name}", f"{type(error).__name__}: {error}".splitlines()[0], False)
            continue
        far = _far(kernel, reference[0]), _far(scores, reference[1])
        right = far == (0.0, 0.0) if name == CPU else far[0] <= _MEASURED and far[1] <= _TRAINED
        what = "the same twice" if name == CPU else "as the processor"
        yield Finding(
            f"{backend} on {name}",
            f"{what if right else 'not ' + what}: kernel {far[0]:.1e}, scores after training {far[1]:.1e} apart; "
            f"{time.perf_counter() - began:.1f} s",
            right,
        )


def _far(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def _computed(backend: str) -> tuple[Any, Any]:
    """Return a tangent kernel at initialization and the scores of a trained network."""
    from lebench.architectures import cnn
    from lebench.backends.base import Recipe

    split = registry.datasets.get("digits").split(0)
    x, y = split.x_train[:128], split.y_train[:128]
    fit: Callable[..., Any] = registry.backends.get(backend)().fit
    trained = fit(cnn(width=2), Recipe(epochs=3, lr=0.01, min_steps=0), x, y, 10, 0)
    start = trained.checkpoints()[0].fitted
    return start.gram(x[:16], x[:16]), trained.predict(split.x_test[:64])
