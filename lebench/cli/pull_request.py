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


def refuse_other_changes(folder: Path) -> None:
    """Raise if a pull request from here would hold more than an entry, or its branch is another one's.

    Parameters
    ----------
    folder : Path
        Of the entry, which need not be there yet.

    Raises
    ------
    LebenchError
        The message says how to go on.
    """
    checkout = _checkout(folder)
    if checkout is None:
        return
    if others := _changed(checkout, ".", f":!{checkout.path}"):
        raise LebenchError(
            f"this branch changes more than the entry, {others[0]} for one; run 'git switch {_MAIN}' and submit again"
        )
    if _here(checkout) != checkout.branch and _git(
        checkout.root, "rev-parse", "--verify", "--quiet", f"refs/heads/{checkout.branch}"
    ):
        raise LebenchError(
            f"there is a branch {checkout.branch} already; run 'git switch {checkout.branch}' to go on with it, "
            f"or 'git branch -D {checkout.branch}' to drop it, and submit again"
        )


def propose(folder: Path, body: str, *, yes: bool) -> None:
    """Open a pull request with an entry, or print the commands that do.

    What is done already, as by a submission that was interrupted, is not done again: a commit that holds the entry as
    it is, and a pull request that is open, to which the push adds.

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
        return
    known = _git(checkout.root, "rev-parse", "--verify", "--quiet", _since(checkout))
    if known and _committed(checkout) and not _changed(checkout, checkout.path):
        click.echo(f"It is as it stands on {_MAIN} already: there is nothing to submit.")
        return
    request = None
    if shutil.which("gh"):
        try:
            request = _by_gh(checkout, body)
        except LebenchError as error:
            click.echo(f"note: gh cannot open the pull request: {error}")
    pushed = _pushed(checkout)
    if pushed and request is None:
        click.echo("It is committed and pushed as it is: only the pull request is left to open, if it is not open yet.")
        return
    if pushed and request is not None and request.open:
        click.echo(f"It is as its pull request has it: there is nothing left to do: {request.open}")
        return
    if request is None:
        click.echo("These commands submit it; the last one prints the page on which to open the pull request:\n")
        _show([*_commit(checkout), _push(checkout, checkout.remote)])
        return
    commands = [*_commit(checkout), *request.commands]
    click.echo(f"These commands {'bring the pull request up to date' if request.open else 'open the pull request'}:\n")
    _show(commands)
    if not yes and not (sys.stdin.isatty() and click.confirm("\nRun them now?")):
        return
    said = ""
    for command in commands:
        try:
            said = _run(command, checkout.root)
        except LebenchError as error:
            left = "the entry is ready, only this is left to do: submit again to go on"
            raise LebenchError(f"{error}; {left}") from error
    click.echo(f"\nThe pull request is {f'up to date: {request.open}' if request.open else f'open: {said.strip()}'}")


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


def _here(checkout: Checkout) -> str:
    return _git(checkout.root, "branch", "--show-current").strip()


def _since(checkout: Checkout) -> str:
    return f"{checkout.remote}/{_MAIN}"


def _changed(checkout: Checkout, *paths: str) -> list[str]:
    """Return the files of some paths that the branch changes, none if the main branch is not known."""
    since = _since(checkout)
    return _git(checkout.root, "diff", "--name-only", f"{since}...HEAD", "--", *paths).splitlines()


def _committed(checkout: Checkout) -> bool:
    """Return whether the entry is in the last commit as it is."""
    there = _git(checkout.root, "ls-files", "--", checkout.path)
    return bool(there) and not _git(checkout.root, "status", "--porcelain", "--", checkout.path)


def _commit(checkout: Checkout) -> list[Sequence[str]]:
    own = (checkout.root / ".git").exists()
    switch: list[Sequence[str]] = (
        [] if own and _here(checkout) == checkout.branch else [("git", "switch", "-c", checkout.branch)]
    )
    if own and _committed(checkout):
        return switch
    title = _title(checkout, "HEAD", _since(checkout)) if own else _title(checkout)
    # With its path, so that a commit takes nothing else that was added before.
    return [*switch, ("git", "add", "--", checkout.path), ("git", "commit", "-m", title, "--", checkout.path)]


def _title(checkout: Checkout, *known: str) -> str:
    """Return how a commit is called; that of another version of an entry says so, for the page of changes."""
    again = any(_git(checkout.root, "ls-tree", revision, "--", checkout.path) for revision in known)
    return f"Entry: {Path(checkout.path).name}{', run anew' if again else ''}"


def _pushed(checkout: Checkout) -> bool:
    """Return whether the branch of the entry is checked out, and somewhere else with all that it has here."""
    where = f"refs/remotes/*/{checkout.branch}"
    there = _git(checkout.root, "for-each-ref", "--contains", "HEAD", "--format=%(refname)", where)
    return _here(checkout) == checkout.branch and _committed(checkout) and bool(there)


def _push(checkout: Checkout, remote: str) -> Sequence[str]:
    return "git", "push", "--set-upstream", remote, checkout.branch


@dataclass(frozen=True)
class _Request:
    """The commands that push a branch and open its pull request, and the address of the one that is open already."""

    commands: list[Sequence[str]]
    open: str


def _by_gh(checkout: Checkout, body: str) -> _Request:
    """Return how the branch is pushed, to a fork where one needs it, and the pull request opened."""
    asked = "nameWithOwner,isFork,parent,viewerPermission"
    answer = _run(("gh", "repo", "view", "--json", asked), checkout.root)
    try:
        about = json.loads(answer)
        repository, remote, fork = str(about["nameWithOwner"]), checkout.remote, []
        owner, head = repository.split("/")[0], checkout.branch
        if about["isFork"]:
            head = f"{owner}:{checkout.branch}"
            repository = f"{about['parent']['owner']['login']}/{about['parent']['name']}"
        elif about["viewerPermission"] not in _MAY_PUSH:
            owner = _run(("gh", "api", "user", "--jq", ".login"), checkout.root).strip()
            head, remote = f"{owner}:{checkout.branch}", "fork"
            fork = [("gh", "repo", "fork", "--remote", "--remote-name", remote)]
        where = ("--repo", repository, "--head", checkout.branch, "--state", "open")
        present = json.loads(_run(("gh", "pr", "list", *where, "--json", "url,headRepositoryOwner"), checkout.root))
        # Branches of other people's forks may have the same name.
        urls = [str(each["url"]) for each in present if each["headRepositoryOwner"]["login"].lower() == owner.lower()]
    except (ValueError, KeyError, TypeError) as error:
        raise LebenchError("it did not say which repository this is; is it up to date?") from error
    push = [*fork, _push(checkout, remote)]
    if urls:
        return _Request(push, urls[0])
    where = ("--repo", repository, "--base", _MAIN, "--head", head)
    title = _title(checkout, _since(checkout))
    return _Request([*push, ("gh", "pr", "create", *where, "--title", title, "--body", body)], "")


def _show(commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        # The text of a pull request has lines of its own, which nobody reads inside a command.
        parts = [part if "\n" not in part else "…" for part in command]
        click.echo(f"  {shlex.join(parts)}".replace("'…'", "…"))


def _run(command: Sequence[str], folder: Path) -> str:
    environment = os.environ | {"GH_PROMPT_DISABLED": "1", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = _reason(done.stderr) or _reason(done.stdout) or f"exit code {done.returncode}"
        raise LebenchError(f"'{shlex.join(command[:3])}' failed: {said}")
    return done.stdout


def _reason(text: str) -> str:
    """Return the line of what a program said that says why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for start in ("!", "fatal:", "error:"):
        # What git says before is progress, and what it says after that is advice.
        if found := [line for line in lines if line.startswith(start)]:
            return found[0]
    return lines[0] if lines else ""


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says, nothing if it fails."""
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
