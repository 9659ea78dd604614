"""Infinite-width kernels of architectures: the NNGP and the neural tangent kernel, in bounded memory."""

from __future__ import annotations

import importlib
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import array_api_compat

from lebench import progress
from lebench.architectures import Architecture
from lebench.errors import DataError, ParameterError
from lebench.kernels import methods
from lebench.kernels.methods import Inputs, Kind
from lebench.kernels.width_limit import limit_of
from lebench.metrics.arrays import to_numpy

#: Bytes that the blocks of a computation may take, unless told otherwise.
DEFAULT_MEMORY = 256 * 2**20


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
        ``Dense`` and ``Conv`` layers with activations of a closed form (:mod:`lebench.activations`: ReLU, leaky ReLU,
        erf, GELU, identity), ``AvgPool``, ``GlobalAvgPool``, ``Flatten`` and ``Residual``.
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
        Of the type, dtype and device of `x1`; float64 where float32 cannot hold the largest entry (ReLU networks of
        inputs of 1e20). In float32 it is within 1e-6 of the largest entry of the kernel in float64, on any finite
        inputs: also those that are nearly equal, opposite, collinear, far from zero, very large or very small.

    Notes
    -----
    A torch tensor that requires a gradient, and an array under ``torch.func`` or a transformation of JAX (``grad``,
    ``jit``, ``vmap``), is taken through the layers in the framework itself, so that the kernel is differentiable in the
    inputs. At equal inputs the tangent kernel of a ReLU has a cusp; the derivative there leaves it out. The dtype of a
    compiled function cannot depend on values: there what is beyond float32 becomes infinite.

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
    with _double_precision(x1):
        return Prepared(architecture, x1, x2, kind, memory).all()


class Prepared:
    """Inputs of a kernel with what is computed of each of them once, so that any part of it can be had.

    Parameters
    ----------
    architecture, x1, x2, kind, memory
        As of :func:`infinite_width_kernel`.

    Attributes
    ----------
    shape : tuple of int
        (n, m).
    dtype : dtype
        Of the kernel, in the array library of the inputs.
    """

    def __init__(self, architecture: Architecture, x1: Any, x2: Any, kind: Kind, memory: int) -> None:
        given = [x1] if x2 is None else [x1, x2]
        symbolic = any(_is_symbolic(x) for x in given)
        self._like = x1
        self._differentiated = symbolic or any(_has_gradient(x) for x in given)
        xp, first = _checked("x1", x1, kind, symbolic=symbolic, differentiated=self._differentiated)
        limit = limit_of(architecture, tuple(first.shape[1:]))
        self._xp = xp
        self._method = methods.method_for(xp, limit, kind, first.dtype.itemsize, memory)
        rows = columns = self._method.prepare(xp.reshape(first, (first.shape[0], *limit.input_shape)))
        if x2 is not None:
            _, second = _checked("x2", x2, kind, symbolic=symbolic, differentiated=self._differentiated)
            if _kind_of_array(x1) != _kind_of_array(x2) and not symbolic:
                raise DataError(f"x1 is {_kind_of_array(x1)}, x2 {_kind_of_array(x2)}: convert one of them")
            if second.shape[1:] != first.shape[1:]:
                raise DataError(
                    f"an input of x1 has shape {tuple(first.shape[1:])}, one of x2 {tuple(second.shape[1:])}: they "
                    "must agree"
                )
            columns = self._method.prepare(xp.reshape(second, (second.shape[0], *limit.input_shape)))
        self._rows, self._columns = rows, columns
        self.shape = rows.count, columns.count
        self.dtype = first.dtype if symbolic else _result_dtype(xp, rows, columns)

    @property
    def numpy_dtype(self) -> str:
        """The dtype of the kernel as NumPy calls it."""
        return "float64" if "float64" in str(self.dtype) else "float32"

    def all(self) -> Any:
        """Return the whole kernel, of the type of the first inputs."""
        every = slice(0, self.shape[0]), slice(0, self.shape[1])
        return _like(self._like, self._assembled(*every))

    def block(self, rows: slice, columns: slice) -> Any:
        """Return part of the kernel as a NumPy array."""
        with _double_precision(self._like):
            return to_numpy(self._assembled(rows, columns))

    def diagonal(self) -> Any:
        """Return the kernel of each of the first inputs with itself as a NumPy array."""
        return to_numpy(self._rows.diagonal).astype(self.numpy_dtype)

    def _assembled(self, rows: slice, columns: slice) -> Any:
        """Compute a part block by block; of one set with itself, only the blocks on and above the diagonal."""
        xp, edge = self._xp, self._method.edge
        symmetric = self._rows is self._columns and rows == columns
        parts1, parts2 = (
            [slice(s, min(s + edge, part.stop)) for s in range(part.start, part.stop, edge)] for part in (rows, columns)
        )
        writer = _Blocks(xp, self._rows.x, rows, columns, self.dtype, differentiated=self._differentiated)
        wanted = [(p, q) for p in parts1 for q in parts2 if not symmetric or q.start >= p.start]
        for done, (part1, part2) in enumerate(wanted, 1):
            block = self._method.block(self._rows, self._columns, part1, part2)
            if self._rows is self._columns and part1 == part2:
                own = xp.astype(self._rows.diagonal[part1], self.dtype)
                block = _symmetrized(xp, xp.astype(block, self.dtype), own)
            writer.put(part1, part2, block)
            if symmetric and part1 != part2:
                writer.put(part2, part1, block.T)
            if rows.stop - rows.start == self.shape[0]:
                progress.report(block=done, blocks=len(wanted))
        return writer.result()


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
    with _double_precision(x):
        symbolic = _is_symbolic(x)
        xp, inputs = _checked("x", x, kind, symbolic=symbolic, differentiated=symbolic or _has_gradient(x))
        limit = limit_of(architecture, tuple(inputs.shape[1:]))
        method = methods.method_for(xp, limit, kind, inputs.dtype.itemsize, memory)
        prepared = method.prepare(xp.reshape(inputs, (inputs.shape[0], *limit.input_shape)))
        dtype = inputs.dtype if symbolic else _result_dtype(xp, prepared, prepared)
        return _like(x, xp.astype(prepared.diagonal, dtype))


def _double_precision(x: Any) -> AbstractContextManager[Any]:
    """Return a context in which JAX has float64, whatever it is set to outside."""
    if not array_api_compat.is_jax_array(x):
        return nullcontext()
    context: AbstractContextManager[Any] = importlib.import_module("jax").enable_x64(True)
    return context


def _is_symbolic(x: Any) -> bool:
    """Return whether an array stands for others in a transformation of its framework, so that it has no values."""
    if array_api_compat.is_torch_array(x):
        wrapped: bool = importlib.import_module("torch")._C._functorch.is_functorch_wrapped_tensor(x)
        return wrapped
    return any(base.__name__ == "Tracer" for base in type(x).__mro__)


def _has_gradient(x: Any) -> bool:
    """Return whether an array is a tensor of torch whose derivative is wanted."""
    return array_api_compat.is_torch_array(x) and x.requires_grad and importlib.import_module("torch").is_grad_enabled()


def _checked(name: str, x: Any, kind: str, *, symbolic: bool, differentiated: bool) -> tuple[Any, Any]:
    if kind not in ("ntk", "nngp"):
        raise ParameterError(f"kind={kind!r} is unknown: use 'ntk' or 'nngp'")
    if not array_api_compat.is_array_api_obj(x):
        raise DataError(f"{name} is a {type(x).__name__}: a NumPy, torch or JAX array is needed")
    xp = array_api_compat.array_namespace(x)
    if x.dtype not in (xp.float32, xp.float64):
        raise DataError(f"{name} has dtype {x.dtype}: convert it to float32 or float64 first")
    if x.ndim not in (2, 4) or 0 in x.shape:
        raise DataError(
            f"{name} has shape {tuple(x.shape)}: (n, height, width, channels) or (n, d) with n of at least 1 is needed"
        )
    if array_api_compat.is_torch_array(x) and not differentiated:
        x = x.detach()
    if not symbolic and not xp.all(xp.isfinite(x)):
        raise DataError(f"{name} contains NaN or infinity: remove these inputs, or replace their missing values")
    if not differentiated and _on_host(x) and methods.compiled_available():
        x = to_numpy(x)
        xp = array_api_compat.array_namespace(x)
    return xp, x


def _result_dtype(xp: Any, rows: Inputs, columns: Inputs) -> Any:
    """Return the dtype of the inputs, or float64 where float32 cannot hold the largest entry.

    Raises
    ------
    DataError
        If float64 cannot hold it either.
    """
    largest = [xp.max(inputs.diagonal).tolist() for inputs in (rows, columns)]
    if not all(math.isfinite(value) for value in largest):
        raise DataError("the kernel is beyond the range of float64: divide the inputs by a constant")
    # No entry exceeds the root of the product of two diagonal ones.
    bound = math.sqrt(largest[0]) * math.sqrt(largest[1])
    limits = xp.finfo(xp.float32)
    return rows.x.dtype if bound == 0 or float(limits.tiny) * 2**24 < bound < float(limits.max) / 2 else xp.float64


def _kind_of_array(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__} of {x.dtype} on {array_api_compat.device(x)}"


def _on_host(x: Any) -> bool:
    """Return whether an array lies in the memory of the CPU, where the compiled loops can read it."""
    place = array_api_compat.device(x)
    return str(getattr(place, "type", None) or getattr(place, "platform", place)) == "cpu"


def _like(x: Any, result: Any) -> Any:
    """Return a NumPy result as the type of array that the input has."""
    return result if type(result) is type(x) else array_api_compat.array_namespace(x).asarray(result)


def _symmetrized(xp: Any, block: Any, diagonal: Any) -> Any:
    """Mirror what is above the diagonal, and set the diagonal itself."""
    above = xp.triu(block, k=1)
    own = xp.eye(block.shape[0], dtype=block.dtype, device=array_api_compat.device(block))
    return above + above.T + diagonal[:, None] * own


class _Blocks:
    """Collects blocks into one array; JAX and differentiated arrays cannot be written to and are joined at the end."""

    def __init__(self, xp: Any, x: Any, rows: slice, columns: slice, dtype: Any, *, differentiated: bool) -> None:
        self._xp, self._dtype = xp, dtype
        self._row, self._column = rows.start, columns.start
        self._kept: dict[tuple[int, int], Any] | None = None
        if differentiated or array_api_compat.is_jax_array(x):
            self._kept = {}
        else:
            shape = rows.stop - rows.start, columns.stop - columns.start
            self._array = xp.empty(shape, dtype=dtype, device=array_api_compat.device(x))

    def put(self, rows: slice, columns: slice, block: Any) -> None:
        if self._kept is None:
            row, column = rows.start - self._row, columns.start - self._column
            self._array[row : row + block.shape[0], column : column + block.shape[1]] = block
        else:
            self._kept[rows.start, columns.start] = self._xp.astype(block, self._dtype)

    def result(self) -> Any:
        if self._kept is None:
            return self._array
        xp, kept = self._xp, self._kept
        starts = sorted({row for row, _ in kept})
        return xp.concat(
            [xp.concat([kept[key] for key in sorted(kept) if key[0] == start], axis=1) for start in starts], axis=0
        )
