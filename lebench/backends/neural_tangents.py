"""Closed-form, Monte Carlo and empirical kernels of an architecture by neural-tangents.

The reference implementation of infinite-width kernels (Novak et al. 2020), against which lebench's own are measured.
Inputs are (n, height, width, channels) or (n, d).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS
from lebench.arrays import FloatArray
from lebench.backends.neural_tangents_import import load
from lebench.errors import LebenchError

Kind = Literal["ntk", "nngp"]
Implementation = Literal["jacobian", "ntk_vp", "structured"]


class StaxNetwork(NamedTuple):
    """A network of ``neural_tangents.stax`` in the NTK parametrization.

    Attributes
    ----------
    init : callable
        ``(key, input_shape)`` to (output shape, parameters); the batch size in `input_shape` may be -1.
    apply : callable
        ``(parameters, x)`` to scores.
    kernel : callable
        ``(x1, x2, get)`` to closed-form kernels.
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]
    kernel: Callable[..., Any]


def stax_network(architecture: arch.Architecture, outputs: int = 1) -> StaxNetwork:
    """Build an architecture with ``neural_tangents.stax``, in the NTK parametrization.

    Weights are standard normal and multiplied by sqrt(weight_variance / fan_in), biases by sqrt(bias_variance); without
    bias variance there are no biases. The affine parameters of layer normalization are not trained.

    Raises
    ------
    LebenchError
        If a layer has no closed-form kernel; the message names it and what to use instead.
    """
    stax = load().stax
    return StaxNetwork(*_Builder(stax, architecture, outputs).chain(architecture.layers, _needs_image(architecture)))


def _needs_image(architecture: arch.Architecture) -> bool:
    first = next(architecture.walk(), None)
    return not isinstance(first, arch.Dense)


class _Builder:
    """Builds layers and follows whether they get an image or a vector."""

    def __init__(self, stax: Any, architecture: arch.Architecture, outputs: int) -> None:
        self.stax = stax
        self.outputs = outputs
        variance = architecture.bias_variance
        self.scales = {
            "W_std": math.sqrt(architecture.weight_variance),
            "b_std": math.sqrt(variance) if variance > 0 else None,
        }

    def chain(self, layers: tuple[arch.Layer, ...], image: bool) -> Any:
        parts = []
        for layer in layers:
            parts += self.layer(layer, image)
            image = image and not isinstance(layer, arch.Flatten | arch.GlobalAvgPool)
        return self.stax.serial(*parts) if parts else self.stax.Identity()

    def layer(self, layer: arch.Layer, image: bool) -> list[Any]:
        stax = self.stax
        match layer:
            case arch.Dense(units):
                return [stax.Dense(self.outputs if units is None else units, **self.scales)]
            case arch.Conv(channels, kernel, stride, padding):
                return self.convolution(channels, kernel, stride, padding)
            case arch.Activation("identity"):
                return []
            case arch.Activation(name) if make := ACTIVATIONS[name].stax:
                return [make(stax)]
            case arch.AvgPool(size):
                return [stax.AvgPool((size, size), strides=(size, size))]
            case arch.GlobalAvgPool():
                return [stax.GlobalAvgPool()]
            case arch.Flatten():
                return [stax.Flatten()]
            case arch.LayerNorm():
                return [stax.LayerNorm(axis=(1, 2, 3) if image else -1, eps=1e-5)]
            case arch.Residual(body, shortcut):
                if not any(isinstance(part, arch.Dense | arch.Conv) for part in (*body, *shortcut)):
                    raise LebenchError(
                        f"{arch.describe(layer)} has no closed-form kernel: its branches are not independent; put a "
                        "Dense or a Conv into the body"
                    )
                branches = stax.parallel(self.chain(body, image), self.chain(shortcut, image))
                return [stax.FanOut(2), branches, stax.FanInSum()]
        raise LebenchError(f"{arch.describe(layer)} has no closed-form kernel; {_cure(layer)}")

    def convolution(self, channels: int, kernel: int, stride: int, padding: str) -> list[Any]:
        stax = self.stax
        if stride == 1 or padding == "valid":
            return [stax.Conv(channels, (kernel, kernel), (stride, stride), padding.upper(), **self.scales)]
        # With a stride, 'SAME' of stax pads more at the end than at the beginning. Here both sides get as much, so the
        # windows are those of every stride-th position of a convolution without stride.
        conv = stax.Conv(channels, (kernel, kernel), padding="SAME", **self.scales)
        return [conv, stax.Index(stax.Slice[:, ::stride, ::stride, :])]


_CURES = {
    "BatchNorm": "use resnet-nf, or leave the normalization out",
    "MaxPool": "use AvgPool",
}


def _cure(layer: arch.Layer) -> str:
    return ACTIVATIONS[layer.name].instead if isinstance(layer, arch.Activation) else _CURES[type(layer).__name__]


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    import jax

    if dtype not in ("float32", "float64"):
        raise LebenchError(f"the dtype must be 'float32' or 'float64', got {dtype!r}")
    with jax.enable_x64(dtype == "float64"), warnings.catch_warnings():
        # Branches that no layer of weights makes independent are refused when the network is built.
        warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")
        yield


def compiled(function: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """Compile a function; in float64 on the CPU with fewer optimizations.

    The loop that XLA 0.10.2 makes of a convolution in float64 reads past the end of its arrays when LLVM vectorizes it,
    which ends the process with a segmentation fault if what follows in memory is not its own.
    """
    import jax

    careful = dtype == "float64" and jax.default_backend() == "cpu"
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 1} if careful else None)


def infinite_width_kernel(
    architecture: arch.Architecture,
    x1: FloatArray,
    x2: FloatArray | None = None,
    kind: Kind = "ntk",
    *,
    dtype: str = "float64",
    block: int | None = None,
) -> FloatArray:
    """Return the closed-form kernel of an architecture of infinite width.

    Parameters
    ----------
    architecture : Architecture
        Widths do not matter.
    x1, x2 : ndarray of shapes (n, *input_shape) and (m, *input_shape)
        Without `x2` the kernel of `x1` with itself.
    kind : {"ntk", "nngp"}
        Tangent kernel (all layers trained) or covariance of the scores.
    dtype : {"float64", "float32"}
        Of the computation.
    block : int, optional
        Pairs of so many points at once, which bounds the memory.

    Returns
    -------
    ndarray of shape (n, m), float64

    Raises
    ------
    LebenchError
        If a layer has no closed-form kernel, or neural-tangents is missing.

    References
    ----------
    Novak et al. (2020), Neural Tangents; Jacot et al. (2018); Arora et al. (2019).
    """
    network = stax_network(architecture)
    with _precision(dtype):
        function = compiled(lambda a, b: network.kernel(a, b, kind), dtype)
        second = x1 if x2 is None else x2
        size = block or max(len(x1), len(second), 1)
        result = np.empty((len(x1), len(second)))
        for rows in range(0, len(x1), size):
            for columns in range(0, len(second), size):
                if x2 is None and columns < rows:
                    result[rows : rows + size, columns : columns + size] = result[
                        columns : columns + size, rows : rows + size
                    ].T
                    continue
                part1, part2 = x1[rows : rows + size], second[columns : columns + size]
                # A block on the diagonal is told apart, so that equal points get exactly equal rows.
                same = x2 is None and rows == columns
                values = function(np.asarray(part1, dtype), None if same else np.asarray(part2, dtype))
                result[rows : rows + size, columns : columns + size] = np.asarray(values)
    return result


def empirical_kernel(
    apply: Callable[..., Any],
    parameters: Any,
    x1: FloatArray,
    x2: FloatArray | None = None,
    *,
    implementation: Implementation = "structured",
    trace: bool = True,
    dtype: str = "float64",
) -> FloatArray:
    """Return the empirical NTK of a JAX function at some parameters.

    Parameters
    ----------
    apply : callable
        ``(parameters, x)`` to scores (n, C).
    parameters : pytree of arrays
        Where to linearize.
    x1, x2 : ndarray
        Inputs; without `x2` the kernel of `x1` with itself.
    implementation : {"structured", "jacobian", "ntk_vp"}
        Structured derivatives, Jacobian contraction or NTK-vector products (Novak, Sohl-Dickstein & Schoenholz 2022).
    trace : bool
        Average over scores, (n, m); otherwise all pairs of scores, (n, m, C, C).
    dtype : {"float64", "float32"}
        Of the computation.

    Returns
    -------
    ndarray of shape (n, m) or (n, m, C, C), float64
    """
    nt = load()
    names = {
        "structured": "STRUCTURED_DERIVATIVES",
        "jacobian": "JACOBIAN_CONTRACTION",
        "ntk_vp": "NTK_VECTOR_PRODUCTS",
    }
    with _precision(dtype):
        import jax

        function = nt.empirical_ntk_fn(
            apply,
            trace_axes=(-1,) if trace else (),
            vmap_axes=0,
            implementation=getattr(nt.NtkImplementation, names[implementation]),
        )
        cast = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), parameters)
        second = None if x2 is None else np.asarray(x2, dtype)
        values: FloatArray = np.asarray(compiled(function, dtype)(np.asarray(x1, dtype), second, cast), np.float64)
        return values


def random_parameters(network: StaxNetwork, input_shape: tuple[int, ...], seed: int, dtype: str = "float64") -> Any:
    """Draw the parameters of a network for inputs of a shape, without the batch."""
    with _precision(dtype):
        import jax

        return jax.tree.map(np.asarray, network.init(jax.random.key(seed), (-1, *input_shape))[1])
