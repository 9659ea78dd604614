"""Opening a pull request with an entry: by ``gh`` where it is installed, or as commands to copy."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lebench.errors import LebenchError

#: Permissions of GitHub with which a branch is pushed to the repository itself, not to a fork.
_MAY_PUSH = ("WRITE", "MAINTAIN", "ADMIN")
_MAIN = "main"


@dataclass(frozen=True)
class Checkout:
    """The clone of lebench's repository that an entry lies in.

    Attributes
    ----------
    root : Path
        Its top.
    path : str
        The entry's folder in it.
    remote : str
        Where it came from.
    """

    root: Path
    path: str
    remote: str

    @property
    def branch(self) -> str:
        """The branch that the entry is submitted on."""
        return f"entry-{Path(self.path).name}"


def propose(folder: Path, body: str, *, yes: bool) -> int:
    """Open a pull request with an entry, or print the commands that do; return the exit code.

    Parameters
    ----------
    folder : Path
        Of the entry, in a clone of lebench's repository.
    body : str
        Text of the pull request.
    yes : bool
        Whether to go ahead without asking.

    Raises
    ------
    LebenchError
        If a command fails; the message says which, and what it said.
    """
    checkout = _checkout(folder)
    if checkout is None:
        click.echo(f"Copy it to leaderboard/entries/{folder.name} in a clone of lebench's repository, and there:\n")
        _show(_commit(Checkout(folder, f"leaderboard/entries/{folder.name}", "origin")))
        return 0
    _refuse_other_changes(checkout)
    if not shutil.which("gh"):
        click.echo("These commands submit it; the last one prints the page on which to open the pull request:\n")
        _show([*_commit(checkout), _push(checkout, checkout.remote)])
        return 0
    commands = [*_commit(checkout), *_by_gh(checkout, body)]
    click.echo("These commands open the pull request:\n")
    _show(commands)
    if not yes and not (sys.stdin.isatty() and click.confirm("\nRun them now?")):
        return 0
    for command in commands:
        said = _run(command, checkout.root)
    click.echo(f"\nThe pull request is open: {said.strip()}")
    return 0


def _checkout(folder: Path) -> Checkout | None:
    """Return the clone that a folder lies in, None if it lies in no folder of entries of a repository."""
    if not shutil.which("git"):
        return None
    folder = folder.resolve()
    found = _git(folder.parent, "rev-parse", "--show-toplevel")
    root = Path(found.strip())
    if not found or folder.parent != root / "leaderboard" / "entries":
        return None
    remotes = _git(root, "remote").split() or ["origin"]
    return Checkout(root, str(folder.relative_to(root)), "origin" if "origin" in remotes else remotes[0])


def _refuse_other_changes(checkout: Checkout) -> None:
    """Raise if the pull request would hold more than the entry, or its branch is another one's."""
    since = f"{checkout.remote}/{_MAIN}"
    if _git(checkout.root, "rev-parse", "--verify", "--quiet", since):
        others = _git(checkout.root, "diff", "--name-only", f"{since}...HEAD", "--", ".", f":!{checkout.path}").split()
        if others:
            raise LebenchError(
                f"this branch changes more than the entry, {others[0]} for one; "
                f"run 'git switch {_MAIN}' and submit again"
            )
    if _git(checkout.root, "branch", "--show-current").strip() == checkout.branch:
        return
    if _git(checkout.root, "rev-parse", "--verify", "--quiet", f"refs/heads/{checkout.branch}"):
        raise LebenchError(
            f"there is a branch {checkout.branch} already; run 'git switch {checkout.branch}' to go on with it, "
            f"or 'git branch -D {checkout.branch}' to drop it, and submit again"
        )


def _commit(checkout: Checkout) -> list[Sequence[str]]:
    here = _git(checkout.root, "branch", "--show-current").strip() if (checkout.root / ".git").exists() else ""
    switch = [] if here == checkout.branch else [("git", "switch", "-c", checkout.branch)]
    title = f"Entry: {Path(checkout.path).name}"
    # With its path, so that a commit takes nothing else that was added before.
    return [*switch, ("git", "add", "--", checkout.path), ("git", "commit", "-m", title, "--", checkout.path)]


def _push(checkout: Checkout, remote: str) -> Sequence[str]:
    return "git", "push", "--set-upstream", remote, checkout.branch


def _by_gh(checkout: Checkout, body: str) -> list[Sequence[str]]:
    """Return the commands that push the branch, to a fork where one needs it, and open the pull request."""
    asked = "nameWithOwner,isFork,parent,viewerPermission"
    answer = _run(("gh", "repo", "view", "--json", asked), checkout.root)
    try:
        about = json.loads(answer)
        repository, remote, head, fork = str(about["nameWithOwner"]), checkout.remote, checkout.branch, []
        if about["isFork"]:
            head = f"{repository.split('/')[0]}:{checkout.branch}"
            repository = f"{about['parent']['owner']['login']}/{about['parent']['name']}"
        elif about["viewerPermission"] not in _MAY_PUSH:
            login = _run(("gh", "api", "user", "--jq", ".login"), checkout.root).strip()
            head, remote = f"{login}:{checkout.branch}", "fork"
            fork = [("gh", "repo", "fork", "--remote", "--remote-name", remote)]
    except (ValueError, KeyError, TypeError) as error:
        raise LebenchError("'gh repo view' did not say which repository this is; is gh up to date?") from error
    title = f"Entry: {Path(checkout.path).name}"
    where = ("--repo", repository, "--base", _MAIN, "--head", head)
    return [*fork, _push(checkout, remote), ("gh", "pr", "create", *where, "--title", title, "--body", body)]


def _show(commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        # The text of a pull request has lines of its own, which nobody reads inside a command.
        parts = [part if "\n" not in part else "…" for part in command]
        click.echo(f"  {shlex.join(parts)}".replace("'…'", "…"))


def _run(command: Sequence[str], folder: Path) -> str:
    environment = os.environ | {"GH_PROMPT_DISABLED": "1", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise LebenchError(f"'{shlex.join(command[:3])}' failed: {said}; the entry is ready, only this is left to do")
    return done.stdout


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says, nothing if it fails."""
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
