"""Executed notebooks of the documentation as pages: their text, code, tables, and charts as pictures of the site."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lebench.pictures import Picture
from lebench.site.pages import render

_VEGA = "application/vnd.vegalite."


def pages(docs: Path) -> dict[str, str]:
    """Return the page of every notebook in a folder, by file name.

    Parameters
    ----------
    docs : Path
        Folder of the documentation; a notebook ``a.ipynb`` in it becomes ``a.md``.
    """
    return {f"{path.stem}.md": page(path) for path in sorted(docs.glob("*.ipynb"))}


def page(path: Path) -> str:
    """Return a notebook as Markdown, with the outputs that it was saved with."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell(cell)]
    first, *rest = parts
    head = f"---\nhide: [navigation]\n---\n\n{first}\n\n[This page as a notebook](../{path.name}){{ download }}"
    return "\n\n".join([head, *rest]) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[str]:
    if output["output_type"] == "stream":
        yield f"```text\n{''.join(output['text']).rstrip()}\n```"
        return
    data = output.get("data", {})
    chart = next((value for kind, value in data.items() if kind.startswith(_VEGA)), None)
    if chart is not None:
        yield from map(_figure, _pictures(chart))
    elif "text/html" in data:
        yield f'<div class="le-output">\n{"".join(data["text/html"])}\n</div>'
    elif "text/plain" in data:
        yield f"```text\n{''.join(data['text/plain'])}\n```"


def _pictures(chart: dict[str, Any]) -> Iterator[Picture]:
    """Yield the pictures that :func:`lebench.reading.drawn.chart` has joined."""
    datasets = chart.get("datasets", {})
    for part in chart.get("vconcat", [chart]):
        # What all panels share of data stands above them.
        spec = {key: value for key, value in part.items() if key in ("concat", "columns", "description", "data")}
        used = {name: rows for name, rows in datasets.items() if f'"{name}"' in json.dumps(spec)}
        yield Picture("", part["title"]["text"], part["description"], {**spec, "datasets": used})


def _figure(picture: Picture) -> str:
    # All that could end the element it stands in begins so.
    inside = Markup(json.dumps(picture.spec).replace("<", "\\u003c"))
    return render("notebook_figure.html", picture=picture, inside=inside).strip()
