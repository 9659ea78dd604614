"""Dense ReLU networks, ``[Flatten] Linear (ReLU Linear)*``: found in a module, and run without autograd.

Knowing the structure, all scores of all samples can go backwards in one matrix product per layer, and differences
can be propagated instead of subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lebench.backends.torch_factors import product


def relu_layers(module: nn.Module) -> list[nn.Linear] | None:
    """Return the dense layers of ``[Flatten] Linear (ReLU Linear)*`` with all parameters trainable, or None.

    Parameters
    ----------
    module : torch.nn.Module
        A ``Sequential``, or a module that holds one as ``layers`` and nothing else.
    """
    chain = module
    if not isinstance(module, nn.Sequential):
        children = list(module.children())
        if len(children) != 1 or getattr(module, "layers", None) is not children[0] or module._parameters:
            return None
        chain = children[0]
    # A subclass may do anything in its forward method.
    if type(chain) is not nn.Sequential or not all(p.requires_grad for p in module.parameters()):
        return None
    parts = list(chain)
    if parts and _flattens(parts[0]):
        parts = parts[1:]
    dense, activations = parts[::2], parts[1::2]
    plain = all(type(part) is nn.Linear for part in dense) and all(type(part) is nn.ReLU for part in activations)
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    # A layer used twice changes twice, so its difference is not of rank one.
    if not plain or hooked or len(dense) != len(activations) + 1 or len(set(map(id, dense))) != len(dense):
        return None
    layers = [part for part in dense if isinstance(part, nn.Linear)]
    weights = [p for layer in layers for p in layer.parameters()]
    direct = all(set(dict(layer.named_parameters())) <= {"weight", "bias"} for layer in layers)
    return layers if direct and len({id(p) for p in weights}) == len(weights) else None


def computes(module: nn.Module, layers: list[nn.Linear], x: Tensor) -> bool:
    """Return whether the module does with inputs what its layers in a row do: its forward method may do more."""
    with torch.no_grad():
        scores, chain = module(x), Trace.of(layers, x).z[-1]
    tolerance = 1e3 * torch.finfo(chain.dtype).eps
    return (
        isinstance(scores, Tensor)
        and scores.shape == chain.shape
        and torch.allclose(scores, chain, rtol=tolerance, atol=tolerance)
    )


def _flattens(part: nn.Module) -> bool:
    if type(part) is nn.Flatten:
        return part.start_dim == 1 and part.end_dim == -1
    return type(part).__name__ == "Flatten" and not part._parameters


@dataclass
class Trace:
    """Inputs a[l] (n, width) and preactivations z[l] (n, width) of every layer for n samples."""

    a: list[Tensor]
    z: list[Tensor]

    @classmethod
    def of(cls, layers: list[nn.Linear], x: Tensor) -> Trace:
        """Run the samples (n, ...) through the layers."""
        with torch.no_grad():
            a, z = [x.flatten(1)], [layers[0](x.flatten(1))]
            for layer in layers[1:]:
                a.append(z[-1].relu())
                z.append(layer(a[-1]))
        return cls(a, z)

    def backward(self, layers: list[nn.Linear], cotangents: Tensor) -> list[Tensor]:
        """Return the gradients (n, k, width) in every layer's preactivations of k combinations (n, k, C) of scores."""
        n, k = cotangents.shape[:2]
        gradients = [cotangents]
        with torch.no_grad():
            for layer, z in zip(reversed(layers[1:]), reversed(self.z[:-1]), strict=True):
                below = (gradients[-1].reshape(n * k, -1) @ layer.weight).view(n, k, -1)
                gradients.append(below.mul_((z > 0).to(z)[:, None]))
        return gradients[::-1]

    def kernel(self, layers: list[nn.Linear], other: Trace, cotangents: Tensor) -> Tensor:
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

    def own_change(self, layers: list[nn.Linear], gradients: list[Tensor]) -> Tensor:
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
