"""What each layer contributes to the tangent features of a network: the factors of its per-sample gradients.

The gradient of a score in the weights of a dense or convolutional layer is a product of two small matrices,
``dW = G P^T``: P holds the inputs of the layer (patches of them for a convolution), G the gradient of the score in
the outputs of the layer, one column per position. Kernels need only inner products of such gradients, so the
gradients themselves are rarely formed. Hooks record the inputs; one backward pass per score gives every G. A module
that is called several times has the columns of all its calls side by side, which sums its gradients.

Parameters used in any other way (another type of layer, a weight tied between layers, a functional call that reads a
layer's weight, a layer that does not see the batch in its first dimension) get explicit per-sample gradients, so the
results are exact for every module.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lebench.backends.torch_chains import Trace, computes, relu_layers
from lebench.backends.torch_factors import Factor
from lebench.backends.torch_graphs import Call, Segment, segments, uses
from lebench.errors import LebenchError

_MATRIX_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_AFFINE_LAYERS = (*_BATCH_NORMS, nn.GroupNorm, nn.LayerNorm)


class Irregular(Exception):
    """Parameters that are not used the way their layer's structure says; they need explicit gradients."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = list(layers)


@dataclass(frozen=True)
class Layout:
    """The layers whose gradients are products, and the names of the parameters that need explicit gradients.

    The layers of a dense ReLU network are in `chain`, too.
    """

    layers: tuple[nn.Module, ...]
    explicit: tuple[str, ...]
    chain: tuple[nn.Linear, ...] = ()


def check_module(module: nn.Module) -> None:
    """Refuse modules whose scores of one input depend on the other inputs of the batch or on chance.

    Raises
    ------
    LebenchError
        If a part of the module is in training mode, or normalizes by batch statistics in evaluation mode.
    """
    for name, part in module.named_modules():
        if part.training:
            raise LebenchError(
                f"module {name or type(part).__name__!r} is in training mode; call module.eval() first, so that the "
                "scores of an input do not depend on its batch"
            )
        if isinstance(part, _BATCH_NORMS) and part.running_mean is None:
            raise LebenchError(
                f"batch normalization {name!r} keeps no running statistics, so the scores of an input depend on its "
                "batch; use track_running_stats=True"
            )


def layout(module: nn.Module, x: Tensor, irregular: Sequence[nn.Module] = ()) -> Layout:
    """Return which trainable layers have product structure, leaving out those known to be irregular.

    Parameters
    ----------
    module : nn.Module
    x : Tensor of shape (n, ...)
        A few inputs.
    irregular : sequence of nn.Module
        What :class:`Irregular` named before.
    """
    chain = relu_layers(module)
    # Only a class of its own can do more than its layers in a row.
    if chain is not None and (type(module) is nn.Sequential or computes(module, chain, x)):
        return Layout(tuple(chain), (), tuple(chain))
    owners: Counter[int] = Counter(
        id(p) for part in module.modules() for p in part.parameters(recurse=False) if p.requires_grad
    )
    excluded = {id(layer) for layer in irregular}
    layers: list[nn.Module] = []
    covered: set[int] = set()
    for part in module.modules():
        own = [p for p in part.parameters(recurse=False) if p.requires_grad]
        # Old-style weight normalization keeps the type and hides the parameters behind a plain attribute.
        plain = set(dict(part.named_parameters(recurse=False))) <= {"weight", "bias"}
        tied = any(owners[id(p)] > 1 for p in own)
        if type(part) in _MATRIX_LAYERS + _AFFINE_LAYERS and own and plain and not tied and id(part) not in excluded:
            layers.append(part)
            covered.update(id(p) for p in own)
    explicit = tuple(name for name, p in module.named_parameters() if p.requires_grad and id(p) not in covered)
    return Layout(tuple(layers), explicit)


@contextmanager
def _recording(layers: Sequence[nn.Module], calls: dict[int, list[Call]]) -> Iterator[None]:
    def record(layer: nn.Module, args: Any, kwargs: Any, output: Tensor) -> None:
        a = args[0] if args else kwargs["input"]
        # The edge, unlike the tensor, still means this layer's output after an in-place activation.
        edge = torch.autograd.graph.get_gradient_edge(output)
        calls[id(layer)].append(Call(a.detach(), output.shape, edge))

    # First in line, so that a user's hook that replaces the output comes after.
    handles = [layer.register_forward_hook(record, prepend=True, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def forward(module: nn.Module, x: Tensor) -> Tensor:
    """Return the scores as a matrix (n, C).

    Raises
    ------
    LebenchError
        If the module returns anything else than a tensor of shape (n, C) or (n,).
    """
    scores = module(x)
    if not isinstance(scores, Tensor) or scores.ndim not in (1, 2) or len(scores) != len(x):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise LebenchError(f"the module must return scores of shape (n, C) or (n,) for n = {len(x)} inputs; got {got}")
    return scores[:, None] if scores.ndim == 1 else scores


def prepared(module: nn.Module, x: Tensor) -> Tensor:
    """Return inputs in the dtype and on the device of the module's parameters.

    Raises
    ------
    LebenchError
        If there are no parameters, or the inputs are not a tensor with at least one finite input.
    """
    parameter = next(module.parameters(), None)
    if parameter is None:
        raise LebenchError("the module has no parameters, so nothing in it can be trained")
    if not isinstance(x, Tensor):
        raise LebenchError(f"inputs must be a torch tensor, got {type(x).__name__}; torch.as_tensor converts arrays")
    if x.ndim == 0 or len(x) == 0:
        raise LebenchError("there are no inputs")
    if not torch.isfinite(x).all():
        raise LebenchError("the inputs contain NaN or infinite numbers; remove or replace them first")
    # Integer inputs are indices into an embedding and keep their type.
    return x.detach().to(parameter) if x.is_floating_point() else x.detach().to(parameter.device)


def check_inputs(module: nn.Module, x: Tensor) -> None:
    """Refuse inputs of a shape that the module does not take.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    x : Tensor of shape (n, ...)
        From :func:`prepared`; a few suffice.

    Raises
    ------
    LebenchError
        If the module fails on them.
    """
    try:
        with torch.no_grad():
            module(x)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().split("\n")[0]
        raise LebenchError(f"the module does not take inputs of shape {tuple(x.shape[1:])}: {reason}") from error


class Tape:
    """A forward pass through a module, from which gradients of any scores can be had.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode.
    x : Tensor of shape (n, ...)
        Inputs.
    plan : Layout
        From :func:`layout`.

    Raises
    ------
    Irregular
        If a layer of the plan is not used as its structure says.
    """

    def __init__(self, module: nn.Module, x: Tensor, plan: Layout) -> None:
        self.module, self.x, self.plan = module, x, plan
        self.calls: dict[int, list[Call]] = {id(layer): [] for layer in plan.layers}
        if plan.chain:
            self.trace = Trace.of(list(plan.chain), x)
            self.scores = self.trace.z[-1]
            for layer, a, z in zip(plan.chain, self.trace.a, self.trace.z, strict=True):
                self.calls[id(layer)].append(Call(a, z.shape, None))
            self.segments = [Segment(None, list(plan.chain))]
            return
        with torch.enable_grad(), _recording(plan.layers, self.calls):
            self.scores = forward(module, x)
        used = uses(self.scores)
        irregular = [layer for layer in plan.layers if not self._regular(layer, used)]
        if irregular:
            raise Irregular(irregular)
        self.segments = segments(self.scores, plan.layers, self.calls)

    def undivided(self) -> None:
        """Have one segment, with all layers."""
        self.segments = [Segment(segment.start, list(self.plan.layers)) for segment in self.segments[:1]]

    def _regular(self, layer: nn.Module, used: Counter[int]) -> bool:
        calls = self.calls[id(layer)]
        # A convolution takes one input without a batch, too: one dimension less.
        dimensions = 3 if isinstance(layer, nn.Conv1d) else 4 if isinstance(layer, nn.Conv2d) else 2
        own = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        return all(used[id(p)] == len(calls) for p in own) and all(
            call.a.ndim >= dimensions and len(call.a) == call.shape[0] == len(self.x) for call in calls
        )

    def backward(self, cotangents: Tensor) -> Iterator[dict[int, list[Tensor]]]:
        """Yield, segment by segment, the gradients of k combinations of scores in the outputs of every call.

        Parameters
        ----------
        cotangents : Tensor of shape (k, n, C)
            Coefficients of the scores in each combination.

        Yields
        ------
        dict
            By ``id(layer)``, for each call a tensor (n, k, ...).
        """
        if self.plan.chain:
            gradients = self.trace.backward(list(self.plan.chain), cotangents.transpose(0, 1))
            yield {id(layer): [gradient] for layer, gradient in zip(self.plan.chain, gradients, strict=True)}
            return
        n, k = len(self.x), len(cotangents)
        arriving: list[Tensor | None] = list(cotangents)
        for index, segment in enumerate(self.segments):
            if any(gradient is None for gradient in arriving):
                return  # something above has no gradient, so nothing below has one either
            calls = [call for layer in segment.layers for call in self.calls[id(layer)]]
            signals = [self.scores.new_empty((n, k, *call.shape[1:])) for call in calls]
            wanted = [call.edge for call in calls] + [following.start for following in self.segments[index + 1 :][:1]]
            for score in range(k):
                found = torch.autograd.grad(
                    [segment.start], wanted, [arriving[score]], retain_graph=True, allow_unused=True
                )
                for signal, gradient in zip(signals, found, strict=False):
                    signal[:, score] = 0 if gradient is None else gradient
                arriving[score] = found[-1]
            by_call = iter(signals)
            by_layer = {id(layer): [next(by_call) for _ in self.calls[id(layer)]] for layer in segment.layers}
            del signals, by_call, found, signal, gradient  # so that the reader decides how long they live
            yield by_layer

    def factor(self, layer: nn.Module, signals: Sequence[Tensor]) -> Factor | None:
        """Return the gradients of one layer from the gradients in its outputs, or None if it was never called."""
        calls = self.calls[id(layer)]
        if not calls:
            return None
        if isinstance(layer, _MATRIX_LAYERS):
            columns = [_columns(layer, signal) for signal in signals]
            return Factor(lambda rows: _joined([_patches(layer, call.a[rows]) for call in calls]), _joined(columns))
        rows = [_affine_rows(layer, call.a, signal) for call, signal in zip(calls, signals, strict=True)]
        return Factor(rows=sum(rows[1:], rows[0]))

    def explicit_rows(self, cotangents: Tensor) -> Tensor:
        """Return gradients (n, k, P) of the explicit parameters, for cotangents (k, n, C)."""
        parameters = dict(self.module.named_parameters())
        explicit = {name: parameters[name].detach() for name in self.plan.explicit}
        per_sample = cotangents.transpose(0, 1)

        def rows(x: Tensor, cotangent: Tensor) -> Tensor:
            def scores(values: dict[str, Tensor]) -> Tensor:
                output: Tensor = torch.func.functional_call(self.module, values, (x[None],))
                return output.reshape(-1)

            pullback = torch.func.vjp(scores, explicit)[1]
            # A loop: under a second vmap some backward formulas (PReLU's) return wrong shapes.
            return torch.stack([torch.cat([g.flatten() for g in pullback(c)[0].values()]) for c in cotangent])

        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
                result: Tensor = torch.func.vmap(rows)(self.x, per_sample)
            return result
        except RuntimeError:
            # vmap refuses modules with data-dependent control flow; autograd, sample by sample, takes them all.
            return self._explicit_rows_one_by_one([parameters[name] for name in explicit], per_sample)

    def _explicit_rows_one_by_one(self, parameters: list[nn.Parameter], cotangents: Tensor) -> Tensor:
        rows = self.x.new_empty((*cotangents.shape[:2], sum(p.numel() for p in parameters)), dtype=self.scores.dtype)
        for i, x in enumerate(self.x):
            with torch.enable_grad():
                scores = forward(self.module, x[None])
            for k, cotangent in enumerate(cotangents[i]):
                gradients = torch.autograd.grad(
                    scores, parameters, cotangent[None], retain_graph=True, allow_unused=True, materialize_grads=True
                )
                rows[i, k] = torch.cat([g.flatten() for g in gradients])
        return rows


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=-1)


def _columns(layer: nn.Linear | nn.Conv1d | nn.Conv2d, signal: Tensor) -> Tensor:
    """Return the signals (n, k, groups, q, T) of a layer."""
    n, k = signal.shape[:2]
    if isinstance(layer, nn.Linear):
        return signal.reshape(n, k, -1, layer.out_features).transpose(2, 3)[:, :, None]
    return signal.reshape(n, k, layer.groups, layer.out_channels // layer.groups, -1)


def _patches(layer: nn.Linear | nn.Conv1d | nn.Conv2d, a: Tensor) -> Tensor:
    """Return the patches (n, groups, p, T) of a layer's input; a bias is one more entry that is always 1."""
    n = len(a)
    if isinstance(layer, nn.Linear):
        patches = a.reshape(n, -1, layer.in_features).transpose(1, 2)[:, None]
    else:
        unfolded = _unfolded(layer, a)
        patches = unfolded.view(n, layer.groups, -1, unfolded.shape[-1])
    ones = patches.new_ones(()).expand(n, patches.shape[1], 1, patches.shape[3])
    if not layer.weight.requires_grad:
        return ones
    if layer.bias is not None and layer.bias.requires_grad:
        patches = torch.cat([patches, ones], dim=2)
    return patches


def _unfolded(layer: nn.Conv1d | nn.Conv2d, a: Tensor) -> Tensor:
    kernel, dilation = layer.kernel_size, layer.dilation
    if layer.padding == "same":
        totals = [d * (size - 1) for d, size in zip(dilation, kernel, strict=True)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        sides = [(0, 0) if layer.padding == "valid" else (int(p), int(p)) for p in layer.padding]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    pad = [side for pair in reversed(sides) for side in pair]
    if any(pad):
        a = F.pad(a, pad, mode=mode)
    geometry = zip(a.shape[2:], kernel, dilation, layer.stride, strict=True)
    positions = [(size - step * (side - 1) - 1) // stride + 1 for size, side, step, stride in geometry]
    apart = [step * jump for step, jump in zip(dilation, a.stride()[2:], strict=True)]
    onward = [stride * jump for stride, jump in zip(layer.stride, a.stride()[2:], strict=True)]
    # Copying a view of overlapping windows is several times as fast as F.unfold.
    windows = a.as_strided((*a.shape[:2], *kernel, *positions), (*a.stride()[:2], *apart, *onward))
    return windows.reshape(len(a), -1, math.prod(positions))


def _affine_rows(layer: nn.Module, a: Tensor, signal: Tensor) -> Tensor:
    """Return the gradients (n, k, P) in the scale and shift of a normalization layer."""
    if isinstance(layer, nn.LayerNorm):
        normalized = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
        # Positions are all dimensions between the sample and the normalized ones.
        positions = tuple(range(2, signal.ndim - len(layer.normalized_shape)))
    else:
        if isinstance(layer, nn.GroupNorm):
            normalized = F.group_norm(a, layer.num_groups, eps=layer.eps)
        else:
            assert isinstance(layer, _BATCH_NORMS)
            normalized = F.batch_norm(a, layer.running_mean, layer.running_var, eps=layer.eps)
        positions = tuple(range(3, signal.ndim))

    def summed(gradient: Tensor) -> Tensor:
        return (gradient.sum(positions) if positions else gradient).flatten(2)

    rows = []
    if layer.weight is not None and layer.weight.requires_grad:
        # Class by class: the products of all of them would be the largest thing in memory.
        rows.append(torch.cat([summed((part * normalized)[:, None]) for part in signal.unbind(1)], dim=1))
    if layer.bias is not None and layer.bias.requires_grad:
        rows.append(summed(signal))
    return torch.cat(rows, dim=2)
