"""Certificates: which fast forms are right for a module, found on a few real inputs by plain automatic differentiation.

Gradients of random combinations of scores are taken sample by sample, the plain way, and compared with what each fast
form gives: the closed form of dense ReLU networks, factors of layers, and ``torch.func`` for all other parameters. A
form that disagrees is left. What cannot have a kernel is refused: scores that depend on other samples or on chance.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

from lebench.backends.torch_calls import Tape, misplaced
from lebench.backends.torch_chains import Chain, Trace, relu_chain
from lebench.backends.torch_collect import (
    VARYING_SCORES,
    Plan,
    explicit_rows,
    layer_factors,
    plain_gradients,
    working_dtype,
)
from lebench.backends.torch_factors import contract, slices
from lebench.backends.torch_functions import (
    Inputs,
    Precision,
    check_module,
    doubled,
    generator_states,
    generators_kept,
    joined,
    samples,
    scores_of,
    shapes,
    shown,
    take,
)
from lebench.errors import LebenchError, LebenchWarning

#: Samples on which a module is certified, and those of a larger batch whose scores must be those of its parts.
_SAMPLES, _CROWD = 3, 16

#: Largest deviation, relative to the gradients, in units of the square root of the machine epsilon: rounding differs
#: between one sample and a batch, and a unit at its threshold may change sides. Scores of half precisions differ by
#: fewer roundings than that.
_ROOTS = 10.0
_LOOSEST = 0.3
_ROUNDINGS, _SINGLE = 30, 3e-3

#: Roundings by which two passes may differ, and a pass of a module that draws random numbers.
_PASSES, _DRAWN = 100, 4

#: Further passes of a module that draws random numbers without a visible effect.
_DRAWS = 8

#: Share of the free memory that weights in float64 may take.
_SHARE = 0.25


_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"


class NoFunctionError(LebenchError):
    """Scores are no function of each input alone."""


_certified: WeakKeyDictionary[nn.Module, tuple[Any, dict[Any, Plan]]] = WeakKeyDictionary()


def certified(module: nn.Module, x1: Inputs, x2: Inputs | None = None) -> Plan:
    """Return how gradients of a module are computed for prepared inputs like these, found once for its present state.

    Raises
    ------
    LebenchError
        If the module does not take the inputs, cannot be differentiated, or has no trainable parameter; if its scores
        depend on other samples or on chance, or are not finite.
    """
    check_module(module)
    state, kind = _state(module), (shapes(x1), _form(x1))
    known = _certified.get(module)
    if known is None or known[0] != state:
        known = _certified[module] = (state, {})
    if kind not in known[1]:
        with generators_kept():
            known[1][kind] = _certify(module, *_chosen(x1, x2))
    return known[1][kind]


def amend(module: nn.Module, x: Inputs, plan: Plan) -> None:
    """Replace a certificate that inputs further on have refuted."""
    known = _certified[module][1]
    for kind in [kind for kind in known if kind[0] == shapes(x)]:
        known[kind] = plan


def _form(x: Inputs) -> tuple[Any, ...]:
    """Return what inputs are beside shapes: names, dtypes, and what is no tensor."""
    leaves, form = tree_flatten(x)
    return form, *(leaf.dtype if torch.is_tensor(leaf) else leaf for leaf in leaves)


def _sum(t: Tensor) -> float:
    t = torch.view_as_real(t) if t.is_complex() else t
    # In its own precision, which makes no copy: what does not move the sum does not change the wiring.
    return float(
        t.sum(dtype=torch.float32 if t.dtype.itemsize == 2 else None) if t.dtype.itemsize > 1 else t.float().sum()
    )


def _state(module: nn.Module) -> tuple[Any, ...]:
    """Return what tells states of a module apart: its wiring as far as it can be seen, and its numbers."""
    wiring = tuple(
        (
            id(part),
            getattr(type(part), "forward", None),
            vars(part).get("forward"),
            # Switches and factors of one's own. A counter asks for a certificate each time: right is better than fast.
            tuple((k, v) for k, v in vars(part).items() if isinstance(v, int | float | str | None)),
            *map(tuple, (getattr(part, name) for name in _HOOKS)),
        )
        for part in module.modules()
    )
    hooks = tuple(tuple(p._backward_hooks or ()) for p in module.parameters())
    with torch.no_grad():
        numbers = tuple(
            # Sums find changes of .data, which do not count as versions.
            (id(t), t.data_ptr(), None if t.is_inference() else t._version, t.requires_grad, t.dtype, _sum(t))
            for t in (*module.parameters(), *module.buffers())
        )
    return wiring, hooks, numbers


def _chosen(x1: Inputs, x2: Inputs | None) -> tuple[Inputs, Inputs]:
    """Return a few samples, the first, the last and those of least and largest norm, and a larger batch."""
    x = take(x1, slice(0, 512)) if x2 is None else joined(take(x1, slice(0, 256)), take(x2, slice(0, 256)))
    n = samples(x)
    leaves = [leaf.double()[:, None].flatten(1).norm(dim=1) for leaf in tree_leaves(x) if torch.is_tensor(leaf)]
    order = torch.argsort(torch.stack(leaves).sum(0)).tolist()
    rows = list(dict.fromkeys([order[-1], order[0], 0, n - 1, *order]))[:_SAMPLES]
    # As many again where there are fewer: three are a batch that two are not.
    return take(x, (rows * _SAMPLES)[:_SAMPLES]), take(x, slice(0, _CROWD))


def _certify(module: nn.Module, x: Inputs, crowd: Inputs) -> Plan:
    """Find a plan, in float64 where the module can be computed in it: rounding hides faults that are small."""
    left: list[str] = []
    chain = relu_chain(module) if isinstance(x, Tensor) else None
    if chain is not None:
        # Torch's own layers in a row cannot mix samples, so that two of them do.
        plan = _certified_chain(chain, module, x[:2])
        if plan is not None:
            return plan
        left.append("the closed form of dense ReLU networks")
    _passed(module, x)
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    room = 8 * sum(t.numel() for t in tensors) < _SHARE * psutil.virtual_memory().available
    if room and any(t.dtype != torch.float64 for t in tensors):
        try:
            with doubled(module):
                return _certify_layers(module, _wide(x), _wide(crowd), left)
        except NoFunctionError:
            raise
        except Exception:
            # It holds to a precision of its own.
            pass
    return _certify_layers(module, x, crowd, left)


def _wide(x: Inputs) -> Inputs:
    return tree_map(lambda leaf: leaf.double() if torch.is_tensor(leaf) and leaf.is_floating_point() else leaf, x)


def _certified_chain(chain: Chain, module: nn.Module, x: Tensor) -> Plan | None:
    """Compare what every layer of a dense ReLU network gets, forwards and backwards, with what autograd hands it.

    The gradients of its weights are the products: all layers are torch's own, and each is called once.
    """
    try:
        tape, trace = Tape(module, x), Trace.of(chain, x)
    except (RuntimeError, ValueError, IndexError):
        return None
    calls = [call for group in tape.groups.values() for call in group]
    if len(calls) != len(chain.layers):
        return None
    cotangents = _random(tape.scores)
    below = trace.backward(chain.layers, cotangents[:, None])
    found = [*trace.a, *(g[:, 0] for g in below)]
    expected = [*map(tape.input_of, calls), *tape.backward(calls, cotangents)]
    tolerance = min(_ROOTS * torch.finfo(tape.scores.dtype).eps ** 0.5, _LOOSEST)
    pairs = zip(found, expected, strict=True)
    if all(b is not None and _same(a, b.flatten(1), tolerance, 1e-6 * float(b.norm())) for a, b in pairs):
        return Plan(tape.scores.shape[1], (), (), chain=chain)
    return None


def _random(scores: Tensor) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(tuple(scores.shape), generator=drawn, dtype=torch.float64).to(scores)


@dataclass(frozen=True)
class _Expected:
    """Gradients of random combinations (n, C) of scores, by plain automatic differentiation of each sample alone.

    Those in each trainable parameter are rows (n, P); the tolerance is relative.
    """

    cotangents: Tensor
    rows: dict[str, Tensor]
    tolerance: float

    def gram(self, names: Iterable[str]) -> Tensor:
        """Return the inner products (n, n) of the gradients in some parameters."""
        wide = [self.rows[name].to(working_dtype(self.rows[name].dtype)) for name in names]
        return torch.stack([rows @ rows.T for rows in wide]).sum(0)


def _expected(module: nn.Module, x: Inputs, scores: Tensor, epsilon: float) -> _Expected:
    parameters = _trainable(module)
    cotangents = _random(scores)
    alone = [plain_gradients(module, take(x, [i]), [v[None]], parameters)[0] for i, v in enumerate(cotangents)]
    rows = {name: torch.stack([found[name].flatten() for found in alone]) for name in parameters}
    epsilon = max(epsilon, *(torch.finfo(t.dtype).eps for t in (scores, *parameters.values())))
    return _Expected(cotangents, rows, min(_ROOTS * epsilon**0.5, _LOOSEST))


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise LebenchError("the module has no trainable parameters: none of them requires gradients")
    return parameters


def _certify_layers(module: nn.Module, x: Inputs, crowd: Inputs, left: list[str]) -> Plan:
    with Precision() as precision:
        scores = _checked_scores(module, x, precision)
    _refuse_mixed_scores(module, x, crowd, scores, precision.epsilon)
    expected = _expected(module, x, scores, precision.epsilon)
    _refuse_mixed_gradients(module, x, expected)
    total, tolerance = expected.gram(expected.rows), expected.tolerance
    plan = _regular(module, x, crowd, scores.shape[1], tolerance)
    floor = 1e-6 * float(total.diagonal().max())
    wrong = []
    for key, factor in layer_factors(Tape(module, x), plan, expected.cotangents[:, None]).items():
        own = expected.gram(name for name in key if name)
        if not _agree(contract(factor, factor, False)[:, :, 0, 0], own, tolerance, floor):
            wrong.append(key)
    if wrong:
        left.append("the product form of " + ", ".join(name for key in wrong for name in key if name))
        plan = plan.without(wrong)
    if plan.explicit:
        own_rows = torch.cat([expected.rows[name] for name in plan.explicit], dim=1)
        rows = None
        try:
            rows = explicit_rows(module, x, plan, expected.cotangents[:, None])[:, 0]
        except Exception:
            # torch.func refuses modules in many ways; one sample after the other takes them all.
            plan = replace(plan, vectorized=False)
        if rows is not None and not _same(rows, own_rows, tolerance, floor**0.5):
            left.append("torch.func")
            plan = replace(plan, vectorized=False)
    if left:
        disagree = "disagree" if len(left) > 1 else "disagrees"
        warnings.warn(
            f"{type(module).__name__}: {' and '.join(left)} {disagree} with automatic differentiation on these inputs; "
            "the slower general form is used in its place",
            LebenchWarning,
            stacklevel=2,
        )
    return plan


def _passed(module: nn.Module, x: Inputs) -> Tensor:
    """Return the scores, refusing modules that do not give them."""
    try:
        with torch.no_grad():
            scores = scores_of(module, x)
    except LebenchError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        kind = "" if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: "
        raise LebenchError(f"the module does not take inputs of shape {shown(x)}: {kind}{reason}") from error
    if not torch.isfinite(scores).all():
        raise LebenchError("the scores of the module are NaN or infinite; look at its weights and inputs")
    return scores


def _checked_scores(module: nn.Module, x: Inputs, precision: Precision) -> Tensor:
    """Return the scores, refusing those that depend on chance."""
    scores = _passed(module, x)
    before = generator_states()
    passes = [_passed(module, x)]
    drawn = generator_states() != before
    if drawn:
        passes += [_passed(module, x) for _ in range(_DRAWS)]
    if any(part.shape != scores.shape for part in passes):
        raise LebenchError(VARYING_SCORES)
    tolerance = min((_DRAWN if drawn else _PASSES) * precision.epsilon, _LOOSEST)
    if any(_apart(again, scores) > tolerance for again in passes):
        raise NoFunctionError("the scores depend on chance: two passes differ; switch off what is random in the module")
    return scores


def _apart(found: Tensor, scores: Tensor) -> float:
    """Return the largest deviation, relative to the scores."""
    return float((found - scores).abs().max()) / max(float(scores.abs().max()), torch.finfo(scores.dtype).tiny)


def _refuse_mixed_scores(module: nn.Module, x: Inputs, crowd: Inputs, scores: Tensor, epsilon: float) -> None:
    n, m = len(scores), samples(crowd)
    alone = [_passed(module, take(x, [i])) for i in range(n)]
    turned = _passed(module, take(x, list(range(n))[::-1]))
    larger = _passed(module, crowd)
    parts = [_passed(module, take(crowd, part)) for part in slices(m, -(-m // 3))]
    if any(part.shape[1:] != scores.shape[1:] for part in (*alone, turned, larger, *parts)):
        raise LebenchError(VARYING_SCORES)
    tolerance = min(_ROOTS * epsilon**0.5, max(_ROUNDINGS * epsilon, _SINGLE))
    pairs = (torch.cat(alone), scores), (turned.flip(0), scores), (torch.cat(parts), larger)
    if any(_apart(found, expected) > tolerance for found, expected in pairs):
        raise NoFunctionError(
            "the scores of an input depend on the other inputs of its batch, so it has no gradient of its own; let the "
            "module treat each row of the batch alone"
        )


def _refuse_mixed_gradients(module: nn.Module, x: Inputs, expected: _Expected) -> None:
    together = plain_gradients(module, x, [expected.cotangents], _trainable(module))[0]
    size = sum(float(rows.norm()) ** 2 for rows in expected.rows.values()) ** 0.5
    off = sum(float((together[name].flatten() - rows.sum(0)).norm()) ** 2 for name, rows in expected.rows.items())
    if off**0.5 > expected.tolerance * size:
        raise NoFunctionError(
            "the gradients of an input depend on the other inputs of its batch; let the module treat each row of the "
            "batch alone"
        )


def _regular(module: nn.Module, x: Inputs, crowd: Inputs, outputs: int, tolerance: float) -> Plan:
    """Return the groups of calls that look the same in batches of several sizes, and that see samples at their rows."""
    n, m = samples(x), samples(crowd)
    tapes = Tape(module, x), Tape(module, take(x, [*range(n), 0, n - 1]))
    groups = [(key, tapes[0].signature(key)) for key in tapes[0].groups]
    backwards = list(range(m))[::-1]
    larger = Tape(module, crowd), Tape(module, take(crowd, backwards))
    wrong = misplaced(*larger, backwards, [key for key, _ in groups], tolerance)
    kept = tuple((key, seen) for key, seen in groups if seen == tapes[1].signature(key) and key not in wrong)
    covered = {name for key, _ in kept for name in key}
    return Plan(outputs, kept, tuple(name for name in _trainable(module) if name not in covered))


def _agree(found: Tensor, expected: Tensor, tolerance: float, floor: float = 0.0) -> bool:
    """Compare inner products, relative to the norms of what they are products of."""
    norms = expected.diagonal().clamp(min=0).sqrt()
    allowed = tolerance * (torch.outer(norms, norms) + floor)
    return bool(((found.to(expected) - expected).abs() <= allowed).all())


def _same(found: Tensor, expected: Tensor, tolerance: float, floor: float) -> bool:
    off = (found.to(expected) - expected).norm(dim=1)
    return bool((off <= tolerance * (expected.norm(dim=1) + floor)).all())
