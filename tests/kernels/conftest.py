"""Architectures whose kernels in float64 by neural-tangents are stored in tests/reference."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lebench.architectures import (
    Activation,
    Architecture,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Identity,
    Relu,
    Residual,
    cnn,
    mlp,
    resnet_nf,
)

Erf, Leaky = Activation("erf"), Activation("leaky_relu")
V, P = "vectors", "images"
BIASED = {"weight_variance": 1.7, "bias_variance": 0.3}

ARCHITECTURES = {
    "mlp-1": (V, mlp(depth=1)),
    "mlp-4": (V, mlp(depth=4)),
    "mlp-biased": (V, Architecture((Dense(8), Relu, Dense(8), Relu, Dense()), **BIASED)),
    "mlp-leaky": (V, Architecture((Dense(8), Leaky, Dense(8), Leaky, Dense()), **BIASED)),
    "mlp-erf": (V, Architecture((Dense(8), Erf, Dense(8), Erf, Dense()), **BIASED)),
    "mlp-linear": (V, Architecture((Dense(8), Identity, Dense(8), Identity, Dense()), **BIASED)),
    "mlp-mixed-residual": (
        V,
        Architecture((Dense(8), Residual((Relu, Dense(8), Erf, Dense(8))), Leaky, Dense()), **BIASED),
    ),
    "cnn": (P, cnn(2)),
    "cnn-flatten-biased": (P, Architecture((Conv(4), Relu, Conv(4, kernel=5), Erf, Flatten(), Dense()), **BIASED)),
    "cnn-flatten-mlp": (P, Architecture((Conv(4), Leaky, Flatten(), Dense(8), Relu, Dense()), **BIASED)),
    "cnn-gap": (P, Architecture((Conv(4), Relu, Conv(4), Relu, Conv(4), Relu, GlobalAvgPool(), Dense()))),
    "cnn-gap-biased-mlp": (
        P,
        Architecture((Conv(4), Relu, Conv(4), Erf, GlobalAvgPool(), Dense(8), Relu, Dense()), **BIASED),
    ),
    "cnn-valid-strided-gap": (
        P,
        Architecture((Conv(4, padding="valid"), Relu, Conv(4, stride=2), Relu, GlobalAvgPool(), Dense()), **BIASED),
    ),
    "cnn-strided-last": (P, Architecture((Conv(4), Relu, Conv(4, kernel=3, stride=2), GlobalAvgPool(), Dense()))),
    "cnn-pooled-inside": (
        P,
        Architecture((Conv(4), Relu, AvgPool(2), Conv(4), Relu, Flatten(), Dense()), **BIASED),
    ),
    "cnn-pooled-last": (P, Architecture((Conv(4), Relu, Conv(4), Relu, AvgPool(2), Flatten(), Dense()), **BIASED)),
    "resnet-nf": (P, resnet_nf(2)),
    "resnet-nf-flatten": (
        P,
        Architecture(
            (Conv(2), Residual((Relu, Conv(2, stride=2), Leaky, Conv(2)), (Conv(2, 1, 2),)), Erf, Flatten(), Dense()),
            **BIASED,
        ),
    ),
    "mlp-on-images": (P, mlp(depth=2)),
}


@pytest.fixture(params=ARCHITECTURES)
def case(request):
    """An architecture, inputs, and what neural-tangents makes of them."""
    stored = np.load(Path(__file__).parents[1] / "reference" / "infinite_width_kernels.npz")
    inputs, architecture = ARCHITECTURES[request.param]
    kernels = {kind: stored[f"{request.param}_{kind}"] for kind in ("ntk", "nngp")}
    return SimpleNamespace(architecture=architecture, x=stored[inputs], kernels=kernels)
