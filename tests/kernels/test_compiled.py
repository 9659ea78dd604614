"""The compiled loops against the recursion in the array API, and their polynomials against mpmath."""

import tracemalloc

import mpmath
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
from lebench.kernels import dense_loops, infinite_width_diagonal, infinite_width_kernel, methods, simd
from lebench.kernels.cntk_method import ConvolutionalMethod, convolutional_method
from lebench.kernels.dense_method import DenseMethod, dense_method
from lebench.kernels.width_limit import limit_of

Leaky, Erf = Activation("leaky_relu"), Activation("erf")
BIASED = {"weight_variance": 1.7, "bias_variance": 0.3}
HEAD = (Flatten(), Dense())

NETWORKS = {
    "cnn": cnn(2),
    "resnet-nf": resnet_nf(2),
    "gap": Architecture((Conv(2), Relu, Conv(2), Relu, GlobalAvgPool(), Dense())),
    "gap-mlp": Architecture((Conv(2), Leaky, Conv(2, 5), Erf, GlobalAvgPool(), Dense(2), Relu, Dense()), **BIASED),
    "pooled": Architecture((Conv(2), Relu, Conv(2), Relu, AvgPool(3), *HEAD), **BIASED),
    "valid": Architecture((Conv(2, 2, padding="valid"), Relu, Conv(2, 3, 2, "valid"), Erf, GlobalAvgPool(), Dense())),
    "stride-3": Architecture((Conv(2, 5, 3), Relu, Conv(2, 1), Leaky, AvgPool(2), *HEAD), **BIASED),
    "linear": Architecture((Conv(2), Identity, Conv(2, 1, 2), Identity, GlobalAvgPool(), Dense())),
    "nested": Architecture(
        (
            Conv(2),
            Relu,
            Residual((Conv(2), Residual((Relu, Conv(2))), Erf, Conv(2)), (Conv(2, 1),)),
            Residual((Identity,), (Conv(2),)),
            Leaky,
            *HEAD,
        ),
        **BIASED,
    ),
}


@pytest.fixture
def without_numba(monkeypatch):
    """A function that computes a kernel as if numba were not installed."""

    def compute(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(methods, "compiled_available", lambda: False)
            return infinite_width_kernel(*args, **kwargs)

    return compute


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("name", NETWORKS)
def test_planes_give_what_the_recursion_gives(name, kind, without_numba):
    network = NETWORKS[name]
    x = np.random.default_rng(0).standard_normal((21, 7, 6, 2))
    method = convolutional_method(limit_of(network, x.shape[1:]), kind, 8, 2**25)
    assert isinstance(method, ConvolutionalMethod)
    expected = without_numba(network, x, kind=kind)
    kernel = infinite_width_kernel(network, x, kind=kind)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)
    # An image that is in both sets meets itself at cosines of one up to rounding.
    between = infinite_width_kernel(network, x[:18], x[3:], kind=kind)
    np.testing.assert_allclose(between, expected[:18, 3:], rtol=2e-8)
    np.testing.assert_allclose(between[:, 15:], expected[:18, 18:], rtol=1e-12)
    np.testing.assert_allclose(infinite_width_diagonal(network, x, kind=kind), np.diag(expected), rtol=1e-12)
    single = infinite_width_kernel(network, x.astype(np.float32), kind=kind)
    np.testing.assert_allclose(single, expected, atol=3e-7 * expected.max())


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_dense_pieces_give_what_the_recursion_gives(kind, without_numba):
    network = Architecture((Dense(2), Leaky, Dense(2), Identity, Dense(2), Erf, Dense(2), Relu, Dense()), **BIASED)
    x = np.random.default_rng(0).standard_normal((dense_loops.PIECE + 60, 5))
    assert isinstance(dense_method(limit_of(network, (5,)), kind, 8, 2**25), DenseMethod)
    expected = without_numba(network, x, kind=kind)
    np.testing.assert_allclose(infinite_width_kernel(network, x, kind=kind), expected, rtol=1e-12)
    between = infinite_width_kernel(network, x[:3], x[3:], kind=kind)
    np.testing.assert_allclose(between, expected[:3, 3:], rtol=1e-12)


def test_planes_in_blocks(without_numba):
    x = np.random.default_rng(1).standard_normal((50, 5, 5, 1))
    network = NETWORKS["gap-mlp"]
    limit = limit_of(network, (5, 5, 1))
    memory = 85_000
    assert convolutional_method(limit, "ntk", 8, memory).edge == simd.LANES
    np.testing.assert_allclose(infinite_width_kernel(network, x, memory=memory), without_numba(network, x), rtol=1e-12)


@pytest.mark.parametrize(
    "layers",
    [
        (Conv(2), Relu, AvgPool(2), Conv(2), Relu, *HEAD),
        (AvgPool(2), *HEAD),
        (Flatten(), Dense(3), Residual((Relu, Dense(3))), Dense()),
    ],
)
def test_what_mixes_planes_takes_the_recursion(layers):
    limit = limit_of(Architecture(layers), (6, 6, 1))
    assert convolutional_method(limit, "ntk", 8, 2**25) is None
    assert dense_method(limit, "ntk", 8, 2**25) is None


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 1.2e-7), (np.float64, 2.3e-16)])
def test_moments_at_all_angles(dtype, rounding):
    """The compiled loops against mpmath, from parallel to opposite inputs."""
    angles = np.concatenate([np.linspace(0, np.pi, 41), [1e-3, 1e-2, np.pi - 1e-3]])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    network = Architecture((Dense(2), Relu, Dense()), weight_variance=2.0)
    for kind in ("ntk", "nngp"):
        kernel = infinite_width_kernel(network, x[:1], x, kind=kind)[0]
        for value, (a, b) in zip(kernel, x.astype(np.float64), strict=True):
            cosine = mpmath.mpf(a) / mpmath.sqrt(mpmath.mpf(a) ** 2 + mpmath.mpf(b) ** 2)
            norm = mpmath.sqrt(mpmath.mpf(a) ** 2 + mpmath.mpf(b) ** 2)
            angle = mpmath.acos(cosine)
            moment = (mpmath.sin(angle) + (mpmath.pi - angle) * cosine) / mpmath.pi
            if kind == "ntk":
                moment += (mpmath.pi - angle) * cosine / mpmath.pi
            # Two factors 2 of the variance, one half of the inputs' two coordinates, one half in both moments; an angle
            # below the resolution of its cosine has the error of the root of it.
            resolution = 3e-4 if dtype == np.float32 else 3e-8
            slack = 4 * rounding if min(angle, mpmath.pi - angle) > 5e-3 else resolution
            assert abs(float(value) - float(norm * moment)) <= slack


@pytest.mark.parametrize(
    ("network", "shape"), [(mlp(depth=3), (1500, 10)), (NETWORKS["gap"], (150, 6, 6, 1)), (cnn(2), (60, 8, 8, 3))]
)
@pytest.mark.parametrize("compile_", [True, False])
def test_the_memory_budget_is_kept(network, shape, compile_, monkeypatch):
    if not compile_:
        monkeypatch.setattr(methods, "compiled_available", lambda: False)
    x = np.random.default_rng(0).standard_normal(shape)
    infinite_width_kernel(network, x[:3])
    memory = 2_000_000
    tracemalloc.start()
    kernel = infinite_width_kernel(network, x, memory=memory)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    activations = sum(isinstance(layer, Activation) for layer in network.walk())
    positions = shape[1] * shape[2] if len(shape) == 4 else 1
    kept = 8 * len(x) * positions * activations
    # In between, variances exist as root, inverse root and in parts.
    assert peak < memory + kernel.nbytes + 4 * (kept + x.nbytes)
