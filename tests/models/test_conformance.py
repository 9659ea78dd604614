"""Every registered model keeps its promises, by the checks that third parties run on theirs."""

import pytest

from lebench import registry
from lebench.models.spec import build_model, parameters
from lebench.testing import check_model

LEAKS = [item.name for item in registry.models.items() if "leak" in item.tags]
#: They train a convolutional network by its published recipe, twice; each part is checked with the other models.
_SLOW = ("entk-cnn-trained", "entk-resnet-nf-trained", "resnet18", "vit-tiny", "wrn-16-4")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in registry.models.names() if n not in LEAKS],
)
def test_a_registered_model_passes_the_conformance_checks(name):
    known = parameters(name)
    short = {"epochs": 2, "min_steps": 0, "warmup": 0} if "epochs" in known else {}
    chosen = ",".join(f"{option}={value}" for option, value in short.items() if option in known)
    model = build_model(f"{name}[{chosen}]" if chosen else name).model
    assert check_model(model) == []


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_of_test_labels_is_caught_in_every_capability(name):
    model = registry.models.get(name)()
    assert check_model(model) == [
        f"{capability}: depends on the test labels: a leak"
        for capability in ("predict", "similarity", "gram")
        if capability in model.capabilities
    ]


def test_there_is_a_leak_to_catch_and_it_is_marked():
    assert LEAKS == ["leak-kernel"]
    assert "control" in registry.models.item("leak-kernel").tags
