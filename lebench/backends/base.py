"""What a backend is, and the recipe by which it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.canonical import LATER, says_nothing
from lebench.errors import ParameterError

Loss = Literal["cross_entropy", "mse"]
Precision = Literal["float32", "tf32", "bfloat16"]
Augmentation = Literal["none", "flip", "crop", "flip-crop"]

#: Number of moments of training that a trajectory holds at least, spaced evenly in log(1 + epoch).
_MOMENTS = 24


#: Of the one-cycle schedule: share of training in which the rate rises, from which part of its peak, to which.
_RISE, _START, _END = 0.3, 1 / 25, 1 / 25e4


@dataclass(frozen=True, repr=False)
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
    schedule : {"step", "constant", "cosine", "multistep", "one-cycle"}
        ``step`` divides the learning rate by 10 after 1/3 and 2/3 of the epochs (Papyan, Han & Donoho 2020),
        ``multistep`` by 5 after 30, 60 and 80% of them (Zagoruyko & Komodakis 2016). ``one-cycle`` changes it at each
        update: along a cosine from lr / 25 to lr within the first 30% of them, then down to lr / 250,000 (Smith &
        Topin 2018, as in torch; momentum stays as it is).
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
    warmup : float
        Epochs in which the learning rate first rises linearly, update by update, to that of the schedule (Goyal et al.
        2017); a cosine begins after it, and changes at each update then.
    nesterov : bool
        Whether the momentum of ``sgd`` is Nesterov's, as torch has it.
    augmentation : {"none", "flip", "crop", "flip-crop"}
        Of training images (He et al. 2016, section 4.2): ``crop`` pads each side by 4 zeros, which are the mean of
        standardized inputs, and cuts out an image of the former size at random; ``flip`` mirrors every second one.
    label_smoothing : float
        Share of each label that is spread evenly over all classes, for ``cross_entropy``. Losses that are recorded are
        those of the labels as they are.
    clip_norm : float, optional
        Largest Euclidean norm of the gradient of all weights; a longer one is scaled down to it.
    precision : {"float32", "tf32", "bfloat16"}
        Of products of matrices and convolutions in training: ``tf32`` rounds their inputs to 10 bits on GPUs that can,
        ``bfloat16`` is torch's autocast. Weights are in float32, what is measured in float64.
    """

    epochs: Annotated[int, Ge(0), Le(100_000)] = 100
    lr: Annotated[float, Gt(0)] = 0.05
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    batch_size: Annotated[int, Ge(1)] = 64
    optimizer: Literal["sgd", "adam"] = "sgd"
    loss: Loss = "cross_entropy"
    schedule: Literal["step", "constant", "cosine", "multistep", "one-cycle"] = "step"
    min_steps: Annotated[int, Ge(0)] = 500
    record_steps: Annotated[int, Ge(0)] = 0
    output_scale: Annotated[float, Gt(0)] | None = None
    linearized: bool = False
    warmup: Annotated[float, Ge(0)] = field(default=0.0, metadata=LATER)
    nesterov: bool = field(default=False, metadata=LATER)
    augmentation: Augmentation = field(default="none", metadata=LATER)
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = field(default=0.0, metadata=LATER)
    clip_norm: Annotated[float, Gt(0)] | None = field(default=None, metadata=LATER)
    precision: Precision = field(default="float32", metadata=LATER)

    def __post_init__(self) -> None:
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum > 0):
            raise ParameterError("nesterov needs the optimizer 'sgd' with a momentum above 0")
        if self.warmup and self.schedule == "one-cycle":
            raise ParameterError("the one-cycle schedule begins with a rise of its own: leave out warmup")

    def __repr__(self) -> str:
        said = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if not says_nothing(self, f))
        return f"Recipe({', '.join(said)})"

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

    def check(self) -> None:
        """Raise a ParameterError if what is asked for does not go with the loss, which a task may have changed."""
        if self.label_smoothing and self.loss == "mse":
            raise ParameterError("label smoothing is for the loss 'cross_entropy'; leave it out, or train by that")

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

    def rate(self, update: int, epochs: int, batches: int) -> float:
        """Return the learning rate of an update.

        Parameters
        ----------
        update : int
            Its number, from 0.
        epochs, batches : int
            Epochs that are trained, and updates in each.
        """
        updates, warm = epochs * batches, round(self.warmup * batches)
        if warm >= updates:
            raise ParameterError(f"a warm-up of {self.warmup:g} epochs leaves nothing of a training of {epochs}")
        if update < warm:
            return self.lr * (update + 1) / warm
        if self.schedule == "one-cycle":
            return self._cycled(update, updates)
        if self.schedule == "cosine" and warm:
            return self.lr_at((update - warm) / (updates - warm))
        return self.lr_at(update // batches / epochs)

    def lr_at(self, progress: float) -> float:
        """Return the learning rate of a schedule by epochs at a fraction of training from 0 to 1."""
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "multistep":
            return self.lr * 0.2 ** sum(progress >= drop for drop in (0.3, 0.6, 0.8))
        return self.lr * 0.1 ** int(progress * 3)

    def _cycled(self, update: int, updates: int) -> float:
        peak, last = _RISE * updates - 1, updates - 1
        if update <= peak:
            start, end, share = _START, 1.0, update / peak
        else:
            start, end, share = 1.0, _END, (update - peak) / (last - peak)
        return self.lr * (end + (start - end) * 0.5 * (1 + math.cos(math.pi * share)))


#: Builds a module of the backend's framework: (input shape (h, w, c) or (d,), number of outputs) to a module.
Builder = Callable[[tuple[int, ...], int], Any]


class Backend(Protocol):
    """Turns an architecture into a fitted network with one framework. A value, never global.

    One whose networks have less than all capabilities has a class attribute ``capabilities``, a frozenset of those that
    they have; others are skipped then. A third party's that trains with options which recipes got later (``warmup``,
    ``nesterov``, ``augmentation``, ``label_smoothing``, ``clip_norm``, ``precision``) names them in a class attribute
    ``recipe_options``; a recipe with others is refused.
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
