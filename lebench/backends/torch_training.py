"""Training of torch modules by a recipe, in float32, on the device that is chosen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Recipe
from lebench.backends.batches import Augmented, order
from lebench.backends.torch_checkpoint import Recorded, collect, restore
from lebench.backends.torch_devices import computing, device
from lebench.backends.torch_function import as_input
from lebench.backends.torch_perceptron import perceptron
from lebench.capabilities import Trajectory
from lebench.checkpoints import training
from lebench.errors import TrainingError
from lebench.progress import report

#: Weights and buffers of a module by name, in single precision.
State = dict[str, Tensor]
#: A training step of one's own: (module, optimizer, x, y) to the loss; it moves the weights.
Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor | None]
#: A training loop of one's own: (module, x, y, record), where record(epochs) notes a moment.
Loop = Callable[[nn.Module, Tensor, Tensor, Callable[[float], None]], None]

_BATCH = 1024
#: Seconds between two reports within an epoch, each of which reads a loss.
_REPORTED_S = 1.0


@dataclass(frozen=True)
class Data:
    """What a network is trained on.

    Attributes
    ----------
    x, y, classes, removed
        See :meth:`lebench.backends.base.Backend.fit`.
    probe : ndarray of shape (k,), int64
        Points whose scores are followed.
    rng : numpy.random.Generator
        Draws the order of the points.
    augmented : Augmented
        How images are changed.
    """

    x: FloatArray
    y: IntArray | FloatArray
    classes: int
    probe: IntArray
    rng: np.random.Generator
    removed: int | None
    augmented: Augmented


def encode(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return the targets of the ``mse`` loss: one-hot minus 1/C, shape (n, C)."""
    return functional.one_hot(labels, classes).to(dtype) - 1.0 / classes


def _targets(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return what the ``mse`` loss fits: real-valued targets as they are, labels encoded; shape (n, C)."""
    return labels.to(dtype) if labels.is_floating_point() else encode(labels, classes, dtype)


def _loss(scores: Tensor, labels: Tensor, classes: int, recipe: Recipe, smoothing: float = 0.0) -> Tensor:
    if recipe.loss == "cross_entropy":
        return functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    return 0.5 * (scores - _targets(labels, classes, scores.dtype)).square().sum(dim=1).mean()


def _error(scores: Tensor, labels: Tensor) -> float:
    if labels.is_floating_point():
        spread = labels.var(dim=0, correction=0).sum()
        return float((scores - labels).square().sum(dim=1).mean() / torch.where(spread > 0, spread, 1.0))
    return float((scores.argmax(dim=1) != labels).double().mean())


def _optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov,
        )
    return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)


class _Training:
    """One training: a module, its data and what is recorded."""

    def __init__(self, module: nn.Module, recipe: Recipe, data: Data) -> None:
        self.module, self.recipe, self.data = module, recipe, data
        self.device, self.y = device(), torch.tensor(data.y)
        self.x, self.labels = as_input(data.x, torch.float32).to(self.device), self.y.to(self.device)
        # With the point that is left out, so that there are as many batches with it as without.
        self.batches = math.ceil((len(self.labels) + (data.removed is not None)) / recipe.batch_size)
        self.epochs = max(recipe.epochs, math.ceil(recipe.min_steps / self.batches)) if recipe.epochs else 0
        self.recorded: Recorded = []
        self.states: list[State] = []

    def record(self, time: float) -> None:
        """Evaluate the network after so many epochs."""
        scores = self._evaluated().float().cpu()
        loss = float(_loss(scores.double(), self.y, self.data.classes, self.recipe))
        error = _error(scores, self.y)
        if not math.isfinite(loss):
            raise TrainingError(f"training diverged by epoch {time:.4g}: the loss is {loss}; try a smaller lr")
        self.recorded.append((time, loss, error, scores[self.data.probe].double().numpy()))
        self.states.append({name: value.to("cpu", copy=True) for name, value in self.module.state_dict().items()})
        report(epoch=int(time), epochs=self.epochs, loss=loss, error=error)
        self.module.train()

    def _evaluated(self) -> Tensor:
        self.module.eval()
        with torch.no_grad():
            return torch.cat([self.module(part) for part in torch.split(self.x, _BATCH)])

    def batch(self, epoch: int, chosen: IntArray) -> tuple[Tensor, Tensor]:
        """Return inputs and labels of a batch."""
        which = torch.from_numpy(chosen).to(self.device)
        if self.recipe.augmentation == "none":
            return self.x[which], self.labels[which]
        places = self.data.augmented.pixels(epoch, chosen)
        rows, columns, inside = (torch.from_numpy(place).to(self.device) for place in places)
        changed = self.x.permute(0, 2, 3, 1)[which[:, None, None], rows, columns] * inside
        return changed.permute(0, 3, 1, 2), self.labels[which]

    def step(self, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        """Make an update and return the loss before it."""
        recipe = self.recipe
        optimizer.zero_grad(set_to_none=True)
        scores = self.module(x).float()
        loss = _loss(scores, y, self.data.classes, recipe, recipe.label_smoothing) / (recipe.output_scale or 1.0) ** 2
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), recipe.clip_norm)
        optimizer.step()
        return loss

    def run(self, own: Step | None) -> None:
        """Train by the recipe, with steps of one's own or its own."""
        recipe, batches, epochs, rng = self.recipe, self.batches, self.epochs, self.data.rng
        optimizer = _optimizer(recipe, [p for p in self.module.parameters() if p.requires_grad])
        first_batch = self.x[: recipe.batch_size], self.labels[: recipe.batch_size]
        fast = perceptron(self.module, recipe, *first_batch) if own is None else None
        step = partial(own, self.module) if own is not None else self.step if fast is None else fast.step
        moments = recipe.recorded_steps(epochs, batches)
        what = (type(self.module).__name__, recipe, self.data.classes, len(self.labels), self.data.removed)
        kept = training(repr(what))
        state = partial(collect, self.module, optimizer, self.recorded, self.states)
        first, done, reported = 1, 0, time.monotonic()
        if kept is not None and (found := kept.load()) is not None:
            place = restore(found, self.module, optimizer, self.recorded, self.states)
            first, done = place["epoch"], place["batches"]
            rng.bit_generator.state = place["order"]
            self.module.train()
        else:
            self.record(0)
        for epoch in range(first, epochs + 1):
            before = (epoch - 1) * batches
            drawn = rng.bit_generator.state
            for made, chosen in enumerate(order(rng, len(self.labels), self.data.removed, batches)):
                if made < done:
                    continue
                # What stands at the end of an epoch is recorded there.
                if made and before + made in moments:
                    self.record((before + made) / batches)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.rate(before + made, epochs, batches)
                loss = step(optimizer, *self.batch(epoch, chosen))
                if kept is not None:
                    kept.step(partial(state, {"epoch": epoch, "batches": made + 1, "order": drawn}))
                if time.monotonic() >= reported + _REPORTED_S:
                    reported = time.monotonic()
                    now = {} if loss is None else {"loss": float(loss.detach())}
                    report(epoch=epoch - 1 + (made + 1) / batches, epochs=epochs, **now)
            done = 0
            if epoch * batches in moments:
                self.record(epoch)
            else:
                report(epoch=epoch, epochs=epochs)
        if kept is not None:
            place = {"epoch": epochs + 1, "batches": 0, "order": rng.bit_generator.state}
            kept.end(partial(state, place))


def train(
    module: nn.Module, recipe: Recipe, data: Data, step: Step | None = None, loop: Loop | None = None
) -> tuple[Trajectory, list[State]]:
    """Train a module and return the course of training and, for each of its moments, weights and buffers.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place, in evaluation mode afterwards.
    recipe : Recipe
        How; what a `loop` does is its own affair.
    data : Data
        On what.
    step, loop : callable, optional
        See :class:`lebench.models.network.Network`.

    Raises
    ------
    TrainingError
        If the loss becomes infinite or NaN.
    ParameterError
        If the recipe makes no sense for the data.
    """
    recipe.check()
    made = _Training(module, recipe, data)
    with computing(recipe.precision, made.device):
        if loop is None:
            made.run(step)
        else:
            made.record(0)
            loop(module, made.x, made.labels, made.record)
            if made.recorded[-1][0] < made.epochs:
                made.record(made.epochs)
    module.eval()
    times, losses, errors, scores = zip(*made.recorded, strict=True)
    course = Trajectory(np.array(times, float), np.array(losses), np.array(errors), data.probe, np.stack(scores))
    return course, made.states
