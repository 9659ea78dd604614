"""``lebench show --picture``: the arrays behind scores as pictures in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lebench.errors import LebenchError
from lebench.reading.drawn import of_entries, of_results, sections
from lebench.reading.sources import known_label, tasks_among


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
    arrays = of_results(results)
    own = sorted({label for _, label in arrays})
    if baselines:
        arrays = of_entries(entries, own) | arrays
    labels = sorted({label for _, label in arrays})
    if not labels:
        raise LebenchError(f"no record in {str(results)!r} keeps arrays; 'lebench run' with this version makes some")
    chosen = list(dict.fromkeys(known_label(model, labels) for model in models)) or own or labels
    present = sorted({task for task, label in arrays if label in chosen})
    drawn = sections(arrays, tasks_among(tasks, present) if tasks else present, chosen)
    if not drawn:
        raise LebenchError(f"there is nothing to draw of {', '.join(chosen)}")
    write(path, f"lebench: {', '.join(chosen)}", drawn)
    for heading, made in drawn:
        click.echo(heading)
        for picture in made:
            click.echo(f"  {picture.title}. {picture.sentence}")
    click.echo(f"{sum(len(made) for _, made in drawn)} pictures stand in {path}")
