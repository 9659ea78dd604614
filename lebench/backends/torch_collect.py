"""One pass a sample: factors of the gradients of every layer, for whole sets of inputs, in memory or on disk."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lebench.backends.torch_calls import Call, Key, Tape, affine_rows, columns, features, misplaced, patches
from lebench.backends.torch_chains import Chain
from lebench.backends.torch_factors import Factor, Store, slices
from lebench.backends.torch_functions import Inputs, samples, scores_of, take
from lebench.errors import LebenchError

VARYING_SCORES = "the module returns another number of scores each time; let it return always as many"

#: Samples of a pass from which one of them is passed alone, too.
_LOOKED_AT = 16

_NORMS = ("layer_norm", "group_norm", "batch_norm")


@dataclass(frozen=True)
class Plan:
    """How gradients of a module are computed.

    Attributes
    ----------
    outputs : int
        Number of scores C.
    groups : tuple of (Key, signature)
        Parameters whose gradients are products of factors, and the calls that use them.
    explicit : tuple of str
        All other trainable parameters, whose gradients are formed.
    vectorized : bool
        Whether ``torch.func`` may form them, in place of one sample after the other.
    chain : Chain or None
        The module as a dense ReLU network.
    parts : int
        Into how many parts a batch of the usual size is cut: two where the memory of the device did not suffice.
    """

    outputs: int
    groups: tuple[tuple[Key, Any], ...]
    explicit: tuple[str, ...]
    vectorized: bool = True
    chain: Chain | None = None
    parts: int = 1

    def without(self, keys: Iterable[Key]) -> Plan:
        """Return the plan in which the gradients of some groups are formed."""
        left = set(keys)
        names = [name for key in left for name in key if name]
        groups = tuple((key, signature) for key, signature in self.groups if key not in left)
        return replace(self, groups=groups, explicit=(*self.explicit, *names))


class Irregular(Exception):
    """Parameters that other inputs do not use the way the certificate says; their gradients must be formed."""

    def __init__(self, keys: list[Key]) -> None:
        super().__init__()
        self.keys = keys


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return in what products are summed: half precisions would lose them."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def layer_factors(tape: Tape, plan: Plan, cotangents: Tensor) -> dict[Key, Factor]:
    """Return the gradients of combinations (n, k, C) of the scores on a tape, by layer, in memory."""
    writer = _Writer(Store(on_disk=False), tape.n, cotangents.shape[1], plan)
    writer.write(tape, slice(0, tape.n), cotangents)
    return writer.factors


def collect(module: nn.Module, x: Inputs, plan: Plan, cotangents: Tensor, store: Store, chunk: int) -> list[Factor]:
    """Return the gradients of combinations (n or 1, k, C) of scores, layer by layer, from one pass of every sample.

    So many samples as `chunk` says pass at once; their factors go to the store.

    Raises
    ------
    Irregular
        If some layers are not used as the plan says.
    """
    n, k = samples(x), cotangents.shape[1]
    writer = _Writer(store, n, k, plan)
    explicit: Tensor | None = None
    for rows in slices(n, chunk):
        part = take(x, rows)
        given = cotangents.expand(n, -1, -1)[rows]
        if plan.groups:
            tape = Tape(module, part)
            if tape.scores.shape[1] != plan.outputs:
                raise LebenchError(
                    "the module returns another number of scores each time; let it return always as many"
                )
            irregular = [key for key, signature in plan.groups if tape.signature(key) != signature]
            irregular += _astray(module, part, plan, tape)
            if irregular:
                raise Irregular(irregular)
            writer.write(tape, rows, given)
            del tape
        if plan.explicit:
            found = explicit_rows(module, part, plan, given)
            if explicit is None:
                explicit = store.empty((n, k, found.shape[2]), found)
            explicit[rows] = found
    factors = list(writer.factors.values())
    if explicit is not None:
        factors.append(Factor(working_dtype(explicit.dtype), explicit.device, rows=explicit))
    return factors


def _astray(module: nn.Module, x: Inputs, plan: Plan, tape: Tape) -> list[Key]:
    """Return the groups that see one of many samples at another row than alone, as when a module sorts its batch."""
    if tape.n < _LOOKED_AT:
        return []
    row = tape.n // 2
    tolerance = 10 * torch.finfo(tape.scores.dtype).eps ** 0.5
    return misplaced(tape, Tape(module, take(x, [row])), [row], [key for key, _ in plan.groups], min(tolerance, 0.3))


class _Writer:
    """Fills stored factors with what tapes give."""

    def __init__(self, store: Store, n: int, k: int, plan: Plan) -> None:
        self.store, self.n, self.k, self.plan = store, n, k, plan
        self.factors: dict[Key, Factor] = {}

    def write(self, tape: Tape, rows: slice, cotangents: Tensor) -> None:
        """Add the samples of a tape, whose combinations of scores are (n, k, C)."""
        calls = [(key, call) for key, _ in self.plan.groups for call in tape.groups[key]]
        places: list[tuple[Call, Factor, int]] = []
        counts: dict[Key, int] = {}
        for key, call in calls:
            position = counts[key] = counts.get(key, -1) + 1
            factor = self._factor(key, tape, call, position)
            if factor.rows is None:
                factor.inputs[position][rows] = tape.input_of(call)
            places.append((call, factor, position))
        for score in range(self.k):
            found = tape.backward([call for _, call in calls], cotangents[:, score])
            for (call, factor, position), signal in zip(places, found, strict=True):
                if factor.rows is not None:
                    if signal is not None:
                        factor.rows[rows, score] += affine_rows(call, tape.input_of(call), signal)
                elif signal is None:
                    factor.signals[position][rows, score] = 0
                else:
                    factor.signals[position][rows, score] = columns(call, signal[:, None])[:, 0]

    def _factor(self, key: Key, tape: Tape, call: Call, position: int) -> Factor:
        like = tape.scores if call.kind in _NORMS else call.a
        factor = self.factors.get(key)
        if factor is None:
            factor = self.factors[key] = Factor(working_dtype(tape.scores.dtype), tape.scores.device)
        if call.kind in _NORMS:
            if factor.rows is None:
                sample = tape.input_of(call)[:1]
                size = affine_rows(call, sample, torch.zeros_like(sample)).shape[1]
                factor.rows = self.store.empty((self.n, self.k, size), like)
                factor.rows.zero_()
        elif len(factor.inputs) == position:
            a = tape.input_of(call)
            factor.inputs.append(self.store.empty((self.n, *a.shape[1:]), a))
            shape = columns(call, like.new_empty((1, 1, *_output(tape, call)), device="meta")).shape
            # Contiguous the way the layer's outputs are: channels last in a dense layer with positions.
            if call.kind == "linear":
                stored = self.store.empty((self.n, self.k, 1, shape[4], shape[3]), tape.scores).transpose(3, 4)
            else:
                stored = self.store.empty((self.n, self.k, *shape[2:]), tape.scores)
            factor.signals.append(stored)
            factor.unfold.append(partial(patches, _shape_only(call)))
            factor.features = features(call)
        return factor


def _output(tape: Tape, call: Call) -> tuple[int, ...]:
    rows = call.repeats(tape.batch)
    return tuple(call.shape[1:]) if rows == 1 else (rows, *call.shape[1:])


def _shape_only(call: Call) -> Call:
    """Return the call without tensors, which would keep a graph alive."""
    return Call(call.kind, call.key, torch.empty(0), 0, call.shape, None, call.settings)


def explicit_rows(module: nn.Module, x: Inputs, plan: Plan, cotangents: Tensor) -> Tensor:
    """Return the gradients (n, k, P) of combinations (n, k, C) of scores in the explicit parameters of a plan."""
    named = dict(module.named_parameters())
    parameters = {name: named[name] for name in plan.explicit}
    if not plan.vectorized:
        return _one_by_one(module, x, parameters, cotangents)
    values = {name: p.detach() for name, p in parameters.items()}

    def rows(sample: Inputs, cotangent: Tensor) -> Tensor:
        def scores(changed: dict[str, Tensor]) -> Tensor:
            def call(*args: Inputs, **kwargs: Inputs) -> Inputs:
                return torch.func.functional_call(module, changed, args, kwargs)

            return scores_of(call, _batch_of_one(sample))[0]

        pullback = torch.func.vjp(scores, values)[1]
        # A loop: under a second vmap some backward formulas (PReLU's) return wrong shapes.
        return torch.stack([torch.cat([g.flatten() for g in pullback(c)[0].values()]) for c in cotangent])

    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        result: Tensor = torch.func.vmap(rows)(x, cotangents)
    return result


def _batch_of_one(sample: Inputs) -> Inputs:
    if isinstance(sample, tuple | list):
        return type(sample)(map(_batch_of_one, sample))
    if isinstance(sample, dict):
        return {name: _batch_of_one(part) for name, part in sample.items()}
    return sample[None] if isinstance(sample, Tensor) else sample


def _one_by_one(module: nn.Module, x: Inputs, parameters: dict[str, nn.Parameter], cotangents: Tensor) -> Tensor:
    result = []
    for i, combinations in enumerate(cotangents):
        found = plain_gradients(module, take(x, [i]), list(combinations[:, None]), parameters)
        result.append(torch.stack([torch.cat([g.flatten() for g in rows.values()]) for rows in found]))
    return torch.stack(result)


def jacobians(module: nn.Module, x: Inputs) -> Tensor:
    """Return the Jacobians (n, C, P) of the scores in the trainable parameters, differentiable in the inputs."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    with torch.no_grad():
        scores = scores_of(module, take(x, [0]))
    unit = list(torch.eye(scores.shape[1]).to(scores)[:, None])
    rows = []
    for i in range(samples(x)):
        found = plain_gradients(module, take(x, [i]), unit, parameters, differentiable=True)
        rows.append(torch.stack([torch.cat([g.flatten() for g in part.values()]) for part in found]))
    result = torch.stack(rows)
    return result.to(working_dtype(result.dtype))


def plain_gradients(
    module: nn.Module,
    x: Inputs,
    cotangents: Sequence[Tensor],
    parameters: dict[str, nn.Parameter],
    differentiable: bool = False,
) -> list[dict[str, Tensor]]:
    """Return the gradients of some combinations (n, C) of scores by plain automatic differentiation.

    Raises
    ------
    LebenchError
        If the module cannot be differentiated, or its scores depend on none of the parameters.
    """
    found = []
    try:
        with torch.enable_grad():
            scores = scores_of(module, x)
            if not scores.requires_grad:
                raise LebenchError(
                    "the scores depend on no trainable parameter: look for no_grad(), detach() or frozen parameters"
                )
            for left, cotangent in enumerate(reversed(cotangents)):
                gradients = torch.autograd.grad(
                    scores,
                    list(parameters.values()),
                    cotangent,
                    allow_unused=True,
                    materialize_grads=True,
                    retain_graph=differentiable or left < len(cotangents) - 1,
                    create_graph=differentiable,
                )
                # Of embeddings they may be sparse.
                dense = (g.to_dense() if g.is_sparse else g for g in gradients)
                found.append(dict(zip(parameters, dense, strict=True)))
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0]
        raise LebenchError(f"the module cannot be differentiated: {reason}; look for changes in place") from error
    return found[::-1]
