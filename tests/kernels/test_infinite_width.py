"""Infinite-width kernels against closed forms, stored numbers of neural-tangents, and finite networks."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lebench import progress
from lebench.architectures import (
    Activation,
    Architecture,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    Relu,
    Residual,
    lenet,
    mlp,
    resnet,
    vgg,
)
from lebench.errors import DataError, LebenchError, ParameterError
from lebench.kernels import infinite_width_diagonal, infinite_width_kernel, methods


@pytest.fixture(params=["compiled", "array"])
def method(request, monkeypatch):
    """With the compiled loops, and as if numba were not installed."""
    if request.param == "array":
        monkeypatch.setattr(methods, "compiled_available", lambda: False)
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def unit(x, variance=2.0):
    """Scale rows so that the first layer's covariance is the cosine, as with c_sigma = 2 in Arora et al. 2019."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True) * math.sqrt(x.shape[-1] / variance)


def test_two_layer_relu_kernel_follows_the_angle_law():
    angles = np.array([0.0, 0.3, math.pi / 2, 2.0, math.pi])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # f(x) = m^(-1/2) sum a relu(w x), standard normal: weight variance d for the first layer, 1 for the second. With
    # variance 1 for both, the kernel is 1 / d of it.
    kernel = 2 * infinite_width_kernel(Architecture((Dense(5), Relu, Dense()), weight_variance=1.0), x)[0]
    expected = (
        (math.pi - angles) * np.cos(angles) + np.sin(angles) + (math.pi - angles) * np.cos(angles)
    ) / (2 * math.pi)  # fmt: skip
    np.testing.assert_allclose(kernel, expected, atol=1e-15)
    np.testing.assert_allclose(kernel[[0, 2, 4]], [1.0, 0.15915494309189535, 0.0], atol=1e-15)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_deep_relu_kernel_on_the_sphere_has_the_diagonal_depth_plus_one(depth, rng):
    x = unit(rng.standard_normal((6, 9)))
    np.testing.assert_allclose(np.diag(infinite_width_kernel(mlp(depth=depth), x)), depth + 1, rtol=1e-14)
    np.testing.assert_allclose(np.diag(infinite_width_kernel(mlp(depth=depth), x, kind="nngp")), 1, rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_convolutions_of_one_pixel(depth, rng):
    """With one pixel, 1x1 convolutions are dense layers; a 3x3 patch has eight zeros, which divide by nine."""
    x = rng.standard_normal((4, 1, 1, 5))

    def network(kernel):
        return Architecture((*[Conv(3, kernel), Relu] * depth, Flatten(), Dense()))

    dense = infinite_width_kernel(mlp(depth=depth), x)
    np.testing.assert_allclose(infinite_width_kernel(network(1), x), dense, rtol=1e-12)
    np.testing.assert_allclose(infinite_width_kernel(network(3), x), dense / 9.0**depth, rtol=1e-12)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_kernels_of_neural_tangents(case, kind, method):
    x, expected = case.x, case.kernels[kind]
    largest = np.abs(expected).max()
    kernel = infinite_width_kernel(case.architecture, x, kind=kind)
    off = ~np.eye(len(x), dtype=bool)
    np.testing.assert_allclose(kernel[off], expected[off], atol=1e-14 * largest)
    # neural-tangents takes the angle of an input with itself from a rounded cosine: an error of the root of rounding.
    np.testing.assert_allclose(np.diag(kernel), np.diag(expected), atol=2e-8 * largest)
    between = infinite_width_kernel(case.architecture, x[:2], x[1:], kind=kind)
    np.testing.assert_allclose(between, kernel[:2, 1:], rtol=1e-12)
    np.testing.assert_allclose(infinite_width_diagonal(case.architecture, x, kind=kind), np.diag(kernel), rtol=1e-12)
    single = infinite_width_kernel(case.architecture, x.astype(np.float32), kind=kind)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=3e-7 * largest)


SOME = ["mlp-biased", "mlp-erf", "mlp-mixed-residual", "resnet-nf-flatten", "cnn", "cnn-gap", "cnn-pooled-inside"]


@pytest.mark.parametrize("case", SOME, indirect=True)
def test_torch_arrays_give_what_numpy_gives(case, method):
    expected = infinite_width_kernel(case.architecture, case.x)
    double = infinite_width_kernel(case.architecture, torch.from_numpy(case.x))
    assert double.dtype == torch.float64
    np.testing.assert_allclose(double.numpy(), expected, rtol=1e-12)
    single = infinite_width_kernel(case.architecture, torch.from_numpy(case.x).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, atol=5e-7 * expected.max())


@pytest.mark.parametrize(
    ("case", "memory"),
    [
        ("mlp-erf", 16 * 4 * 9),
        # JAX compiles every operation for every shape.
        pytest.param("cnn-strided-last", 2**28, marks=pytest.mark.slow),
        pytest.param("resnet-nf-flatten", 2**28, marks=pytest.mark.slow),
    ],
    indirect=["case"],
)
def test_jax_arrays_give_what_numpy_gives(case, memory, method):
    expected = infinite_width_kernel(case.architecture, case.x)
    kernel = infinite_width_kernel(case.architecture, jnp.asarray(case.x, dtype=jnp.float32), memory=memory)
    assert isinstance(kernel, jnp.ndarray)
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(kernel), expected, atol=5e-7 * expected.max())


@pytest.mark.parametrize("case", SOME, indirect=True)
def test_blocks_change_nothing_and_the_kernel_is_symmetric_and_positive(case, rng, method):
    x = rng.standard_normal((11, *case.x.shape[1:]))
    seen = []
    with progress.listen(seen.append):
        kernel = infinite_width_kernel(case.architecture, x, memory=16 * 8 * 900 * 10)
    np.testing.assert_array_equal(kernel, kernel.T)
    assert np.linalg.eigvalsh(kernel).min() > 0
    np.testing.assert_allclose(kernel, infinite_width_kernel(case.architecture, x), rtol=1e-12)
    assert seen[-1]["block"] == seen[-1]["blocks"]
    order = rng.permutation(11)
    permuted = infinite_width_kernel(case.architecture, x[order])
    np.testing.assert_allclose(permuted, kernel[np.ix_(order, order)], rtol=1e-12)


def test_equal_inputs_have_exactly_equal_kernels(rng, method):
    """The slope at a cosine of one is infinite: without care, rounding gives duplicates a kernel below the diagonal."""
    x = rng.standard_normal((3, 200)).astype(np.float32)
    twice = np.concatenate([x, x])
    kernel = infinite_width_kernel(mlp(depth=5), twice)
    diagonal = np.diag(kernel)[:3]
    np.testing.assert_allclose(np.diag(kernel[:3, 3:]), diagonal, rtol=1e-6)
    np.testing.assert_allclose(np.diag(infinite_width_kernel(mlp(depth=5), x, x)), diagonal, rtol=1e-6)


def test_a_black_image_has_a_kernel_of_zero(rng, method):
    images = rng.standard_normal((3, 4, 4, 1))
    images[1] = 0
    kernel = infinite_width_kernel(Architecture((Conv(2), Relu, Conv(2), Relu, GlobalAvgPool(), Dense())), images)
    np.testing.assert_array_equal(kernel[1], 0)
    assert np.isfinite(kernel).all()


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf"])
def test_moments_of_wide_random_networks(activation):
    """The empirical kernel of torch networks in the NTK parametrization tends to the limit."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 4))
    architecture = Architecture((Dense(2), Activation(activation), Dense()), weight_variance=1.5, bias_variance=0.2)
    width, draws = 20_000, 20
    inputs = torch.from_numpy(x)
    function = {
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "erf": torch.erf,
    }[activation]
    kernels = []
    for seed in range(draws):
        torch.manual_seed(seed)
        weight, bias = torch.randn(width, 4, dtype=torch.float64), torch.randn(width, dtype=torch.float64)
        head = torch.randn(width, dtype=torch.float64)
        pre = math.sqrt(1.5 / 4) * inputs @ weight.T + math.sqrt(0.2) * bias
        pre.requires_grad_()
        hidden = function(pre)
        (slope,) = torch.autograd.grad(hidden.sum(), pre)
        back = math.sqrt(1.5 / width) * slope * head
        first = (1.5 / 4 * inputs @ inputs.T + 0.2) * (back @ back.T)
        kernels.append((first + 1.5 / width * hidden @ hidden.T + 0.2).detach().numpy())
    deviation = np.std(kernels, axis=0, ddof=1) / math.sqrt(draws)
    np.testing.assert_array_less(
        np.abs(np.mean(kernels, axis=0) - infinite_width_kernel(architecture, x)), 4 * deviation
    )


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (lenet(), r"MaxPool\(\).*AvgPool\(\)"),
        (Architecture((Conv(2), MaxPool(3), Flatten(), Dense())), r"MaxPool\(size=3\).*AvgPool\(3\)"),
        (vgg(), r"BatchNorm\(\).*resnet_nf"),
        (resnet(), r"BatchNorm\(\).*resnet_nf"),
        (Architecture((Conv(2), LayerNorm(), Relu, Flatten(), Dense())), r"LayerNorm\(\)"),
        (mlp(activation="tanh"), "tanh.*relu, leaky_relu, erf, gelu, identity"),
        (Architecture((Flatten(), Relu, Dense())), "not Gaussian"),
        (Architecture((Conv(2), Flatten(), Relu, Dense())), "not Gaussian"),
        (Architecture((Conv(2), Relu, Relu, Flatten(), Dense())), "not Gaussian"),
        (Architecture((Conv(2), Relu, Residual((Conv(2), Relu)), Flatten(), Dense())), "end the body with"),
        (Architecture((Conv(2), Residual(()), Flatten(), Dense())), "end the body with"),
        (Architecture((Conv(2), Residual((Residual((Conv(2),)),)), Flatten(), Dense())), "end the body with"),
        (Architecture((Conv(2), Residual((Conv(2, stride=2),)), Flatten(), Dense())), "1x1 convolution"),
        (Architecture((Conv(2), Dense())), "Flatten"),
        (Architecture((Conv(2), Relu)), "end with Flatten and Dense"),
        (Architecture((Conv(2, kernel=4), Flatten(), Dense())), "odd kernel"),
        (Architecture((Conv(2, padding="valid", kernel=9), Flatten(), Dense())), "leaves nothing"),
        (Architecture((Flatten(), Conv(2), Flatten(), Dense())), "needs an image"),
    ],
)
def test_what_has_no_limit_is_refused_by_name(architecture, message):
    with pytest.raises(LebenchError, match=message):
        infinite_width_kernel(architecture, np.ones((2, 6, 6, 1)))


@pytest.mark.parametrize(
    ("x1", "x2", "message"),
    [
        (np.ones((2, 3, 4)), None, "shape"),
        (np.ones((0, 3)), None, "n of at least 1"),
        (np.ones((2, 3), dtype=np.int64), None, "float32 or float64"),
        (np.array([[1.0, np.nan]]), None, "NaN"),
        ([[1.0, 2.0]], None, "list"),
        (np.ones((2, 3)), np.ones((2, 4)), "must agree"),
        (np.ones((2, 3)), np.ones((2, 3), dtype=np.float32), "convert one"),
        (np.ones((2, 3)), torch.ones(2, 3), "convert one"),
    ],
)
def test_unusable_inputs_are_refused(x1, x2, message):
    with pytest.raises(DataError, match=message):
        infinite_width_kernel(mlp(), x1, x2)


def test_a_budget_too_small_for_one_pair_is_refused(method):
    with pytest.raises(ParameterError, match=r"500 bytes is too small.*single pair"):
        infinite_width_kernel(Architecture((Conv(2), GlobalAvgPool(), Dense())), np.ones((2, 6, 6, 1)), memory=500)
    with pytest.raises(ParameterError, match="'ntk' or 'nngp'"):
        infinite_width_kernel(mlp(), np.ones((2, 3)), kind="cntk")
    with pytest.raises(ParameterError, match="a number of bytes"):
        infinite_width_kernel(mlp(depth=1), np.ones((2, 6)), memory="1 GB")
