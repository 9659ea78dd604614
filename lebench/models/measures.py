"""Measures of generalization: norms, distances, paths and margins, and a control that must lose.

Where a bound divides by the margin so does the measure: at one that is not positive the bound, and so the measure, is
infinite. Biases count in path norms only.
"""

from __future__ import annotations

import math

import numpy as np

from lebench import metrics
from lebench.data.measure_grid import AXES, GridNetwork
from lebench.models.measure import measure

#: Percentile of the training margins that stands for the margin, as in Jiang et al. 2020.
_PERCENTILE = 10.0


def _margin(network: GridNetwork) -> float:
    return float(metrics.margin(network.train_scores, network.split.y_train, _PERCENTILE))


def _bound(network: GridNetwork, norm: float) -> float:
    """Return a norm over the margin, as a bound has it: by the root of the number of points."""
    gamma = _margin(network)
    return norm / (gamma * math.sqrt(network.setting["n_train"])) if gamma > 0 else math.inf


@measure("measure-parameters")
def parameters(network: GridNetwork) -> float:
    """Measure: number of weights and biases."""
    return float(sum(w.size for w in network.weights) + sum(b.size for b in network.biases))


@measure("measure-parameters-per-point")
def parameters_per_point(network: GridNetwork) -> float:
    """Measure: number of weights and biases over that of training points, the order of a VC bound."""
    return parameters(network) / network.setting["n_train"]


@measure("measure-l2")
def l2(network: GridNetwork) -> float:
    """Measure: Euclidean norm of all weights."""
    return math.hypot(*(float(np.linalg.norm(w)) for w in network.weights))


@measure("measure-distance")
def distance(network: GridNetwork) -> float:
    """Measure: Euclidean distance of all weights from their initialization."""
    return float(metrics.distance_from_initialization(network.weights, network.initial_weights))


@measure("measure-frobenius")
def frobenius(network: GridNetwork) -> float:
    """Measure: product of the layers' Frobenius norms."""
    return float(metrics.group_norm_product(network.weights))


@measure("measure-frobenius-bound")
def frobenius_bound(network: GridNetwork) -> float:
    """Measure: product of the layers' Frobenius norms over margin and root of the number of points."""
    return _bound(network, frobenius(network))


@measure("measure-spectral")
def spectral(network: GridNetwork) -> float:
    """Measure: product of the layers' spectral norms."""
    return float(metrics.schatten_product(network.weights))


@measure("measure-spectral-bound")
def spectral_bound(network: GridNetwork) -> float:
    """Measure: spectral complexity of Bartlett et al. over margin and root of the number of points."""
    return _bound(network, float(metrics.spectral_complexity(network.weights, network.initial_weights)))


@measure("measure-spectral-distance-bound")
def spectral_distance_bound(network: GridNetwork) -> float:
    """Measure: PAC-Bayes bound by spectral norms and distances (Neyshabur et al. 2018), over margin and points."""
    return _bound(network, float(metrics.spectral_distance(network.weights, network.initial_weights)))


@measure("measure-path")
def path(network: GridNetwork) -> float:
    """Measure: path norm with p = 2, biases included."""
    return float(metrics.path_norm(network.weights, 2.0, biases=network.biases))


@measure("measure-path-bound")
def path_bound(network: GridNetwork) -> float:
    """Measure: path norm with p = 2 over margin and root of the number of points."""
    return _bound(network, path(network))


@measure("measure-inverse-margin")
def inverse_margin(network: GridNetwork) -> float:
    """Measure: one over the margin at the tenth percentile of the training points."""
    gamma = _margin(network)
    return 1 / gamma if gamma > 0 else math.inf


@measure("measure-points")
def points(network: GridNetwork) -> float:
    """Measure: minus the number of training points, which knows one hyper-parameter and nothing of the network."""
    return -network.setting["n_train"]


@measure("measure-random", tags=("measure", "control"))
def random(network: GridNetwork) -> float:
    """Control: a measure that is drawn at random."""
    key = [network.seed, *(list(values).index(network.setting[axis]) for axis, values in AXES.items())]
    return float(np.random.default_rng([*key, *b"measure"]).random())
