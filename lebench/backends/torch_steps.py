"""How one real step of gradient descent on a point changes the scores elsewhere, exactly, in float64.

The change is what local elasticity is made of (He & Su 2020). A loop that updates a copy of the network and subtracts
two forward passes works for every module, at the price of a copy and a full evaluation for each source, and with the
rounding error of a difference of two large numbers. A step on one point changes each layer of a dense ReLU network by
a matrix of rank one, which can be propagated as a *difference*: cheaper, and exact to the last digits for any step.
After a small step few units have changed sign, and sums over all units with corrections at those are cheaper still.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lebench.backends.torch_chains import Trace, computes, relu_layers
from lebench.backends.torch_factors import slices
from lebench.backends.torch_flips import bias, one_hidden_layer, products, two_hidden_layers
from lebench.backends.torch_layers import check_inputs, check_module, forward, prepared
from lebench.errors import LebenchError

Loss = Literal["cross_entropy", "mse"]

#: Elements of an intermediate table; larger ones fall out of the processor's cache.
_CACHE_ELEMENTS = 2**20

#: Inputs evaluated at once in the loop over sources.
_LOOP_BATCH = 512

#: Largest certified error in units of the source's own change, that is, of the relative similarity.
_TOLERANCE = 1e-6

#: Work, in units of a forward pass, that sums over all units cost beside what grows with sources and targets.
_OVERHEAD = 100


def loss_gradient(scores: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Return the gradient of the loss of each sample in its scores, (n, C).

    Parameters
    ----------
    scores : Tensor of shape (n, C)
    labels : Tensor
        Integers (n,) from 0 to C-1 for ``"cross_entropy"``; encoded targets (n, C) for ``"mse"``, which is
        half of the squared distance.
    loss : {"cross_entropy", "mse"}

    Raises
    ------
    LebenchError
        If the labels do not fit the scores and the loss.
    """
    n, outputs = scores.shape
    if loss == "mse":
        if labels.shape != scores.shape or not labels.is_floating_point():
            raise LebenchError(
                f"the loss 'mse' needs encoded targets as floating-point numbers of shape ({n}, {outputs}), got "
                f"{labels.dtype} of shape {tuple(labels.shape)}"
            )
        return scores - labels.to(scores)
    if loss != "cross_entropy":
        raise LebenchError(f"the loss must be 'cross_entropy' or 'mse', got {loss!r}")
    if outputs < 2:
        raise LebenchError("the loss 'cross_entropy' needs at least two scores; use 'mse' for one")
    if labels.shape != (n,) or labels.is_floating_point() or bool(((labels < 0) | (labels >= outputs)).any()):
        raise LebenchError(
            f"the loss 'cross_entropy' needs {n} integer labels from 0 to {outputs - 1}, got {labels.dtype} of shape "
            f"{tuple(labels.shape)}"
        )
    return scores.softmax(1) - F.one_hot(labels.to(scores.device, torch.int64), outputs).to(scores)


def step_changes(
    module: nn.Module,
    sources: Tensor,
    labels: Tensor,
    loss: Loss,
    targets: Tensor,
    step: float,
    *,
    dtype: torch.dtype = torch.float64,
    tolerance: float = _TOLERANCE,
) -> tuple[Tensor, Tensor]:
    """Compute how a step of gradient descent on each source changes the scores at the targets and at the source.

    ``D[i, j] = f(x'_j; w - step * grad_w L(x_i, y_i)) - f(x'_j; w)`` in float64, with w the parameters that require
    gradients (He & Su 2020, section 2; science page 4.1). Exact in every case but one, to rounding: dense ReLU
    networks by propagated differences, anything else by a loop over sources. With two hidden layers a term of third
    order in the step is estimated where that is certified to be as good as exact, see `tolerance`.

    Parameters
    ----------
    module : torch.nn.Module
        Maps inputs (n, ...) to scores (n, C) or (n,); in evaluation mode, of any dtype; left unchanged.
    sources : Tensor of shape (n, ...)
        The points on which the steps are taken, one at a time.
    labels : Tensor
        Integers (n,) from 0 to C-1 for ``"cross_entropy"``; encoded targets (n, C) for ``"mse"``.
    loss : {"cross_entropy", "mse"}
        ``"mse"`` is half of the squared distance.
    targets : Tensor of shape (m, ...)
    step : float
        Size of the step.
    dtype : torch.dtype
        Of the computation in dense ReLU networks; float32 takes half the time and is right to about 1e-5 of the largest
        change. A loop over sources is always in float64, since it subtracts.
    tolerance : float
        Largest error of a row of changes that is accepted to save time, relative to the norm of the change at its own
        source: what the relative similarity may be wrong by. Sources for which no such bound is certified, and all
        sources if many units may change sign, are propagated exactly; with 0 practically all are.

    Returns
    -------
    at_targets : Tensor of shape (n, m, C), `dtype`
    at_sources : Tensor of shape (n, C), `dtype`
        The change at source i of the step on source i.

    Raises
    ------
    LebenchError
        If the module is in training mode, couples the inputs of a batch, or does not return scores; if the labels do
        not fit the scores and the loss.
    """
    check_module(module)
    network = copy.deepcopy(module).to(dtype)
    layers = relu_layers(network)
    check_inputs(network, prepared(network, sources[:2]))
    with torch.no_grad():
        if layers is None or not computes(network, layers, prepared(network, sources[:2])):
            network = copy.deepcopy(module).double()
            at_targets, at_sources = _loop(
                network, prepared(network, sources), labels, loss, prepared(network, targets), step
            )
            return at_targets.to(dtype), at_sources.to(dtype)
        source = Trace.of(layers, prepared(network, sources))
        cotangents = loss_gradient(source.z[-1], labels, loss)
        x = prepared(network, targets).flatten(1)
        # Most often the sources are the targets; then there is only one pass, and inner products are symmetric.
        target = source if torch.equal(source.a[0], x) else Trace.of(layers, x)
        if len(layers) == 3:
            found = _certified(layers, source, cotangents, target, step, tolerance)
            if found is not None:
                return found
        g = _gradients(layers, source, cotangents)
        changes = one_hidden_layer(layers, source, g, target, step) if len(layers) == 2 else None
        if changes is None:
            changes = _all_units(layers, source, g, target, step)
        return changes, _at_sources(layers, source, g, step)


def _gradients(layers: list[nn.Linear], source: Trace, cotangents: Tensor) -> list[Tensor]:
    """Return the gradients (n, width) of the source's loss in the preactivations of every layer."""
    return [gradient[:, 0] for gradient in source.backward(layers, cotangents[:, None])]


def _certified(
    layers: list[nn.Linear], source: Trace, cotangents: Tensor, target: Trace, step: float, tolerance: float
) -> tuple[Tensor, Tensor] | None:
    """Return the changes at targets and sources, certified to the tolerance, or None if propagation is cheaper."""
    (n, outputs), m = source.z[-1].shape, len(target.z[-1])
    if tolerance == 0 or n * m < 4 * n + 2 * outputs * m + _OVERHEAD:
        # Nothing but propagation is exact, and nothing else pays for few pairs.
        return None
    own = None
    if target is not source:
        own = _at_sources(layers, source, _gradients(layers, source, cotangents), step)
    found = two_hidden_layers(layers, source, cotangents, target, step, own, tolerance)
    if found is None:
        return None
    return found[0], found[0].diagonal().T.contiguous() if own is None else own


def _propagated(
    layers: list[nn.Linear],
    source: Trace,
    g: list[Tensor],
    rows: slice,
    z: list[Tensor],
    products: list[Tensor],
    step: float,
) -> Tensor:
    """Propagate the differences that a step on each source makes, through all units of all layers.

    Layer l changes by the outer product of ``-step g[l]`` and ``a[l]`` of the source, so a target whose input to the
    layer differs by dh has ``dz = W dh - step (a . a' + a . dh + 1) g``.

    Parameters
    ----------
    rows : slice
        The sources, r of them.
    z : list of Tensor
        Preactivations at the targets, (1, m, H) or (r, m, H) for each layer.
    products : list of Tensor
        Inner products (r, m) of the inputs of each layer at sources and targets.

    Returns
    -------
    Tensor of shape (r, m, C)
    """
    dh: Tensor | None = None
    for index, layer in enumerate(layers):
        a, at_layer = source.a[index][rows], g[index][rows]
        strength = products[index] + bias(layer)
        if dh is not None:
            strength = strength + torch.bmm(dh, a[:, :, None])[:, :, 0]
        dz = (-step * strength)[:, :, None] * at_layer[:, None]
        if dh is not None:
            dz += F.linear(dh, layer.weight)
        if index < len(layers) - 1:
            # relu(z + dz) - relu(z) without subtracting: dz itself wherever both signs are positive.
            dh = torch.maximum(dz.add_(z[index].clamp(max=0)), -z[index].relu())
    return dz


def _at_sources(layers: list[nn.Linear], source: Trace, g: list[Tensor], step: float) -> Tensor:
    """Return the change (n, C) that a step on each source makes at that source."""
    products = [a.square().sum(1, keepdim=True) for a in source.a]
    return _propagated(layers, source, g, slice(None), [z[:, None] for z in source.z], products, step)[:, 0]


def _all_units(layers: list[nn.Linear], source: Trace, g: list[Tensor], target: Trace, step: float) -> Tensor:
    """Return the changes (n, m, C) in a dense network of any depth."""
    n, m, outputs = len(source.z[-1]), len(target.z[-1]), layers[-1].out_features
    width = max(layer.out_features for layer in layers)
    inner = [products(source, target, index) for index in range(len(layers))]
    changes = source.z[-1].new_empty((n, m, outputs))
    for columns in slices(m, _CACHE_ELEMENTS // width):
        z = [z[None, columns] for z in target.z]
        for rows in slices(n, _CACHE_ELEMENTS // (width * (columns.stop - columns.start))):
            block = [product[rows, columns] for product in inner]
            changes[rows, columns] = _propagated(layers, source, g, rows, z, block, step)
    return changes


def _loop(
    module: nn.Module, sources: Tensor, labels: Tensor, loss: Loss, targets: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Return the changes at targets and sources by updating the parameters once for each source."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}

    def scores_at(values: dict[str, Tensor], x: Tensor) -> Tensor:
        scores = [torch.func.functional_call(module, values, (x[part],)) for part in slices(len(x), _LOOP_BATCH)]
        return torch.cat([s[:, None] if s.ndim == 1 else s for s in scores])

    forward(module, sources[:1])
    before = scores_at(dict(parameters), targets)
    gradients = loss_gradient(scores_at(dict(parameters), sources), labels, loss)
    at_targets = before.new_empty((len(sources), *before.shape))
    at_sources = before.new_empty((len(sources), before.shape[1]))
    for index, gradient in enumerate(gradients):
        x = sources[index : index + 1]
        with torch.enable_grad():
            own = forward(module, x)
            moves = torch.autograd.grad(
                own, list(parameters.values()), gradient[None], allow_unused=True, materialize_grads=True
            )
        stepped = {name: p - step * g for (name, p), g in zip(parameters.items(), moves, strict=True)}
        at_targets[index] = scores_at(stepped, targets) - before
        at_sources[index] = (scores_at(stepped, x) - own)[0]
    return at_targets, at_sources
