"""Kernels of inputs on which digits are lost if angles are read off rounded cosines, against stored numbers of mpmath.

On random inputs implementations that share such an error agree with each other. ``ill_conditioned_kernels.npz`` has the
tangent kernels of :data:`NETWORK` by the recursion over layers with 60 digits (mpmath 1.3), of :data:`INPUTS` of three
features, rounded to float32.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from lebench.agree.checks import Check
from lebench.architectures import Architecture, Dense, Relu
from lebench.arrays import FloatArray
from lebench.kernels import infinite_width_kernel
from lebench.kernels.methods import ArrayMethod
from lebench.kernels.width_limit import limit_of

REFERENCE = "stored numbers of mpmath"
NETWORK = Architecture((Dense(8), Relu, Dense(8), Relu, Dense()), weight_variance=2.25, bias_variance=0.0025)
FEATURES = 3

#: What float32 promises on any finite input, and what is left of float64 at an angle of the root of its rounding.
_TOLERANCES = {"float32": 1e-6, "float64": 1e-7}

_COUNT = 12


def _base(size: int) -> tuple[FloatArray, np.random.Generator]:
    rng = np.random.default_rng(17)
    return rng.standard_normal(size), rng


def _collinear(size: int) -> FloatArray:
    return np.outer(np.linspace(1, 40, _COUNT), _base(size)[0])


def _opposite(size: int) -> FloatArray:
    return np.outer(np.linspace(-10, 10, _COUNT), _base(size)[0])


def _nearly_equal(size: int) -> FloatArray:
    base, rng = _base(size)
    return np.asarray(base + np.geomspace(1e-6, 1, _COUNT)[:, None] * rng.standard_normal((_COUNT, size)))


def _nearly_opposite(size: int) -> FloatArray:
    opposite: FloatArray = _nearly_equal(size) * np.resize([1.0, -1.0], _COUNT)[:, None]
    return opposite


def _far_from_zero(size: int) -> FloatArray:
    return 1e3 + _base(size)[1].standard_normal((_COUNT, size))


def _scaled(size: int, scale: float) -> FloatArray:
    return scale * _base(size)[1].standard_normal((_COUNT, size))


def _of_all_scales(size: int) -> FloatArray:
    return np.geomspace(1e-20, 1e5, _COUNT)[:, None] * _scaled(size, 1.0)


def _some_zero(size: int) -> FloatArray:
    x = _scaled(size, 1.0)
    x[:2] = 0
    return x


#: What they are called, and a function from the number of features to inputs (12, features).
INPUTS: dict[str, Callable[[int], FloatArray]] = {
    "collinear": _collinear,
    "opposite": _opposite,
    "nearly equal": _nearly_equal,
    "nearly opposite": _nearly_opposite,
    "far from zero": _far_from_zero,
    "huge": lambda size: _scaled(size, 1e20),
    "tiny": lambda size: _scaled(size, 1e-20),
    "of all scales": _of_all_scales,
    "some zero": _some_zero,
}


def name_of(inputs: str) -> str:
    """Return what the network is called on some inputs."""
    return f"mlp on {inputs} inputs"


def descriptions() -> dict[str, str]:
    """Return what each network is, in words."""
    return {name_of(inputs): f"two hidden layers, ReLU, with biases; inputs {inputs}" for inputs in INPUTS}


@cache
def stored() -> Mapping[str, FloatArray]:
    """Return the stored kernels, by the name of their inputs."""
    with np.load(Path(__file__).with_name("ill_conditioned_kernels.npz")) as file:
        return dict(file)


def checks() -> list[Check]:
    """Return the checks of kernels of ill-conditioned inputs."""
    return [
        Check(
            "ntk",
            name_of(inputs),
            implementation,
            dtype,
            REFERENCE,
            tolerance,
            needs,
            partial(_found, kernel, inputs, dtype),
            partial(stored().__getitem__, inputs),
        )
        for inputs in INPUTS
        for implementation, (needs, kernel) in IMPLEMENTATIONS.items()
        for dtype, tolerance in _TOLERANCES.items()
    ]


def _found(kernel: Callable[[Any], Any], inputs: str, dtype: str) -> FloatArray:
    return np.asarray(kernel(INPUTS[inputs](FEATURES).astype(np.float32).astype(dtype)), dtype=np.float64)


def _numpy(x: Any) -> Any:
    method = ArrayMethod(xp, limit_of(NETWORK, x.shape[1:]), "ntk", 2**24)
    own = method.prepare(x)
    every = slice(None)
    return method.block(own, own, every, every)


def _torch(x: Any) -> Any:
    # With a gradient, so that it is torch that computes.
    return infinite_width_kernel(NETWORK, importlib.import_module("torch").from_numpy(x).requires_grad_()).detach()


def _jax(x: Any) -> Any:
    jax = importlib.import_module("jax")
    # In float32 numbers end at 3e38: a kernel of inputs of 1e20 is beyond it.
    with jax.enable_x64(x.dtype == np.float64 or float(np.abs(x).max()) > 1e18):
        wide = x.astype(np.float64) if float(np.abs(x).max()) > 1e18 else x
        return np.asarray(jax.jit(partial(infinite_width_kernel, NETWORK))(jax.numpy.asarray(wide)))


#: What each implementation needs, and the tangent kernel by it.
IMPLEMENTATIONS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "NumPy compiled": (("numba",), partial(infinite_width_kernel, NETWORK)),
    "NumPy": ((), _numpy),
    "torch": (("torch",), _torch),
    "JAX": (("jax",), _jax),
}
