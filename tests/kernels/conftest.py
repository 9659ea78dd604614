from types import SimpleNamespace

import pytest

from lebench.agree.infinite_width import ARCHITECTURES, stored


@pytest.fixture(params=ARCHITECTURES)
def case(request):
    """An architecture, inputs, and what neural-tangents makes of them."""
    inputs, architecture = ARCHITECTURES[request.param]
    kernels = {kind: stored()[f"{request.param}_{kind}"] for kind in ("ntk", "nngp")}
    return SimpleNamespace(architecture=architecture, x=stored()[inputs], kernels=kernels)
