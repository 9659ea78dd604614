"""Runs that are interrupted, killed, or share a folder with another: nothing is lost and nothing done twice."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from processes import alive, wait_until

from lebench.runner.events import FitStarted
from lebench.runner.execution import execute

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(autouse=True)
def heard():
    """Let the signals be heard, here and in what is started, also if the tests were started so that they are ignored.

    ``nohup`` and a shell's jobs in the background do that, and a run leaves ignored what it finds ignored.
    """
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    ignored = [number for number in usual if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, usual[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_keeps_what_is_done_and_ends_the_workers(workshop, number):
    def interrupt(event):
        if isinstance(event, FitStarted) and event.job.seed == 1:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    plan = workshop.plan(seeds=range(4), seconds=0.2)
    summary = execute(plan, workshop.store, jobs=1, on_event=interrupt)
    assert (summary.interrupted, summary.done, summary.left) == (number.name, 1, 3)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    assert [record.cell.seed for record in workshop.store.load()] == [0]
    assert not any(alive(pid) for pid, _, _ in workshop.fits())
    assert execute(plan, workshop.store).reused == 1


def test_display_that_fails_leaves_no_worker_behind(workshop):
    def fail(event):
        if isinstance(event, FitStarted):
            raise RuntimeError("display")

    with pytest.raises(RuntimeError, match="display"):
        execute(workshop.plan(deed="hang"), workshop.store, on_event=fail)
    assert not any(alive(pid) for pid, _, _ in workshop.fits())


SCRIPT = """
import sys
import lebench
lebench.run(sys.argv[1], "toy/accuracy", seeds=8, results=sys.argv[2], plugins=[sys.argv[3]], jobs=2)
"""


def start(workshop, **parameters):
    command = [sys.executable, "-c", SCRIPT, workshop.spec(**parameters), str(workshop.folder), str(TOY)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_temporary_folder_with_a_long_path(workshop, tmp_path, monkeypatch):
    # Slurm and PBS have such; a socket's path has at most 108 bytes.
    folder = tmp_path / ("x" * 107)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    process = start(workshop)
    assert process.communicate(timeout=200)[1] == b""
    assert {record.status for record in workshop.store.load()} == {"ok"}


def test_terminal_that_is_closed_ends_the_run_and_keeps_what_is_done(workshop):
    command = [sys.executable, "-c", "from lebench.cli import main; main()", "run", "-m", workshop.spec(seconds=0.3)]
    command += ["-t", "toy/accuracy", "--seeds", "20", "-o", str(workshop.folder), "--plugin", str(TOY), "-j", "1"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    wait_until(lambda: len(workshop.fits()) >= 2)
    family = psutil.Process(pid).children(recursive=True)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) in (129, 130)
    wait_until(lambda: not any(alive(child.pid) for child in family))
    assert 1 <= len(workshop.store.load()) < 20


def test_worker_stuck_in_c_code_does_not_outlive_its_parent(workshop):
    process = start(workshop, deed="hang-in-c")
    wait_until(lambda: len(workshop.fits()) == 2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(alive(child.pid) for child in family))


def test_two_runs_on_one_folder(workshop):
    processes = [start(workshop, seconds=0.02) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=200)[1] == b""
        assert process.returncode == 0
    records = workshop.store.load()
    assert sorted(record.cell.seed for record in records) == list(range(8))
    assert sorted(seed for _, seed, _ in workshop.fits()) == list(range(8))
    assert {record.status for record in records} == {"ok"}
    assert not [path for path in workshop.folder.rglob("*") if path.suffix == ".tmp"]


def test_a_run_takes_over_what_another_leaves_behind_when_it_dies(workshop):
    first = start(workshop, seconds=1.0)
    wait_until(lambda: len(workshop.lines()) >= 1)
    second = start(workshop, seconds=1.0)
    wait_until(lambda: len(workshop.fits()) >= 5)
    family = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate()
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    assert second.communicate(timeout=200)[1] == b""
    assert second.returncode == 0
    assert sorted(record.cell.seed for record in workshop.store.load()) == list(range(8))


def test_what_another_run_has_done_meanwhile_is_counted_as_its(workshop):
    other = start(workshop)
    summary = execute(workshop.plan(seeds=range(8)), workshop.store, jobs=1)
    assert other.communicate(timeout=200)[1] == b""
    assert summary.done + summary.reused + summary.elsewhere == 8
    assert summary.left == 0
    assert len(workshop.fits()) == 8
