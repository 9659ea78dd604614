"""Kernels of infinite width by every implementation, against stored numbers of neural-tangents.

``infinite_width_kernels.npz`` (float64) was made by neural-tangents 0.6.5 on JAX 0.10.2 (CPU, float64) with networks
built directly with ``neural_tangents.stax`` in the NTK parametrization: ``vectors`` (6, 12) and ``images`` (4, 6, 5, 3)
are standard normal inputs, ``NAME_ntk`` and ``NAME_nngp`` the kernels of :data:`ARCHITECTURES`. It takes the angle of
an input with itself from a rounded cosine, so that the diagonal of a tangent kernel is right to the root of rounding.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lebench.agree.checks import Check, rounding
from lebench.architectures import (
    Activation,
    Architecture,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Identity,
    Relu,
    Residual,
    cnn,
    mlp,
    resnet_nf,
)
from lebench.arrays import FloatArray
from lebench.kernels import infinite_width_kernel
from lebench.kernels.methods import pair_variances
from lebench.kernels.recursion import Recursion, input_kernels, own_input_kernels
from lebench.kernels.width_limit import limit_of

REFERENCE = "stored numbers of neural-tangents"

_Erf, _Leaky = Activation("erf"), Activation("leaky_relu")
_V, _P = "vectors", "images"


def _biased(*layers: Any) -> Architecture:
    return Architecture(layers, weight_variance=1.7, bias_variance=0.3)


#: Which inputs are stored for an architecture, and the architecture.
ARCHITECTURES = {
    "mlp-1": (_V, mlp(depth=1)),
    "mlp-4": (_V, mlp(depth=4)),
    "mlp-biased": (_V, _biased(Dense(8), Relu, Dense(8), Relu, Dense())),
    "mlp-leaky": (_V, _biased(Dense(8), _Leaky, Dense(8), _Leaky, Dense())),
    "mlp-erf": (_V, _biased(Dense(8), _Erf, Dense(8), _Erf, Dense())),
    "mlp-linear": (_V, _biased(Dense(8), Identity, Dense(8), Identity, Dense())),
    "mlp-mixed-residual": (_V, _biased(Dense(8), Residual((Relu, Dense(8), _Erf, Dense(8))), _Leaky, Dense())),
    "cnn": (_P, cnn(2)),
    "cnn-flatten-biased": (_P, _biased(Conv(4), Relu, Conv(4, kernel=5), _Erf, Flatten(), Dense())),
    "cnn-flatten-mlp": (_P, _biased(Conv(4), _Leaky, Flatten(), Dense(8), Relu, Dense())),
    "cnn-gap": (_P, Architecture((Conv(4), Relu, Conv(4), Relu, Conv(4), Relu, GlobalAvgPool(), Dense()))),
    "cnn-gap-biased-mlp": (_P, _biased(Conv(4), Relu, Conv(4), _Erf, GlobalAvgPool(), Dense(8), Relu, Dense())),
    "cnn-valid-strided-gap": (
        _P,
        _biased(Conv(4, padding="valid"), Relu, Conv(4, stride=2), Relu, GlobalAvgPool(), Dense()),
    ),
    "cnn-strided-last": (_P, Architecture((Conv(4), Relu, Conv(4, kernel=3, stride=2), GlobalAvgPool(), Dense()))),
    "cnn-pooled-inside": (_P, _biased(Conv(4), Relu, AvgPool(2), Conv(4), Relu, Flatten(), Dense())),
    "cnn-pooled-last": (_P, _biased(Conv(4), Relu, Conv(4), Relu, AvgPool(2), Flatten(), Dense())),
    "resnet-nf": (_P, resnet_nf(2)),
    "resnet-nf-flatten": (
        _P,
        _biased(
            Conv(2),
            Residual((Relu, Conv(2, stride=2), _Leaky, Conv(2)), (Conv(2, 1, 2),)),
            _Erf,
            Flatten(),
            Dense(),
        ),
    ),
    "mlp-on-images": (_P, mlp(depth=2)),
}

#: Those that every implementation is compared on; JAX compiles each of them, which takes seconds.
NETWORKS = {
    "mlp-4": "four hidden layers, ReLU",
    "mlp-erf": "two hidden layers, erf, with biases",
    "cnn": "the convolutional baseline: seven convolutions, two strided, flattened",
    "cnn-gap": "three convolutions, global average pooling",
    "resnet-nf": "the residual baseline without normalization",
}


@cache
def stored() -> Mapping[str, FloatArray]:
    """Return the stored inputs and kernels."""
    with np.load(Path(__file__).with_name("infinite_width_kernels.npz")) as file:
        return dict(file)


def checks() -> list[Check]:
    """Return the checks of kernels of infinite width."""
    return [
        Check(quantity, network, implementation, dtype, REFERENCE, tolerance(dtype), needs, *values)
        for network in NETWORKS
        for quantity, (part, tolerance) in _QUANTITIES.items()
        for implementation, (needs, kernels) in IMPLEMENTATIONS.items()
        for dtype in ("float64", "float32")
        for values in [(partial(_found, kernels, network, dtype, part), partial(_expected, network, part))]
    ]


def _found(kernels: _Kernels, network: str, dtype: str, part: _Part) -> FloatArray:
    return part(*kernels(network, dtype))


def _expected(network: str, part: _Part) -> FloatArray:
    return part(stored()[f"{network}_nngp"], stored()[f"{network}_ntk"])


def _root(dtype: str) -> float:
    return math.sqrt(np.finfo(dtype).eps)


_Part = Callable[[FloatArray, FloatArray], FloatArray]
_Kernels = Callable[[str, str], tuple[FloatArray, FloatArray]]
_QUANTITIES: dict[str, tuple[_Part, Callable[[str], float]]] = {
    "nngp": (lambda nngp, ntk: nngp, rounding),
    "ntk": (lambda nngp, ntk: ntk[~np.eye(len(ntk), dtype=bool)], rounding),
    "ntk-diagonal": (lambda nngp, ntk: np.diag(ntk), _root),
}


def _inputs(network: str, dtype: str) -> tuple[Architecture, np.ndarray[Any, Any]]:
    inputs, architecture = ARCHITECTURES[network]
    return architecture, stored()[inputs].astype(dtype)


def _compiled(network: str, dtype: str) -> tuple[FloatArray, FloatArray]:
    architecture, x = _inputs(network, dtype)
    nngp, ntk = (infinite_width_kernel(architecture, x, kind=kind).astype(float) for kind in ("nngp", "ntk"))
    return nngp, ntk


def _recursion(xp: Any, architecture: Architecture, x: Any) -> tuple[Any, Any]:
    """Return NNGP and tangent kernel by the recursion in the array API, whatever faster method there is."""
    limit = limit_of(architecture, tuple(x.shape[1:]))
    x = xp.reshape(x, (x.shape[0], *limit.input_shape))
    own = Recursion(xp, limit)
    own.chain(limit.layers, own_input_kernels(xp, limit, x, ntk=True, full=limit.full))
    every = slice(None)
    variances = pair_variances(tuple(own.kept), tuple(own.kept), every, every)
    pairs = Recursion(xp, limit, variances).chain(limit.layers, input_kernels(xp, limit, x, x, ntk=True))
    return pairs.nngp, pairs.ntk


#: With as little optimization as there is: most of the time is that of the compiler.
_COMPILED_SOON = {"xla_backend_optimization_level": 0}


@cache
def _numpy(network: str, dtype: str) -> tuple[FloatArray, FloatArray]:
    nngp, ntk = _recursion(importlib.import_module("array_api_compat.numpy"), *_inputs(network, dtype))
    return nngp.astype(float), ntk.astype(float)


@cache
def _torch(network: str, dtype: str) -> tuple[FloatArray, FloatArray]:
    architecture, x = _inputs(network, dtype)
    torch = importlib.import_module("torch")
    xp = importlib.import_module("array_api_compat.torch")
    nngp, ntk = (kernel.double().numpy() for kernel in _recursion(xp, architecture, torch.from_numpy(x)))
    return nngp, ntk


@cache
def _jax(network: str, dtype: str) -> tuple[FloatArray, FloatArray]:
    architecture, x = _inputs(network, dtype)
    jax = importlib.import_module("jax")
    with jax.enable_x64(dtype == "float64"):
        function = jax.jit(partial(_recursion, jax.numpy, architecture), compiler_options=_COMPILED_SOON)
        nngp, ntk = (np.asarray(kernel, float) for kernel in function(jax.numpy.asarray(x)))
    return nngp, ntk


@cache
def _neural_tangents(network: str, dtype: str) -> tuple[FloatArray, FloatArray]:
    architecture, x = _inputs(network, dtype)
    jax = importlib.import_module("jax")
    kernel = importlib.import_module("lebench.backends.neural_tangents").stax_network(architecture).kernel
    with jax.enable_x64(dtype == "float64"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")
        both = jax.jit(lambda inputs: kernel(inputs, None, ("nngp", "ntk")), compiler_options=_COMPILED_SOON)(x)
        nngp, ntk = np.asarray(both.nngp, float), np.asarray(both.ntk, float)
    return nngp, ntk


#: What each implementation needs, and how it computes the NNGP and the tangent kernel of a stored architecture.
IMPLEMENTATIONS: dict[str, tuple[tuple[str, ...], _Kernels]] = {
    "NumPy compiled": (("numba",), _compiled),
    "NumPy": ((), _numpy),
    "torch": (("torch",), _torch),
    "JAX": (("jax",), _jax),
    "neural-tangents": (("jax", "neural_tangents", "frozendict"), _neural_tangents),
}
