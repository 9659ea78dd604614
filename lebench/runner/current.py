"""Which records are current: of today's versions, the newest of each cell. Everyone who reads records asks here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lebench import registry
from lebench.records import Cell, Record
from lebench.runner.plugin_identity import plugin_identity
from lebench.runner.tolerance import compare_rerun

#: What of several records of a cell counts before others: a failure is tried again.
_FIRST = {"ok": 0, "skipped": 1}


@dataclass(frozen=True)
class Conflict:
    """Records of one cell that differ by more than running it again may change.

    Attributes
    ----------
    records : tuple of Record
        The newest first.
    difference : str
        The first value that differs, with both numbers.
    """

    records: tuple[Record, ...]
    difference: str

    def __str__(self) -> str:
        cell, label = self.records[0].cell, self.records[0].label
        made = " and ".join(record.run.finished for record in self.records[:2])
        return (
            f"{label} on {cell.task}, {cell.backend}, seed {cell.seed}: records of {made} are in conflict, none is "
            f"used: {self.difference}; 'lebench run --force' settles it"
        )


@dataclass(frozen=True)
class Current:
    """Records, told apart by whether they are to be used.

    Attributes
    ----------
    records : tuple of Record
        The current ones, one a cell; sorted by task, label, backend, precision and seed.
    outdated : dict of str to int
        Why others are not, with their number. They are of other versions; nothing is wrong with them.
    conflicts : tuple of Conflict
        Cells with several records that contradict each other: none of these is current.
    machines : dict of str to int
        In what the machines of several equal records of a cell differ, with the number of such cells.
    """

    records: tuple[Record, ...]
    outdated: dict[str, int]
    conflicts: tuple[Conflict, ...] = ()
    machines: dict[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the records that are left out, at most a line for those of other versions."""
        count = sum(self.outdated.values())
        reasons = "; ".join(f"{reason} ({number})" for reason, number in self.outdated.items())
        noun = "record is" if count == 1 else "records are"
        lines = [f"{count} {noun} outdated and left out: {reasons}"] if count else []
        if self.machines:
            told = "; ".join(f"{what} ({number})" for what, number in self.machines.items())
            lines.append(f"some cells have equal records of several machines, the newest is used: {told}")
        return [*lines, *map(str, self.conflicts)]


def current(records: Iterable[Record]) -> Current:
    """Return which records are current, whatever their order.

    Of the records of one cell those count that no later one was asked to replace, and a score before a failure. Equal
    scores, up to the tolerance of running a cell again, are one record, the newest; different ones are a conflict.
    Records of a plug-in's model are current if they are of the same code as its newest ones, and likewise for data.

    Parameters
    ----------
    records : iterable of Record
        Of any tasks and models. What is not registered here has no version to be compared with.
    """
    known: dict[tuple[object, ...], str] = {}
    reasons: Counter[str] = Counter()
    kept: list[Record] = []
    for record in records:
        made = _declared(record.cell)
        if made not in known:
            known[made] = outdated(record.cell)
        if known[made]:
            reasons[known[made]] += 1
        else:
            kept.append(record)
    for told, reason in ((_code, "made by other code of its plug-in"), (_data, "made on other data")):
        newest = dict(told(record) for record in sorted(kept, key=_age))
        if told is _code:
            newest |= {_code(record)[0]: today for record in kept if (today := _code_of_today(record)) is not None}
        like: dict[bool, list[Record]] = {True: [], False: []}
        for record in kept:
            group, state = told(record)
            like[state == newest[group]].append(record)
        reasons.update(f"{record.label} on {record.cell.dataset}: {reason}" for record in like[False])
        kept = like[True]
    of_places: dict[tuple[str, str, str, str, int], list[Record]] = defaultdict(list)
    for record in kept:
        of_places[_place(record)].append(record)
    of_cells: dict[object, list[Record]] = defaultdict(list)
    for place, there in of_places.items():
        for record in there:
            # A key costs more than all else here, and one that is alone in its place needs none.
            of_cells[place if len(there) == 1 else record.cell.key].append(record)
    chosen: list[Record] = []
    conflicts: list[Conflict] = []
    machines: Counter[str] = Counter()
    for same in of_cells.values():
        settled = same[0] if len(same) == 1 else _settle(same, kept)
        if isinstance(settled, Conflict):
            conflicts.append(settled)
            continue
        chosen.append(settled)
        if len(same) > 1:
            machines.update(_differing(same))
    return Current(
        tuple(sorted(chosen, key=_place)),
        dict(sorted(reasons.items())),
        tuple(sorted(conflicts, key=lambda conflict: _place(conflict.records[0]))),
        dict(sorted(machines.items())),
    )


def _declared(cell: Cell) -> tuple[object, ...]:
    """Return the names and versions in a cell."""
    return (
        *(cell.task, cell.task_version, cell.dataset, cell.dataset_version),
        *(cell.model, cell.model_version, cell.backend, cell.backend_version),
        *cell.references.items(),
    )


def versions(cell: Cell) -> Iterator[tuple[str, int, int | None]]:
    """Yield what a cell names: name, version of the cell, and version of today, None if it is not registered here."""
    for kind, name, made in (
        (registry.tasks, cell.task, cell.task_version),
        (registry.datasets, cell.dataset, cell.dataset_version),
    ):
        yield name, made, kind.get(name).version if name in kind else None
    others = {cell.model: cell.model_version, cell.backend: cell.backend_version} | cell.references
    for name, made in others.items():
        kind = registry.backends if name in registry.backends else registry.models
        yield name, made, kind.item(name).version if name in kind else None


def outdated(cell: Cell) -> str:
    """Return of which other version a cell is, empty if all are today's as far as that is known here.

    Examples
    --------
    >>> from lebench.runner.plan import make_plan
    >>> cell = make_plan(["digits/accuracy"], ["knn"], [0]).cells[0].cell
    >>> outdated(cell)
    ''
    >>> outdated(cell.model_copy(update={"model_version": 0}))
    "knn: made by code from before versions, today's is version 1"
    """
    for name, made, today in versions(cell):
        if today is not None and made != today:
            version = f"version {made}" if made else "code from before versions"
            return f"{name}: made by {version}, today's is version {today}"
    return ""


def _code(record: Record) -> tuple[tuple[str, ...], str]:
    """Return the model of a record, and the code of its plug-in."""
    cell = record.cell
    own = cell.task in registry.tasks and registry.tasks.item(cell.task).source == "lebench"
    # Where the task is of a plug-in too, the code is that of both.
    return (record.label, cell.backend, cell.precision, "" if own else cell.task), cell.plugin


def _code_of_today(record: Record) -> str | None:
    """Return the code of the plug-in that registered the model of a record here, None if that says nothing of it."""
    cell = record.cell
    own = cell.task in registry.tasks and registry.tasks.item(cell.task).source == "lebench"
    if not own or cell.model not in registry.models or not registry.models.item(cell.model).plugin:
        return None
    return plugin_identity([("model", cell.model)])


def _differing(same: Sequence[Record]) -> Iterator[str]:
    """Yield devices and packages of which several records of a cell have different ones."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in same:
        found["device"].add(record.environment.gpu or "CPU")
        for package, version in record.environment.packages.items():
            found[package].add(version)
    yield from (f"{name} {' and '.join(sorted(made))}" for name, made in found.items() if len(made) > 1)


def _data(record: Record) -> tuple[tuple[str, ...], str]:
    """Return the dataset of a record, and what it was."""
    return (record.cell.dataset,), record.cell.dataset_sha256


def _age(record: Record) -> tuple[str, str]:
    # Two that end at the same moment are told apart, so that no order of reading decides.
    return record.run.finished, record.checksum


def _place(record: Record) -> tuple[str, str, str, str, int]:
    cell = record.cell
    return cell.task, record.label, cell.backend, cell.precision, cell.seed


def _settle(same: Sequence[Record], beside: Iterable[Record]) -> Record | Conflict:
    """Return the one of several records of a cell that counts, or that they contradict each other."""
    replaced = {checksum for record in same if record.status in ("ok", "skipped") for checksum in record.replaces}
    left = [r for r in same if not replaced & {r.checksum, r.fingerprints.get("checksum")}] or list(same)
    best = min(_FIRST.get(record.status, 2) for record in left)
    newest, *others = sorted((r for r in left if _FIRST.get(r.status, 2) == best), key=_age, reverse=True)
    for other in others:
        if newest.status != "ok" or other.metrics == newest.metrics:
            continue
        of_model = [record for record in beside if _place(record)[:4] == _place(newest)[:4]]
        if differences := compare_rerun(other, newest, of_model).differences:
            return Conflict((newest, *others), differences[0])
    return newest
