"""A repository to which an entry is submitted, and the check of it."""

import json
import os
import subprocess

import pytest
from submission_scripts import ENTRIES, ROOT, executable


@pytest.fixture
def repository(tmp_path):
    """A repository with an entry, and git in it."""
    folder = tmp_path / "repository"

    def git(*args, **options):
        own = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", "-C", folder, *own, *args], check=True, capture_output=True, **options)
        return done.stdout.decode().strip()

    (folder / ENTRIES / "foreign").mkdir(parents=True)
    (folder / ENTRIES / "foreign/entry.toml").write_text("theirs")
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "main")
    git.folder = folder
    return git


@pytest.fixture
def check(repository, tmp_path):
    """A function that merges the work in a repository and checks it: by a lebench that lists the files it is given."""
    listing = (
        "import sys, pathlib\n"
        "folder = pathlib.Path(sys.argv[2])\n"
        "print(sys.argv[1], *sys.argv[3:])\n"
        "print(*sorted(f'{p.relative_to(folder)}: {p.read_text()}' for p in folder.rglob('*') if p.is_file()))\n"
        "if '--write' in sys.argv: (folder / 'verification.json').write_text('{}')\n"
        "sys.exit('tampered' in folder.name)\n"
    )
    lebench = executable(tmp_path / "bin/lebench", listing)

    def check(*options, commit="HEAD"):
        if commit == "HEAD":
            repository("switch", "-qc", "submission")
            repository("add", "-A")
            repository("commit", "-qm", "submission", "--allow-empty")
            repository("switch", "-q", "main")
            repository("merge", "-q", "--no-ff", "-m", "merge", "submission")
        command = [ROOT / ".ci/verify-entry", commit, "--out", tmp_path / "out", *options]
        environment = {name: value for name, value in os.environ.items() if name != "GITHUB_ACTIONS"}
        environment["LEBENCH"] = str(lebench)
        done = subprocess.run(
            command, cwd=repository.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr
        result = json.loads((tmp_path / "out/result.json").read_text())
        assert result["lines"] == done.stdout.splitlines()
        return done.returncode, result

    return check
