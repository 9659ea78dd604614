"""The torch backend: trains a network and offers every capability of the design on it."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Builder, Loss, Recipe
from lebench.backends.torch_build import Centred, Linearized, build, tangent
from lebench.backends.torch_tangents import empirical_ntk, first_order_changes
from lebench.backends.torch_weights import layer_weights
from lebench.capabilities import Checkpoint, LayerWeights, Predicts, SimilarityKind, Trajectory
from lebench.errors import DataError, LebenchError, TrainingError
from lebench.progress import report
from lebench.seeds import generator, stream

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
    ) -> FittedFunction:
        """Train a network; see :class:`lebench.backends.base.Backend`."""
        inputs, labels = _as_input(x, torch.float32), torch.tensor(y)
        module = _initialized(network, x.shape[1:], classes, seed)
        if recipe.linearized:
            module = Linearized(module)
        if recipe.output_scale is not None:
            module = Centred(module, recipe.output_scale)
        probe = np.sort(generator(seed, "probe").permutation(len(y))[:_PROBES])
        order = _Order(generator(seed, "batches"), len(labels), removed)
        course, states = _train(module, recipe, inputs, labels, classes, order, probe)
        return _fitted_class(recipe)(module.double().eval(), recipe.loss, classes, _as_input(x[:1]), course, states)


registry.backends.register(
    "torch", TorchBackend, summary="Networks in PyTorch: trained in float32, measured in float64"
)


def _as_input(x: FloatArray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return (n, h, w, c) as a (n, c, h, w) view, which torch calls channels-last, its faster layout here."""
    tensor = torch.tensor(np.ascontiguousarray(x), dtype=dtype)
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor


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

    record(0)
    for epoch in range(1, epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at((epoch - 1) / epochs)
        before = (epoch - 1) * batches
        for made, batch in enumerate(order.batches(batches)):
            # What stands at the end of an epoch is recorded there.
            if made and before + made in moments:
                record(before + made)
            chosen = torch.from_numpy(batch)
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(module(x[chosen]), labels[chosen], classes, recipe.loss) / (recipe.output_scale or 1.0) ** 2
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if epoch * batches in moments:
            record(epoch * batches)
        else:
            report(epoch=epoch, epochs=epochs)
    module.eval()
    times, losses, errors, scores = zip(*recorded, strict=True)
    course = Trajectory(np.array(times, float), np.array(losses), np.array(errors), probe, np.stack(scores))
    return course, states


def _evaluate(module: nn.Module, x: Tensor) -> Tensor:
    module.eval()
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(x, _BATCH)])


@dataclass(frozen=True)
class _Moved:
    """What one step on each of n sources does, one at a time.

    ``at_targets`` (n, m, C) and ``at_source`` (n, C) are the changes of the scores; ``direction`` (n, C) is the unit
    loss gradient in the scores of the source; ``length`` (n,) is the step times the gradient's norm, 1 at first order.
    """

    at_targets: Tensor
    at_source: Tensor
    direction: Tensor
    length: Tensor


class FittedFunction:
    """A trained function of inputs and weights, measured in float64 and in evaluation mode.

    Attributes
    ----------
    module : torch.nn.Module
        The network, in float64.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        classes: int,
        example: Tensor,
        course: Trajectory | None = None,
        states: Sequence[State] = (),
    ) -> None:
        self.module = module
        self._last = _last_linear(module, example)
        self._loss_name: Loss = loss
        self._classes = classes
        self._example = example
        self._course = course
        self._states = states
        self._last_moved: tuple[tuple[object, ...], _Moved] | None = None

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C): logits for cross-entropy."""
        return _numpy(_evaluate(self.module, _as_input(x)))

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        """Return similarities (n, m); see :class:`lebench.capabilities.HasSimilarity`.

        Raises
        ------
        DataError
            If a step on some source leaves its own scores where they are, so that there is nothing to divide by.
        """
        moved = self._moved(sources, labels, targets, step)
        if kind == "kernel":
            return _numpy(-torch.einsum("nmc,nc->nm", moved.at_targets, moved.direction) / moved.length[:, None])
        norm = moved.at_source.norm(dim=1)
        _refuse_zero(norm, "the change of its own scores")
        if kind == "relative":
            return _numpy(moved.at_targets.norm(dim=2) / norm[:, None])
        if kind == "signed":
            return _numpy(torch.einsum("nmc,nc->nm", moved.at_targets, moved.at_source) / norm[:, None] ** 2)
        raise DataError(f"unknown kind of similarity {kind!r}; choose 'relative', 'signed' or 'kernel'")

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over outputs, at the trained parameters."""
        second = None if x2 is x1 else _as_input(x2)
        return _numpy(empirical_ntk(tangent(self.module), _as_input(x1), second))

    def trajectory(self) -> Trajectory:
        """Return loss, error and scores of probe points over the epochs."""
        if self._course is None:
            raise LebenchError("the network of a checkpoint has no trajectory; ask the trained network for it")
        return self._course

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the network at the moments of its trajectory, weights in the single precision of training."""
        times = () if self._course is None else self._course.times
        return tuple(
            Checkpoint(float(time), partial(self._at, state)) for time, state in zip(times, self._states, strict=True)
        )

    def _at(self, state: State) -> FittedFunction:
        module = copy.deepcopy(self.module)
        module.load_state_dict(state)
        return type(self)(module, self._loss_name, self._classes, self._example)

    def _moved(self, sources: FloatArray, labels: IntArray, targets: FloatArray, step: float | None) -> _Moved:
        # The kinds of similarity share all that is expensive, and are asked for one after the other.
        key = (_digest(sources), _digest(labels), _digest(targets), step)
        if self._last_moved is None or self._last_moved[0] != key:
            self._last_moved = (key, self._move(sources, labels, targets, step))
        return self._last_moved[1]

    def _move(self, sources: FloatArray, labels: IntArray, targets: FloatArray, step: float | None) -> _Moved:
        x, x_to, y = _as_input(sources), _as_input(targets), torch.tensor(labels)
        direction, length = self._loss_gradient(x, y)
        if step is not None and tangent(self.module) is self.module:
            at_targets, at_source = _step_changes(self.module, x, length[:, None] * direction, x_to, step)
            return _Moved(at_targets, at_source, direction, step * length)
        # First order, per unit step along the unit gradient: every kind is a ratio, so the length drops out. For a
        # network that is linear in its weights that is what any step does.
        same = len(x) == len(x_to) and torch.equal(x, x_to)
        at_targets, at_source = first_order_changes(tangent(self.module), x, direction, x if same else x_to)
        return _Moved(-at_targets, -at_source, direction, torch.ones_like(length))

    def _loss_gradient(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return direction (n, C) and length (n,) of the loss gradient in the scores.

        For cross-entropy it is p - onehot, which cancels and underflows when the network is sure. Relative to the
        largest of the other probabilities, and with minus their sum at the label, the direction keeps its digits.
        """
        scores = _evaluate(self.module, x)
        if self._loss_name == "mse":
            gradient, scale = scores - _targets(labels, self._classes, scores.dtype), torch.ones(len(x)).double()
        else:
            rows = torch.arange(len(x))
            others = scores.log_softmax(dim=1)
            others[rows, labels] = -torch.inf
            largest = others.amax(dim=1, keepdim=True)
            gradient, scale = (others - largest).exp(), largest[:, 0].exp()
            gradient[rows, labels] = -gradient.sum(dim=1)
        norm = gradient.norm(dim=1)
        _refuse_zero(norm, "the loss gradient")
        return gradient / norm[:, None], scale * norm


class FittedNetwork(FittedFunction):
    """A trained network whose scores are the outputs of its last linear layer."""

    def features(self, x: FloatArray) -> FloatArray:
        """Return the input of the last linear layer, (n, p)."""
        head = self._head()
        parts: list[Tensor] = []
        with head.register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0].detach())):
            _evaluate(self.module, _as_input(x))
        return _numpy(torch.cat(parts).flatten(1))

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, p) and bias (C,) of the last linear layer."""
        head = self._head()
        bias = head.bias if head.bias is not None else torch.zeros(head.out_features, dtype=torch.float64)
        return _numpy(head.weight), _numpy(bias)

    def weights(self) -> tuple[LayerWeights, ...]:
        """Return the layers with their weights; see :class:`lebench.capabilities.HasWeights`.

        Raises
        ------
        LebenchError
            If something with weights is no dense or convolutional layer or batch normalization of its outputs, or a
            layer is called several times.
        """
        return layer_weights(self.module, self._example)

    def _head(self) -> nn.Linear:
        if self._last is None or self._last.out_features != self._classes:
            raise LebenchError(
                "the network does not end in a torch.nn.Linear with one output per class, so it has no features; "
                "let its forward() return the output of such a layer"
            )
        return self._last


class _Classifies:
    """What was trained by cross-entropy, so that its scores are logits."""

    def predict_proba(self: Predicts, x: FloatArray) -> FloatArray:
        """Return the softmax of the logits, (n, C)."""
        return _numpy(torch.from_numpy(self.predict(x)).softmax(dim=1))


class FittedClassifier(_Classifies, FittedNetwork):
    """A network trained by cross-entropy."""


class _FittedExpansion(_Classifies, FittedFunction):
    """A first-order expansion or a centred network trained by cross-entropy."""


def _fitted_class(recipe: Recipe) -> type[FittedFunction]:
    if recipe.linearized or recipe.output_scale is not None:
        return _FittedExpansion if recipe.loss == "cross_entropy" else FittedFunction
    return FittedClassifier if recipe.loss == "cross_entropy" else FittedNetwork


def _last_linear(module: nn.Module, example: Tensor) -> nn.Linear | None:
    """Return the linear layer that is called last."""
    called: list[nn.Linear] = []
    handles = [
        m.register_forward_hook(lambda m, *_: called.append(m)) for m in module.modules() if isinstance(m, nn.Linear)
    ]
    try:
        _evaluate(module, example)
    finally:
        for handle in handles:
            handle.remove()
    return called[-1] if called else None


def _step_changes(
    module: nn.Module, sources: Tensor, gradients: Tensor, targets: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Return the changes of the scores at targets (n, m, C) and sources (n, C) by a step on each source.

    `gradients` (n, C) are those of the loss in the scores of the sources.
    """
    before = _evaluate(module, targets)
    network = copy.deepcopy(module)
    start = copy.deepcopy(network.state_dict())
    parameters = [p for p in network.parameters() if p.requires_grad]
    at_targets, at_sources = before.new_empty((len(sources), *before.shape)), torch.empty_like(gradients)
    for i, gradient in enumerate(gradients):
        network.load_state_dict(start)
        source = sources[i : i + 1]
        own = network(source)
        slopes = torch.autograd.grad(own, parameters, gradient[None], allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for p, slope in zip(parameters, slopes, strict=True):
                p.sub_(step * slope)
        at_targets[i] = _evaluate(network, targets) - before
        at_sources[i] = (_evaluate(network, source) - own.detach())[0]
    return at_targets, at_sources


def _refuse_zero(values: Tensor, what: str) -> None:
    zero = torch.nonzero(values == 0).flatten().tolist()
    if zero:
        shown = ", ".join(map(str, zero[:5])) + (", ..." if len(zero) > 5 else "")
        raise DataError(f"similarity is undefined for source {shown}: {what} is zero")


def _digest(array: np.ndarray[Any, Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes()).digest()


def _numpy(tensor: Tensor) -> FloatArray:
    array: FloatArray = np.ascontiguousarray(tensor.detach().double().numpy())
    return array
