"""Networks as models: an architecture, a recipe and a backend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from lebench import architectures, registry
from lebench.architectures import Architecture
from lebench.backends.base import Backend, Builder, Recipe
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
    """

    network: Architecture | Builder
    recipe: Recipe = field(default_factory=Recipe)
    backend: str = "torch"

    #: It is trained on real-valued targets where a split has them, by the loss ``mse`` then.
    fits_targets: ClassVar[bool] = True
    #: Any backend that is registered can train it.
    backends: ClassVar[tuple[str, ...]] = (ANY,)
    #: Training is in float32; what is measured on the trained network is computed in float64.
    precision: ClassVar[str] = "float32"

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
        return backend.fit(self.network, recipe, split.x_train, y, split.classes, seed, split.removed)

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


def network_model(architecture: Callable[..., Architecture], recipe: Recipe) -> Callable[..., Network]:
    """Return a model factory whose parameters are those of an architecture and of a recipe together.

    Parameters
    ----------
    architecture : callable
        Keyword parameters to an :class:`~lebench.architectures.Architecture`.
    recipe : Recipe
        The published recipe, whose values become the defaults.

    Returns
    -------
    callable
        With an explicit signature, from which the command line knows names, types, ranges and defaults.
    """
    own = inspect.signature(architecture, eval_str=True).parameters
    hints = inspect.get_annotations(Recipe, eval_str=True)
    training = [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=getattr(recipe, f.name), annotation=hints[f.name]
        )
        for f in fields(Recipe)
    ]

    def factory(**parameters: Any) -> Network:
        shape = {name: parameters.pop(name) for name in own if name in parameters}
        defaults = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
        return Network(architecture(**shape), Recipe(**{**defaults, **parameters}))

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()]
    factory.__signature__ = inspect.Signature([*keyword_only, *training])  # type: ignore[attr-defined]
    factory.__doc__ = architecture.__doc__
    return factory


_SGD = Recipe()

#: The published recipe of each named architecture. All train into the terminal phase: past zero training error.
_NETWORKS: dict[str, tuple[Callable[..., Architecture], Recipe]] = {
    "linear": (architectures.linear, _SGD),
    "deep-linear": (architectures.deep_linear, Recipe(lr=0.02)),
    "mlp": (architectures.mlp, Recipe(lr=0.1)),
    "lenet": (architectures.lenet, _SGD),
    "cnn": (architectures.cnn, Recipe(lr=0.01)),
    "resnet": (architectures.resnet, Recipe(lr=0.1)),
    "resnet-nf": (architectures.resnet_nf, Recipe(lr=0.03)),
    "vgg": (architectures.vgg, _SGD),
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
