"""The page on submitting, run through: its files are written, its commands executed, what they print compared."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lebench.board import read_entry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/submit.md"
#: Entries that make the board of the test; what the page shows was made with all of them.
BOARD = ("constant", "deep-linear", "knn", "lenet", "linear", "linear-kernel", "logistic-regression", "rbf")
ENTRIES = sorted((path.name for path in (ROOT / "leaderboard/entries").iterdir()), key=len, reverse=True)
MARK = "-- end of a command --"


def steps():
    """Yield the files of the page as (name, text) and its commands as (command, output), in order."""
    for kind, title, body in re.findall(r'```(\w+)(?: title="(.+?)")?\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL):
        if kind == "python":
            yield "file", title, body
        elif kind == "console":
            for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
                yield "command", command, output


def skeleton(text):
    """Return a text without what another board, machine or hour changes: numbers, ranks, and names of entries."""
    names = "|".join(map(re.escape, ENTRIES))
    lines = []
    for line in text.splitlines():
        short = re.sub(rf"(?<![\w/-])(?:{names})(?![\w/-])", "#", line)
        short = re.sub(r"\d+(?:\.\d+)?(?: (?:to|of) \d+)*|–", "#", short)
        short = re.sub(r"\d+(?: of #)", "#", short)
        short = " ".join(re.sub(r"─+", "─", short).split())
        lines.append(re.sub(r"#(?: #)+", "#", short))
    # Whoever works on lebench runs it from files that differ from their commit; a newcomer's are as they were cloned.
    return [line for line in lines if line and not line.startswith("note: some records were made from files")]


def shown_in(output, page):
    """Return whether the page shows an output, with three dots for what is left out."""
    pattern = ""
    for line in skeleton(page):
        pattern += r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in skeleton(output))) is not None


def test_outputs_are_told_apart():
    assert shown_in("3 of 4 agree\nmore\nmlp 0.91 done\n", "2 of 2 agree\n...\nrbf 0.5 done\n")
    assert not shown_in("3 of 4 agree\nmore\n", "3 of 4 agree\n")
    assert not shown_in("3 of 4 differ\n", "3 of 4 agree\n")
    assert not shown_in("", "agree\n")


@pytest.fixture
def clone_of_a_fork(tmp_path):
    """Return a folder and an environment in which the page's address of a fork is a repository on this disk."""
    if not (Path(sys.prefix) / "bin/activate").is_file() or not all(map(shutil.which, ("git", "make", "bash"))):
        pytest.skip("needs git, make, bash and a virtual environment")
    upstream, remote, stub = (tmp_path / name for name in ("upstream", "remote", "stub"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".gitignore"):
        upstream.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, upstream)
    for name in BOARD:
        shutil.copytree(ROOT / "leaderboard/entries" / name, upstream / "leaderboard/entries" / name)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f'[url "file://{remote}/"]\n  insteadOf = https://github.com/YOU/\n[init]\n  defaultBranch = main\n'
        "[user]\n  name = A. Newcomer\n  email = newcomer@example.org\n"
    )
    # The recipe of 'make setup' is run, but its environment is the one of the tests.
    stub.mkdir()
    (stub / "python").write_text(f"#!/bin/sh\nmkdir .venv && ln -s {shlex.quote(sys.prefix)}/bin .venv/bin\n")
    (stub / "pip").write_text("#!/bin/sh\n")
    for program in stub.iterdir():
        program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE"))}
    environment |= {
        "GIT_CONFIG_GLOBAL": str(settings),
        "GIT_CONFIG_NOSYSTEM": "1",
        "MAKEFLAGS": f"PYTHON={stub}/python BIN={stub}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "140",
        # Whether gh is installed changes what is printed.
        "PATH": os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "gh").exists()),
    }
    for command in (
        f"git init -q {upstream}",
        f"git -C {upstream} add -A",
        f"git -C {upstream} commit -q -m start",
        f"git clone -q --bare {upstream} {remote}/lebench",
    ):
        subprocess.run(shlex.split(command), env=environment, check=True)
    work = tmp_path / "work"
    work.mkdir()
    return work, environment


@pytest.mark.slow
def test_from_an_empty_folder_to_a_pull_request(clone_of_a_fork):
    work, environment = clone_of_a_fork
    script, commands = [], []
    for kind, name, text in steps():
        if kind == "file":
            script.append(f"cat > {name} <<'END OF FILE'\n{text}\nEND OF FILE\n")
        else:
            commands.append((name, text))
            script.append(f"{name}\necho; echo '{MARK}' $?\n")
    assert len(commands) >= 12
    session = ["bash", "-c", "exec 2>&1 < /dev/null\n" + "".join(script)]
    done = subprocess.run(session, cwd=work, env=environment, capture_output=True, text=True, check=False)
    outputs = re.split(rf"{MARK} (\d+)\n", done.stdout)
    for (command, shown), output, code in zip(commands, outputs[::2], outputs[1::2], strict=False):
        assert code == "0", f"$ {command}\n{output}"
        assert shown_in(output, shown), f"$ {command}\nprints\n{output}\nand the page says\n{shown}"
    assert len(outputs) == 2 * len(commands) + 1

    entry = read_entry(work / "lebench/leaderboard/entries/nearest-mean")
    for task, value in (("digits/accuracy", "accuracy"), ("digits/small-n", "accuracy@mean")):
        mean = np.mean([record.metrics[value] for record in entry.records if record.cell.task == task])
        assert len(re.findall(rf"^ {task} .* {mean:.4f} ", PAGE.read_text("utf-8"), re.MULTILINE)) == 2

    remote = work.parent / "remote/lebench"
    changes = ["git", "-C", remote, "diff", "--name-only", "main", "entry-nearest-mean"]
    changed = subprocess.run(changes, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert {Path(path).parent.as_posix() for path in changed} == {
        "leaderboard/entries/nearest-mean",
        "leaderboard/entries/nearest-mean/artifacts",
    }
    assert "leaderboard/entries/nearest-mean/plugin.py" in changed
