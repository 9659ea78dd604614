"""What lebench itself costs: all CPU time of a run that is neither fitting nor scoring, as a share of the run.

The quick suite is that of ``make run``: every digits task, one model, three seeds. Counted is all from the start of
Python to the end of the last process: imports, planning, worker processes, supervision, records. CPU
seconds, because wall time on a shared machine says more of its other users. The limit is 10%.

    python benchmarks/overhead_bench.py [--model resnet] [--seeds 3] [--jobs 2]
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LIMIT = 0.10


def work(model, seeds, jobs, folder):
    """Run the suite in this process and print the CPU seconds of all fits, each once, and of all scores."""
    from lebench.runner.events import CellDone, FitDone
    from lebench.runner.execution import execute
    from lebench.runner.plan import make_plan
    from lebench.runner.store import Store

    fits = {}
    scores = 0.0

    def listen(event):
        nonlocal scores
        if isinstance(event, FitDone):
            key = next(v.key for v in event.cell.variants if v.name == event.variant)
            fits[event.job.label, event.job.dataset, event.job.seed, key] = event.cpu_s
        elif isinstance(event, CellDone) and event.record.status == "ok":
            cell = event.record.cell
            # A record counts its fits in full; what is left of its CPU time is the score's.
            scores += event.record.cost.cpu_s - sum(
                fits[event.record.label, cell.dataset, cell.seed, key] for key in used[cell.task]
            )

    plan = make_plan(["digits/*"], [model], range(seeds))
    used = {cell.cell.task: cell.fit_keys for cell in plan.cells}
    summary = execute(plan, Store(folder), jobs, on_event=listen)
    if summary.failures:
        raise SystemExit(f"{summary.failures[0].label}: {summary.failures[0].reason}")
    print(json.dumps({"fits": sum(fits.values()), "scores": scores, "cells": len(summary.records)}))


def measure(model, seeds, jobs):
    """Return CPU seconds of the fits, the scores and the whole family of processes, and the number of cells."""
    # The server of the workers outlives the run by a moment; as a subreaper this process gets to count it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--work", folder, "--model", model, "--seeds", str(seeds)]
        done = subprocess.run([*command, "--jobs", str(jobs)], check=True, capture_output=True, text=True)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout) | {"total": usage.ru_utime + usage.ru_stime}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.model, arguments.seeds, arguments.jobs, arguments.work)
        return 0
    spent = measure(arguments.model, arguments.seeds, arguments.jobs)
    overhead = spent["total"] - spent["fits"] - spent["scores"]
    share = overhead / spent["total"]
    print(f"{arguments.model}, {arguments.seeds} seeds, {spent['cells']} cells, CPU seconds:")
    for name, seconds in (("fitting", spent["fits"]), ("scoring", spent["scores"]), ("overhead", overhead)):
        print(f"  {name:9} {seconds:8.2f}  {seconds / spent['total']:6.1%}")
    print(f"  scoring / fitting {spent['scores'] / spent['fits']:.1%}")
    print(f"overhead is {share:.1%} of the run, the limit is {LIMIT:.0%}: {'held' if share < LIMIT else 'EXCEEDED'}")
    return 0 if share < LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
