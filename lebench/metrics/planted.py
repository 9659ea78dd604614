"""Planted data for the known answers: geometry that is exact in closed form, hidden by a rotation and an offset."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray


def rotation(p: int, seed: int = 0) -> FloatArray:
    """Return an orthogonal (p, p) matrix."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((p, p)))
    return q


def simplex_frame(classes: int, p: int, rho: float = 1.0, seed: int = 0) -> FloatArray:
    """Return the simplex equiangular tight frame: C vectors of norm rho in R^p with cosines -1/(C-1).

    Parameters
    ----------
    classes, p : int
        C and the dimension, at least C-1.
    rho : float
        Norm.
    seed : int
        Of the rotation.
    """
    centred = np.eye(classes) - 1 / classes
    _, _, basis = np.linalg.svd(centred)
    corners = math.sqrt(classes / (classes - 1)) * centred @ basis[: classes - 1].T
    return np.asarray(rho * corners @ rotation(p, seed)[: classes - 1])


def circle(points: int) -> FloatArray:
    """Return equidistant points on the unit circle, of shape (points, 2)."""
    angles = 2 * math.pi * np.arange(points) / points
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def cross_polytope(p: int) -> FloatArray:
    """Return the 2p points plus and minus the axes of R^p, rotated, of shape (2p, p)."""
    axes = rotation(p)
    return np.concatenate([axes, -axes])


def isotropic_clusters(means: FloatArray, s: float, seed: int = 1) -> tuple[FloatArray, IntArray]:
    """Return 2p points per class whose covariance is s^2 times the identity exactly, in shuffled order.

    Parameters
    ----------
    means : ndarray of shape (C, p)
        Class means.
    s : float
        Standard deviation in every direction.
    seed : int
        Of the order of the points.

    Returns
    -------
    features : ndarray of shape (2 p C, p)
    labels : ndarray of shape (2 p C,), int64
    """
    classes, p = means.shape
    axes = s * math.sqrt(p) * rotation(p, seed)
    features = (means[:, None, :] + np.concatenate([axes, -axes])).reshape(-1, p)
    labels = np.repeat(np.arange(classes), 2 * p)
    order = np.random.default_rng(seed).permutation(len(labels))
    return features[order], labels[order]


def block_similarity(p: float, q: float, sizes: tuple[int, ...]) -> tuple[FloatArray, IntArray]:
    """Return a similarity of 1 on the diagonal, p within and q between classes, with its labels."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    similarity = np.where(labels[:, None] == labels, p, q)
    np.fill_diagonal(similarity, 1.0)
    return similarity, labels


# Keyword arguments of the collapse metrics. Features are moved away from the origin, which no metric may notice.


def noisy_simplex(offset: float = 3.0) -> dict[str, Any]:
    """Return a simplex frame of norm 2 with isotropic noise of deviation .3: C = 5 in 40 dimensions."""
    features, labels = isotropic_clusters(simplex_frame(5, 40, 2.0), 0.3)
    return {"features": features + offset, "labels": labels}


def collapsed_simplex() -> dict[str, Any]:
    """Return three points at each corner of a simplex frame: C = 5 in 40 dimensions."""
    return {"features": np.repeat(simplex_frame(5, 40, 2.0) + 3.0, 3, axis=0), "labels": np.repeat(np.arange(5), 3)}


def simplex_with_head(sign: float = 1.0) -> dict[str, Any]:
    """Return :func:`noisy_simplex` with classifiers equal to the centred class means, times `sign`."""
    return {**noisy_simplex(), "weights": sign * simplex_frame(5, 40, 2.0)}


def with_bias(data: dict[str, Any]) -> dict[str, Any]:
    """Return data with the bias that takes the mean away."""
    return {**data, "bias": -data["weights"] @ data["features"].mean(axis=0)}


def orthogonal_head() -> dict[str, Any]:
    """Return a simplex frame in two dimensions of four, and classifiers in the other two."""
    q = rotation(4)
    frame = simplex_frame(3, 2) @ q[:2]
    weights = np.array([[1.0, 0], [0, 1], [-1, -1]]) @ q[2:]
    return {"features": np.repeat(frame, 2, axis=0), "labels": np.repeat(np.arange(3), 2), "weights": weights}


def head_off_by_a_bias() -> dict[str, Any]:
    """Return two collapsed classes at 0 and 2 on an axis, and a layer whose bias decides every point."""
    return {
        "features": np.array([[0.0, 0], [0, 0], [2, 0], [2, 0]]),
        "labels": np.array([0, 0, 1, 1]),
        "weights": np.array([[0.5, 0], [0, 1]]),
        "bias": np.array([2.5, 4.0]),
    }


def rhombus_weights() -> dict[str, Any]:
    """Return vectors at +-1 on one axis and +-3 on another, rotated."""
    return {"weights": np.array([[1.0, 0, 0], [-1, 0, 0], [0, 3, 0], [0, -3, 0]]) @ rotation(3)}


def rhombus() -> dict[str, Any]:
    """Return four collapsed classes at the vectors of :func:`rhombus_weights`, moved."""
    return {"features": np.repeat(rhombus_weights()["weights"] + 0.5, 2, axis=0), "labels": np.repeat(np.arange(4), 2)}


def orthonormal_weights(classes: int) -> dict[str, Any]:
    """Return C orthonormal vectors."""
    return {"weights": rotation(classes + 3)[:classes]}


def two_on_a_line() -> dict[str, Any]:
    """Return two classes with means 0 and 4 and variances 1 and 3."""
    return {
        "features": np.array([[-1.0], [1.0], [7.0], [3.0], [3.0], [3.0]]),
        "labels": np.array([0, 0, 1, 1, 1, 1]),
    }


def two_astray() -> dict[str, Any]:
    """Return two classes at 0 and 10, each with one of its four points at the other's place."""
    return {"features": np.array([[0.0], [0], [0], [10], [10], [10], [10], [0]]), "labels": np.repeat([0, 1], 4)}


def two_layer_identities(*names: str) -> dict[str, Any]:
    """Two-layer network U0 = I, U = 1.5 I, V = I, V0 = 0 on inputs X = I in two dimensions, margin 1: what is named."""
    eye = np.eye(2)
    return _chosen(names, 1.5 * eye, eye, eye, 0 * eye, eye, 1.0)


def two_layer_one_unit(*names: str) -> dict[str, Any]:
    """One unit that moved from 1 to 2, two outputs with weights 3 and 4, one input 2, margin 2: what is named."""
    output = np.array([[3.0], [4.0]])
    return _chosen(names, np.array([[2.0]]), np.array([[1.0]]), output, 0 * output, np.array([[2.0]]), 2.0)


def _chosen(names: tuple[str, ...], *values: Any) -> dict[str, Any]:
    every = dict(zip(("hidden", "hidden_init", "output", "output_init", "inputs", "gamma"), values, strict=True))
    return {name: every[name] for name in names}
