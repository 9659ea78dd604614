"""Scores of any torch module: how it is called, which part of its answer are scores, and what it is refused for."""

from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lebench.errors import LebenchError

#: A tensor, or several in a tuple or a mapping, which become arguments of the module; samples along the first axis.
Inputs = Any


def samples(x: Inputs) -> int:
    """Return how many samples inputs hold."""
    return next(len(leaf) for leaf in tree_leaves(x) if isinstance(leaf, Tensor))


def take(x: Inputs, rows: slice | list[int]) -> Inputs:
    """Return some samples of inputs."""

    def taken(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf[rows if isinstance(rows, slice) else torch.tensor(rows).to(leaf.device)]

    return tree_map(taken, x)


def joined(x1: Inputs, x2: Inputs) -> Inputs:
    """Return the samples of both inputs."""
    return tree_map(lambda a, b: torch.cat([a, b]) if isinstance(a, Tensor) else a, x1, x2)


def shapes(x: Inputs) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of one sample."""
    return tuple(tuple(leaf.shape[1:]) for leaf in tree_leaves(x) if isinstance(leaf, Tensor))


def shown(x: Inputs) -> str:
    """Return the shapes of one sample in words."""
    found = shapes(x)
    return str(found[0]) if len(found) == 1 else " and ".join(map(str, found))


def prepared(module: nn.Module, x: Inputs, attached: bool = False) -> Inputs:
    """Return inputs in the dtype and on the device of the module's parameters; their gradients lead back if attached.

    Raises
    ------
    LebenchError
        If there are no parameters with values, or the inputs are not tensors with at least one sample, finite and real.
    """
    if not isinstance(module, nn.Module):
        raise LebenchError(f"a torch.nn.Module is needed, got {type(module).__name__}")
    parameters = list(module.parameters())
    if not parameters:
        raise LebenchError("the module has no parameters, so nothing in it can be trained")
    if any(nn.parameter.is_lazy(p) or p.is_meta for p in parameters):
        raise LebenchError("the module has parameters without values; load them, or call a lazy module once")
    if any(p.requires_grad and p.dtype.itemsize < 2 for p in parameters):
        raise LebenchError("the module has parameters in 8 bits; convert them: module.float()")
    # Frozen ones may be quantized, and are no model for the inputs.
    parameter = next((p for p in parameters if p.is_floating_point()), parameters[0])
    if any(p.is_complex() for p in parameters):
        raise LebenchError("the module has complex parameters; split them into real and imaginary parts")
    if isinstance(x, Mapping):
        x = dict(x)
    found = tree_leaves(x)
    leaves = [leaf for leaf in found if isinstance(leaf, Tensor)]
    wrong = [leaf for leaf in found if not isinstance(leaf, Tensor | bool | int | float | str | None)]
    if not leaves or wrong:
        got = type(wrong[0] if wrong else x).__name__
        raise LebenchError(f"inputs must be a torch tensor, got {got}; torch.as_tensor converts arrays")
    if any(leaf.ndim == 0 or len(leaf) == 0 for leaf in leaves):
        raise LebenchError("there are no inputs")
    lengths = sorted({len(leaf) for leaf in leaves})
    if len(lengths) > 1:
        raise LebenchError(f"all inputs must hold the same number of samples, got {lengths[0]} and {lengths[-1]}")
    if any(leaf.is_complex() for leaf in leaves):
        raise LebenchError("the inputs are complex; split them into real and imaginary parts")
    if not all(torch.isfinite(leaf).all() for leaf in leaves):
        raise LebenchError("the inputs contain NaN or infinite numbers; remove or replace them first")

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if not attached:
            leaf = leaf.detach().clone() if leaf.is_inference() else leaf.detach()
        # Integers are indices into an embedding and keep their type.
        return leaf.to(parameter) if leaf.is_floating_point() else leaf.to(parameter.device)

    return tree_map(moved, x)


def scores_of(module: Callable[..., Any], x: Inputs) -> Tensor:
    """Return the scores (n, C) of a module at inputs in the form that :func:`prepared` returns.

    A sample on its own is passed twice, so that a ``squeeze()`` in the module finds a batch.

    Raises
    ------
    LebenchError
        If the module returns no scores (n, C) or (n,), nor several of them.
    """
    n = samples(x)
    batch = take(x, [0, 0]) if n == 1 else x
    with _without_checkpoints():
        try:
            answer = _called(module, batch)
        except RuntimeError as error:
            if torch.is_grad_enabled() or isinstance(error, torch.OutOfMemoryError):
                raise
            # It may take gradients within.
            with torch.enable_grad():
                answer = tree_map(
                    lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, _called(module, batch)
                )
    found = list(_score_tensors(answer))
    expected = max(n, 2)
    if not found:
        raise LebenchError(
            f"the module returned {type(answer).__name__}; let it return its scores, a tensor (n, C), or an object "
            "with them as .logits"
        )
    for part in found:
        if part.ndim not in (1, 2) or len(part) != expected:
            raise LebenchError(
                f"the module must return scores of shape (n, C) or (n,) for n = {expected} inputs; got shape "
                f"{tuple(part.shape)}"
            )
        if part.is_complex():
            raise LebenchError("the scores are complex; let the module return real ones")
    columns = [part[:, None] if part.ndim == 1 else part for part in found]
    return (columns[0] if len(columns) == 1 else torch.cat(columns, dim=1))[:n]


def _called(module: Callable[..., Any], batch: Inputs) -> Any:
    # A copy, which the module may change in place.
    batch = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, batch)
    if isinstance(batch, tuple | list):
        return module(*batch)
    return module(**batch) if isinstance(batch, dict) else module(batch)


def _score_tensors(answer: Any) -> Iterator[Tensor]:
    """Yield ``logits`` alone where the answer names them, else every tensor of floating-point numbers in it."""
    if isinstance(answer, Tensor):
        if answer.is_floating_point() or answer.is_complex():
            yield answer
        return
    named = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    if isinstance(named, Tensor):
        yield named
        return
    parts: list[Any] = []
    if isinstance(answer, Mapping):
        parts = list(answer.values())
    elif isinstance(answer, tuple | list):
        parts = list(answer)
    elif dataclasses.is_dataclass(answer):
        parts = [getattr(answer, f.name) for f in dataclasses.fields(answer)]
    for part in parts:
        yield from _score_tensors(part)


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Run reentrant checkpoints as plain calls: the graph that they record leaves out the parameters."""
    kind = torch.utils.checkpoint.CheckpointFunction
    kind.apply = staticmethod(lambda run, preserve, *args: run(*args))  # type: ignore[method-assign]
    try:
        yield
    finally:
        if "apply" in vars(kind):
            del kind.apply


class Precision(TorchFunctionMode):
    """Notes the coarsest precision of what is computed.

    Attributes
    ----------
    epsilon : float
        Machine epsilon.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epsilon = 0.0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in output if isinstance(output, tuple | list) else (output,):
            if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()):
                self.epsilon = max(self.epsilon, torch.finfo(leaf.dtype).eps)
        return output


@contextmanager
def doubled(module: nn.Module) -> Iterator[None]:
    """Give a module its parameters and buffers in float64 for a while: the same objects with other data."""
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
    kept = [(t, t.data, t.grad) for t in tensors]
    try:
        for t in tensors:
            t.grad = None
            t.data = t.data.double()
        yield
    finally:
        for t, data, gradient in kept:
            t.grad = None
            t.data, t.grad = data, gradient


def generator_states() -> tuple[bytes, ...]:
    """Return the states of the global random generators, to be compared."""
    on_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    return pickle.dumps(states), *(t.numpy().tobytes() for t in (torch.get_rng_state(), *on_devices))


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global random generators back as they were."""
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])


def check_module(module: nn.Module) -> None:
    """Refuse modules in training mode, and those that normalize by the batch in evaluation mode.

    Raises
    ------
    LebenchError
        Names the part.
    """
    for name, part in module.named_modules():
        if part.training:
            raise LebenchError(
                f"module {name or type(part).__name__!r} is in training mode; call module.eval() first, so that the "
                "scores of an input do not depend on its batch"
            )
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
            raise LebenchError(
                f"batch normalization {name!r} keeps no running statistics, so the scores of an input depend on its "
                "batch; use track_running_stats=True"
            )
