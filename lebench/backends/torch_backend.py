"""The torch backend: trains a network and offers every capability of the design on it."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.backends.base import Builder, Recipe
from lebench.backends.batches import Augmented
from lebench.backends.fitted import TRANSFORMED, FittedNetwork
from lebench.backends.torch_build import Centred, Linearized, build
from lebench.backends.torch_devices import device, found, measuring, use
from lebench.backends.torch_function import TorchFunction
from lebench.backends.torch_training import Data, Loop, Step, train
from lebench.errors import LebenchError
from lebench.seeds import generator, seeded, stream

#: Number of training points whose scores are followed.
_PROBES = 50


class TorchBackend:
    """Networks in torch: trained in float32, measured in float64."""

    name = "torch"

    #: The devices that there are beside the processor, and what makes a process use one.
    devices, use = staticmethod(found), staticmethod(use)

    def fit(
        self,
        network: Architecture | Builder,
        recipe: Recipe,
        x: FloatArray,
        y: IntArray | FloatArray,
        classes: int,
        seed: int,
        removed: int | None = None,
        step: Step | None = None,
        loop: Loop | None = None,
    ) -> FittedNetwork:
        """Train a network; see :class:`lebench.backends.base.Backend` and, for `step` and `loop`, its own training.

        Parameters
        ----------
        step, loop : callable, optional
            See :class:`lebench.models.network.Network`.
        """
        augmented = Augmented(recipe.augmentation, x.shape[1:], len(y), removed, seed)
        module = _initialized(network, x.shape[1:], classes, seed)
        if recipe.linearized:
            module = Linearized(module)
        if recipe.output_scale is not None:
            module = Centred(module, recipe.output_scale)
        probe = np.sort(generator(seed, "probe").permutation(len(y))[:_PROBES])
        data = Data(x, y, classes, probe, generator(seed, "batches"), removed, augmented)
        # What a module draws while it trains, dropout say, comes from the seed, too.
        with seeded(seed, "fit"):
            course, states = train(module, recipe, data, step, loop)
        function = TorchFunction(measuring(module), x[:1])
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
    # Drawn on the processor, so that every device begins with the same weights.
    return module.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
