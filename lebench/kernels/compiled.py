"""Compiled inner loops of the recursion. Only this file imports numba; :mod:`lebench.kernels.methods` says when.

Two programs run here. :func:`dense_block` maps a block of inner products through dense layers, row by row in pieces
that stay in the first-level cache. :func:`planes` maps images through convolutional layers, plane by plane; see
:mod:`lebench.kernels.fast` for what a plane is. The loops are over contiguous memory, so that the compiler uses vector
instructions; sixteen inputs lie next to each other (:data:`LANES`), so that borders of images cost nothing.

An angle th with cosine c >= 0 and u = 1 - c is computed as ``th = sqrt(u) P(u)``, and ``sin th - th cos th`` as
``u sqrt(u) Q(u)``: P and Q are smooth, so polynomials give them to rounding (Chebyshev interpolation on [0, 1],
relative errors 2e-8 in float32 and 3e-16 in float64), without a branch or an inverse function.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

#: Inputs that are computed side by side.
LANES = 16
#: Entries of a row that :func:`dense_block` takes through all layers before the next ones.
PIECE = 1024

# Codes of the steps of a program.
INPUT, CONV, ACTIVATION, ADD = range(4)
# Codes of an activation.
NONE, PIECEWISE, ERF = range(3)

# Sums may be reordered, but infinities and NaN keep their meaning.
_FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
_jit = numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
# Without reference counts, which would cost more than the loops over the short rows of a small image: nothing here
# outlives its caller's arrays.
_WITHOUT_COUNTS: Any = {"_nrt": False}
_inner = numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy", forceinline=True, **_WITHOUT_COUNTS)

# fmt: off
_P32 = tuple(np.float32(c) for c in (
    1.4142135464083157, 0.11785316670023775, 0.026474482500567433, 0.0082167309626384398, 0.0014788598231931452,
    0.0033384170110533712, -0.0019906429602384128, 0.0012117377698107651,
))
_Q32 = tuple(np.float32(c) for c in (
    0.94280904023770293, 0.047140623617051613, 0.0075725993661502927, 0.0017812223774117153, 0.00038571817423865844,
    0.00035327549550480983, -0.00015466628611202097, 0.00011218475237378187,
))
_P64 = (
    1.4142135623730951, 0.11785113019774604, 0.026516504295916167, 0.0078918166870961977, 0.0026854115429505864,
    0.00098869370645919837, 0.00038370003612568147, 0.00015250797182385684, 7.2870682571377915e-5,
    -7.185800992367848e-6, 0.00010871230018361807, -0.00020499919349473681, 0.00034809874714982453,
    -0.00043000945159494794, 0.00040068828185893021, -0.00026884644677358589, 0.00012425167869548127,
    -3.5378354952821868e-5, 4.7975410330206166e-6,
)
_Q64 = (
    0.94280904158206337, 0.047140452079102733, 0.0075761440841936867, 0.0017537370540482907, 0.00048825640107279733,
    0.00015210969703098849, 5.1135421071154954e-5, 1.8086353983842058e-5, 7.0505487588387444e-6,
    1.310287769264386e-6, 4.5888036859205794e-6, -7.3522459230145454e-6, 1.2958972892402854e-5,
    -1.5908860865324383e-5, 1.4905104193931773e-5, -1.0021487775572117e-5, 4.656037266834114e-6,
    -1.3327442528758013e-6, 1.8291168233383995e-7,
)
# fmt: on


def _polynomials(u: Any) -> Any:
    """Return P(u) and Q(u); compiled for float32 or float64."""
    raise NotImplementedError


@overload(_polynomials)
def _compiled_polynomials(u: Any) -> Any:
    p, q = (_P32[::-1], _Q32[::-1]) if u == types.float32 else (_P64[::-1], _Q64[::-1])
    # Loops of at most eight turns are unrolled, without which the loop over entries is not vectorized.
    p1, p2, p3 = p[:8], p[8:16], p[16:]
    q1, q2, q3 = q[:8], q[8:16], q[16:]
    if u == types.float32:

        def low(u: Any) -> Any:
            p, q = p1[0], q1[0]
            for k in range(1, 8):
                p, q = p * u + p1[k], q * u + q1[k]
            return p, q

        return low

    def high(u: Any) -> Any:
        p, q = p1[0], q1[0]
        for k in range(1, 8):
            p, q = p * u + p1[k], q * u + q1[k]
        for k in range(8):
            p, q = p * u + p2[k], q * u + q2[k]
        for k in range(3):
            p, q = p * u + p3[k], q * u + q3[k]
        return p, q

    return high


def constants(dtype: Any, weight_variance: float, bias_variance: float) -> Any:
    """Return the numbers that the loops need, in the dtype of the kernels."""
    snap = 4 * np.finfo(dtype).eps
    return np.array([0.0, 1.0, np.pi, snap, weight_variance, bias_variance, 2.0, 2 / np.pi, 4 / np.pi], dtype=dtype)


@_inner
def _piecewise(k, t, r, i, slope, weight, numbers):
    """Return kernels after a piecewise linear activation; `r` is the root of both variances, `i` its inverse."""
    zero, one, pi, snap = numbers[0], numbers[1], numbers[2], numbers[3]
    cosine = k * i
    u = one - abs(cosine)
    u = u if u >= snap else zero
    p, q = _polynomials(u)
    root = np.sqrt(u)
    acute = root * p
    obtuse = cosine < zero
    value = u * root * q + (zero if obtuse else pi * cosine)
    return slope * k + weight * r * value, t * (slope + weight * (acute if obtuse else pi - acute))


@_inner
def _erf(k, t, i, numbers):
    """Return kernels after erf; `i` is the inverse root of both 1 + 2 variance."""
    zero, one, pi = numbers[0], numbers[1], numbers[2]
    two, scale, scale_derivative = numbers[6], numbers[7], numbers[8]
    sine = two * k * i
    size = abs(sine)
    u = one - size
    p, _ = _polynomials(u)
    arcsine = pi / two - np.sqrt(u) * p
    return scale * (-arcsine if sine < zero else arcsine), t * scale_derivative * i / np.sqrt(u * (one + size))


@_inner
def _activate(k, t, kind, shape, r1, i1, r2, i2, numbers, ntk):
    """Replace covariances and tangent kernels by those after an activation.

    ``shape`` is the slope for negative inputs and (1 - slope)^2 / (2 pi); ``r`` are roots of variances, ``i`` their
    inverses (for erf of 1 + 2 variance).
    """
    slope, weight = shape[0], shape[1]
    if kind == PIECEWISE and ntk:
        for x in range(k.shape[0]):
            k[x], t[x] = _piecewise(k[x], t[x], r1[x] * r2[x], i1[x] * i2[x], slope, weight, numbers)
    elif kind == PIECEWISE:
        for x in range(k.shape[0]):
            k[x], _ = _piecewise(k[x], k[x], r1[x] * r2[x], i1[x] * i2[x], slope, weight, numbers)
    else:
        for x in range(k.shape[0]):
            k[x], t[x] = _erf(k[x], t[x], i1[x] * i2[x], numbers)


@_jit
def dense_block(k, kinds, shapes, r1, i1, r2, i2, numbers, ntk):
    """Take a block of inner products (n, m) through dense layers, in place.

    Parameters
    ----------
    k : array (n, m)
        In: NNGP before the first layer. Out: the kernel that is wanted.
    kinds : int array (steps,)
        NONE for a dense layer, else the activation.
    shapes : array (steps, 2)
        See :func:`_activate`.
    r1, i1, r2, i2 : array (activations, n) and (activations, m)
        See :func:`_activate`.
    numbers : array
        From :func:`constants`.
    ntk : bool
        Whether the tangent kernel is wanted.
    """
    w, b = numbers[4], numbers[5]
    t = np.empty(PIECE, k.dtype)
    spread_r = np.empty((r1.shape[0], PIECE), k.dtype)
    spread_i = np.empty((r1.shape[0], PIECE), k.dtype)
    for row in range(k.shape[0]):
        for a in range(r1.shape[0]):
            spread_r[a, :] = r1[a, row]
            spread_i[a, :] = i1[a, row]
        for start in range(0, k.shape[1], PIECE):
            end = min(start + PIECE, k.shape[1])
            part = k[row, start:end]
            tangent = t[: end - start]
            tangent[:] = numbers[0]
            a = 0
            for step in range(kinds.shape[0]):
                if kinds[step] == NONE:
                    for x in range(part.shape[0]):
                        part[x] = w * part[x] + b
                        tangent[x] = part[x] + w * tangent[x]
                else:
                    _activate(
                        part, tangent, kinds[step], shapes[step], spread_r[a], spread_i[a], r2[a, start:end],
                        i2[a, start:end], numbers, ntk,
                    )  # fmt: skip
                    a += 1
            if ntk:
                part[:] = tangent


@_inner
def _sum_rows(plane, first, count, pitch, row):
    """Add `count` rows of a plane, the first at `first`."""
    one, two, three = plane[first:], plane[first + pitch :], plane[first + 2 * pitch :]
    if count == 3:
        for x in range(pitch):
            row[x] = one[x] + two[x] + three[x]
    elif count == 2:
        for x in range(pitch):
            row[x] = one[x] + two[x]
    elif count == 0:
        for x in range(pitch):
            row[x] = 0
    else:
        for x in range(pitch):
            row[x] = one[x]
        for r in range(1, count):
            other = plane[first + r * pitch :]
            for x in range(pitch):
                row[x] += other[x]


@_inner
def _convolve(rk, rt, kernel, stride, k, t, factor, bias, ntk):
    """Turn sums of rows into kernels after a convolution: add `kernel` neighbours, every `stride`."""
    width = k.shape[0]
    if kernel == 1 and stride == 1:
        for x in range(width):
            k[x] = factor * rk[x] + bias
            t[x] = factor * rt[x] + k[x]
    elif kernel == 3 and stride == 1:
        rk1, rk2, rt1, rt2 = rk[LANES:], rk[2 * LANES :], rt[LANES:], rt[2 * LANES :]
        if ntk:
            for x in range(width):
                k[x] = factor * (rk[x] + rk1[x] + rk2[x]) + bias
                t[x] = factor * (rt[x] + rt1[x] + rt2[x]) + k[x]
        else:
            for x in range(width):
                k[x] = factor * (rk[x] + rk1[x] + rk2[x]) + bias
    else:
        for x in range(width // LANES):
            for lane in range(LANES):
                start = stride * x * LANES + lane
                total_k, total_t = rk[start], rt[start]
                for c in range(1, kernel):
                    total_k += rk[start + c * LANES]
                    total_t += rt[start + c * LANES]
                k[x * LANES + lane] = factor * total_k + bias
                t[x * LANES + lane] = factor * (total_k + total_t) + bias


@_inner
def _convolve_and_activate(rk, rt, k, t, factor, bias, slope, weight, r1, i1, r2, i2, numbers, ntk):
    """Do for a 3x3 convolution with stride 1 and a piecewise linear activation at once what is most of the work."""
    rk1, rk2, rt1, rt2 = rk[LANES:], rk[2 * LANES :], rt[LANES:], rt[2 * LANES :]
    if ntk:
        for x in range(k.shape[0]):
            kx = factor * (rk[x] + rk1[x] + rk2[x]) + bias
            tx = factor * (rt[x] + rt1[x] + rt2[x]) + kx
            k[x], t[x] = _piecewise(kx, tx, r1[x] * r2[x], i1[x] * i2[x], slope, weight, numbers)
    else:
        for x in range(k.shape[0]):
            kx = factor * (rk[x] + rk1[x] + rk2[x]) + bias
            k[x], _ = _piecewise(kx, kx, r1[x] * r2[x], i1[x] * i2[x], slope, weight, numbers)


@_inner
def _rectangle(level, dy, dx):
    """Return the rows and columns of the positions p whose partner p + d lies in the image."""
    y, x = level[2] * dy, level[2] * dx
    return max(0, -y), level[0] - max(0, y), max(0, -x), level[1] - max(0, x), y, x


@_inner
def _plane(program, shapes, levels, border, dy, dx, x1, x2, r1, i1, r2, i2, numbers, ntk, planes, row):
    """Run a program on the plane of one displacement; the result is in the last step's register.

    A row of a plane is border, covariances, border, tangent kernels, border: the borders are zero, so that a sum over
    neighbours needs no cases.
    """
    bias = numbers[5]
    for s in range(program.shape[0]):
        step = program[s]
        code, source, target, kernel, stride, pad, activation, offset = (
            step[0], step[1], step[2], step[3], step[4], step[5], step[6], step[7],
        )  # fmt: skip
        before, level = levels[step[8]], levels[step[9]]
        slope, weight, factor = shapes[s, 0], shapes[s, 1], shapes[s, 2]
        y0, y1, x0, x1_, shift_y, shift_x = _rectangle(level, dy, dx)
        width = (x1_ - x0) * LANES
        pitch = 2 * width + 3 * border
        by0, by1, bx0, bx1, _, _ = _rectangle(before, dy, dx)
        before_width = (bx1 - bx0) * LANES
        before_pitch = 2 * before_width + 3 * border
        read, write = planes[source], planes[target]
        for y in range(y0, y1):
            out = (y - y0) * pitch
            whole = write[out : out + pitch]
            k = write[out + border : out + border + width]
            t = write[out + 2 * border + width : out + 2 * border + 2 * width]
            here = (y * level[1] + x0) * LANES
            there = ((y + shift_y) * level[1] + x0 + shift_x) * LANES
            at, other = here + offset * LANES, there + offset * LANES
            ra, ia, rb, ib = (
                r1[at : at + width],
                i1[at : at + width],
                r2[other : other + width],
                i2[other : other + width],
            )
            if code == ADD:
                addend = read[out : out + pitch]
                for x in range(pitch):
                    whole[x] += addend[x]
            else:
                for x in range(border):
                    whole[x] = 0
                    whole[border + width + x] = 0
                    whole[2 * border + 2 * width + x] = 0
            if code == CONV:
                low = max(by0, stride * y - pad)
                count = max(0, min(by1, stride * y - pad + kernel) - low)
                _sum_rows(read, (low - by0) * before_pitch, count, before_pitch, row)
                inset = border - pad * LANES
                rk, rt = row[inset:], row[inset + border + before_width :]
                if kernel == 3 and stride == 1 and activation == PIECEWISE:
                    _convolve_and_activate(
                        rk, rt, k, t, factor, bias, slope, weight, ra, ia, rb, ib, numbers, ntk
                    )  # fmt: skip
                    continue
                _convolve(rk, rt, kernel, stride, k, t, factor, bias, ntk)
            elif code == INPUT:
                size = level[0] * level[1] * LANES
                one, two = x1[here:], x2[there:]
                for x in range(width):
                    k[x] = factor * one[x] * two[x]
                    t[x] = 0
                for c in range(1, x1.shape[0] // size):
                    one, two = x1[c * size + here :], x2[c * size + there :]
                    for x in range(width):
                        k[x] += factor * one[x] * two[x]
            elif code == ACTIVATION:
                before_k = read[out + border : out + border + width]
                before_t = read[out + 2 * border + width : out + 2 * border + 2 * width]
                for x in range(width):
                    k[x] = before_k[x]
                    t[x] = before_t[x]
            if activation != NONE:
                _activate(k, t, activation, shapes[s], ra, ia, rb, ib, numbers, ntk)


@_inner
def _read_out(plane, level, border, dy, dx, window, total_k, total_t, sums):
    """Add the positions of a plane whose partner lies in the same window."""
    y0, y1, x0, x1, _, _ = _rectangle(level, dy, dx)
    width = (x1 - x0) * LANES
    for y in range(y0, y1):
        if y // window[0] != (y + dy) // window[0] or y // window[0] >= window[2]:
            continue
        row = plane[(y - y0) * (2 * width + 3 * border) :]
        k, t = row[border:], row[2 * border + width :]
        for lane in range(2 * LANES):
            sums[lane] = 0
        for x in range(x0, x1):
            if x // window[1] == (x + dx) // window[1] and x // window[1] < window[3]:
                start = (x - x0) * LANES
                for lane in range(LANES):
                    sums[lane] += k[start + lane]
                    sums[LANES + lane] += t[start + lane]
        for lane in range(LANES):
            total_k[lane] += sums[lane]
            total_t[lane] += sums[LANES + lane]


@_jit
def planes(
    program, shapes, levels, window, x1, x2, r1, i1, r2, i2, numbers, ntk, paired, triangle, registers, out_k, out_t
):
    """Compute the kernels after convolutional layers, for every input of one set and blocks of another.

    Parameters
    ----------
    program : int array (steps, 10)
        Code, source and target register, kernel, stride, padding, activation, offset of its variances, level before
        and after the step.
    shapes : array (steps, 3)
        Two numbers for :func:`_activate`, and the factor of a convolution or of the inputs.
    levels : int array (levels, 3)
        Height, width, and by how much a displacement of one at the last level moves at this one.
    window : int array (4,)
        Height and width of the windows that are averaged at the end, and how many there are of them.
    x1, x2 : array (n, channels * positions) and (blocks, channels * positions * LANES)
        Inputs; the second set in blocks of LANES inputs that lie next to each other.
    r1, i1, r2, i2 : array (n, offsets) and (blocks, offsets * LANES)
        Roots of the variances and their inverses, see :func:`_activate`.
    numbers : array
        From :func:`constants`.
    ntk : bool
        Whether the tangent kernel is wanted.
    paired : bool
        Pair each input of the second set with itself and leave out equal positions; the first set is not used.
    triangle : bool
        The sets are the same: leave out what is below the diagonal and, with it, the diagonal.
    registers : int
        Registers of the program.
    out_k, out_t : float64 array (n, blocks * LANES)
        Sums over pairs of positions; one row if paired.
    """
    border = program[:, 5].max() * LANES
    widest = levels[:, 1].max() * LANES
    buffers = np.empty((registers, levels[:, 0].max() * (2 * widest + 3 * border)), x2.dtype)
    row = np.empty(2 * widest + 3 * border, x2.dtype)
    sums = np.empty(2 * LANES, x2.dtype)
    x, r, i = np.empty(x2.shape[1], x2.dtype), np.empty(r2.shape[1], x2.dtype), np.empty(r2.shape[1], x2.dtype)
    total_k, total_t = np.empty(LANES), np.empty(LANES)
    scratch = buffers, row, sums, total_k, total_t
    x_other, r_other, i_other = np.empty_like(x), np.empty_like(r), np.empty_like(i)
    blocks = x2.shape[0]
    for first in range(0 if paired else x1.shape[0]):
        _spread(x1[first], x)
        _spread(r1[first], r)
        _spread(i1[first], i)
        for block in range(first // LANES + 1 if triangle else 0, blocks):
            _all_planes(
                program, shapes, levels, window, border, x, r, i, x2[block], r2[block], i2[block], numbers, ntk, False,
                scratch,
            )  # fmt: skip
            for lane in range(LANES):
                out_k[first, block * LANES + lane] = total_k[lane]
                out_t[first, block * LANES + lane] = total_t[lane]
    # Pairs within a block: the block against itself with its lanes turned by one, two, ...
    for block in range(blocks if paired or triangle else 0):
        start = block * LANES
        for turn in range(0 if paired else 1, 1 if paired else LANES // 2 + 1):
            _turn(x2[block], turn, x_other)
            _turn(r2[block], turn, r_other)
            _turn(i2[block], turn, i_other)
            _all_planes(
                program, shapes, levels, window, border, x2[block], r2[block], i2[block], x_other, r_other, i_other,
                numbers, ntk, paired, scratch,
            )  # fmt: skip
            for lane in range(LANES):
                other = (lane + turn) % LANES
                low, high = start + min(lane, other), start + max(lane, other)
                if paired:
                    low = 0
                if low < out_k.shape[0]:
                    out_k[low, high] = total_k[lane]
                    out_t[low, high] = total_t[lane]


@_inner
def _all_planes(program, shapes, levels, window, border, x1, r1, i1, x2, r2, i2, numbers, ntk, unequal, scratch):
    """Sum the kernels of LANES pairs over all pairs of positions that are wanted."""
    buffers, row, sums, total_k, total_t = scratch
    last, end = program[-1, 2], levels[program[-1, 9]]
    for lane in range(LANES):
        total_k[lane] = 0
        total_t[lane] = 0
    for dy in range(1 - window[0], window[0]):
        for dx in range(1 - window[1], window[1]):
            if unequal and dy == 0 and dx == 0:
                continue
            _plane(program, shapes, levels, border, dy, dx, x1, x2, r1, i1, r2, i2, numbers, ntk, buffers, row)
            _read_out(buffers[last], end, border, dy, dx, window, total_k, total_t, sums)


@_inner
def _turn(values, turn, out):
    """Move every input by some lanes."""
    for p in range(values.shape[0] // LANES):
        for lane in range(LANES):
            out[p * LANES + lane] = values[p * LANES + (lane + turn) % LANES]


@_inner
def _spread(values, out):
    """Repeat every value LANES times."""
    for p in range(values.shape[0]):
        for lane in range(LANES):
            out[p * LANES + lane] = values[p]
