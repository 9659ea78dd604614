"""``lebench run --dry-run``: what would be done, as a grid of tasks and models with the time that is to be expected."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from lebench.board.costs import recorded_costs
from lebench.cli import reading
from lebench.cli.progress import cells
from lebench.reading import sources
from lebench.runner.environment import cores
from lebench.runner.execution import pending
from lebench.runner.plan import Plan, PlannedCell
from lebench.runner.store import Store

if TYPE_CHECKING:
    from rich.console import Console

#: Models that stand side by side in a terminal.
_WIDE = 5


def show(plan: Plan, store: Store, force: bool, jobs: int | None, entries: Path | None, console: Console) -> None:
    """Print the plan."""
    todo, _ = pending(plan, store, force)
    missing = {cell.cell.key for job in todo for cell in job.cells}
    costs = recorded_costs(sources.entries_folder(entries))
    grid: dict[tuple[str, str], list[PlannedCell]] = defaultdict(list)
    for cell in plan.cells:
        grid[cell.cell.task, cell.label].append(cell)
    labels = list(dict.fromkeys(label for _, label in grid))
    tasks = sorted({task for task, _ in grid})
    seeds = sorted({cell.cell.seed for cell in plan.cells})
    total, unknown, others = 0.0, 0, False
    texts: dict[tuple[str, str], str] = {}
    for (task, label), planned in grid.items():
        left = [cell for cell in planned if cell.cell.key in missing]
        seconds, own = costs.expected(label, task)
        if planned[0].unmet is not None:
            texts[task, label] = "–"
        elif not left:
            texts[task, label] = "done"
        else:
            total += len(left) * (seconds or 0.0)
            unknown += len(left) * (seconds is None)
            others |= seconds is not None and not own
            text = "?" if seconds is None else duration(seconds) if own else f"({duration(seconds)})"
            done = len(planned) - len(left)
            texts[task, label] = f"{text}, {done} of {len(planned)} done" if done else text
    count = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    for start in range(0, len(labels), _WIDE):
        part = labels[start : start + _WIDE]
        shown = reading.make_table(f"Plan: {count}; the time that a seed takes", ("task", *part))
        for task in tasks:
            reading.add_row(shown, task, *(texts.get((task, label), "–") for label in part))
        console.print(shown)
    notes = "Times as recorded on the leaderboard, each as if it were computed alone."
    if others:
        notes += " In parentheses: of the same model with other parameters."
    console.print(notes, style="dim", highlight=False, markup=False)
    workers = min(jobs or cores(), max(len(todo), 1))
    fits = sum(job.fits for job in todo)
    lines = f"{cells(len(missing))} to do with {fits} fits"
    if total:
        lines += f": at most about {duration(total)}, or {duration(total / workers)} with {workers} workers"
    if unknown:
        lines += f"; of {cells(unknown)} the time is not known"
    console.print(lines, highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time as a reader says it.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.2, 42, 600, 9000, 200_000)]
    ['< 1 s', '42 s', '10 min', '2.5 h', '2.3 days']
    """
    if seconds < 1:
        return "< 1 s"
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{seconds / length:.{int(unit == 'h')}f} {unit}"
    return f"{seconds / 86400:.1f} days"
