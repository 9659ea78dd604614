"""The pages of the leaderboard and of the catalogue, as Markdown for mkdocs; generated, never committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lebench.board import (
    Entry,
    check_controls,
    gather,
    make_board,
    read_entries,
    write_board,
    write_tables,
)
from lebench.board.entry_plugin import PACKED, PLUGIN, PLUGIN_LIMIT
from lebench.board.notes import read_notes

__all__ = ["build"]


def build(entries_root: Path, docs: Path = Path("docs")) -> list[Path]:
    """Write the leaderboard's pages, the gallery and the catalogue of tasks, metrics and models.

    Parameters
    ----------
    entries_root : Path
        Folder of the entries. The folder ``points`` beside it keeps their values at test points, see
        :func:`lebench.board.gather`.
    docs : Path, default docs
        Folder of the documentation's sources. Its subfolders ``leaderboard`` (with ``board.json``), ``gallery``
        and ``reference`` are written anew; what an earlier call wrote there and is no longer made is removed.

    Returns
    -------
    list of Path
        The files written, sorted.

    Raises
    ------
    LebenchError
        If an entry cannot be read, a folder cannot be written, or a control does what a control must not do; see
        :func:`lebench.board.check_controls`. Nothing is written then.
    """
    from lebench.site import (
        explorer,
        home,
        ladder,
        leaderboard,
        macros,
        matrix,
        notebook,
        overview,
        papers,
        reference,
        tracks,
    )
    from lebench.site.drawn import draw
    from lebench.site.history import read_history
    from lebench.site.pages import render, write_pages
    from lebench.site.pictures import gallery

    entries = read_entries(entries_root)
    points = gather(entries, entries_root.parent / "points")
    board = make_board(entries, points=points)
    check_controls(board)
    path = docs / "leaderboard" / "board.json"
    arrays = gallery(entries)
    history = read_history(entries_root, entries)
    tables = {path.name, "board.csv", "board.parquet"}
    notes = read_notes(entries_root)
    pages = leaderboard.pages(board, arrays, history, points, _code(entries_root, entries), notes)
    judged = papers.judge(board, arrays)
    view = leaderboard.View(board)
    pages |= {"index.md": overview.page(view), "matrix.md": matrix.page(view), "ladder.md": ladder.page(view)}
    pages["explorer.md"] = explorer.page(view, arrays)
    pages |= {f"{track}.md": tracks.page(view, track) for track in view.tracks}
    pages["_home.html"] = home.fragment(view, judged)
    figures = macros.answers(docs.glob("*.md"), macros.Figures(view, judged))
    pages[macros.FIGURES.name] = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    written = write_pages({**pages, **draw(pages, path.parent)}, path.parent, keep=tables)
    write_board(board, path)
    written += write_tables(board, path.parent)
    shown = papers.pages(judged)
    written += write_pages({**shown, **draw(shown, docs / "gallery")}, docs / "gallery")
    written += write_pages({**reference.pages(), **notebook.pages(docs)}, docs / "reference")
    stamp = docs.parent / "overrides" / "partials" / "stamp.html"
    if stamp.parent.is_dir():
        stamp.write_text(render("stamp.html", board=board), encoding="utf-8")
        written.append(stamp)
    return sorted([*written, path])


def _code(entries_root: Path, entries: Sequence[Entry]) -> dict[str, str]:
    """Return the text of the models' own code, by entry."""
    found = {}
    for entry in entries:
        folder = entries_root / entry.name
        files = [file for file in (folder / PLUGIN, *sorted((folder / PACKED).rglob("*.py"))) if file.is_file()]
        texts = [file.read_bytes()[:PLUGIN_LIMIT].decode("utf-8", "replace") for file in files]
        if len(files) > 1:
            texts = [f"# {file.relative_to(folder)}\n\n{text}" for file, text in zip(files, texts, strict=True)]
        if files:
            found[entry.name] = "\n\n".join(texts)
    return found
