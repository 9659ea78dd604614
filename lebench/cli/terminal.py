"""Text that a terminal can show, whatever its encoding: what it lacks is written with letters that every one has."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from typing import Any

_HANDLER = "lebench-plain"
#: ASCII under a name of its own: click takes a stream of plain ASCII for a mistake and writes UTF-8 to it.
_ASCII = "lebench-ascii"
_PLAIN = {
    "−": "-",
    "–": "-",
    "—": "-",
    "±": "+-",
    "×": "x",
    "·": "*",
    "…": "...",
    "↑": "^",
    "↓": "v",
    "→": "->",
    "←": "<-",
    "π": "pi",
    "Ω": "Omega",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "²": "^2",
    "⁻": "^-",
    "∞": "inf",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "ᵀ": "^T",
}


def use_plain_text_where_needed() -> None:
    """Let standard output and error replace the characters that their encoding lacks, instead of failing."""
    codecs.register_error(_HANDLER, _replace)
    codecs.register(lambda name: _ascii() if name.replace("_", "-") == _ASCII else None)
    for stream in (sys.stdout, sys.stderr):
        # Not every stream that stands in for one can be told so.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            known = codecs.lookup(stream.encoding or "ascii").name
            reconfigure(encoding=_ASCII if known == "ascii" else known, errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _PLAIN.get(character) or letters or "?"


def _ascii() -> codecs.CodecInfo:
    usual: Any = codecs.lookup("ascii")
    return codecs.CodecInfo(
        usual.encode,
        usual.decode,
        streamreader=usual.streamreader,
        streamwriter=usual.streamwriter,
        incrementalencoder=usual.incrementalencoder,
        incrementaldecoder=usual.incrementaldecoder,
        name=_ASCII,
    )
