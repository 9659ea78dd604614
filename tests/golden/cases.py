"""Which golden cases there are: a model on the tasks of one dataset, with one backend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lebench import registry
from lebench.models.spec import NUMPY, parse_spec

FILE = Path(__file__).with_name("values.jsonl")
FACTS = FILE.with_name("facts.json")

#: One model of each family, which does every task it can, with each backend it is run on.
EVERYWHERE = {
    "mlp": ("torch", "jax"),
    "lin-mlp": ("torch",),
    "entk-mlp": ("torch",),
    "ntk-mlp": (NUMPY,),
    "rbf": (NUMPY,),
    "lantk-hr-mlp": (NUMPY,),
    "logistic-regression": (NUMPY,),
    "random-features": (NUMPY,),
    "neurashed": (NUMPY,),
}
#: What every other model does; with JAX, each model compiles programs of its own for seconds.
SHORT = ("digits/accuracy", "digits/collapse", "digits/elasticity")
# The collapse of vgg differs by 2e-5 between instruction sets: batch normalization of few points.
LEFT_OUT = (
    "lantk-hr-cnn",  # lantk-hr-mlp with another kernel, which ntk-cnn has
    *("resnet18", "wrn-16-4", "vit-tiny"),  # too large; their training is that of the others
)
FEW_POINTS = ("digits/small-n",)
#: Further cases: label, backend, tasks.
MORE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("mlp[depth=1]", "torch", ("overparam/width",)),
    ("mlp[depth=1]", "torch", ("overparam/teacher-8",)),
    ("mlp[optimizer=adam,schedule=cosine,loss=mse]", "torch", SHORT),
    ("mlp[activation=erf,output_scale=4.0]", "torch", ("digits/accuracy", "digits/elasticity")),
    ("mlp[activation=leaky_relu,optimizer=adam,schedule=cosine]", "jax", SHORT),
    ("lin-mlp", "jax", ("digits/accuracy", "digits/elasticity")),
    ("entk-mlp", "jax", FEW_POINTS),
    ("resnet", "jax", FEW_POINTS),
    ("ntk-mlp", "jax", FEW_POINTS),
    ("ntk-mlp[activation=erf,depth=1]", NUMPY, FEW_POINTS),
    ("ntk-mlp[activation=leaky_relu]", NUMPY, FEW_POINTS),
    ("ntk-mlp", "torch", FEW_POINTS),
    # What other measures compute is tested beside the metrics; each takes seconds here, for all networks of the grid.
    ("measure-frobenius-bound", NUMPY, ("overparam/measures",)),
    ("neurashed[scope=global]", NUMPY, ("neurashed/elasticity",)),
)


@dataclass
class Case:
    """What a golden case asks and what came of it.

    Attributes
    ----------
    label, backend, tasks
        A model, where it runs, and tasks of one dataset.
    versions : dict
        The version of everything that its values depend on: ``{"model mlp": 1}``.
    raw : dict
        Of each fit what it answers to questions of our own, see :func:`golden.tiny.answers`.
    values : dict
        The values of each task.
    missing : dict
        Names of the values that a task has not.
    failed : dict
        Why a task fails, not committed: some kernels are singular on so few points.
    """

    label: str
    backend: str
    tasks: tuple[str, ...]
    versions: dict[str, int] = field(default_factory=dict)
    raw: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called in the names of tests."""
        return f"{self.label}|{self.backend}|{self.dataset}"

    @property
    def dataset(self) -> str:
        """The dataset of its tasks."""
        return str(registry.tasks.get(self.tasks[0]).dataset)


def stored() -> list[Case]:
    """Return the committed cases."""
    if not FILE.exists():
        return []
    with FILE.open(encoding="utf-8") as file:
        return [Case(**{**(known := json.loads(line)), "tasks": tuple(known["tasks"])}) for line in file]


def store(cases: list[Case]) -> None:
    """Write the cases, numbers with eight digits."""
    text = "".join(json.dumps(_rounded(_committed(case)), separators=(",", ":")) + "\n" for case in cases)
    FILE.write_text(text, encoding="utf-8")


def _committed(case: Case) -> dict[str, Any]:
    return {name: value for name, value in vars(case).items() if name != "failed"}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def wanted() -> Iterator[Case]:
    """Yield every case that there should be, without values."""
    by_dataset: dict[str, list[str]] = {}
    for name in registry.tasks.names():
        by_dataset.setdefault(registry.tasks.get(name).dataset, []).append(name)
    for label, backends in EVERYWHERE.items():
        for backend in backends:
            for tasks in by_dataset.values():
                yield Case(label, backend, tuple(tasks))
    for item in registry.models.items():
        if item.name not in EVERYWHERE and item.name not in LEFT_OUT and "measure" not in item.tags:
            model = registry.models.get(item.name)()
            tasks = FEW_POINTS if "kernel" in item.tags else SHORT if item.name != "vgg" else (SHORT[0], SHORT[2])
            yield Case(item.name, getattr(model, "backend", None) or NUMPY, tasks)
    for label, backend, tasks in MORE:
        yield Case(label, backend, tasks)


def versions(case: Case) -> dict[str, int]:
    """Return the versions of today of everything that a case depends on, its tasks last."""
    name, _ = parse_spec(case.label)
    known = {f"model {name}": _version(registry.models, name)}
    if case.backend != NUMPY:
        known[f"backend {case.backend}"] = _version(registry.backends, case.backend)
    known[f"dataset {case.dataset}"] = registry.datasets.get(case.dataset).version
    for task in case.tasks:
        known[f"task {task}"] = registry.tasks.get(task).version
        for reference in getattr(registry.tasks.get(task), "references", ()):
            known[f"model {reference}"] = _version(registry.models, reference)
    return known


def _version(kind: Any, name: str) -> int:
    return int(getattr(kind.item(name), "version", 1))
