"""The command line's commands, thin: parse, call the API, print.

click rather than typer, which imports pydantic before it runs a command: ``lebench list`` has to answer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from lebench import registry

_FOLDER = click.Path(path_type=Path)


def _common(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options which several commands share."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return decorate


def _load_plugins(context: click.Context, parameter: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    for plugin in value:
        registry.load_plugin(plugin)
    return value


_model_option = partial(
    click.option,
    "--model",
    "-m",
    "models",
    multiple=True,
    help="Model, glob or tag: resnet, 'mlp[width=4096]' (repeatable).",
)

_OPTIONS = {
    "model": _model_option(required=True),
    "task": click.option(
        "--task",
        "-t",
        "tasks",
        multiple=True,
        help="Task, glob or tag: collapse, 'digits/*' (repeatable).",
    ),
    "results": click.option(
        "--results", "-o", type=_FOLDER, default=Path("results"), show_default=True, help="Folder of the records."
    ),
    "entries": click.option(
        "--entries", type=_FOLDER, help="Folder of leaderboard entries; by default the one of this checkout."
    ),
    "baselines": click.option(
        "--baselines/--no-baselines", default=True, help="Whether to read the leaderboard's entries too."
    ),
    "jobs": click.option("--jobs", "-j", type=int, help="Worker processes; by default one a core."),
    "plugin": click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=_FOLDER,
        callback=_load_plugins,
        is_eager=True,
        expose_value=False,
        help="File, package folder or module that registers models, tasks, ... (repeatable).",
    ),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "csv": click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(package_name="lebench", message="lebench %(version)s")
@click.pass_context
def app(context: click.Context) -> None:
    """Benchmark generalization, local elasticity and neural collapse of networks and kernels."""
    if context.invoked_subcommand is None:
        from lebench.cli import welcome

        click.echo(welcome.text())


class _Kind(click.Choice[str]):
    """A kind of objects, in the plural or the singular."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(super().convert(f"{value}s" if f"{value}s" in self.choices else value, param, ctx))


@app.command("list")
@click.argument("kind", required=False, type=_Kind([*(f"{kind}s" for kind in registry.REGISTRIES), "aliases"]))
@_common("plugin", "json")
def list_(kind: str | None, as_json: bool) -> None:
    """List what is registered: tasks, models, metrics, datasets, backends; aliases are earlier names, with today's.

    Without a kind it says how many of each there are.
    """
    from lebench.cli import catalogue, welcome

    if kind is None:
        click.echo(welcome.counts(as_json=as_json))
        return

    click.echo(catalogue.listing(kind, as_json=as_json))


@app.command()
@click.argument("name")
@click.option("--versions", is_flag=True, help="Show the version of its numbers, and what changed and when.")
@_common("plugin", "json")
def info(name: str, versions: bool, as_json: bool) -> None:
    """Show what a task, model, metric, dataset or backend is."""
    from lebench.cli import catalogue

    click.echo((catalogue.versions if versions else catalogue.description)(name, as_json=as_json))


@app.command()
@_model_option()
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=_FOLDER,
    help="Weights trained elsewhere: w.pt, or a folder of them over a training (repeatable).",
)
@click.option("--builder", help="What makes the module of a checkpoint: net.py:make.")
@_common("task", "results", "jobs", "entries", "plugin")
@click.option(
    "--dataset",
    "-d",
    "datasets",
    multiple=True,
    help="Ask the questions that --task names of this dataset: --task collapse --dataset mnist (repeatable).",
)
@click.option("--seeds", default="3", show_default=True, help="Number of seeds, or a list: 0-9,12 (one alone: 12,).")
@click.option("--shard", help="Share of the jobs to do: 2/8 is the second of eight, the same on every machine.")
@click.option("--backend", help="Backend of the networks; by default the model's own.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--force", is_flag=True, help="Compute again what is there already.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option(
    "--cluster", metavar="ADDRESS|FILE", help="Compute on Dask's: tcp://host:8786, or a file that says which to start."
)
@click.option("--keep-fits", is_flag=True, help="Keep trained weights, so that another question needs no training.")
@click.option("--check-determinism", is_flag=True, help="Fit the cheapest cell of each model twice and compare.")
@click.option("--time-limit", type=float, default=1800.0, show_default=True, help="Seconds a cell may take.")
@click.option("--memory-limit", type=float, help="GB a worker may use; by default its share of what is free.")
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Score models on tasks (by default all on digits); what is there already is not computed again."""
    from lebench.cli import running

    context.exit(running.run(**options))


@app.command()
@click.argument("folders", nargs=-1, required=True, type=_FOLDER)
@click.option("--into", "-o", type=_FOLDER, help="Folder to copy into; by default the last of FOLDERS.")
@_common("plugin")
@click.pass_context
def merge(context: click.Context, folders: tuple[Path, ...], into: Path | None) -> None:
    """Copy the records of results folders into one; say which contradict each other or are of other versions.

    Nothing is removed or replaced, so that the order does not matter, and a merge may be repeated.
    """
    from lebench.cli import merging

    context.exit(merging.merge(folders, into))


@app.command()
@click.argument("models", nargs=-1)
@_common("task", "results", "baselines", "entries", "plugin", "json", "csv")
@click.option("--picture", type=_FOLDER, help="HTML file to draw the arrays behind the scores in.")
def show(picture: Path | None, **options: Any) -> None:
    """Show results: a table per track, or with --task every metric of it; or pictures in a file."""
    from lebench.cli import reading

    if picture is None:
        reading.show(**options)
        return
    from lebench.cli import picturing

    if options.pop("as_json") | options.pop("as_csv"):
        raise click.UsageError("--picture writes a file: leave out --json and --csv")
    picturing.draw(picture, **options)


@app.command()
@click.argument("a")
@click.argument("b")
@_common("task", "results", "baselines", "entries", "plugin", "json", "csv")
def compare(**options: Any) -> None:
    """Compare two models: differences paired over seeds, with intervals."""
    from lebench.cli import comparing

    comparing.compare(**options)


@app.command()
@click.argument("model")
@click.argument("kernel")
@click.argument("network")
@_common("task", "results", "baselines", "entries", "plugin", "json", "csv")
def between(**options: Any) -> None:
    """Place a model between a kernel and a network: gain, rest and share of the gap, paired over seeds."""
    from lebench.cli import placing

    placing.between(**options)


@app.command()
@click.argument("metrics", nargs=-1)
@_common("plugin", "json")
@click.pass_context
def calibrate(context: click.Context, metrics: tuple[str, ...], as_json: bool) -> None:
    """Check every metric against known answers, on every installed array library and dtype."""
    from lebench.cli import calibration

    context.exit(calibration.show(metrics, as_json=as_json))


@app.command()
@click.argument("names", nargs=-1)
@_common("json")
@click.pass_context
def agree(context: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Compare kernels and what networks offer across NumPy, torch, JAX and neural-tangents.

    NAMES are quantities, networks or implementations, or globs: 'ntk*', small-mlp, JAX.
    """
    from lebench.cli import agreement

    context.exit(agreement.show(names, as_json=as_json))


@app.command()
@_common("json")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Show what this machine has, and check in less than a minute that its devices compute the same."""
    from lebench.cli import doctor as commands

    context.exit(commands.show(as_json=as_json))


@app.command()
@_common("jobs", "results", "entries")
@click.option("--seeds", default=5, show_default=True, help="Seeds to run; what is there of more is kept.")
@click.option("--plan", is_flag=True, help="Only print what there is to do, what costs most first.")
@click.option("--shard", help="Run a share of the jobs only, 2/8, and write no entries.")
@click.pass_context
def baselines(context: click.Context, /, **options: Any) -> None:
    """Run what has changed of the leaderboard's baselines and write their entries (maintainers)."""
    from lebench.cli.baselines import baselines as bring_up_to_date

    context.exit(bring_up_to_date(**options))


@app.command()
@click.argument("results", type=_FOLDER, default=Path("results"))
@click.option("--model", "-m", help="Model as its records call it: 'mlp[width=4096]'; may be left out if it is alone.")
@click.option("--author", "authors", multiple=True, help="Who submits it (repeatable).")
@click.option("--link", "links", multiple=True, help="Address of a paper or of code (repeatable).")
@click.option("--summary", help="What the model is, in one line; by default as lebench has it.")
@click.option("--licence", default="CC-BY-4.0", show_default=True, help="Of the records, an SPDX identifier.")
@click.option("--name", help="Name of the entry; by default made of the model's.")
@click.option("--backend", help="Backend whose records to take, where there are several.")
@click.option("--plugin", type=_FOLDER, help="File, package or module of the model's own code; kept in the entry.")
@click.option("--yes", "-y", is_flag=True, help="Open the pull request without asking.")
@_common("entries")
def submit(**options: Any) -> None:
    """Write the records of a model in the folder RESULTS as an entry of the leaderboard and submit it.

    The entry is verified, what the board will say of it is shown, and a pull request is opened with gh, where that is
    installed and you agree, or the commands for it are printed.
    """
    from lebench.cli import submitting

    submitting.submit(**options)


@app.command()
@click.argument("paths", nargs=-1, required=True, type=_FOLDER)
@click.option("--base", metavar="REF", help="Main branch to compare with: a git revision, or a folder of entries.")
@_common("plugin")
@click.pass_context
def validate(context: click.Context, paths: tuple[Path, ...], base: str | None) -> None:
    """Check the entries in the folders PATHS: files, texts, checksums, invariants of the records.

    With --base also what submitting them changes: no file outside of them, no other entry, no copy of one.
    """
    from lebench.cli import verifying

    context.exit(verifying.show(paths, base))


@app.command()
@click.argument("paths", nargs=-1, required=True, type=_FOLDER)
@click.option("--rerun", metavar="N|all", help="Run so many records of each entry again from scratch, or all.")
@click.option("--seed", help="Text by which they are drawn; by default the commit that is checked out at PATH.")
@click.option("--write", is_flag=True, help="Write what was found as verification.json into the entry (maintainers).")
@click.option("--time-limit", type=float, default=1800.0, show_default=True, help="Seconds a record may take.")
@click.option("--base", metavar="REF", help="Main branch to compare with, as for 'validate'; shows look-alikes.")
@click.option(
    "--plugin",
    multiple=True,
    type=_FOLDER,
    help="The entry's own code; it runs in a sandbox and answers over a pipe (needs bubblewrap).",
)
@_common("jobs")
@click.pass_context
def verify(context: click.Context, /, **options: Any) -> None:
    """Check the entries in the folders PATHS and make their scores again.

    Scores are computed again from what the models answered; with --rerun, models are also fitted again.
    A model that is not lebench's own is run only if its file is given with --plugin.
    """
    from lebench.cli import rerunning

    context.exit(int(not all(checked.holds for checked in rerunning.verify(**options))))


@app.group()
def entry() -> None:
    """What happens to entries of the board apart from their records (maintainers); kept in the history of the board."""


def _noting(kind: str, summary: str) -> None:
    """Add a command that puts on record what happened to an entry."""

    @entry.command(kind, help=summary)
    @click.argument("name")
    @click.option("--reason", required=True, help="Why, in one line that the board shows.")
    @click.option("--link", default="", help="Address where more is said.")
    @_common("entries")
    def command(name: str, reason: str, link: str, entries: Path | None) -> None:
        from lebench.cli import entry as commands

        commands.note(name, _KINDS[kind], reason, link, entries)


_KINDS: dict[str, Any] = {
    "withdraw": "withdrawn",
    "correct": "corrected",
    "challenge": "challenged",
    "settle": "settled",
}
_noting("withdraw", "Remove the entry NAME; its page says that it was withdrawn, when and why.")
_noting("correct", "Say what was wrong with the entry NAME and is right now.")
_noting("challenge", "Say why the entry NAME is doubted; its page shows it until that is settled.")
_noting("settle", "Say how the challenges of the entry NAME were settled.")


@entry.command("rename")
@click.argument("old")
@click.argument("new")
@click.option("--reason", required=True, help="Why, in one line that the board shows.")
@_common("entries")
def entry_rename(old: str, new: str, reason: str, entries: Path | None) -> None:
    """Give the entry OLD the name NEW; records and checks stay, and the page of OLD leads to NEW."""
    from lebench.cli import entry as commands

    commands.rename(old, new, reason, entries)


@app.group()
def data() -> None:
    """Image sets that are files of their own: where they are, and whether they are as published."""


@data.command("list")
@_common("json")
@click.pass_context
def data_list(context: click.Context, as_json: bool) -> None:
    """List the datasets that need files, with what is found of them."""
    from lebench.cli import data as commands

    context.exit(commands.list_(as_json=as_json))


@data.command("fetch")
@click.argument("name")
@click.pass_context
def data_fetch(context: click.Context, name: str) -> None:
    """Fetch what is missing of a dataset from its official sources into the cache folder."""
    from lebench.cli import data as commands

    context.exit(commands.fetch(name))


@data.command("verify")
@click.argument("name", required=False)
@_common("json")
@click.pass_context
def data_verify(context: click.Context, name: str | None, as_json: bool) -> None:
    """Check the files of a dataset, or all there are, against published checksums."""
    from lebench.cli import data as commands

    context.exit(commands.verify(name, as_json=as_json))


@app.group()
def fits() -> None:
    """Fits that are kept beside records: what they are, and what they cost."""


@fits.command("list")
@click.argument("results", type=_FOLDER, default=Path("results"))
@click.option("--model", "-m", "models", multiple=True, help="Model as its records call it, or a glob (repeatable).")
@_common("json")
def fits_list(results: Path, models: tuple[str, ...], as_json: bool) -> None:
    """List the fits kept in the folder RESULTS with their sizes."""
    from lebench.cli import fits as commands

    commands.list_(results, models, as_json=as_json)


@fits.command("prune")
@click.argument("results", type=_FOLDER, default=Path("results"))
@click.option("--model", "-m", "models", multiple=True, help="Model as its records call it, or a glob (repeatable).")
def fits_prune(results: Path, models: tuple[str, ...]) -> None:
    """Remove the fits kept in the folder RESULTS; no record needs them."""
    from lebench.cli import fits as commands

    commands.prune(results, models)


@app.group()
def site() -> None:
    """The documentation site and its leaderboard pages."""


@site.command("build")
@_common("entries")
@click.option(
    "--out", type=_FOLDER, default=Path("docs"), show_default=True, help="Folder of the documentation's sources."
)
def site_build(entries: Path | None, out: Path) -> None:
    """Write the generated pages of the site from the entries."""
    from lebench.reading.sources import folder_of_clone
    from lebench.site import build

    pages = build(folder_of_clone(entries), out)
    click.echo(f"{len(pages)} pages written under {out}")
