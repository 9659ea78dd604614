"""Compiled activations, and the loop over dense layers; :mod:`lebench.kernels.methods` says when they are used.

:func:`dense_block` maps a block of inner products through dense layers, row by row in pieces that stay in the
first-level cache. The activations take numbers or vectors (:mod:`lebench.kernels.simd`), so that images use them too.

An angle th with cosine c >= 0 and u = 1 - c is computed as ``th = sqrt(u) P(u)``, and ``sin th - th cos th`` as
``u sqrt(u) Q(u)``: P and Q are smooth, so polynomials give them to rounding (Chebyshev interpolation on [0, 1],
relative errors 2e-8 in float32 and 3e-16 in float64), without a branch or an inverse function.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from lebench.kernels.simd import absolute, polynomial, root, where_less

#: Entries of a row that :func:`dense_block` takes through all layers before the next ones.
PIECE = 1024

# Codes of an activation.
NONE, PIECEWISE, ERF = range(3)

# Sums may be reordered, but infinities and NaN keep their meaning.
_FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
compiled = numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
# Without reference counts, which would cost more than the loops over the short rows of a small image: nothing here
# outlives its caller's arrays.
_WITHOUT_COUNTS: Any = {"_nrt": False}
inlined = numba.njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy", forceinline=True, **_WITHOUT_COUNTS)

# fmt: off
_P32 = (
    1.4142135464083157, 0.11785316670023775, 0.026474482500567433, 0.0082167309626384398, 0.0014788598231931452,
    0.0033384170110533712, -0.0019906429602384128, 0.0012117377698107651,
)
_Q32 = (
    0.94280904023770293, 0.047140623617051613, 0.0075725993661502927, 0.0017812223774117153, 0.00038571817423865844,
    0.00035327549550480983, -0.00015466628611202097, 0.00011218475237378187,
)
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


class Constants(NamedTuple):
    """The numbers that the loops need, in the dtype of the kernels, as they are or as vectors."""

    zero: Any
    one: Any
    two: Any
    pi: Any
    snap: Any  # a smaller u is zero
    weight: Any  # variance of weights
    bias: Any  # variance of biases
    p: Any  # coefficients
    q: Any


def constants(dtype: Any, weight_variance: float, bias_variance: float) -> Any:
    """Return the numbers that the loops need, in the dtype of the kernels."""
    single = dtype == np.float32
    numbers = (0, 1, 2, np.pi, 4 * np.finfo(dtype).eps, weight_variance, bias_variance)
    polynomials = (_P32, _Q32) if single else (_P64, _Q64)
    return Constants(*(dtype(n) for n in numbers), *(tuple(dtype(c) for c in p) for p in polynomials))


@inlined
def piecewise(k, t, r, cosine, slope, weight, c):
    """Return kernels after a piecewise linear activation; `r` is the root of both variances."""
    u = c.one - absolute(cosine)
    u = where_less(u, c.snap, c.zero, u)
    s = root(u)
    acute = s * polynomial(c.p, u)
    value = u * s * polynomial(c.q, u) + where_less(cosine, c.zero, c.zero, c.pi * cosine)
    return slope * k + weight * (r * value), t * (slope + weight * where_less(cosine, c.zero, acute, c.pi - acute))


@inlined
def erf(k, t, r, i1, i2, c):
    """Return kernels after erf; `r` is the root of both variances, `i1` and `i2` those of 1 / (1 + 2 variance)."""
    i = i1 * i2
    sine = c.two * k * i
    size = absolute(sine)
    # 1 - sine^2, without the cancellation where variances are large.
    gap = r - absolute(k)
    gap = where_less(gap, c.snap * r, c.zero, gap)
    both = (c.two * i) * (r + absolute(k))
    square = i1 * i1 + i2 * i2 - i * i + (c.two * i) * gap * both
    u = square / (c.one + size)
    arcsine = c.pi / c.two - root(u) * polynomial(c.p, u)
    scale = c.two / c.pi
    return scale * where_less(sine, c.zero, c.zero - arcsine, arcsine), t * c.two * scale * i / root(square)


@inlined
def _activate(k, t, kind, shape, r1, i1, r2, i2, c, ntk):
    """Replace covariances and tangent kernels by those after an activation.

    ``shape`` is the slope for negative inputs and (1 - slope)^2 / (2 pi); ``r`` are roots of variances, ``i`` their
    inverses (for erf those of 1 + 2 variance).
    """
    slope, weight = shape[0], shape[1]
    if kind == PIECEWISE and ntk:
        for x in range(k.shape[0]):
            k[x], t[x] = piecewise(k[x], t[x], r1[x] * r2[x], k[x] * (i1[x] * i2[x]), slope, weight, c)
    elif kind == PIECEWISE:
        for x in range(k.shape[0]):
            k[x], _ = piecewise(k[x], k[x], r1[x] * r2[x], k[x] * (i1[x] * i2[x]), slope, weight, c)
    else:
        for x in range(k.shape[0]):
            k[x], t[x] = erf(k[x], t[x], r1[x] * r2[x], i1[x], i2[x], c)


@compiled
def dense_block(k, kinds, shapes, r1, i1, r2, i2, c, ntk):
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
    c : Constants
        From :func:`constants`.
    ntk : bool
        Whether the tangent kernel is wanted.
    """
    w, b = c.weight, c.bias
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
            tangent[:] = c.zero
            a = 0
            for step in range(kinds.shape[0]):
                if kinds[step] == NONE:
                    for x in range(part.shape[0]):
                        part[x] = w * part[x] + b
                        tangent[x] = part[x] + w * tangent[x]
                else:
                    _activate(
                        part, tangent, kinds[step], shapes[step], spread_r[a], spread_i[a], r2[a, start:end],
                        i2[a, start:end], c, ntk,
                    )  # fmt: skip
                    a += 1
            if ntk:
                part[:] = tangent


@compiled
def squared_norms(x):
    """Return the squared norms (n,) of rows (n, d), float64 whatever the rows are."""
    norms = np.empty(x.shape[0])
    for row in range(x.shape[0]):
        total = 0.0
        for column in range(x.shape[1]):
            value = np.float64(x[row, column])
            total += value * value
        norms[row] = total
    return norms


@compiled
def to_gaps(g, i1, i2, near):
    """Turn inner products (n, m) into signed gaps of their cosines, in place, and return how many are below `near`.

    The gap of a cosine c is 1 - |c|, with the sign of c. It keeps the digits of angles near 0 and pi, which a cosine
    loses: of an angle th it is about th^2 / 2.

    Parameters
    ----------
    g : float32 array (n, m)
        In: inner products. Out: signed gaps.
    i1, i2 : float32 array (n,) and (m,)
        Inverse norms; 0 for an input of zeros.
    near : float32
        Gaps below it have too few digits left.
    """
    one = g.dtype.type(1)
    zero = g.dtype.type(0)
    tiny = g.dtype.type(1e-30)
    count = 0
    for row in range(g.shape[0]):
        part, i = g[row], i1[row]
        found = zero
        for x in range(part.shape[0]):
            cosine = part[x] * (i * i2[x])
            # An angle of exactly 0 or pi keeps its sign, whatever the rounding.
            size = max(one - abs(cosine), tiny)
            part[x] = size if cosine >= zero else zero - size
            found += one if size < near else zero
        count += int(found)
    return count


@compiled
def correct_gaps(g, x1, x2, i1, i2, near):
    """Take the gaps below `near` from differences of directions in float64, in place.

    Parameters
    ----------
    g : float32 array (n, m)
        Signed gaps from :func:`to_gaps`, of the right sign.
    x1, x2 : float32 array (n, d) and (m, d)
        Inputs.
    i1, i2 : float64 array (n,) and (m,)
        Inverse norms.
    near : float32
        As for :func:`to_gaps`.
    """
    for row in range(g.shape[0]):
        for column in range(g.shape[1]):
            gap = g[row, column]
            if abs(gap) < near:
                a, b = i1[row], i2[column]
                if gap < 0:
                    b = -b
                total = 0.0
                for d in range(x1.shape[1]):
                    difference = a * np.float64(x1[row, d]) - b * np.float64(x2[column, d])
                    total += difference * difference
                exact = max(total / 2, 1e-30)
                g[row, column] = exact if gap >= 0 else -exact


@inlined
def _affine_gap(g, r1, r2, q, w, b, one):
    """Return the signed gap after a dense layer with biases; no difference of nearly equal numbers loses digits.

    `r1` and `r2` are the roots of both variances before it, `q` their product after it.
    """
    p, difference = r1 * r2, r1 - r2
    size = w * p * abs(g)
    zero = one - one
    acute = (size + w * b * (difference * difference) / (q + w * p + b)) / q
    # Of a negative covariance: 1 + cosine, or 1 - cosine where the biases have made it positive.
    rest = w * b * (r1 * r1 + r2 * r2)
    below = (size + b + (rest + b * b) / (q + w * p)) / q
    above = ((w * p * (w * p) + rest) / (q + b) + w * p - size) / q
    return acute if g >= zero else (zero - below if below < one else above)


@compiled
def dense_gaps(g, kinds, shapes, r1, r2, c, ntk):
    """Take a block of signed gaps (n, m) through dense layers and piecewise linear activations, in place.

    Parameters
    ----------
    g : array (n, m)
        In: signed gaps, see :func:`to_gaps`. Out: the kernel that is wanted.
    kinds : int array (steps,)
        NONE for a dense layer, else the activation.
    shapes : array (steps, 2)
        See :func:`_activate`.
    r1, r2 : array (steps + 1, n) and (steps + 1, m)
        Roots of variances before each step, and at the end.
    c : Constants
        From :func:`constants`.
    ntk : bool
        Whether the tangent kernel is wanted.
    """
    w, b, one, zero = c.weight, c.bias, c.one, c.zero
    t = np.empty(PIECE, g.dtype)
    steps = kinds.shape[0]
    for row in range(g.shape[0]):
        for start in range(0, g.shape[1], PIECE):
            end = min(start + PIECE, g.shape[1])
            part = g[row, start:end]
            tangent = t[: end - start]
            tangent[:] = zero
            for step in range(steps):
                first, second = r1[step, row], r2[step, start:end]
                first_after, second_after = r1[step + 1, row], r2[step + 1, start:end]
                if kinds[step] != NONE:
                    slope, weight = shapes[step, 0], shapes[step, 1]
                    # E[s(u)^2] of a variance of one.
                    half = (one + slope * slope) / c.two
                    scale = weight / half
                    for x in range(part.shape[0]):
                        u = abs(part[x])
                        s = root(u)
                        acute = s * polynomial(c.p, u)
                        bend = u * s * polynomial(c.q, u)
                        cosine = scale * bend - slope / half * (one - u)
                        opposite = one - cosine if cosine >= zero else zero - (one + cosine)
                        obtuse = part[x] < zero
                        part[x] = opposite if obtuse else u - scale * bend
                        tangent[x] *= slope + weight * (acute if obtuse else c.pi - acute)
                elif b > zero:
                    for x in range(part.shape[0]):
                        q = first_after * second_after[x]
                        after = _affine_gap(part[x], first, second[x], q, w, b, one)
                        part[x] = after
                        tangent[x] = w * tangent[x] + q * (one - after if after >= zero else zero - (one + after))
                else:
                    for x in range(part.shape[0]):
                        gap = part[x]
                        cosine = one - gap if gap >= zero else zero - (one + gap)
                        tangent[x] = w * tangent[x] + first_after * second_after[x] * cosine
            if ntk:
                part[:] = tangent
            else:
                last = r2[steps, start:end]
                for x in range(part.shape[0]):
                    gap = part[x]
                    part[x] = r1[steps, row] * last[x] * (one - gap if gap >= zero else zero - (one + gap))
