"""Claims: one of two processes has a cell, until it lets go or dies."""

import errno
import hashlib
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from lebench.runner.claims import Locks

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]

OTHER = """
import sys
from pathlib import Path
from lebench.runner.claims import Locks
locks = Locks(Path(sys.argv[1]))
print(*(int(locks.take(key)) for key in sys.argv[2:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "claims"
    made.touch()
    return made


@pytest.fixture
def other(file):
    """Start a process that claims cells and waits; return it and what it got."""
    started = []

    def start(*keys):
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER, file, *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, [bool(int(word)) for word in process.stdout.readline().split()]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_cell_is_of_one_process_until_it_is_released(file, other):
    with closing(Locks(file)) as locks:
        assert locks.take(KEYS[0])
        # A job that goes on after a crash takes its cells again.
        assert locks.take(KEYS[0])
        assert other(*KEYS[:2])[1] == [False, True]
        assert not locks.take(KEYS[1])
        locks.release(KEYS[0])
        assert other(KEYS[0])[1] == [True]
        assert not locks.take(KEYS[0])
    assert file.read_bytes() == b""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_death_releases_all_cells(file, other, end):
    process, got = other(*KEYS)
    assert got == [True] * 3
    with closing(Locks(file)) as locks:
        assert not any(locks.take(key) for key in KEYS)
        process.send_signal(end)
        process.communicate()
        assert all(locks.take(key) for key in KEYS)


def test_stopped_process_keeps_its_cells(file, other):
    process, _ = other(KEYS[0])
    process.send_signal(signal.SIGSTOP)
    with closing(Locks(file)) as locks:
        assert not locks.take(KEYS[0])
        process.send_signal(signal.SIGCONT)


def test_where_there_are_no_locks_everybody_has_every_cell(file, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    with closing(Locks(file)) as locks:
        monkeypatch.setattr("lebench.runner.claims.fcntl.lockf", refuse)
        assert locks.take(KEYS[0])
        locks.release(KEYS[0])
        monkeypatch.setattr("lebench.runner.claims.fcntl", None)
        assert locks.take(KEYS[1])
        locks.release(KEYS[1])
