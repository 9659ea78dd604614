"""What label noise does to the accuracy and the loss on true labels, in theory."""

from __future__ import annotations

import math

from lebench.dynamics.le_ode import checked_classes
from lebench.errors import ParameterError


def noise_transition(classes: int) -> float:
    """Return the share of replaced labels at which the best rule for them is at chance on the true ones: (K-1)/K.

    A replaced label is another class, drawn uniformly: the true one keeps the mass 1 - p, every other gets p/(K-1).

    Parameters
    ----------
    classes : int
        K, at least 2.

    Raises
    ------
    ParameterError
        If there are fewer than two classes.
    """
    return (checked_classes(classes) - 1) / classes


def noisy_loss(p: float, classes: int) -> float:
    """Return the least cross-entropy on true labels, in nats, of a model that is calibrated on the replaced ones.

    Up to the transition it is -ln(1 - p). Beyond it no calibrated rule can be better than the uniform prediction there:
    ln K.

    Parameters
    ----------
    p : float
        Share of the labels that are replaced.
    classes : int
        K, at least 2.

    Raises
    ------
    ParameterError
        If p is no share, or there are fewer than two classes.
    """
    if not 0 <= p <= 1:
        raise ParameterError(f"p = {p} is no share of labels: it lies between 0 and 1")
    return -math.log1p(-min(p, noise_transition(classes)))
