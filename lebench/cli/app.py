"""The command line's commands, thin: parse, call the API, print."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lebench import registry

app = typer.Typer(
    name="lebench",
    help="Benchmark generalization, local elasticity and neural collapse of networks and kernels.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
site_app = typer.Typer(help="The documentation site and its leaderboard pages.")
app.add_typer(site_app, name="site")


class Kind(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    models = "models"
    metrics = "metrics"
    datasets = "datasets"
    backends = "backends"


Plugins = Annotated[
    list[Path], typer.Option("--plugin", help="Python file that registers models, tasks, ... (repeatable).")
]
Results = Annotated[Path, typer.Option("--results", "-o", help="Folder of the records.")]
Entries = Annotated[
    Path | None, typer.Option(help="Folder of leaderboard entries; by default the one of this checkout.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def _load(plugins: list[Path]) -> None:
    for plugin in plugins:
        registry.load_plugin(plugin)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lebench {version('lebench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("list")
def list_(kind: Kind, plugin: Plugins = [], json: AsJson = False) -> None:  # noqa: B006
    """List what is registered: tasks, models, metrics, datasets or backends."""
    from lebench.cli import catalogue

    _load(plugin)
    typer.echo(catalogue.listing(kind.value, as_json=json))


@app.command()
def info(name: str, plugin: Plugins = [], json: AsJson = False) -> None:  # noqa: B006
    """Show what a task, model, metric, dataset or backend is: definition, reference, parameters."""
    from lebench.cli import catalogue

    _load(plugin)
    typer.echo(catalogue.description(name, as_json=json))


@app.command()
def run(
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="Model, glob or tag: resnet, 'mlp[width=4096]' (repeatable).")
    ],
    task: Annotated[
        list[str], typer.Option("--task", "-t", help="Task, glob or track (repeatable).", show_default="digits/*")
    ] = ["digits/*"],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Number of seeds: 0, 1, ...")] = 3,
    backend: Annotated[str | None, typer.Option(help="Backend of the networks.", show_default="the model's")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Worker processes.", show_default="cores")] = None,
    results: Results = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Compute again what is there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    time_limit: Annotated[float, typer.Option(help="Seconds a cell may take.")] = 1800.0,
    memory_limit: Annotated[
        float | None, typer.Option(help="GB a worker may use.", show_default="its share of the free memory")
    ] = None,
    plugin: Plugins = [],  # noqa: B006
    entries: Entries = None,
) -> None:
    """Score models on tasks; what is there already is not computed again."""
    from lebench.cli import running

    code = running.run(
        models=model,
        tasks=task,
        seeds=seeds,
        backend=backend,
        jobs=jobs,
        results=results,
        force=force,
        dry_run=dry_run,
        time_limit=time_limit,
        memory_limit=memory_limit,
        plugins=plugin,
        entries=entries,
    )
    raise typer.Exit(code)


@app.command()
def show(
    model: Annotated[list[str] | None, typer.Argument(help="Models to show.", show_default="all")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Show every metric of these tasks (repeatable).")
    ] = None,
    results: Results = Path("results"),
    baselines: Annotated[bool, typer.Option(help="Show the leaderboard's entries beside them.")] = True,
    plugin: Plugins = [],  # noqa: B006
    entries: Entries = None,
    json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """Show results: a table per track, or every metric of some tasks."""
    from lebench.cli import reading

    _load(plugin)
    reading.show(model or [], task or [], results, baselines, entries, as_json=json, as_csv=csv)


@app.command()
def compare(
    a: str,
    b: str,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Compare every metric of these tasks (repeatable).")
    ] = None,
    results: Results = Path("results"),
    baselines: Annotated[bool, typer.Option(help="Find the models among the leaderboard's entries too.")] = True,
    plugin: Plugins = [],  # noqa: B006
    entries: Entries = None,
    json: AsJson = False,
    csv: AsCsv = False,
) -> None:
    """Compare two models: differences paired over seeds, with intervals."""
    from lebench.cli import reading

    _load(plugin)
    reading.compare(a, b, task or [], results, baselines, entries, as_json=json, as_csv=csv)


@app.command()
def calibrate(
    metric: Annotated[list[str] | None, typer.Argument(help="Metrics or globs.", show_default="all")] = None,
    plugin: Plugins = [],  # noqa: B006
    json: AsJson = False,
) -> None:
    """Check every metric against known answers, on every installed backend and dtype."""
    from lebench.cli import calibration

    _load(plugin)
    raise typer.Exit(calibration.show(metric or [], as_json=json))


@app.command()
def baselines(
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Worker processes.", show_default="cores")] = None,
    results: Results = Path("results"),
    entries: Entries = None,
) -> None:
    """Run what has changed of the leaderboard's baselines and write their entries (maintainers)."""
    from lebench.cli import running

    raise typer.Exit(running.baselines(jobs=jobs, results=results, entries=entries))


@site_app.command("build")
def site_build(
    entries: Entries = None,
    out: Annotated[Path, typer.Option(help="Folder of the documentation's sources.")] = Path("docs"),
) -> None:
    """Write the generated pages of the site from the entries."""
    from lebench import site
    from lebench.cli.reading import entries_folder

    pages = site.build(entries_folder(entries), out)
    typer.echo(f"{len(pages)} pages written under {out}")
