"""The board at a size that it may have one day: 500 entries on 30 tasks with ten seeds.

Entries are synthetic: a model has a quality and something in common with each task, seeds move all models alike and
each by itself, and a fifth of the cells outside of the core is missing. What each model got right at 1,000 test points
is known for every task and value. Half of the tasks are core. Measured are the CPU seconds of aggregating them (scores,
ranks of tasks and of three tracks) and of writing board.json, board.csv and board.parquet, and the largest resident
memory of the process, the entries included. The limits are 30 s and 1 GB.

    python benchmarks/board_bench.py [--entries 500] [--tasks 30] [--seeds 10] [--values 5] [--points 1000] [--profile]
"""

import argparse
import cProfile
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

from timing import single_thread

single_thread()

import numpy as np  # noqa: E402

from lebench import registry  # noqa: E402
from lebench.board import Entry, EntryInfo, TaskPoints, make_board, write_board, write_tables  # noqa: E402
from lebench.data.base import Variant  # noqa: E402
from lebench.records import Cell, Cost, Environment, Record, RunInfo, Source  # noqa: E402
from lebench.tasks.base import TRACKS, Task  # noqa: E402
from lebench.tasks.facts import Share, test  # noqa: E402

LIMIT_S, LIMIT_BYTES = 30.0, 1e9
MACHINE = Environment(lebench="0.1.0", python="3.11", packages={}, os="Linux", cpu="two cores", gpu=None, threads=1)


def make_tasks(count, values):
    """Register tasks in all tracks, with the accuracy at several sizes as their values."""
    names = tuple(f"accuracy@n={100 * (i + 1)}" for i in range(values))
    tasks = [
        Task(
            name=f"synthetic/{i:02}",
            track=TRACKS[i % len(TRACKS)],
            summary="A synthetic task",
            reference="none",
            version=1,
            dataset="digits",
            needs=("predict",),
            primary=names[0],
            metrics=names,
            score=lambda fits: {},
            variants=tuple(Variant(name.partition("@")[2]) for name in names),
            suite="core" if i % 2 else "explore",
            facts=(Share(test, names),),
        )
        for i in range(count)
    ]
    for task in tasks:
        registry.tasks.register(task.name, task, tags=(task.track,))
    return tasks


def make_entries(count, tasks, seeds, seed=0):
    """Return entries with a known order: the first is the best."""
    rng = np.random.default_rng(seed)
    quality = np.linspace(0.9, 0.5, count)
    shared = rng.normal(0, 0.01, (len(tasks), seeds))
    for i in range(count):
        label = f"model-{i:03}"
        records = []
        for t, task in enumerate(tasks):
            if task.suite != "core" and rng.random() < 0.2:
                continue
            own = quality[i] + rng.normal(0, 0.03)
            for s in range(seeds):
                cell = Cell(
                    task=task.name,
                    task_version=1,
                    dataset="digits",
                    dataset_version=1,
                    dataset_sha256="d" * 64,
                    model=label,
                    model_version=1,
                    params={"width": 64},
                    backend="torch",
                    backend_version=1,
                    precision="float32",
                    seed=s,
                )
                drawn = np.clip(own + shared[t, s] + rng.normal(0, 0.005, len(task.metrics)), 0, 1)
                records.append(
                    Record(
                        schema=2,
                        cell=cell,
                        track=task.track,
                        label=label,
                        status="ok",
                        metrics=dict(zip(task.metrics, drawn.tolist(), strict=True)),
                        cost=Cost(fit_s=1.0, score_s=0.1, cpu_s=1.1, peak_memory_bytes=300_000_000, fits=1),
                        environment=MACHINE,
                        source=Source(commit="0" * 40, dirty=False),
                        run=RunInfo(started="2026-01-01T00:00:00Z", finished="2026-01-01T00:00:03Z", command="none"),
                    )
                )
        info = EntryInfo(name=label, model=label, authors=["A. Author"], lebench="0.1.0", command="none")
        yield Entry(info, tuple(records), Path(label))


def make_points(entries, tasks, count, seeds, seed=0):
    """Return what entries got right at test points; tasks of a track share them, as tasks on the same data do."""
    rng = np.random.default_rng(seed)
    made = {}
    for task in tasks:
        ids = np.arange(count, dtype=np.uint32) + count * TRACKS.index(task.track)
        hard = rng.normal(0, 0.2, count)
        of_entries = {}
        for entry in entries:
            if any(record.cell.task == task.name for record in entry.records):
                likely = np.clip(np.mean([r.metrics[task.primary] for r in entry.records]) + hard, 0, 1)
                of_entries[entry.name] = {
                    seed: {
                        (variant.name, "accuracy"): (rng.random(count) < likely).astype(np.uint8)
                        for variant in task.variants
                    }
                    for seed in range(seeds if task.suite == "core" else 1)
                }
        made[task.name] = TaskPoints(
            overlap=1.0,
            ids=dict.fromkeys(range(seeds), dict.fromkeys((variant.name for variant in task.variants), ids)),
            of_entries=of_entries,
            sums=dict.fromkeys(of_entries, frozenset(task.metrics)),
        )
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("entries", 500),
        ("tasks", 30),
        ("seeds", 10),
        ("values", 5),
        ("points", 1000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, help="a folder to keep what is written")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    asked = parser.parse_args()
    tasks = make_tasks(asked.tasks, asked.values)
    entries = list(make_entries(asked.entries, tasks, asked.seeds))
    points = make_points(entries, tasks, asked.points, asked.seeds) if asked.points else {}
    records = sum(len(entry.records) for entry in entries)
    print(f"{len(entries)} entries, {records} records, {asked.points} test points")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    profile = cProfile.Profile()
    start = time.process_time()
    if asked.profile:
        profile.enable()
    board = make_board(entries, points=points)
    profile.disable()
    made = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        folder = asked.out or Path(folder)
        write_board(board, folder / "board.json")
        written = time.process_time()
        write_tables(board, folder)
        tables = time.process_time()
        sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("board.*"))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if asked.profile:
        pstats.Stats(profile).sort_stats("cumtime").print_stats(25)
    for name, seconds in (("aggregate", made - start), ("board.json", written - made), ("tables", tables - written)):
        print(f"  {name:11} {seconds:6.1f} CPU s")
    print("  " + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
    print(f"  memory: {peak / 1e9:.2f} GB at most, {before / 1e9:.2f} GB of it entries before")
    for ranking in board.rankings:
        order = [rank.entry for rank in ranking.ranks]
        moved = np.abs(np.argsort(np.argsort(order)) - np.arange(len(order)))
        off = f"off by {np.median(moved):.0f} in the median, {moved.max()} at most" if order else "none"
        print(
            f"  {ranking.track}: {ranking.decided or 0:.0%} of pairs told apart; ranks against the planted order: {off}"
        )
    held = tables - start < LIMIT_S and peak < LIMIT_BYTES
    print(f"the limits are {LIMIT_S:.0f} s and {LIMIT_BYTES / 1e9:.0f} GB: {'held' if held else 'EXCEEDED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
