"""Every registered model keeps its promises, by the checks that third parties run on theirs."""

import pytest

from lebench import registry
from lebench.models.spec import build_model, parameters
from lebench.testing import check_model

#: They train a convolutional network by its published recipe, twice; each part is checked with the other models.
_SLOW = ("entk-cnn-trained", "entk-resnet-nf-trained")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in registry.models.names()],
)
def test_a_registered_model_passes_the_conformance_checks(name):
    trained = "epochs" in parameters(name)
    model = build_model(f"{name}[epochs=2,min_steps=0]" if trained else name).model
    assert check_model(model) == []
