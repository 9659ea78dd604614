"""The compiled method of convolutional networks: pairs of positions of one displacement at a time.

A convolution averages the covariance of positions (p, p') over (p + D, p' + D), and an activation acts on each pair of
positions alone. So the displacement d = p' - p never changes (a stride s divides it), and the pairs of positions of one
displacement, a *plane*, go through all convolutional layers without the others. A plane is two-dimensional, so the work
of a pair of images stays in the cache: all planes for global average pooling, those within a window for local average
pooling before the end, the one of d = 0 for a flattened image. After the readout follow dense layers on few numbers,
for which the recursion in the array API is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lebench import architectures as arch
from lebench.architectures import Layer
from lebench.kernels.cntk_loops import ACTIVATION, ADD, CELL, CONV, INPUT, Program, Side, all_displacements
from lebench.kernels.dense_loops import ERF, NONE, constants
from lebench.kernels.dense_method import NEGLIGIBLE, RANGE, activation_code, has_loop, roots
from lebench.kernels.methods import Inputs, Kind, Method, pair_variances, require
from lebench.kernels.recursion import Kernels, Recursion, own_input_kernels
from lebench.kernels.simd import LANES
from lebench.kernels.width_limit import Limit

Array = NDArray[Any]
#: Pairs of positions times layers in one call of the compiled loops, about a second: between calls there is progress.
_CALL = 10**9
#: Cosines of images nearer to 1 than this, or to -1, may be those of patches at angles that float32 loses.
_NEAR = 0.03
#: A norm of an image below it is zero.
_LEAST = np.float32(1e-30)
#: Above this share of such pairs all of a block is computed again.
_MANY = 1 / 4


def convolutional_method(limit: Limit, kind: Kind, itemsize: int, memory: int) -> Method | None:
    """Return the compiled method of a convolutional architecture, or None if it has none.

    Raises
    ------
    ParameterError
        If the memory is too small for a single pair of inputs.
    """
    program = compile_program(limit)
    if program is None:
        return None
    if itemsize == 8:
        return ConvolutionalMethod(limit, program, kind, memory)
    return SingleConvolutionalMethod(limit, program, kind, memory)


@dataclass
class Layout:
    """Convolutional layers as steps on planes; see :func:`lebench.kernels.cntk_loops.all_displacements`."""

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
        code, slope, weight = activation_code(layer)
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
        isinstance(layer, arch.Conv | arch.Residual) or has_loop(layer) for layer in inner
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
            case _ if activation_code(layer)[0] == NONE:
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
    """Images, with what the compiled loops read of them; `variances` are those after the readout, in float64.

    Attributes
    ----------
    spread : array of shape (n, windows)
        Roots of the variances of what is read out, summed over each window.
    channels : array of shape (n, channels * positions)
        The images.
    scales : array of shape (n, 2 * positions of all activations)
        Each root of a variance before its inverse.
    """

    spread: Array
    channels: Array
    scales: Array

    def part(self, part: slice | Array) -> _Images:
        """Return some of the images, without what only heads read."""
        channels, scales = self.channels[part], self.scales[part]
        return _Images(self.x[part], (), None, self.spread[part], channels, scales)

    def single(self) -> _Images:
        """Return the same for loops in float32."""
        scales = self.scales.astype(np.float32)
        if scales[:, 1::2].max(initial=0) > 1 / NEGLIGIBLE:
            scales.reshape(len(scales), -1, 2)[self.scales[:, ::2] < NEGLIGIBLE] = 0
        return replace(self, channels=self.channels.astype(np.float32), scales=scales)


class ConvolutionalMethod:
    """Convolutional layers by displacement, then the rest by the recursion in the array API; in float64."""

    def __init__(self, limit: Limit, program: Layout, kind: Kind, memory: int) -> None:
        self._limit, self._program, self._ntk = limit, program, kind == "ntk"
        self._steps = np.array(program.steps, dtype=np.int64)
        self._levels = np.array(program.levels, dtype=np.int64)
        self._window = np.array(program.window, dtype=np.int64)
        largest = int((self._levels[:, 0] * self._levels[:, 1]).max())
        border = self._border = int(self._steps[:, 5].max())
        rows, widest = int(self._levels[:, 0].max()), int(self._levels[:, 1].max())
        self._start = CELL * (widest + 2 * border)
        self._register = self._start + CELL * (rows * (widest + border) + border)
        each = 8 * (math.prod(limit.input_shape) + 2 * program.variances) + 16
        fixed = LANES * (each + 16 * program.registers * largest)
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
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("diagonal", "spread", "channels", "scales")
        )
        return _Images(x, variances, *joined)

    def _prepare(self, x: Array) -> _Images:
        limit, program = self._limit, self._program
        x = x.astype(np.float64)
        recursion = Recursion(xp, limit)
        own = recursion.chain(program.body, own_input_kernels(xp, limit, x, ntk=True, full=False))
        scales = np.empty((len(x), program.variances, 2))
        offset = 0
        for root, inverse in zip(*roots(program.codes, tuple(recursion.kept)), strict=True):
            end = offset + root.shape[0] * root.shape[1]
            scales[:, offset:end, 0] = root.reshape(-1, len(x)).T
            scales[:, offset:end, 1] = inverse.reshape(-1, len(x)).T
            offset = end
        channels = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).reshape(len(x), -1)
        images = _Images(x, (), None, np.empty((len(x), 0)), channels, scales.reshape(len(x), -1))
        sums = self.sums(images, images, paired=True)
        height, width, down, across = program.window
        for total, values in zip(sums, (own.nngp, own.ntk), strict=True):
            total += values[: height * down, : width * across].sum(axis=(0, 1))[None]
        start = self.averages(sums)
        windows = np.sqrt(own.nngp[: height * down, : width * across]).reshape(down, height, across, width, -1)
        spread = windows.sum(axis=(1, 3)).reshape(-1, len(x)).T
        head = Recursion(xp, limit)
        after = head.chain(program.head, Kernels(start.nngp[0], None if start.ntk is None else start.ntk[0], (), False))
        diagonal = after.ntk if self._ntk else after.nngp
        return _Images(x, tuple(head.kept), diagonal, spread, images.channels, images.scales)

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Run all pairs of a block through the convolutional layers, then through the head."""
        assert isinstance(rows, _Images)
        assert isinstance(columns, _Images)
        triangle = rows is columns and part1 == part2
        start = self.averages(self.sums(rows.part(part1), columns.part(part2), triangle=triangle))
        return self.head(start, rows, columns, part1, part2)

    def head(self, start: Kernels, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Return the kernels (n, m) after the layers behind the readout."""
        variances = pair_variances(rows.variances, columns.variances, part1, part2)
        end = Recursion(xp, self._limit, variances).chain(self._program.head, start)
        kernel: Array = end.ntk if self._ntk and end.ntk is not None else end.nngp
        return kernel

    def averages(self, sums: tuple[Array, Array]) -> Kernels:
        """Return the kernels that are read out, from sums over pairs of positions."""
        height, width, down, across = self._program.window
        count = (height * width) ** 2 * down * across
        nngp, ntk = (s / count for s in sums)
        return Kernels(nngp, ntk if self._ntk else None, (), False)

    def sums(
        self, rows: _Images, columns: _Images, *, paired: bool = False, triangle: bool = False
    ) -> tuple[Array, Array]:
        """Return sums over pairs of positions in float64, of loops in the dtype of the images."""
        dtype = columns.channels.dtype
        count = len(columns.channels)
        if paired and self._program.window[:2] == (1, 1):  # all positions are equal ones
            return np.zeros((1, count)), np.zeros((1, count))
        second = Side(_side_by_side(columns.channels), _side_by_side(columns.scales))
        sums = [np.zeros((1 if paired else len(rows.channels), len(second.channels) * LANES)) for _ in range(2)]
        all_displacements(
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
        return sums[0][:, :count], sums[1][:, :count]


class SingleConvolutionalMethod(ConvolutionalMethod):
    """The same for float32 images: in float32, and again in float64 where that has too few digits.

    An angle of two patches near 0 or pi is lost in float32 (:mod:`lebench.kernels.dense_method`). To look at every pair
    of patches would cost more than it spares. Instead a pair of images is looked at: by the cosine of what is read out
    of them, which is the mean of those of their patches, and by that of the images themselves.
    """

    def block(self, rows: Inputs, columns: Inputs, part1: slice, part2: slice) -> Array:
        """Run all pairs of a block through the layers, some of them in float64."""
        assert isinstance(rows, _Images)
        assert isinstance(columns, _Images)
        if not (self._fits(rows) and self._fits(columns)):
            return super().block(rows, columns, part1, part2)
        triangle = rows is columns and part1 == part2
        first, second = rows.part(part1), columns.part(part2)
        single = first.single()
        other = single if triangle else second.single()
        sums = self.sums(single, other, triangle=triangle)
        near = self._near(single, other, sums[0])
        if triangle:
            near = np.triu(near, k=1)
        if near.mean() > _MANY:
            sums = self.sums(first, second, triangle=triangle)
        else:
            for row in np.flatnonzero(near.any(axis=1)):
                chosen = np.flatnonzero(near[row])
                again = self.sums(first.part(slice(row, row + 1)), second.part(chosen))
                for total, values in zip(sums, again, strict=True):
                    total[row, chosen] = values[0]
        return self.head(self.averages(sums), rows, columns, part1, part2)

    def _fits(self, images: _Images) -> bool:
        """Return whether float32 can do it: it is too coarse for erf, and its range is small."""
        if ERF in self._program.codes:
            return False
        largest = images.scales[:, ::2].max(initial=1.0), np.abs(images.channels).max()
        return all(RANGE[0] < value < RANGE[1] for value in largest)

    def _near(self, first: _Images, second: _Images, covariances: Array) -> NDArray[np.bool_]:
        """Return which pairs (n, m) have patches at angles near 0 or pi; `covariances` are summed over positions."""
        if not self._ntk:
            return np.zeros(covariances.shape, dtype=bool)  # an NNGP does not depend on angles, but on cosines
        a, b = (
            x.channels / np.maximum(np.linalg.norm(x.channels, axis=1, keepdims=True), _LEAST) for x in (first, second)
        )
        near: NDArray[np.bool_] = np.abs(a @ b.T) > 1 - _NEAR
        near |= covariances > (1 - _NEAR) * (first.spread @ second.spread.T)
        return near


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
