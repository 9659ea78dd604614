"""Weights from a file into a torch module, without running what the file holds."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lebench.errors import DataError, LebenchError

#: Where training scripts put the weights within what they save.
_WITHIN = ("state_dict", "model_state_dict", "model", "module")


def load_module(builder: Callable[..., Any], weights: Path, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the module that a builder makes, with the weights of a file.

    Parameters
    ----------
    builder : callable
        Without arguments, or ``(input_shape, outputs)``; to a ``torch.nn.Module``.
    weights : Path
        A ``.safetensors`` file, or a ``state_dict`` that torch saved.
    input_shape : tuple of int
        (height, width, channels) or (features,).
    outputs : int
        Number of scores C.

    Raises
    ------
    LebenchError
        If the builder makes no module, the file holds no weights or needs code to be read, or the weights do not fit.
    """
    module = _built(builder, input_shape, outputs)
    expected, state = module.state_dict(), read_weights(weights)
    # As DataParallel, torch.compile or Lightning's modules prefix the names of what they hold.
    first = next(iter(expected), "")
    prefixes = {name.removesuffix(first) for name in state if name.endswith(f".{first}")} if first not in state else ()
    for prefix in prefixes:
        if all(f"{prefix}{name}" in state for name in expected):
            state = {name: state[f"{prefix}{name}"] for name in expected}
            break
    _check_fit(expected, state, weights)
    module.load_state_dict(state)
    return module


def _built(builder: Callable[..., Any], input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    required = [p for p in inspect.signature(builder).parameters.values() if p.default is p.empty]
    try:
        module = builder(input_shape, outputs) if len(required) >= 2 else builder()
    except LebenchError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise LebenchError(f"the builder fails, called without arguments or with (shape, classes): {reason}") from error
    if not isinstance(module, nn.Module):
        raise LebenchError(f"the builder must return a torch.nn.Module, it returned {type(module).__name__}")
    if any(nn.parameter.is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        raise LebenchError("the module of the builder has parameters without shapes: call a lazy module once in it")
    return module


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return tensors by name from a ``.safetensors`` file or a ``state_dict`` that torch saved.

    Raises
    ------
    DataError
        If the file cannot be read, holds anything else than tensors, or is a pickle with code in it.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            found: Any = load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path.name} is no safetensors file: {error}") from error
    else:
        try:
            with warnings.catch_warnings():
                # Of another pickle protocol, which the next line is about.
                warnings.simplefilter("ignore")
                found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch makes of bytes that are no weights
            raise DataError(
                f"{path.name} is no file of weights alone, and what it holds is not executed: save them with "
                "torch.save(module.state_dict(), path) or as safetensors"
            ) from error
    while isinstance(found, Mapping) and not all(isinstance(value, Tensor) for value in found.values()):
        inner = [found[name] for name in _WITHIN if isinstance(found.get(name), Mapping)]
        if not inner:
            raise DataError(f"{path.name} holds {', '.join(map(str, list(found)[:5]))} and no state_dict")
        found = inner[0]
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"{path.name} holds no tensors by name; save module.state_dict()")
    return dict(found)


def _check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    for name, value in expected.items():
        if name not in found:
            raise DataError(f"{path.name} does not fit the builder: {name!r} of shape {tuple(value.shape)} is missing")
        if found[name].shape != value.shape:
            raise DataError(
                f"{path.name} does not fit the builder: {name!r} has shape {tuple(found[name].shape)}, the module "
                f"needs {tuple(value.shape)}"
            )
    extra = [name for name in found if name not in expected]
    if extra:
        raise DataError(f"{path.name} does not fit the builder: the module has no {extra[0]!r}")
