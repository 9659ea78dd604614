"""What a reader of a model's code sees is what would run, and what reaches out of a model is listed."""

import base64

import pytest

from lebench.verify.plugin_source import check_source, listing

GOOD = '"""A model: naïve, with an é in its text."""\n\nname = "größe"  # a comment with ß\n'


def rules(content):
    return [f"{found.field}: {found.rule}" for found in check_source("plugin.py", content)]


def test_text_in_any_language_is_fine():
    assert rules(GOOD.encode()) == []


@pytest.mark.parametrize(
    ("content", "field", "rule"),
    [
        (b"# -*- coding: utf-7 -*-\nx = 1\n", "line 1", "names an encoding"),
        (b"#!/usr/bin/env python\n# vim: set fileencoding=latin-1 :\n", "line 2", "names an encoding"),
        (b"x = '\xff'\n", "byte 6", "is not UTF-8"),
        ("х = 1\n".encode(), "line 1", "names in code are of ASCII"),  # a Cyrillic letter
        ("ﬁt = 1\n".encode(), "line 1", "names in code are of ASCII"),  # a ligature, which Python reads as fi
        ("x = 1 # a\u202eb\n".encode(), "line 1", "cannot be seen"),
        ("x\u200b = 1\n".encode(), "line 1", "cannot be seen"),
        ("\ufeffx = 1\n".encode(), "line 1", "cannot be seen"),
        ("x = 'a\ufe00\U000e0101'\n".encode(), "line 1", "cannot be seen"),  # selectors, which can hold any bytes
        ("x = '\u3164\u2800'\n".encode(), "line 1", "cannot be seen"),
        (b"x = 1\x0cy = 2\n", "line 1", "cannot be seen"),
        (b"x = 1\r\n", "line 1", "cannot be seen"),
        (b"x = 1" + b" " * 3000 + b"; import os\n", "line 1", "characters, at most 120"),
        (b"def f(:\n", "line 1", "is not Python"),
        (b"x = 1\0\n", "line 1", "cannot be seen"),
        (b"(" * 5000 + b")" * 5000 + b"\n", "line 1", "characters, at most 120"),
    ],
)  # fmt: skip
def test_what_a_reader_would_not_see_is_refused(content, field, rule):
    found = rules(content)
    assert any(line.startswith(field) and rule in line for line in found), found


def test_what_reaches_out_is_listed_with_its_place():
    code = (
        "import os, numpy\n"
        "from ctypes import CDLL\n"
        "import subprocess as harmless\n"
        f"exec(__import__('base64').b64decode({base64.b64encode(b'print()').decode()!r}))\n"
        "open('/etc/passwd')\nopen('x', mode='w')\nopen('y', how)\n"
        "token = os.environ['TOKEN']\n"
        "import socket\n"
        f"text = '{'a' * 500}'\n"
    )
    assert listing("plugin.py", code) == [
        "plugin.py:1: imports numpy",
        "plugin.py:1: imports os: reaches processes and the environment",
        "plugin.py:2: imports ctypes: reaches memory",
        "plugin.py:3: imports subprocess: reaches processes and the environment",
        "plugin.py:4: calls __import__: runs text as code",
        "plugin.py:4: calls b64decode: decodes text",
        "plugin.py:4: calls exec: runs text as code",
        "plugin.py:5: calls open: reads files",
        "plugin.py:6: calls open: writes files",
        "plugin.py:7: calls open: writes files",
        "plugin.py:8: names environ: reads the environment",
        "plugin.py:9: imports socket: reaches the network",
        "plugin.py:10: holds a literal of 500 characters",
    ]


def test_a_long_list_ends_with_the_advice_to_read_the_whole():
    assert listing("plugin.py", "import os\n" * 100)[-1] == "plugin.py: 40 more such places; read the whole file"
