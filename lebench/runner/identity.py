"""What makes two numbers the same number: the declared names, versions and parameters behind a cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lebench import registry
from lebench.data.base import Dataset
from lebench.errors import LebenchError
from lebench.models.spec import NUMPY, Configured
from lebench.records import Cell
from lebench.runner.plugin_identity import plugin_identity
from lebench.tasks.base import Task, metric_of


def make_cell(task: Task, configured: Configured, seed: int) -> Cell:
    """Return the cell of a task, a model and a seed, by the versions of today.

    Raises
    ------
    LebenchError
        If a parameter of the model has no text that is the same in every process.
    UnavailableDataError
        If there are no files of the dataset.
    """
    dataset: Dataset = registry.datasets.get(task.dataset)
    for name, value in configured.params.items():
        if " at 0x" in str(value):
            raise LebenchError(
                f"model {configured.name!r}: the repr of its parameter {name} does not say what it is ({value}); "
                "make it a frozen dataclass, or pass a name"
            )
    return Cell(
        task=task.name,
        task_version=task.version,
        dataset=dataset.name,
        dataset_version=dataset.version,
        dataset_sha256=dataset.sha256,
        model=configured.name,
        model_version=_version(registry.models, configured.name),
        params=configured.params,
        plugin=plugin_identity(_wanted(task, configured)),
        references=references(task, configured.model),
        backend=configured.backend,
        backend_version=_version(registry.backends, configured.backend),
        precision=configured.precision,
        seed=seed,
    )


def references(task: Task, model: Any) -> dict[str, int]:
    """Return the versions of the models that a task or a model fits itself, and of the backends that those run on."""
    own: Iterable[str] = getattr(model, "references", ())
    found = {name: _version(registry.models, name) for name in (*task.references, *own)}
    for name in task.references:
        backend: str = getattr(registry.models.get(name)(), "backend", NUMPY)
        if backend in registry.backends:
            found[backend] = _version(registry.backends, backend)
    return dict(sorted(found.items()))


def _version(kind: registry.Registry[Any], name: str) -> int:
    # NumPy is no backend that is registered.
    return kind.item(name).version if name in kind else 1


def _wanted(task: Task, configured: Configured) -> set[tuple[str, str]]:
    """Return kind and name of what a cell needs."""
    wanted = {("task", task.name), ("dataset", task.dataset), ("model", configured.name)}
    wanted |= {("metric", metric_of(name)) for name in task.metrics}
    wanted |= {("model", name) for name in task.references}
    return wanted | ({("backend", configured.backend)} if configured.backend in registry.backends else set())
