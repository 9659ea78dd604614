"""Kernels as functions of their inputs in torch and JAX: gradients against finite differences, jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lebench.architectures import Activation, Architecture, Conv, Dense, Flatten, GlobalAvgPool, Relu, mlp
from lebench.kernels import infinite_width_diagonal, infinite_width_kernel

Erf, Gelu = Activation("erf"), Activation("gelu")
NETWORKS = {
    "relu": (mlp(depth=2), (3,)),
    "mixed": (Architecture((Dense(2), Erf, Dense(2), Gelu, Dense(2), Relu, Dense()), 1.7, 0.3), (3,)),
    "conv": (Architecture((Conv(2, 2, padding="valid"), Relu, GlobalAvgPool(), Dense()), 1.7, 0.3), (3, 2, 1)),
    "flat": (Architecture((Conv(2, stride=2), Relu, Flatten(), Dense()), 1.7, 0.3), (3, 2, 1)),
}


def case(name):
    network, shape = NETWORKS[name]
    rng = np.random.default_rng(0)
    return network, rng.standard_normal((3, *shape)), rng.standard_normal((2, *shape)), rng.standard_normal((3, 3))


def finite_differences(function, x, h=1e-6):
    slopes = np.empty(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        slopes[i] = (function(x + step) - function(x - step)) / (2 * h)
    return slopes.reshape(x.shape)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("name", NETWORKS)
def test_torch_gradients(name, kind):
    network, x, z, weights = case(name)

    def one(a):
        return (infinite_width_kernel(network, a, kind=kind) * weights).sum()

    def two(a):
        return (infinite_width_kernel(network, a, z, kind=kind) * weights[:, :2]).sum()

    y = torch.from_numpy(x).requires_grad_()
    (infinite_width_kernel(network, y, kind=kind) * torch.from_numpy(weights)).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), finite_differences(one, x), rtol=1e-6, atol=1e-8)
    y = torch.from_numpy(x).requires_grad_()
    kernel = infinite_width_kernel(network, y, torch.from_numpy(z), kind=kind)
    (kernel * torch.from_numpy(weights[:, :2])).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), finite_differences(two, x), rtol=1e-6, atol=1e-8)
    values = infinite_width_kernel(network, torch.from_numpy(x).requires_grad_(), kind=kind)
    np.testing.assert_allclose(values.detach().numpy(), infinite_width_kernel(network, x, kind=kind), rtol=1e-12)


@pytest.mark.parametrize("name", ["relu", "mixed", "conv"])
def test_jax_gradients(name):
    network, x, z, weights = case(name)

    def one(a):
        return (infinite_width_kernel(network, a) * weights).sum()

    def two(a):
        return (infinite_width_kernel(network, z if isinstance(a, np.ndarray) else jnp.asarray(z), a)).sum()

    with jax.enable_x64(True):
        for function in (one, two):
            expected = finite_differences(function, x)
            np.testing.assert_allclose(jax.jit(jax.grad(function))(jnp.asarray(x)), expected, rtol=1e-6, atol=1e-8)


def test_jax_without_float64_outside():
    network, x, z, _ = case("mixed")
    a, b = jnp.asarray(x, jnp.float32), jnp.asarray(z, jnp.float32)
    expected = infinite_width_kernel(network, np.float32(x).astype(float), np.float32(z).astype(float))
    compiled = jax.jit(lambda p, q: infinite_width_kernel(network, p, q))(a, b)
    assert compiled.dtype == jnp.float32
    np.testing.assert_allclose(compiled, expected, rtol=1e-6)
    rows = jax.vmap(lambda p: infinite_width_kernel(network, p[None], b)[0])(a)
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    slopes = jax.grad(lambda p: infinite_width_kernel(network, p, b).sum())(a)
    wide = finite_differences(lambda p: infinite_width_kernel(network, p, z).sum(), x)
    np.testing.assert_allclose(slopes, wide, rtol=1e-4, atol=1e-4)


def test_torch_func():
    network, x, z, _ = case("mixed")
    a, b = torch.from_numpy(x), torch.from_numpy(z)
    expected = infinite_width_kernel(network, x, z)
    rows = torch.func.vmap(lambda p: infinite_width_kernel(network, p[None], b)[0])(a)
    np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-12)
    slopes = torch.func.grad(lambda p: infinite_width_kernel(network, p, b).sum())(a)
    wide = finite_differences(lambda p: infinite_width_kernel(network, p, z).sum(), x)
    np.testing.assert_allclose(slopes.numpy(), wide, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_at_equal_and_at_zero_inputs_are_numbers(name):
    network, x, _, _ = case(name)
    x[1], x[2] = x[0], 0
    y = torch.from_numpy(x).requires_grad_()
    infinite_width_kernel(network, y).sum().backward()
    assert torch.isfinite(y.grad).all()


def test_the_diagonal_is_differentiable():
    network, x, _, _ = case("mixed")
    y = torch.from_numpy(x).requires_grad_()
    infinite_width_diagonal(network, y).sum().backward()
    expected = finite_differences(lambda a: infinite_width_diagonal(network, a).sum(), x)
    np.testing.assert_allclose(y.grad.numpy(), expected, rtol=1e-6)
