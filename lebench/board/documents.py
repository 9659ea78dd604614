"""Documents that may come from anybody, read with nothing taken on trust: not the file, not the text, not a number.

A file is opened without following a link or waiting for a pipe, and no more of it is read than is allowed. JSON may
have each key once, no number that is not finite, and no whole number that not every reader of JSON can hold.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

#: Whole numbers beyond this differ between readers of JSON (RFC 8785, appendix D).
_LARGEST_INTEGER = 2**53 - 1
#: A key of many parts, which would cost tomllib memory that grows with the square of their number. Text of this form
#: within a string counts too.
_LONG_KEY = re.compile(
    r"""(?<![A-Za-z0-9_-])(?>(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){50}""",
)
#: Characters of a text from an entry that a message repeats.
_REPEATED = 300


#: What pydantic and tomllib say in terms of Python, in terms of the document.
_WORDS = {"extra_forbidden": "there is no such field; remove it", "missing": "is missing"}
_TOML_TWICE = "Cannot overwrite a value"


class DocumentError(ValueError):
    """A document that is not what it should be; the message is one printable line that does not name the file."""


def read_bytes(path: Path, largest: int) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : Path
        Of the file itself: a link is not followed.
    largest : int
        Bytes that it may have.

    Raises
    ------
    DocumentError
        If it cannot be read, is no regular file or is larger.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DocumentError("is not a regular file")
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"cannot be read: {getattr(error, 'strerror', None) or printable(str(error))}") from error
    if len(content) > largest:
        raise DocumentError(f"has more than {largest:,} bytes")
    return content


def read_text(path: Path, largest: int) -> str:
    """Return the text of a file: UTF-8 without a byte order mark and with the line ends of Unix.

    Raises
    ------
    DocumentError
        If it is none, or :func:`read_bytes` cannot read it.
    """
    content = read_bytes(path, largest)
    if content.startswith(b"\xef\xbb\xbf"):
        raise DocumentError("begins with a byte order mark; save it as UTF-8 without one")
    if b"\r" in content:
        raise DocumentError("has carriage returns; save it with the line ends of Unix")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"is not UTF-8 at byte {error.start}") from error


def parse_json(text: str) -> Any:
    """Return the content of a JSON document.

    Raises
    ------
    DocumentError
        If it is no JSON, is nested too deeply, has a key twice, or a number that is not finite or too large.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite, parse_int=_exact)
    except RecursionError as error:
        raise DocumentError("is nested too deeply") from error
    except ValueError as error:
        raise DocumentError(one_line(error)) from error


def parse_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML document.

    Raises
    ------
    DocumentError
        If it is none, is nested too deeply, or has a key of more than fifty parts.
    """
    if _LONG_KEY.search(text):
        raise DocumentError("has a key of more than fifty parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise DocumentError("is nested too deeply") from error
    except ValueError as error:
        raise DocumentError(one_line(error).replace(_TOML_TWICE, "has a key twice")) from error


def one_line(error: Exception) -> str:
    """Return what an error says as one printable line: of a document of another form, the first field that is wrong."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        said = _WORDS.get(first["type"], first["msg"])
        if first["type"] == "string_pattern_mismatch":
            said = f"is not of the form {first['ctx']['pattern']}"
        return printable(f"{'.'.join(map(str, first['loc']))}: {said}")
    if isinstance(error, KeyError):
        return printable(f"{error} is missing")
    return printable(str(error).split("\n", 1)[0]) or type(error).__name__


def printable(text: str, longest: int = _REPEATED) -> str:
    r"""Return a text as one line without characters that a terminal or a browser acts on, cut off where it is long.

    Examples
    --------
    >>> printable("a\nb \u202ec")
    'a b \\u202ec'
    """
    if len(text) > longest:
        text = text[:longest] + "…"
    return "".join(
        character if unicodedata.category(character)[0] != "C" else ascii(character)[1:-1]
        for character in " ".join(text.split())
    )


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DocumentError(f"has the key {key!r} twice")
        found[key] = value
    return found


def _refuse(name: str) -> float:
    raise DocumentError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise DocumentError(f"{text} is not a finite number")
    return number


def _exact(text: str) -> int:
    # Checked by length first: the digits of a number can be many.
    if len(text) > 17 or abs(int(text)) > _LARGEST_INTEGER:
        raise DocumentError(f"{text[:20]} is beyond the whole numbers of JSON, from -(2^53 - 1) to 2^53 - 1")
    return int(text)
