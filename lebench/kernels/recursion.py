"""The recursion over layers that gives the NNGP and the tangent kernel, in the array API.

A kernel of images has its positions first and its pairs of inputs last: ``(h, w, ...)`` when only equal positions are
needed (an image that is flattened), ``(h, w, h', w', ...)`` when positions are averaged. The pairs ``...`` are either
``(n, m)``, all pairs of two sets, or ``(n,)``, each input with itself.

Conventions (neural tangent parametrization, as ``parameterization="ntk"`` of neural_tangents, Novak et al. 2020):
weights sqrt(weight_variance / fan_in) times standard normal parameters, biases sqrt(bias_variance) times standard
normal parameters, all of them trained. So a dense layer maps ``K -> w K + b`` and ``T -> w K + b + w T``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from array_api_compat import device, is_jax_array

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS
from lebench.architectures import Layer
from lebench.kernels.width_limit import Limit, dual_activations


@dataclass(frozen=True)
class Kernels:
    """The NNGP and the tangent kernel after some layer; no tangent kernel if it is not wanted."""

    nngp: Any
    ntk: Any | None
    shape: tuple[int, ...]  # (height, width) or ()
    full: bool  # all pairs of positions, not only equal ones


class Recursion:
    """Maps kernels through layers, given the variances of every activation's inputs.

    Parameters
    ----------
    xp : namespace
        Array API namespace.
    limit : Limit
        The architecture.
    variances : iterator of (array, array), optional
        Per activation in the order of :meth:`Architecture.walk`, the variances of the first and of the second input,
        positions first. Without it, each input is paired with itself and the variances are read off and kept.
    """

    def __init__(self, xp: Any, limit: Limit, variances: Iterator[tuple[Any, Any]] | None = None) -> None:
        self._xp = xp
        self._limit = limit
        self._given = variances
        self.kept: list[Any] = []

    def chain(self, layers: tuple[Layer, ...], kernels: Kernels) -> Kernels:
        """Map kernels through layers, one after the other."""
        for layer in layers:
            kernels = self._layer(layer, kernels)
        return kernels

    def _layer(self, layer: Layer, k: Kernels) -> Kernels:
        match layer:
            case arch.Dense():
                return self._affine(k)
            case arch.Conv(_, kernel, stride, padding):
                return self._affine(self._patch_means(k, kernel, stride, kernel // 2 if padding == "same" else 0))
            case arch.Activation():
                return k if layer == arch.Identity else self._activate(layer, k)
            case arch.AvgPool(size):
                return k if size == 1 else self._patch_means(k, size, size, 0, pooled=True)
            case arch.GlobalAvgPool():
                return self._each(k, self._mean_over_pairs_of_positions, ())
            case arch.Flatten():
                return self._each(k, lambda a: self._mean_over_equal_positions(a, k), ()) if k.shape else k
            case arch.Residual(body, shortcut):
                left, right = self.chain(body, k), self.chain(shortcut, k)
                ntk = None if left.ntk is None else left.ntk + right.ntk
                return Kernels(left.nngp + right.nngp, ntk, left.shape, left.full)
        raise AssertionError(f"{layer} passed the check of its limit")

    def _each(self, k: Kernels, function: Any, shape: tuple[int, ...]) -> Kernels:
        return Kernels(function(k.nngp), None if k.ntk is None else function(k.ntk), shape, k.full and bool(shape))

    def _affine(self, k: Kernels) -> Kernels:
        w, b = self._limit.weight_variance, self._limit.bias_variance
        nngp = w * k.nngp + b
        return Kernels(nngp, None if k.ntk is None else nngp + w * k.ntk, k.shape, k.full)

    def _activate(self, layer: arch.Activation, k: Kernels) -> Kernels:
        slope = ACTIVATIONS[layer.name].slope
        if self._given is None and not k.full and slope is not None:
            # Of an input with itself, where there is no angle to be computed.
            half = (1.0 + slope * slope) / 2.0
            self.kept.append(k.nngp)
            return Kernels(half * k.nngp, None if k.ntk is None else half * k.ntk, k.shape, k.full)
        v1, v2 = next(self._given) if self._given is not None else self._own_variances(k)
        if k.full:
            v1, v2 = v1[:, :, None, None], v2[None, None]
        nngp, derivative = dual_activations(layer)(self._xp, k.nngp, v1, v2)
        return Kernels(nngp, None if k.ntk is None else k.ntk * derivative, k.shape, k.full)

    def _own_variances(self, k: Kernels) -> tuple[Any, Any]:
        # A product: a view would keep all pairs of positions alive.
        own = 1.0 * self._equal_positions(k.nngp, k) if k.full else k.nngp
        self.kept.append(own)
        return self.kept[-1], self.kept[-1]

    def _equal_positions(self, array: Any, k: Kernels) -> Any:
        positions = math.prod(k.shape)
        pairs = array.shape[4:]
        flat = self._xp.reshape(array, (positions * positions, *pairs))
        return self._xp.reshape(flat[:: positions + 1], (*k.shape, *pairs))

    def _mean_over_equal_positions(self, array: Any, k: Kernels) -> Any:
        equal = self._equal_positions(array, k) if k.full else array
        return self._xp.mean(self._xp.mean(equal, axis=0), axis=0)

    def _mean_over_pairs_of_positions(self, array: Any) -> Any:
        # Axis by axis: one running sum over all of them would lose digits in float32.
        for _ in range(4):
            array = self._xp.mean(array, axis=0)
        return array

    def _patch_means(self, k: Kernels, size: int, stride: int, pad: int, *, pooled: bool = False) -> Kernels:
        """Average over patches: both positions move together for a convolution, independently for a pooling."""
        if not k.full:
            moving: tuple[tuple[int, ...], ...] = ((0,), (1,))
        else:
            moving = ((0,), (1,), (2,), (3,)) if pooled else ((0, 2), (1, 3))

        def means(array: Any) -> Any:
            for axes in moving:
                array = self._sums(array, axes, size, stride, pad) / size
            return array

        shape = tuple((s + 2 * pad - size) // stride + 1 for s in k.shape)
        return self._each(k, means, shape)

    def _sums(self, array: Any, axes: tuple[int, ...], size: int, stride: int, pad: int) -> Any:
        xp = self._xp
        for axis in axes if pad else ():
            shape = tuple(pad if a == axis else s for a, s in enumerate(array.shape))
            border = xp.zeros(shape, dtype=array.dtype, device=device(array))
            array = xp.concat([border, array, border], axis=axis)
        count = (array.shape[axes[0]] - size) // stride + 1
        total = None
        for offset in range(size):
            window = slice(offset, offset + stride * (count - 1) + 1, stride)
            part = array[tuple(window if a in axes else slice(None) for a in range(array.ndim))]
            total = part if total is None else total + part
        return total


def _product(a: Any, b: Any) -> Any:
    """Return the matrix product of arrays with the same leading axes."""
    if not is_jax_array(a):
        return a @ b
    # The derivative of jax.numpy.matmul asks for float64 after it has been switched off again.
    batch = tuple(range(a.ndim - 2))
    return importlib.import_module("jax").lax.dot_general(a, b, (((a.ndim - 1,), (b.ndim - 2,)), (batch, batch)))


def input_kernels(xp: Any, limit: Limit, x1: Any, x2: Any, *, ntk: bool) -> Kernels:
    """Return the kernels of all pairs before the first layer: inner products over channels, divided by their number."""
    n, m, channels = x1.shape[0], x2.shape[0], limit.input_shape[-1]
    if len(limit.input_shape) == 1:
        nngp = _product(x1, x2.T) / channels
        return Kernels(nngp, xp.zeros_like(nngp) if ntk else None, (), False)
    h, w, _ = limit.input_shape
    if limit.full:
        rows, columns = (xp.reshape(xp.permute_dims(x, (1, 2, 0, 3)), (-1, channels)) for x in (x1, x2))
        product = xp.reshape(_product(rows, columns.T) / channels, (h, w, n, h, w, m))
        nngp = xp.permute_dims(product, (0, 1, 3, 4, 2, 5))
    else:
        nngp = _product(xp.permute_dims(x1, (1, 2, 0, 3)), xp.permute_dims(x2, (1, 2, 3, 0))) / channels
    return Kernels(nngp, xp.zeros_like(nngp) if ntk else None, (h, w), limit.full)


def own_input_kernels(xp: Any, limit: Limit, x: Any, *, ntk: bool, full: bool) -> Kernels:
    """Return the kernels of each input with itself before the first layer; see :func:`input_kernels`."""
    if len(limit.input_shape) == 1:
        nngp = xp.mean(x * x, axis=1)
        return Kernels(nngp, xp.zeros_like(nngp) if ntk else None, (), False)
    h, w, channels = limit.input_shape
    if full:
        rows = xp.reshape(x, (-1, h * w, channels))
        product = _product(rows, xp.permute_dims(rows, (0, 2, 1))) / channels
        nngp = xp.reshape(xp.permute_dims(product, (1, 2, 0)), (h, w, h, w, -1))
    else:
        nngp = xp.permute_dims(xp.mean(x * x, axis=3), (1, 2, 0))
    return Kernels(nngp, xp.zeros_like(nngp) if ntk else None, (h, w), full)
