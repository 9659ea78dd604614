"""Texts that may not stand on the board, and documents that are not read."""

import os

import pytest

from lebench.board import EntryInfo
from lebench.board.documents import DocumentError, parse_json, parse_toml, printable, read_bytes, read_text
from lebench.verify.texts import check_info
from lebench.verify.violations import Violation

GOOD = {
    "name": "mlp",
    "model": "mlp[lr=0.1,width=64]",
    "summary": "Müller's perceptron (2 layers), 50 % wider",
    "authors": ["Åsa O'Neil-Łukasz", "李雷", "A. Author"],
    "links": ["https://example.org/paper?id=1#part", "http://arxiv.org/abs/1901.00001"],
    "licence": "CC-BY-4.0",
    "lebench": "0.1.0",
    "command": "lebench run --model 'mlp[lr=0.1,width=64]' --seeds 5",
}


def said(**changes):
    return [str(violation) for violation in check_info(EntryInfo(**(GOOD | changes)))]


def test_good_texts_pass():
    assert said() == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"authors": ["<script>alert(1)</script>"]}, "authors.0: has < >, which HTML or Markdown may act on"),
        ({"authors": ["[A](javascript:x)"]}, "authors.0: has [ ]"),
        ({"authors": ["A\u202egnp.exe"]}, "authors.0: has a control or invisible character, '\\u202e', at place 2"),
        ({"authors": ["A\u200bB"]}, "authors.0: has a control or invisible character, '\\u200b'"),
        ({"authors": ["\u3164"]}, "authors.0: has a control or invisible character, '\\u3164'"),
        ({"authors": ["A\u2800B"]}, "authors.0: has a control or invisible character, '\\u2800'"),
        ({"authors": ["A\u00a0B"]}, "authors.0: has a control or invisible character, '\\xa0'"),
        ({"authors": ["Auth\u043er"]}, "authors.0: has a word of CYRILLIC and LATIN letters"),
        ({"authors": ["A\x1b[31m"]}, "authors.0: has a control or invisible character, '\\x1b'"),
        ({"authors": ["A\n# B"]}, "authors.0: has a control or invisible character, '\\n'"),
        ({"authors": ["Z" + "\u0335" * 9]}, "authors.0: has more than 2 marks on the letter at place 1"),
        ({"authors": ["e\u0301"]}, "authors.0: is not in the composed form of Unicode (NFC)"),
        ({"authors": [" "]}, "authors.0: is empty"),
        ({"authors": ["A" * 101]}, "authors.0: has 101 characters, at most 100 are allowed"),
        ({"authors": ["A"] * 101}, "authors: are 101, at most 100 are allowed"),
        ({"summary": "best at https://example.org"}, "summary: has an address; put it under links"),
        ({"summary": "**best**"}, "summary: has *"),
        ({"model": "m\u0456p"}, "model: has characters beyond ASCII"),
        ({"model": "mlp[width"}, "model: is not of the form name"),
        ({"links": ["https://user@example.org/"]}, "links.0: is not a plain http(s) address"),
        ({"links": ["https://localhost/"]}, "links.0: is not a plain http(s) address"),
        ({"links": ["https://ex\u0430mple.org/"]}, "links.0: is not a plain http(s) address"),
        ({"links": ["https://example.org/(x)"]}, "links.0: is not a plain http(s) address"),
        ({"links": ["https://example.org:x/"]}, "links.0: is not a plain http(s) address"),
        ({"links": ["https://example.org/"] * 11}, "links: are 11, at most 10 are allowed"),
        ({"licence": "free, really"}, "licence: is not an SPDX identifier"),
        ({"lebench": "latest"}, "lebench: is not a version"),
        ({"command": "lebench run --seeds 5; rm -rf ~"}, "command: is not quoted as a shell needs it"),
        ({"command": "lebench run $(id)"}, "command: is not quoted as a shell needs it"),
        ({"command": "curl example.org"}, "command: does not begin with 'lebench run'"),
        ({"command": "lebench run '"}, "command: has a quotation mark without its partner"),
    ],
)
def test_texts_that_may_not_stand_on_the_board(changes, line):
    (found,) = said(**changes)
    assert found.startswith(f"entry.toml: {line}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1,"a":1}', "has the key 'a' twice"),
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9" * 5000, "beyond the whole numbers of JSON"),
        ("9007199254740993", "beyond the whole numbers of JSON"),
        ("[" * 100_000, "is nested too deeply"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_is_not_read(text, message):
    with pytest.raises(DocumentError, match=message):
        parse_json(text)


@pytest.mark.parametrize("text", ["a = 1\na = 2", "a = " + "[" * 100_000, "a = " + "9" * 5000, "a.b = 1\na = 2", "\0"])
def test_toml_that_is_not_read(text):
    with pytest.raises(DocumentError):
        parse_toml(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfa = 1", "byte order mark"),
        (b"a = 1\r\n", "carriage returns"),
        (b"a = \xff", "is not UTF-8 at byte 4"),
        (b"a" * 101, "has more than 100 bytes"),
    ],
)
def test_files_that_are_not_read(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DocumentError, match=message):
        read_text(tmp_path / "file", 100)


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="cannot be read"):
        read_bytes(tmp_path / "link", 100)
    with pytest.raises(DocumentError, match="is not a regular file"):
        read_bytes(tmp_path / "pipe", 100)
    with pytest.raises(DocumentError):
        read_bytes(tmp_path, 100)


def test_whatever_is_said_is_one_printable_line():
    hostile = "a\n\x1b[31m\u202e\udcff\u2028" + "b" * 1000
    line = str(Violation(hostile, hostile, hostile))
    assert line.isprintable()
    assert len(line) < 3000
    assert printable("a\nb") == "a b"
