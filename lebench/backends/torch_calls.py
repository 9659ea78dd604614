"""Which trainable parameters enter the scores as weights of a linear map, and with which inputs.

Calls of ``F.linear``, ``F.conv*`` and of normalizations are recorded as they are made, whatever module makes them. A
parameter that enters the graph of the scores anywhere else is left to explicit gradients.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lebench.backends.torch_functions import Inputs, samples, scores_of, take

#: Parameters of a group, by name: weight and bias, "" where one is absent or frozen.
Key = tuple[str, str]


@dataclass(frozen=True)
class Call:
    """One call of a layer's function: its input, and where in the graph the gradient of its output arrives.

    Attributes
    ----------
    kind : str
        ``linear``, ``conv``, ``layer_norm``, ``group_norm`` or ``batch_norm``.
    key : tuple of str
        The trainable parameters that it reads.
    a : Tensor
        The input.
    version : int
        Of the input, which a change in place raises.
    shape : torch.Size
        Of the output.
    edge : GradientEdge
        Of the output.
    settings : tuple
        What else the function was called with.
    """

    kind: str
    key: Key
    a: Tensor
    version: int
    shape: torch.Size
    edge: Any
    settings: tuple[Any, ...]

    @property
    def _dimensions(self) -> int:
        """Dimensions of a batch of inputs at least: a convolution takes one image without a batch, too."""
        if self.kind == "conv":
            return len(self.settings[0])
        return 1 + len(self.settings[0]) if self.kind == "layer_norm" else 2

    def repeats(self, batch: int) -> int:
        """Return how many consecutive rows of the input belong to one sample of a batch; 0 if it is not so."""
        if self.a.ndim < self._dimensions or self.a.shape[0] != self.shape[0]:
            return 0
        rows, rest = divmod(self.shape[0], batch)
        several = self.kind in ("linear", "layer_norm")
        return rows if rest == 0 and (rows == 1 or several) and self.a._version == self.version else 0

    def signature(self, batch: int) -> tuple[Any, ...]:
        """Return what must not depend on the batch."""
        settings = tuple(value for value in self.settings if not isinstance(value, Tensor))
        return self.kind, self.repeats(batch), tuple(self.a.shape[1:]), tuple(self.shape[1:]), settings


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return "linear", input, weight, bias, (tuple(weight.shape),)


def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    sides = weight.ndim - 2

    def each(value: Any) -> tuple[int, ...]:
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * sides if len(values) == 1 else values

    steps = padding if isinstance(padding, str) else each(padding)
    return "conv", input, weight, bias, (tuple(weight.shape), each(stride), steps, each(dilation), groups)


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    return "layer_norm", input, weight, bias, (tuple(normalized_shape), eps)


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Any:
    return "group_norm", input, weight, bias, (num_groups, eps)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    return None if training else ("batch_norm", input, weight, bias, (running_mean, running_var, eps))


_READERS: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d), _conv),
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.batch_norm: _batch_norm,
}


class _Recorder(TorchFunctionMode):
    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.names = names
        self.calls: list[Call] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        read = _READERS.get(func)
        if read is not None and isinstance(output, Tensor) and output.requires_grad:
            found = read(*args, **(kwargs or {}))
            if found is not None:
                kind, a, weight, bias, settings = found
                key = self.names.get(id(weight), ""), self.names.get(id(bias), "")
                if any(key):
                    edge = torch.autograd.graph.get_gradient_edge(output)
                    self.calls.append(Call(kind, key, a.detach(), a._version, output.shape, edge, settings))
        return output


class Tape:
    """A forward pass of a few samples, from which gradients of any scores can be had.

    Attributes
    ----------
    n, batch : int
        Samples, and rows that the module saw: one sample is passed twice.
    scores : Tensor of shape (n, C)
    groups : dict
        By trainable parameters that are used together, and nowhere else, the calls that use them.
    """

    def __init__(self, module: nn.Module, x: Inputs) -> None:
        names = {id(p): name for name, p in module.named_parameters() if p.requires_grad}
        recorder = _Recorder(names)
        self.n, self.batch = samples(x), max(2, samples(x))
        with torch.enable_grad(), recorder:
            self.scores = scores_of(module, x)
        used = _uses(self.scores, names)
        groups: dict[Key, list[Call]] = {}
        for call in recorder.calls:
            groups.setdefault(call.key, []).append(call)
        owners = Counter(name for key in groups for name in key if name)
        self.groups = {
            key: calls
            for key, calls in groups.items()
            if all(call.repeats(self.batch) for call in calls)
            and len({call.kind for call in calls}) == 1
            and all(used[name] == len(calls) and owners[name] == 1 for name in key if name)
        }

    def signature(self, key: Key) -> tuple[Any, ...] | None:
        """Return what a group of calls looks like, whatever the batch; None if there is no such group."""
        calls = self.groups.get(key)
        return None if calls is None else tuple(call.signature(self.batch) for call in calls)

    def input_of(self, call: Call) -> Tensor:
        """Return the input (n, ...) of a call, rows of one sample along a second axis where there are several."""
        return self._by_sample(call.a, call)

    def backward(self, calls: Sequence[Call], cotangent: Tensor) -> list[Tensor | None]:
        """Return the gradients (n, ...) of a combination (n, C) of scores in the outputs of calls."""
        if not calls:
            return []
        found = torch.autograd.grad(
            [self.scores], [call.edge for call in calls], [cotangent], retain_graph=True, allow_unused=True
        )
        return [None if g is None else self._by_sample(g, call) for g, call in zip(found, calls, strict=True)]

    def _by_sample(self, values: Tensor, call: Call) -> Tensor:
        rows = call.repeats(self.batch)
        if rows != 1:
            values = values.reshape(self.batch, rows, *values.shape[1:])
        return values[: self.n]


def misplaced(tape: Tape, other: Tape, rows: list[int], keys: Iterable[Key], tolerance: float) -> list[Key]:
    """Return the groups whose inputs on `other`, a tape of some rows of the batch, are not those at these rows."""

    def moved(call: Call, same: Call) -> bool:
        here, there = tape.input_of(call), other.input_of(same)
        if here.shape[1:] != there.shape[1:]:
            return True
        return here.numel() > 0 and bool((take(here, rows) - there).abs().max() > tolerance * here.abs().max())

    return [key for key in keys if any(map(moved, tape.groups.get(key, ()), other.groups.get(key, ())))]


def _uses(scores: Tensor, names: dict[int, str]) -> Counter[str]:
    """Count how often each parameter enters the graph that leads to the scores."""
    counts: Counter[str] = Counter()
    seen: set[Any] = set()
    stack = [scores.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for following, _ in node.next_functions:
            variable = getattr(following, "variable", None)
            if variable is not None:
                counts[names.get(id(variable), "")] += 1
            else:
                stack.append(following)
    return counts


def features(call: Call) -> int:
    """Return how many channels of a group, or numbers, a layer multiplies with weights."""
    return call.settings[0][1] if call.key[0] else 1


def patches(call: Call, a: Tensor, part: slice = slice(None)) -> Tensor:
    """Return the inputs (n, groups, p, T) that a linear map multiplies, of some of its features.

    A bias is one more entry that is always 1, and comes with the last feature.
    """
    n, (weight, bias) = len(a), call.key
    if call.kind == "linear":
        found = a.reshape(n, -1, call.settings[0][1])[:, :, part].transpose(1, 2)[:, None]
    else:
        groups = call.settings[4]
        if part != slice(None):
            a = a.reshape(n, groups, -1, *a.shape[2:])[:, :, part].flatten(1, 2)
        unfolded = _unfolded(a, *call.settings[:4])
        found = unfolded.view(n, groups, -1, unfolded.shape[-1])
    if not weight or (bias and part.stop in (None, features(call))):
        ones = found.new_ones(()).expand(n, found.shape[1], 1, found.shape[3])
        return torch.cat([found, ones], dim=2) if weight else ones
    return found


def columns(call: Call, signal: Tensor) -> Tensor:
    """Return the gradients (n, k, ...) in a layer's outputs as (n, k, groups, q, T)."""
    n, k = signal.shape[:2]
    if call.kind == "linear":
        return signal.reshape(n, k, -1, call.settings[0][0]).transpose(2, 3)[:, :, None]
    groups = call.settings[4]
    return signal.reshape(n, k, groups, call.settings[0][0] // groups, -1)


def _unfolded(
    a: Tensor, weight: Sequence[int], stride: Sequence[int], padding: str | Sequence[int], dilation: Sequence[int]
) -> Tensor:
    kernel = weight[2:]
    if padding == "same":
        totals = [d * (size - 1) for d, size in zip(dilation, kernel, strict=True)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        sides = [(0, 0)] * len(kernel) if isinstance(padding, str) else [(p, p) for p in padding]
    if any(map(any, sides)):
        a = F.pad(a, [side for pair in reversed(sides) for side in pair])
    geometry = zip(a.shape[2:], kernel, dilation, stride, strict=True)
    positions = [(size - step * (side - 1) - 1) // onward + 1 for size, side, step, onward in geometry]
    apart = [step * jump for step, jump in zip(dilation, a.stride()[2:], strict=True)]
    onward = [step * jump for step, jump in zip(stride, a.stride()[2:], strict=True)]
    # Copying a view of overlapping windows is several times as fast as F.unfold.
    windows = a.as_strided((*a.shape[:2], *kernel, *positions), (*a.stride()[:2], *apart, *onward), a.storage_offset())
    return windows.reshape(len(a), -1, math.prod(positions))


def affine_rows(call: Call, a: Tensor, signal: Tensor) -> Tensor:
    """Return the gradients (n, P) in the scale and shift of a normalization, from those in its outputs."""
    if call.kind == "layer_norm":
        shape, eps = call.settings
        normalized = F.layer_norm(a, shape, eps=eps)
        # Positions are all dimensions between the sample and the normalized ones.
        positions = tuple(range(1, signal.ndim - len(shape)))
    else:
        if call.kind == "group_norm":
            normalized = F.group_norm(a, call.settings[0], eps=call.settings[1])
        else:
            mean, variance, eps = call.settings
            normalized = F.batch_norm(a, mean, variance, eps=eps)
        positions = tuple(range(2, signal.ndim))

    def summed(gradient: Tensor) -> Tensor:
        return (gradient.sum(positions) if positions else gradient).flatten(1)

    weight, bias = call.key
    rows = [summed(signal * normalized)] if weight else []
    return torch.cat([*rows, summed(signal)] if bias else rows, dim=1)
