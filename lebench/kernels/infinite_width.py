"""Infinite-width kernels of architectures: the NNGP and the neural tangent kernel, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat

from lebench import progress
from lebench.architectures import Architecture
from lebench.errors import DataError, ParameterError
from lebench.kernels.limits import Limit, limit_of
from lebench.kernels.recursion import Recursion, input_kernels, own_input_kernels

Kind = Literal["ntk", "nngp"]

#: Bytes that the blocks of a computation may take, unless told otherwise.
DEFAULT_MEMORY = 256 * 2**20
#: Arrays of the size of a block that are alive at once, the kernels and the temporaries of an activation.
_ALIVE = 16
#: More entries than these make a block no faster, because its temporaries leave the cache.
_BLOCK_ENTRIES = 2**19


def infinite_width_kernel(
    architecture: Architecture, x1: Any, x2: Any = None, *, kind: Kind = "ntk", memory: int = DEFAULT_MEMORY
) -> Any:
    """Return the infinite-width kernel of an architecture.

    The NNGP is the covariance of one score of the random network, the tangent kernel the inner product of the
    gradients of one score, both as all widths go to infinity. Neural tangent parametrization: parameters are standard
    normal, a weight enters as sqrt(weight_variance / fan_in) times its parameter and a bias as sqrt(bias_variance)
    times its own; all layers are trained. The last layer counts: a network that ends with ``Dense`` has its variance
    in the kernel. Widths and numbers of channels drop out.

    Parameters
    ----------
    architecture : Architecture
        ``Dense`` and ``Conv`` layers with ReLU, leaky ReLU, erf or identity, ``AvgPool``, ``GlobalAvgPool``,
        ``Flatten`` and ``Residual``.
    x1 : array of shape (n, height, width, channels) or (n, d)
        Inputs, float32 or float64: NumPy, torch (any device) or JAX.
    x2 : array of shape (m, height, width, channels) or (m, d), optional
        Second inputs; by default `x1`, and the result is exactly symmetric.
    kind : {"ntk", "nngp"}
        Which kernel.
    memory : int
        Bytes for the blocks in which the result is computed. Inputs, result and the variances at every activation
        (positions x activations x inputs) come on top.

    Returns
    -------
    array of shape (n, m)
        Of the type, dtype and device of `x1`.

    Raises
    ------
    LebenchError
        If a layer has no known limit; the message names it and what to use instead.
    DataError
        If inputs are empty, not finite, of another dtype, or do not fit each other or the architecture.
    ParameterError
        If the memory is too small for a single pair of inputs, or `kind` is unknown.

    References
    ----------
    .. [1] Jacot, Gabriel & Hongler 2018, theorem 1; Arora et al. 2019, sections 3 (dense) and 4 (convolutional).
    .. [2] Novak et al. 2020, Neural Tangents, whose conventions these are.

    Examples
    --------
    >>> import numpy as np
    >>> from lebench.architectures import mlp
    >>> from lebench.kernels import infinite_width_kernel
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> infinite_width_kernel(mlp(depth=1), x).round(4)
    array([[2.    , 0.3183],
           [0.3183, 2.    ]])
    """
    xp, first = _checked("x1", x1, kind)
    limit = limit_of(architecture, tuple(first.shape[1:]))
    rows = _prepare(xp, limit, first, kind, memory)
    if x2 is None:
        return _assemble(xp, limit, rows, rows, kind, memory)
    xp2, second = _checked("x2", x2, kind)
    if xp2 is not xp or second.dtype != first.dtype:
        raise DataError(
            f"x1 is {type(x1).__name__} of {first.dtype}, x2 {type(x2).__name__} of {second.dtype}: convert one of them"
        )
    if second.shape[1:] != first.shape[1:]:
        raise DataError(
            f"an input of x1 has shape {tuple(first.shape[1:])}, one of x2 {tuple(second.shape[1:])}: they must agree"
        )
    return _assemble(xp, limit, rows, _prepare(xp, limit, second, kind, memory), kind, memory)


def infinite_width_diagonal(
    architecture: Architecture, x: Any, *, kind: Kind = "ntk", memory: int = DEFAULT_MEMORY
) -> Any:
    """Return the infinite-width kernel of each input with itself; its mean is the scale that ridges are relative to.

    Parameters
    ----------
    architecture : Architecture
        See :func:`infinite_width_kernel`.
    x : array of shape (n, height, width, channels) or (n, d)
        Inputs.
    kind : {"ntk", "nngp"}
        Which kernel.
    memory : int
        Bytes for the blocks, see :func:`infinite_width_kernel`.

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    LebenchError
        As :func:`infinite_width_kernel`.
    """
    xp, inputs = _checked("x", x, kind)
    limit = limit_of(architecture, tuple(inputs.shape[1:]))
    return _prepare(xp, limit, inputs, kind, memory).diagonal


@dataclass(frozen=True)
class _Inputs:
    """Inputs, the variances at every activation (positions first), and the kernel of each with itself."""

    x: Any
    variances: tuple[Any, ...]
    diagonal: Any

    @property
    def count(self) -> int:
        return int(self.x.shape[0])


def _checked(name: str, x: Any, kind: str) -> tuple[Any, Any]:
    if kind not in ("ntk", "nngp"):
        raise ParameterError(f"kind={kind!r} is unknown: use 'ntk' or 'nngp'")
    if not array_api_compat.is_array_api_obj(x):
        raise DataError(f"{name} is a {type(x).__name__}: a NumPy, torch or JAX array is needed")
    xp = array_api_compat.array_namespace(x)
    if array_api_compat.is_torch_array(x):
        x = x.detach()
    if x.dtype not in (xp.float32, xp.float64):
        raise DataError(f"{name} has dtype {x.dtype}: convert it to float32 or float64 first")
    if x.ndim not in (2, 4) or 0 in x.shape:
        raise DataError(
            f"{name} has shape {tuple(x.shape)}: (n, height, width, channels) or (n, d) with n of at least 1 is needed"
        )
    if not xp.all(xp.isfinite(x)):
        raise DataError(f"{name} contains NaN or infinity")
    return xp, x


def _prepare(xp: Any, limit: Limit, x: Any, kind: Kind, memory: int) -> _Inputs:
    x = xp.reshape(x, (x.shape[0], *limit.input_shape))
    step = _pairs_within(limit, x, memory)
    variances, diagonal = [], []
    for start in range(0, x.shape[0], step):
        recursion = Recursion(xp, limit)
        own = own_input_kernels(xp, limit, x[start : start + step, ...], ntk=kind == "ntk", full=limit.full)
        end = recursion.chain(limit.layers, own)
        diagonal.append(end.nngp if kind == "nngp" else end.ntk)
        variances.append(recursion.kept)
    return _Inputs(x, tuple(xp.concat(parts, axis=-1) for parts in zip(*variances, strict=True)), xp.concat(diagonal))


def _pairs_within(limit: Limit, x: Any, memory: int) -> int:
    """Return how many pairs of inputs a block may have."""
    bytes_per_pair = _ALIVE * limit.entries * int(x.dtype.itemsize)
    if memory < bytes_per_pair:
        raise ParameterError(
            f"a memory of {memory} bytes is too small: the kernel of a single pair of inputs needs {bytes_per_pair}"
        )
    return max(1, min(memory // bytes_per_pair, _BLOCK_ENTRIES // limit.entries))


def _assemble(xp: Any, limit: Limit, rows: _Inputs, columns: _Inputs, kind: Kind, memory: int) -> Any:
    """Compute the kernel block by block; of one set with itself, only the blocks on and above the diagonal."""
    symmetric = rows is columns
    edge = max(1, math.isqrt(_pairs_within(limit, rows.x, memory)))
    parts1, parts2 = ([slice(s, min(s + edge, i.count)) for s in range(0, i.count, edge)] for i in (rows, columns))
    writer = _Blocks(xp, rows, columns)
    wanted = [(p, q) for p in parts1 for q in parts2 if not symmetric or q.start >= p.start]
    for done, (part1, part2) in enumerate(wanted, 1):
        block = _block(xp, limit, rows, columns, part1, part2, kind)
        if symmetric and part1 == part2:
            block = _with_diagonal(xp, block, rows.diagonal[part1])
        writer.put(part1, part2, block)
        if symmetric and part1 != part2:
            writer.put(part2, part1, block.T)
        progress.report(block=done, blocks=len(wanted))
    return writer.result()


def _block(xp: Any, limit: Limit, rows: _Inputs, columns: _Inputs, part1: slice, part2: slice, kind: Kind) -> Any:
    variances = (
        (v1[..., part1, None], v2[..., None, part2]) for v1, v2 in zip(rows.variances, columns.variances, strict=True)
    )
    start = input_kernels(xp, limit, rows.x[part1, ...], columns.x[part2, ...], ntk=kind == "ntk")
    end = Recursion(xp, limit, variances).chain(limit.layers, start)
    return end.nngp if kind == "nngp" else end.ntk


def _with_diagonal(xp: Any, block: Any, diagonal: Any) -> Any:
    """Symmetrize a block that the rounding of a matrix product made unsymmetric, and set its diagonal."""
    own = xp.eye(block.shape[0], dtype=xp.bool, device=array_api_compat.device(block))
    return xp.where(own, diagonal[:, None], (block + block.T) / 2)


class _Blocks:
    """Collects blocks into one array; JAX arrays cannot be written to and are joined at the end."""

    def __init__(self, xp: Any, rows: _Inputs, columns: _Inputs) -> None:
        self._xp = xp
        self._kept: dict[tuple[int, int], Any] | None = None
        if array_api_compat.is_jax_array(rows.x):
            self._kept = {}
        else:
            place = array_api_compat.device(rows.x)
            self._array = xp.empty((rows.count, columns.count), dtype=rows.x.dtype, device=place)

    def put(self, rows: slice, columns: slice, block: Any) -> None:
        if self._kept is None:
            self._array[rows, columns] = block
        else:
            self._kept[rows.start, columns.start] = block

    def result(self) -> Any:
        if self._kept is None:
            return self._array
        xp, kept = self._xp, self._kept
        starts = sorted({row for row, _ in kept})
        return xp.concat(
            [xp.concat([kept[key] for key in sorted(kept) if key[0] == start], axis=1) for start in starts], axis=0
        )
