"""Pictures of what records keep: arrays by task and model, and the sections that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lebench import board, pictures
from lebench.artifacts import ArtifactError, unpack
from lebench.errors import LebenchError, MissingDependencyError
from lebench.pictures import Arrays, Picture
from lebench.reading.sources import entries_folder
from lebench.records import Record
from lebench.runner.current import current
from lebench.runner.store import Store

#: A heading, and the pictures under it.
Section = tuple[str, Sequence[Picture]]


def of_results(results: Path, keys: Iterable[str] | None = None) -> dict[tuple[str, str], Arrays]:
    """Return the arrays of the first seed in a results folder, by task and model; with `keys` of these cells.

    Raises
    ------
    LebenchError
        If a file of arrays is not the one that was written.
    """
    store = Store(results)
    found: dict[tuple[str, str], Arrays] = {}
    records = store.load(keys=keys) if results.exists() else ()
    for record in current(records).records:
        if _key(record) not in found and (content := store.artifacts(record)):
            try:
                found[_key(record)] = unpack(content, record.pictured)
            except ArtifactError as error:
                what = f"the arrays of {record.label} on {record.cell.task}, seed {record.cell.seed}, in {results}"
                raise LebenchError(f"{what}: {error}; run it again with --force") from error
    return found


def of_entries(entries: Path | None, own: Iterable[str]) -> dict[tuple[str, str], Arrays]:
    """Return the arrays of the leaderboard's entries, but of the models `own`."""
    folder, left = entries_folder(entries), set(own)
    found: dict[tuple[str, str], Arrays] = {}
    for entry in board.read_entries(folder) if entries is not None or folder.is_dir() else []:
        for record in entry.current.records:
            if record.label not in left and _key(record) not in found and (arrays := entry.artifacts(record)):
                found[_key(record)] = arrays
    return found


def sections(arrays: Mapping[tuple[str, str], Arrays], tasks: Iterable[str], models: Sequence[str]) -> list[Section]:
    """Return the pictures of some tasks: of one model its own, of several those that compare them.

    Raises
    ------
    LebenchError
        If they are too many for the colours of a picture.
    """
    found: list[Section] = []
    for task in tasks:
        drawn = {model: arrays[task, model] for model in models if (task, model) in arrays}
        if len(drawn) > pictures.COLOURS:
            raise LebenchError(
                f"{task}: {len(drawn)} models are too many for one picture; name up to {pictures.COLOURS}"
            )
        made = pictures.of_model(*drawn.values()) if len(drawn) == 1 else pictures.comparisons(drawn)
        if made:
            found.append((f"{task}: {', '.join(drawn)}", made))
    return found


def chart(found: Sequence[Section]) -> Any:
    """Return sections as one Altair chart, which a notebook shows and ``.save("page.html")`` writes.

    Raises
    ------
    MissingDependencyError
        If Altair is not installed.
    LebenchError
        If there is nothing to draw.
    """
    try:
        import altair
    except ImportError as error:
        raise MissingDependencyError("plot() needs Altair: pip install altair") from error
    if not found:
        raise LebenchError("there is nothing to draw: no arrays were kept of these values")
    charts = []
    for heading, made in found:
        for picture in made:
            spec = {k: v for k, v in picture.spec.items() if k not in ("$schema", "config", "usermeta")}
            spec["title"] = {"text": f"{heading}. {picture.title}" if heading else picture.title}
            # Each has its own colours, which the panels of one picture share.
            charts.append(altair.ConcatChart.from_dict(spec))
    joined = charts[0] if len(charts) == 1 else altair.vconcat(*charts).resolve_scale(color="independent")
    return joined.configure_legend(orient="bottom", columns=4)


def _key(record: Record) -> tuple[str, str]:
    return record.cell.task, record.label
