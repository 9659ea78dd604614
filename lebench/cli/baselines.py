"""``lebench baselines``: the models that lebench itself puts on the leaderboard, on which tasks, and their entries."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lebench import board, registry
from lebench.cli import reading
from lebench.cli.progress import display
from lebench.cli.running import conclude
from lebench.errors import LebenchError
from lebench.runner.execution import execute
from lebench.runner.plan import Plan, make_plan
from lebench.runner.store import Store
from lebench.tasks.questions import DEFAULT
from lebench.verify import FEWEST_SEEDS

#: Seeds that every baseline should have.
SEEDS = 5


@dataclass(frozen=True)
class Suite:
    """Every one of some models on every one of some tasks that it has the capabilities for.

    Attributes
    ----------
    models, tasks : tuple of str
        Specifications of models; names or globs of tasks.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]


_NETWORKS = ("linear", "deep-linear", "mlp", "lenet", "cnn", "resnet", "resnet-nf", "vgg")
_KERNELS = ("rbf", "laplace", "linear-kernel", "ntk-mlp", "nngp-mlp", "ntk-cnn", "entk-mlp")
_CLASSICAL = ("knn", "logistic-regression")
_DENSE_LABEL_AWARE = ("lantk-hr-mlp", "lantk-hr-mlp[permuted=true]")
_CLASSES_AND_LABELLINGS = ("lantk/cifar-multiclass", "kernel/label-systems")
_ADAM = "mlp[lr=0.0003,optimizer=adam]"
_MEASURES = tuple(name for name in registry.models.names() if name.startswith("measure-"))
_FEW = tuple(f"digits/{word}" for word in (*DEFAULT, "alignment", "gap"))
_CONTROLS = ("constant", "random-features", "permuted-labels", "leak-kernel")

SUITES = (
    Suite(
        (*_NETWORKS, *_CLASSICAL, *_KERNELS, *_CONTROLS),
        (
            "digits/[!lmw]*",
            "digits/label-noise",
            "digits/learning-rate",
            "manifold/*",
            "elasticity/label-systems",
            "mnist/*",
        ),
    ),
    # What these cost beyond the models above says most where kernels and networks are compared.
    Suite(("nngp-cnn", "entk-mlp-trained", "lin-mlp"), _FEW),
    Suite(("mlp",), ("digits/laziness", "digits/linearization")),
    # On photographs the networks diverge by their published rates, so they are trained by the optimizer of the paper.
    Suite(("mlp", "permuted-labels"), ("lantk/digits-*", "kernel/label-systems")),
    Suite(("ntk-mlp", "rbf", *_DENSE_LABEL_AWARE), ("lantk/*-pairs", "lantk/*-curve", *_CLASSES_AND_LABELLINGS)),
    Suite(("lantk-nth-mlp",), ("lantk/digits-*", "lantk/mnist-pairs", "kernel/label-systems")),
    Suite(
        ("ntk-cnn", "lantk-hr-cnn"),
        ("lantk/digits-*", "lantk/mnist-pairs", "lantk/cifar-pairs", "lantk/cifar-multiclass"),
    ),
    Suite(("lantk-hr-cnn[permuted=true]",), ("lantk/cifar-pairs",)),
    Suite((_ADAM,), ("lantk/mnist-pairs", "lantk/cifar-pairs", "lantk/cifar-multiclass", "lantk/cifar-curve")),
    Suite(("neurashed", "mlp", "linear", "deep-linear", "permuted-labels"), ("neurashed/*",)),
    Suite(("mlp", "linear", "deep-linear", "lenet"), ("geomnist/*",)),
    Suite(("linear",), ("cifar-10/*",)),
    Suite(("mlp[depth=1]", "ntk-mlp", "rbf"), ("overparam/teacher-*", "overparam/concept-*")),
    # In 16 dimensions the six kernels that each is compared with cost ten times as much.
    Suite(
        ("mlp", "linear", "deep-linear", "nngp-mlp", "laplace", "linear-kernel"),
        ("overparam/teacher-8", "overparam/concept-*"),
    ),
    Suite(("mlp[depth=1]",), ("overparam/width",)),
    Suite(("second-order-mlp",), ("overparam/concept-*",)),
    Suite(_MEASURES, ("overparam/measures",)),
)


def models() -> tuple[str, ...]:
    """Return the models of all suites, each once."""
    return tuple(dict.fromkeys(model for suite in SUITES for model in suite.models))


def tasks(model: str) -> tuple[str, ...]:
    """Return the names and globs of the tasks on which a model stands."""
    return tuple(dict.fromkeys(task for suite in SUITES if model in suite.models for task in suite.tasks))


def baselines(*, jobs: int | None, results: Path, entries: Path | None, seeds: int = SEEDS) -> int:
    """Bring the baselines up to date and write their entries; return the exit code.

    Parameters
    ----------
    jobs : int, optional
        Worker processes.
    results, entries : Path
        Store of the runs, and folder of the entries.
    seeds : int
        Seeds that are run where they are not there yet; records of further seeds up to :data:`SEEDS` are kept.

    Raises
    ------
    LebenchError
        If there are too few or too many seeds, or the data of a task are not there.
    """
    if not FEWEST_SEEDS <= seeds <= SEEDS:
        raise LebenchError(f"--seeds of baselines lies between {FEWEST_SEEDS} and {SEEDS}, not {seeds}")
    folder = reading.folder_of_clone(entries)
    console = reading.make_console()
    store = Store(results)
    store.prepare()
    plans = [make_plan(suite.tasks, suite.models, range(SEEDS)) for suite in SUITES]
    for plan in plans:
        if plan.unavailable:
            raise LebenchError(f"the baselines need every task: {plan.unavailable[0][1]}")
        _take_from_entries(plan, folder, store)
    for suite in SUITES:
        plan = make_plan(suite.tasks, suite.models, range(seeds))
        with display(console) as on_event:
            summary = execute(plan, store, jobs, on_event=on_event, command="lebench baselines")
        if summary.interrupted or summary.failures:
            return conclude(summary, results, console)
    by_key = {record.cell.key: record for record in store.load()}
    written = 0
    for label in models():
        keys = dict.fromkeys(cell.cell.key for plan in plans for cell in plan.cells if cell.label == label)
        records = [by_key[key] for key in keys if key in by_key]
        asked = " ".join(f"--task {shlex.quote(task)}" for task in tasks(label))
        meta = board.EntryInfo(
            schema=1,
            name=board.entry_name(label),
            model=label,
            summary=registry.models.item(label.split("[")[0]).summary,
            authors=["The lebench developers"],
            lebench=records[0].environment.lebench,
            command=f"lebench run --model {shlex.quote(label)} {asked} --seeds {max(r.cell.seed for r in records) + 1}",
        )
        arrays = {record.cell.key: store.artifacts(record) for record in records}
        recordings = {record.cell.key: store.recording(record) for record in records}
        board.write_entry(folder, meta.name, records, meta, arrays, recordings)
        written += len(records)
    console.print(f"{written} records of {len(models())} entries stand in {folder}")
    return 0


def _take_from_entries(plan: Plan, folder: Path, store: Store) -> None:
    """Put into the store what the entries hold and the code still stands for: it need not be made again."""
    planned = {cell.cell.key: cell for cell in plan.cells}
    for entry in board.read_entries(folder) if folder.is_dir() else []:
        for record in entry.records:
            cell = planned.get(record.cell.key)
            if cell is not None and not store.has(record.cell):
                files = (entry.artifacts_path(record), entry.recording_path(record))
                pictured, recorded = (path.read_bytes() if path.is_file() else b"" for path in files)
                store.put(record, arrays=pictured, recording=recorded)
