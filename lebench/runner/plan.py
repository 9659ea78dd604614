"""The plan of a run: which cells, which of them share fits, and which cannot be done and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lebench import registry
from lebench.architectures import Architecture, input_problem, width_problem
from lebench.data.base import Dataset, Variant
from lebench.errors import LebenchError, UnavailableDataError
from lebench.models.network import Network
from lebench.models.objects import named
from lebench.models.spec import NUMPY, Configured, build_model, expand
from lebench.plugins import PREFIX, Plugin, find, loaded
from lebench.records import Cell
from lebench.runner.identity import make_cell
from lebench.runner.session import is_of_session, make_session
from lebench.runner.shares import Shard, parse_seeds
from lebench.tasks.base import Task, metric_of
from lebench.tasks.questions import asked

#: What is imported only when a fit or a score first needs it, at the price of up to a second in every worker: parts
#: of scikit-learn, and what an optimizer of torch asks for at its first step.
LAZY = {
    NUMPY: ("sklearn.cluster", "sklearn.datasets", "sklearn.model_selection"),
    "torch": ("torch._dynamo",),
}


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what a reader calls it.

    Attributes
    ----------
    cell : Cell
        Its identity.
    label : str
        The model with its parameters, a specification: ``"mlp[width=4096]"``.
    track : str
        Track of the task.
    variants : tuple of Variant
        The fits it needs.
    unmet : str or None
        Why the model cannot do the task, if it cannot.
    """

    cell: Cell
    label: str
    track: str
    variants: tuple[Variant, ...]
    unmet: str | None = None

    @property
    def fit_keys(self) -> frozenset[tuple[object, ...]]:
        """The distinct fits it needs."""
        return frozenset(variant.key for variant in self.variants)


@dataclass(frozen=True)
class Job:
    """Cells of one model, backend, dataset and seed: they share fits and run in one worker.

    Attributes
    ----------
    label, backend, dataset, seed
        What the cells have in common.
    cells : tuple of PlannedCell
        In the order in which they run.
    """

    label: str
    backend: str
    dataset: str
    seed: int
    cells: tuple[PlannedCell, ...]

    @property
    def fits(self) -> int:
        """Number of fits, each counted once."""
        return len(frozenset[tuple[object, ...]]().union(*(cell.fit_keys for cell in self.cells)))


@dataclass(frozen=True)
class Plan:
    """What a run will do, before it is known what of it is done already.

    Attributes
    ----------
    jobs : tuple of Job
        In the order in which they start; cells that cannot be done are not among theirs.
    skipped : tuple of PlannedCell
        Cells whose model lacks a capability.
    plugins : tuple of Plugin or Loadable
        What a worker imports first, whose digests say what they must still be then, and objects that it registers.
    modules : tuple of str
        Modules that a worker imports first, because they register what is planned.
    unavailable : tuple of (str, str)
        Tasks that are left out because files of their dataset are missing or damaged, and that reason. They have no
        cells: nothing is recorded, so that they run as soon as the files are there.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[PlannedCell, ...]
    plugins: tuple[Plugin | registry.Loadable, ...]
    modules: tuple[str, ...]
    unavailable: tuple[tuple[str, str], ...] = ()

    @property
    def preload(self) -> tuple[str, ...]:
        """Modules that are worth importing once for all workers; JAX does not survive a fork."""
        backends = {job.backend for job in self.jobs} - {NUMPY, "jax"}
        targets = {registry.backends.item(name).target.split(":")[0] for name in backends if name in registry.backends}
        own = [name for name in (*self.modules, *sorted(targets)) if name.startswith("lebench.")]
        return (*own, *(module for name in sorted({NUMPY, *backends}) for module in LAZY.get(name, ())))

    @property
    def cells(self) -> tuple[PlannedCell, ...]:
        """All cells, those that cannot be done last."""
        return (*(cell for job in self.jobs for cell in job.cells), *self.skipped)


def make_plan(
    tasks: Iterable[str],
    models: object,
    seeds: Sequence[int],
    backend: str | None = None,
    plugins: Iterable[str | Path] = (),
    shard: Shard | None = None,
    ask: Iterable[str] = (),
) -> Plan:
    """Resolve names into cells and group them into jobs.

    Parameters
    ----------
    tasks : iterable of str
        Names, globs or tracks; names of questions where `ask` names datasets. By default the suite on digits.
    models : iterable of str or object, or mapping of str to object
        Specifications (``"mlp[width=4096]"``), names, globs or tags; objects, see :func:`lebench.models.objects.named`.
    seeds : sequence of int
        Root seeds, each a repetition.
    backend : str, optional
        For the models that need a framework; by default each model's own.
    plugins : iterable of path or str
        Plug-ins that register tasks, models, metrics, datasets or backends: files, package folders, names of modules.
    shard : Shard, optional
        Plan this share only. Which jobs it has does not depend on whether the files of a dataset are here.
    ask : iterable of str, optional
        Datasets that the questions are asked of.

    Returns
    -------
    Plan
        Jobs are ordered by seed first, so that an interrupted run has compared all models on some seeds.

    Raises
    ------
    LebenchError
        For a bad name, parameter, backend, seed or plug-in; nothing has been computed then.
    UnavailableDataError
        If there are no files for any of the tasks.
    """
    given = [find(plugin) for plugin in plugins]
    for plugin in given:
        registry.load_plugin(plugin)
    seeds = parse_seeds(seeds)
    if backend not in (None, NUMPY):
        registry.backends.item(backend)
    chosen_tasks: list[Task] = [registry.tasks.get(name) for name in registry.tasks.select(asked(tasks, ask))]
    specs = [spec for pattern in named(models) for spec in expand(pattern)]
    configured = {c.label: c for c in (build_model(spec, backend) for spec in specs)}
    if not (chosen_tasks and configured):
        raise LebenchError("nothing to run: name at least one task and one model")

    datasets: dict[str, Dataset] = {name: registry.datasets.get(name) for name in {t.dataset for t in chosen_tasks}}
    reasons = _unavailable(datasets.values())
    unavailable = tuple((task.name, reasons[task.dataset]) for task in chosen_tasks if task.dataset in reasons)
    chosen_tasks = [task for task in chosen_tasks if task.dataset not in reasons]
    if not chosen_tasks:
        raise UnavailableDataError(f"nothing is left to run: {unavailable[0][1]}")
    misfits = _misfits(configured.values(), [datasets[name] for name in dict.fromkeys(t.dataset for t in chosen_tasks)])
    cells = {
        (t.name, label): make_cell(t, model, seeds[0]) for label, model in configured.items() for t in chosen_tasks
    }

    groups = {
        (label, model.backend, dataset, seed)
        for label, model in configured.items()
        for dataset in datasets
        for seed in seeds
    }
    mine = groups if shard is None else shard.of(groups)
    jobs: list[Job] = []
    skipped: list[PlannedCell] = []
    for seed in seeds:
        for label, model in configured.items():
            by_dataset: dict[str, list[PlannedCell]] = {}
            for task in chosen_tasks:
                if (label, model.backend, task.dataset, seed) not in mine:
                    continue
                planned = PlannedCell(
                    cells[task.name, label].model_copy(update={"seed": seed}),
                    label,
                    task.track,
                    task.variants,
                    task.unmet(model.model.capabilities)
                    or _training_problem(model.model, task)
                    or misfits.get((label, task.dataset))
                    or _input_problem(model.model, datasets[task.dataset])
                    or _target_problem(model.model, datasets[task.dataset])
                    or _recipe_problem(model.model, task, datasets[task.dataset])
                    or _width_problem(model.model, task),
                )
                if planned.unmet:
                    skipped.append(planned)
                else:
                    by_dataset.setdefault(task.dataset, []).append(planned)
            jobs += [Job(label, model.backend, name, seed, tuple(cells)) for name, cells in by_dataset.items()]
    return Plan(tuple(jobs), tuple(skipped), *providers(chosen_tasks, configured.values(), given), unavailable)


def _unavailable(datasets: Iterable[Dataset]) -> dict[str, str]:
    """Return the datasets whose files are missing or damaged, and why."""
    reasons = {}
    for dataset in datasets:
        try:
            _ = dataset.sha256
        except UnavailableDataError as error:
            reasons[dataset.name] = str(error)
    return reasons


def _training_problem(model: object, task: Task) -> str | None:
    return task.trains if getattr(model, "is_trained", False) else None


def _misfits(models: Iterable[Configured], datasets: Sequence[Dataset]) -> dict[tuple[str, str], str]:
    """Return why models that check data before a run refuse some; what they refuse all of is raised."""
    found: dict[tuple[str, str], str] = {}
    for configured in models:
        errors: dict[str, LebenchError] = {}
        for dataset in datasets if hasattr(configured.model, "check_dataset") else ():
            try:
                configured.model.check_dataset(dataset)
            except LebenchError as error:
                errors[dataset.name] = error
        if errors and len(errors) == len(datasets):
            raise next(iter(errors.values()))
        found |= {(configured.label, name): str(error) for name, error in errors.items()}
    return found


def _input_problem(model: object, dataset: Dataset) -> str | None:
    network = getattr(model, "network", None)
    return input_problem(network, dataset.input_shape) if isinstance(network, Architecture) else None


def _recipe_problem(model: object, task: Task, dataset: Dataset) -> str | None:
    recipes = {variant.recipe for variant in task.variants}
    # The recipe of a network is for labels. One for all variants says how it fits targets; what has a closed form for
    # them needs none.
    if hasattr(model, "with_recipe") or not any(recipes) or (dataset.has_targets and len(recipes) == 1):
        return None
    return "varies how a network is trained, and the model is not trained step by step"


def _target_problem(model: object, dataset: Dataset) -> str | None:
    if getattr(model, "fits_targets", False) or not dataset.has_targets:
        return None
    return "predicts real numbers, and the model learns classes"


def _width_problem(model: object, task: Task) -> str | None:
    if all(variant.width is None for variant in task.variants):
        return None
    own = getattr(type(model), "with_width", None)
    network = getattr(model, "network", None)
    # That of a network refuses what is no perceptron; one of another class knows what it does.
    if own is not None and own is not Network.with_width:
        return None
    if own is None or not isinstance(network, Architecture):
        return "varies the width, and the model is no perceptron and has no method with_width of its own"
    problem = width_problem(network)
    return None if problem is None else f"varies the width of a perceptron, and the model {problem}"


def providers(
    tasks: Iterable[Task], models: Iterable[Configured] = (), given: Iterable[Plugin] = ()
) -> tuple[tuple[Plugin | registry.Loadable, ...], tuple[str, ...]]:
    """Return the plug-ins and the modules in which tasks, with what they need, and models are registered.

    Raises
    ------
    LebenchError
        If one is registered in the script that runs, and cannot be sent to workers.
    """
    models = list(models)
    wanted = [(registry.models, model.name) for model in models]
    # Those of lebench are imported when they are asked for: JAX must not be before a fork.
    wanted += [
        (registry.backends, model.backend)
        for model in models
        if model.backend in registry.backends and registry.backends.item(model.backend).source != "lebench"
    ]
    for task in tasks:
        wanted += [(registry.tasks, task.name), (registry.datasets, task.dataset)]
        wanted += [(registry.metrics, metric_of(name)) for name in task.metrics]
    modules: set[str] = set()
    here: dict[tuple[str, str], registry.Item] = {}
    asked = {plugin.module for plugin in given}
    for kind, name in wanted:
        item = kind.item(name)
        module = item.target.split(":")[0]
        if is_of_session(item):
            here[kind.kind, name] = item
        elif item.plugin:
            asked.add(item.plugin)
        elif module.startswith(PREFIX):  # registered after its plug-in was loaded
            asked.update(plugin.module for plugin in loaded() if plugin.module.split(".")[0] == module.split(".")[0])
        else:
            modules.add(module)
    session = (make_session((kind, item) for (kind, _), item in here.items()),) if here else ()
    return (*(plugin for plugin in loaded() if plugin.module in asked), *session), tuple(sorted(modules))
