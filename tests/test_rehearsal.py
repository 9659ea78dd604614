"""The rehearsal of submissions: every case gets its verdict, and a wrong verdict is noticed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/rehearse"


def rehearse(*cases):
    done = subprocess.run([sys.executable, SCRIPT, *cases], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_case_that_does_not_exist_is_said():
    code, said = rehearse("no such case")
    assert code == 1
    assert "there is no case with no such case in its name" in said


@pytest.mark.slow
def test_every_submission_gets_its_verdict():
    code, said = rehearse()
    assert code == 0, said
    assert "submissions got the right verdict and comment" in said


@pytest.mark.slow
def test_a_check_that_accepts_everything_is_noticed(tmp_path, monkeypatch):
    """A lebench that verifies nothing: the rehearsal fails by the cases that it lets through."""
    blind = tmp_path / "lebench"
    blind.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "if sys.argv[1] in ('validate', 'verify'): sys.exit(print('records with a recording agree'))\n"
        "from lebench.cli import main\nmain()\n"
    )
    blind.chmod(0o755)
    monkeypatch.setitem(os.environ, "LEBENCH", str(blind))
    code, said = rehearse("tampered prediction", "own model")
    assert code == 1
    assert "WRONG" in said
    assert "accepted with exit code 0" in said
