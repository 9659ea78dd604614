"""Dense ReLU networks, ``[Flatten] Linear (ReLU Linear)*``: found in a module, and run without autograd.

Knowing the structure, all scores of all samples go backwards in one matrix product per layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lebench.backends.torch_build import Flatten, Network
from lebench.backends.torch_factors import Factor, product


@dataclass(frozen=True)
class Chain:
    """The layers of a dense ReLU network, and what comes before the first of them."""

    flatten: nn.Module | None
    layers: tuple[nn.Linear, ...]


def relu_chain(module: nn.Module) -> Chain | None:
    """Return the dense layers of ``[Flatten] Linear (ReLU Linear)*`` with all parameters trainable, or None.

    Only exact types whose ``forward`` is torch's or lebench's own are taken: a subclass, a hook or a patched method may
    do anything. Half precisions are left out, whose products must be summed in single precision.
    """
    container: Any = module.layers if type(module) is Network else module
    if type(container) is not nn.Sequential or not all(p.requires_grad for p in module.parameters()):
        return None
    parts = list(container)
    flatten = parts.pop(0) if parts and _flattens(parts[0]) else None
    dense, activations = parts[::2], parts[1::2]
    plain = all(type(part) is nn.Linear for part in dense) and all(type(part) is nn.ReLU for part in activations)
    changed = any(
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or "forward" in vars(part)
        for part in module.modules()
    ) or any(type(p) is not nn.Parameter or p._backward_hooks or p.itemsize < 4 for p in module.parameters())
    # A layer used twice has the gradients of both uses.
    if not plain or changed or len(dense) != len(activations) + 1 or len(set(map(id, dense))) != len(dense):
        return None
    layers = tuple(part for part in dense if isinstance(part, nn.Linear))
    weights = [p for layer in layers for p in layer.parameters()]
    direct = all(set(dict(layer.named_parameters())) <= {"weight", "bias"} for layer in layers)
    return Chain(flatten, layers) if direct and len({id(p) for p in weights}) == len(weights) else None


def _flattens(part: nn.Module) -> bool:
    if type(part) is nn.Flatten:
        return part.start_dim == 1 and part.end_dim == -1
    return type(part) is Flatten


@dataclass
class Trace:
    """Inputs a[l] (n, width) and preactivations z[l] (n, width) of every layer for n samples."""

    a: list[Tensor]
    z: list[Tensor]

    @classmethod
    def of(cls, chain: Chain, x: Tensor) -> Trace:
        """Run the samples (n, ...) through the layers."""
        with torch.no_grad():
            first = x if chain.flatten is None else chain.flatten(x)
            a, z = [first], [chain.layers[0](first)]
            for layer in chain.layers[1:]:
                a.append(z[-1].relu())
                z.append(layer(a[-1]))
        return cls(a, z)

    def backward(self, layers: Sequence[nn.Linear], cotangents: Tensor) -> list[Tensor]:
        """Return the gradients (n, k, width) in every layer's preactivations of k combinations (n, k, C) of scores."""
        n, k = cotangents.shape[:2]
        gradients = [cotangents]
        with torch.no_grad():
            for layer, z in zip(reversed(layers[1:]), reversed(self.z[:-1]), strict=True):
                below = (gradients[-1].reshape(n * k, -1) @ layer.weight).view(n, k, -1)
                gradients.append(below.mul_((z > 0).to(z)[:, None]))
        return gradients[::-1]

    def kernel(self, layers: Sequence[nn.Linear], other: Trace, cotangents: Tensor) -> Tensor:
        """Return the inner products (n, m) of gradients, summed over k combinations (k, C) of scores.

        Below the last layer the gradient of combination c is ``w_c * M_i``, with M_i the active units whatever c, so
        that one row ``sqrt(sum_c w_c^2) * M_i`` of a sample stands for all k of them.
        """
        traces = [self] if other is self else [self, other]

        def similar(depth: int) -> Tensor:
            return product(*(trace.a[depth] for trace in traces)).add_(layers[depth].bias is not None)

        with torch.no_grad():
            total = similar(-1).mul_(cotangents.square().sum())
            if len(layers) == 1:
                return total
            weights = cotangents @ layers[-1].weight
            active = [[(z > 0).to(z) for z in trace.z[:-1]] for trace in traces]
            length = weights.square().sum(dim=0).sqrt()
            total += similar(-2).mul_(product(*(masks[-1] * length for masks in active)))
            gradients = [masks[-1][:, None] * weights for masks in active]
            for depth in range(len(layers) - 3, -1, -1):
                gradients = [
                    (g.flatten(0, 1) @ layers[depth + 1].weight).view(*g.shape[:2], -1).mul_(masks[depth][:, None])
                    for g, masks in zip(gradients, active, strict=True)
                ]
                total += similar(depth).mul_(product(*(g.flatten(1) for g in gradients)))
        return total

    def factors(self, layers: Sequence[nn.Linear], cotangents: Tensor) -> list[Factor]:
        """Return the gradients of k combinations (n, k, C) of scores, layer by layer."""

        def with_one(a: Tensor, _: slice) -> Tensor:
            return torch.cat([a, torch.ones_like(a[:, :1])], dim=1)[:, None, :, None]

        def alone(a: Tensor, _: slice) -> Tensor:
            return a[:, None, :, None]

        return [
            Factor(g.dtype, g.device, [a], [g[:, :, None, :, None]], [alone if layer.bias is None else with_one])
            for layer, a, g in zip(layers, self.a, self.backward(layers, cotangents), strict=True)
        ]

    def own_change(self, layers: Sequence[nn.Linear], gradients: list[Tensor]) -> Tensor:
        """Return J J^T e (n, C) for each sample with its own Jacobian J, given what :meth:`backward` makes of its e.

        A change of the weights along J^T e is of rank one in each layer, g a^T, so its effect on the same sample is
        propagated forwards: dz = W da + (|a|^2 + 1) g.
        """
        with torch.no_grad():
            change = torch.zeros_like(self.a[0])
            for layer, a, z, g in zip(layers, self.a, self.z, gradients, strict=True):
                size = a.square().sum(dim=1, keepdim=True) + (layer.bias is not None)
                change = change @ layer.weight.T + size * g[:, 0]
                if layer is not layers[-1]:
                    change = change.mul_((z > 0).to(z))
        return change
