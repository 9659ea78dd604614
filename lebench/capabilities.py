"""Capabilities: what a fitted model can offer, as structural protocols.

A task asks what a fitted model offers, never what family it belongs to. Arrays at these borders are NumPy,
float64 out, C-contiguous. In the shapes n and m count points, C classes, p features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from lebench.arrays import FloatArray, IntArray

SimilarityKind = Literal["relative", "signed", "kernel"]


@runtime_checkable
class Predicts(Protocol):
    """Capability ``predict``: scores whose argmax is the predicted class."""

    def predict(self, x: FloatArray) -> FloatArray:
        """Return scores of shape (n, C)."""
        ...


@runtime_checkable
class PredictsProbabilities(Protocol):
    """Capability ``predict_proba``: class probabilities, for log-loss and calibration."""

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Return probabilities of shape (n, C), rows summing to 1."""
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """Capability ``features``: the input of the last linear layer, and that layer."""

    def features(self, x: FloatArray) -> FloatArray:
        """Return features of shape (n, p)."""
        ...

    def head(self) -> tuple[FloatArray, FloatArray]:
        """Return weights (C, p) and bias (C,) of the last layer."""
        ...


@dataclass(frozen=True)
class Normalization:
    """Batch normalization in evaluation, per channel of the layer before it.

    Attributes
    ----------
    scale, shift : ndarray of shape (outputs,), float64
        Its affine parameters.
    mean, variance : ndarray of shape (outputs,), float64
        Its running statistics.
    eps : float
        What it adds to the variance.
    """

    scale: FloatArray
    shift: FloatArray
    mean: FloatArray
    variance: FloatArray
    eps: float


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one dense or convolutional layer, copies of the network's.

    Attributes
    ----------
    weight : ndarray of shape (outputs, inputs) or (outputs, channels, height, width), float64
        Dense, or convolutional. An image that is flattened has its coordinates in the order (height, width, channels).
    bias : ndarray of shape (outputs,), float64
        Zero if the layer has none.
    normalization : Normalization or None
        The batch normalization of the layer's outputs.
    """

    weight: FloatArray
    bias: FloatArray
    normalization: Normalization | None = None


@runtime_checkable
class HasWeights(Protocol):
    """Capability ``weights``: the layers of a network, from input to output.

    The first of a network's checkpoints has those before training.
    """

    def weights(self) -> tuple[LayerWeights, ...]:
        """Return all layers with weights, the body of a residual block before its shortcut.

        Raises
        ------
        LebenchError
            If something with weights is no dense or convolutional layer or batch normalization of its outputs.
        """
        ...


@runtime_checkable
class HasSimilarity(Protocol):
    """Capability ``similarity``: how one step of gradient descent on a source moves the scores at a target."""

    def similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        """Return similarities of shape (n, m).

        Parameters
        ----------
        sources : ndarray of shape (n, *input_shape)
            Points on which the step is taken, one at a time.
        labels : ndarray of shape (n,), int64
            Their labels.
        targets : ndarray of shape (m, *input_shape)
            Points at which the change is measured.
        kind : {"relative", "signed", "kernel"}
            With f+ the scores after the step and g the gradient of the loss in the scores at the source:
            ``relative`` is |f+(x') - f(x')| / |f+(x) - f(x)| (He & Su 2020);
            ``signed`` is <f+(x') - f(x'), f+(x) - f(x)> / |f+(x) - f(x)|^2, the ratio with its sign;
            ``kernel`` is <f(x') - f+(x'), g> / (step |g|^2), which tends to the empirical NTK.
        step : float or None
            Step size of a real step, taken in float64; None for the first-order limit.
        """
        ...


@runtime_checkable
class HasGram(Protocol):
    """Capability ``gram``: the kernel of the model, averaged over outputs."""

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        """Return the kernel matrix of shape (n, m)."""
        ...


@dataclass(frozen=True)
class Trajectory:
    """What was recorded while a model was trained, at T times.

    Attributes
    ----------
    times : ndarray of shape (T,)
        Epochs for networks, gradient-flow time for kernel machines; 0 is before training.
    loss, error : ndarray of shape (T,)
        Mean training loss and training error.
    probe : ndarray of shape (k,), int64
        Indices of the training points whose scores were recorded.
    scores : ndarray of shape (T, k, C)
        Their scores.
    """

    times: FloatArray
    loss: FloatArray
    error: FloatArray
    probe: IntArray
    scores: FloatArray


@runtime_checkable
class HasTrajectory(Protocol):
    """Capability ``trajectory``: the course of training."""

    def trajectory(self) -> Trajectory:
        """Return what was recorded during training."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """The model as it was at one moment of its training.

    Attributes
    ----------
    time : float
        Epochs for networks, gradient-flow time for kernel machines; 0 is before training.
    restore : callable
        Without arguments; makes the fitted model of that moment, which has no checkpoints and no trajectory.
    """

    time: float
    restore: Callable[[], object]

    @property
    def fitted(self) -> Any:
        """The fitted model of that moment, made anew at each call so that one is in memory at a time."""
        return self.restore()


@runtime_checkable
class HasCheckpoints(Protocol):
    """Capability ``checkpoints``: the model before, during and after its training."""

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return the moments that were kept, in order; the first is before training, the last after it."""
        ...


@runtime_checkable
class HasDiagnostics(Protocol):
    """Capability ``diagnostics``: what was chosen and found while the model was fitted, such as its ridge."""

    def diagnostics(self) -> Mapping[str, float]:
        """Return values by ``"metric"`` or ``"metric@qualifier"``, where the metric is registered and defines them."""
        ...


@runtime_checkable
class HasComplexity(Protocol):
    """Capability ``complexity``: what a measure of generalization says of a trained network."""

    def complexity(self, network: Any) -> float:
        """Return a number, the larger the wider the gap between training and test error that it promises.

        Parameters
        ----------
        network : lebench.data.measure_grid.GridNetwork
            A trained network with its weights, before training and after, and its training points.
        """
        ...


#: Every capability a task can ask for, by the name used in ``Task.needs`` and ``Model.capabilities``.
CAPABILITIES: dict[str, type] = {
    "predict": Predicts,
    "predict_proba": PredictsProbabilities,
    "features": HasFeatures,
    "weights": HasWeights,
    "similarity": HasSimilarity,
    "gram": HasGram,
    "trajectory": HasTrajectory,
    "checkpoints": HasCheckpoints,
    "diagnostics": HasDiagnostics,
    "complexity": HasComplexity,
}


def offers(fitted: object, capability: str) -> bool:
    """Return whether a fitted model offers a capability (a key of :data:`CAPABILITIES`)."""
    return isinstance(fitted, CAPABILITIES[capability])
