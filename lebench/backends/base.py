"""What a backend is, and the recipe by which it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.errors import ParameterError

Loss = Literal["cross_entropy", "mse"]

#: Number of moments of training that a trajectory holds at least, spaced evenly in log(1 + epoch).
_MOMENTS = 24


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: published, the same for everybody, part of a cell's identity.

    Attributes
    ----------
    epochs : int
        Passes over the training data; more of them on small data, see `min_steps`.
    lr, momentum, weight_decay, batch_size, optimizer
        As usual. Weight decay acts on all parameters; with ``adam`` it is decoupled (AdamW).
    loss : {"cross_entropy", "mse"}
        ``mse`` is (1/2)|f - y|^2 on one-hot targets minus 1/C, or on real-valued targets where there are no labels,
        summed over outputs, averaged over points.
    schedule : {"step", "constant", "cosine"}
        ``step`` divides the learning rate by 10 after 1/3 and 2/3 of the epochs (Papyan, Han & Donoho 2020).
    min_steps : int
        Lower limit on the number of updates: epochs are added until it is reached, so that training on 50
        points reaches the terminal phase too.
    record_steps : int
        Beside the moments that every trajectory holds, record after every so many updates; 0 adds none. For dynamics
        that are faster than an epoch.
    output_scale : float, optional
        With a value a, the scores are a (f(x; w) - f(x; w0)) and the loss is divided by a^2, so that training becomes
        lazy as a grows (Chizat, Oyallon & Bach 2019, section 1). By default they are f(x; w).
    linearized : bool
        Train f(x; w0) + J(x; w0) (w - w0), the network's first-order expansion at its initialization, in its place.
    """

    epochs: Annotated[int, Ge(0), Le(100_000)] = 100
    lr: Annotated[float, Gt(0)] = 0.05
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    batch_size: Annotated[int, Ge(1)] = 64
    optimizer: Literal["sgd", "adam"] = "sgd"
    loss: Loss = "cross_entropy"
    schedule: Literal["step", "constant", "cosine"] = "step"
    min_steps: Annotated[int, Ge(0)] = 500
    record_steps: Annotated[int, Ge(0)] = 0
    output_scale: Annotated[float, Gt(0)] | None = None
    linearized: bool = False

    def changed(self, changes: Iterable[tuple[str, str | int | float]]) -> Recipe:
        """Return the recipe with some values changed.

        Parameters
        ----------
        changes : iterable of (str, value)
            A field and its new value; ``"x4"`` multiplies what it is by four, whole numbers are rounded.

        Raises
        ------
        ParameterError
            If there is no such field.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, change in changes:
            if name not in values:
                raise ParameterError(f"a recipe has no {name!r}; it has {', '.join(values)}")
            if isinstance(change, str) and change.startswith("x"):
                scaled = values[name] * float(change[1:])
                values[name] = round(scaled) if isinstance(values[name], int) else scaled
            else:
                values[name] = change
        return Recipe(**values)

    def recorded_steps(self, epochs: int, batches: int) -> set[int]:
        """Return after how many updates something is recorded; the first is 0, the last the end of training.

        Parameters
        ----------
        epochs : int
            Epochs that are trained.
        batches : int
            Updates in an epoch.
        """
        spaced = np.expm1(np.linspace(0.0, math.log1p(epochs), _MOMENTS))
        moments = {batches * epoch for epoch in (0, epochs, *np.rint(spaced).astype(int).tolist())}
        if self.record_steps:
            moments.update(range(0, epochs * batches, self.record_steps))
        return moments

    def lr_at(self, progress: float) -> float:
        """Return the learning rate at a fraction of training from 0 to 1."""
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr * 0.1 ** int(progress * 3)


#: Builds a module of the backend's framework: (input shape (h, w, c) or (d,), number of outputs) to a module.
Builder = Callable[[tuple[int, ...], int], Any]


class Backend(Protocol):
    """Turns an architecture into a fitted network with one framework. A value, never global.

    One whose networks have less than all capabilities has a class attribute ``capabilities``, a frozenset of those that
    they have; others are skipped then.
    """

    name: str

    def fit(
        self,
        network: Architecture | Builder,
        recipe: Recipe,
        x: FloatArray,
        y: IntArray | FloatArray,
        classes: int,
        seed: int,
        removed: int | None = None,
    ) -> object:
        """Train and return the fitted network with all its capabilities.

        Parameters
        ----------
        network : Architecture or callable
            A description, or a function that builds a module of the framework.
        recipe : Recipe
            How to train.
        x : ndarray of shape (n, *input_shape), float64
            Training inputs.
        y : ndarray of shape (n,), int64, or of shape (n, classes), float64
            Labels 0 to `classes` - 1; or real-valued targets, for which the loss must be ``mse``. Their training error
            is then the mean squared error in units of the targets' variance.
        classes : int
            Number of classes C, which is the number of outputs.
        seed : int
            Root seed: the ``init``, ``batches`` and ``probe`` streams are used.
        removed : int, optional
            Where a training point stood that is left out. The others come in the batches and in the order in which
            they would come with it, so that what differs is the point and not the order.

        Raises
        ------
        TrainingError
            If the loss becomes infinite or NaN.
        """
        ...
