"""A model's own code takes part in a re-run only, and what that leaves is looked at."""

import pytest
from submission_scripts import ENTRIES, executable, write


@pytest.mark.parametrize("left", ["a link", "a pipe", "too much"])
def test_what_a_rerun_leaves_is_looked_at_before_it_is_read(check, repository, tmp_path, left):
    """Code that was run may have put anything in the place of its verification."""
    write(repository, f"{ENTRIES}/mine/entry.toml", "")
    make = {
        "a link": "os.symlink('/dev/zero', path)",
        "a pipe": "os.mkfifo(path)",
        "too much": "os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 20_000_001)",
    }
    executable(
        tmp_path / "bin/lebench",
        f"import os, sys\npath = sys.argv[2] + '/verification.json'\nif sys.argv[1] == 'verify': {make[left]}",
    )
    code, result = check("--rerun", "1")
    assert (code, result["verdict"]) == (2, "failed")
    assert "the re-run has left" in result["lines"][0]
    assert not (tmp_path / "out/verification.json").exists()


def test_a_plugin_is_given_only_to_a_rerun(check, repository, tmp_path):
    write(repository, f"{ENTRIES}/mine/plugin.py")
    write(repository, f"{ENTRIES}/mine/entry.toml", "")
    executable(
        tmp_path / "bin/lebench",
        "import sys\n"
        "if sys.argv[1] == 'validate': sys.exit()\n"
        "print(sys.argv[-2:])\n"
        "open(sys.argv[2] + '/verification.json', 'w').write('{}')\n",
    )
    code, result = check()
    assert code == 0, result
    assert all("--plugin" not in line for line in result["lines"])
    code, result = check("--rerun", "all", commit="HEAD~0")
    assert code == 0, result
    assert result["lines"][0].startswith("['--plugin'")
    assert result["lines"][0].endswith("plugin.py']")
