"""Networks as models: an architecture, a recipe and a backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar

from lebench import architectures, registry
from lebench.architectures import Architecture
from lebench.backends.base import Backend, Builder, Recipe
from lebench.canonical import LATER, says_nothing
from lebench.data.base import Split
from lebench.errors import ParameterError
from lebench.models.spec import ANY


@dataclass(frozen=True)
class Network:
    """A network that is trained by a backend.

    Attributes
    ----------
    network : Architecture or callable
        A description by layers, or for a network of your own a function ``(input_shape, outputs)`` to a module
        of the backend's framework: a ``torch.nn.Module`` that maps (n, channels, height, width) or (n, d) to
        scores (n, outputs) and ends in a ``torch.nn.Linear``.
    recipe : Recipe
        How it is trained.
    backend : str
        Registered name of the backend.
    step : callable, optional
        A training step of your own, for torch: ``step(module, optimizer, x, y)`` makes one update from inputs and
        labels of a batch and returns the loss. Batches, optimizer and learning rate are those of the recipe, and the
        fit is kept and continued as any other. What it draws should come from the global generators of torch, NumPy or
        Python: these begin with a stream of the seed.
    loop : callable, optional
        A training loop of your own, for torch: ``loop(module, x, y, record)`` trains the module on all inputs and
        labels and calls ``record(epochs)`` where the course of training is to be noted, beside its begin and end.
    """

    network: Architecture | Builder
    recipe: Recipe = field(default_factory=Recipe)
    backend: str = "torch"
    step: Callable[..., Any] | None = field(default=None, metadata=LATER)
    loop: Callable[..., Any] | None = field(default=None, metadata=LATER)

    #: It is trained on real-valued targets where a split has them, by the loss ``mse`` then.
    fits_targets: ClassVar[bool] = True
    #: Any backend that is registered can train it.
    backends: ClassVar[tuple[str, ...]] = (ANY,)

    def __post_init__(self) -> None:
        """Refuse options that recipes got later, for a backend that does not say that it trains by them."""
        if self.backend not in registry.backends or registry.backends.item(self.backend).source == "lebench":
            return
        asked = {f.name for f in fields(Recipe) if f.metadata == LATER and not says_nothing(self.recipe, f)}
        if unknown := sorted(asked - getattr(registry.backends.get(self.backend), "recipe_options", frozenset())):
            raise ParameterError(
                f"the {self.backend} backend does not say that it trains with {', '.join(unknown)}: "
                "leave that out, or choose --backend torch"
            )

    @property
    def precision(self) -> str:
        """That of training; what is measured on the trained network is computed in float64."""
        return self.recipe.precision

    @property
    def capabilities(self) -> frozenset[str]:
        """What a fitted network offers; probabilities if trained by cross-entropy, features if it ends in them.

        A backend that offers less says so by an attribute ``capabilities``.
        """
        offered = frozenset({"predict", "similarity", "gram", "trajectory", "checkpoints"})
        if self.recipe.output_scale is None and not self.recipe.linearized:
            offered |= {"features", "weights"}
        if self.recipe.loss == "cross_entropy":
            offered |= {"predict_proba"}
        if registry.backends.item(self.backend).source == "lebench":
            return offered
        return offered & getattr(registry.backends.get(self.backend), "capabilities", offered)

    def fit(self, split: Split, seed: int) -> object:
        """Train on the training part of a split; deterministic for a seed on one machine."""
        backend: Backend = registry.backends.get(self.backend)()
        recipe, y = self.recipe, split.y_train if split.target_train is None else split.target_train
        if split.target_train is not None:
            recipe = recipe.changed((("loss", "mse"),))
        own = {name: hook for name in ("step", "loop") if (hook := getattr(self, name)) is not None}
        if len(own) == 2:
            raise ParameterError("a network is trained by a step or by a loop of one's own, not by both")
        if own.keys() - inspect.signature(backend.fit).parameters.keys():
            raise ParameterError(
                f"the {self.backend} backend takes no training {next(iter(own))} of one's own; use torch"
            )
        return backend.fit(self.network, recipe, split.x_train, y, split.classes, seed, split.removed, **own)

    def with_recipe(self, changes: Iterable[tuple[str, str | int | float]]) -> Network:
        """Return the same network, trained in another way; see :meth:`lebench.backends.base.Recipe.changed`."""
        return replace(self, recipe=self.recipe.changed(changes))

    def with_width(self, width: int) -> Network:
        """Return the same perceptron with another number of units in every hidden layer.

        Raises
        ------
        ParameterError
            If the width is below 1, or the network is no perceptron with hidden layers.
        """
        if not isinstance(self.network, Architecture):
            raise ParameterError("its width cannot be changed: it is a network of one's own")
        return replace(self, network=self.network.with_width(width))


@dataclass(frozen=True)
class TorchNetwork(Network):
    """A network that is written in torch, and not described by layers."""

    backends: ClassVar[tuple[str, ...]] = ("torch",)

    @property
    def capabilities(self) -> frozenset[str]:
        """What a fitted network offers, but for ``weights``: it has other layers than dense and convolutional ones."""
        return super().capabilities - {"weights"}


def network_model(
    architecture: Callable[..., Architecture | Builder], recipe: Recipe, kind: type[Network] = Network
) -> Callable[..., Network]:
    """Return a model factory whose parameters are those of an architecture and of a recipe together.

    Parameters
    ----------
    architecture : callable
        Keyword parameters to what a `kind` is made of.
    recipe : Recipe
        The published recipe, whose values become the defaults.
    kind : type, default Network
        What is made.

    Returns
    -------
    callable
        With an explicit signature, from which the command line knows names, types, ranges and defaults.
    """
    own = inspect.signature(architecture, eval_str=True).parameters
    hints = inspect.get_annotations(Recipe, eval_str=True)
    training = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=getattr(recipe, f.name),
            annotation=Annotated[hints[f.name], f] if f.metadata else hints[f.name],
        )
        for f in fields(Recipe)
    ]

    def factory(**parameters: Any) -> Network:
        shape = {name: parameters.pop(name) for name in own if name in parameters}
        defaults = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
        return kind(architecture(**shape), Recipe(**{**defaults, **parameters}))

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()]
    factory.__signature__ = inspect.Signature([*keyword_only, *training])  # type: ignore[attr-defined]
    factory.__doc__ = architecture.__doc__
    return factory


@dataclass(frozen=True)
class _Transformer:
    """A builder of :class:`lebench.backends.torch_vit.VisionTransformer`."""

    patch: int
    width: int
    depth: int
    heads: int
    hidden: int

    def __call__(self, input_shape: tuple[int, ...], outputs: int) -> Any:
        from lebench.backends.torch_vit import VisionTransformer

        return VisionTransformer(input_shape, outputs, **asdict(self))


def vit_tiny() -> _Transformer:
    """Vision transformer on 4x4 patches: ViT-Lite-7/4 of Hassani et al. 2021 (arXiv 2104.05704), for torch.

    Seven blocks of width 256 with four heads, 3.7 million weights for 10 classes. By its recipe, with AutoAugment in
    place of flips and crops, the published accuracy on all of CIFAR-10 is 0.9138, on CIFAR-100 0.6974; without
    AutoAugment less is to be expected.
    """
    return _Transformer(patch=4, width=256, depth=7, heads=4, hidden=512)


_SGD = Recipe()
#: Of images in 32 x 32 pixels: Zagoruyko & Komodakis 2016, DeVries & Taylor 2017.
_CIFAR = Recipe(
    epochs=200, lr=0.1, batch_size=128, schedule="multistep", min_steps=0, nesterov=True, augmentation="flip-crop"
)

#: The published recipe of each named architecture. Those of the suite train into the terminal phase: past zero training
#: error.
_NETWORKS: dict[str, tuple[Callable[..., Architecture], Recipe]] = {
    "linear": (architectures.linear, _SGD),
    "deep-linear": (architectures.deep_linear, Recipe(lr=0.02)),
    "mlp": (architectures.mlp, Recipe(lr=0.1)),
    "lenet": (architectures.lenet, _SGD),
    "cnn": (architectures.cnn, Recipe(lr=0.01)),
    "resnet": (architectures.resnet, Recipe(lr=0.1)),
    "resnet-nf": (architectures.resnet_nf, Recipe(lr=0.03)),
    "vgg": (architectures.vgg, _SGD),
    "resnet18": (architectures.resnet18, _CIFAR),
    "wrn-16-4": (architectures.wrn_16_4, _CIFAR),
}

#: Networks whose first-order expansion at initialization is a model of its own.
_LINEARIZED = ("mlp", "cnn", "resnet-nf")

for _name, (_architecture, _recipe) in _NETWORKS.items():
    registry.models.register(_name, network_model(_architecture, _recipe), tags=("network",))

for _name in _LINEARIZED:
    _architecture, _recipe = _NETWORKS[_name]
    registry.models.register(
        f"lin-{_name}",
        network_model(_architecture, replace(_recipe, linearized=True)),
        summary=f"Linearized {_name}: its first-order expansion at initialization, trained by the same recipe",
        tags=("linearized",),
    )

registry.models.register(
    "vit-tiny",
    network_model(
        vit_tiny,
        Recipe(
            epochs=200,
            lr=5e-4,
            weight_decay=0.03,
            batch_size=128,
            optimizer="adam",
            schedule="cosine",
            min_steps=0,
            warmup=10,
            augmentation="flip-crop",
            label_smoothing=0.1,
        ),
        TorchNetwork,
    ),
    tags=("network",),
)
