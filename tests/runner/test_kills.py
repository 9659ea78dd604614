"""Processes killed at any moment, inside a write too: no finished record is lost, and none is damaged."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import psutil
import pytest
from stored import make

from lebench.runner.execution import execute
from lebench.runner.store import RecordWarning, Store

TOY = Path(__file__).with_name("toy.py")
RUN = """
import sys
import lebench
lebench.run(sys.argv[1], "toy/accuracy", seeds=int(sys.argv[4]), results=sys.argv[2], plugins=[sys.argv[3]], jobs=2)
"""


def read(folder):
    """Return all records of a folder; a line that was cut off by a death is no surprise."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "line .* was cut off", RecordWarning)
        return Store(folder).load()


def die_inside_a_write(folder, last, draw):
    """Put records in a process that dies after some bytes; return the seeds whose records were said to be put."""
    reader, writer = os.pipe()
    left = draw.randrange(1, 10 * last)
    child = os.fork()
    if child == 0:
        write = os.write

        def dying(file, data):
            nonlocal left
            if len(data) >= left:
                write(file, bytes(data)[:left])
                os.kill(os.getpid(), signal.SIGKILL)
            left -= len(data)
            return write(file, data)

        os.write = dying
        store = Store(folder)
        for _ in range(20):
            seed = draw.randrange(10**9)
            store.put(make(seed=seed))
            write(writer, b"%d\n" % seed)
    os.close(writer)
    with os.fdopen(reader) as said:
        seeds = {int(line) for line in said}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    return seeds


def die_in_a_run(workshop, seeds, whom, draw):
    """Kill a run or one of its workers after some of its cells are done; what it recorded until then is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, workshop.spec(seconds=0.05), str(workshop.folder), str(TOY), str(seeds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = len(workshop.lines())
    more, deadline = draw.randint(1, 2), time.monotonic() + 300
    while len(workshop.lines()) < before + more and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(draw.random() * 0.1)
    done = [line for line in workshop.lines() if line.endswith("}")]
    family = []
    try:
        family = psutil.Process(process.pid).children(recursive=True)
        (draw.choice(family) if whom == "worker" and family else psutil.Process(process.pid)).kill()
    except psutil.NoSuchProcess:
        pass
    if whom == "worker":
        time.sleep(draw.random())
        process.kill()
    process.communicate()
    for child in psutil.wait_procs(family, timeout=10)[1]:
        child.kill()
    return done


def campaign(tmp_path, workshop, writes, runs, seeds, seed):
    draw = random.Random(seed)
    store = Store(tmp_path / "written")
    store.prepare()
    length = len(make().to_json())
    said = set()
    for _ in range(writes):
        said |= die_inside_a_write(store.folder, length, draw)
        found = read(store.folder)
        assert said <= {record.cell.seed for record in found}
        assert all(record.intact for record in found)
    assert said

    for number in range(runs):
        done = die_in_a_run(workshop, seeds, ("parent", "worker")[number % 2], draw)
        assert set(done) <= set(workshop.lines())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        summary = execute(workshop.plan(seeds=range(seeds), seconds=0.05), workshop.store)
    assert summary.left == 0
    good = [record for record in read(workshop.folder) if record.status == "ok"]
    assert sorted({record.cell.seed for record in good}) == list(range(seeds))
    # Nothing was computed twice that had been recorded.
    assert len(good) == seeds


def test_no_kill_loses_or_damages_a_record(tmp_path, workshop):
    campaign(tmp_path, workshop, writes=15, runs=2, seeds=15, seed=0)


@pytest.mark.slow
def test_two_hundred_kills_lose_and_damage_none(tmp_path, workshop):
    campaign(tmp_path, workshop, writes=150, runs=50, seeds=400, seed=1)
