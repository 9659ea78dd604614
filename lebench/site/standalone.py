"""Pictures as one HTML file that needs no other file and no server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from lebench.errors import LebenchError
from lebench.pictures import Picture
from lebench.site.pages import render

#: The scripts and the style, in the order in which they are needed.
_SCRIPTS = ("vega/vega.min.js", "vega/vega-lite.min.js", "vega/vega-embed.min.js", "pictures.js")


def asset(name: str) -> str:
    """Return a file of the site: an installed package brings its own, a checkout has it among the documentation."""
    packaged = Path(__file__).parent / "assets" / name
    file = packaged if packaged.is_file() else Path(__file__).parents[2] / "docs" / "assets" / name
    return file.read_text(encoding="utf-8")


def write(path: Path, title: str, sections: Sequence[tuple[str, Sequence[Picture]]]) -> None:
    """Write pictures to a file.

    Parameters
    ----------
    path : Path
        File to write, replaced if it is there.
    title : str
        Title of the page.
    sections : sequence of (heading, pictures)
        What is on it.

    Raises
    ------
    LebenchError
        If the file cannot be written.
    """
    text = render(
        "standalone.html",
        title=title,
        sections=[(heading, [(picture, _data(picture)) for picture in made]) for heading, made in sections],
        style=Markup(asset("pictures.css")),
        scripts=[Markup(asset(name)) for name in _SCRIPTS],
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LebenchError(f"cannot write the pictures to {str(path)!r}: {error.strerror}") from error


def _data(picture: Picture) -> Markup:
    # All that could end the element it stands in begins so.
    return Markup(json.dumps(picture.spec).replace("<", "\\u003c"))
