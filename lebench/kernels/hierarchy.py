"""The label-aware kernel of the neural tangent hierarchy (LANTK-NTH) for a two-layer ReLU network.

Training moves the tangent kernel: its rate is a third-order kernel times the residuals, whose rate is a fourth-order
kernel K4 times the residuals (Huang & Yau 2020). With K4 held at its expectation at initialization, with f = 0 and
K3 = 0 there, and with residuals -exp(-H t / n) y, the kernel at infinite time has a closed form (Chen, He & Su 2020):

    K_NTH(a, b) = H(a, b) + y^T H^-1 K4(a, b) H^-1 y - y^T P Q P^T y,   Q = P^T K4(a, b) P D^-1 / (d_i + d_j)

with H = P D P^T on the training points and K4(a, b) the n x n matrix of the other two arguments. It is linear in K4, so
one n x n matrix G of weights serves all pairs: the correction is sum_ij G_ij K4(a, b, i, j), see
:func:`hierarchy_weights`.

**K4 here is the almost-everywhere derivative**, as published: it leaves out what units contribute that switch on or off
while their weights move. Those boundary terms are of the same size, so this is not the second-order change of the
kernel of a ReLU network. And it carries the factor 1/m of the width.

The network is f = m^{-1/2} sum_r a_r relu(<w_r, x>), all parameters standard normal and all trained, without biases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lebench.architectures import mlp
from lebench.arrays import FloatArray
from lebench.errors import DataError, ParameterError
from lebench.kernels.checks import symmetric_kernel
from lebench.kernels.infinite_width import infinite_width_diagonal, infinite_width_kernel
from lebench.metrics.arrays import as_floats, as_symmetric

#: Numbers that the draws handled together may take.
_NUMBERS = 8 * 2**20
#: Numbers that may be kept between calls.
_KEPT = 16 * 2**20
#: The draws are divided into so many batches, whose spread gives the standard error.
_BATCHES = 16


def two_layer_kernel(x1: FloatArray, x2: FloatArray | None = None) -> FloatArray:
    """Return the expected tangent kernel (n, m) of the network, of rows (n, d) and (m, d).

    ``E[s_a s_b] + <a, b> P[both active]``, s = relu(<w, x>): the infinite-width kernel without biases.
    """
    kernel: FloatArray = x1.shape[1] * np.asarray(infinite_width_kernel(_two_layer(), x1, x2))
    return kernel


def two_layer_diagonal(x: FloatArray) -> FloatArray:
    """Return the expected tangent kernel (n,) of each row with itself, which is its squared norm."""
    diagonal: FloatArray = x.shape[1] * np.asarray(infinite_width_diagonal(_two_layer(), x))
    return diagonal


def _two_layer() -> Any:
    return replace(mlp(depth=1), weight_variance=1.0, bias_variance=0.0)


def hierarchy_weights(kernel: Any, targets: Any, ridge: float = 0.0) -> FloatArray:
    """Return the weights G with which K4 enters the label-aware kernel: ``sum_ij G_ij K4(a, b, i, j)``.

    ``G = P [ (P^T y)_i (P^T y)_j / (d_i (d_i + d_j)) ] P^T``. With a symmetric K4 the sum is y^T H^-1 K4 H^-1 y / 2.

    Parameters
    ----------
    kernel : array of shape (n, n)
        H of the training points, symmetric, positive definite.
    targets : array of shape (n,) or (n, C)
        y in {-1, 1}. Several columns stand for as many networks, one a class against the rest, whose kernels are
        averaged; with two classes both are the same.
    ridge : float
        Added to the diagonal of H, relative to its mean: residuals decay faster. 0 is the published form.

    Returns
    -------
    ndarray of shape (n, n)

    Raises
    ------
    DataError
        If shapes do not fit or the kernel with its ridge is not positive definite.
    """
    matrix = symmetric_kernel(kernel)
    y = as_floats("the targets", targets, np.ndim(targets)).reshape(len(targets), -1)
    if len(y) != len(matrix):
        raise DataError(f"the targets are of {len(y)} points, the kernel is of {len(matrix)}")
    values, vectors = np.linalg.eigh(matrix)
    values = values + ridge * float(np.trace(matrix)) / len(matrix)
    if values[0] <= len(values) * float(np.finfo(np.float64).eps) * abs(values[-1]):
        raise DataError(
            f"the kernel has eigenvalues from {values[0]:.3g} to {values[-1]:.3g}: the hierarchy divides by them; "
            "remove points that occur twice, or give a ridge"
        )
    rotated = vectors.T @ y
    core = rotated @ rotated.T / y.shape[1] / (values[:, None] * np.add.outer(values, values))
    weights: FloatArray = vectors @ core @ vectors.T
    return weights


def orthant_root(cosines: FloatArray) -> FloatArray:
    """Return a matrix R (4, 4) with ``R R^T = cosines``, so that R z of standard normal z has these correlations.

    The symmetric root, which exists for repeated points too. (The released sampler writes out a Cholesky factor, with a
    term missing and a misplaced parenthesis, and divides by zero at repeated points.)

    Raises
    ------
    DataError
        If the matrix has eigenvalues below -1e-8: it holds no cosines of four vectors.
    """
    matrix = as_symmetric("the cosines", cosines)
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -1e-8:
        raise DataError(f"the cosines have an eigenvalue of {values[0]:.3g}: they are not those of vectors")
    root: FloatArray = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def orthant_moments(cosines: FloatArray, draws: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the four Gaussian moments of K4 for unit vectors a, b, i, j, and their standard errors, (4,) each.

    In this order: P[all four active], E[1_a 1_b s_i s_j], E[1_a 1_i s_b s_j], E[1_b 1_i s_a s_j].

    Parameters
    ----------
    cosines : ndarray of shape (4, 4)
        Cosines between the vectors.
    draws : int
        Of the Monte Carlo, at least 2.
    rng : numpy.random.Generator
        Draws.
    """
    if draws < 2:
        raise ParameterError(f"draws={draws}: at least 2 are needed for a standard error")
    a, b, i, j = orthant_root(cosines) @ rng.standard_normal((4, draws))
    active = [np.where(z > 0, 1.0, 0.0) for z in (a, b, i, j)]
    s = [np.maximum(z, 0.0) for z in (a, b, i, j)]
    samples = np.stack(
        [
            active[0] * active[1] * active[2] * active[3],
            active[0] * active[1] * s[2] * s[3],
            active[0] * active[2] * s[1] * s[3],
            active[1] * active[2] * s[0] * s[3],
        ]
    )
    return samples.mean(axis=1), samples.std(axis=1, ddof=1) / np.sqrt(draws)


def fourth_order(points: FloatArray, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return m E K4(a, b, i, j) of one quadruple of points (4, d), none zero, and its standard error.

    ::

        (2<a,b><i,j> + <a,i><b,j> + <b,i><a,j>) P[all four active] + 2<a,b> E[1_a 1_b s_i s_j]
        + <a,i> E[1_a 1_i s_b s_j] + <b,i> E[1_b 1_i s_a s_j]

    The standard error adds those of the four moments, which share their draws: an upper bound.

    Raises
    ------
    DataError
        If a point is zero.
    """
    norms = np.linalg.norm(points, axis=1)
    if not (norms > 0).all():
        raise DataError(f"point {int(np.argmin(norms))} of the quadruple is zero: it has no direction")
    g = points @ points.T
    values, errors = orthant_moments(g / np.outer(norms, norms), draws, rng)
    a, b, i, j = norms
    factors = np.array(
        [
            2 * g[0, 1] * g[2, 3] + g[0, 2] * g[1, 3] + g[1, 2] * g[0, 3],
            2 * g[0, 1] * i * j,
            g[0, 2] * b * j,
            g[1, 2] * a * j,
        ]
    )
    return float(factors @ values), float(np.abs(factors) @ errors)


@dataclass(frozen=True)
class HierarchyCorrection:
    """``sum_ij G_ij E K4(a, b, i, j)`` for any a and b: a symmetric function of two inputs, by Monte Carlo.

    Draws of the weights w of one unit are shared by all quadruples: the same expectation as that over the four Gaussian
    numbers <w, x> of each quadruple, but for each draw the sum over (i, j) is two small matrix products. K4 is never
    formed; the draws come in chunks of bounded memory, and come again, the same, with every call. What they need of the
    training points is kept between calls if it is small (draws times the square of the rank of x).

    Attributes
    ----------
    x : ndarray of shape (n, d)
        Training points.
    weights : ndarray of shape (n, n)
        G, of :func:`hierarchy_weights`.
    width : int
        m. The correction is 1/m of the moments.
    draws : int
        Monte Carlo draws, at least 32.
    seed : int
        Of the draws.
    """

    x: FloatArray
    weights: FloatArray
    width: int
    draws: int
    seed: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.draws < 2 * _BATCHES:
            raise ParameterError(f"width={self.width}, draws={self.draws}: at least 1 and {2 * _BATCHES} are needed")

    def gram(self, x1: FloatArray, x2: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the correction (n1, n2) at rows x1 (n1, d) and x2 (n2, d), and its standard error (n1, n2)."""
        inner = x1 @ x2.T

        def of_chunk(chunk: _Chunk) -> FloatArray:
            active1, s1, own1 = chunk.at(x1)
            active2, s2, own2 = chunk.at(x2)
            value: FloatArray = 2 * inner * ((active1 * chunk.scalars) @ active2.T)
            first = (own1 @ chunk.forms) * active1.T[:, :, None]
            second = np.broadcast_to(own2, first.shape[:1] + own2.shape) * active2.T[:, :, None]
            value += np.tensordot(first, second, axes=((0, 2), (0, 2)))
            value += (active1 * (own1 @ chunk.vectors.T)) @ s2.T
            value += s1 @ (active2 * (own2 @ chunk.vectors.T)).T
            return value

        return self._mean(of_chunk, (len(x1), len(x2)), max(len(x1), len(x2)))

    def diagonal(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the correction (n,) of each row with itself, and its standard error."""
        norms = np.square(x).sum(axis=1)

        def of_chunk(chunk: _Chunk) -> FloatArray:
            active, s, own = chunk.at(x)
            value: FloatArray = 2 * norms * (active @ chunk.scalars)
            value += np.einsum("kna,na,nk->n", own @ chunk.forms, own, active)
            value += 2 * (active * s * (own @ chunk.vectors.T)).sum(axis=1)
            return value

        return self._mean(of_chunk, (len(x),), len(x))

    def _mean(self, of_chunk: Any, shape: tuple[int, ...], points: int) -> tuple[FloatArray, FloatArray]:
        total, squares = np.zeros(shape), np.zeros(shape)
        for batch in self._batches():
            value = np.zeros(shape)
            for chunk in batch:
                for part in chunk.parts(max(1, _NUMBERS // (points * chunk.vectors.shape[1]))):
                    value += of_chunk(part)
            value /= self._per_batch * self.width
            total += value
            squares += value**2
        mean = total / _BATCHES
        variance = np.maximum(squares / _BATCHES - mean**2, 0.0) / (_BATCHES - 1)
        return mean, np.sqrt(variance)

    @property
    def _per_batch(self) -> int:
        return -(-self.draws // _BATCHES)

    def _batches(self) -> Iterable[Iterable[_Chunk]]:
        if self._per_batch * _BATCHES * min(self.x.shape) ** 2 <= _KEPT:
            return self._kept
        rng = np.random.default_rng(self.seed)
        return (self._chunks(rng) for _ in range(_BATCHES))

    @cached_property
    def _kept(self) -> list[list[_Chunk]]:
        rng = np.random.default_rng(self.seed)
        return [list(self._chunks(rng)) for _ in range(_BATCHES)]

    @cached_property
    def _basis(self) -> FloatArray:
        """Coordinates along the training points: what is summed over (i, j) lives in their span."""
        basis: FloatArray = np.linalg.svd(self.x, full_matrices=False)[2]
        return basis

    def _chunks(self, rng: np.random.Generator) -> Iterator[_Chunk]:
        own = self.x @ self._basis.T
        symmetric = self.weights + self.weights.T
        both = self.weights * (self.x @ self.x.T)
        size = max(1, _NUMBERS // own.size)
        for start in range(0, self._per_batch, size):
            w = rng.standard_normal((min(size, self._per_batch - start), self.x.shape[1]))
            z = self.x @ w.T
            active, s = (z > 0).astype(np.float64), np.maximum(z, 0.0)
            seen = own * active.T[:, :, None]
            forms = seen.transpose(0, 2, 1) @ (symmetric @ seen)
            pulled = self.weights @ s
            scalars = (active * (both @ active)).sum(axis=0) + (s * pulled).sum(axis=0)
            yield _Chunk(w, self._basis, forms, (active * pulled).T @ own, scalars)


@dataclass(frozen=True)
class _Chunk:
    """Some draws w of the weights of a unit, with what is summed over pairs of training points for each.

    With D the activity of the training points under w and s their outputs: X^T D (G + G^T) D X, X^T D G s, and
    the number sum_ij G_ij (<i, j> 1_i 1_j + s_i s_j).
    """

    w: FloatArray  # (k, d)
    basis: FloatArray  # (r, d)
    forms: FloatArray  # (k, r, r)
    vectors: FloatArray  # (k, r)
    scalars: FloatArray  # (k,)

    def parts(self, size: int) -> Iterator[_Chunk]:
        """Yield the draws in parts of at most some size."""
        for start in range(0, len(self.w), size):
            part = slice(start, start + size)
            yield _Chunk(self.w[part], self.basis, self.forms[part], self.vectors[part], self.scalars[part])

    def at(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return activity (n, k) and outputs (n, k) of points under the draws, and their coordinates (n, r)."""
        z = x @ self.w.T
        return (z > 0).astype(np.float64), np.maximum(z, 0.0), x @ self.basis.T
