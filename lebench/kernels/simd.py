"""Values of sixteen numbers, one for each of the inputs that the compiled loops over images compute side by side.

numba vectorizes loops if it finds out that nothing forbids it, with a test of all overlaps and a remainder for every
loop. The rows of a small image are too short for that. Here a vector is a value of its own, with ``+``, ``-``, ``*``
and the functions below, each of which becomes the vector instructions of whatever processor it runs on (one for
sixteen float32 numbers with AVX-512, two with AVX2, four with NEON).

numba keeps compiled code until the file of the *calling* function changes: after a change here, touch those as well.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-call,misc"

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

#: Untyped: what it defines is called from compiled code, without the first argument.
intrinsic: Any = extending.intrinsic
#: Numbers in a vector, for both dtypes.
LANES = 16
# Products may be fused with sums, and sums reordered; infinities and NaN keep their meaning.
_FLAGS = ("nsz", "contract", "reassoc")


class Lanes(types.Type):
    """Numba type of a vector of LANES numbers of a dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), LANES))


_TYPES = (Lanes(types.float32), Lanes(types.float64))


def _define(operation: Any, instruction: str) -> None:
    """Let an operator of two vectors become an instruction."""

    @infer_global(operation)
    class _(ConcreteTemplate):
        cases = tuple(signature(kind, kind, kind) for kind in _TYPES)

    @lower_builtin(operation, Lanes, Lanes)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=_FLAGS)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define(_operation, _instruction)
_define(operator.truediv, "fdiv")


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Return a pointer to a vector that starts at an index of a contiguous array."""
    data = context.make_array(kind)(context, builder, array).data
    vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the LANES numbers of a contiguous array from an index on; without a check of bounds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = builder.load(_address(context, builder, sig.args[0], *args))
        value.align = context.get_abi_sizeof(context.get_value_type(sig.args[0].dtype))
        return value

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to a contiguous array from an index on; without a check of bounds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _address(context, builder, sig.args[0], *args[:2])
        written = builder.store(args[2], address)
        written.align = context.get_abi_sizeof(context.get_value_type(sig.args[0].dtype))
        return context.get_dummy_value()

    return types.none(array, types.intp, value), generate


@intrinsic
def repeat(typing: Any, array: Any, index: Any) -> Any:
    """Return a vector of one number of a contiguous array, again and again; without a check of bounds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return _repeated(context, builder, sig, builder.load(builder.gep(data, [args[1]])))

    return Lanes(array.dtype)(array, types.intp), generate


def _repeated(context: Any, builder: Any, sig: Any, number: Any) -> Any:
    kind = context.get_value_type(sig.return_type)
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Return a vector of a number, again and again."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _repeated(context, builder, sig, args[0])

    return Lanes(number)(number), generate


@intrinsic
def where_less(typing: Any, a: Any, b: Any, chosen: Any, otherwise: Any) -> Any:
    """Return `chosen` where a < b, else `otherwise`; of vectors or of numbers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return chosen(a, b, chosen, otherwise), generate


def _call(name: str, value: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_value_type(sig.return_type)
        suffix = f"v{LANES}{kind.element.intrinsic_name}" if isinstance(kind, ir.VectorType) else kind.intrinsic_name
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), f"llvm.{name}.{suffix}"
        )
        return builder.call(function, args)

    return value(value), generate


@intrinsic
def root(typing: Any, value: Any) -> Any:
    """Return the square root; of vectors or of numbers."""
    return _call("sqrt", value)


@intrinsic
def absolute(typing: Any, value: Any) -> Any:
    """Return the absolute value; of vectors or of numbers."""
    return _call("fabs", value)


@intrinsic
def splat_all(typing: Any, numbers: Any) -> Any:
    """Return a tuple of vectors, each of one number of a tuple, again and again."""
    kind = types.UniTuple(Lanes(numbers.dtype), numbers.count)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        each = Lanes(numbers.dtype)(numbers.dtype)
        parts = cgutils.unpack_tuple(builder, args[0], numbers.count)
        return context.make_tuple(builder, kind, [_repeated(context, builder, each, part) for part in parts])

    return kind(numbers), generate


@intrinsic
def polynomial(typing: Any, coefficients: Any, x: Any) -> Any:
    """Return the value of a polynomial with a tuple of coefficients, that of the highest power last."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, args[0], coefficients.count)
        value = parts.pop()
        for part in reversed(parts):
            value = builder.fadd(builder.fmul(value, args[1], flags=_FLAGS), part, flags=_FLAGS)
        return value

    return x(coefficients, x), generate


@intrinsic
def widen(typing: Any, value: Any) -> Any:
    """Return a vector in float64."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.args[0].dtype == types.float64:
            return args[0]
        return builder.fpext(args[0], context.get_value_type(sig.return_type))

    return Lanes(types.float64)(value), generate
