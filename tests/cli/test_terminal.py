"""Every command prints what the terminal can show, whatever its encoding."""

import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import lebench
from lebench.cli import terminal
from lebench.verify.submission import skeleton

SOURCES = "".join(path.read_text(encoding="utf-8") for path in Path(lebench.__file__).parent.rglob("*.py"))


def named(letter):
    """Return the name of a letter in Unicode."""
    return unicodedata.name(letter, "")


@pytest.fixture
def stream(monkeypatch):
    def stream(encoding):
        made = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
        monkeypatch.setattr(sys, "stdout", made)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        terminal.use_plain_text_where_needed()
        return made

    return stream


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "koi8-r", "utf-8"])
def test_every_character_of_the_package_can_be_shown(stream, encoding):
    letters = sorted(set(SOURCES))
    if encoding == "ascii":
        # Letters of other scripts that look like Latin ones are there to be told from them, and not shown.
        scripts = ("CYRILLIC", "GREEK")
        letters = [each for each in letters if not (named(each).startswith(scripts) and skeleton(each).isascii())]
    out = stream(encoding)
    out.write("".join(letters) + "\udcff")
    shown = out.buffer.getvalue().decode(encoding)
    if encoding == "ascii":
        assert "?" not in shown.replace("?", "", 2)
    if encoding == "utf-8":
        assert set(SOURCES) <= {*shown, "\r"}


def test_what_an_encoding_lacks_is_written_plainly(stream):
    out = stream("ascii")
    out.write("0.5 ± 0.1, 2 × 3 → 6, naïve … 𝔘")
    assert out.buffer.getvalue() == b"0.5 +- 0.1, 2 x 3 -> 6, naive ... U"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [["show", "mlp"], ["info", "mlp"], ["run", "--help"], ["show", "\udcff"]])
def test_commands(encoding, arguments, tmp_path):
    command = [sys.executable, "-c", "from lebench.cli import main; main()", *arguments]
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=variables, cwd=tmp_path, check=False)
    assert done.returncode == (2 if "\udcff" in arguments else 0)
    assert "Traceback" not in (done.stdout + done.stderr).decode(encoding)
