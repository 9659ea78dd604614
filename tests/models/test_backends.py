"""A backend of a third party trains every network."""

import pytest

from lebench import registry
from lebench.errors import ParameterError
from lebench.models.spec import build_model
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

STUB = """
import numpy as np
import lebench

class Fitted:
    def __init__(self, weights):
        self.weights = weights

    def predict(self, x):
        return x.reshape(len(x), -1) @ self.weights

class Stub:
    '''Least squares, whatever the network.'''
    capabilities = frozenset({"predict"})

    def fit(self, network, recipe, x, y, classes, seed, removed=None):
        return Fitted(np.linalg.lstsq(x.reshape(len(x), -1), np.eye(classes)[y], rcond=None)[0])

lebench.register_backend("stub", Stub)
"""


@pytest.fixture
def stub(tmp_path, plugins_forgotten):
    path = tmp_path / "stub.py"
    path.write_text(STUB)
    return path


def test_a_backend_of_a_plugin_trains_networks(stub, tmp_path):
    plan = make_plan(["digits/accuracy", "digits/collapse"], ["mlp", "permuted-labels"], [0], "stub", [stub])
    assert {cell.cell.backend for cell in plan.cells} == {"stub"}
    assert {cell.cell.task for cell in plan.skipped} == {"digits/collapse"}
    summary = execute(plan, Store(tmp_path / "results"), jobs=1)
    assert [record.status for record in summary.records] == ["skipped", "skipped", "ok", "ok"]
    # The labels of the control are permuted for it as for any other.
    accuracies = {record.label: record.metrics["accuracy"] for record in summary.records if record.status == "ok"}
    assert accuracies["mlp"] > 0.8 > 0.3 > accuracies["permuted-labels"]


@pytest.mark.parametrize("model", ["resnet", "lin-mlp", "entk-mlp", "ntk-mlp"])
def test_whatever_is_made_of_a_network_runs_on_it(stub, model):
    registry.load_plugin(stub)
    built = build_model(model, "stub")
    assert (built.backend, built.model.backend) == ("stub", "stub")


def test_options_of_recipes_that_it_does_not_know_are_refused(stub):
    registry.load_plugin(stub)
    said = "the stub backend does not say that it trains with augmentation, nesterov: leave that out"
    for spec in ("resnet18", "mlp[augmentation=flip,nesterov=true,lr=0.2]"):
        with pytest.raises(ParameterError, match=said):
            build_model(spec, "stub")
    registry.backends.get("stub").recipe_options = frozenset({"augmentation", "nesterov"})
    assert build_model("resnet18", "stub").model.recipe.nesterov


def test_a_backend_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="'mlp' does not run on backend 'numpy'; it supports jax, torch"):
        build_model("mlp", "numpy")
