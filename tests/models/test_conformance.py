"""Every registered model keeps its promises, by the checks that third parties run on theirs."""

import pytest

from lebench import registry
from lebench.models.spec import build_model, parameters
from lebench.testing import check_model


@pytest.mark.parametrize("name", registry.models.names())
def test_a_registered_model_passes_the_conformance_checks(name):
    trained = "epochs" in parameters(name)
    model = build_model(f"{name}[epochs=2,min_steps=0]" if trained else name).model
    assert check_model(model) == []
