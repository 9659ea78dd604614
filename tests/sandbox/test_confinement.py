"""Code in the sandbox reaches nothing of the machine: each way out is tried, as root and as a user."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lebench.sandbox import confinement
from lebench.sandbox.confinement import Limits

PROBE = Path(__file__).with_name("probe.py")


def probed(sandbox, secret, port, abstract, pid):
    done = sandbox(PROBE.read_text() + f"\nmain({str(secret)!r}, {port}, {abstract!r}, {pid})")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def host(tmp_path):
    """What there is to reach: a secret file, a port, an abstract socket, a process."""
    secret = tmp_path / "secret"
    secret.write_text("token")
    port, abstract = socket.socket(), socket.socket(socket.AF_UNIX)
    port.bind(("127.0.0.1", 0))
    port.listen()
    name = f"lebench-{os.getpid()}"
    abstract.bind(f"\0{name}")
    abstract.listen()
    sleeper = subprocess.Popen(["sleep", "100"])
    yield secret, port.getsockname()[1], name, sleeper.pid
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()
    port.close()
    abstract.close()


def test_nothing_of_the_machine_is_within_reach(sandbox, host, monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    before = {
        path: path.read_text() for path in map(Path, ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname"))
    }
    found = probed(sandbox, *host)
    escaped = {way: what for way, what in found.items() if what is not None}
    assert escaped == {}
    # Each was really tried.
    assert len(found) >= 25
    assert {path: path.read_text() for path in before} == before


def test_the_same_ways_are_open_outside(host, tmp_path):
    """A probe that finds nothing anywhere would prove nothing."""
    code = (
        PROBE.read_text() + f"\nprint(json.dumps(tried(READING, {str(host[0])!r}, {host[1]}, {host[2]!r}, {host[3]})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    shut = sorted(way for way, what in found.items() if what is None)
    assert shut == []


def test_what_it_needs_is_there(sandbox):
    done = sandbox(
        "import lebench.kernels, torch, sklearn.svm, tempfile; tempfile.TemporaryFile().write(b'x'); print(1)"
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("b = bytearray(2**30)", Limits(memory=2**30)),
        ("open('/tmp/x', 'wb').write(bytes(2**21))", Limits(disk=2**20)),
        ("[open('/tmp/x%d' % i, 'wb').write(bytes(2**19)) for i in range(3)]", Limits(disk=2**20)),
        ("import os\nopen('/dev/shm/x', 'wb').write(bytes(2**21))", Limits(disk=2**20)),
        ("kept = [open('/dev/null') for _ in range(100)]", Limits(files=64)),
        ("import threading as t\nfor _ in range(99): t.Timer(9, int).start()", Limits(processes=20)),
        ("while True: pass", Limits(cpu_s=1)),
    ],
)  # fmt: skip
def test_what_it_may_use_is_limited(sandbox, code, limits):
    began = time.monotonic()
    assert sandbox(f"{code}\nprint('went on')", limits=limits).stdout == ""
    assert time.monotonic() - began < 60


def test_what_it_started_ends_with_who_asked(sandbox, tmp_path):
    mark = f"lebench-sandbox-mark-{os.getpid()}"
    inner = f"import time; time.sleep(99)  # {mark}"
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {inner!r}], start_new_session=True).wait()"
    asking = (
        "import subprocess, sys; from lebench.sandbox import confined; "
        f"subprocess.Popen(confined([sys.executable, '-c', {code!r}])).wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", asking])
    # The last one is the process that the sandbox started.
    wait_for(lambda: any(command[-1] == inner for command in marked(mark)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not marked(mark))


def marked(mark):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if process.pid != os.getpid() and any(mark in part for part in command):
                found.append(command)
    return found


def wait_for(holds):
    for _ in range(600):
        if holds():
            return
        threading.Event().wait(0.1)
    raise AssertionError("waited in vain")


def test_a_machine_without_namespaces_is_told_of(monkeypatch, tmp_path):
    confinement.why_not.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        assert confinement.why_not().startswith("bwrap is not installed")
        (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
        for tool in ("setpriv", "prlimit"):
            (tmp_path / tool).write_text("#!/bin/sh\n")
            (tmp_path / tool).chmod(0o755)
        (tmp_path / "bwrap").chmod(0o755)
        confinement.why_not.cache_clear()
        assert "does not let a user make namespaces" in confinement.why_not()
    finally:
        confinement.why_not.cache_clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_ordinary_user_it_is_the_same(host, tmp_path):
    """Where the interpreter is readable to others; here the system's own stands in for it."""
    secret, port, abstract, pid = host
    code = PROBE.read_text() + f"\nmain({str(secret)!r}, {port}, {abstract!r}, {pid})"
    system = [
        ("--ro-bind", "/usr", "/usr"),
        *(("--symlink", f"usr/{name}", f"/{name}") for name in ("bin", "lib", "lib64")),
    ]
    asking = (
        "import os, subprocess, sys\n"
        "from lebench.sandbox import confinement\n"
        "os.setgroups([]); os.setgid(12345); os.setuid(12345)\n"
        f"confinement._root = lambda readable: {[part for each in system for part in each]!r}\n"
        f"command = confinement.confined(['/usr/bin/python3', '-c', {code!r}])\n"
        "done = subprocess.run(command, capture_output=True, text=True)\n"
        "print(done.stdout or done.stderr)\n"
    )
    if not Path("/usr/bin/python3").exists():
        pytest.skip("the system has no interpreter of its own")
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=False)
    first = done.stdout.splitlines()[0] if done.stdout else done.stderr
    assert {way: what for way, what in json.loads(first).items() if what is not None} == {}
