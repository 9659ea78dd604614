"""Empirical neural tangent kernels of torch modules, exact, without forming Jacobians.

A sum over layers of inner products of per-sample gradients, from factors that one pass of each sample gives
(:mod:`lebench.backends.torch_collect`) and :mod:`lebench.backends.torch_factors` contracts; dense ReLU networks go a
shorter way (:meth:`lebench.backends.torch_chains.Trace.kernel`). What is fast is certified on the user's own inputs
(:mod:`lebench.backends.torch_certificates`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain as together
from typing import Any, Literal, TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lebench.backends.torch_calls import Tape
from lebench.backends.torch_certificates import amend, certified
from lebench.backends.torch_chains import Chain, Trace
from lebench.backends.torch_collect import Irregular, Plan, collect, jacobians, working_dtype
from lebench.backends.torch_devices import make_room
from lebench.backends.torch_factors import Factor, Store, contract, free_disk, own_products, slices
from lebench.backends.torch_functions import Inputs, prepared, samples, shapes, shown, take
from lebench.errors import LebenchError

Contraction = Literal["trace", "full"]
R = TypeVar("R")

#: Working memory of one pass, which chunks of samples aim at.
BUDGET_BYTES = 240 * 2**20


def empirical_ntk(
    module: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    contraction: Contraction = "trace",
    chunk: int | None = None,
    memory: int | None = None,
) -> Tensor:
    """Compute the empirical neural tangent kernel of a module at its current parameters.

    ``K_w(x, x') = J(x) J(x')^T`` with J the Jacobian of the scores in all parameters that require gradients
    (Jacot et al. 2018, section 4; science page 2.1). Every sample passes forwards once and backwards once for each
    score; factors of its gradients are kept in memory, or in temporary files of at most 30 GB. Only where these do not
    suffice are passes made again. Where inputs require gradients, the kernel is a differentiable function of them, made
    sample by sample.

    Parameters
    ----------
    module : torch.nn.Module
        Maps inputs (n, ...) to scores (n, C) or (n,); in evaluation mode. Of an answer with ``logits`` these are the
        scores, of several tensors all of them.
    x1 : Tensor of shape (n, ...), or tuple or dict of them
        Inputs; converted to the dtype and device of the module. A tuple or dict is the module's arguments.
    x2 : Tensor of shape (m, ...), or tuple or dict of them, optional
        Other inputs; by default `x1`, for which only half the work is done.
    contraction : {"trace", "full"}
        ``"trace"`` averages the diagonal of the C x C blocks over outputs; ``"full"`` keeps the blocks.
    chunk : int, optional
        Samples that pass at once; by default as many as fit a working memory of about 240 MB.
    memory : int, optional
        Bytes of memory for factors, beyond inputs and result; by default half of what is free.

    Returns
    -------
    Tensor
        (n, m), or (n, m, C, C) with ``[i, j, c, d]`` pairing output c at ``x1[i]`` with output d at ``x2[j]``; in
        the dtype of the module, float32 for half precisions.

    Raises
    ------
    LebenchError
        If the module is in training mode, its scores depend on other inputs of the batch or on chance, it does not
        return scores, has no trainable or has complex parameters, or cannot be differentiated; if the inputs are no
        tensors of finite numbers that the module takes; if `chunk`, `contraction` or `memory` is not one of the values
        above.

    Examples
    --------
    >>> linear = nn.Linear(2, 3, bias=False).eval()
    >>> empirical_ntk(linear, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[ 5., 11.],
            [11., 25.]])
    """
    if contraction not in ("trace", "full"):
        raise LebenchError(f"contraction must be 'trace' or 'full', got {contraction!r}")
    trace = contraction == "trace"
    if torch.is_grad_enabled() and any(
        leaf.requires_grad for leaf in tree_leaves((x1, x2)) if isinstance(leaf, Tensor)
    ):
        _on_certified(module, x1, x2, lambda *_: torch.zeros(1, 1))
        with _without_autocast(module):
            left, right = (
                jacobians(module, prepared(module, x, attached=True)) for x in (x1, x1 if x2 is None else x2)
            )
            if trace:
                return left.flatten(1) @ right.flatten(1).T / left.shape[1]
            return torch.einsum("icp,jdp->ijcd", left, right)

    def compute(module: nn.Module, plan: Plan, inputs1: Inputs, inputs2: Inputs | None) -> Tensor:
        work = _Work(module, plan, inputs1, chunk, memory)
        if trace and plan.chain is not None:
            return _chain_kernel(work, plan.chain, inputs1, inputs2)
        n, m = samples(inputs1), samples(inputs1 if inputs2 is None else inputs2)
        blocks, scores = work.blocks(n if inputs2 is None else n + m, trace)
        shape = (n, m) if trace else (n, m, plan.outputs, plan.outputs)
        result = work.like.new_zeros(shape, dtype=working_dtype(work.like.dtype))
        for rows in slices(n, blocks):
            for columns in slices(m, blocks):
                same = inputs2 is None and columns == rows
                if inputs2 is None and columns.start < rows.start:
                    continue
                block = result[rows, columns]
                for some in slices(plan.outputs, scores):
                    unit = work.unit[None, some]
                    left = work.factors(take(inputs1, rows), unit)
                    right = left if same else work.factors(take(inputs1 if inputs2 is None else inputs2, columns), unit)
                    for one, other in zip(left, right, strict=True):
                        block += contract(one, other, trace)
                if inputs2 is None and not same:
                    result[columns, rows] = block.T if trace else block.permute(1, 0, 3, 2)
        return result / plan.outputs if trace else result

    return _on_certified(module, x1, x2, compute)


def tangent_products(module: nn.Module, sources: Inputs, cotangents: Tensor, targets: Inputs) -> Tensor:
    """Compute the first-order change of every score at every target per unit step along sources' gradients.

    ``P[i, j, c] = < df_c(x'_j)/dw , sum_d cotangents[i, d] df_d(x_i)/dw >``. With ``cotangents[i]`` the gradient of the
    loss of source i in its scores, ``-step * P[i, j]`` is the change that a step of gradient descent on source i makes
    at target j, to first order in the step (He & Su 2020, section 2; science page 4.1).

    Parameters
    ----------
    module : torch.nn.Module
        As for :func:`empirical_ntk`.
    sources : Tensor of shape (n, ...), or tuple or dict of them
    cotangents : Tensor of shape (n, C)
        Coefficients of the scores at each source.
    targets : Tensor of shape (m, ...), or tuple or dict of them

    Returns
    -------
    Tensor of shape (n, m, C)
        In the dtype of the module, float32 for half precisions.

    Raises
    ------
    LebenchError
        As :func:`empirical_ntk`; if `cotangents` does not have one row per source and one column per score.
    """

    def compute(module: nn.Module, plan: Plan, inputs1: Inputs, inputs2: Inputs | None) -> Tensor:
        return _products(module, plan, inputs1, cotangents, inputs1 if inputs2 is None else inputs2)

    return _on_certified(module, sources, None if sources is targets else targets, compute)


def first_order_changes(
    module: nn.Module, sources: Inputs, cotangents: Tensor, targets: Inputs
) -> tuple[Tensor, Tensor]:
    """Compute :func:`tangent_products` and, for each source, its product with itself.

    Parameters
    ----------
    module, sources, cotangents, targets
        See :func:`tangent_products`.

    Returns
    -------
    at_targets : Tensor of shape (n, m, C)
        ``P[i, j, c]`` of :func:`tangent_products`.
    at_sources : Tensor of shape (n, C)
        The same with source i as the target.

    Raises
    ------
    LebenchError
        As :func:`tangent_products`.
    """

    def compute(module: nn.Module, plan: Plan, inputs1: Inputs, inputs2: Inputs | None) -> tuple[Tensor, Tensor]:
        if plan.chain is not None:
            work = _Work(module, plan, inputs1, None, None)
            given = _checked(cotangents, samples(inputs1), plan, work.like)
            return _chain_changes(work, plan.chain, inputs1, given, inputs2)
        if inputs2 is None:
            products = _products(module, plan, inputs1, cotangents, inputs1)
            return products, products.diagonal().T
        products = _products(module, plan, inputs1, cotangents, inputs2)
        work = _Work(module, plan, inputs1, None, None)
        given = _checked(cotangents, samples(inputs1), plan, work.like)
        own = []
        for rows in slices(samples(inputs1), work.blocks(2 * samples(inputs1), False)[0]):
            part = take(inputs1, rows)
            sides = work.factors(part, given[rows, None]), work.factors(part, work.unit[None])
            own.append(torch.stack([own_products(*pair) for pair in zip(*sides, strict=True)]).sum(0))
        return products, torch.cat(own)

    return _on_certified(module, sources, None if sources is targets else targets, compute)


def _products(module: nn.Module, plan: Plan, sources: Inputs, cotangents: Tensor, targets: Inputs) -> Tensor:
    work = _Work(module, plan, sources, None, None)
    n, m = samples(sources), samples(targets)
    given = _checked(cotangents, n, plan, work.like)
    result = work.like.new_zeros((n, m, plan.outputs), dtype=working_dtype(work.like.dtype))
    blocks, _ = work.blocks(n + m, False)
    for columns in slices(m, blocks):
        right = work.factors(take(targets, columns), work.unit[None])
        for rows in slices(n, blocks):
            left = work.factors(take(sources, rows), given[rows, None])
            for one, other in zip(left, right, strict=True):
                result[rows, columns] += contract(one, other, False)[:, :, 0]
    return result


def _checked(cotangents: Tensor, n: int, plan: Plan, like: Tensor) -> Tensor:
    if cotangents.shape != (n, plan.outputs):
        raise LebenchError(f"cotangents must have shape (n, C) = ({n}, {plan.outputs}), got {tuple(cotangents.shape)}")
    return cotangents.detach().to(like)


def _on_certified(
    module: nn.Module, x1: Inputs, x2: Inputs | None, compute: Callable[[nn.Module, Plan, Inputs, Inputs | None], R]
) -> R:
    """Call `compute` with the certificate of the module, again if inputs further on refute it."""
    with torch.inference_mode(False), torch.no_grad():
        inputs1 = prepared(module, x1)
        if any(t.is_inference() for t in together(module.parameters(), module.buffers())):
            module = copy.deepcopy(module)
        inputs2 = None if x2 is None else prepared(module, x2)
        if inputs2 is not None and shapes(inputs1) != shapes(inputs2):
            raise LebenchError(f"x1 and x2 must hold inputs of one shape, got {shown(inputs1)} and {shown(inputs2)}")
        with _without_autocast(module):
            plan = certified(module, inputs1, inputs2)
            while True:
                try:
                    result = compute(module, plan, inputs1, inputs2)
                    break
                except Irregular as found:
                    # Nothing has certified torch.func for them.
                    plan = replace(plan.without(found.keys), vectorized=False)
                    amend(module, inputs1, plan)
                except torch.OutOfMemoryError:
                    if plan.parts > 1:
                        raise
                    plan = replace(plan, parts=2)
                    make_room()
    parts: Any = result if isinstance(result, tuple) else (result,)
    for part in parts:
        _refuse_overflow(part)
    return result


def _without_autocast(module: nn.Module) -> AbstractContextManager[object]:
    """Compute in the precision of the weights, whatever precision the caller trains in."""
    kind = next((parameter.device.type for parameter in module.parameters()), "cpu")
    on = torch.amp.autocast_mode.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _refuse_overflow(result: Tensor) -> None:
    """Name the input at which a kernel (n, m, ...) is not finite."""
    wrong = ~torch.isfinite(result.reshape(*result.shape[:2], -1)).all(dim=2)
    if wrong.any():
        counts = [wrong.sum(dim) for dim in (1, 0)]
        side = int(counts[1].max() > counts[0].max())
        raise LebenchError(
            f"the kernel is not finite at x{side + 1}[{int(counts[side].argmax())}]: scores or gradients overflow "
            f"{str(result.dtype).removeprefix('torch.')} or are NaN there; remove that input, or use module.double()"
        )


class _Work:
    """What samples cost, and where their factors are kept; ``like`` has the dtype and device of the scores."""

    def __init__(self, module: nn.Module, plan: Plan, x: Inputs, chunk: int | None, memory: int | None) -> None:
        if chunk is not None and chunk < 1:
            raise LebenchError(f"chunk must be at least 1, got {chunk}")
        if memory is not None and memory < 1:
            raise LebenchError(f"memory must be at least 1 byte, got {memory}")
        self.module, self.plan = module, plan
        parameters = dict(module.named_parameters())
        self._explicit = sum(parameters[name].numel() for name in plan.explicit)
        self._inputs = self._signals = 0
        self.like = next(iter(parameters.values())).detach()
        if plan.chain is not None:
            self._inputs = sum(layer.in_features for layer in plan.chain.layers)
            self._signals = sum(layer.out_features for layer in plan.chain.layers)
        elif plan.groups:
            tape = Tape(module, take(x, [0]))
            self.like = tape.scores.detach()
            calls = [call for key, _ in plan.groups for call in tape.groups.get(key, ())]
            self._inputs = sum(call.a.numel() for call in calls) // tape.batch
            self._signals = sum(call.shape.numel() for call in calls) // tape.batch
        self.unit = torch.eye(plan.outputs, dtype=self.like.dtype, device=self.like.device)
        item = self.like.element_size()
        # The graph keeps about two tensors of a layer's size; vmap about three of the gradients that it forms.
        rows = 3 * self._explicit if plan.chain is None else 2 * self._signals
        passing = item * (2 * (self._inputs + self._signals) + plan.outputs * rows)
        self.chunk = max(1, (chunk or BUDGET_BYTES // max(1, passing)) // plan.parts)
        self._memory = (_free_memory(self.like.device) if memory is None else memory) // plan.parts
        self.store = Store(on_disk=False)

    def blocks(self, total: int, separable: bool) -> tuple[int, int]:
        """Return how many samples of both sides, and how many scores, have factors at once; choose where these are.

        Scores can be treated in parts if the result is a sum over them.

        Raises
        ------
        LebenchError
            If the factors of one pair do not fit.
        """
        outputs, disk = self.plan.outputs, free_disk()
        for passes in range(1, outputs + 1 if separable else 2):
            scores = -(-outputs // passes)
            needed = total * self._bytes(scores)
            if needed <= max(self._memory, disk):
                self.store = Store(on_disk=needed > self._memory)
                return total, scores
        scores = 1 if separable else outputs
        most = max(self._memory, disk)
        self.store = Store(on_disk=disk > self._memory)
        fit = most // (2 * self._bytes(scores))
        if fit < 1:
            raise LebenchError(
                f"the factors of a pair of inputs take {2 * self._bytes(scores) / 1e9:.3g} GB, more than the "
                f"{most / 1e9:.3g} GB of memory or temporary files; pass more memory=, or use fewer outputs"
            )
        return fit, scores

    def factors(self, x: Inputs, cotangents: Tensor) -> list[Factor]:
        """Return the factors of combinations (n or 1, k, C) of the scores at inputs, from one pass of each."""
        if self.plan.chain is not None:
            trace = Trace.of(self.plan.chain, x)
            return trace.factors(self.plan.chain.layers, cotangents.expand(samples(x), -1, -1))
        return collect(self.module, x, self.plan, cotangents, self.store, self.chunk)

    def _bytes(self, scores: int) -> int:
        return self.like.element_size() * (self._inputs + scores * (self._signals + self._explicit))


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return int(psutil.virtual_memory().available) // 2


def _chain_kernel(work: _Work, chain: Chain, x1: Tensor, x2: Tensor | None) -> Tensor:
    """Compute the trace of a dense ReLU network, with every score of a sample in one backward pass of its rows."""
    n, m = len(x1), len(x1 if x2 is None else x2)
    size = work.chunk
    result = work.like.new_empty((n, m))
    for rows in slices(n, size):
        left = Trace.of(chain, x1[rows])
        for columns in slices(m, size):
            if x2 is None and columns.start < rows.start:
                result[rows, columns] = result[columns, rows].T
                continue
            right = left if x2 is None and columns == rows else Trace.of(chain, (x1 if x2 is None else x2)[columns])
            result[rows, columns] = left.kernel(chain.layers, right, work.unit)
    return result / work.plan.outputs


def _chain_changes(
    work: _Work, chain: Chain, sources: Tensor, cotangents: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Do :func:`first_order_changes` for a dense ReLU network, with every pass made once."""
    layers = chain.layers
    trace1 = Trace.of(chain, sources)
    backward1 = trace1.backward(layers, cotangents[:, None])
    at_sources = trace1.own_change(layers, backward1)
    trace2 = trace1 if targets is None else Trace.of(chain, targets)
    m, outputs = trace2.z[-1].shape
    result = cotangents.new_zeros((len(sources), m, outputs))
    per_target = 2 * outputs * work._signals * work.like.element_size()
    for columns in slices(m, max(1, BUDGET_BYTES // work.plan.parts // per_target)):
        part = Trace([a[columns] for a in trace2.a], [z[columns] for z in trace2.z])
        backward2 = part.backward(layers, work.unit.expand(len(part.a[0]), -1, -1))
        for layer, a1, g1, a2, g2 in zip(layers, trace1.a, backward1, part.a, backward2, strict=True):
            inputs = a1 @ a2.T + (layer.bias is not None)
            aligned = (g1[:, 0] @ g2.flatten(0, 1).T).view(len(sources), -1, outputs)
            result[:, columns] += aligned.mul_(inputs[:, :, None])
    return result, at_sources
