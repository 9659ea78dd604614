"""An extension of Markdown: docstrings use Sphinx's roles, which mkdocstrings would show as they are written.

``mkdocs.yml`` names it among the extensions, so that mkdocs and Zensical both know it.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.util import AtomicString

#: Roles are read before code between backticks, whose priority is 190.
_PRIORITY = 191


class _Role(InlineProcessor):  # type: ignore[misc]
    def handleMatch(self, m: Any, data: str) -> tuple[Element, int, int]:
        code = Element("code")
        code.text = AtomicString(m[2].rpartition(".")[2] if m[1] else m[2].lstrip("."))
        return code, m.start(0), m.end(0)


class Roles(Extension):  # type: ignore[misc]
    """Show ``:func:`~lebench.run``` as its name in code, without its module after a ``~``.

    Examples
    --------
    >>> Markdown(extensions=[Roles()]).convert("See :func:`~lebench.board.frame`.")
    '<p>See <code>frame</code>.</p>'
    """

    def extendMarkdown(self, md: Markdown) -> None:
        """Register the pattern."""
        md.inlinePatterns.register(_Role(r":(?:func|class|data|meth|mod|attr):`(~?)([^`<]+)`", md), "roles", _PRIORITY)


def makeExtension(**options: Any) -> Roles:
    """Return the extension; the name is Markdown's."""
    return Roles(**options)
