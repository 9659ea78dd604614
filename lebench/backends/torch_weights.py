"""The layers of a torch module with their weights, in the order in which they are called."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lebench.arrays import FloatArray
from lebench.capabilities import LayerWeights, Normalization
from lebench.errors import LebenchError

_Layer = nn.Linear | nn.Conv1d | nn.Conv2d
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def layer_weights(module: nn.Module, example: Tensor) -> tuple[LayerWeights, ...]:
    """Return copies of the weights of all layers, each with the batch normalization of its outputs if there is one.

    The example (n, ...) is passed through the module, in evaluation mode, to see which layers are called.

    Raises
    ------
    LebenchError
        If something with weights is no dense or convolutional layer or batch normalization of its outputs, or a layer
        is called several times.
    """
    names = {part: name for name, part in module.named_modules()}
    calls: Counter[nn.Module] = Counter()
    outputs: dict[int, tuple[Tensor, int, nn.Module]] = {}
    norms: dict[nn.Module, nn.Module] = {}

    def called(part: Any, inputs: Any, output: Tensor) -> None:
        calls[part] += 1
        if isinstance(part, _LAYERS):
            # The tensor is kept, so that no other gets its id, with its version, which an activation in place raises.
            outputs[id(output)] = output, output._version, part
        elif id(inputs[0]) in outputs and part.running_mean is not None:
            _, version, layer = outputs[id(inputs[0])]
            if inputs[0]._version == version:
                norms[layer] = part

    handles = [part.register_forward_hook(called) for part in names if isinstance(part, _LAYERS + _NORMS)]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    found = [part for part in calls if isinstance(part, _LAYERS)]
    repeated = [names[part] for part, count in calls.items() if count > 1]
    if repeated:
        raise LebenchError(f"layer {repeated[0]!r} is called several times, so its weights are not those of one layer")
    covered = {id(p) for part in (*found, *norms.values()) for p in part.parameters(recurse=False)}
    left = [name for name, p in module.named_parameters() if id(p) not in covered]
    left += [names[part] for part in calls if isinstance(part, _NORMS) and part not in norms.values()]
    if left:
        raise LebenchError(
            f"{left[0]!r} is part of no dense or convolutional layer and of no batch normalization of its outputs by "
            "running statistics; capacities are defined for such layers only"
        )
    return tuple(_weights(layer, norms.get(layer)) for layer in found)


def _weights(layer: Any, norm: Any) -> LayerWeights:
    weight = _copy(layer.weight)
    bias = np.zeros(len(weight)) if layer.bias is None else _copy(layer.bias)
    return LayerWeights(weight, bias, None if norm is None else _normalization(norm))


def _normalization(norm: Any) -> Normalization:
    mean, variance = _copy(norm.running_mean), _copy(norm.running_var)
    affine = norm.affine
    scale = _copy(norm.weight) if affine else np.ones(len(mean))
    shift = _copy(norm.bias) if affine else np.zeros(len(mean))
    return Normalization(scale, shift, mean, variance, norm.eps)


def _copy(tensor: Tensor) -> FloatArray:
    return np.array(tensor.detach().double().cpu().numpy(), order="C")
