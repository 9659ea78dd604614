"""Neural Tangents on current JAX, without TensorFlow.

Neural Tangents (Novak et al. 2020) is the reference implementation of infinite-width kernels. Its last release, 0.6.5,
was written for a JAX of 2024 and imports TensorFlow for a part that nobody here uses. :func:`load` imports it anyway:

- ``neural_tangents.experimental``, the only part that needs TensorFlow, is replaced by an empty module;
- names that moved from ``jax.core``, ``jax.interpreters.ad`` and ``jax.util`` are added where it looks for them;
  nothing of JAX is replaced;
- its structured derivatives call internal functions of JAX that have changed: ``ad.linearize`` is written anew with the
  public ``jax.linearize`` and ``jax.make_jaxpr``, and ``ad.get_primitive_transpose`` falls back on the public
  ``jax.linear_transpose`` for primitives whose rule has another form now (``slice`` is one);
- four calls of functions whose results or arguments have changed are mended: XLA's cost analysis, ``jnp.size`` of a
  shape, ``wrap_init`` without debugging information, SciPy's ``eigvalsh``.

Only this file imports neural_tangents.
"""

from __future__ import annotations

import importlib
import math
import sys
import types
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import scipy.linalg

from lebench.errors import MissingDependencyError, install_hint

_INSTALL = (
    f"needs JAX and neural-tangents: {install_hint('jax')}, then pip install --no-deps neural-tangents==0.6.5 (its "
    "wheel asks for TensorFlow, which is not needed)"
)

_MOVED_TO_SRC_CORE = (
    "Jaxpr",
    "JaxprEqn",
    "Literal",
    "Var",
    "Primitive",
    "ShapedArray",
    "Value",
    "AbstractValue",
    "eval_context",
)


@cache
def load() -> Any:
    """Import neural_tangents on current JAX, without TensorFlow.

    Returns
    -------
    module
        ``neural_tangents``.

    Raises
    ------
    MissingDependencyError
        If JAX or neural-tangents is not installed.
    """
    try:
        _add_moved_names()
        sys.modules.setdefault("neural_tangents.experimental", types.ModuleType("neural_tangents.experimental"))
        nt = importlib.import_module("neural_tangents")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("jax", "jaxlib", "neural_tangents", "frozendict"):
            raise
        raise MissingDependencyError(f"this kernel {_INSTALL}; missing: {error.name}") from None
    _mend(nt)
    return nt


def _add(module: Any, name: str, value: object) -> None:
    # Not hasattr: JAX answers it for retired names, too, with a warning or an error.
    if name not in vars(module):
        setattr(module, name, value)


def _add_moved_names() -> None:
    import jax
    import jax.extend.core
    import jax.extend.linear_util
    import jax.extend.source_info_util
    from jax._src import core
    from jax._src.util import safe_map, safe_zip
    from jax.interpreters import ad

    for name in _MOVED_TO_SRC_CORE:
        _add(jax.core, name, getattr(core, name))
    _add(jax.core, "DShapedArray", type("DShapedArray", (), {}))
    _add(ad, "source_info_util", jax.extend.source_info_util)
    _add(ad, "config", jax.config)
    _add(ad, "reducing_transposes", {})
    _add(ad, "zeros_like_p", core.Primitive("zeros_like"))
    _add(core.Primitive, "map_primitive", False)
    if "jax.util" not in sys.modules:
        util = types.ModuleType("jax.util")
        util.safe_map, util.safe_zip = safe_map, safe_zip  # type: ignore[attr-defined]
        sys.modules["jax.util"] = util


def _mend(nt: Any) -> None:
    from jax.interpreters import ad

    empirical: Any = importlib.import_module("neural_tangents._src.empirical")
    predict: Any = importlib.import_module("neural_tangents._src.predict")
    # In its own namespace: the functions of JAX and SciPy stay what they are for everybody else.
    empirical.ad = _changed(ad, linearize=_linearize, get_primitive_transpose=_transpose_rule)
    empirical.lu = _changed(empirical.lu, wrap_init=_wrap_init)
    empirical.jnp = _changed(empirical.jnp, size=lambda array: math.prod(array.shape))
    empirical._get_flops = _flops
    linalg = _changed(scipy.linalg, eigvalsh=lambda a, eigvals: scipy.linalg.eigvalsh(a, subset_by_index=eigvals))
    predict.sp = _changed(scipy, linalg=linalg)


def _changed(module: Any, **changes: object) -> Any:
    return types.SimpleNamespace(**{**vars(module), **changes})


def _wrap_init(fn: Callable[..., Any]) -> Any:
    from jax.api_util import debug_info
    from jax.extend import linear_util

    return linear_util.wrap_init(fn, debug_info=debug_info("neural_tangents", fn, (), {}))


def _linearize(fn: Any, *primals: Any, has_aux: bool = False) -> tuple[Any, list[Any], Any, Any]:
    """Return outputs, partial values (all unknown), the jaxpr of the linear map, and its constants."""
    import jax

    outputs, linear = jax.linearize(fn.call_wrapped, *primals)
    closed = jax.make_jaxpr(linear)(*primals)
    unknown = types.SimpleNamespace(is_known=lambda: False)
    return outputs, [unknown] * len(outputs), closed.jaxpr, closed.consts


def _transpose_rule(primitive: Any) -> Callable[..., Any]:
    ad: Any = importlib.import_module("jax.interpreters.ad")
    try:
        rule: Callable[..., Any] = ad.get_primitive_transpose(primitive)
    except NotImplementedError:
        return partial(_transposed, primitive)
    return rule


def _transposed(primitive: Any, cotangent: Any, *operands: Any, **parameters: Any) -> list[Any]:
    """Return the cotangents of the operands in which a primitive is linear, None for the others."""
    jax: Any = importlib.import_module("jax")
    ad: Any = importlib.import_module("jax.interpreters.ad")
    linear = [index for index, operand in enumerate(operands) if ad.is_undefined_primal(operand)]

    def apply(*values: Any) -> Any:
        given = dict(zip(linear, values, strict=True))
        return primitive.bind(*(given.get(i, operand) for i, operand in enumerate(operands)), **parameters)

    shapes = [jax.ShapeDtypeStruct(operands[i].aval.shape, operands[i].aval.dtype) for i in linear]
    found = dict(zip(linear, jax.linear_transpose(apply, *shapes)(cotangent), strict=True))
    return [found.get(index) for index in range(len(operands))]


def _flops(function: Callable[..., Any], optimize: bool, *args: Any, **kwargs: Any) -> float:
    jax: Any = importlib.import_module("jax")
    lowered = jax.jit(function).lower(*args, **kwargs)
    analysis = (lowered.compile() if optimize else lowered).cost_analysis()
    return float((analysis[0] if isinstance(analysis, list) else analysis)["flops"])
