"""Where a record was made: machine, software, and the state of the code."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from lebench.records import Environment, Source

#: Packages whose version may change a number.
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "neural-tangents")

#: A worker computes with one thread: two processes with one each beat one process with two, and sums are reproducible.
THREADS = 1

_PACKAGE = Path(__file__).resolve().parents[1]


@functools.cache
def lebench_version() -> str:
    """Return the version of lebench that is installed."""
    return _version("lebench") or "unknown"


@functools.cache
def environment(imported: frozenset[str] = frozenset()) -> Environment:
    """Describe the machine and the software without importing a framework.

    Parameters
    ----------
    imported : frozenset of str
        Names of further packages whose versions count, as they are imported: those that plug-ins need.
    """
    known = packages_distributions() if imported else {}
    further = {distribution for name in imported for distribution in known.get(name, ())} - {"lebench"}
    return Environment(
        lebench=lebench_version(),
        python=platform.python_version(),
        packages={name: found for name in (*PACKAGES, *sorted(further)) if (found := _version(name))},
        os=platform.platform(),
        cpu=_cpu(),
        gpu=_gpu(),
        threads=THREADS,
    )


@functools.cache
def source() -> Source:
    """Return the state of the code that runs; commit and dirty are unknown if it is no checkout."""
    code = _code()
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != _PACKAGE.parent:
        return Source(commit=None, dirty=None, code=code)
    # Only the code counts: results that wait to be committed do not make it another code.
    changes = _git("status", "--porcelain", "--", str(_PACKAGE))
    return Source(commit=_git("rev-parse", "HEAD"), dirty=None if changes is None else bool(changes), code=code)


def cores() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _code() -> str:
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(_PACKAGE).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpu() -> str | None:
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("Model:"):
                return line.split(":", 1)[1].strip()
    return None
