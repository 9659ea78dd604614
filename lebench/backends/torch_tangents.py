"""Empirical neural tangent kernels of torch modules, exact, without forming Jacobians.

A sum over layers of inner products of per-sample gradients, from the factors that :mod:`lebench.backends.torch_layers`
records and :mod:`lebench.backends.torch_factors` contracts; dense ReLU networks go a shorter way
(:meth:`lebench.backends.torch_chains.Trace.kernel`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from lebench.backends.torch_chains import Trace
from lebench.backends.torch_factors import ELEMENTWISE_COST, Factor, contract, slices
from lebench.backends.torch_layers import Irregular, Layout, Tape, check_inputs, check_module, layout, prepared
from lebench.errors import LebenchError

Contraction = Literal["trace", "full"]
R = TypeVar("R")

#: Working memory that automatic chunks aim at, beyond inputs and result.
BUDGET_BYTES = 240 * 2**20

#: What a further pass over a block of classes costs, relative to the backward passes of all classes.
_PASS_COST = 0.2

#: Inputs whose own products are taken from one square of products: small, because the rest of it is thrown away.
_OWN_BLOCK = 8


def empirical_ntk(
    module: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    contraction: Contraction = "trace",
    chunk: int | None = None,
) -> Tensor:
    """Compute the empirical neural tangent kernel of a module at its current parameters.

    ``K_w(x, x') = J(x) J(x')^T`` with J the Jacobian of the scores in all parameters that require gradients
    (Jacot et al. 2018, section 4; science page 2.1).

    Parameters
    ----------
    module : torch.nn.Module
        Maps inputs (n, ...) to scores (n, C) or (n,); in evaluation mode.
    x1 : Tensor of shape (n, ...)
        Inputs; converted to the dtype and device of the module.
    x2 : Tensor of shape (m, ...), optional
        Other inputs; by default `x1`, for which only half the work is done.
    contraction : {"trace", "full"}
        ``"trace"`` averages the diagonal of the C x C blocks over outputs; ``"full"`` keeps the blocks.
    chunk : int, optional
        Samples treated at once; by default as many as fit the working memory of about 240 MB.

    Returns
    -------
    Tensor
        (n, m), or (n, m, C, C) with ``[i, j, c, d]`` pairing output c at ``x1[i]`` with output d at ``x2[j]``; in
        the dtype of the module.

    Raises
    ------
    LebenchError
        If the module is in training mode, couples the inputs of a batch, or does not return scores; if the inputs are
        no tensor of finite numbers that the module takes; if `chunk` or `contraction` is not one of the values above.

    Examples
    --------
    >>> linear = nn.Linear(2, 3, bias=False).eval()
    >>> empirical_ntk(linear, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[ 5., 11.],
            [11., 25.]])
    """
    if contraction not in ("trace", "full"):
        raise LebenchError(f"contraction must be 'trace' or 'full', got {contraction!r}")
    symmetric = x2 is None
    inputs1 = prepared(module, x1)
    inputs2 = inputs1 if x2 is None else prepared(module, x2)
    if inputs1.shape[1:] != inputs2.shape[1:]:
        raise LebenchError(
            f"x1 and x2 must hold inputs of one shape, got {tuple(inputs1.shape[1:])} and {tuple(inputs2.shape[1:])}"
        )

    def compute(plan: Layout, probe: Tape) -> Tensor:
        outputs = probe.scores.shape[1]
        n, m = len(inputs1), len(inputs2)
        sizes = _chunking(probe, n if symmetric else n + m, contraction == "trace", chunk)
        unit = torch.eye(outputs, dtype=probe.scores.dtype, device=probe.scores.device)[:, None]
        result = probe.scores.new_zeros((n, m) if contraction == "trace" else (n, m, outputs, outputs))
        for rows in slices(n, sizes.samples):
            tape1 = Tape(module, inputs1[rows], plan)
            for columns in slices(m, sizes.samples):
                if symmetric and columns.start < rows.start:
                    continue
                same = symmetric and columns.start == rows.start
                tape2 = tape1 if same else Tape(module, inputs2[columns], plan)
                block = result[rows, columns]
                for classes in slices(outputs, sizes.classes):
                    kernel = _inner(tape1, unit[classes], tape2, unit[classes], contraction == "trace")
                    block += kernel
                if symmetric and not same:
                    result[columns, rows] = block.transpose(0, 1).transpose(-1, -2) if block.ndim == 4 else block.T
        return result / outputs if contraction == "trace" else result

    return _with_layout(module, inputs1, compute)


def tangent_products(module: nn.Module, sources: Tensor, cotangents: Tensor, targets: Tensor) -> Tensor:
    """Compute the first-order change of every score at every target per unit step along sources' gradients.

    ``P[i, j, c] = < df_c(x'_j)/dw , sum_d cotangents[i, d] df_d(x_i)/dw >``. With ``cotangents[i]`` the gradient of the
    loss of source i in its scores, ``-step * P[i, j]`` is the change that a step of gradient descent on source i makes
    at target j, to first order in the step (He & Su 2020, section 2; science page 4.1).

    Parameters
    ----------
    module : torch.nn.Module
        Maps inputs (n, ...) to scores (n, C) or (n,); in evaluation mode.
    sources : Tensor of shape (n, ...)
    cotangents : Tensor of shape (n, C)
        Coefficients of the scores at each source.
    targets : Tensor of shape (m, ...)

    Returns
    -------
    Tensor of shape (n, m, C)
        In the dtype of the module.

    Raises
    ------
    LebenchError
        If the module is in training mode, couples the inputs of a batch, or does not return scores; if `cotangents`
        does not have one row per source and one column per score.
    """
    at_sources, at_targets = prepared(module, sources), prepared(module, targets)

    def compute(plan: Layout, probe: Tape) -> Tensor:
        outputs = probe.scores.shape[1]
        n, m = len(at_sources), len(at_targets)
        if cotangents.shape != (n, outputs):
            raise LebenchError(f"cotangents must have shape (n, C) = ({n}, {outputs}), got {tuple(cotangents.shape)}")
        weights = cotangents.detach().to(probe.scores)
        samples = _chunking(probe, n + m, False, None).samples
        unit = torch.eye(outputs, dtype=probe.scores.dtype, device=probe.scores.device)[:, None]
        result = probe.scores.new_empty((n, m, outputs))
        for columns in slices(m, samples):
            tape2 = Tape(module, at_targets[columns], plan)
            for rows in slices(n, samples):
                tape1 = Tape(module, at_sources[rows], plan)
                result[rows, columns] = _inner(tape1, weights[None, rows], tape2, unit, False)[:, :, 0]
        return result

    return _with_layout(module, at_sources, compute)


def first_order_changes(
    module: nn.Module, sources: Tensor, cotangents: Tensor, targets: Tensor
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
    inputs = prepared(module, sources)

    def compute(plan: Layout, probe: Tape) -> tuple[Tensor, Tensor]:
        n, outputs = len(inputs), probe.scores.shape[1]
        if plan.chain and cotangents.shape == (n, outputs):
            others = None if sources is targets else prepared(module, targets)
            return _chain_changes(list(plan.chain), inputs, cotangents.detach().to(probe.scores), others)
        at_targets = tangent_products(module, inputs, cotangents, targets)
        if sources is targets:
            return at_targets, at_targets.diagonal().T
        squares = [
            tangent_products(module, inputs[rows], cotangents[rows], inputs[rows]) for rows in slices(n, _OWN_BLOCK)
        ]
        return at_targets, torch.cat([square.diagonal().T for square in squares])

    return _with_layout(module, inputs, compute)


def _chain_changes(
    layers: list[nn.Linear], sources: Tensor, cotangents: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Do the same for a dense ReLU network, with every forward and backward pass made once."""
    with torch.no_grad():
        trace1 = Trace.of(layers, sources)
        backward1 = trace1.backward(layers, cotangents[:, None])
        at_sources = trace1.own_change(layers, backward1)
        trace2 = trace1 if targets is None else Trace.of(layers, targets)
        m, outputs = trace2.z[-1].shape
        unit = torch.eye(outputs, dtype=cotangents.dtype, device=cotangents.device)
        result = cotangents.new_zeros((len(sources), m, outputs))
        per_target = 2 * outputs * sum(layer.out_features for layer in layers) * unit.element_size()
        for columns in slices(m, max(1, BUDGET_BYTES // per_target)):
            part = Trace([a[columns] for a in trace2.a], [z[columns] for z in trace2.z])
            backward2 = part.backward(layers, unit.expand(len(part.a[0]), -1, -1))
            for layer, a1, g1, a2, g2 in zip(layers, trace1.a, backward1, part.a, backward2, strict=True):
                inputs = a1 @ a2.T + (layer.bias is not None)
                aligned = (g1[:, 0] @ g2.flatten(0, 1).T).view(len(sources), -1, outputs)
                result[:, columns] += aligned.mul_(inputs[:, :, None])
    return result, at_sources


def _with_layout(module: nn.Module, x: Tensor, compute: Callable[[Layout, Tape], R]) -> R:
    """Call `compute` with the layout of the module, again if a layer turns out not to fit it."""
    check_module(module)
    irregular: list[nn.Module] = []
    while True:
        # Two sizes of batch, this one and the real one, tell the batch dimension from any other.
        few = x[:1].expand(3 if len(x) == 2 else 2, *x.shape[1:])
        if not irregular:
            check_inputs(module, few)
        plan = layout(module, few, irregular)
        try:
            # A chain tells its sizes without inputs.
            probe = Tape(module, few[:0] if plan.chain else few, plan)
            return compute(plan, probe)
        except Irregular as found:
            irregular += found.layers


@dataclass(frozen=True)
class _Chunks:
    samples: int
    classes: int


def _chunking(probe: Tape, total: int, separable: bool, chunk: int | None) -> _Chunks:
    """Choose how many samples and classes to treat at once.

    Parameters
    ----------
    probe : Tape
        Tells the sizes of all layers.
    total : int
        Samples on both sides together.
    separable : bool
        Whether the result is a sum over classes, which can then be treated in blocks.
    chunk : int, optional
        The user's choice of samples.
    """
    outputs = probe.scores.shape[1]
    calls = [call for layer in probe.plan.layers for call in probe.calls[id(layer)]]
    per_sample = [call.shape[1:].numel() for call in calls]
    sizes = {id(layer): sum(call.shape[1:].numel() for call in probe.calls[id(layer)]) for layer in probe.plan.layers}
    parameters = dict(probe.module.named_parameters())
    positions = max((call.shape[2:].numel() if len(call.shape) > 2 else 1 for call in calls), default=1)
    item = probe.scores.element_size()
    # The graph keeps about two tensors of a layer's size; patches of a convolution are 9 times its input.
    fixed = item * (2 * sum(per_sample) + (9 * max(per_sample, default=0) if positions > 1 else 0))
    # Explicit gradients exist for one layer at a time.
    gradient = max((_explicit_size(probe, layer, outputs) for layer in probe.plan.layers), default=0)
    explicit = 3 * sum(parameters[name].numel() for name in probe.plan.explicit)
    # Signals exist for one segment at a time, and at the edge where the next one starts.
    segments = [sum(sizes[id(layer)] for layer in segment.layers) for segment in probe.segments]
    per_class = item * (max(segments, default=0) + max(per_sample, default=0) + gradient + explicit)
    if chunk is not None:
        if chunk < 1:
            raise LebenchError(f"chunk must be at least 1, got {chunk}")
        return _Chunks(chunk, outputs)
    best, lowest = _Chunks(1, outputs), float("inf")
    for passes in range(1, outputs + 1 if separable else 2):
        classes = -(-outputs // passes)
        one = fixed + classes * per_class
        samples = total if total * one <= BUDGET_BYTES else max(1, BUDGET_BYTES // (2 * one))
        # Every chunk is done again for every other one, and every pass over classes repeats what they share.
        cost = -(-total // samples) * (1 + _PASS_COST * passes)
        if cost < lowest:
            best, lowest = _Chunks(samples, classes), cost
    return best


def _explicit_size(probe: Tape, layer: nn.Module, outputs: int) -> int:
    """Return the elements of an explicit gradient of a layer if :func:`contract` may form it, else 0."""
    positions = sum(call.shape[2:].numel() for call in probe.calls[id(layer)] if len(call.shape) > 2)
    size = max((p.numel() for p in layer.parameters(recurse=False)), default=0)
    if positions <= 1:
        return 0
    if not isinstance(layer, nn.Conv1d | nn.Conv2d):
        return size
    q = layer.out_channels // layer.groups
    p = layer.weight[0].numel()
    # Per pair of inputs, at most what tables of positions cost; with fewer pairs explicit gradients only cost more.
    tables = positions**2 * layer.groups * (p / outputs + q + ELEMENTWISE_COST)
    return size if size < tables else 0


def _inner(tape1: Tape, cotangents1: Tensor, tape2: Tape, cotangents2: Tensor, trace: bool) -> Tensor:
    """Return inner products of gradients: (n, m) summed over paired scores, or (n, m, k1, k2) for all pairs.

    Cotangents are (k, n or 1, C). Both sides are the same samples and scores if the tapes are the same object.
    """
    same = tape1 is tape2
    n, m, k1, k2 = len(tape1.x), len(tape2.x), len(cotangents1), len(cotangents2)
    if trace and tape1.plan.chain:
        return tape1.trace.kernel(list(tape1.plan.chain), tape2.trace, cotangents1[:, 0])
    cotangents1 = cotangents1.expand(-1, n, -1)
    cotangents2 = cotangents1 if same else cotangents2.expand(-1, m, -1)
    if [segment.layers for segment in tape1.segments] != [segment.layers for segment in tape2.segments]:
        # What a module does may depend on its inputs.
        tape1.undivided()
        tape2.undivided()
    total = tape1.scores.new_zeros((n, m) if trace else (n, m, k1, k2))
    sides = [tape1.backward(cotangents1)] if same else [tape1.backward(cotangents1), tape2.backward(cotangents2)]
    for segment, *signals in zip(tape1.segments, *sides, strict=False):
        for layer in segment.layers:
            factors = [t.factor(layer, s.pop(id(layer))) for t, s in zip((tape1, tape2), signals, strict=False)]
            if factors[0] is not None and factors[-1] is not None:
                total += contract(factors[0], factors[-1], trace)
    if tape1.plan.explicit:
        rows1 = Factor(rows=tape1.explicit_rows(cotangents1))
        rows2 = rows1 if same else Factor(rows=tape2.explicit_rows(cotangents2))
        total += contract(rows1, rows2, trace)
    return total
