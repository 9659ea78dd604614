"""The tangent kernel of a JAX function as an operator against Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lebench.backends.jax_operators import EmpiricalNTK
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


def test_what_has_no_operator_is_refused():
    x, w = jnp.ones((4, 2)) * jnp.arange(4.0)[:, None], jnp.ones((2, 3))
    with pytest.raises(LebenchError, match=r"must return scores of shape \(n, C\)"):
        EmpiricalNTK(lambda w, x: (x @ w)[:, 0], w, x)
    with pytest.raises(LebenchError, match="depend on the other inputs"):
        EmpiricalNTK(lambda w, x: x @ w - (x @ w).mean(0), w, x)
    with pytest.raises(LebenchError, match="no inputs"):
        EmpiricalNTK(lambda w, x: x @ w, w, x[:0])
    with pytest.raises(LebenchError, match=r"vectors must have shape \(4,\)"):
        EmpiricalNTK(lambda w, x: x @ w, w, x) @ jnp.ones(3)
