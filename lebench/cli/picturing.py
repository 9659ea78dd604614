"""``lebench show --picture``: the arrays behind scores as pictures in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lebench import board, pictures
from lebench.artifacts import ArtifactError, unpack
from lebench.cli.reading import entries_folder, known_label, tasks_among
from lebench.errors import LebenchError
from lebench.pictures import Arrays
from lebench.records import Record
from lebench.runner.current import current
from lebench.runner.store import Store


def draw(
    path: Path,
    *,
    models: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    baselines: bool,
    entries: Path | None,
) -> None:
    """Write pictures to a file and print what they show: of one model its own, of several those that compare them.

    Without `models` they are those of the results folder, or all if it is empty; without `tasks`, all with arrays.

    Raises
    ------
    LebenchError
        If nothing can be drawn, or the file cannot be written.
    """
    from lebench.site.standalone import write

    if path.suffix.lower() != ".html":
        raise LebenchError(f"the pictures are a page: give {str(path)!r} the ending .html")
    arrays = _of_results(results)
    own = sorted({label for _, label in arrays})
    if baselines:
        arrays = _of_entries(entries, own) | arrays
    labels = sorted({label for _, label in arrays})
    if not labels:
        raise LebenchError(f"no record in {str(results)!r} keeps arrays; 'lebench run' with this version makes some")
    chosen = list(dict.fromkeys(known_label(model, labels) for model in models)) or own or labels
    present = sorted({task for task, label in arrays if label in chosen})
    sections = []
    for task in tasks_among(tasks, present) if tasks else present:
        drawn = {label: arrays[task, label] for label in chosen if (task, label) in arrays}
        if len(drawn) > pictures.COLOURS:
            raise LebenchError(
                f"{task}: {len(drawn)} models are too many for one picture; name up to {pictures.COLOURS}"
            )
        made = pictures.of_model(*drawn.values()) if len(drawn) == 1 else pictures.comparisons(drawn)
        if made:
            sections.append((f"{task}: {', '.join(drawn)}", made))
    if not sections:
        raise LebenchError(f"there is nothing to draw of {', '.join(chosen)}")
    write(path, f"lebench: {', '.join(chosen)}", sections)
    for heading, made in sections:
        click.echo(heading)
        for picture in made:
            click.echo(f"  {picture.title}. {picture.sentence}")
    click.echo(f"{sum(len(made) for _, made in sections)} pictures stand in {path}")


def _of_results(results: Path) -> dict[tuple[str, str], Arrays]:
    """Return the arrays of the first seed in a results folder, by task and model."""
    store = Store(results)
    found: dict[tuple[str, str], Arrays] = {}
    for record in current(store.load()).records if results.exists() else []:
        if _key(record) not in found and (content := store.artifacts(record)):
            try:
                found[_key(record)] = unpack(content, record.pictured)
            except ArtifactError as error:
                what = f"the arrays of {record.label} on {record.cell.task}, seed {record.cell.seed}, in {results}"
                raise LebenchError(f"{what}: {error}; run it again with --force") from error
    return found


def _of_entries(entries: Path | None, own: Sequence[str]) -> dict[tuple[str, str], Arrays]:
    """Return the arrays of the leaderboard's entries, of other models than the results folder has."""
    folder = entries_folder(entries)
    found: dict[tuple[str, str], Arrays] = {}
    for entry in board.read_entries(folder) if entries is not None or folder.is_dir() else []:
        for record in entry.current.records:
            if record.label not in own and _key(record) not in found and (arrays := entry.artifacts(record)):
                found[_key(record)] = arrays
    return found


def _key(record: Record) -> tuple[str, str]:
    return record.cell.task, record.label
