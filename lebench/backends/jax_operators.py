"""The empirical tangent kernel of a JAX function: as a function of its inputs, and as an operator in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lebench.arrays import FloatArray
from lebench.backends.wrapping import check_rows
from lebench.errors import LebenchError

#: Points of one pass.
_CHUNK = 128


def empirical_ntk(
    scores: Callable[[Any, Any], Array],
    weights: Any,
    x1: Any,
    x2: Any = None,
    *,
    contraction: Literal["trace", "full"] = "trace",
) -> Array:
    """Return the empirical neural tangent kernel ``J(x1) J(x2)^T`` of a function, a pure function of its inputs.

    ``jax.grad`` in the inputs or the weights, ``jax.jit`` and ``jax.vmap`` apply to it. Jacobians of all points exist
    at once; :class:`EmpiricalNTK` has bounded memory and checks the function.

    Parameters
    ----------
    scores : callable
        ``(weights, x)`` to scores (n, C), each row a function of its own point alone.
    weights : pytree of arrays
        The weights.
    x1, x2 : array of shape (n, ...) and (m, ...)
        Points; `x2` by default `x1`.
    contraction : {"trace", "full"}
        ``"trace"`` averages the diagonal of the C x C blocks over outputs; ``"full"`` keeps the blocks.

    Returns
    -------
    Array
        (n, m), or (n, m, C, C).
    """

    def jacobians(x: Any) -> list[Array]:
        def one(point: Array) -> Any:
            return jax.jacrev(lambda values: scores(values, point[None])[0])(weights)

        leaves = jax.tree.leaves(jax.vmap(one)(jnp.asarray(x)))
        return [leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves]

    left = jacobians(x1)
    right = left if x2 is None else jacobians(x2)
    if contraction == "full":
        return jnp.asarray(sum(jnp.einsum("icp,jdp->ijcd", a, b) for a, b in zip(left, right, strict=True)))
    total = sum(jnp.einsum("icp,jcp->ij", a, b) for a, b in zip(left, right, strict=True))
    return jnp.asarray(total) / left[0].shape[1]


def refuse_mixed(scores: Callable[[Any, Any], Array], weights: Any, x: Any) -> None:
    """Refuse scores (n, C) that are not finite or no function of each point alone, found on a few points in float64.

    Raises
    ------
    LebenchError
        See :func:`lebench.backends.wrapping.check_rows`.
    """
    with jax.enable_x64(True):
        lifted, points = jax.tree.map(_wide, weights), _wide(x)
    epsilon = coarsest(scores, weights, x)

    def found(part: FloatArray) -> FloatArray:
        with jax.enable_x64(True):
            return np.asarray(scores(lifted, jnp.asarray(part)), np.float64)

    check_rows(found, points, epsilon)


def _wide(value: Any) -> Any:
    array = np.asarray(value)
    return array.astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array


def coarsest(scores: Callable[[Any, Any], Any], weights: Any, x: Any) -> float:
    """Return the largest machine epsilon of what a function computes from weights and points in float64."""
    with jax.enable_x64(True):
        program = str(jax.make_jaxpr(scores)(jax.tree.map(_wide, weights), _wide(x[:2])))
    kinds = {"bf16": jnp.bfloat16, "f16": jnp.float16, "f32": jnp.float32}
    found = [kind for name, kind in kinds.items() if f":{name}[" in program]
    return max([0.0, *(float(np.finfo(kind).eps) if kind != jnp.bfloat16 else 2.0**-7 for kind in found)])


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
        If there are no points, the function returns no scores (n, C), or those of a point are not finite or depend on
        other points.

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
        refuse_mixed(scores, weights, few)
        self.outputs = found.shape[1]
        # Sums of half precisions are made in single precision.
        kinds = jax.tree.map(lambda leaf: jnp.asarray(leaf).dtype, weights)
        wide = jnp.promote_types(found.dtype, jnp.float32)
        self.weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.promote_types(leaf.dtype, jnp.float32)), weights)
        self.scores = lambda values, x: scores(
            jax.tree.map(lambda leaf, kind: leaf.astype(kind), values, kinds), x
        ).astype(wide)
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
