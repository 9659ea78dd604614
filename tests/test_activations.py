"""The table of activations: dual activations by quadrature and by neural-tangents, builders of both frameworks."""

import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss

from lebench.activations import ACTIVATIONS, ActivationName
from lebench.architectures import Activation, Architecture, Conv, Dense, Flatten, GlobalAvgPool
from lebench.backends.neural_tangents import infinite_width_kernel as by_neural_tangents
from lebench.kernels import infinite_width_kernel

WITH_DUAL = [name for name, entry in ACTIVATIONS.items() if entry.dual]
SMOOTH = [name for name in WITH_DUAL if name in ("erf", "gelu", "identity")]


def test_every_name_has_an_entry():
    assert set(ACTIVATIONS) == set(typing.get_args(ActivationName))


def of_torch(name):
    made = ACTIVATIONS[name].torch(torch)
    return lambda x: made(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_both_frameworks_compute_the_same(name):
    x = np.concatenate([np.linspace(-4, 4, 33), [0.0, 1e-9, -1e-9]])
    with jax.enable_x64(True):
        function = ACTIVATIONS[name].jax(jax)
        values, slopes = np.asarray(function(jnp.asarray(x))), np.asarray(jax.vmap(jax.grad(function))(jnp.asarray(x)))
    np.testing.assert_allclose(of_torch(name)(x), values, atol=1e-15)
    y = torch.from_numpy(x).requires_grad_()
    ACTIVATIONS[name].torch(torch)(y).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), slopes, atol=1e-14)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("v1", "v2", "cosine"), [(1.0, 1.0, 0.3), (0.4, 2.0, -0.8), (3.0, 0.1, 0.99), (0.7, 0.7, 0.0)])
def test_dual_activations_by_quadrature(name, v1, v2, cosine):
    c = cosine * math.sqrt(v1 * v2)
    nodes, weights = hermegauss(180)
    u = math.sqrt(v1) * nodes[:, None]
    v = math.sqrt(v2) * (cosine * nodes[:, None] + math.sqrt(1 - cosine**2) * nodes)
    both = np.outer(weights, weights) / (2 * math.pi)
    value, slope = ACTIVATIONS[name].dual(np, *(np.float64(a) for a in (c, v1, v2)))
    function = ACTIVATIONS[name].torch(torch)

    def derivative(x):
        y = torch.from_numpy(x).requires_grad_()
        function(y).sum().backward()
        return y.grad.numpy()

    s = of_torch(name)
    np.testing.assert_allclose(value, (both * s(u) * s(v)).sum(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(slope, (both * derivative(u) * derivative(v)).sum(), rtol=1e-10)


@pytest.mark.parametrize("name", WITH_DUAL)
def test_the_second_dual_is_the_slope_of_the_first(name):
    """Price's theorem: the derivative of E[s(u) s(v)] in the covariance is E[s'(u) s'(v)]."""
    v1, v2, h = np.array([0.5, 1.0, 2.0]), np.array([1.5, 1.0, 0.2]), 1e-5
    for cosine in (-0.9, -0.2, 0.1, 0.7):
        c = cosine * np.sqrt(v1 * v2)
        (up, slope), (down, _) = (ACTIVATIONS[name].dual(np, c + step, v1, v2) for step in (h, -h))
        _, slope = ACTIVATIONS[name].dual(np, c, v1, v2)
        np.testing.assert_allclose((up - down) / (2 * h), slope, rtol=1e-7)


@pytest.mark.parametrize("name", WITH_DUAL)
def test_kernels_of_neural_tangents(name):
    layers = (Dense(3), Activation(name), Dense(3), Activation(name), Dense())
    network = Architecture(layers, weight_variance=1.7, bias_variance=0.2)
    x = np.random.default_rng(0).standard_normal((5, 4))
    for kind in ("ntk", "nngp"):
        expected = by_neural_tangents(network, x, kind=kind)
        found = infinite_width_kernel(network, x, kind=kind)
        off = ~np.eye(5, dtype=bool)
        np.testing.assert_allclose(found[off], expected[off], rtol=1e-12)
        # On the diagonal it takes the angle from a rounded cosine.
        np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=1e-7)


@pytest.mark.slow
def test_a_convolutional_kernel_of_gelu():
    layers = (Conv(2), Activation("gelu"), Conv(2, stride=2), Activation("gelu"))
    x = np.random.default_rng(0).standard_normal((3, 5, 4, 2))
    for end in (Flatten(), GlobalAvgPool()):
        network = Architecture((*layers, end, Dense()), weight_variance=1.7, bias_variance=0.2)
        expected = by_neural_tangents(network, x)
        off = ~np.eye(3, dtype=bool)
        np.testing.assert_allclose(infinite_width_kernel(network, x)[off], expected[off], rtol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_dual_activations_at_all_scales(name):
    """No overflow and no lost digits: of equal arguments the closed forms in one variance are known."""
    v = 10.0 ** np.arange(-300, 301, 50)
    value, slope = ACTIVATIONS[name].dual(np, v, v, v)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    if name == "erf":
        np.testing.assert_allclose(slope, 4 / math.pi / np.sqrt(1 + 4 * v), rtol=1e-12)
        np.testing.assert_allclose(value[:6], 4 / math.pi * v[:6], rtol=1e-12)
        np.testing.assert_allclose(value[-6:], 1, rtol=1e-12)
    if name == "gelu":
        # Small arguments see u / 2, large ones a ReLU.
        np.testing.assert_allclose(value[:6], v[:6] / 4, rtol=1e-12)
        np.testing.assert_allclose(value[-6:], v[-6:] / 2, rtol=1e-12)
        np.testing.assert_allclose(slope[[0, -1]], [0.25, 0.5], rtol=1e-12)
