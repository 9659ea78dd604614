"""A torch module as a differentiable function of NumPy arrays, measured in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lebench.arrays import FloatArray
from lebench.backends.torch_build import Linearized, tangent
from lebench.backends.torch_devices import make_room
from lebench.backends.torch_functions import scores_of
from lebench.backends.torch_tangents import empirical_ntk, first_order_changes
from lebench.backends.torch_weights import layer_weights
from lebench.capabilities import LayerWeights
from lebench.errors import LebenchError

_BATCH = 1024

R = TypeVar("R")


def as_input(x: FloatArray, dtype: torch.dtype = torch.float64, channels_last: bool = True) -> Tensor:
    """Return an array as a tensor; integers keep their type.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
    dtype : torch.dtype
        Of numbers that are no integers.
    channels_last : bool
        Whether (n, h, w, c) becomes a (n, c, h, w) view, which torch calls channels-last, its faster layout here.
    """
    # A copy: splits are read-only.
    tensor = torch.tensor(np.ascontiguousarray(x))
    tensor = tensor if not tensor.is_floating_point() else tensor.to(dtype)
    return tensor.permute(0, 3, 1, 2) if channels_last and tensor.ndim == 4 else tensor


class TorchFunction:
    """The scores of a module in float64 and in evaluation mode; see :class:`lebench.backends.fitted.Differentiable`.

    Parameters
    ----------
    module : torch.nn.Module
        In float64 and in evaluation mode.
    example : ndarray of shape (n, ...)
        An input or more, by which layers are found.
    channels_last : bool
        Whether images come as (n, h, w, c) and go into the module as (n, c, h, w).

    Attributes
    ----------
    unavailable : dict of str to str
        Why it has no ``features`` or ``weights``.
    """

    def __init__(self, module: nn.Module, example: FloatArray, channels_last: bool = True) -> None:
        self.module = module
        self.example = example
        self.channels_last = channels_last
        self.unavailable: dict[str, str] = {}
        self._head = self._found_head()
        try:
            self.layers()
        except (LebenchError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            self.unavailable["weights"] = str(error)

    @property
    def linear_in_weights(self) -> bool:
        """Whether it is a first-order expansion in its weights."""
        return isinstance(self.module, Linearized)

    def scores(self, x: FloatArray) -> FloatArray:
        """Return scores (n, C)."""
        return self._batched(lambda size: self._scores(x, size))

    def _scores(self, x: FloatArray, size: int) -> FloatArray:
        with torch.no_grad():
            return np.concatenate(
                [_numpy(scores_of(self.module, self._input(part))) for part in _parts(x, size)], axis=0
            )

    def gradients(self, x: FloatArray, cotangents: FloatArray) -> FloatArray:
        """Return gradients (n, k, P) of combinations (n, k, C) of each point's scores."""
        parameters = self._parameters(self.module)
        result = np.empty((*cotangents.shape[:2], sum(p.numel() for p in parameters)))
        for i, combinations in enumerate(torch.from_numpy(np.array(cotangents)).to(self._device)):
            scores = scores_of(self.module, self._input(x[i : i + 1]))
            for k, combination in enumerate(combinations):
                found = torch.autograd.grad(
                    scores, parameters, combination[None], retain_graph=True, allow_unused=True, materialize_grads=True
                )
                result[i, k] = _numpy(torch.cat([slope.reshape(-1) for slope in found]))
        return result

    def moved(self, change: FloatArray) -> TorchFunction:
        """Return the function with changed weights (P,)."""
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module)
        parameters = self._parameters(other.module)
        parts = torch.split(torch.tensor(change).to(self._device), [p.numel() for p in parameters])
        with torch.no_grad():
            for p, part in zip(parameters, parts, strict=True):
                p.add_(part.view(p.shape))
        return other

    def at(self, state: dict[str, Tensor]) -> TorchFunction:
        """Return the function with the weights and buffers of another moment."""
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module)
        other.module.load_state_dict(state)
        other._head = other._found_head()
        return other

    def gram(self, x1: FloatArray, x2: FloatArray | None) -> FloatArray:
        """Return the empirical NTK (n, m), averaged over scores."""
        return _numpy(empirical_ntk(tangent(self.module), self._input(x1), None if x2 is None else self._input(x2)))

    def first_order(
        self, sources: FloatArray, cotangents: FloatArray, targets: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return products of Jacobians at targets (n, m, C) and at sources (n, C)."""
        x = self._input(sources)
        x_to = x if targets is sources else self._input(targets)
        at_targets, at_sources = first_order_changes(
            tangent(self.module), x, torch.tensor(cotangents).to(self._device), x_to
        )
        return _numpy(at_targets), _numpy(at_sources)

    def features(self, x: FloatArray) -> FloatArray:
        """Return the input of the last linear layer, (n, p)."""
        return self.scores_and_features(x)[1]

    def scores_and_features(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return scores (n, C) and the input of the last linear layer, (n, p), from one pass."""
        return self._batched(lambda size: self._both(x, size))

    def _both(self, x: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
        given: list[Tensor] = []
        scores, features = [], []
        with self._last.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach())), torch.no_grad():
            for part in _parts(x, size):
                scores.append(_numpy(scores_of(self.module, self._input(part))))
                features.append(_numpy(given[-1][: len(part)].flatten(1)))
                given.clear()
        return np.concatenate(scores), np.concatenate(features)

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, p) and bias (C,) of the last linear layer."""
        head = self._last
        bias = head.bias if head.bias is not None else head.weight.new_zeros(head.out_features)
        return _numpy(head.weight), _numpy(bias)

    def layers(self) -> tuple[LayerWeights, ...]:
        """Return the layers with their weights; see :class:`lebench.capabilities.HasWeights`.

        Raises
        ------
        LebenchError
            If something with weights is no dense or convolutional layer or batch normalization of its outputs, or a
            layer is called several times.
        """
        return layer_weights(self.module, self._input(self.example))

    @property
    def _last(self) -> nn.Linear:
        if self._head is None:
            raise LebenchError(self.unavailable["features"])
        return self._head

    def _found_head(self) -> nn.Linear | None:
        """Return the linear layer that is called last, if the scores are its outputs."""
        called: list[tuple[nn.Linear, Tensor]] = []
        handles = [
            m.register_forward_hook(lambda m, _, output: called.append((m, output)))
            for m in self.module.modules()
            if isinstance(m, nn.Linear)
        ]
        try:
            with torch.no_grad():
                scores = scores_of(self.module, self._input(self.example))
        finally:
            for handle in handles:
                handle.remove()
        if called:
            head, output = called[-1]
            if output.shape[1:] == scores.shape[1:] and torch.equal(output[: len(scores)], scores):
                return head
        self.unavailable["features"] = (
            "the network does not end in a torch.nn.Linear with one output per class, so it has no features; "
            "let its forward() return the output of such a layer"
        )
        return None

    def _input(self, x: FloatArray) -> Tensor:
        return as_input(x, channels_last=self.channels_last).to(self._device)

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def _batched(self, function: Callable[[int], R]) -> R:
        """Call a function with the number of inputs that are evaluated at once, again with half of it if need be."""
        try:
            return function(_BATCH)
        except torch.OutOfMemoryError:
            make_room()
        return function(_BATCH // 2)

    @staticmethod
    def _parameters(module: nn.Module) -> list[nn.Parameter]:
        return [p for p in module.parameters() if p.requires_grad]


def _parts(x: FloatArray, size: int) -> Iterator[FloatArray]:
    """Yield so many inputs at a time, which alone are on the device."""
    for start in range(0, max(1, len(x)), size):
        yield x[start : start + size]


def _numpy(tensor: Tensor) -> FloatArray:
    array: FloatArray = np.ascontiguousarray(tensor.detach().double().cpu().numpy())
    return array


def wrapped(module: nn.Module, example: FloatArray, channels_last: bool) -> TorchFunction:
    """Return a module that somebody else has trained, copied; see :func:`lebench.backends.wrapping.wrap`.

    Raises
    ------
    LebenchError
        If its weights are not finite, or it does not take the example.
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise LebenchError(f"{name!r} of the module holds NaN or infinite numbers; it cannot be scored")
    copied = copy.deepcopy(module).cpu().double().eval()
    try:
        return TorchFunction(copied, example, channels_last)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise LebenchError(f"the module does not take inputs of shape {example.shape[1:]}: {reason}") from error
