"""Networks of the torch backend in JAX: the same weights, so that both can be compared number by number."""

from __future__ import annotations

from typing import Any

from torch import nn

from lebench.architectures import Architecture
from lebench.backends.fitted import FittedNetwork
from lebench.backends.jax_backend import JaxFunction, State
from lebench.backends.jax_networks import Described
from lebench.backends.jax_training import Trained

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)


def weights_from_torch(module: nn.Module) -> State:
    """Return a built module's weights and running statistics in the form of the jax backend, one dict a layer."""
    weights: list[dict[str, Any]] = []
    statistics: list[dict[str, Any]] = []
    for part in module.modules():
        if isinstance(part, nn.Linear):
            weights.append({"w": part.weight.T, "b": part.bias})
        elif isinstance(part, nn.Conv2d):
            weights.append({"w": part.weight.permute(2, 3, 1, 0), "b": part.bias})
        elif isinstance(part, _NORMS):
            weights.append({"w": part.weight, "b": part.bias})
            if not isinstance(part, nn.GroupNorm):
                statistics.append({"mean": part.running_mean, "var": part.running_var})
    return _arrays(weights), _arrays(statistics)


def _arrays(layers: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple({name: value.detach().numpy() for name, value in layer.items()} for layer in layers)


def network_from_torch(fitted: FittedNetwork, architecture: Architecture) -> FittedNetwork:
    """Return a network of the torch backend, built from an architecture, as one of the jax backend."""
    function: Any = fitted.function
    state = weights_from_torch(function.module)
    same = JaxFunction(Trained(Described(architecture, fitted.classes)), state, state)
    return FittedNetwork(same, fitted.loss, fitted.classes)
