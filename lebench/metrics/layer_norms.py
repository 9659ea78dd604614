"""Norms of the layers of dense and convolutional networks, and the bounds that are made of them.

A layer is an array with the output axis first: (outputs, inputs), or (outputs, channels, height, width) of a
convolution, which counts as a matrix whose rows are the incoming weights of an output channel. Batch normalization is
folded into the layer before it (:func:`fold_batch_norm`). Sources: Neyshabur, Tomioka & Srebro 2015, "Norm-based
capacity control in neural networks" (group and path norms); Neyshabur, Bhojanapalli, McAllester & Srebro 2017,
"Exploring generalization in deep learning" (margins, spectral norms, distance from initialization); the released code
"generalization-bounds" of the first author, whose values these are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.capabilities import LayerWeights
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, to_numpy
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.capacity import CAPACITY_TAGS, frobenius_norm, row_norms, spectral_norm
from lebench.metrics.capacity_bounds import read_margin

_CLOSED_FORM = "closed form"


def _two_layers() -> list[FloatArray]:
    return [np.array([[3.0, 4.0], [0.0, 5.0]]), np.array([[1.0, 2.0]])]


def _diagonal_and_row() -> list[FloatArray]:
    return [np.diag([3.0, 4.0]), np.array([[1.0, 2.0]])]


def _moved_by(*layers: FloatArray) -> dict[str, Any]:
    final = _diagonal_and_row()
    return {"weights": final, "initial": [array - moved for array, moved in zip(final, layers, strict=True)]}


def read_layer(name: str, array: Any) -> FloatArray:
    """Return the weights of a layer as float64, or raise a DataError."""
    values = to_numpy(array)
    if values.ndim < 2:
        raise DataError(f"{name} have shape {values.shape}: (outputs, inputs) or (outputs, channels, ...) is needed")
    return as_floats(name, array, values.ndim)


def read_weights(weights: Sequence[Any], name: str = "weights") -> list[FloatArray]:
    """Return the weights of all layers as float64, or raise a DataError."""
    if not isinstance(weights, Sequence) or not weights:
        raise DataError(f"{name} must be a list of at least one layer's array")
    return [read_layer(f"{name} of layer {index}", array) for index, array in enumerate(weights)]


def _matrices(weights: Sequence[Any]) -> list[FloatArray]:
    return [array.reshape(len(array), -1) for array in read_weights(weights)]


def _moved(weights: Sequence[Any], initial: Sequence[Any]) -> tuple[list[FloatArray], list[FloatArray]]:
    final, start = read_weights(weights), read_weights(initial, "initial weights")
    shapes, start_shapes = [array.shape for array in final], [array.shape for array in start]
    if shapes != start_shapes:
        raise DataError(f"weights have shapes {shapes}, initial weights {start_shapes}: they must be the same layers")
    pairs = list(zip(final, start, strict=True))
    return [a.reshape(len(a), -1) for a, _ in pairs], [(a - b).reshape(len(a), -1) for a, b in pairs]


def _order(name: str, p: float) -> float:
    if not p >= 1:
        raise DataError(f"{name} is {p}: a number from 1 to infinity is needed")
    return float(p)


def fold_batch_norm(
    weight: Any, bias: Any, scale: Any, shift: Any, mean: Any, variance: Any, eps: float = 1e-5
) -> tuple[FloatArray, FloatArray]:
    """Return weights and bias of one layer that does what a layer and its batch normalization do in evaluation.

    Parameters
    ----------
    weight : array of shape (c, ...), float32 or float64
        Dense or convolutional layer, output axis first.
    bias : array of shape (c,) or None
        Its bias; None stands for zero.
    scale, shift, mean, variance : array of shape (c,)
        Of the normalization: affine parameters and running statistics.
    eps : float
        What the normalization adds to the variance.

    Returns
    -------
    tuple of ndarray
        New arrays, float64; the inputs are left as they are.

    Raises
    ------
    DataError
        If the arrays do not fit or are not finite, or a variance plus `eps` is not positive.

    Examples
    --------
    >>> one = np.ones(1)
    >>> fold_batch_norm(np.array([[3.0]]), None, 2 * one, one, one, 4 * one, eps=0.0)
    (array([[3.]]), array([0.]))
    """
    layer = read_layer("weights", weight)
    zero = np.zeros(len(layer))
    named = {"biases": zero if bias is None else bias, "scales": scale, "shifts": shift, "means": mean}
    vectors = {name: as_floats(name, values, 1) for name, values in (named | {"variances": variance}).items()}
    for name, values in vectors.items():
        if len(values) != len(layer):
            raise DataError(f"{name} have shape {values.shape}: ({len(layer)},) is needed, one per output of the layer")
    variances = vectors["variances"] + eps
    if variances.min() <= 0:
        raise DataError(f"variances plus eps have a smallest value of {variances.min()}: they must be positive")
    factor = vectors["scales"] / np.sqrt(variances)
    folded = layer * factor.reshape(-1, *[1] * (layer.ndim - 1))
    return folded, vectors["shifts"] + factor * (vectors["biases"] - vectors["means"])


def folded_layers(layers: Sequence[LayerWeights]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return weights and biases of layers that do what a network's layers and their batch normalizations do.

    Parameters
    ----------
    layers : sequence of LayerWeights
        What the capability ``weights`` gives; left as they are.

    Returns
    -------
    weights, biases : list of ndarray, float64
        One of each per layer.
    """
    folded = []
    for layer in layers:
        norm = layer.normalization
        folded.append(
            (layer.weight, layer.bias)
            if norm is None
            else fold_batch_norm(layer.weight, layer.bias, norm.scale, norm.shift, norm.mean, norm.variance, norm.eps)
        )
    return [weight for weight, _ in folded], [bias for _, bias in folded]


_metric = partial(
    metric,
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation", "rotation", "rescaling"),
    tags=CAPACITY_TAGS,
)


@_metric(
    symbol=r"\prod_k\|W_k\|_{p,q}",
    equation=r"\prod_k\left(\sum_i\|w_{k,i}\|_p^q\right)^{1/q}",
    source="Neyshabur, Tomioka & Srebro 2015; (2, 2) Frobenius, (1, inf) Bartlett & Mendelson 2002",
    invariant_to=("permutation", "rescaling"),
    known_answers=(
        KnownAnswer("(2, 2)", lambda: {"weights": _two_layers()}, math.sqrt(250), _CLOSED_FORM),
        KnownAnswer("(1, inf)", lambda: {"weights": _two_layers(), "p": 1.0, "q": math.inf}, 21.0, _CLOSED_FORM),
        KnownAnswer(
            "(3, 1.5)",
            lambda: {"weights": _two_layers(), "p": 3.0, "q": 1.5},
            (math.sqrt(91) + math.sqrt(125)) ** (2 / 3) * 9 ** (1 / 3),
            _CLOSED_FORM,
        ),
    ),
)
def group_norm_product(weights: Sequence[Any], p: float = 2.0, q: float = 2.0) -> float:
    """Product over layers of the l_q norm, over units, of the l_p norms of their incoming weights.

    Parameters
    ----------
    weights : sequence of array of shape (outputs, ...), float32 or float64
        Layers in any order, without biases.
    p, q : float
        From 1 to infinity.

    Raises
    ------
    DataError
        If an array is no layer, is empty or not finite, or `p` or `q` is out of range.
    """
    inner, outer = _order("p", p), _order("q", q)
    norms = [np.linalg.norm(np.linalg.norm(layer, inner, axis=1), outer) for layer in _matrices(weights)]
    return float(np.prod(norms))


@_metric(
    symbol=r"\prod_k\|\sigma(W_k)\|_p",
    equation=r"\prod_k\left(\sum_i\sigma_i(W_k)^p\right)^{1/p}",
    source="Bartlett et al. 2017 (infinite p, the spectral norm); released code of Neyshabur et al. (p = 1, 1.5)",
    known_answers=(
        KnownAnswer("spectral norms", lambda: {"weights": _diagonal_and_row()}, 4 * math.sqrt(5), _CLOSED_FORM),
        KnownAnswer("trace norms", lambda: {"weights": _diagonal_and_row(), "p": 1.0}, 7 * math.sqrt(5), _CLOSED_FORM),
        KnownAnswer("a convolution as a row", lambda: {"weights": [np.ones((1, 1, 2, 2))]}, 2.0, _CLOSED_FORM),
    ),
)
def schatten_product(weights: Sequence[Any], p: float = math.inf) -> float:
    """Product over layers of the l_p norm of their singular values; by default of their spectral norms.

    For a convolution these are of its matrix of incoming weights, not of the linear map on images.

    Parameters
    ----------
    weights : sequence of array of shape (outputs, ...), float32 or float64
        Layers in any order, without biases.
    p : float
        From 1 (trace norm) to infinity (spectral norm).

    Raises
    ------
    DataError
        If an array is no layer, is empty or not finite, or `p` is out of range.
    """
    order = _order("p", p)
    if order == math.inf:
        return math.prod(spectral_norm(layer) for layer in _matrices(weights))
    values = [np.linalg.svd(layer, compute_uv=False) for layer in _matrices(weights)]
    return float(np.prod([np.linalg.norm(singular, order) for singular in values]))


@_metric(
    symbol=r"\|\theta-\theta_0\|",
    equation=r"\sqrt{\sum_k\|W_k-W_k^0\|_F^2}",
    source="Nagarajan & Kolter 2019; Neyshabur et al. 2017",
    invariant_to=("permutation", "rotation"),
    known_answers=(
        KnownAnswer(
            "by 3 and by 4",
            lambda: _moved_by(np.diag([3.0, 0.0]), np.array([[0.0, 4.0]])),
            5.0,
            "Pythagoras",
            rtol32=2e-7,
        ),
    ),
)
def distance_from_initialization(weights: Sequence[Any], initial: Sequence[Any]) -> float:
    """Euclidean distance of all weights from where they started.

    Parameters
    ----------
    weights, initial : sequence of array of shape (outputs, ...), float32 or float64
        Layers after training and before, in the same order.

    Raises
    ------
    DataError
        If the layers differ in shape, or an array is no layer, is empty or not finite.
    """
    _, moved = _moved(weights, initial)
    return math.hypot(*(frobenius_norm(layer) for layer in moved))


def _others(values: Sequence[float]) -> list[float]:
    """Return, for each value, the product of all others: without a division, so that one of them may be zero."""
    return [math.prod(values[:index]) * math.prod(values[index + 1 :]) for index in range(len(values))]


@_metric(
    symbol=r"\mathcal R_{2,1}",
    equation=r"\prod_k\|W_k\|_2\left(\sum_k\left(\|W_k-W_k^0\|_{2,1}/\|W_k\|_2\right)^{2/3}\right)^{3/2}",
    source="Bartlett, Foster & Telgarsky 2017; norms of units' incoming weights, summed over units",
    known_answers=(
        KnownAnswer(
            "moved by diag(1, 1) and (3, 4)",
            lambda: _moved_by(np.eye(2), np.array([[3.0, 4.0]])),
            ((2 * math.sqrt(5)) ** (2 / 3) + 20 ** (2 / 3)) ** 1.5,
            _CLOSED_FORM,
        ),
    ),
)
def spectral_complexity(weights: Sequence[Any], initial: Sequence[Any]) -> float:
    """Spectral complexity of Bartlett et al.: spectral norms and summed distances of units from initialization.

    Parameters
    ----------
    weights, initial : sequence of array of shape (outputs, ...), float32 or float64
        Layers after training and before, in the same order.
    """
    final, moved = _moved(weights, initial)
    others = _others([spectral_norm(layer) for layer in final])
    terms = [float(row_norms(layer).sum()) * rest for layer, rest in zip(moved, others, strict=True)]
    return float(sum(term ** (2 / 3) for term in terms) ** 1.5)


@_metric(
    symbol=r"\mathcal R_F",
    equation=r"\prod_k\|W_k\|_2\sqrt{\sum_k h_k\|W_k-W_k^0\|_F^2/\|W_k\|_2^2}",
    source="Neyshabur, Bhojanapalli & Srebro 2018, theorem 1; h_k the outputs of layer k (released code)",
    known_answers=(
        KnownAnswer(
            "moved by diag(1, 1) and (3, 4)",
            lambda: _moved_by(np.eye(2), np.array([[3.0, 4.0]])),
            math.sqrt(20 + 400),
            _CLOSED_FORM,
        ),
    ),
)
def spectral_distance(weights: Sequence[Any], initial: Sequence[Any]) -> float:
    """Spectral norms of the layers and their Frobenius distances from initialization, weighted by width.

    Takes what :func:`spectral_complexity` takes.
    """
    final, moved = _moved(weights, initial)
    others = _others([spectral_norm(layer) for layer in final])
    return math.hypot(
        *(math.sqrt(len(layer)) * frobenius_norm(layer) * rest for layer, rest in zip(moved, others, strict=True))
    )


def layer_bounds(
    weights: Sequence[Any], initial: Sequence[Any], gamma: float, points: int, features: int, parameters: int
) -> Mapping[str, float]:
    """Five bounds of the generalization error, without constants and additive logarithms.

    With K layers, margin gamma, m points of d features, P parameters and alpha = sqrt(K + ln d):
    ``l1_max``, ``frobenius`` and ``l3``: alpha times :func:`group_norm_product` for (1, inf), (2, 2) and (3, 1.5), over
    gamma and sqrt(m), m^(1/3) for the last (Bartlett & Mendelson 2002; Neyshabur et al. 2015; the depth after
    Golowich et al. 2018); ``spectral_l1``: ln(m) ln(P) :func:`spectral_complexity` / (gamma sqrt(m));
    ``spectral_frobenius``: K :func:`spectral_distance` / (gamma sqrt(m)).

    Parameters
    ----------
    weights, initial : sequence of array of shape (outputs, ...), float32 or float64
        Layers after training and before, in the same order.
    gamma : float
        Margin. If it is not positive, nothing is bounded and every value is infinite.
    points, features, parameters : int
        m, d and P, at least 1.

    Raises
    ------
    DataError
        As :func:`distance_from_initialization`, or if a count is below 1 or the margin is not finite.
    """
    for name, count in (("points", points), ("features", features), ("parameters", parameters)):
        if count < 1:
            raise DataError(f"{name} is {count}: a count of at least 1 is needed")
    margin, depth = read_margin(gamma), len(weights)
    alpha, root = math.sqrt(depth + math.log(features)), math.sqrt(points)
    values = {
        "l1_max": alpha * group_norm_product(weights, 1.0, math.inf) / root,
        "frobenius": alpha * group_norm_product(weights) / root,
        "l3": alpha * group_norm_product(weights, 3.0, 1.5) / math.cbrt(points),
        "spectral_l1": math.log(points) * math.log(parameters) * spectral_complexity(weights, initial) / root,
        "spectral_frobenius": depth * spectral_distance(weights, initial) / root,
    }
    return {name: value / margin if margin > 0 else math.inf for name, value in values.items()}
