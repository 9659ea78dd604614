"""Kernels in float32 are within 1e-6 of the largest entry of those in float64, on any finite input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lebench.agree.ill_conditioned import INPUTS
from lebench.architectures import (
    Activation,
    Architecture,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Relu,
    cnn,
    mlp,
    resnet_nf,
)
from lebench.errors import DataError
from lebench.kernels import infinite_width_diagonal, infinite_width_kernel, methods

Leaky, Erf, Gelu = (Activation(name) for name in ("leaky_relu", "erf", "gelu"))
BIASED = {"weight_variance": 2.25, "bias_variance": 0.0025}
VECTORS = {
    "relu": mlp(depth=1),
    "relu-deep": mlp(depth=8),
    "relu-biased": Architecture((Dense(8), Relu, Dense(8), Relu, Dense()), **BIASED),
    "leaky": Architecture((Dense(8), Leaky, Dense(8), Leaky, Dense()), 1.7, 0.3),
    "erf": Architecture((Dense(8), Erf, Dense(8), Erf, Dense()), 1.7, 0.3),
    "erf-relu": Architecture((Dense(8), Erf, Dense(8), Relu, Dense()), 1.7, 0.3),
    "gelu": Architecture((Dense(8), Gelu, Dense(8), Gelu, Dense()), 1.7, 0.1),
    "linear-first": Architecture((Dense(3), Dense(3), Relu, Dense()), 1.0, 0.5),
}
IMAGES = {
    "flat": Architecture((Conv(2), Relu, Conv(2), Relu, Flatten(), Dense()), 2.0, 0.1),
    "gap": Architecture((Conv(2), Relu, Conv(2), Relu, GlobalAvgPool(), Dense())),
    "gap-mlp": Architecture((Conv(2), Leaky, Conv(2, 5), Erf, GlobalAvgPool(), Dense(2), Relu, Dense()), 1.7, 0.3),
    "cnn": cnn(2),
    "resnet-nf": resnet_nf(2),
}
BOUND = 1e-6


def deviation(network, x, y=None, kind="ntk", convert=np.asarray):
    """Return how far the float32 kernel is from the float64 one, relative to its largest entry."""
    given = [x] if y is None else [x, y]
    single = infinite_width_kernel(network, *(convert(a) for a in given), kind=kind)
    double = infinite_width_kernel(network, *(a.astype(np.float64) for a in given), kind=kind)
    largest = np.abs(double).max()
    return np.abs(np.asarray(single, dtype=np.float64) - double).max() / largest if largest else np.abs(single).max()


@pytest.fixture(params=["compiled", "array"])
def method(request, monkeypatch):
    if request.param == "array":
        monkeypatch.setattr(methods, "compiled_available", lambda: False)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name, inputs, kind, method):
    for size in (1, 2, 300):
        x = INPUTS[inputs](size).astype(np.float32)
        assert deviation(VECTORS[name], x, kind=kind) < BOUND
        assert deviation(VECTORS[name], x[:7], x[::-1].copy(), kind=kind) < BOUND


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("name", IMAGES)
def test_images(name, inputs, kind):
    x = INPUTS[inputs](36).astype(np.float32).reshape(-1, 6, 6, 1)
    assert deviation(IMAGES[name], x, kind=kind) < BOUND
    assert deviation(IMAGES[name], x[:7], x[::-1].copy(), kind=kind) < BOUND


@pytest.mark.parametrize("name", ["relu-biased", "erf", "gelu"])
@pytest.mark.parametrize("inputs", INPUTS)
def test_torch(name, inputs, method):
    assert deviation(VECTORS[name], INPUTS[inputs](20).astype(np.float32), convert=torch.from_numpy) < BOUND


@pytest.mark.parametrize("name", ["relu-biased", "erf", "gelu"])
def test_jax(name, method):
    for make in INPUTS.values():
        assert deviation(VECTORS[name], make(20).astype(np.float32), convert=jnp.asarray) < BOUND


def test_jax_without_float64_outside_compiles_to_the_same(method):
    x = INPUTS["nearly equal"](20).astype(np.float32)
    function = jax.jit(lambda a: infinite_width_kernel(VECTORS["relu-biased"], a))
    assert function(jnp.asarray(x)).dtype == jnp.float32
    assert deviation(VECTORS["relu-biased"], x) < BOUND
    double = infinite_width_kernel(VECTORS["relu-biased"], x.astype(np.float64))
    np.testing.assert_allclose(function(jnp.asarray(x)), double, atol=BOUND * double.max())


def test_collinear_inputs_in_closed_form():
    """Of collinear inputs of one sign every kernel of a ReLU network without biases is that of a linear one."""
    x = np.array([[20.0], [25.0], [31.0]], dtype=np.float32)
    kernel = infinite_width_kernel(mlp(depth=2), x)
    # Each of the three layers adds w^2... = 2 <x, x'> to the tangent kernel.
    np.testing.assert_allclose(kernel, 3 * 2 * x @ x.T, rtol=2e-7)
    biased = infinite_width_kernel(VECTORS["relu-biased"], x)
    assert biased[0, 1] == pytest.approx(4270.93569, rel=1e-6)
    assert biased[0, 2] == pytest.approx(5295.41243, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    x=arrays.arrays(
        np.float32,
        st.tuples(st.integers(2, 6), st.integers(1, 5)),
        elements=st.floats(-(2.0**63), 2.0**63, width=32, allow_subnormal=False),
    ),
    name=st.sampled_from(sorted(VECTORS)),
    kind=st.sampled_from(["ntk", "nngp"]),
)
def test_any_finite_vectors(x, name, kind):
    assume(np.abs(x).max() > 1e-30)
    assert deviation(VECTORS[name], x, kind=kind) < BOUND


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), spread=st.floats(-7, 1), offset=st.floats(-3, 5), name=st.sampled_from(sorted(VECTORS))
)
def test_any_angles(seed, spread, offset, name):
    rng = np.random.default_rng(seed)
    x = 10**offset * rng.standard_normal(9) + 10 ** (offset + spread) * rng.standard_normal((12, 9))
    x *= rng.choice([-1, 1], (12, 1)) * 10.0 ** rng.uniform(-2, 2, (12, 1))
    assert deviation(VECTORS[name], x.astype(np.float32)) < BOUND


@pytest.mark.parametrize("name", ["relu", "relu-deep", "leaky", "erf", "erf-relu", "gelu", "flat", "gap"])
@pytest.mark.parametrize("exponent", [-150, -100, -20, 20, 100, 150])
def test_scales_in_float64(name, exponent, method):
    """Networks of ReLUs without biases are homogeneous of degree 2; of others the kernel is finite and symmetric."""
    network = (VECTORS | IMAGES)[name]
    x = np.random.default_rng(0).standard_normal((5, 4, 4, 1) if name in IMAGES else (5, 3))
    x[1], x[2] = 3 * x[0], -x[0]
    kernel = infinite_width_kernel(network, x * 10.0**exponent)
    assert np.isfinite(kernel).all()
    np.testing.assert_array_equal(kernel, kernel.T)
    assert (np.diag(kernel) > 0).all()
    assert np.abs(kernel).max() <= np.diag(kernel).max() * (1 + 1e-12)
    if network.bias_variance == 0:
        expected = infinite_width_kernel(network, x) * 10.0**exponent * 10.0**exponent
        np.testing.assert_allclose(kernel, expected, rtol=1e-12)
    if exponent < 0 and network.bias_variance > 0:
        at_zero = infinite_width_kernel(network, np.zeros_like(x))
        np.testing.assert_allclose(kernel, at_zero, rtol=1e-6)


@pytest.mark.parametrize("name", ["leaky", "flat"])
@pytest.mark.parametrize("exponent", [20, 100, 150])
def test_biases_are_nothing_beside_huge_inputs(name, exponent):
    network = (VECTORS | IMAGES)[name]
    x = np.random.default_rng(0).standard_normal((5, 4, 4, 1) if name in IMAGES else (5, 3))
    plain = Architecture(network.layers, network.weight_variance)
    np.testing.assert_allclose(
        infinite_width_kernel(network, x * 10.0**exponent) / 10.0**exponent / 10.0**exponent,
        infinite_width_kernel(plain, x),
        rtol=1e-12,
    )


def test_what_float32_cannot_hold_comes_in_float64():
    x = np.array([[1e20, 0], [1e20, 1e20]], dtype=np.float32)
    for convert in (np.asarray, torch.from_numpy, jnp.asarray):
        kernel = infinite_width_kernel(mlp(depth=1), convert(x))
        assert str(kernel.dtype).endswith("float64")
        np.testing.assert_allclose(np.diag(np.asarray(kernel)), [2e40, 4e40], rtol=1e-6)
    assert infinite_width_kernel(VECTORS["erf"], x, kind="nngp").dtype == np.float32
    with pytest.raises(DataError, match="beyond the range of float64: divide the inputs"):
        infinite_width_kernel(mlp(depth=1), x.astype(np.float64) * 1e150)
    with pytest.raises(DataError, match="beyond the range of float64"):
        infinite_width_diagonal(mlp(depth=1), x.astype(np.float64) * 1e150)
