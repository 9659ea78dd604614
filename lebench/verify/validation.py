"""What is wrong with an entry: its files, their content, and the invariants of its records."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from lebench import registry
from lebench.board.entries import LARGEST, Entry, EntryError, design, examine_entry
from lebench.board.entry_writing import write_entry
from lebench.data.base import Dataset, Variant
from lebench.errors import LebenchError, UnavailableDataError
from lebench.models.spec import build_model, parse_spec
from lebench.records import Record
from lebench.runner.current import current, outdated, versions
from lebench.runner.identity import references
from lebench.tasks.base import Task
from lebench.tasks.facts import broken
from lebench.verify.files import check_files, check_plugin, check_verification
from lebench.verify.submission import Base, check_submission
from lebench.verify.texts import check_info, check_texts, label_rule
from lebench.verify.violations import Violation

#: Seeds that a task needs at least, where others of the entry have as many.
FEWEST_SEEDS = 3
_LARGEST_SEED = 1_000_000
#: A cost beyond these is a mistake: a year, a petabyte, a thousand cores.
_YEAR_S, _PETABYTE, _CORES = 3.2e7, 10**15, 1000
#: And below these: the cheapest cells of the board take ten times as much, Python with NumPy twice.
_MILLISECOND, _LEAST_CPU_S, _LEAST_BYTES = 1e-3, 1e-4, 10**7
_MOST_THREADS = 4096
#: When there was nothing to run yet.
_FIRST_RUN = datetime(2025, 1, 1, tzinfo=UTC)
#: Clocks of two machines may differ by this much.
_CLOCKS = timedelta(days=1)
#: Values of the same fits in two tasks, and what the last bits of features may move between two runs.
_NEAREST = ("accuracy", "ncc_accuracy@test", "nc4@test")
_TIES = 0.01
#: A model of lebench, which bounds its parameters by itself.
_configured = cache(build_model)


def validate(folder: Path, main: Base | None = None, own: Iterable[str] = ()) -> list[Violation]:
    """Return what is wrong with an entry, nothing if it is valid.

    Parameters
    ----------
    folder : Path
        Of the entry. Nothing outside of it is read, and nothing in it is run or unpickled.
    main : Base, optional
        The main branch: what is submitted to it is compared with it as well, see :mod:`lebench.verify.submission`.
    own : iterable of str, optional
        Names of further entries that are submitted together with this one.
    """
    found, entry = _of_folder(folder)
    if main is not None:
        found += check_submission(folder, entry, main, {folder.name, *own})
    return found


def _of_folder(folder: Path) -> tuple[list[Violation], Entry | None]:
    """Return what is wrong with an entry by itself, and the entry if it can be read."""
    found = list(check_files(folder))
    if found:
        # What is not even made of the right files is not read.
        return found, None
    entry, problems = examine_entry(folder)
    if entry is None:
        return [Violation(each.file, each.field or "content", each.rule) for each in problems], None
    found += check_info(entry.info)
    found += check_plugin(folder, entry.info.plugin)
    found += check_verification(folder)
    found += _of_design(entry)
    if not entry.former:
        found += _not_as_written(entry)
    found += _of_arrays(entry)
    found += _of_labels(entry)
    for record in entry.records:
        where = f"{record.cell.task} seed {record.cell.seed}"
        found += [Violation("records.jsonl", f"{where}, {field}", rule) for field, rule in _of_record(record)]
    found += _across_tasks(current(entry.records).records)
    return found, entry


def _not_as_written(entry: Entry) -> Iterator[Violation]:
    """Yield the files that are other bytes than lebench writes: with numbers in another form, or fields hidden."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_entry(Path(folder), entry.name, entry.records, entry.info).folder
        for name in LARGEST:
            ours, theirs = ((each / name).read_bytes() for each in (written, entry.folder))
            if ours != theirs:
                lines = enumerate(zip(ours.split(b"\n"), theirs.split(b"\n"), strict=False), start=1)
                where = next((f"line {number}" for number, (a, b) in lines if a != b), "content")
                yield Violation(name, where, "is not as lebench writes it; write the entry with 'lebench submit'")


def _of_arrays(entry: Entry) -> Iterator[Violation]:
    known = set()
    for record in entry.records:
        for file, read in ((entry.artifacts_path, entry.artifacts), (entry.recording_path, entry.recording)):
            known.add(file(record).name)
            try:
                read(record)
            except EntryError as error:
                yield Violation(f"artifacts/{error.file}", error.field or "content", error.rule)
    for path in sorted((entry.folder / "artifacts").glob("*")):
        if path.name not in known:
            yield Violation(f"artifacts/{path.name}", "name", "belongs to no record; remove it")


#: What is the same in all records of an entry, beside the label.
_CONFIGURATION = ("model", "model_version", "params", "plugin", "backend", "backend_version", "precision")


def _of_design(entry: Entry) -> Iterator[Violation]:
    """Yield where an entry is not one configuration on the tasks and seeds that it declares, each cell once."""
    made = [record.cell for record in entry.records if not outdated(record.cell)]
    for name in _CONFIGURATION if made else ():
        if other := next((cell for cell in made if getattr(cell, name) != getattr(made[0], name)), None):
            rule = "is another than in the first record; an entry is one configuration: submit each by itself"
            yield Violation("records.jsonl", f"{other.task} seed {other.seed}, {name}", rule)
    seeds: dict[str, set[int]] = defaultdict(set)
    for record in entry.records:
        task, seed = record.cell.task, record.cell.seed
        if seed in seeds[task]:
            yield Violation("records.jsonl", f"{task} seed {seed}", "is there twice; keep one record of each seed")
        seeds[task].add(seed)
    for task, count in design(entry.records).items():
        if (declared := entry.info.seeds.get(task)) != count and not entry.former:
            rule = f"declares {declared or 'no'} seeds of {task}, but there are {count} records of it"
            yield Violation("entry.toml", "seeds", f"{rule}; write the entry with 'lebench submit'")
    ran = {record.cell.task for record in entry.records if record.status != "skipped"}
    for task in sorted(ran & {record.cell.task for record in entry.records if record.status == "skipped"}):
        yield Violation("records.jsonl", task, "has seeds that were skipped and others that were not: run them again")
    most = max(len(found) for found in seeds.values())
    for task, found in sorted(seeds.items()):
        # Seeds come in order, so that none can be chosen for what came out.
        if found != set(range(len(found))):
            listed = ", ".join(map(str, sorted(found)[:10])) + (", …" if len(found) > 10 else "")
            yield Violation("records.jsonl", task, f"has the seeds {listed}: they must begin at 0 and leave none out")
        elif len(found) < (fewest := min(FEWEST_SEEDS, most)):
            yield Violation("records.jsonl", task, f"has {len(found)} of {most} seeds, at least {fewest} are needed")


def _of_labels(entry: Entry) -> Iterator[Violation]:
    """Yield where the records are not those of the model and the version that ``entry.toml`` names."""
    for record in entry.records:
        if record.label != entry.info.model:
            yield Violation("entry.toml", "model", f"is {entry.info.model!r}, but a record is of {record.label!r}")
            break
    versions = {record.environment.lebench for record in entry.records}
    if entry.info.lebench not in versions:
        yield Violation("entry.toml", "lebench", "is not the version of any record")


def _of_record(record: Record) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a record: field and rule."""
    cell = record.cell
    yield from check_texts(record)
    yield from _of_times(record)
    if not 1 <= record.environment.threads <= _MOST_THREADS:
        yield "environment.threads", f"are {record.environment.threads}; they must be 1 to {_MOST_THREADS:,}"
    if record.outside:
        yield "params", "are of weights that were trained elsewhere, which nobody could train again"
    if cell.seed > _LARGEST_SEED:
        yield "seed", f"is larger than {_LARGEST_SEED:,}"
        return
    if cell.task not in registry.tasks:
        yield "task", "there is no such task"
        return
    for name, made, today in versions(cell):
        if today is not None and made > today:
            yield "cell", f"version {made} of {name} is none yet, today's is {today}"
            return
    if record.status != "ok":
        if record.metrics or record.artifacts:
            yield "metrics", f"are there, though the status is {record.status}"
        if not record.reason.strip():
            yield "reason", f"is empty, though the status is {record.status}"
    if outdated(cell):
        # Today's declarations say nothing of it.
        return
    task: Task = registry.tasks.get(cell.task)
    dataset: Dataset = registry.datasets.get(task.dataset)
    if (cell.dataset, record.track) != (task.dataset, task.track):
        yield "cell", "dataset or track are not those of the task"
        return
    try:
        if cell.dataset_sha256 != dataset.sha256:
            yield "dataset_sha256", "was made on other data"
    except UnavailableDataError:
        pass
    yield from _of_model(record, task)
    if record.status != "ok":
        return
    yield from _of_cost(record, task)
    if {*record.metrics, *record.missing} != {*task.metrics} or {*record.metrics} & {*record.missing}:
        yield "metrics", "are not those of the task, each with a value or a reason"
        return
    for name in (name for name, reason in record.missing.items() if not reason.strip()):
        yield f"missing.{name}", "has no reason"
    yield from broken(task, cell.seed, record.metrics)


def _of_model(record: Record, task: Task) -> Iterator[tuple[str, str]]:
    """Yield where a cell is not that of the model that its label names, where that is one of lebench's."""
    if rule := label_rule(record.label):
        # Python's own parser, which reads the values of parameters, gives up on deep nesting in ways of its own.
        yield "label", rule
        return
    try:
        name, _ = parse_spec(record.label)
        if name != record.cell.model:
            yield "model", f"is {record.cell.model!r}, but the label is {record.label!r}"
            return
        if name not in registry.models or registry.models.item(name).source != "lebench":
            return
        configured = _configured(record.label, record.cell.backend)
    except LebenchError as error:
        yield "label", str(error)
        return
    if record.cell.params != configured.params:
        yield "params", "are not those of the label"
    if record.cell.precision != configured.precision:
        yield "precision", f"is {record.cell.precision!r}, that of the model is {configured.precision!r}"
    if record.cell.references != references(task, configured.model):
        yield "references", "are not the models that the task and the model fit"
    if record.cell.plugin:
        yield "plugin", f"is not empty, but {name} and {task.name} are lebench's own"


def _of_cost(record: Record, task: Task) -> Iterator[tuple[str, str]]:
    cost = record.cost
    if cost is None:
        yield "cost", "is missing"
        return
    wall = cost.fit_s + cost.score_s
    for name, value, least, largest in (
        ("wall time", wall, _MILLISECOND, _YEAR_S),
        ("cpu_s", cost.cpu_s, _LEAST_CPU_S, _CORES * (wall + 1)),
        ("peak_memory_bytes", cost.peak_memory_bytes, _LEAST_BYTES, _PETABYTE),
    ):
        if not least <= value <= largest:
            yield "cost", f"{name} is {value:.6g}; it must be at least {least:.6g} and at most {largest:.6g}"
    if cost.fits != len(task.variants):
        yield "cost", f"fits are {cost.fits}, but the task has {len(task.variants)}"


def _of_times(record: Record) -> Iterator[tuple[str, str]]:
    times = []
    for name in ("started", "finished"):
        try:
            times.append(datetime.fromisoformat(getattr(record.run, name)))
        except ValueError:
            yield f"run.{name}", "is not a time such as 2026-01-01T12:00:00+00:00"
            return
        if times[-1].utcoffset() != timedelta(0):
            yield f"run.{name}", "is not in UTC"
            return
    started, finished = times
    if started > finished:
        yield "run.finished", "is before run.started"
    if started < _FIRST_RUN:
        yield "run.started", f"is before {_FIRST_RUN.year}, when there was no lebench"
    if finished > datetime.now(UTC) + _CLOCKS:
        yield "run.finished", "is in the future"


def _across_tasks(records: Iterable[Record]) -> Iterator[Violation]:
    """Yield where what two tasks measure on the same fit cannot both be true."""
    cells: dict[tuple[str, int, str], dict[str, float]] = defaultdict(dict)
    for record in records:
        cell = record.cell
        # One fit of all points is the same in every task that asks for it.
        if cell.task in registry.tasks and registry.tasks.get(cell.task).variants == (Variant(),):
            cells[cell.dataset, cell.seed, cell.backend] |= record.metrics
    for (dataset, seed, _), found in sorted(cells.items()):
        if all(name in found for name in _NEAREST):
            accuracy, nearest, nc4 = (found[name] for name in _NEAREST)
            if nc4 < abs(accuracy - nearest) - _TIES:
                yield Violation(
                    "records.jsonl",
                    f"{dataset} seed {seed}, nc4@test",
                    "is smaller than the difference of ncc_accuracy@test and the accuracy of the same fit",
                )
