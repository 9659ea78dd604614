"""Many trials of single-sample steps at once: the same network from several initializations, each in its own order.

One step on one point keeps a processor waiting: its time goes into calling small operations. Here every operation is
done for all trials together, as a product of stacks of matrices. Gradients of weights are products of what goes in and
what comes back, so they are added to the weights as they are made and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError, LebenchError, ParameterError, TrainingError


class Trials(NamedTuple):
    """What many trials did.

    Attributes
    ----------
    scores : ndarray of shape (steps, trials, C)
        Scores of the point of each step before the step, which is what Zhang, Wang & Su 2021 average over trials.
    points : ndarray of shape (steps, trials), int64
        Which training point that was.
    networks : list of torch.nn.Sequential
        The trained networks.
    """

    scores: FloatArray
    points: IntArray
    networks: list[nn.Sequential]


def train_trials(
    networks: Sequence[nn.Sequential],
    x: FloatArray,
    y: IntArray,
    points: IntArray,
    lr: float,
    dtype: torch.dtype = torch.float32,
) -> Trials:
    """Train networks of one structure by single-sample steps on the cross-entropy, all at once.

    Parameters
    ----------
    networks : sequence of torch.nn.Sequential
        Of ``Conv2d``, ``ReLU``, ``MaxPool2d``, ``Flatten`` and ``Linear``; trained in place.
    x : ndarray of shape (n, height, width, channels) or (n, d), float64
        Training inputs, the same for all trials.
    y : ndarray of shape (n,) or (trials, n), int64
        Labels, of all trials or of each: trials may differ in label noise.
    points : ndarray of shape (steps, trials), int64
        Which training point each trial sees at each step.
    lr : float
        Learning rate: constant, without momentum and weight decay.
    dtype : torch.dtype
        Of the computation.

    Returns
    -------
    Trials

    Raises
    ------
    ParameterError
        If the learning rate is not positive, or there are no steps.
    DataError
        If the shapes do not fit, or a label is no class of the networks.
    TrainingError
        If a network diverges.
    LebenchError
        If a network has another kind of layer, or networks differ in structure.
    """
    if not lr > 0:
        raise ParameterError(f"lr {lr} is not positive")
    trials = len(networks)
    if trials == 0:
        raise ParameterError("there are no networks: at least one trial is needed")
    if points.ndim != 2 or points.shape[1] != trials or len(points) == 0:
        raise ParameterError(f"points have shape {points.shape}: (steps, {trials}) with at least one step is needed")
    if y.shape not in ((len(x),), (trials, len(x))) or points.min() < 0 or points.max() >= len(x):
        raise DataError(f"labels of shape {y.shape} and points up to {points.max()} do not fit {len(x)} inputs")
    inputs = torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1) if x.ndim == 4 else x), dtype=dtype)
    labels = torch.from_numpy(np.broadcast_to(y, (trials, len(x))).copy())
    layers = _pooled_first([_layer(same, dtype) for same in zip(*networks, strict=True)])
    rows = torch.arange(trials)
    logged: list[Tensor] = []
    with torch.no_grad():
        for chosen in torch.from_numpy(points):
            h = inputs[chosen]
            for layer in layers:
                h = layer.forward(h)
            if not logged and not (labels.min() >= 0 and labels.max() < h.shape[1]):
                raise DataError(f"labels up to {int(labels.max())} for {h.shape[1]} scores: 0 to C-1 are needed")
            logged.append(h)
            g = h.softmax(dim=1)
            g[rows, labels[rows, chosen]] -= 1
            for number, layer in reversed(list(enumerate(layers))):
                g = layer.backward(g, lr, first=number == 0)
        diverged = [trial for trial in range(trials) if not bool(logged[-1][trial].isfinite().all())]
        if diverged:
            raise TrainingError(
                f"trial {diverged[0]} diverged, and {len(diverged) - 1} others: take a smaller lr than {lr:g}"
            )
        for layer in layers:
            layer.write_back()
    return Trials(torch.stack(logged).double().numpy(), points, list(networks))


class _Layer:
    """A layer without weights."""

    def forward(self, h: Tensor) -> Tensor:
        raise NotImplementedError

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        """Return the gradient in the input, after a step on the weights."""
        raise NotImplementedError

    def write_back(self) -> None:
        """Copy weights into the networks."""


class _Flatten(_Layer):
    def forward(self, h: Tensor) -> Tensor:
        self._shape = h.shape
        return h.flatten(1)

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        return g.reshape(self._shape)


class _Relu(_Layer):
    def forward(self, h: Tensor) -> Tensor:
        self._out = h.relu()
        return self._out

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        return torch.where(self._out > 0, g, 0)


class _Pool(_Layer):
    """Windows that touch: the largest of as many slices, which is faster here than a pooling of its own."""

    def __init__(self, module: nn.MaxPool2d) -> None:
        size = module.kernel_size
        if not isinstance(size, int) or module.stride != size or module.padding != 0:
            raise LebenchError("max pooling needs square windows that touch and no padding")
        self._size = size

    def _slices(self, h: Tensor) -> list[Tensor]:
        size = self._size
        rows, columns = (extent // size * size for extent in h.shape[2:])
        return [h[:, :, i:rows:size, j:columns:size] for i in range(size) for j in range(size)]

    def forward(self, h: Tensor) -> Tensor:
        self._shape = h.shape
        self._won: list[Tensor] = []
        return self._largest(self._slices(h))

    def _largest(self, slices: list[Tensor]) -> Tensor:
        """Hold a knock-out, and note at each match whether the first half won; of equals it does, as in torch."""
        if len(slices) == 1:
            return slices[0]
        half = len(slices) // 2
        first, second = self._largest(slices[:half]), self._largest(slices[half:])
        self._won.append(first >= second)
        return torch.maximum(first, second)

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        back = g.new_zeros(self._shape)
        self._route(self._slices(back), g)
        return back

    def _route(self, slices: list[Tensor], g: Tensor) -> None:
        if len(slices) == 1:
            slices[0].copy_(g)
            return
        half, to_first = len(slices) // 2, g * self._won.pop()
        self._route(slices[half:], g - to_first)
        self._route(slices[:half], to_first)


class _Weighted(_Layer):
    """Layers with weights, of all trials in one array."""

    def __init__(self, modules: Sequence[nn.Linear | nn.Conv2d], dtype: torch.dtype) -> None:
        self._modules = modules
        self._biased = modules[0].bias is not None
        self.weights = torch.stack([m.weight.detach().flatten(1) for m in modules]).to(dtype)
        biases = [torch.zeros(len(m.weight)) if m.bias is None else m.bias.detach() for m in modules]
        self.biases = torch.stack(biases).to(dtype)

    def write_back(self) -> None:
        for module, weight, bias in zip(self._modules, self.weights, self.biases, strict=True):
            module.weight.copy_(weight.view_as(module.weight))
            if module.bias is not None:
                module.bias.copy_(bias)


class _Dense(_Weighted):
    """Weights (trials, in, out), so that a row times them runs along memory."""

    def __init__(self, modules: Sequence[nn.Linear], dtype: torch.dtype) -> None:
        super().__init__(modules, dtype)
        self.weights = self.weights.transpose(1, 2).contiguous()

    def forward(self, h: Tensor) -> Tensor:
        self._in = h
        return torch.baddbmm(self.biases[:, None], h[:, None], self.weights)[:, 0]

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        back = g if first else torch.bmm(g[:, None], self.weights.transpose(1, 2))[:, 0]
        self.weights.addcmul_(self._in[:, :, None], g[:, None], value=-lr)
        if self._biased:
            self.biases.sub_(g, alpha=lr)
        return back

    def write_back(self) -> None:
        self.weights = self.weights.transpose(1, 2)
        super().write_back()


class _Conv(_Weighted):
    """Weights (trials, out, in), which multiply the patches of an image as columns."""

    def __init__(self, modules: Sequence[nn.Conv2d], dtype: torch.dtype) -> None:
        super().__init__(modules, dtype)
        one = modules[0]
        if isinstance(one.padding, str) or one.groups != 1 or one.dilation != (1, 1) or one.padding_mode != "zeros":
            raise LebenchError("convolutions need padding by zeros, given as numbers, one group and no dilation")
        self._kernel = cast("tuple[int, int]", one.kernel_size)
        self._padding = cast("tuple[int, int]", one.padding)
        self._stride = cast("tuple[int, int]", one.stride)

    def forward(self, h: Tensor) -> Tensor:
        self._shape = h.shape
        (up, left), (height, width) = self._padding, self._kernel
        if up or left:
            h = functional.pad(h, (left, left, up, up))
        patches = h.unfold(2, height, self._stride[0]).unfold(3, width, self._stride[1])
        rows, columns = patches.shape[2:4]
        # A view of the image, copied row by row.
        self._columns = patches.permute(0, 1, 4, 5, 2, 3).reshape(len(h), -1, rows * columns)
        return torch.baddbmm(self.biases[:, :, None], self.weights, self._columns).view(len(h), -1, rows, columns)

    def backward(self, g: Tensor, lr: float, first: bool) -> Tensor:
        flat, back = g.flatten(2), g
        if not first:
            columns = torch.bmm(self.weights.transpose(1, 2), flat)
            size = (self._shape[2], self._shape[3])
            back = functional.fold(columns, size, self._kernel, padding=self._padding, stride=self._stride)
        self.weights.baddbmm_(flat, self._columns.transpose(1, 2), alpha=-lr)
        if self._biased:
            self.biases.sub_(flat.sum(dim=2), alpha=lr)
        return back


def _pooled_first(layers: list[_Layer]) -> list[_Layer]:
    """Pool before the ReLU, not after it, where the network does: the same function and gradient of fewer numbers."""
    ordered = list(layers)
    for number in range(len(ordered) - 1):
        if isinstance(ordered[number], _Relu) and isinstance(ordered[number + 1], _Pool):
            ordered[number : number + 2] = ordered[number + 1], ordered[number]
    return ordered


def _layer(same: Sequence[nn.Module], dtype: torch.dtype) -> _Layer:
    """Return the layer that stands for the same layer of all networks."""
    first = same[0]
    if len({repr(module) for module in same}) > 1:
        raise LebenchError("the networks differ in structure: trials are of one network")
    if isinstance(first, nn.Flatten):
        return _Flatten()
    if isinstance(first, nn.ReLU):
        return _Relu()
    if isinstance(first, nn.MaxPool2d):
        return _Pool(first)
    if isinstance(first, nn.Linear):
        return _Dense(cast("Sequence[nn.Linear]", same), dtype)
    if isinstance(first, nn.Conv2d):
        return _Conv(cast("Sequence[nn.Conv2d]", same), dtype)
    raise LebenchError(
        f"{type(first).__name__} is none of Conv2d, ReLU, MaxPool2d, Flatten and Linear, of which trials are made"
    )
