"""``lebench run``: plan, watch, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lebench import registry
from lebench.cli import placing, planning, reading
from lebench.cli.progress import cells, display
from lebench.errors import LebenchError, ParameterError
from lebench.models.objects import with_checkpoints
from lebench.runner.current import current
from lebench.runner.execution import Summary, execute
from lebench.runner.plan import Plan, make_plan
from lebench.runner.shares import Shard, parse_seeds
from lebench.runner.store import Store

if TYPE_CHECKING:
    from rich.console import Console

_INTERRUPTED = 130


def run(
    *,
    models: Sequence[str],
    tasks: Sequence[str],
    datasets: Sequence[str],
    seeds: str,
    shard: str | None,
    backend: str | None,
    jobs: int | None,
    results: Path,
    force: bool,
    dry_run: bool,
    check_determinism: bool,
    keep_fits: bool,
    device: str,
    time_limit: float,
    memory_limit: float | None,
    entries: Path | None,
    checkpoints: Sequence[Path] = (),
    builder: str | None = None,
    cluster: str | None = None,
) -> int:
    """Run cells and print how they did; return the exit code."""
    part = None if shard is None else Shard.parse(shard)
    chosen = _models(models, checkpoints, builder)
    plan = make_plan(tasks, chosen, parse_seeds(seeds), backend, shard=part, ask=datasets)
    console = reading.make_console()
    store = Store(results)
    if dry_run:
        planning.show(plan, store, force, jobs, entries, console)
        _explain_skipped(plan, console)
        return 0
    if part and not plan.jobs:
        console.print(f"there is nothing to compute in shard {shard}", highlight=False, markup=False)
        return 0
    if not plan.jobs:
        first, *others = plan.skipped
        more = f" (and {len(others)} more cells like it)" if others else ""
        raise LebenchError(f"nothing is left to run: {first.label} on {first.cell.task} {first.unmet}{more}")
    _explain_skipped(plan, console)
    memory = None if memory_limit is None else round(memory_limit * 1e9)
    with display(console) as on_event:
        summary = execute(
            plan,
            store,
            jobs,
            force,
            time_limit,
            memory,
            on_event,
            check_determinism=check_determinism,
            keep_fits=keep_fits,
            cluster=cluster,
            device=device,
        )
    if summary.done or summary.reused or summary.elsewhere:
        console.print()
        labels = list(dict.fromkeys(cell.label for cell in plan.cells))
        # Of what was asked for: the folder may have records of these models by other versions.
        records = reading.say(current(store.load(keys=(cell.cell.key for cell in plan.cells))))
        reading.report(labels, records, entries, console)
        placing.report(labels, store, console)
    return conclude(summary, results, console)


def _models(models: Sequence[str], checkpoints: Sequence[Path], builder: str | None) -> object:
    if not (models or checkpoints):
        raise ParameterError(
            "give a --model, or a --checkpoint of your own with its --builder; see 'lebench run --help'"
        )
    return with_checkpoints(models, checkpoints, builder)


def _explain_skipped(plan: Plan, console: Console) -> None:
    # What the data cannot answer is said once, whatever the models.
    refusals = {cell.cell.task: registry.tasks.get(cell.cell.task).refusal for cell in plan.skipped}
    reasons = Counter(
        ("" if refusals[cell.cell.task] else f"{cell.label} on ", cell.cell.task, cell.unmet) for cell in plan.skipped
    )
    for label, task, reason in sorted(reasons, key=str):
        console.print(f"skipped: {label}{task}: {reason}", style="dim", highlight=False, markup=False)
    for reason in dict.fromkeys(reason for _, reason in plan.unavailable):
        tasks = ", ".join(task for task, why in plan.unavailable if why == reason)
        console.print(f"skipped: {tasks}: {reason}", style="yellow", highlight=False, markup=False)


def conclude(summary: Summary, results: Path, console: Console) -> int:
    """Say how a run ended; return the exit code."""
    parts = [f"{cells(summary.done)} computed", f"{summary.reused} known from before"]
    if summary.elsewhere:
        parts.append(f"{summary.elsewhere} by another run at the same time")
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    console.print(f"{', '.join(parts)} in {summary.wall_s:.0f} s; records in {results}/", highlight=False, markup=False)
    for record in summary.failures:
        console.print(
            f"{record.status}: {record.label} on {record.cell.task}, seed {record.cell.seed}: {record.reason}",
            style="red",
            highlight=False,
            markup=False,
        )
    if summary.interrupted:
        console.print(f"interrupted: {cells(summary.left)} left; the same command goes on from here", style="yellow")
        return _INTERRUPTED
    return 1 if summary.failures else 0
