"""The compiled methods: dense chains, and convolutional layers by displacement planes.

A convolution averages the covariance of positions (p, p') over (p + D, p' + D), and an activation acts on each pair of
positions alone. So the displacement d = p' - p never changes (a stride s divides it), and the pairs of positions of one
displacement, a *plane*, go through all convolutional layers without the others. A plane is two-dimensional, so the work
of a pair of images stays in the cache: all planes for global average pooling, those within a window for local average
pooling before the end, the one of d = 0 for a flattened image. After the readout follow dense layers on few numbers,
for which the recursion in the array API is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lebench import architectures as arch
from lebench.architectures import Layer
from lebench.kernels.compiled import ERF, NONE, PIECEWISE, constants, dense_block
from lebench.kernels.lanes import LANES
from lebench.kernels.limits import Limit
from lebench.kernels.methods import Inputs, Kind, Method, pair_variances, require
from lebench.kernels.moments import slope_of
from lebench.kernels.planes import ACTIVATION, ADD, CELL, CONV, INPUT, Program, Side, planes
from lebench.kernels.recursion import Kernels, Recursion, own_input_kernels

Array = NDArray[Any]
#: Pairs of positions times layers in one call of the compiled loops, about a second: between calls there is progress.
_CALL = 10**9
#: Rows and columns of a block of a dense network.
_DENSE_EDGE = 512


def fast_method(limit: Limit, kind: Kind, itemsize: int, memory: int) -> Method | None:
    """Return a compiled method, or None where there is none for an architecture.

    Raises
    ------
    ParameterError
        If the memory is too small for a single pair of inputs.
    """
    if all(isinstance(layer, arch.Dense | arch.Activation) for layer in limit.layers):
        return DenseMethod(limit, kind, itemsize, memory)
    program = compile_program(limit)
    return None if program is None else PlanesMethod(limit, program, kind, itemsize, memory)


def _activation(layer: Layer) -> tuple[int, float, float]:
    """Return the code of an activation and its two numbers; NONE for what is no activation, or the identity."""
    slope = slope_of(layer) if isinstance(layer, arch.Activation) else 1.0
    if slope == 1.0:
        return NONE, 0.0, 0.0
    return (ERF, 0.0, 0.0) if slope is None else (PIECEWISE, slope, (1 - slope) ** 2 / (2 * math.pi))


def _roots(codes: list[int], variances: tuple[Array, ...]) -> tuple[list[Array], list[Array]]:
    """Return roots of variances and their inverses, for erf those of 1 + 2 variance."""
    roots, inverses = [], []
    for code, variance in zip(codes, variances, strict=True):
        root = np.sqrt(1 + 2 * variance if code == ERF else variance)
        roots.append(root)
        inverses.append(np.divide(1, root, out=np.zeros_like(root), where=root > 0))
    return roots, inverses


class DenseMethod:
    """Dense layers and activations: inner products by BLAS, all layers in one pass over them."""

    def __init__(self, limit: Limit, kind: Kind, itemsize: int, memory: int) -> None:
        self._limit, self._ntk = limit, kind == "ntk"
        # A block on the diagonal of the kernel is mirrored, with copies.
        require(memory, 8 * itemsize)
        self.edge = min(_DENSE_EDGE, math.isqrt(memory // (8 * itemsize)))
        steps = [layer for layer in limit.layers if isinstance(layer, arch.Dense) or _activation(layer)[0] != NONE]
        activations = [_activation(layer) for layer in steps]
        self._kinds = np.array([code for code, _, _ in activations], dtype=np.int64)
        self._shapes = np.array([numbers for _, *numbers in activations])
        self._codes = [code for code in self._kinds if code != NONE]

    def prepare(self, x: Array) -> Inputs:
        """Pair each input with itself."""
        recursion = Recursion(xp, self._limit)
        own = own_input_kernels(xp, self._limit, x, ntk=self._ntk, full=False)
        end = recursion.chain(self._limit.layers, own)
        roots, inverses = _roots(self._codes, tuple(recursion.kept))
        shape = (len(self._codes), len(x))
        return Inputs(x, (np.reshape(roots, shape), np.reshape(inverses, shape)), end.ntk if self._ntk else end.nngp)

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Multiply, then take the products through the layers."""
        block: Array = rows.x[part1] @ columns.x[part2].T
        block /= self._limit.input_shape[0]
        dtype = block.dtype.type
        r1, i1, r2, i2 = (
            np.ascontiguousarray(v[:, part], dtype=dtype)
            for inputs, part in ((rows, part1), (columns, part2))
            for v in inputs.variances
        )
        numbers = constants(dtype, self._limit.weight_variance, self._limit.bias_variance)
        dense_block(block, self._kinds, self._shapes.astype(dtype), r1, i1, r2, i2, numbers, self._ntk)
        return block


@dataclass
class Layout:
    """Convolutional layers as steps on planes; see :func:`lebench.kernels.planes.planes`."""

    body: tuple[Layer, ...] = ()
    head: tuple[Layer, ...] = ()
    steps: list[list[int]] = field(default_factory=list)
    shapes: list[tuple[float, float, float]] = field(default_factory=list)
    levels: list[list[int]] = field(default_factory=list)  # height, width, stride so far
    codes: list[int] = field(default_factory=list)  # of the activations
    variances: int = 0  # positions of all activations together
    registers: int = 0
    window: tuple[int, int, int, int] = (1, 1, 1, 1)
    _free: list[int] = field(default_factory=list)

    def take(self) -> int:
        """Return a register that nobody uses."""
        if self._free:
            return self._free.pop()
        self.registers += 1
        return self.registers - 1

    def release(self, register: int) -> None:
        """Give a register back."""
        self._free.append(register)

    def step(
        self, code: int, source: int, target: int, before: int, after: int, factor: float = 1.0, conv: Any = (1, 1, 0)
    ) -> None:
        """Append a step without activation."""
        self.steps.append([code, source, target, *conv, NONE, 0, before, after])
        self.shapes.append((0.0, 0.0, factor))

    def activate(self, layer: Layer) -> None:
        """Let the last step be followed by an activation."""
        code, slope, weight = _activation(layer)
        self.steps[-1][6:8] = [code, self.variances]
        self.shapes[-1] = (slope, weight, self.shapes[-1][2])
        height, width, _ = self.levels[self.steps[-1][9]]
        self.codes.append(code)
        self.variances += height * width

    @property
    def cost(self) -> int:
        """Pairs of positions times steps of one pair of images, about."""
        height, width, windows_y, windows_x = self.window
        planes = (2 * height - 1) * (2 * width - 1)
        last = self.levels[-1][0] * self.levels[-1][1]
        whole = height * width * windows_y * windows_x * height * width if planes > 1 else last
        return max(1, whole // last) * sum(self.levels[s[9]][0] * self.levels[s[9]][1] for s in self.steps)


def compile_program(limit: Limit) -> Layout | None:
    """Return the steps of a convolutional architecture, or None if its planes are not independent."""
    readout = next(
        (k for k, layer in enumerate(limit.layers) if isinstance(layer, arch.Flatten | arch.GlobalAvgPool)), 0
    )
    body, head = limit.layers[:readout], limit.layers[readout + 1 :]
    pool = 1
    if body and isinstance(body[-1], arch.AvgPool) and isinstance(limit.layers[readout], arch.Flatten):
        pool, body = body[-1].size, body[:-1]
    inner = list(arch.Architecture(body).walk())
    if not any(isinstance(layer, arch.Conv) for layer in inner) or not all(
        isinstance(layer, arch.Conv | arch.Activation | arch.Residual) for layer in inner
    ):
        return None
    program = Layout(body, head)
    height, width, channels = limit.input_shape
    program.levels.append([height, width, 1])
    register = program.take()
    program.step(INPUT, 0, register, 0, 0, 1.0 / channels)
    _, level = _emit(program, limit, body, register, 0, kept=False)
    height, width, stride = program.levels[level]
    if isinstance(limit.layers[readout], arch.GlobalAvgPool):
        program.window = (height, width, 1, 1)
    else:
        program.window = (pool, pool, height // pool, width // pool)
    for row in program.levels:
        row[2] = stride // row[2]
    return program


def _emit(
    program: Layout, limit: Limit, layers: tuple[Layer, ...], register: int, level: int, *, kept: bool
) -> tuple[int, int]:
    """Append the steps of layers; `kept` says that the register they start from is needed afterwards."""
    for layer in layers:
        match layer:
            case arch.Conv(_, kernel, stride, padding):
                pad = kernel // 2 if padding == "same" else 0
                height, width, strides = program.levels[level]
                shape = [(s + 2 * pad - kernel) // stride + 1 for s in (height, width)]
                program.levels.append([*shape, strides * stride])
                target, after = program.take(), len(program.levels) - 1
                factor = limit.weight_variance / kernel**2
                program.step(CONV, register, target, level, after, factor, (kernel, stride, pad))
                level = after
            case arch.Residual(body, shortcut):
                target, after = _emit(program, limit, body, register, level, kept=True)
                other, _ = _emit(program, limit, shortcut, register, level, kept=True)
                if target == register:
                    target, other = other, target
                program.step(ADD, other, target, after, after)
                if other != register:
                    program.release(other)
                level = after
            case _ if _activation(layer)[0] == NONE:
                continue
            case _:
                if not kept and program.steps[-1][2] == register and program.steps[-1][6] == NONE:
                    program.activate(layer)
                    continue
                target = program.take()
                program.step(ACTIVATION, register, target, level, level)
                program.activate(layer)
        if not kept and register != target:
            program.release(register)
        register, kept = target, False
    return register, level


@dataclass(frozen=True)
class _Images(Inputs):
    """Images, with what the compiled loops read of them; `variances` are those after the readout."""

    channels: Array  # (n, channels * positions)
    scales: Array  # (n, 2 * positions of all activations), each root of a variance before its inverse


class PlanesMethod:
    """Convolutional layers by displacement planes, then the rest by the recursion in the array API."""

    def __init__(self, limit: Limit, program: Layout, kind: Kind, itemsize: int, memory: int) -> None:
        self._limit, self._program, self._ntk = limit, program, kind == "ntk"
        self._steps = np.array(program.steps, dtype=np.int64)
        self._levels = np.array(program.levels, dtype=np.int64)
        self._window = np.array(program.window, dtype=np.int64)
        largest = int((self._levels[:, 0] * self._levels[:, 1]).max())
        border = self._border = int(self._steps[:, 5].max())
        rows, widest = int(self._levels[:, 0].max()), int(self._levels[:, 1].max())
        self._start = CELL * (widest + 2 * border)
        self._register = self._start + CELL * (rows * (widest + border) + border)
        each = itemsize * (math.prod(limit.input_shape) + 2 * program.variances) + 16
        fixed = LANES * (each + 2 * itemsize * program.registers * largest)
        require(memory, fixed + 3 * LANES * each)
        # Rows, columns side by side, and four arrays of the size of the block.
        room = (memory - fixed) // (2 * each)
        by_memory = min(room, math.isqrt((memory - fixed) // (8 * 8)))
        by_time = math.isqrt(_CALL // program.cost)
        self.edge = max(LANES, min(by_memory, by_time) // LANES * LANES)

    def prepare(self, x: Array) -> _Images:
        """Compute the variances of all positions, and the kernel of each image with itself."""
        parts = [self._prepare(x[start : start + self.edge]) for start in range(0, len(x), self.edge)]
        variances = tuple(np.concatenate(v) for v in zip(*(part.variances for part in parts), strict=True))
        joined = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("diagonal", "channels", "scales")
        )
        return _Images(x, variances, *joined)

    def _prepare(self, x: Array) -> _Images:
        limit, program = self._limit, self._program
        recursion = Recursion(xp, limit)
        own = recursion.chain(program.body, own_input_kernels(xp, limit, x, ntk=True, full=False))
        scales = np.empty((len(x), program.variances, 2), dtype=x.dtype)
        offset = 0
        for roots, inverses in zip(*_roots(program.codes, tuple(recursion.kept)), strict=True):
            end = offset + roots.shape[0] * roots.shape[1]
            scales[:, offset:end, 0] = roots.reshape(-1, len(x)).T
            scales[:, offset:end, 1] = inverses.reshape(-1, len(x)).T
            offset = end
        channels = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
        images = _Images(x, (), None, channels, scales.reshape(len(x), -1))
        sums = self._sums(images, images, paired=True)
        height, width, down, across = program.window
        for total, values in zip(sums, (own.nngp, own.ntk), strict=True):
            total += values[: height * down, : width * across].sum(axis=(0, 1), dtype=np.float64)[None]
        start = self._averages(sums, x.dtype)
        head = Recursion(xp, limit)
        after = head.chain(program.head, Kernels(start.nngp[0], None if start.ntk is None else start.ntk[0], (), False))
        diagonal = after.ntk if self._ntk else after.nngp
        return _Images(x, tuple(head.kept), diagonal, images.channels, images.scales)

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Run the planes of all pairs of a block, then the dense layers."""
        assert isinstance(rows, _Images)
        assert isinstance(columns, _Images)
        triangle = rows is columns and part1 == part2
        start = self._averages(self._sums(_part(rows, part1), _part(columns, part2), triangle=triangle), rows.x.dtype)
        variances = pair_variances(rows.variances, columns.variances, part1, part2)
        end = Recursion(xp, self._limit, variances).chain(self._program.head, start)
        kernel: Array = end.ntk if self._ntk and end.ntk is not None else end.nngp
        return kernel

    def _averages(self, sums: tuple[Array, Array], dtype: Any) -> Kernels:
        height, width, down, across = self._program.window
        count = (height * width) ** 2 * down * across
        nngp, ntk = ((s / count).astype(dtype) for s in sums)
        return Kernels(nngp, ntk if self._ntk else None, (), False)

    def _sums(
        self, rows: _Images, columns: _Images, *, paired: bool = False, triangle: bool = False
    ) -> tuple[Array, Array]:
        dtype = rows.x.dtype
        if paired and self._program.window[:2] == (1, 1):  # all positions are equal ones
            return np.zeros((1, len(columns.x))), np.zeros((1, len(columns.x)))
        second = Side(_side_by_side(columns.channels), _side_by_side(columns.scales))
        sums = [np.zeros((1 if paired else len(rows.x), len(second.channels) * LANES)) for _ in range(2)]
        planes(
            Program(
                self._steps,
                np.array(self._program.shapes, dtype=dtype),
                self._levels,
                self._window,
                self._border,
                self._start,
            ),
            Side(rows.channels, rows.scales),
            second,
            constants(dtype.type, self._limit.weight_variance, self._limit.bias_variance),
            self._ntk,
            paired,
            triangle,
            _aligned((self._program.registers, self._register), dtype),
            Side(*(_aligned(v.shape[1:], dtype) for v in second)),
            _aligned((2 * LANES,), np.dtype(np.float64)),
            *sums,
        )
        return sums[0][:, : len(columns.x)], sums[1][:, : len(columns.x)]


def _part(images: _Images, part: slice) -> _Images:
    return _Images(images.x[part], (), None, images.channels[part], images.scales[part])


def _side_by_side(values: Array) -> Array:
    """Return (n, k) as (blocks, k * LANES), LANES inputs next to each other; the last block is filled with zeros."""
    blocks = -(-len(values) // LANES)
    padded = _aligned((blocks, values.shape[1] * LANES), values.dtype)
    for block, lanes in enumerate(padded.reshape(blocks, -1, LANES)):
        part = values[block * LANES : (block + 1) * LANES]
        lanes[:, : len(part)] = part.T
    return padded


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return zeros that start on a line of the cache, so that no vector lies on two of them."""
    size = math.prod(shape) * dtype.itemsize
    room = np.zeros(size + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)
