"""Training on digits beside a plain loop of torch with the same weights: ratios of CPU seconds, and what is equal.

``python benchmarks/training_bench.py [--rounds 5] [--epochs 4]``. One thread; the variants take turns; each figure is
the median over rounds of (CPU seconds of the plain loop / those of the variant), with the smallest and the largest.
``equal`` says whether the weights are those of the plain loop to the last bit, or how far apart they are.

* ``lebench``: the backend's own loop, with what it records and evaluates;
* ``foreach``, ``fused``: the plain loop with these forms of torch's SGD;
* ``by hand`` (perceptrons): the same kernels of torch in the same order without autograd, all weights in one vector.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench import registry
from lebench.backends.base import Recipe
from lebench.backends.batches import order
from lebench.backends.torch_backend import TorchBackend, _initialized
from lebench.backends.torch_function import as_input
from lebench.models.spec import build_model
from lebench.seeds import generator

Weights = list[Tensor]


def started(name: str) -> tuple[nn.Module, Recipe]:
    """Return a module at its initialization, and its recipe."""
    model = build_model(name).model
    return _initialized(model.network, (8, 8, 1), 10, 0).train(), model.recipe


def plain(name: str, x: Tensor, y: Tensor, epochs: int, **form: bool) -> Weights:
    """Train by the loop of a textbook, with a form of SGD."""
    module, recipe = started(name)
    optimizer = torch.optim.SGD(
        module.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, **form
    )
    rng, batches = generator(0, "batches"), -(-len(y) // recipe.batch_size)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(epoch / epochs)
        for batch in order(rng, len(y), None, batches):
            chosen = torch.from_numpy(batch)
            optimizer.zero_grad()
            functional.cross_entropy(module(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return [p.detach() for p in module.parameters()]


def by_hand(name: str, x: Tensor, y: Tensor, epochs: int) -> Weights:
    """Train a perceptron without autograd: what it would call, and momentum for one vector of all weights."""
    module, recipe = started(name)
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    sizes = [p.numel() for layer in layers for p in (layer.weight, layer.bias)]
    flat = torch.cat([p.detach().flatten() for layer in layers for p in (layer.weight, layer.bias)])
    slopes, memory = torch.empty_like(flat), None
    shapes = [p.shape for layer in layers for p in (layer.weight, layer.bias)]
    views = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
    grads = [part.view(shape) for part, shape in zip(slopes.split(sizes), shapes, strict=True)]
    weights, biases, to_weights, to_biases = views[::2], views[1::2], grads[::2], grads[1::2]
    rng, batches, x = generator(0, "batches"), -(-len(y) // recipe.batch_size), x.permute(0, 2, 3, 1).flatten(1)
    last = len(layers) - 1
    with torch.no_grad():
        for epoch in range(epochs):
            lr = recipe.lr_at(epoch / epochs)
            for batch in order(rng, len(y), None, batches):
                chosen = torch.from_numpy(batch)
                inputs, labels = [x[chosen]], y[chosen]
                for number in range(last):
                    inputs.append(torch.addmm(biases[number], inputs[-1], weights[number].t()).relu_())
                logs = torch.addmm(biases[last], inputs[-1], weights[last].t()).log_softmax(1)
                g = torch.zeros_like(logs).scatter_(1, labels[:, None], -1 / len(labels))
                g = torch.ops.aten._log_softmax_backward_data(g, logs, 1, torch.float32)
                for number in range(last, -1, -1):
                    torch.mm(g.t(), inputs[number], out=to_weights[number])
                    torch.sum(g, 0, out=to_biases[number])
                    if number:
                        g = torch.ops.aten.threshold_backward(torch.mm(g, weights[number]), inputs[number], 0)
                slopes.add_(flat, alpha=recipe.weight_decay)
                memory = slopes.clone() if memory is None else memory.mul_(recipe.momentum).add_(slopes)
                flat.add_(memory, alpha=-lr)
    return views


def measured(variants: dict[str, Callable[[], Weights]], rounds: int) -> None:
    """Print the ratios of the first variant to the others, and how their weights differ."""
    spent: dict[str, list[float]] = {name: [] for name in variants}
    made: dict[str, Weights] = {}
    for _ in range(rounds):
        for name, variant in variants.items():
            began = time.process_time()
            made[name] = variant()
            spent[name].append(time.process_time() - began)
    first, *others = variants
    print(f"  {first}: {statistics.median(spent[first]):.2f} CPU s")
    for name in others:
        ratios = sorted(one / other for one, other in zip(spent[first], spent[name], strict=True))
        spread = f"[{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        print(f"  {name}: {statistics.median(ratios):.2f} {spread}, {_apart(made, first, name)}")


def _apart(made: dict[str, Weights], first: str, name: str) -> str:
    pairs = list(zip(made[first], made[name], strict=True))
    far = max(float((one - other).abs().max()) for one, other in pairs)
    return "equal to the last bit" if all(torch.equal(*pair) for pair in pairs) else f"{far:.1e} apart"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    split = registry.datasets.get("digits").split(0)
    x, y = as_input(split.x_train, torch.float32), torch.tensor(split.y_train)

    def own(name: str) -> Weights:
        model = build_model(f"{name}[epochs={options.epochs},min_steps=0]").model
        fitted = TorchBackend().fit(model.network, model.recipe, split.x_train, split.y_train, 10, 0)
        return [p.detach().float() for p in fitted.function.module.parameters()]  # type: ignore[attr-defined]

    for name in ("mlp", "resnet"):
        print(name)
        variants: dict[str, Callable[[], Weights]] = {
            "plain": lambda name=name: plain(name, x, y, options.epochs),
            "lebench": lambda name=name: own(name),
            "foreach": lambda name=name: plain(name, x, y, options.epochs, foreach=True),
            "fused": lambda name=name: plain(name, x, y, options.epochs, fused=True),
        }
        if name == "mlp":
            variants["by hand"] = lambda name=name: by_hand(name, x, y, options.epochs)
        measured(variants, options.rounds)


if __name__ == "__main__":
    main()
