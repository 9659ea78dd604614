"""A hook of mkdocs: docstrings use Sphinx's roles, which mkdocstrings shows as they are written."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:func|class|data|meth|mod|attr):<code>(~?)([^<]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Replace ``:func:`~lebench.run``` by its name as code, without its module after a ``~``.

    Examples
    --------
    >>> on_page_content("See :func:<code>~lebench.board.frame</code>.")
    'See <code>frame</code>.'
    """
    return _ROLE.sub(
        lambda role: f"<code>{role[2].rpartition('.')[2] if role[1] else role[2].lstrip('.')}</code>", html
    )
