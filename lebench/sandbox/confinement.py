"""The command line of a sandbox: bubblewrap with a root that holds an interpreter, its packages, and nothing else.

Namespaces of its own for mounts, network, processes, IPC, host name, control groups and users; own /dev, /proc, /run
and /tmp; no /sys, no socket of the host; always an unprivileged user, also where root asks. Root cannot hand a folder
that only root may enter to another user by its path, so root first lays out the new root, steps down, and lets a second
bubblewrap make the namespaces.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lebench.runner.processes import VARIABLES

#: The user and group "nobody".
_NOBODY = "65534"
_TOOLS = ("bwrap", "setpriv", "prlimit")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
#: Folders of packages that hold data sets, labels of test points among them.
_DATA = ("sklearn/datasets/data", "sklearn/datasets/images", "statsmodels/datasets", "vega_datasets/_data")


@dataclass(frozen=True)
class Limits:
    """What a sandbox may use, set as resource limits of each of its processes.

    Attributes
    ----------
    cpu_s : int
        Seconds of CPU time.
    memory : int
        Bytes of address space.
    disk : int
        Bytes in each of its folders, which lie in memory, and of each file.
    files, processes : int
        Open files, and processes and threads together.
    """

    cpu_s: int = 4 * 60 * 60
    memory: int = 12 * 2**30
    disk: int = 256 * 2**20
    files: int = 256
    processes: int = 128


def confined(command: Sequence[str], readable: Sequence[Path] = (), limits: Limits | None = None) -> list[str]:
    """Return the command line that runs a command in a sandbox.

    Parameters
    ----------
    command : sequence of str
        What to run; it finds the interpreter of this process and its packages, but for data sets.
    readable : sequence of path
        Files and folders that it may read besides, at their own places.
    limits : Limits, optional
        What it may use.

    Returns
    -------
    list of str
        It ends with this process, and everything that it started with it.
    """
    limits = limits or Limits()
    size = ("--size", str(limits.disk))
    spaces = [
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup-try", "--disable-userns", "--uid", _NOBODY, "--gid", _NOBODY),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
        *("--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
        *(*size, "--tmpfs", "/run", "--chdir", "/tmp"),
        *(part for name, value in _variables().items() for part in ("--setenv", name, value)),
    ]
    own = [
        "prlimit",
        *(f"--cpu={limits.cpu_s}", f"--as={limits.memory}", f"--fsize={limits.disk}", "--core=0"),
        *(f"--nofile={limits.files}", f"--nproc={limits.processes}", "--", *command),
    ]
    # Before the rest, parts of which may lie in it.
    root = ["--perms", "1777", *size, "--tmpfs", "/tmp", *_root(readable)]
    if os.geteuid() != 0:
        return ["bwrap", *root, *spaces, "--", *own]
    step_down = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"]
    # The inner one writes its map of users under /proc, then hides that behind its own. Who steps down no longer hears
    # that its parent has died; the first process of the outer one, still root, does, and takes the rest along.
    laid_out = [*root, "--bind", "/proc", "/proc", "--dev", "/dev", "--dir", "/run", "--", *step_down]
    return [
        "bwrap",
        "--unshare-pid",
        "--die-with-parent",
        *laid_out,
        "bwrap",
        "--ro-bind",
        "/",
        "/",
        "--bind",
        "/tmp",
        "/tmp",
        *spaces,
        "--",
        *own,
    ]


@functools.cache
def why_not() -> str:
    """Return why no sandbox can be made here, empty if one can; it is tried."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{missing[0]} is not installed; on Debian the packages bubblewrap and util-linux have it"
    done = subprocess.run(confined(["true"]), capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        return f"this system does not let a user make namespaces of its own ({said})"
    return ""


def _variables() -> dict[str, str]:
    here = str(Path(__file__).resolve().parents[2])
    fixed = {
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**fixed, "NUMBA_CACHE_DIR": "/tmp/numba", "PYTHONPATH": here, "PYTHONSAFEPATH": "1", **VARIABLES}


def _root(readable: Sequence[Path]) -> Iterator[str]:
    """Yield the options that lay out the root: system, interpreter, packages, and what is readable besides."""
    package = Path(__file__).resolve().parents[1]
    paths = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    libraries = paths | {path.resolve() for path in paths}
    prefixes = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix)}
    shown = {Path(os.path.abspath(path)) for path in (*prefixes, *libraries, package, *readable)}
    made: set[Path] = set()
    for system in map(Path, _SYSTEM):
        if system.is_symlink():
            yield from ("--symlink", os.readlink(system), str(system))
        elif system.exists():
            yield from ("--ro-bind", str(system), str(system))
    for path in sorted(shown):
        if any(path.is_relative_to(other) for other in (*made, Path("/usr"))):
            continue
        for parent in reversed(path.parents[:-1]):
            # Made here, so that the user below may enter it whatever the rights of the one that it stands for.
            yield from ("--perms", "0755", "--dir", str(parent))
        yield from ("--ro-bind", str(path), str(path))
        made.add(path)
    for folder in (library / name for library in sorted(libraries) for name in _DATA):
        if folder.is_dir():
            yield from ("--tmpfs", str(folder), "--remount-ro", str(folder))
    for file in sorted((package / "data").glob("*.npz")):
        yield from ("--ro-bind", "/dev/null", str(file))
