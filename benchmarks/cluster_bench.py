"""What a cluster costs and how it scales, with models that wait: scheduler and workers are processes of this machine.

Overhead: the same cells on two local workers and on two of Dask's, in turn, from the first start of a job to the last
record, so that start-up does not count. Cells are shorter than those that count: what Dask adds to one does not depend
on how long it takes. Scaling: many workers, here threads of a few processes, each with a cell at a time in a process of
its own; how many without any cost they are worth. A process takes some tenths of a CPU second to start, which all of
them share here, so cells must not be short.

    python benchmarks/cluster_bench.py [--cells 100] [--seconds 0.2] [--rounds 5]
    python benchmarks/cluster_bench.py --scaling [--workers 64] [--cells 192] [--seconds 40]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

PLUGIN = """
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import lebench


class Fitted:
    def predict(self, x):
        return np.zeros((len(x), 10))


@lebench.register_model("waits")
@dataclass(frozen=True)
class Waits:
    seconds: float = 1.0

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})

    def fit(self, split, seed):
        time.sleep(self.seconds)
        return Fitted()
"""
#: Share of a cell of so many seconds that Dask may cost in addition.
LIMIT, CELL_S = 0.05, 2.0


@contextmanager
def cluster(folder, processes, threads):
    """Yield the address of a cluster."""
    file = folder / "scheduler.json"
    common = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    options = ["--scheduler-file", str(file)]
    every = [[*dask, "distributed.cli.dask_scheduler", "--port", "0", "--dashboard-address", ":0", *options]]
    worker = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
    every += [[*dask, "distributed.cli.dask_worker", *options, *worker]] * processes
    running = [subprocess.Popen(command, **common) for command in every]
    try:
        from distributed import Client

        while not file.exists():
            time.sleep(0.1)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(processes)
            address = client.scheduler.address
        yield address
    finally:
        for process in running:
            process.terminate()
            process.wait()


def measure(folder, cells, seconds, **where):
    """Return the seconds from the first start of a job to the last record."""
    from lebench.runner.events import CellDone, JobStarted
    from lebench.runner.execution import execute
    from lebench.runner.plan import make_plan
    from lebench.runner.store import Store

    began = ended = 0.0

    def listen(event):
        nonlocal began, ended
        now = time.perf_counter()
        if isinstance(event, JobStarted):
            began = began or now
        elif isinstance(event, CellDone):
            ended = now

    plugin = folder / "waits.py"
    plugin.write_text(PLUGIN)
    plan = make_plan(["digits/accuracy"], [f"waits[seconds={seconds}]"], range(cells), plugins=[plugin])
    with tempfile.TemporaryDirectory(dir=folder) as results:
        summary = execute(plan, Store(results), on_event=listen, **where)
    if summary.done != cells:
        raise SystemExit(f"{cells - summary.done} cells failed: {summary.failures[0].reason}")
    return ended - began


def overhead(folder, cells, seconds, rounds):
    """Print what two workers of Dask's cost in addition to two local ones; return whether it is within the limit."""
    with cluster(folder, 2, 1) as address:
        # What every worker imports once.
        measure(folder, 4, 0.01, cluster=address)
        pairs = [
            (measure(folder, cells, seconds, jobs=2), measure(folder, cells, seconds, cluster=address))
            for _ in range(rounds)
        ]
    added = [2 * (dask - local) / cells for local, dask in pairs]
    for (local, dask), more in zip(pairs, added, strict=True):
        print(f"  local {local:7.2f} s   dask {dask:7.2f} s   {1000 * more:+6.1f} ms a cell")
    share = statistics.median(added) / CELL_S
    print(f"{cells} cells of {seconds:g} s on 2 workers, added to one of {CELL_S:g} s: {share:+.1%} of {LIMIT:.0%}")
    return share <= LIMIT


def scaling(folder, workers, cells, seconds):
    """Print how many workers a cluster of so many is worth."""
    processes = 4
    with cluster(folder, processes, workers // processes) as address:
        measure(folder, workers, 0.01, cluster=address)
        spent = measure(folder, cells, seconds, cluster=address)
    worth = cells * seconds / spent
    print(f"{cells} cells of {seconds:g} s on {workers} workers: {spent:.1f} s, as {worth:.1f} would without any cost")
    return True


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.scaling:
            within = scaling(Path(folder), arguments.workers, arguments.cells or 192, arguments.seconds or 40)
        else:
            within = overhead(Path(folder), arguments.cells or 100, arguments.seconds or 0.2, arguments.rounds)
    return int(not within)


if __name__ == "__main__":
    raise SystemExit(main())
