"""The identity of a cell: names, versions and parameters, and nothing of lebench's text."""

import itertools
from dataclasses import replace

import pytest

from lebench import registry
from lebench.errors import LebenchError
from lebench.models.spec import build_model
from lebench.registry import Registry
from lebench.runner.current import outdated
from lebench.runner.identity import make_cell


def cell_of(task="digits/accuracy", model="knn", seed=0, backend=None):
    return make_cell(registry.tasks.get(task), build_model(model, backend), seed)


def raised(monkeypatch, kind, name, version):
    """Raise the version of a model or backend for the rest of the test."""
    known = getattr(registry, kind)
    copy = Registry(known.kind, index={})
    copy._items, copy._objects = dict(known._items), dict(known._objects)
    copy._items[name] = replace(known.item(name), version=version)
    monkeypatch.setattr(registry, kind, copy)


def test_the_key_is_pinned():
    """Whoever makes this fail changes the identity of every record: raise the schema, and migrate."""
    cell = cell_of().model_copy(update={"dataset_sha256": "0" * 64})
    assert cell.key == "2f79b04b057b3a5f88f8720845bb0605c2ce698b4780c1c0faf114b00e137d19"


def test_whatever_is_declared_is_in_the_key():
    cell = cell_of("digits/gap", "rbf")
    changes = {
        "task": "digits/collapse",
        "task_version": 2,
        "dataset": "mnist",
        "dataset_version": 2,
        "dataset_sha256": "0" * 64,
        "model": "laplace",
        "model_version": 2,
        "params": {"scale": 2.0},
        "plugin": "0" * 64,
        "references": cell.references | {"mlp": 2},
        "backend": "torch",
        "backend_version": 2,
        "precision": "float32",
        "seed": 1,
    }
    assert changes.keys() == type(cell).model_fields.keys()
    keys = [cell.key, *(cell.model_copy(update={name: value}).key for name, value in changes.items())]
    assert len(set(keys)) == len(keys)


def test_a_cell_has_the_versions_of_today():
    cell = cell_of("digits/accuracy", "mlp[width=8]")
    assert (cell.task_version, cell.dataset_version, cell.model_version, cell.backend_version) == (1, 1, 1, 1)
    assert (cell.backend, cell.precision, cell.plugin, cell.references) == ("torch", "float32", "", {})
    assert cell.params["width"] == 8
    assert not outdated(cell)


def test_models_that_a_task_fits_are_part_of_it_with_their_backends(monkeypatch):
    cell = cell_of("digits/gap", "rbf")
    assert cell.references == {"mlp": 1, "ntk-mlp": 1, "torch": 1}
    for kind, name in (("models", "mlp"), ("backends", "torch")):
        with monkeypatch.context() as patch:
            raised(patch, kind, name, 2)
            assert cell_of("digits/gap", "rbf").references == cell.references | {name: 2}
            assert outdated(cell) == f"{name}: made by version 1, today's is version 2"
            # What does not rest on it stays as it was.
            assert not outdated(cell_of("digits/accuracy", "rbf"))


def test_the_model_that_another_is_made_of_is_part_of_it():
    assert cell_of(model="lantk-hr-mlp").references == {"ntk-mlp": 1}
    assert cell_of(model="lantk-hr-mlp[base=rbf[scale=0.5]]").references == {"rbf": 1}


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [("models", "mlp", "model_version"), ("backends", "torch", "backend_version")],
)
def test_a_raised_version_makes_another_cell(monkeypatch, kind, name, field):
    old = cell_of(model="mlp")
    raised(monkeypatch, kind, name, 7)
    new = cell_of(model="mlp")
    assert new == old.model_copy(update={field: 7})
    assert outdated(old) == f"{name}: made by version 1, today's is version 7"
    assert not outdated(new)


def test_a_parameter_whose_repr_is_an_address_is_refused():
    odd = replace(build_model("knn"), params={"k": repr(object())})
    with pytest.raises(LebenchError, match="the repr of its parameter k does not say what it is"):
        make_cell(registry.tasks.get("digits/accuracy"), odd, 0)


def test_names_of_tasks_with_references_are_of_models():
    tasks = [registry.tasks.get(item.name) for item in registry.tasks.items() if item.source == "lebench"]
    named = {name for task in tasks for name in task.references}
    assert named == {"mlp", "ntk-mlp", "nngp-mlp", "rbf"}
    assert all(name in registry.models for name in named)


def test_models_and_backends_do_not_share_names():
    """References hold both."""
    assert not set(registry.models.names()) & set(registry.backends.names())


def test_seeds_differ_in_nothing_else():
    cells = [cell_of(seed=seed) for seed in range(3)]
    assert all(a.model_copy(update={"seed": b.seed}) == b for a, b in itertools.pairwise(cells))
