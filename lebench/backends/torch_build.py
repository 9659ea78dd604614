"""Architectures as torch modules. Inputs are (n, height, width, channels), as everywhere in lebench."""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lebench import architectures as arch
from lebench.activations import ACTIVATIONS
from lebench.errors import LebenchError, TrainingError


class Pointwise(nn.Module):
    """A function of each number as an activation."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to (...)."""
        return self.function(x)

    def extra_repr(self) -> str:
        """Name the function."""
        return self.function.__name__


class Flatten(nn.Module):
    """(n, c, h, w) to (n, h w c) in the order (h, w, c), so that backends agree on the features."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten all but the first axis."""
        return x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x.flatten(1)


class GlobalAvgPool(nn.Module):
    """(n, c, h, w) to (n, c)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over positions."""
        return x.mean(dim=(2, 3))


class Subsample(nn.Module):
    """Every `stride`-th pixel of (n, c, h, w), which a convolution with kernel 1 and that stride looks at.

    oneDNN 3.12, which torch 2.13 calls, writes beyond the weight gradient of a strided convolution with kernel 1 and
    fewer than 8 channels on processors without AVX-512, and the process dies of a damaged heap. It does not without a
    stride.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Leave out the other pixels."""
        return x[..., :: self.stride, :: self.stride].contiguous(memory_format=torch.channels_last)

    def extra_repr(self) -> str:
        """Name the stride."""
        return f"{self.stride}"


class Residual(nn.Module):
    """Body plus shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Sum both branches."""
        result: Tensor = self.body(x) + self.shortcut(x)
        return result


class Network(nn.Module):
    """A chain of layers whose last one is the linear head.

    Attributes
    ----------
    layers : torch.nn.Sequential
        All layers.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) or (n, d) to scores (n, outputs)."""
        result: Tensor = self.layers(x)
        return result


class _Builder:
    """Builds layers one after the other and follows the shape (channels, height, width) or (features,)."""

    def __init__(self, architecture: arch.Architecture, outputs: int, rng: torch.Generator) -> None:
        self.architecture = architecture
        self.outputs = outputs
        self.rng = rng

    def chain(self, layers: tuple[arch.Layer, ...], shape: tuple[int, ...]) -> tuple[nn.Sequential, tuple[int, ...]]:
        modules = []
        for layer in layers:
            module, shape = self.layer(layer, shape)
            modules.append(module)
        return nn.Sequential(*modules), shape

    def layer(self, layer: arch.Layer, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
        match layer:
            case arch.Dense(units):
                self._expect(layer, shape, 1)
                out = self.outputs if units is None else units
                return self._draw(nn.Linear(shape[0], out), shape[0]), (out,)
            case arch.Conv(channels, kernel, stride, padding):
                self._expect(layer, shape, 3)
                if padding == "same" and kernel % 2 == 0:
                    raise LebenchError(f"{arch.describe(layer)}: 'same' padding needs an odd kernel size")
                pad = kernel // 2 if padding == "same" else 0
                size = tuple((s + 2 * pad - kernel) // stride + 1 for s in shape[1:])
                self._expect_room(layer, shape, size)
                apart = kernel == 1 and stride > 1
                conv = nn.Conv2d(shape[0], channels, kernel, stride=1 if apart else stride, padding=pad)
                drawn = self._draw(conv, shape[0] * kernel**2)
                return nn.Sequential(Subsample(stride), drawn) if apart else drawn, (channels, *size)
            case arch.Activation(name):
                made = ACTIVATIONS[name].torch(torch)
                return made if isinstance(made, nn.Module) else Pointwise(made), shape
            case arch.AvgPool(size) | arch.MaxPool(size):
                self._expect(layer, shape, 3)
                pooled = tuple(s // size for s in shape[1:])
                self._expect_room(layer, shape, pooled)
                pool = nn.AvgPool2d(size) if isinstance(layer, arch.AvgPool) else nn.MaxPool2d(size)
                return pool, (shape[0], *pooled)
            case arch.GlobalAvgPool():
                self._expect(layer, shape, 3)
                return GlobalAvgPool(), shape[:1]
            case arch.Flatten():
                return Flatten(), (math.prod(shape),)
            case arch.BatchNorm():
                norm = nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
                return norm, shape
            case arch.LayerNorm():
                return nn.GroupNorm(1, shape[0]), shape
            case arch.Residual(body, shortcut):
                left, left_shape = self.chain(body, shape)
                right, right_shape = self.chain(shortcut, shape)
                if left_shape != right_shape:
                    raise LebenchError(
                        f"{arch.describe(layer)}: the body gives shape {left_shape}, the shortcut {right_shape}; "
                        "add a 1x1 convolution with the same stride to the shortcut"
                    )
                return Residual(left, right), left_shape
        raise LebenchError(f"the torch backend cannot build {arch.describe(layer)}")

    def _draw(self, module: nn.Linear | nn.Conv2d, fan_in: int) -> nn.Module:
        with torch.no_grad():
            module.weight.normal_(0.0, math.sqrt(self.architecture.weight_variance / fan_in), generator=self.rng)
            if module.bias is not None:
                module.bias.normal_(0.0, math.sqrt(self.architecture.bias_variance), generator=self.rng)
        return module

    @staticmethod
    def _expect(layer: arch.Layer, shape: tuple[int, ...], dimensions: int) -> None:
        if len(shape) != dimensions:
            what, cure = ("a vector", "put Flatten before it") if dimensions == 1 else ("an image", "use image data")
            raise LebenchError(f"{arch.describe(layer)} needs {what} as input, got shape {shape}; {cure}")

    @staticmethod
    def _expect_room(layer: arch.Layer, shape: tuple[int, ...], size: tuple[int, ...]) -> None:
        if min(size) < 1:
            raise LebenchError(f"{arch.describe(layer)} leaves nothing of an input of shape {shape}; use fewer of them")


def build(architecture: arch.Architecture, input_shape: tuple[int, ...], outputs: int, rng: torch.Generator) -> Network:
    """Return the network of an architecture for inputs (height, width, channels) or (features,), its weights drawn.

    Raises
    ------
    LebenchError
        If a layer does not fit the shape it gets; the message names the layer.
    """
    shape = (input_shape[2], *input_shape[:2]) if len(input_shape) == 3 else input_shape
    layers, _ = _Builder(architecture, outputs, rng).chain(architecture.layers, shape)
    return Network(layers)


class _FromInitialization(nn.Module):
    """A network and a copy of it at its initialization, which is no part of the module: nothing trains or restores it.

    Parameters
    ----------
    network : torch.nn.Module
        At its initialization.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # In a list, where torch does not find it.
        self._initial = [copy.deepcopy(network).eval()]

    @property
    def initial(self) -> nn.Module:
        """The network at its initialization, in evaluation mode."""
        return self._initial[0]

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> _FromInitialization:
        self.initial._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


class Centred(_FromInitialization):
    """A network's scores minus those at its initialization, scaled: a (f(x; w) - f(x; w0)).

    Parameters
    ----------
    network : torch.nn.Module
        At its initialization.
    scale : float
        The factor a.

    Raises
    ------
    TrainingError
        If the network has batch normalization.
    """

    def __init__(self, network: nn.Module, scale: float) -> None:
        # Scores of a batch depend on the batch, those at the initialization would not.
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules()):
            raise TrainingError("an output scale is for networks without batch normalization")
        super().__init__(network)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (n, C)."""
        with torch.no_grad():
            before = self.initial(x)
        scores: Tensor = self.scale * (self.network(x) - before)
        return scores


class Linearized(_FromInitialization):
    """The first-order expansion of a network at its initialization: f(x; w0) + J(x; w0) (w - w0).

    Parameters
    ----------
    network : torch.nn.Module
        At its initialization; its parameters become w.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        with warnings.catch_warnings():
            # torch compiles its forward-mode rules with a function of its own that it has deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            importlib.import_module("torch._decomp.decompositions_for_jvp")

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (n, C)."""
        start = {name: value.detach() for name, value in self.initial.named_parameters()}
        change = {name: value - start[name] for name, value in self.network.named_parameters()}
        scores, slope = torch.func.jvp(  # type: ignore[misc]
            lambda weights: torch.func.functional_call(self.initial, weights, (x,)), (start,), (change,)
        )
        result: Tensor = scores + slope
        return result


def tangent(module: nn.Module) -> nn.Module:
    """Return a module with the same derivatives in its parameters, whose layers can be looked at one by one."""
    return module.initial if isinstance(module, Linearized) else module
