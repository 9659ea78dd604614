"""The commands of the documentation: each is understood, and run unless another test does or it needs what is not here.

The page on submitting is run as a whole, by ``test_walkthrough.py``, and the code of pages by ``test_examples.py`` and
``test_project.py``.
"""

import os
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import click
import pytest

from lebench.cli.app import app

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/assets/examples"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WALKED_THROUGH = "submit.md"
#: Files that pages have readers write.
FILES = {
    "mine.py": "nearest_mean.py",
    "my_net.py": "torch_module.py",
    "blobs.py": "blobs.py",
    "gated_units.py": "gated_units.py",
}
#: Commands that are not run here, and why.
ELSEWHERE = {
    "lebench data fetch mnist": "needs the network",
    "lebench verify leaderboard/entries/mlp --rerun 3": "trains for minutes: test_rerun.py runs an entry again",
    "lebench verify leaderboard/entries/mlp --rerun all": "trains for an hour: test_rerun.py runs an entry again",
    "lebench validate leaderboard/entries/mlp --base origin/main": "needs a clone with a remote: test_submissions.py",
    "lebench compare my-net cnn": "needs the records of the run before it, which trains",
    "lebench verify leaderboard/entries/mlp": "takes minutes: test_verify.py does it for an entry of its own",
    "lebench calibrate": "test_calibrate.py",
    "lebench agree": "test_agree.py",
    "lebench agree 'ntk*' JAX": "test_agree.py",
    "lebench merge node1 node2 results": "test_merging.py merges folders",
    "lebench submit --plugin mine.py --author 'A. Author'": "test_submit.py",
}


def _commands():
    """Return the commands of all pages, without comments, each once."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if page.name != WALKED_THROUGH:
                found += [line[2:].split(" #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(found))


COMMANDS = _commands()
OWN = [command for command in COMMANDS if command.startswith("lebench ")]


@pytest.fixture
def files(tmp_path, monkeypatch, lebench):
    """A folder like a clone: the leaderboard, and the files that the pages have readers write."""
    for name, example in FILES.items():
        shutil.copy(EXAMPLES / example, tmp_path / name)
    (tmp_path / "leaderboard").symlink_to(ROOT / "leaderboard")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_name_no_other_programs():
    assert len(OWN) > 30
    known = ("lebench ", "make ", "pip install ", "dask ", "export LEBENCH_DATA=")
    assert [command for command in COMMANDS if not command.startswith(known)] == []
    assert [command for command in ELSEWHERE if command not in COMMANDS] == []
    recipes = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [c for c in COMMANDS if c.startswith("make ") and c.split()[1] not in recipes] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for install in {c for c in COMMANDS if c.startswith("pip ")}:
        asked = re.fullmatch(r"pip install -c constraints\.txt -e '\.\[([\w,]+)\]'", install)[1].split(",")
        assert set(asked) <= extras.keys()


@pytest.mark.parametrize("command", OWN)
def test_a_command_is_understood(files, command):
    """Program, options and files: what a reader would be told by one line and exit code 2."""
    _, name, *rest = shlex.split(command)
    with app.make_context("lebench", [name, *rest]) as top:
        found, chosen, rest = app.resolve_command(top, [name, *rest])
        while isinstance(chosen, click.Group):
            top = chosen.make_context(found, rest, parent=top)
            found, chosen, rest = chosen.resolve_command(top, rest)
        chosen.make_context(found, rest, parent=top)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in OWN if command not in ELSEWHERE])
def test_a_command_does_what_it_says(files, lebench, command):
    """A run is planned, which resolves all its models, tasks and parameters; what reads results reads the board's."""
    _, *words = shlex.split(command)
    if words[0] == "run" and "--dry-run" not in words:
        words.append("--dry-run")
    code, out, err = lebench(*words)
    if code == 2 and "nothing is left to run: dataset" in err and not os.environ.get("LEBENCH_DATA"):
        pytest.skip(f"{err.strip()}: it is planned where LEBENCH_DATA has the files")
    assert code == 0, err
    assert out.strip()
    if "--picture" in words:
        drawn = Path(words[words.index("--picture") + 1]).read_text(encoding="utf-8")
        assert "vega" in drawn
