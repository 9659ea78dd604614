"""How a kernel is computed: by the recursion in the array API, which can do all, or by compiled loops."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import array_api_compat

from lebench.errors import ParameterError
from lebench.kernels.recursion import Recursion, input_kernels, own_input_kernels
from lebench.kernels.width_limit import Limit

Kind = Literal["ntk", "nngp"]

#: Arrays of the size of a block that are alive at once, the kernels and the temporaries of an activation.
_ALIVE = 16
#: More entries than these make a block no faster, because its temporaries leave the cache.
_BLOCK_ENTRIES = 2**19


@dataclass(frozen=True)
class Inputs:
    """Inputs, the variances at every activation (positions first), and the kernel of each with itself."""

    x: Any
    variances: tuple[Any, ...]
    diagonal: Any

    @property
    def count(self) -> int:
        """Number of inputs."""
        return int(self.x.shape[0])


class Method(Protocol):
    """A way to compute the kernel of one checked architecture."""

    def prepare(self, x: Any) -> Inputs:
        """Return what is needed of inputs (n, *input_shape)."""

    @property
    def edge(self) -> int:
        """How many rows and columns a block should have."""

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Any:
        """Return the kernel between parts of two sets of inputs; `rows` is `columns` for a set with itself."""


def method_for(xp: Any, limit: Limit, kind: Kind, itemsize: int, memory: int) -> Method:
    """Return the fastest method there is for numbers of 4 or 8 bytes and blocks in so many bytes of memory.

    Raises
    ------
    ParameterError
        If the memory is no number, or too small for a single pair of inputs.
    """
    try:
        memory = int(memory)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"memory={memory!r}: a number of bytes is needed, such as 256 * 2**20") from error
    if array_api_compat.is_numpy_namespace(xp) and compiled_available():
        for module, function in (("dense_method", "dense_method"), ("cntk_method", "convolutional_method")):
            made = getattr(importlib.import_module(f"lebench.kernels.{module}"), function)(
                limit, kind, itemsize, memory
            )
            if made is not None:
                return made  # type: ignore[no-any-return]
    return ArrayMethod(xp, limit, kind, memory)


def compiled_available() -> bool:
    """Return whether numba is installed; without it the same numbers take longer."""
    return importlib.util.find_spec("numba") is not None


class ArrayMethod:
    """The recursion in the array API: every architecture, every framework and device.

    It computes in float64, in whatever precision the inputs are: in float32 angles near 0 and pi are lost. Only on
    devices without float64 it computes in float32.
    """

    def __init__(self, xp: Any, limit: Limit, kind: Kind, memory: int) -> None:
        self._xp, self._limit, self._ntk = xp, limit, kind == "ntk"
        bytes_per_pair = _ALIVE * limit.entries * 8
        require(memory, bytes_per_pair)
        self._pairs = max(1, min(memory // bytes_per_pair, _BLOCK_ENTRIES // limit.entries))

    @property
    def edge(self) -> int:
        """Rows and columns of a block."""
        return math.isqrt(self._pairs)

    def prepare(self, x: Any) -> Inputs:
        """Pair each input with itself."""
        xp, limit = self._xp, self._limit
        variances, diagonal = [], []
        for start in range(0, x.shape[0], self._pairs):
            recursion = Recursion(xp, limit)
            part = self._wide(x[start : start + self._pairs, ...])
            end = recursion.chain(limit.layers, own_input_kernels(xp, limit, part, ntk=self._ntk, full=limit.full))
            diagonal.append(end.ntk if self._ntk else end.nngp)
            variances.append(recursion.kept)
        joined = tuple(xp.concat(parts, axis=-1) for parts in zip(*variances, strict=True))
        return Inputs(x, joined, xp.concat(diagonal))

    def _wide(self, x: Any) -> Any:
        lacking = getattr(array_api_compat.device(x), "type", "") == "mps"
        return x if lacking else self._xp.astype(x, self._xp.float64)

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Any:
        """Map all pairs of a block through the layers."""
        variances = pair_variances(rows.variances, columns.variances, part1, part2)
        start = input_kernels(
            self._xp, self._limit, self._wide(rows.x[part1, ...]), self._wide(columns.x[part2, ...]), ntk=self._ntk
        )
        end = Recursion(self._xp, self._limit, variances).chain(self._limit.layers, start)
        return end.ntk if self._ntk else end.nngp


def pair_variances(first: tuple[Any, ...], second: tuple[Any, ...], part1: slice, part2: slice) -> Any:
    """Return an iterator over the variances of all pairs of two parts, shaped to broadcast."""
    return iter([(v1[..., part1, None], v2[..., None, part2]) for v1, v2 in zip(first, second, strict=True)])


def require(memory: int, needed: int) -> None:
    """Refuse a memory budget that is too small.

    Raises
    ------
    ParameterError
        With both numbers.
    """
    if memory < needed:
        raise ParameterError(
            f"a memory of {memory} bytes is too small: the kernel of a single pair of inputs needs {needed}; allow at "
            "least that"
        )
