"""Templates and files: how a page is rendered and written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lebench.errors import LebenchError
from lebench.site import checks, numbers


def slug(name: str) -> str:
    """Return the name of a task's or track's page.

    Examples
    --------
    >>> slug("digits/small-n")
    'digits-small-n'
    """
    return name.replace("/", "-")


def breakable(name: str) -> Markup:
    """Return a name as HTML that may be broken after its parts.

    Examples
    --------
    >>> breakable("nc1@train")
    Markup('nc1<wbr>@train')
    """
    return Markup(re.sub(r"(?<=[_/,])(?=.)|(?=[@\[])", "<wbr>", str(escape(name))))


def verbatim(text: str) -> Markup:
    r"""Return a text of several lines as HTML on one, since an empty line would end the HTML.

    Examples
    --------
    >>> verbatim("a < b\n\nc")
    Markup('a &lt; b&#10;&#10;c')
    """
    return Markup(str(escape(text)).replace("\r", "").replace("\n", "&#10;"))


def _on_one_line(value: Any) -> Any:
    # Text of an entry stands inside HTML, where Markdown is not read; only a line break could end that.
    return " ".join(value.split()) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("lebench.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_on_one_line,
    )
    environment.filters.update(
        slug=slug,
        of=lambda name, table: table[name],
        breakable=breakable,
        verbatim=verbatim,
        seconds=numbers.seconds,
        megabytes=numbers.megabytes,
    )
    environment.globals.update(
        show=numbers.show, interval=numbers.interval, exact=numbers.exact, order=numbers.order, signed=numbers.signed
    )
    from lebench.site.drawn import image_path

    environment.globals.update(checked=checks.sentence, image_path=image_path)
    return environment


def render(template: str, **values: Any) -> str:
    """Render a template of this package; everything put into it is escaped."""
    return _templates().get_template(template).render(**values)


def write_pages(pages: Mapping[str, str | bytes], folder: Path, keep: Collection[str] = ()) -> list[Path]:
    """Write pages and remove files in the folder that belong to none of them.

    Parameters
    ----------
    pages : mapping of str to str or bytes
        Text or content by path inside the folder.
    folder : Path
        Must be empty, new, or written by an earlier call: a folder with other files in it is left alone.
    keep : collection of str
        Paths to leave alone.

    Returns
    -------
    list of Path
        The pages' files.

    Raises
    ------
    LebenchError
        If the folder holds what this function cannot have written, or cannot be written.
    """
    mark = folder / ".generated"
    try:
        if folder.exists() and any(folder.iterdir()) and not mark.exists():
            raise LebenchError(f"{folder} holds files that lebench has not written; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text("Written by 'lebench site build'; do not edit.\n", encoding="utf-8")
        kept = {folder / path for path in pages} | {folder / path for path in keep} | {mark}
        for old in folder.rglob("*"):
            if old.is_file() and old not in kept:
                old.unlink()
        for path, text in pages.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # An unchanged file keeps its time, so that a page server does not reload for nothing.
            content = text.encode() if isinstance(text, str) else text
            if not target.exists() or target.read_bytes() != content:
                target.write_bytes(content)
    except OSError as error:
        raise LebenchError(f"cannot write pages to {folder}: {error.strerror}") from error
    return [folder / path for path in pages]
