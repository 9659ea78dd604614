"""Steps of SGD on perceptrons without autograd: the kernels that it would call, in its order, on one vector of weights.

Weights are equal to the last bit to those of the plain loop (``benchmarks/training_bench.py``), in 0.7 of its time.
That gradients are, is tried on the first batch of each training: products of another processor may round otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench.backends.base import Recipe
from lebench.backends.torch_build import Flatten, Network

#: Each weight begins at a multiple of 64 bytes, as a tensor of its own does: products may round by where they begin.
_ALIGNED = 16


class Perceptron:
    """Steps of a perceptron with ReLU by the cross-entropy; see :func:`perceptron`."""

    def __init__(self, module: Network, recipe: Recipe) -> None:
        self.recipe, self.module, self.flatten = recipe, module, module.layers[0]
        self.layers = [part for part in module.layers if isinstance(part, nn.Linear)]
        self.parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        self.memory: Tensor | None = None
        self.flat = torch.zeros(sum(_room(p) for p in self.parameters))
        self.slopes = torch.zeros_like(self.flat)
        for p, place in zip(self.parameters, self._views(self.flat), strict=True):
            p.data = place.copy_(p.data)
        views = self._views(self.slopes)
        self.to_weights, self.to_biases = views[::2], views[1::2]

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [_room(p) for p in self.parameters])
        return [part[: p.numel()].view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        """Make an update, with rate and memory as the optimizer has them, and return the loss before it."""
        loss = self._differentiate(x, y)
        if self.recipe.weight_decay:
            self.slopes.add_(self.flat, alpha=self.recipe.weight_decay)
        self.flat.add_(self._remembered(optimizer), alpha=-optimizer.param_groups[0]["lr"])
        return loss

    def proves_itself(self, x: Tensor, y: Tensor) -> bool:
        """Return whether the gradients of a batch are those of autograd to the last bit."""
        loss = functional.cross_entropy(self.module(x), y)
        expected = torch.autograd.grad(loss, self.parameters)
        self._differentiate(x, y)
        return all(map(torch.equal, expected, self._views(self.slopes)))

    @torch.no_grad()
    def _differentiate(self, x: Tensor, y: Tensor) -> Tensor:
        """Put the gradients into their place and return the loss."""
        inputs: list[Tensor] = [self.flatten(x)]
        for layer in self.layers[:-1]:
            inputs.append(torch.addmm(layer.bias, inputs[-1], layer.weight.t()).relu_())
        head = self.layers[-1]
        logs = torch.addmm(head.bias, inputs[-1], head.weight.t()).log_softmax(1)
        g = torch.zeros_like(logs).scatter_(1, y[:, None], -1 / len(y))
        g = torch.ops.aten._log_softmax_backward_data(g, logs, 1, torch.float32)
        for number in range(len(self.layers) - 1, -1, -1):
            torch.mm(g.t(), inputs[number], out=self.to_weights[number])
            torch.sum(g, 0, out=self.to_biases[number])
            if number:
                g = torch.mm(g, self.layers[number].weight)
                g = torch.ops.aten.threshold_backward(g, inputs[number], 0)
        return functional.nll_loss(logs, y)

    def _remembered(self, optimizer: torch.optim.Optimizer) -> Tensor:
        """Return the momentum with the new gradients, which is kept where the optimizer keeps it."""
        if self.memory is not None:
            return self.memory.mul_(self.recipe.momentum).add_(self.slopes)
        self.memory = self.slopes.clone()
        views = self._views(self.memory)
        before = [optimizer.state[p].get("momentum_buffer") for p in self.parameters]
        if all(buffer is not None for buffer in before):
            # Of a training that goes on.
            for view, buffer in zip(views, before, strict=True):
                view.copy_(buffer)
            self.memory.mul_(self.recipe.momentum).add_(self.slopes)
        for p, view in zip(self.parameters, views, strict=True):
            optimizer.state[p]["momentum_buffer"] = view
        return self.memory


def _room(p: Tensor) -> int:
    return -(-p.numel() // _ALIGNED) * _ALIGNED


def perceptron(module: nn.Module, recipe: Recipe, x: Tensor, y: Tensor) -> Perceptron | None:
    """Return the steps of a module by a recipe.

    Returns
    -------
    Perceptron or None
        None if it is no perceptron, the recipe asks for something else, or gradients of the batch `x` (n, ...) with
        labels `y` (n,) differ from those of autograd.
    """
    usual = Recipe()
    if x.device.type != "cpu" or recipe.optimizer != "sgd" or recipe.loss != "cross_entropy" or not recipe.momentum:
        return None
    if any(
        getattr(recipe, name) != getattr(usual, name)
        for name in ("nesterov", "label_smoothing", "clip_norm", "output_scale")
    ):
        return None
    if recipe.precision != usual.precision or type(module) is not Network:
        return None
    kinds = [type(part) for part in module.layers]
    hidden = len(kinds) // 2 - 1
    if kinds != [Flatten, *[nn.Linear, nn.ReLU] * hidden, nn.Linear]:
        return None
    if any(not p.requires_grad or p.dtype != torch.float32 for p in module.parameters()):
        return None
    if any(part.bias is None for part in module.layers if isinstance(part, nn.Linear)):
        return None
    found = Perceptron(module, recipe)
    return found if found.proves_itself(x, y) else None
