"""``lebench baselines``: the models that lebench itself puts on the leaderboard, on which tasks, and their entries.

Which models stand on a task is declared by the task, see :mod:`lebench.tasks.baselines`.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lebench import board, registry
from lebench.board.costs import recorded_costs
from lebench.cli import reading
from lebench.cli.planning import duration
from lebench.cli.progress import display
from lebench.cli.running import conclude
from lebench.errors import LebenchError
from lebench.models.spec import expand
from lebench.reading import sources
from lebench.runner.execution import execute
from lebench.runner.plan import Job, Plan, make_plan
from lebench.runner.shares import Shard
from lebench.runner.store import Store
from lebench.verify import FEWEST_SEEDS

if TYPE_CHECKING:
    from rich.console import Console

#: Seeds that every baseline should have, and that it has on the core suite at most.
SEEDS, MOST_SEEDS = 5, 10


@cache
def stand() -> dict[str, tuple[str, ...]]:
    """Return the names of the tasks on which each model stands, by its specification."""
    found: dict[str, list[str]] = defaultdict(list)
    for item in registry.tasks.items():
        # What was asked of further data in this process is not lebench's own.
        if item.target.startswith("lebench.tasks."):
            for label in dict.fromkeys(x for each in registry.tasks.get(item.name).baselines for x in expand(each)):
                found[label].append(item.name)
    return {label: tuple(names) for label, names in found.items()}


def whole_plan(seeds: int, folder: Path) -> Plan:
    """Return the plan of all baselines, the jobs that cost most first, as entries in a folder say.

    Raises
    ------
    LebenchError
        If the data of a task are not there.
    """
    costs = recorded_costs(folder)
    plans = [make_plan(tasks, [label], range(seeds)) for label, tasks in stand().items()]
    for plan in plans:
        if plan.unavailable:
            raise LebenchError(f"the baselines need every task: {plan.unavailable[0][1]}")

    def expected(job: Job) -> float:
        return sum(costs.expected(job.label, cell.cell.task)[0] or 0.0 for cell in job.cells)

    return Plan(
        tuple(sorted((job for plan in plans for job in plan.jobs), key=expected, reverse=True)),
        tuple(cell for plan in plans for cell in plan.skipped),
        tuple(dict.fromkeys(plugin for plan in plans for plugin in plan.plugins)),
        tuple(sorted({module for plan in plans for module in plan.modules})),
    )


def baselines(
    *, jobs: int | None, results: Path, entries: Path | None, seeds: int = SEEDS, shard: str | None, plan: bool
) -> int:
    """Bring the baselines up to date and write their entries; return the exit code.

    Parameters
    ----------
    jobs : int, optional
        Worker processes.
    results, entries : Path
        Store of the runs, and folder of the entries.
    seeds : int
        Seeds that are run where they are not there yet; records of further seeds up to :data:`MOST_SEEDS` are kept.
    shard : str, optional
        ``"2/8"``: run this share of the jobs only, and write no entries.
    plan : bool
        Only print what there is to do.

    Raises
    ------
    LebenchError
        If there are too few or too many seeds, or the data of a task are not there.
    """
    if not FEWEST_SEEDS <= seeds <= MOST_SEEDS:
        raise LebenchError(f"--seeds of baselines lies between {FEWEST_SEEDS} and {MOST_SEEDS}, not {seeds}")
    folder = sources.folder_of_clone(entries)
    share = None if shard is None else Shard.parse(shard)
    console = reading.make_console()
    store = Store(results)
    whole = whole_plan(MOST_SEEDS, folder)
    asked = _part(whole, seeds, share)
    if plan:
        _show(asked, store, folder, console)
        return 0
    store.prepare()
    _take_from_entries(whole, folder, store)
    with display(console) as on_event:
        summary = execute(asked, store, jobs, on_event=on_event, command="lebench baselines")
    if summary.interrupted or summary.failures or share is not None:
        return conclude(summary, results, console)
    _write(whole, store, folder, console)
    return 0


def _part(plan: Plan, seeds: int, shard: Shard | None) -> Plan:
    """Return the first seeds of a plan, or a share of them."""
    found = {(job.label, job.backend, job.dataset, job.seed): job for job in plan.jobs if job.seed < seeds}
    skipped = tuple(cell for cell in plan.skipped if cell.cell.seed < seeds)
    if shard is not None:
        mine = shard.of(found)
        found = {group: job for group, job in found.items() if group in mine}
        # These cost nothing.
        skipped = skipped if shard.number == 1 else ()
    return Plan(tuple(found.values()), skipped, plan.plugins, plan.modules)


def _show(plan: Plan, store: Store, folder: Path, console: Console) -> None:
    """Print what each model costs on each dataset, the dearest first, and how much of it is there."""
    there = {record.cell.key for entry in board.read_entries(folder) for record in entry.records}
    there |= store.known(cell.cell.key for cell in plan.cells)
    costs = recorded_costs(folder)
    groups: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in plan.jobs:
        groups[job.label, job.dataset].append(job)
    shown = reading.make_table(
        "Plan of the baselines", ("model", "data", "tasks", "seeds", "current", "a seed", "left")
    )
    rows, unknown = [], 0
    for (label, dataset), jobs in groups.items():
        cells = [cell.cell for job in jobs for cell in job.cells]
        times = {cell.task: costs.expected(label, cell.task)[0] for cell in cells}
        missing = [cell for cell in cells if cell.key not in there]
        left = sum(times[cell.task] or 0.0 for cell in missing)
        unknown += sum(times[cell.task] is None for cell in missing)
        of_seed = sum(seconds or 0.0 for seconds in times.values())
        current = f"{len(cells) - len(missing)} of {len(cells)}"
        rows.append((left, of_seed, (label, dataset, str(len(times)), str(len(jobs)), current)))
    for left, of_seed, texts in sorted(rows, reverse=True):
        reading.add_row(shown, *texts, duration(of_seed), duration(left) if left else "–")
    console.print(shown)
    total = f"about {duration(sum(left for left, _, _ in rows))} left as if each cell were computed alone"
    total += f"; of {unknown} cells the time is not known" if unknown else ""
    console.print(total, highlight=False, markup=False, soft_wrap=True)


def _write(plan: Plan, store: Store, folder: Path, console: Console) -> None:
    """Write the entries of all models."""
    by_key = {record.cell.key: record for record in store.load()}
    written = 0
    for label, tasks in stand().items():
        keys = dict.fromkeys(cell.cell.key for cell in plan.cells if cell.label == label)
        records = [by_key[key] for key in keys if key in by_key]
        asked = " ".join(f"--task {task}" for task in tasks)
        meta = board.EntryInfo(
            schema=1,
            name=board.entry_name(label),
            model=label,
            summary=registry.models.item(label.split("[")[0]).summary,
            authors=["The lebench developers"],
            lebench=records[0].environment.lebench,
            command=f"lebench run --model {shlex.quote(label)} {asked} --seeds {max(r.cell.seed for r in records) + 1}",
        )
        arrays = {record.cell.key: store.artifacts(record) for record in records}
        recordings = {record.cell.key: store.recording(record) for record in records}
        board.write_entry(folder, meta.name, records, meta, arrays, recordings)
        written += len(records)
    console.print(f"{written} records of {len(stand())} entries stand in {folder}")


def _take_from_entries(plan: Plan, folder: Path, store: Store) -> None:
    """Put into the store what the entries hold and the code still stands for: it need not be made again."""
    planned = {cell.cell.key: cell for cell in plan.cells}
    for entry in board.read_entries(folder) if folder.is_dir() else []:
        for record in entry.records:
            cell = planned.get(record.cell.key)
            if cell is not None and not store.has(record.cell):
                files = (entry.artifacts_path(record), entry.recording_path(record))
                pictured, recorded = (path.read_bytes() if path.is_file() else b"" for path in files)
                store.put(record, arrays=pictured, recording=recorded)
