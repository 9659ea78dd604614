"""Moments of rectified normal variables and exact population losses, against quadrature, Monte Carlo and the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from lebench import metrics
from lebench.data.teachers import teacher, teacher_directions
from lebench.errors import DataError
from lebench.metrics.population import both_positive
from lebench.tasks.beyond_kernels import CONSTANT_FLOOR, QUADRATIC_FLOOR, homogeneous_floor

CASES = [(0.0, 0.0, 0.3), (0.7, -0.4, 0.5), (-1.2, -0.3, -0.8), (0.0, 0.9, 0.6), (-0.5, 0.0, -0.2), (0.0, -1.1, 0.95)]


@pytest.mark.parametrize(("h", "k", "rho"), CASES)
def test_probability_that_both_are_positive(h, k, rho):
    expected = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([h, k])
    assert both_positive(*map(np.array, (h, k, rho))) == pytest.approx(expected, abs=1e-10)


def test_moments_by_quadrature():
    # Gauss-Hermite converges slowly at kinks, so the plane is cut along them: a fine grid of midpoints instead.
    weights, biases = np.array([[0.8, -0.3], [0.5, 1.0], [-1.6, 0.6], [0.0, 0.0]]), np.array([0.2, -0.7, 0.4, 0.3])
    grid = np.linspace(-9, 9, 3001)
    points = (grid[1:] + grid[:-1]) / 2
    density = np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    x, y = np.meshgrid(points, points, indexing="ij")
    units = [np.maximum(w[0] * x + w[1] * y + b, 0) for w, b in zip(weights, biases, strict=True)]
    mean, product = metrics.relu_moments(weights, biases)
    for i, first in enumerate(units):
        assert mean[i] == pytest.approx(density @ first @ density, abs=1e-5)
        for j, second in enumerate(units):
            assert product[i, j] == pytest.approx(density @ (first * second) @ density, abs=1e-5)


def test_moments_without_biases_are_the_arc_cosine_kernel():
    w = np.random.default_rng(0).standard_normal((6, 4))
    w[5] = -2 * w[4]
    norms = np.linalg.norm(w, axis=1)
    angle = np.arccos(np.clip(w @ w.T / np.outer(norms, norms), -1, 1))
    expected = np.outer(norms, norms) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    np.testing.assert_allclose(metrics.relu_moments(w, np.zeros(6))[1], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sign", [1, -1])
def test_moments_of_the_same_and_of_opposite_units(sign):
    # E z_+^2 has a closed form of its own; (z)_+ (-z)_+ is 0.
    bias = 0.6
    product = metrics.relu_moments(np.array([[2.0], [2.0 * sign]]), np.array([bias, bias * sign]))[1]
    h = bias / 2
    square = 4 * (
        (1 + h**2) * (1 + math.erf(h / math.sqrt(2))) / 2 + h * math.exp(-(h**2) / 2) / math.sqrt(2 * math.pi)
    )
    assert product[0, 1] == pytest.approx(square if sign == 1 else 0.0, abs=1e-12)


def test_population_loss_by_monte_carlo():
    rng = np.random.default_rng(1)
    d, h = 8, 12
    u, b, v, c = (
        rng.standard_normal((h, d)) / 3,
        rng.standard_normal(h) / 3,
        rng.standard_normal((1, h)) / 4,
        np.ones(1),
    )
    directions = teacher_directions(d)
    exact = metrics.scaled_population_loss(
        u, b, v, c, np.concatenate([directions, -directions]), np.full((1, 2 * d), 1 / d)
    )
    x = rng.standard_normal((400_000, d))
    squares = d * np.square(np.maximum(x @ u.T + b, 0) @ v.T + c - teacher(x))[:, 0]
    assert abs(squares.mean() - exact) < 4 * squares.std() / math.sqrt(len(x))


def test_moments_of_the_teacher():
    # d Var f* = 1 - 2/pi; after the best quadratic in |x| 1 - 3/pi, with the coefficient 1/(d sqrt(2 pi)).
    d = 64
    x = np.random.default_rng(2).standard_normal((200_000, d))
    y = teacher(x)[:, 0]
    centred = y - math.sqrt(2 / math.pi)
    squares = d * centred**2
    assert abs(squares.mean() - CONSTANT_FLOOR) < 4 * squares.std() / math.sqrt(len(x))
    radius = np.square(x).sum(axis=1) - d
    left = d * np.square(centred - radius / (d * math.sqrt(2 * math.pi)))
    assert abs(left.mean() - QUADRATIC_FLOOR) < 4 * left.std() / math.sqrt(len(x))
    assert pytest.approx(0.3633802276324186, abs=1e-15) == CONSTANT_FLOOR
    assert pytest.approx(0.04507034144862798, abs=1e-15) == QUADRATIC_FLOOR


def test_what_is_left_of_the_teacher_after_degree_four():
    """BN-2: 1 - 3/pi - 1/(12 pi), with the Hermite coefficients of |z|; this part knows the directions."""
    d = 16
    x = np.random.default_rng(4).standard_normal((200_000, d))
    z = x @ teacher_directions(d).T
    degrees = 1 + (z**2 - 1) / 2 - (z**4 - 6 * z**2 + 3) / 24
    left = d * np.square(teacher(x)[:, 0] - math.sqrt(2 / math.pi) * degrees.mean(axis=1))
    expected = 1 - 3 / math.pi - 1 / (12 * math.pi)
    assert expected == pytest.approx(0.018544517599978758, abs=1e-15)
    assert abs(left.mean() - expected) < 4 * left.std() / math.sqrt(len(x))


def test_homogeneous_floor():
    for d, expected in ((8, 0.03577915), (16, 0.04025735), (32, 0.04262311), (64, 0.04383675)):
        assert homogeneous_floor(d) == pytest.approx(expected, abs=5e-9)
    d = 8
    x = np.random.default_rng(3).standard_normal((400_000, d))
    y, norm = teacher(x)[:, 0], np.linalg.norm(x, axis=1)
    slope = math.sqrt(2 / math.pi) / norm.mean()
    left = d * np.square(y - slope * norm)
    assert abs(left.mean() - homogeneous_floor(d)) < 4 * left.std() / math.sqrt(len(x))


def test_bad_layers():
    good = (np.ones((3, 2)), np.zeros(3), np.ones((1, 3)), np.zeros(1), np.eye(2), np.ones((1, 2)))
    metrics.scaled_population_loss(*good)
    with pytest.raises(DataError, match="do not fit"):
        metrics.scaled_population_loss(good[0], np.zeros(2), *good[2:])
    with pytest.raises(DataError, match="one per unit"):
        metrics.relu_moments(np.ones((3, 2)), np.zeros(2))
