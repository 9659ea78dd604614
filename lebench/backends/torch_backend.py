"""The torch backend: trains a network and offers every capability of the design on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Builder, Loss, Recipe
from lebench.backends.fitted import TRANSFORMED, FittedNetwork
from lebench.backends.torch_build import Centred, Linearized, build
from lebench.backends.torch_checkpoint import collect, restore
from lebench.backends.torch_function import TorchFunction, as_input
from lebench.capabilities import Trajectory
from lebench.checkpoints import training
from lebench.errors import LebenchError, TrainingError
from lebench.progress import report
from lebench.seeds import generator, seeded, stream

#: Weights and buffers of a module by name, in single precision.
State = dict[str, Tensor]

_BATCH = 1024
#: Number of training points whose scores are followed.
_PROBES = 50


class TorchBackend:
    """Networks in torch: trained in float32, measured in float64."""

    name = "torch"

    def fit(
        self,
        network: Architecture | Builder,
        recipe: Recipe,
        x: FloatArray,
        y: IntArray | FloatArray,
        classes: int,
        seed: int,
        removed: int | None = None,
    ) -> FittedNetwork:
        """Train a network; see :class:`lebench.backends.base.Backend`."""
        inputs, labels = as_input(x, torch.float32), torch.tensor(y)
        module = _initialized(network, x.shape[1:], classes, seed)
        if recipe.linearized:
            module = Linearized(module)
        if recipe.output_scale is not None:
            module = Centred(module, recipe.output_scale)
        probe = np.sort(generator(seed, "probe").permutation(len(y))[:_PROBES])
        order = _Order(generator(seed, "batches"), len(labels), removed)
        # What a module draws while it trains, dropout say, comes from the seed, too.
        with seeded(seed, "fit"):
            course, states = _train(module, recipe, inputs, labels, classes, order, probe)
        function = TorchFunction(module.double().eval(), x[:1])
        unavailable = dict(function.unavailable)
        if recipe.linearized or recipe.output_scale is not None:
            unavailable |= dict.fromkeys(("features", "weights"), TRANSFORMED)
        moments = [partial(function.at, state) for state in states]
        return FittedNetwork(function, recipe.loss, classes, course, moments, unavailable)


registry.backends.register(
    "torch", TorchBackend, summary="Networks in PyTorch: trained in float32, measured in float64"
)


def _initialized(network: Architecture | Builder, input_shape: tuple[int, ...], outputs: int, seed: int) -> nn.Module:
    init_seed = int(stream(seed, "init").generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(network, Architecture):
        module: nn.Module = build(network, input_shape, outputs, torch.Generator().manual_seed(init_seed))
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(init_seed)
            module = network(input_shape, outputs)
        if not isinstance(module, nn.Module):
            raise LebenchError(f"the builder must return a torch.nn.Module, it returned {type(module).__name__}")
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def encode(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return the targets of the ``mse`` loss: one-hot minus 1/C, shape (n, C)."""
    return functional.one_hot(labels, classes).to(dtype) - 1.0 / classes


def _targets(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return what the ``mse`` loss fits: real-valued targets as they are, labels encoded; shape (n, C)."""
    return labels.to(dtype) if labels.is_floating_point() else encode(labels, classes, dtype)


def _loss(scores: Tensor, labels: Tensor, classes: int, loss: Loss) -> Tensor:
    if loss == "cross_entropy":
        return functional.cross_entropy(scores, labels)
    return 0.5 * (scores - _targets(labels, classes, scores.dtype)).square().sum(dim=1).mean()


def _error(scores: Tensor, labels: Tensor) -> float:
    if labels.is_floating_point():
        spread = labels.var(dim=0, correction=0).sum()
        return float((scores - labels).square().sum(dim=1).mean() / torch.where(spread > 0, spread, 1.0))
    return float((scores.argmax(dim=1) != labels).double().mean())


@dataclass(frozen=True)
class _Order:
    """The order in which training points come, the same whether or not one of them is left out."""

    rng: np.random.Generator
    points: int
    removed: int | None

    def batches(self, count: int) -> list[IntArray]:
        """Return indices of the batches of one epoch, of nearly equal size: one example breaks batch normalization."""
        if self.removed is None:
            return list(np.array_split(self.rng.permutation(self.points), count))
        batches = np.array_split(self.rng.permutation(self.points + 1), count)
        present = (batch[batch != self.removed] for batch in batches)
        return [batch - (batch > self.removed) for batch in present if len(batch)]


def _train(
    module: nn.Module,
    recipe: Recipe,
    x: Tensor,
    labels: Tensor,
    classes: int,
    order: _Order,
    probe: IntArray,
) -> tuple[Trajectory, list[State]]:
    # With the point that is left out, so that there are as many batches with it as without.
    batches = math.ceil((len(labels) + (order.removed is not None)) / recipe.batch_size)
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / batches)) if recipe.epochs else 0
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    moments = recipe.recorded_steps(epochs, batches)
    recorded: list[tuple[float, float, float, FloatArray]] = []
    states: list[State] = []

    def record(steps: int) -> None:
        scores = _evaluate(module, x)
        loss = float(_loss(scores.double(), labels, classes, recipe.loss))
        error = _error(scores, labels)
        if not math.isfinite(loss):
            reached = f"{steps / batches:.4g}"
            raise TrainingError(f"training diverged by epoch {reached}: the loss is {loss}; try a smaller lr")
        recorded.append((steps / batches, loss, error, scores[probe].double().numpy()))
        states.append({name: value.clone() for name, value in module.state_dict().items()})
        report(epoch=steps // batches, epochs=epochs, loss=loss, error=error)
        module.train()

    kept = training(repr((type(module).__name__, recipe, classes, len(labels), order.removed)))
    first, done = 1, 0
    if kept is not None and (state := kept.load()) is not None:
        place = restore(state, module, optimizer, recorded, states)
        first, done = place["epoch"], place["batches"]
        order.rng.bit_generator.state = place["order"]
        module.train()
    else:
        record(0)
    for epoch in range(first, epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at((epoch - 1) / epochs)
        before = (epoch - 1) * batches
        drawn = order.rng.bit_generator.state
        for made, batch in enumerate(order.batches(batches)):
            if made < done:
                continue
            # What stands at the end of an epoch is recorded there.
            if made and before + made in moments:
                record(before + made)
            chosen = torch.from_numpy(batch)
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(module(x[chosen]), labels[chosen], classes, recipe.loss) / (recipe.output_scale or 1.0) ** 2
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if kept is not None:
                place = {"epoch": epoch, "batches": made + 1, "order": drawn}
                kept.step(partial(collect, module, optimizer, recorded, states, place))
        done = 0
        if epoch * batches in moments:
            record(epoch * batches)
        else:
            report(epoch=epoch, epochs=epochs)
    if kept is not None:
        place = {"epoch": epochs + 1, "batches": 0, "order": order.rng.bit_generator.state}
        kept.end(partial(collect, module, optimizer, recorded, states, place))
    module.eval()
    times, losses, errors, scores = zip(*recorded, strict=True)
    course = Trajectory(np.array(times, float), np.array(losses), np.array(errors), probe, np.stack(scores))
    return course, states


def _evaluate(module: nn.Module, x: Tensor) -> Tensor:
    module.eval()
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(x, _BATCH)])
