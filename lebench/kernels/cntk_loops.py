"""Compiled loops over displacements; see :mod:`lebench.kernels.cntk_method` for what the plane of one is.

A plane passes through all layers before the next plane does, so that it stays in the cache. In memory a position is a
CELL: the covariances of LANES pairs of images, then their tangent kernels. So borders of images and short rows cost
nothing.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

from lebench.kernels.dense_loops import ERF, NONE, PIECEWISE, Constants, compiled, erf, inlined, piecewise
from lebench.kernels.simd import LANES, load, repeat, splat, splat_all, store, widen

# Codes of the steps of a program.
INPUT, CONV, ACTIVATION, ADD = range(4)
#: Numbers of one position of a plane.
CELL = 2 * LANES


class Program(NamedTuple):
    """Steps through the convolutional layers.

    Attributes
    ----------
    steps : int array (steps, 10)
        Code, source and target register, kernel, stride, padding, activation, offset of its variances, level before
        and after the step.
    shapes : array (steps, 3)
        Slope for negative inputs and (1 - slope)^2 / (2 pi) of the activation, and the factor of a convolution or of
        the inputs.
    levels : int array (levels, 3)
        Height, width, and by how much a displacement of one at the last level moves at this one.
    window : int array (4,)
        Height and width of the windows that are averaged at the end, and how many there are of them.
    border, start : int
        The largest padding, and where the first row of a plane starts in a register.
    """

    steps: Any
    shapes: Any
    levels: Any
    window: Any
    border: Any
    start: Any


class Side(NamedTuple):
    """Images, one by one (images, ...) or in blocks of LANES images next to each other (blocks, ... * LANES).

    Attributes
    ----------
    channels : array (n, channels * positions)
        The images.
    scales : array (n, 2 * offsets)
        For each position of all activations the root of the variance and its inverse, for erf that of 1 + 2 variance.
    """

    channels: Any
    scales: Any


@inlined
def _rectangle(level, dy, dx):
    """Return the rows and columns of the positions p whose partner p + d lies in the image, and d."""
    y, x = level[2] * dy, level[2] * dx
    return max(0, -y), level[0] - max(0, y), max(0, -x), level[1] - max(0, x), y, x


@inlined
def _first(values, index, single):
    """Return numbers of the first side: of one image, or of LANES images."""
    return repeat(values, index) if single else load(values, index * LANES)


@inlined
def _activate(k, t, kind, slope, weight, one, two, at, other, single, c):
    """Return kernels after an activation; `at` and `other` say where the variances are."""
    inverse = _first(one.scales, 2 * at + 1, single)
    other_inverse = load(two.scales, other * CELL + LANES)
    root = _first(one.scales, 2 * at, single) * load(two.scales, other * CELL)
    if kind == ERF:
        return erf(k, t, root, inverse, other_inverse, c)
    return piecewise(k, t, root, k * inverse * other_inverse, slope, weight, c)


@inlined
def _column(plane, up, here, down):
    """Add three vectors, one of each of three rows."""
    return load(plane, up) + load(plane, here) + load(plane, down)


@inlined
def _convolve3(read, up, here, down, write, out, width, factor, shape, one, two, at, other, single, c, tangent, ntk):
    """Do for a row of a 3x3 convolution with stride 1 and a piecewise linear activation at once most of the work."""
    slope, weight = splat(shape[0]), splat(shape[1])
    left, middle = _column(read, up, here, down), _column(read, up + CELL, here + CELL, down + CELL)
    up, here, down = up + 2 * CELL, here + 2 * CELL, down + 2 * CELL
    left_t, middle_t = left, middle
    if tangent:
        back = LANES - 2 * CELL
        left_t = _column(read, up + back, here + back, down + back)
        back += CELL
        middle_t = _column(read, up + back, here + back, down + back)
    for x in range(width):
        move = x * CELL
        right = _column(read, up + move, here + move, down + move)
        k = factor * (left + middle + right) + c.bias
        left, middle = middle, right
        t = k
        if tangent:
            move += LANES
            right_t = _column(read, up + move, here + move, down + move)
            t = factor * (left_t + middle_t + right_t) + k
            left_t, middle_t = middle_t, right_t
        k, t = _activate(k, t, PIECEWISE, slope, weight, one, two, at + x, other + x, single, c)
        store(write, out + x * CELL, k)
        if ntk:
            store(write, out + x * CELL + LANES, t)


@inlined
def _convolve(read, first, rows, pitch, kernel, stride, write, out, width, factor, c):
    """Add for a row the neighbours in `rows` rows, the first one at `first`."""
    for x in range(width):
        k = t = c.zero
        for y in range(rows):
            for column in range(kernel):
                at = first + y * pitch + (stride * x + column) * CELL
                k = k + load(read, at)
                t = t + load(read, at + LANES)
        k = factor * k + c.bias
        store(write, out + x * CELL, k)
        store(write, out + x * CELL + LANES, factor * t + k)


@inlined
def _multiply(write, out, width, factor, one, two, here, there, size, single, c):
    """Write the products of two images at one row of a plane, summed over channels."""
    for x in range(width):
        k = c.zero
        for channel in range(two.channels.shape[0] // (size * LANES)):
            at = channel * size + x
            k = k + _first(one.channels, here + at, single) * load(two.channels, (there + at) * LANES)
        store(write, out + x * CELL, factor * k)
        store(write, out + x * CELL + LANES, c.zero)


@inlined
def _run(program, dy, dx, one, two, single, c, ntk, registers):
    """Run a program on the plane of one displacement; the result is in the last step's register.

    Rows begin after a row of zeros and end with a border of zeros, so that a sum over neighbours needs no cases.
    """
    border = program.border
    start, zeros = program.start, border * CELL
    inputs = -1
    for s in range(program.steps.shape[0]):
        step, shape = program.steps[s], program.shapes[s]
        code, source, target, kernel, stride, pad = step[0], step[1], step[2], step[3], step[4], step[5]
        activation, offset = step[6], step[7]
        before, level = program.levels[step[8]], program.levels[step[9]]
        top, bottom, left, right, shift_y, shift_x = _rectangle(level, dy, dx)
        source_top, source_bottom, source_left, source_right, _, _ = _rectangle(before, dy, dx)
        width, pitch = right - left, (right - left + border) * CELL
        source_pitch = (source_right - source_left + border) * CELL
        read, write = registers[source], registers[target]
        factor = splat(shape[2])
        tangent = source != inputs
        fused = code == CONV and kernel == 3 and stride == 1 and activation == PIECEWISE
        for y in range(top, bottom):
            out = start + (y - top) * pitch
            here, there = y * level[1] + left, (y + shift_y) * level[1] + left + shift_x
            at, other = offset + here, offset + there
            for x in range(border):
                store(write, out + (width + x) * CELL, c.zero)
                store(write, out + (width + x) * CELL + LANES, c.zero)
            low, high = max(source_top, stride * y - pad), min(source_bottom, stride * y - pad + kernel)
            first = start + (low - source_top) * source_pitch - pad * CELL
            if fused:
                middle = start + (y - pad + 1 - source_top) * source_pitch - pad * CELL
                up = middle - source_pitch if low == y - pad else zeros - pad * CELL
                down = middle + source_pitch if high == y - pad + 3 else zeros - pad * CELL
                if tangent and ntk:
                    _convolve3(
                        read, up, middle, down, write, out, width, factor, shape, one, two, at, other, single, c, True,
                        True,
                    )  # fmt: skip
                else:
                    _convolve3(
                        read, up, middle, down, write, out, width, factor, shape, one, two, at, other, single, c, False,
                        ntk,
                    )  # fmt: skip
                continue
            if code == CONV:
                rows = max(0, high - low)
                _convolve(read, first, rows, source_pitch, kernel, stride, write, out, width, factor, c)
            elif code == INPUT:
                _multiply(write, out, width, factor, one, two, here, there, level[0] * level[1], single, c)
            else:
                for x in range(out, out + width * CELL, LANES):
                    store(write, x, load(read, x) + (load(write, x) if code == ADD else c.zero))
            if activation != NONE:
                slope, weight = splat(shape[0]), splat(shape[1])
                for x in range(width):
                    cell = out + x * CELL
                    k, t = load(write, cell), load(write, cell + LANES)
                    k, t = _activate(k, t, activation, slope, weight, one, two, at + x, other + x, single, c)
                    store(write, cell, k)
                    store(write, cell + LANES, t)
        if code == INPUT:
            inputs = target
        elif target == inputs:
            inputs = -1


@inlined
def _read_out(plane, program, level, dy, dx, c, weight, totals):
    """Add the positions of a plane whose partner lies in the same window."""
    window = program.window
    top, _, left, right, _, _ = _rectangle(level, dy, dx)
    start, pitch = program.start, (right - left + program.border) * CELL
    # Without displacement along x, windows of a row continue each other.
    runs, length = (1, window[1] * window[3]) if dx == 0 else (window[3], window[1])
    for window_y in range(window[2]):
        for y in range(window_y * window[0] + max(0, -dy), (window_y + 1) * window[0] - max(0, dy)):
            row = start + (y - top) * pitch
            k = t = c.zero
            for run in range(runs):
                for x in range(run * length + max(0, -dx), (run + 1) * length - max(0, dx)):
                    at = row + (x - left) * CELL
                    k = k + load(plane, at)
                    t = t + load(plane, at + LANES)
            store(totals, 0, load(totals, 0) + weight * widen(k))
            store(totals, LANES, load(totals, LANES) + weight * widen(t))


@compiled
def _block_pair(program, one, two, single, turn, constants, ntk, registers, totals):
    """Sum the kernels of LANES pairs over all pairs of positions that are wanted.

    If `turn` is not negative, the pairs are those of a block with itself, its lanes turned. Turned by none or by half
    of them, both orders of each pair occur: every other displacement gives the same, with the order reversed.
    """
    c = Constants(
        splat(constants.zero), splat(constants.one), splat(constants.two), splat(constants.pi), splat(constants.snap),
        splat(constants.weight), splat(constants.bias), splat_all(constants.p), splat_all(constants.q),
    )  # fmt: skip
    window = program.window
    last, end = registers[program.steps[-1, 2]], program.levels[program.steps[-1, 9]]
    twice = turn == 0 or turn == LANES // 2
    for lane in range(2 * LANES):
        totals[lane] = 0
    for dy in range(0 if twice else 1 - window[0], window[0]):
        for dx in range(0 if twice and dy == 0 else 1 - window[1], window[1]):
            same = dy == 0 and dx == 0
            if turn == 0 and same:
                continue
            _run(program, dy, dx, one, two, single, c, ntk, registers)
            _read_out(last, program, end, dy, dx, c, splat(0.5 if twice and same else 1.0), totals)


@inlined
def _turned(values, turn, out):
    """Move every input of a block by some lanes."""
    for p in range(0, values.shape[0], LANES):
        for lane in range(LANES):
            out[p + lane] = values[p + (lane + turn) % LANES]


@compiled
def all_displacements(
    program, first, second, constants, ntk, paired, triangle, registers, turned, totals, out_k, out_t
):
    """Compute the kernels after convolutional layers, for every input of one set and blocks of another.

    Parameters
    ----------
    program : Program
        What to compute.
    first, second : Side
        Inputs one by one, and in blocks.
    constants : Constants
        From :func:`lebench.kernels.dense_loops.constants`.
    ntk : bool
        Whether the tangent kernel is wanted.
    paired : bool
        Pair each input of the second set with itself and leave out equal positions; the first set is not used.
    triangle : bool
        The sets are the same: leave out what is below the diagonal and, with it, the diagonal.
    registers : array (registers, size)
        Zeros.
    turned : Side
        Room for one block.
    totals : float64 array (2 * LANES,)
        Room for sums.
    out_k, out_t : float64 array (n, blocks * LANES)
        Sums over pairs of positions; one row if paired.
    """
    blocks = second.channels.shape[0]
    for one in range(0 if paired else first.channels.shape[0]):
        side1 = Side(first.channels[one], first.scales[one])
        for block in range(one // LANES + 1 if triangle else 0, blocks):
            side2 = Side(second.channels[block], second.scales[block])
            _block_pair(program, side1, side2, True, -1, constants, ntk, registers, totals)
            for lane in range(LANES):
                out_k[one, block * LANES + lane] = totals[lane]
                out_t[one, block * LANES + lane] = totals[LANES + lane]
    # Pairs within a block: the block against itself with its lanes turned by one, two, ...
    for block in range(blocks if paired or triangle else 0):
        side = Side(second.channels[block], second.scales[block])
        for turn in range(0 if paired else 1, 1 if paired else LANES // 2 + 1):
            _turned(side.channels, turn, turned.channels)
            _turned(side.scales, turn, turned.scales)
            _block_pair(program, side, turned, False, turn, constants, ntk, registers, totals)
            for lane in range(LANES):
                other = (lane + turn) % LANES
                low, high = block * LANES + min(lane, other), block * LANES + max(lane, other)
                if paired:
                    low = 0
                if low < out_k.shape[0]:
                    again = turn == 0 or turn == LANES // 2
                    out_k[low, high] = totals[lane] + (totals[other] if again else 0.0)
                    out_t[low, high] = totals[LANES + lane] + (totals[LANES + other] if again else 0.0)
