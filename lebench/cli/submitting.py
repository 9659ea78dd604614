"""``lebench submit``: the records of a model as an entry, checked, with what the board will say of it."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from lebench import board, registry
from lebench.board.documents import printable
from lebench.board.entry_plugin import PACKED, packed
from lebench.board.verification import NAME as VERIFICATION
from lebench.cli import previewing
from lebench.cli.pull_request import propose, refuse_other_changes
from lebench.cli.verifying import check
from lebench.errors import LebenchError
from lebench.models.objects import names_of
from lebench.models.spec import build_model
from lebench.plugins import find
from lebench.reading import sources
from lebench.records import Record
from lebench.registry import load_plugin
from lebench.runner.current import current
from lebench.runner.identity import make_cell
from lebench.runner.plan import make_plan
from lebench.runner.session import MARK
from lebench.runner.store import Store
from lebench.verify import base

if TYPE_CHECKING:
    from lebench.board import Entry, EntryInfo, Preview

#: What a model runs on if nobody asks for another backend.
_OWN_BACKENDS = ("numpy", "torch")


def submit(
    results: str | Path = "results",
    *,
    model: str | None = None,
    name: str | None = None,
    authors: Sequence[str] = (),
    links: Sequence[str] = (),
    summary: str | None = None,
    licence: str = "CC-BY-4.0",
    backend: str | None = None,
    plugin: str | Path | None = None,
    entries: str | Path | None = None,
    yes: bool = False,
) -> Path:
    """Write the records of a model as an entry, show what it will be on the board, open a pull request with it.

    Arguments are the options of ``lebench submit``; what it prints is printed.

    Returns
    -------
    Path
        The folder of the entry.

    Raises
    ------
    LebenchError
        If something that is asked for is not there, the entry does not hold what it claims, or a command of git or gh
        fails.
    """
    results, plugin = Path(results), None if plugin is None else Path(plugin)
    authors = names_of("authors", authors, "an author")
    root = sources.folder_of_clone(entries)
    store = Store(results)
    records = _records(store, results, model, backend, authors)
    label = records[0].label
    given, files = _code(records, plugin)
    info = _describe(label, name or board.entry_name(label), records, authors, links, summary, licence, given, files)
    folder = root / info.name
    _refuse_others(folder, info)
    # Before anything is written: git does not switch branches over files that are new.
    refuse_other_changes(folder)
    with tempfile.TemporaryDirectory() as temporary:
        entry = _write(Path(temporary), info, records, store, files)
        with base(str(root), entry.folder) if root.is_dir() else nullcontext() as main:
            if not check(entry.folder, main).holds:
                raise LebenchError(f"{info.name} cannot be submitted as it is: see above; nothing was written")
        _advise(records, plugin)
        preview = previewing.show(
            root,
            entry,
            able=lambda tasks: _able(records, tasks),
            command=lambda tasks: _missing_ranks(records, plugin, results, tasks),
        )
        _put(entry.folder, folder)
    click.echo(f"\n{folder} is ready.")
    propose(folder, _body(info, len(records), preview), yes=yes)
    return folder


def _refuse_others(folder: Path, info: EntryInfo) -> None:
    """Raise if a folder is the entry of others, or of nobody knows whom."""
    if not folder.exists():
        return
    try:
        authors = board.read_entry(folder).info.authors
    except board.EntryError as error:
        raise LebenchError(f"{error}: remove {folder}, or give yours another name with --name") from error
    if authors != info.authors:
        whose = printable(", ".join(authors))
        raise LebenchError(
            f"{folder} is an entry of {whose}: if that is you, give the same --author, else another name with --name"
        )


def _records(
    store: Store, results: Path, model: str | None, backend: str | None, authors: Sequence[str]
) -> list[Record]:
    """Return the records of a model on tasks of lebench, by one backend."""
    found = current(store.load())
    for note in found.notes:
        click.echo(note)
    present = found.records
    labels = sorted({record.label for record in present})
    if not labels:
        raise LebenchError(f"there are no records in {results}; 'lebench run --model ... -o {results}' makes some")
    if model is None and len(labels) > 1:
        # Both at once: whoever leaves out the one has often left out the other.
        also = "" if _named(authors) else f"; and {_AUTHORS}"
        raise LebenchError(f"{results} has records of {', '.join(labels)}: name one with --model{also}")
    label = labels[0] if model is None else sources.known_label(model, labels)
    own = [record for record in present if record.label == label]
    backends = sorted({record.cell.backend for record in own})
    if backend is None and len(backends) > 1:
        raise LebenchError(f"{label} was run on {' and '.join(backends)}: choose one with --backend")
    if backend is not None and backend not in backends:
        raise LebenchError(f"{label} was run on {' and '.join(backends)}, not on {backend}")
    own = [record for record in own if backend in (None, record.cell.backend)]
    foreign = {record.cell.task for record in own if not _of_lebench(record.cell.task)}
    if foreign:
        click.echo(f"left out: {', '.join(sorted(foreign))}, which are no tasks of lebench")
    kept = [record for record in own if record.cell.task not in foreign]
    if any(record.cell.plugin.startswith(MARK) for record in kept):
        raise LebenchError(
            f"{label} was defined in a script or notebook, so that nobody else could run it: put it into a file, run "
            "that with --plugin, and submit those records"
        )
    if any(record.outside for record in kept):
        raise LebenchError(
            f"{label} has weights that were trained elsewhere, so that nobody could train it again: its records take "
            "no rank; a model that lebench trains (lebench.Network of your module) can be submitted"
        )
    if not kept:
        raise LebenchError(f"{label} has no records of tasks of lebench; 'lebench list tasks' names them")
    return kept


def _of_lebench(task: str) -> bool:
    # A plug-in may have registered it here, but not where the entry is checked.
    return task in registry.tasks and registry.tasks.item(task).source == "lebench"


def _code(records: Sequence[Record], plugin: Path | None) -> tuple[str, Mapping[str, Path]]:
    """Return the model's own code as :func:`lebench.board.entry_plugin.packed` does, nothing if there is none."""
    label = records[0].label
    name = label.split("[", 1)[0]
    if plugin is None:
        return "", {}
    if name in registry.models and registry.models.item(name).source == "lebench":
        raise LebenchError(f"{name} is a model of lebench: leave out --plugin")
    found = find(plugin)
    files = packed(found)
    load_plugin(found)
    if name not in registry.models:
        raise LebenchError(f"{plugin} does not register the model {name!r}; give the file that it was run with")
    configured = build_model(label, records[0].cell.backend)
    old = sum(
        record.cell.plugin != make_cell(registry.tasks.get(record.cell.task), configured, record.cell.seed).plugin
        for record in records
    )
    if old:
        raise LebenchError(
            f"{plugin} has changed since {old} of {len(records)} records were made: run them again with it, then submit"
        )
    return files


def _describe(
    label: str,
    name: str,
    records: Sequence[Record],
    authors: Sequence[str],
    links: Sequence[str],
    summary: str | None,
    licence: str,
    given: str,
    files: Mapping[str, Path],
) -> EntryInfo:
    if not _named(authors):
        raise LebenchError(_AUTHORS)
    model = label.split("[", 1)[0]
    if summary is None:
        summary = registry.models.item(model).summary if model in registry.models else ""
    try:
        return board.EntryInfo(
            schema=1,
            name=name,
            model=label,
            summary=" ".join(summary.split()),
            authors=_named(authors),
            links=list(links),
            licence=licence,
            lebench=records[0].environment.lebench,
            command=_command(name, records, given, files),
            plugin=given,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field, value = str(first["loc"][0]), first["input"]
        raise LebenchError(f"--{field.removesuffix('s')} {value!r}: {_RULES.get(field, first['msg'])}") from error


def _named(authors: Sequence[str]) -> list[str]:
    return [author.strip() for author in authors if author.strip()]


_AUTHORS = "an entry has authors: add --author 'A. Author'"
_RULES = {
    "name": "a name has at most 80 lower-case letters, digits, '.', '_' and '-', and begins with a letter or digit",
    "links": "a link is an address that begins with http:// or https://, without spaces and quotes",
}


def _command(name: str, records: Sequence[Record], given: str, files: Mapping[str, Path]) -> str:
    """Return the command that makes the records again."""
    inside = f"{PACKED}/{given}" if given else next(iter(files), "")
    plugin = f"leaderboard/entries/{name}/{inside}" if inside else None
    seeds = 1 + max(record.cell.seed for record in records)
    return _run_command(records, plugin, sorted({record.cell.task for record in records}), seeds)


def _run_command(records: Sequence[Record], plugin: Path | str | None, tasks: Sequence[str], seeds: int) -> str:
    """Return the command that runs the model of some records on tasks, on the backend that made them."""
    asked = [] if plugin is None else ["--plugin", str(plugin)]
    asked += ["--model", records[0].label]
    asked += [word for task in tasks for word in ("--task", task)]
    if records[0].cell.backend not in _OWN_BACKENDS:
        asked += ["--backend", records[0].cell.backend]
    return shlex.join(["lebench", "run", *asked, "--seeds", str(seeds)])


def _missing_ranks(records: Sequence[Record], plugin: Path | None, results: Path, tasks: Sequence[str]) -> str:
    """Return the command that adds tasks to the records of a model."""
    seeds = max(board.core_suite().minimum_seeds, 1 + max(record.cell.seed for record in records))
    where = "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
    return _run_command(records, plugin, tasks, seeds) + where


def _able(records: Sequence[Record], tasks: Sequence[str]) -> set[str] | None:
    """Return those of some tasks that the model of some records can be run on here, None if that cannot be told."""
    label = records[0].label
    if label.split("[", 1)[0] not in registry.models:
        return None
    try:
        plan = make_plan(tasks, [label], [0], records[0].cell.backend)
    except LebenchError:
        return None
    return {cell.cell.task for job in plan.jobs for cell in job.cells}


def _write(root: Path, info: EntryInfo, records: Sequence[Record], store: Store, files: Mapping[str, Path]) -> Entry:
    arrays = {record.cell.key: store.artifacts(record) for record in records}
    recordings = {record.cell.key: store.recording(record) for record in records}
    entry = board.write_entry(root, info.name, records, info, arrays, recordings)
    for name, file in files.items():
        (entry.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, entry.folder / name)
    return entry


def _put(made: Path, folder: Path) -> None:
    """Put a folder in the place of another, so that whoever interrupts it finds the one or the other."""
    draft, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    try:
        # The main branch's automation writes it; a submission leaves it as it is.
        if (folder / VERIFICATION).is_file():
            shutil.copy(folder / VERIFICATION, made)
        for rest in (draft, old):
            shutil.rmtree(rest, ignore_errors=True)
        shutil.copytree(made, draft)
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    except OSError as error:
        raise LebenchError(f"cannot write the entry to {folder}: {error.strerror or error}") from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (draft, old):
            shutil.rmtree(rest, ignore_errors=True)


def _advise(records: Sequence[Record], plugin: Path | None) -> None:
    """Say what weakens an entry without making it invalid."""
    label = records[0].label
    if plugin is None and label.split("[", 1)[0] not in registry.models:
        click.echo(f"note: lebench has no model {label}; with its code (--plugin FILE) others could run it again")
    if any(record.source.dirty for record in records):
        click.echo("note: some records were made from files that differ from their commit")
    failed = sorted({record.cell.task for record in records if record.status not in ("ok", "skipped")})
    if failed:
        click.echo(f"note: not all seeds were scored of {', '.join(failed)}; the board will show the reasons")


def _body(info: EntryInfo, records: int, preview: Preview | None) -> str:
    """Return the text of the pull request."""
    lines = [
        f"Entry `{info.name}`: the model `{info.model}` by {', '.join(info.authors)}, {records} records.",
        "",
        "Made again by:",
        "",
        f"    {info.command}",
    ]
    if preview is not None:
        lines += ["", "| track | rank | of | track score |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in previewing.ranks(preview)]
    return "\n".join(lines)
