"""The empirical tangent kernel of a JAX function as an operator: products, rows and the diagonal, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lebench.errors import LebenchError

#: Points of one pass.
_CHUNK = 128


class EmpiricalNTK:
    """``K = (1/C) sum_c J_c J_c^T``, J_c the Jacobian (n, P) of score c in the weights.

    A product with a vector takes one reverse and one forward pass of every point for each score.

    Parameters
    ----------
    scores : callable
        ``(weights, x)`` to scores (n, C), each row a function of its own point alone.
    weights : pytree of arrays
        The weights.
    x : array of shape (n, ...)
        The points.

    Attributes
    ----------
    shape : tuple of int
        (n, n).

    Raises
    ------
    LebenchError
        If there are no points, the function returns no scores (n, C), or those of a point depend on other points.

    Examples
    --------
    >>> kernel = EmpiricalNTK(lambda w, x: x @ w, jnp.zeros((2, 3)), jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> kernel @ jnp.array([1.0, -1.0])
    Array([ -6., -14.], dtype=float32)
    >>> kernel.diagonal()
    Array([ 5., 25.], dtype=float32)
    """

    def __init__(self, scores: Callable[[Any, Any], Array], weights: Any, x: Any) -> None:
        self.scores, self.weights, self.x = scores, weights, jnp.asarray(x)
        if self.x.ndim == 0 or len(self.x) == 0:
            raise LebenchError("there are no inputs")
        self.shape = (len(self.x), len(self.x))
        few = self.x[:3]
        found = scores(weights, few)
        if found.ndim != 2 or len(found) != len(few):
            raise LebenchError(
                f"the function must return scores of shape (n, C), got {found.shape} for {len(few)} inputs"
            )
        alone = jnp.concatenate([scores(weights, point[None]) for point in few])
        if not jnp.allclose(found, alone, rtol=1e-3, atol=1e-3 * float(jnp.abs(found).max())):
            raise LebenchError("the scores of an input depend on the other inputs of its batch")
        self.outputs = found.shape[1]
        self._pull, self._push = jax.jit(self._pulled), jax.jit(self._pushed)

    def __matmul__(self, vectors: Any) -> Array:
        """Return the products (n,) or (n, k) with vectors (n,) or (n, k)."""
        given = jnp.asarray(vectors)
        if given.ndim not in (1, 2) or len(given) != self.shape[0]:
            raise LebenchError(f"vectors must have shape ({self.shape[0]},) or ({self.shape[0]}, k)")
        products = [self._push_all(self._pull_all(column)) for column in given.reshape(len(given), -1).T]
        return jnp.stack(products, axis=1).reshape(given.shape)

    def rows(self, rows: Sequence[int]) -> Array:
        """Return rows (k, n) of the kernel."""
        unit = jnp.ones(1, self.x.dtype)
        return jnp.stack([self._push_all(self._pull(self.x[i][None], unit)) for i in rows])

    def block(self, rows: Sequence[int], columns: Sequence[int]) -> Array:
        """Return the kernel of some points with others."""
        return self.rows(rows)[:, jnp.asarray(columns)]

    def diagonal(self) -> Array:
        """Return the diagonal (n,)."""
        unit = jnp.ones(1, self.x.dtype)

        def own(point: Array) -> Array:
            leaves = jax.tree.leaves(self._pulled(point[None], unit))
            return jnp.asarray(sum(jnp.square(leaf).sum() for leaf in leaves)) / self.outputs

        diagonal: Array = jax.lax.map(own, self.x)
        return diagonal

    def _chunks(self) -> list[slice]:
        return [slice(start, start + _CHUNK) for start in range(0, self.shape[0], _CHUNK)]

    def _pull_all(self, vector: Array) -> Any:
        """Return ``J_c^T v`` for every score c, stacked along a first axis of the weights."""
        parts = [self._pull(self.x[part], vector[part]) for part in self._chunks()]
        return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *parts)

    def _push_all(self, directions: Any) -> Array:
        """Return the mean over scores c of ``J_c u_c``, (n,)."""
        return jnp.concatenate([self._push(self.x[part], directions) for part in self._chunks()])

    def _pulled(self, x: Array, vector: Array) -> Any:
        _, pull = jax.vjp(lambda weights: self.scores(weights, x), self.weights)
        return jax.vmap(lambda unit: pull(vector[:, None] * unit)[0])(jnp.eye(self.outputs, dtype=vector.dtype))

    def _pushed(self, x: Array, directions: Any) -> Array:
        def one(c: Array, direction: Any) -> Array:
            moved: Array = jax.jvp(lambda weights: self.scores(weights, x)[:, c], (self.weights,), (direction,))[1]
            return moved

        mean: Array = jax.vmap(one)(jnp.arange(self.outputs), directions).mean(axis=0)
        return mean
