"""The tangent kernel of a JAX function as an operator against Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lebench.backends.jax_operators import EmpiricalNTK, empirical_ntk
from lebench.errors import LebenchError


def scores(weights, x):
    return jnp.tanh(x @ weights["a"]) @ weights["b"] + weights["c"]


def test_products_rows_and_diagonal_equal_those_of_jacobians(monkeypatch):
    monkeypatch.setattr("lebench.backends.jax_operators._CHUNK", 4)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        weights = {"a": rng.standard_normal((5, 6)), "b": rng.standard_normal((6, 3)), "c": rng.standard_normal(3)}
        weights, x = jax.tree.map(jnp.asarray, weights), jnp.asarray(rng.standard_normal((9, 5)))
        parts = jax.tree.leaves(jax.jacrev(lambda w: scores(w, x))(weights))
        jacobian = jnp.concatenate([part.reshape(9, 3, -1) for part in parts], axis=2)
        expected = jnp.einsum("icp,jcp->ij", jacobian, jacobian) / 3
        kernel = EmpiricalNTK(scores, weights, x)
        vectors = rng.standard_normal((9, 2))
        np.testing.assert_allclose(kernel @ vectors, expected @ vectors, rtol=1e-10)
        np.testing.assert_allclose(kernel @ vectors[:, 0], expected @ vectors[:, 0], rtol=1e-10)
        np.testing.assert_allclose(kernel.rows([3, 1]), expected[jnp.array([3, 1])], rtol=1e-10)
        np.testing.assert_allclose(kernel.block([2, 0], [5, 8]), expected[jnp.array([[2], [0]]), jnp.array([5, 8])])
        np.testing.assert_allclose(kernel.diagonal(), expected.diagonal(), rtol=1e-10)


def case():
    rng = np.random.default_rng(0)
    weights = {"a": rng.standard_normal((5, 6)), "b": rng.standard_normal((6, 3)), "c": rng.standard_normal(3)}
    return jax.tree.map(jnp.asarray, weights), rng.standard_normal((4, 5)), rng.standard_normal((3, 5))


@pytest.mark.parametrize("contraction", ["trace", "full"])
def test_the_kernel_is_a_function_of_its_inputs_and_weights(contraction):
    with jax.enable_x64(True):
        weights, x, z = case()
        shape = (4, 3) if contraction == "trace" else (4, 3, 3, 3)
        signs = np.random.default_rng(1).standard_normal(shape)

        def total(x, z, weights):
            return (signs * empirical_ntk(scores, weights, x, z, contraction=contraction)).sum()

        slopes = jax.grad(total, argnums=(0, 1, 2))(jnp.asarray(x), jnp.asarray(z), weights)
        h = 1e-6
        for argument, (value, slope) in enumerate([(x, slopes[0]), (z, slopes[1]), (weights["b"], slopes[2]["b"])]):
            direction = np.random.default_rng(2).standard_normal(value.shape)
            ends = []
            for side in (h, -h):
                moved = [x, z, weights]
                there = jnp.asarray(value) + side * direction
                moved[argument] = there if argument < 2 else {**weights, "b": there}
                ends.append(float(total(*moved)))
            np.testing.assert_allclose((slope * direction).sum(), (ends[0] - ends[1]) / (2 * h), rtol=1e-7)


def test_the_kernel_of_one_set_or_two_compiled_and_mapped():
    with jax.enable_x64(True):
        weights, x, z = case()
        kernel = empirical_ntk(scores, weights, np.concatenate([x, z]))
        np.testing.assert_allclose(kernel, EmpiricalNTK(scores, weights, np.concatenate([x, z])).rows(range(7)))
        compiled = jax.jit(lambda x, z: empirical_ntk(scores, weights, x, z))
        np.testing.assert_allclose(compiled(x, z), kernel[:4, 4:], rtol=1e-12)
        mapped = jax.vmap(lambda one: empirical_ntk(scores, weights, one, z))(np.stack([x, 2 * x]))
        np.testing.assert_allclose(mapped[1], empirical_ntk(scores, weights, 2 * x, z), rtol=1e-12)
        full = empirical_ntk(scores, weights, x, z, contraction="full")
        np.testing.assert_allclose(jnp.einsum("ijcc->ij", full) / 3, kernel[:4, 4:], rtol=1e-12)


def test_functions_in_half_precision_have_operators():
    weights, x = jnp.ones((2, 3), jnp.bfloat16), jnp.ones((4, 2)) * jnp.arange(4.0)[:, None]
    kernel = EmpiricalNTK(lambda w, x: x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16), weights, x)
    np.testing.assert_allclose(kernel.diagonal(), 2 * np.arange(4.0) ** 2)


def test_what_has_no_operator_is_refused():
    x, w = jnp.ones((4, 2)) * jnp.arange(4.0)[:, None], jnp.ones((2, 3))
    with pytest.raises(LebenchError, match=r"must return scores of shape \(n, C\)"):
        EmpiricalNTK(lambda w, x: (x @ w)[:, 0], w, x)
    with pytest.raises(LebenchError, match="depend on the other inputs"):
        EmpiricalNTK(lambda w, x: x @ w - (x @ w).mean(0), w, x)
    with pytest.raises(LebenchError, match="depend on the other inputs"):
        EmpiricalNTK(lambda w, x: x @ w - 1e-4 * (x @ w).mean(0), w, x)
    with pytest.raises(LebenchError, match="NaN or infinite"):
        EmpiricalNTK(lambda w, x: jnp.log(-x @ w), w, x)
    with pytest.raises(LebenchError, match="no inputs"):
        EmpiricalNTK(lambda w, x: x @ w, w, x[:0])
    with pytest.raises(LebenchError, match=r"vectors must have shape \(4,\)"):
        EmpiricalNTK(lambda w, x: x @ w, w, x) @ jnp.ones(3)
