"""Records of an entry run again from scratch: which ones, by which code, and how they compare."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from lebench import registry
from lebench.artifacts import unpack
from lebench.board.entries import Entry
from lebench.board.verification import Check, How, Verdict, Verification, digest_of, drawable
from lebench.errors import LebenchError, UnavailableDataError
from lebench.models.spec import parse_spec
from lebench.records import Cell, Record
from lebench.runner.current import outdated
from lebench.runner.environment import environment, lebench_version, source
from lebench.runner.events import Event
from lebench.runner.execution import TIME_LIMIT, execute
from lebench.runner.plan import Plan, PlannedCell, make_plan
from lebench.runner.store import Store
from lebench.runner.tolerance import compare_rerun, same_machine
from lebench.sandbox import StandIns
from lebench.verify.recomputation import Recomputed

_REASON_LENGTH = 300
#: What makes another cell of the same place, in words.
_STALE = {
    "task_version": "another version of the task",
    "dataset": "another dataset",
    "dataset_version": "another version of the dataset",
    "dataset_sha256": "other data",
    "model_version": "another version of the model",
    "plugin": "other code of the plug-in",
    "references": "other versions of reference models",
    "backend_version": "another version of the backend",
}


@dataclass(frozen=True)
class Rerun:
    """A record that was drawn, and what came of running it again.

    Attributes
    ----------
    record : Record
        As it is claimed.
    verdict : {"agrees", "differs", "not checked"}
        Whether every value agrees within its tolerance.
    reason : str
        What differs, why it was not checked, or what a reader should know.
    rule, value, deviation
        See :class:`lebench.runner.tolerance.Comparison`.
    again : Record or None
        As it was made again.
    recording : mapping of str to ndarray
        What the model answered then.
    """

    record: Record
    verdict: Verdict
    reason: str = ""
    rule: str = ""
    value: str = ""
    deviation: float | None = None
    again: Record | None = None
    recording: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)


def not_of_lebench(entry: Entry) -> str:
    """Return why the model of an entry is not run, empty if it is lebench's own or was given as a plug-in file.

    Code of a third party, be it an installed package, is run only if it was asked for by its file.
    """
    for name in sorted({record.cell.model for record in entry.records}):
        if name not in registry.models:
            return f"the model {name!r} is none of lebench's; after reading its code, give its file with --plugin"
        item = registry.models.item(name)
        if item.source != "lebench" and not item.plugin:
            return f"the model {name!r} belongs to {item.source}, not to lebench; give its file with --plugin"
    return ""


def draw(entry: Entry, count: int | None, seed: str) -> tuple[Record, ...]:
    """Return records of an entry in the order that a text decides.

    Parameters
    ----------
    entry : Entry
        Of its records those of today's versions are drawn from that :func:`lebench.board.verification.drawable` names:
        failures and time-outs like scores.
    count : int or None
        How many; None for all.
    seed : str
        What whoever made the entry could not know. Each record has the rank of the sha256 of this text and its key;
        the first of every task come before the second of any.

    Returns
    -------
    tuple of Record
        At most `count`.
    """
    ranked = sorted(
        (record for record in drawable(entry) if not outdated(record.cell)),
        key=lambda record: hashlib.sha256(f"{seed}\n{record.cell.key}".encode()).digest(),
    )
    seen: dict[str, int] = defaultdict(int)
    rounds = []
    for place, record in enumerate(ranked):
        rounds.append((seen[record.cell.task], place, record))
        seen[record.cell.task] += 1
    return tuple(record for _, _, record in sorted(rounds, key=lambda item: item[:2])[:count])


def skips(entry: Entry) -> tuple[Record, ...]:
    """Return a record of each task that an entry says its model cannot do; to see whether that is so runs nothing."""
    first = {record.cell.task: record for record in reversed(entry.records) if not outdated(record.cell)}
    return tuple(record for _, record in sorted(first.items()) if record.status == "skipped")


def available(entry: Entry) -> tuple[Entry, dict[str, str]]:
    """Return an entry without the records whose data is not here, and why by the names of their tasks."""
    reasons: dict[str, str] = {}
    for name in {record.cell.task for record in entry.records}:
        try:
            _ = registry.datasets.get(registry.tasks.get(name).dataset).sha256
        except UnavailableDataError as error:
            reasons[name] = str(error)
    return replace(entry, records=tuple(r for r in entry.records if r.cell.task not in reasons)), reasons


def run_again(
    entry: Entry,
    records: Sequence[Record],
    jobs: int | None = None,
    time_limit: float = TIME_LIMIT,
    on_event: Callable[[Event], None] = lambda event: None,
    submitted: Sequence[StandIns] = (),
) -> list[Rerun]:
    """Run records of an entry from scratch, in worker processes of their own, and compare.

    Parameters
    ----------
    entry : Entry
        Whose they are.
    records : sequence of Record
        From :func:`draw`.
    jobs, time_limit, on_event
        See :func:`lebench.runner.execution.execute`.
    submitted : sequence of StandIns
        Plug-ins that the sandbox runs; their models are registered already.

    Returns
    -------
    list of Rerun
        In the order of `records`.

    Raises
    ------
    LebenchError
        If the model is none that may be run.
    KeyboardInterrupt
        If it was interrupted.
    """
    if refusal := not_of_lebench(entry):
        raise LebenchError(refusal)
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.label, record.cell.backend].append(record)
    found: dict[str, Rerun] = {}
    planned: dict[str, PlannedCell] = {}
    plans: list[Plan] = []
    for group in groups.values():
        plan, cells, refused = _plan(group)
        plans.append(plan)
        planned |= cells
        found |= refused
    with tempfile.TemporaryDirectory(prefix="lebench-rerun-") as folder:
        store = Store(folder)
        summary = execute(
            _merged(plans, submitted),
            store,
            jobs,
            time_limit=time_limit,
            on_event=on_event,
            command="lebench verify",
        )
        contents = {record.cell.key: (record, store.recording(record)) for record in summary.records if record.recorded}
    if summary.interrupted:
        raise KeyboardInterrupt
    answers = {key: unpack(content, again.recorded) for key, (again, content) in contents.items() if content}
    made = {record.cell.key: record for record in summary.records}
    for record in records:
        key = record.cell.key
        if key not in found:
            again = made[planned[key].cell.key]
            found[key] = replace(_compared(entry, record, again), recording=answers.get(again.cell.key, {}))
    return [found[record.cell.key] for record in records]


def _plan(records: Sequence[Record]) -> tuple[Plan, dict[str, PlannedCell], dict[str, Rerun]]:
    """Return what to run for records of one label and backend: cells by the keys of records, and what cannot be."""
    nothing = Plan((), (), (), ())
    label, backend = records[0].label, records[0].cell.backend
    try:
        if parse_spec(label)[0] != records[0].cell.model:
            raise LebenchError(f"the label {label!r} is not of the model {records[0].cell.model!r}")
        seeds = sorted({record.cell.seed for record in records})
        plan = make_plan(sorted({record.cell.task for record in records}), [label], seeds, backend)
    except LebenchError as error:
        return (
            nothing,
            {},
            {record.cell.key: Rerun(record, "not checked", str(error)[:_REASON_LENGTH]) for record in records},
        )
    by_place = {(cell.cell.task, cell.cell.seed): cell for cell in plan.cells}
    missing = dict(plan.unavailable)
    cells: dict[str, PlannedCell] = {}
    refused: dict[str, Rerun] = {}
    for record in records:
        key, cell = record.cell.key, by_place.get((record.cell.task, record.cell.seed))
        if cell is None:
            refused[key] = Rerun(record, "not checked", missing[record.cell.task])
        elif cell.unmet and record.status == "skipped":
            refused[key] = Rerun(record, "agrees")
        elif cell.unmet:
            refused[key] = Rerun(record, "differs", f"the model cannot do the task, which {cell.unmet}")
        elif other := _other_model(record.cell, cell.cell):
            refused[key] = Rerun(record, "differs", f"{label} on {backend} has not the {other} that the record names")
        else:
            cells[key] = cell
    wanted = {cell.cell.key for cell in cells.values()}
    jobs = (replace(job, cells=tuple(c for c in job.cells if c.cell.key in wanted)) for job in plan.jobs)
    return replace(plan, jobs=tuple(job for job in jobs if job.cells), skipped=()), cells, refused


def _other_model(claimed: Cell, planned: Cell) -> str:
    return ", ".join(
        name for name in ("params", "precision", "backend") if getattr(claimed, name) != getattr(planned, name)
    )


def _merged(plans: Iterable[Plan], submitted: Sequence[StandIns]) -> Plan:
    plans = list(plans)
    return Plan(
        tuple(job for plan in plans for job in plan.jobs),
        (),
        (*dict.fromkeys(plugin for plan in plans for plugin in plan.plugins), *submitted),
        tuple(sorted({module for plan in plans for module in plan.modules})),
    )


def _compared(entry: Entry, record: Record, again: Record) -> Rerun:
    if record.status != "ok" and again.status != "ok":
        return Rerun(
            record, "agrees", f"has no scores, and none when run again: {again.reason}"[:_REASON_LENGTH], again=again
        )
    if again.status in ("timeout", "out_of_memory"):
        return Rerun(record, "not checked", f"{again.status}: {again.reason}", again=again)
    stale = " and ".join(
        words for name, words in _STALE.items() if getattr(record.cell, name) != getattr(again.cell, name)
    )
    note = f"was made by {stale}" if stale else ""
    if again.status != "ok":
        reason = "; ".join(filter(None, (f"the run has {again.status}: {again.reason}", note)))
        return Rerun(record, "differs", reason, again=again)
    if record.status != "ok":
        return Rerun(record, "differs", f"is claimed as {record.status}, but has scores when run again", again=again)
    found = compare_rerun(record, again, entry.records)
    if not note and found.rule != "exact" and same_machine(record.environment, again.environment):
        note = "other bits, although the record describes this processor and these packages"
    reason = "; ".join(filter(None, (*found.differences, note)))
    verdict: Verdict = "differs" if found.differences else "agrees"
    return Rerun(record, verdict, reason, found.rule, found.value, found.deviation, again)


def make_verification(
    entry: Entry, recomputed: Iterable[Recomputed], reruns: Iterable[Rerun] = (), seed: str = ""
) -> Verification:
    """Return the document of what was found, the same for the same findings.

    Parameters
    ----------
    entry : Entry
        With all its records.
    recomputed, reruns
        What was found.
    seed : str
        By which records were drawn, empty if none were.
    """
    found: list[tuple[Recomputed | Rerun, How, Verdict, str, str]] = [
        (each, "recomputed", "differs" if each.differs else "agrees", each.rule, each.differs) for each in recomputed
    ]
    found += [(each, "re-run", each.verdict, each.rule, each.reason) for each in reruns]
    checks = [
        Check(
            cell=entry.stands_as(each.record).key,
            record=entry.stands_as(each.record).checksum,
            how=how,
            verdict=verdict,
            tolerance=rule,
            value=each.value[:_REASON_LENGTH],
            deviation=each.deviation,
            reason=reason[:_REASON_LENGTH],
        )
        for each, how, verdict, rule, reason in found
    ]
    state = source()
    return Verification(
        lebench=lebench_version(),
        commit=state.commit,
        dirty=state.dirty,
        environment=environment(),
        seed=seed,
        entry=digest_of(entry),
        checks=sorted(checks, key=lambda check: (check.cell, check.how)),
    )
