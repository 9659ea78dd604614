"""Locally elastic stability: what removing one training point changes, and what that bounds (Deng, He & Su 2021).

With n training points, beta(i, z) = n |l(A_S, z) - l(A_{S minus i}, z)|. Uniform stability takes its largest value over
i and z; locally elastic stability averages over z first. The ridge is fixed when a point is removed: it is added to the
sum of squares, not to their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, as_labels, as_square, as_symmetric
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("elasticity", "stability")

_LES = "Deng, He & Su 2021; the constants are recalled from the paper, not checked against it"


class LeaveOneOut(NamedTuple):
    """Predictions with all training points, and with each one left out.

    Attributes
    ----------
    full : ndarray of shape (m, C), float64
        Predictions at the targets, trained on all n points.
    without : ndarray of shape (n, m, C), float64
        Predictions at the targets, trained without point i.
    """

    full: FloatArray
    without: FloatArray


def _read_targets(y: Any, n: int) -> FloatArray:
    values = as_floats("targets y", y, 2)
    if len(values) != n:
        raise DataError(f"targets y have {len(values)} rows for {n} training points")
    return values


def leave_one_out_ridge(x: Any, y: Any, targets: Any, ridge: float) -> LeaveOneOut:
    """Return exact leave-one-out predictions of ridge regression, without refitting.

    th^-i - th = -G^-1 x_i r_i / (1 - h_ii), with G = X^T X + ridge I, h_ii = x_i^T G^-1 x_i and residual r_i. For the
    last layer of a network pass its features, with a column of ones for the bias.

    Parameters
    ----------
    x : array of shape (n, p), float32 or float64
        Training inputs.
    y : array of shape (n, C), float32 or float64
        Training targets, such as one-hot minus 1/C.
    targets : array of shape (m, p), float32 or float64
        Where to predict.
    ridge : float
        Added to X^T X; not rescaled when a point is removed.

    Raises
    ------
    DataError
        If the shapes do not fit, X^T X + ridge I is singular, or a point determines its own prediction (h_ii = 1).
    """
    inputs, points = as_floats("inputs x", x, 2), as_floats("targets", targets, 2)
    if inputs.shape[1] != points.shape[1]:
        raise DataError(f"inputs have {inputs.shape[1]} dimensions, targets have {points.shape[1]}")
    values = _read_targets(y, len(inputs))
    system = inputs.T @ inputs + _read_ridge(ridge) * np.eye(inputs.shape[1])
    if np.linalg.cond(system) > 1 / np.finfo(np.float64).eps:
        raise DataError("X^T X + ridge I is singular: choose a positive ridge")
    solved = np.linalg.solve(system, inputs.T)
    leverage = np.einsum("ip,pi->i", inputs, solved)
    if leverage.max() >= 1 - 1e-12:
        raise DataError(f"point {int(np.argmax(leverage))} determines its own prediction: choose a positive ridge")
    theta = solved @ values
    residuals = (values - inputs @ theta) / (1 - leverage)[:, None]
    full = points @ theta
    return LeaveOneOut(full, full - (points @ solved).T[:, :, None] * residuals[:, None, :])


def leave_one_out_kernel_ridge(gram: Any, y: Any, cross: Any, ridge: float) -> LeaveOneOut:
    """Return exact leave-one-out predictions of kernel ridge regression, without refitting.

    With A = (K + ridge I)^-1 and alpha = A y, leaving out point i subtracts A_:i alpha_i / A_ii from alpha.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel of the training points.
    y : array of shape (n, C), float32 or float64
        Training targets, such as one-hot minus 1/C.
    cross : array of shape (m, n), float32 or float64
        Kernel between targets and training points.
    ridge : float
        Added to the diagonal; not rescaled when a point is removed.

    Raises
    ------
    DataError
        If the shapes do not fit, or K + ridge I is not positive definite.
    """
    kernel, rows = as_symmetric("kernel entries", gram), as_floats("cross kernel entries", cross, 2)
    if rows.shape[1] != len(kernel):
        raise DataError(f"the cross kernel has {rows.shape[1]} columns for {len(kernel)} training points")
    values = _read_targets(y, len(kernel))
    eigenvalues, vectors = np.linalg.eigh(kernel + _read_ridge(ridge) * np.eye(len(kernel)))
    if eigenvalues[0] <= len(kernel) * np.finfo(np.float64).eps * eigenvalues[-1]:
        raise DataError("K + ridge I is not positive definite: choose a larger ridge")
    inverse = vectors / eigenvalues @ vectors.T
    alpha = inverse @ values
    full = rows @ alpha
    scaled = alpha / np.diagonal(inverse)[:, None]
    return LeaveOneOut(full, full - (rows @ inverse).T[:, :, None] * scaled[:, None, :])


def _read_ridge(ridge: float) -> float:
    if not (math.isfinite(ridge) and ridge >= 0):
        raise DataError(f"ridge is {ridge}: a non-negative number is needed")
    return ridge


def clipped_squared_loss(predictions: FloatArray, y: Any, bound: float = 1.0) -> FloatArray:
    """Return the smaller of |f - y|^2 / 2 and the bound of predictions (..., m, C), float64.

    Parameters
    ----------
    predictions : ndarray of shape (..., m, C), float64
        Predictions, such as :attr:`LeaveOneOut.full` or :attr:`LeaveOneOut.without`.
    y : array of shape (m, C), float32 or float64
        Targets.
    bound : float
        Largest value, M in the bounds.
    """
    return np.asarray(np.minimum(np.sum((predictions - as_floats("targets y", y, 2)) ** 2, axis=-1) / 2, bound))


def clipped_cross_entropy(scores: FloatArray, labels: Any, bound: float = math.log(1e6)) -> FloatArray:
    """Return the smaller of cross-entropy and the bound, in nats, of scores (..., m, C), float64.

    Parameters
    ----------
    scores : ndarray of shape (..., m, C), float64
        Logits.
    labels : array of shape (m,), integer
        Labels 0 to C-1.
    bound : float
        Largest value, M in the bounds.
    """
    y = as_labels("labels", labels, scores.shape[-2], scores.shape[-1])
    shifted = scores - scores.max(axis=-1, keepdims=True)
    entropy = np.log(np.exp(shifted).sum(axis=-1)) - shifted[..., np.arange(len(y)), y]
    return np.asarray(np.minimum(entropy, bound))


def loss_changes(loss_full: Any, loss_without: Any) -> FloatArray:
    """Return absolute changes of the loss (n, m) when a training point is removed, float64.

    Parameters
    ----------
    loss_full : array of shape (m,), float32 or float64
        Losses at the targets.
    loss_without : array of shape (n, m), float32 or float64
        Losses at the targets without training point i.

    Raises
    ------
    DataError
        If the shapes do not fit.
    """
    full, without = as_floats("losses", loss_full, 1), as_floats("losses without a point", loss_without, 2)
    if without.shape[1] != len(full):
        raise DataError(f"{without.shape[1]} columns of losses without a point for {len(full)} losses")
    return np.abs(without - full)


def influence_changes(
    train_gradients: Any,
    target_gradients: Any,
    hessian: Any | Callable[[FloatArray], FloatArray],
    damping: float = 0.0,
    tolerance: float = 1e-10,
) -> FloatArray:
    """Return first-order loss changes (n, m), |grad l(z_j)^T H^-1 grad l(z_i)| / n: influence functions.

    Koh & Liang 2017. For the parameters of ridge regression the ratio to the exact change is 1 - h_ii.

    Parameters
    ----------
    train_gradients : array of shape (n, P), float32 or float64
        Gradients of the loss of each training point in the parameters.
    target_gradients : array of shape (m, P), float32 or float64
        The same at the targets.
    hessian : array of shape (P, P), or callable
        Hessian of the mean training loss, regularization included; or its product with a vector (P,).
    damping : float
        Added to its diagonal, where it is not positive definite.
    tolerance : float
        Relative residual of the conjugate gradients that solve with a callable.

    Raises
    ------
    DataError
        If the shapes do not fit, the damped Hessian is not positive definite, or the solver does not converge.
    """
    sources, targets = as_floats("gradients", train_gradients, 2), as_floats("target gradients", target_gradients, 2)
    n, size = sources.shape
    if targets.shape[1] != size:
        raise DataError(f"gradients have {size} parameters, target gradients {targets.shape[1]}")
    if callable(hessian):
        solved = np.stack([_conjugate_gradients(hessian, damping, gradient, tolerance) for gradient in sources])
    else:
        matrix = as_square("Hessian entries", hessian)
        if len(matrix) != size:
            raise DataError(f"the Hessian has {len(matrix)} rows for {size} parameters")
        eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2 + damping * np.eye(size))
        if eigenvalues[0] <= size * np.finfo(np.float64).eps * abs(eigenvalues[-1]):
            raise DataError("the damped Hessian is not positive definite: choose a larger damping")
        solved = sources @ vectors / eigenvalues @ vectors.T
    return np.asarray(np.abs(solved @ targets.T) / n)


def _conjugate_gradients(
    product: Callable[[FloatArray], FloatArray], damping: float, gradient: FloatArray, tolerance: float
) -> FloatArray:
    size = len(gradient)

    def damped(vector: FloatArray) -> FloatArray:
        flat = np.asarray(vector, dtype=np.float64).reshape(size)
        return np.asarray(product(flat), dtype=np.float64) + damping * flat

    operator = LinearOperator((size, size), matvec=damped, dtype=np.float64)
    solution, failed = cg(operator, gradient, rtol=tolerance, maxiter=20 * size)
    if failed or not np.isfinite(solution).all():
        raise DataError("conjugate gradients did not converge: choose a larger damping")
    return np.asarray(solution, dtype=np.float64)


def _read_changes(changes: Any) -> FloatArray:
    values = as_floats("changes", changes, 2)
    if values.min() < 0:
        raise DataError("changes contain a negative value: take absolute values before averaging")
    return values


def _two_by_three() -> dict[str, Any]:
    """Return changes with row means .2 and .1 and largest entry .4, for n = 2."""
    return {"changes": np.array([[0.4, 0.1, 0.1], [0.1, 0.1, 0.1]])}


def _nothing(delta: float) -> dict[str, Any]:
    return {"changes": np.zeros((2, 3)), "bound": 0.7, "delta": delta}


_UNIFORM_EXAMPLE = 2 * 0.8 / 2 + (4 * 0.8 + 1) * math.sqrt(math.log(20) / 4)
_ELASTIC_EXAMPLE = 2 * 0.4 / 2 + 2 * (2 * 0.4 + 1) * math.sqrt(2 * math.log(40) / 2)


@metric(
    symbol=r"M_\beta",
    equation=r"n\,\max_i\,\mathrm{mean}_z\,|\ell(A_S, z) - \ell(A_{S^{-i}}, z)|",
    source="Deng, He & Su 2021, locally elastic stability, over the sample",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(KnownAnswer("two points, three targets", _two_by_three, 0.4, "2 x .2"),),
    tags=_TAGS,
)
def elastic_stability(changes: Any) -> float:
    """Locally elastic stability: n times the largest mean change of the loss when one point is removed.

    A maximum over a finite sample is biased down; use targets that were not trained on.

    Parameters
    ----------
    changes : array of shape (n, m), float32 or float64
        Absolute change of the loss at target j when training point i is removed.

    Raises
    ------
    DataError
        If a change is negative or not finite.
    """
    values = _read_changes(changes)
    return float(len(values) * values.mean(axis=1).max())


@metric(
    symbol=r"\beta^U",
    equation=r"n\,\max_i\,\max_z\,|\ell(A_S, z) - \ell(A_{S^{-i}}, z)|",
    source="Bousquet & Elisseeff 2002, uniform stability, over the sample",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(KnownAnswer("two points, three targets", _two_by_three, 0.8, "2 x .4"),),
    tags=_TAGS,
)
def uniform_stability(changes: Any) -> float:
    """Uniform stability: n times the largest change of the loss when one point is removed.

    Parameters
    ----------
    changes
        As in :func:`elastic_stability`.

    Raises
    ------
    DataError
        As :func:`elastic_stability`.
    """
    values = _read_changes(changes)
    return float(len(values) * values.max())


@metric(
    symbol=r"M_\beta / \beta^U",
    equation=r"\frac{\max_i\,\mathrm{mean}_z\,\beta(i,z)}{\max_i\,\max_z\,\beta(i,z)}",
    source="Deng, He & Su 2021: average against worst-case sensitivity; at most 1 by definition",
    direction="lower",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "scale"),
    known_answers=(
        KnownAnswer("two points, three targets", _two_by_three, 0.5, ".2/.4"),
        KnownAnswer("every loss changes alike", lambda: {"changes": np.full((3, 5), 0.2)}, 1.0, "no local elasticity"),
    ),
    tags=_TAGS,
)
def elastic_to_uniform_ratio(changes: Any) -> float:
    """Locally elastic over uniform stability: how much averaging over targets gains; 1 is nothing.

    Parameters
    ----------
    changes
        As in :func:`elastic_stability`.

    Raises
    ------
    DataError
        If nothing changes, or as :func:`elastic_stability`.
    """
    values = _read_changes(changes)
    largest = values.max()
    if largest == 0:
        raise DataError("no loss changes when a training point is removed: the ratio is undefined")
    return float(min(values.mean(axis=1).max() / largest, 1.0))


@metric(
    symbol=r"\mathrm{gap}_\mathrm{LES}",
    equation=r"\frac{2M_\beta}{n} + 2\,(2M_\beta + \varepsilon + M_\ell)\sqrt{\frac{2\ln(2/\delta)}{n}}",
    source=_LES,
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer(
            "M_beta .4, n = 2, delta .05",
            lambda: {**_two_by_three(), "bound": 1.0},
            _ELASTIC_EXAMPLE,
            "2M/n + 2(2M + M_l) sqrt(2 ln 40 / 2)",
        ),
        KnownAnswer("nothing changes, ln(2/delta) = 4, n = 2", lambda: _nothing(2 * math.exp(-4)), 2.8, "4 M_l"),
    ),
    tags=_TAGS,
)
def elastic_bound(changes: Any, bound: float, delta: float = 0.05, epsilon: float = 0.0) -> float:
    """Bound of the generalization gap by locally elastic stability, with probability 1 - delta.

    Parameters
    ----------
    changes
        As in :func:`elastic_stability`.
    bound : float
        Largest value of the loss, M_l.
    delta : float
        Probability with which the bound may fail.
    epsilon : float
        Slack of the theorem.

    Raises
    ------
    DataError
        If `bound`, `delta` or `epsilon` is out of range, or as :func:`elastic_stability`.
    """
    stability, n = elastic_stability(changes), len(_read_changes(changes))
    _check_bound(bound, delta)
    if epsilon < 0:
        raise DataError(f"epsilon is {epsilon}: it must not be negative")
    return 2 * stability / n + 2 * (2 * stability + epsilon + bound) * math.sqrt(2 * math.log(2 / delta) / n)


@metric(
    symbol=r"\mathrm{gap}_\mathrm{U}",
    equation=r"\frac{2\beta^U}{n} + (4\beta^U + M_\ell)\sqrt{\frac{\ln(1/\delta)}{2n}}",
    source="Bousquet & Elisseeff 2002, theorem 12; recalled, not checked against it",
    direction="lower",
    bounds=(0.0, math.inf),
    invariant_to=("permutation",),
    known_answers=(
        KnownAnswer(
            "beta^U .8, n = 2, delta .05",
            lambda: {**_two_by_three(), "bound": 1.0},
            _UNIFORM_EXAMPLE,
            "2b/n + (4b + M_l) sqrt(ln 20 / 4)",
        ),
        KnownAnswer("nothing changes, ln(1/delta) = 4, n = 2", lambda: _nothing(math.exp(-4)), 0.7, "Hoeffding: M_l"),
    ),
    tags=_TAGS,
)
def uniform_bound(changes: Any, bound: float, delta: float = 0.05) -> float:
    """Bound of the generalization gap by uniform stability, with probability 1 - delta.

    Parameters
    ----------
    changes, bound, delta
        As in :func:`elastic_bound`.

    Raises
    ------
    DataError
        As :func:`elastic_bound`.
    """
    stability, n = uniform_stability(changes), len(_read_changes(changes))
    _check_bound(bound, delta)
    return 2 * stability / n + (4 * stability + bound) * math.sqrt(math.log(1 / delta) / (2 * n))


def _check_bound(bound: float, delta: float) -> None:
    if not (math.isfinite(bound) and bound > 0):
        raise DataError(f"bound is {bound}: the loss must be bounded by a positive number")
    if not 0 < delta < 1:
        raise DataError(f"delta is {delta}: a probability between 0 and 1 is needed")
