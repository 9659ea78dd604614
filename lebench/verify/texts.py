"""What the texts of an entry may hold: they stand on the board, in terminals and in commands that people copy.

The site escapes what it shows; these rules keep from it what misleads a reader in spite of that. All texts: no control
characters and none that are invisible or turn the direction of writing, at most two marks on one letter, the composed
form of Unicode (NFC), a length. Names and summary: nothing that HTML or Markdown act on. Links: plain ``http(s)``
addresses. The command: one call of lebench, quoted as a shell needs it, so that copying it runs nothing else.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from urllib.parse import urlsplit

from lebench import registry
from lebench.board.documents import printable
from lebench.board.entries import EntryInfo
from lebench.errors import LebenchError
from lebench.models.spec import parse_spec
from lebench.records import Record
from lebench.verify.violations import Violation

#: Characters that a text may have at most.
_LENGTHS = {"model": 200, "summary": 200, "author": 100, "link": 200, "licence": 60, "lebench": 40, "command": 10_000}
_LONGEST = 2000
_MOST_AUTHORS, _MOST_LINKS = 100, 10
#: Categories of Unicode: control, format (among them the ones that turn direction), surrogates, private, unassigned.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Letters and marks of other categories that are drawn as nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159") | {
    chr(code) for code in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
#: Scripts that one word of Japanese, Korean or Chinese mixes, and modifiers, which belong to any.
_TOGETHER = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "MODIFIER", "KATAKANA-HIRAGANA", "MICRO"})
_ACTIVE = frozenset("<>[]{}\\`|*#!&")
_MARKS = 2
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]*")
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*")
_HOST = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_LINK = re.compile(r"[A-Za-z0-9:/?#@!$&'*+,;=._~%-]+")
_DIGESTS = re.compile(r"([0-9a-f]{64})*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
_ARRAY = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_info(info: EntryInfo) -> Iterator[Violation]:
    """Yield the texts of ``entry.toml`` that may not stand on the board."""

    def broken(field: str, rule: str | None) -> Iterator[Violation]:
        if rule:
            yield Violation("entry.toml", field, rule)

    yield from broken("model", label_rule(info.model))
    if info.summary and not _own(info):
        yield from broken("summary", _plain(info.summary, "summary") or _inactive(info.summary))
    if len(info.authors) > _MOST_AUTHORS:
        yield from broken("authors", f"are {len(info.authors):,}, at most {_MOST_AUTHORS} are allowed")
    for place, author in enumerate(info.authors[:_MOST_AUTHORS]):
        yield from broken(f"authors.{place}", _plain(author, "author") or _inactive(author))
    if len(info.links) > _MOST_LINKS:
        yield from broken("links", f"are {len(info.links):,}, at most {_MOST_LINKS} are allowed")
    for place, link in enumerate(info.links[:_MOST_LINKS]):
        yield from broken(f"links.{place}", _plain(link, "link") or _address(link))
    yield from broken(
        "licence", _plain(info.licence, "licence") or _matched(info.licence, _LICENCE, "an SPDX identifier")
    )
    yield from broken("lebench", _plain(info.lebench, "lebench") or _matched(info.lebench, _VERSION, "a version"))
    yield from broken("command", _plain(info.command, "command") or _call(info.command))


def label_rule(label: str) -> str | None:
    """Return why a text is not fit to name a model, None if it is."""
    return _plain(label, "model") or _label(label)


def sentence_rule(text: str) -> str | None:
    """Return why a text is not one that pages may show, None if it is."""
    return _plain(text, "summary") or _inactive(text)


def address_rule(text: str) -> str | None:
    """Return why a text is no address that pages may link to, None if it is."""
    return _plain(text, "link") or _address(text)


def check_texts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield field and rule of the texts of a record that are not what they should be."""
    cell = record.cell
    digests = {"dataset_sha256": cell.dataset_sha256, "replaces": "".join(record.replaces)} | record.fingerprints
    for name, digest in (digests | {"plugin": cell.plugin, "source.code": record.source.code}).items():
        if not _DIGESTS.fullmatch(digest) or (not digest and name == "dataset_sha256"):
            yield name, "is not a sha256 in hexadecimal digits"
    if len(record.fingerprints) > 3 or len(record.replaces) > _MOST_AUTHORS or len(cell.references) > _MOST_AUTHORS:
        yield "cell", "has more fingerprints, references or replaced records than any has"
    for name in {*cell.references, *record.fingerprints}:
        if not _NAME.fullmatch(name):
            yield "references", f"{printable(name)!r} is not a name"
    for name in ("backend", "precision", "model"):
        if not _NAME.fullmatch(getattr(cell, name)):
            yield name, "is not a name"
    if len(cell.params) > _MOST_AUTHORS:
        yield "params", f"are more than {_MOST_AUTHORS}"
    for name in record.artifacts:
        if not _ARRAY.fullmatch(name):
            yield "artifacts", f"{name!r} is not a name of lower-case letters, digits and underscores"
    if record.source.commit is not None and not re.fullmatch(r"[0-9a-f]{7,64}", record.source.commit):
        yield "source.commit", "is not a commit of git"
    machine = record.environment
    texts: dict[str, str | None] = {"track": record.track, "reason": record.reason}
    texts |= {f"missing.{name}": reason for name, reason in record.missing.items()}
    texts |= {f"environment.{name}": getattr(machine, name) for name in ("lebench", "python", "os", "cpu", "gpu")}
    for kind, table in (("params", cell.params), ("environment.packages", machine.packages)):
        for key, value in table.items():
            texts |= {f"{kind}, name": key, f"{kind}.{key}": value if isinstance(value, str) else None}
            if rule := _plain(key):
                yield kind, f"a name {rule}"
    texts["run.command"] = record.run.command[:_LONGEST]
    for field, text in texts.items():
        if text and (rule := _plain(text)):
            yield field, rule


#: Cyrillic and Greek letters that look like Latin ones, beside these.
_ALIKE = str.maketrans(
    "01iаеорсухіјѕԁһԛԝвкмнтгαοερτυνκιχ",
    "ollaeopcyxljsdhqwbkmhtraoeptuvklx",
)


def skeleton(text: str) -> str:
    """Return what a text looks like: texts with the same skeleton are not told apart at a glance.

    Examples
    --------
    >>> skeleton("res_net") == skeleton("resnet"), skeleton("1enet") == skeleton("lenet")
    (True, True)
    >>> skeleton("А. Author") == skeleton("A. Author")  # the first begins with a Cyrillic letter
    True
    >>> skeleton("mlp-lr1.0") == skeleton("mlp-lr10")
    False
    """
    text = re.sub(r"(?<=\d)[-_.]+(?=\d)", "·", text.casefold())
    text = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
    return re.sub(r"[-_.\s]", "", text).translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def is_hidden(character: str) -> bool:
    """Return whether a character is drawn as nothing, or as a space that is none."""
    category = unicodedata.category(character)
    return category in _HIDDEN or character in _BLANK or (category == "Zs" and character != " ")


def _plain(text: str, kind: str = "") -> str | None:
    """Return what makes a text unfit to be shown at all."""
    longest = _LENGTHS.get(kind, _LONGEST)
    if not text.strip():
        return "is empty"
    if len(text) > longest:
        return f"has {len(text):,} characters, at most {longest:,} are allowed"
    marks = 0
    for place, character in enumerate(text):
        if is_hidden(character):
            return f"has a control or invisible character, {character!a}, at place {place + 1}; remove it"
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        if marks > _MARKS:
            return f"has more than {_MARKS} marks on the letter at place {place + 1 - marks}"
    if text != text.strip():
        return "begins or ends with a space"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in the composed form of Unicode (NFC)"
    return None


def _inactive(text: str) -> str | None:
    for word in text.split():
        # The name of a letter in Unicode begins with its script: "LATIN", "CYRILLIC".
        scripts = {unicodedata.name(c, "UNKNOWN").split()[0] for c in word if c.isalpha()} - _TOGETHER
        if len(scripts) > 1:
            return (
                f"has a word of {' and '.join(sorted(scripts))} letters, {word[:40]!a}, some of which look like others"
            )
    found = sorted(_ACTIVE.intersection(text))
    if found:
        return f"has {' '.join(found)}, which HTML or Markdown may act on; write it without"
    return "has an address; put it under links" if "://" in text or "www." in text else None


def _own(info: EntryInfo) -> bool:
    """Return whether the summary is the one that lebench itself has of its model."""
    name = info.model.split("[", 1)[0]
    return name in registry.models and registry.models.item(name).summary == info.summary


def _label(text: str) -> str | None:
    if not text.isascii():
        return "has characters beyond ASCII, which may look like others"
    try:
        parse_spec(text)
    except LebenchError:
        return "is not of the form name or name[parameter=value,...]"
    return f"has {' '.join(sorted(set('<>`|&') & set(text)))}" if set("<>`|&") & set(text) else None


def _address(text: str) -> str | None:
    rule = "is not a plain http(s) address such as https://example.org/paper"
    if not _LINK.fullmatch(text):
        return rule
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and "@" not in parts.netloc and _HOST.fullmatch(parts.hostname or "")
        _ = parts.port
    except ValueError:
        return rule
    return None if fits else rule


def _matched(text: str, pattern: re.Pattern[str], what: str) -> str | None:
    return None if pattern.fullmatch(text) else f"is not {what}"


def _call(text: str) -> str | None:
    """Return why a command is not one call of lebench that a shell reads as it stands."""
    try:
        words = shlex.split(text)
    except ValueError:
        return "has a quotation mark without its partner"
    if words[:1] != ["lebench"] or words[1:2] not in (["run"], ["baselines"]):
        return "does not begin with 'lebench run'"
    return None if shlex.join(words) == text else f"is not quoted as a shell needs it: {shlex.join(words)}"
