"""Generalized collapse against closed forms, and the hull distance against a general solver."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from lebench import metrics
from lebench.errors import DataError
from lebench.metrics.generalized_collapse import hull_distance
from lebench.metrics.planted import circle, rotation, simplex_frame


@pytest.mark.parametrize("classes", [3, 4, 5, 7, 30])
def test_circle(classes):
    distances = metrics.one_vs_rest_distances(circle(classes) @ rotation(2) * 3)
    np.testing.assert_allclose(distances, 1 - math.cos(2 * math.pi / classes), rtol=1e-9)


@pytest.mark.parametrize("p", [3, 40])
def test_simplex_in_few_and_in_many_dimensions(p):
    np.testing.assert_allclose(metrics.one_vs_rest_distances(simplex_frame(4, p)), 4 / 3, rtol=1e-12)


@given(seed=st.integers(0, 2**16), k=st.integers(1, 8), p=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_hull_distance_is_what_a_general_solver_finds(seed, k, p):
    rng = np.random.default_rng(seed)
    point, others = rng.standard_normal(p), rng.standard_normal((k, p))
    found = minimize(
        lambda a: ((a @ others - point) ** 2).sum(),
        np.full(k, 1 / k),
        jac=lambda a: 2 * others @ (a @ others - point),
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    exact = hull_distance(point, others)
    assert exact**2 <= found.fun + 1e-9
    assert exact**2 == pytest.approx(found.fun, abs=1e-6)


def test_a_point_inside_the_hull_and_points_that_coincide():
    assert hull_distance(np.zeros(2), circle(5)) == pytest.approx(0, abs=1e-12)
    assert hull_distance(np.ones(3), np.ones((2, 3))) == 0
    # Minority collapse: two classifiers in one direction cannot be told apart.
    assert metrics.gnc2_margin(np.array([[1.0, 0], [0, 1], [0, 2]])) == pytest.approx(0, abs=1e-15)


def test_gnc1_is_nc1_of_unit_features():
    rng = np.random.default_rng(0)
    h, y = rng.standard_normal((40, 5)) + 3 * np.eye(5)[np.arange(40) % 4], np.arange(40) % 4
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    lengths = rng.uniform(0.1, 10, (40, 1))
    assert metrics.gnc1(h * lengths, y) == pytest.approx(metrics.nc1_pinv_over_C(unit, y), rel=1e-11)


def test_duality_metrics_by_definition():
    rng = np.random.default_rng(0)
    h, y, w = rng.standard_normal((40, 5)) + 1, np.arange(40) % 4, rng.standard_normal((4, 5))

    def cosines(rows):
        return [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(w, rows, strict=True)]

    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    means = np.array([unit[y == c].mean(axis=0) for c in range(4)])
    assert metrics.gnc3(h, y, w) == pytest.approx(1 - np.mean(cosines(means)), rel=1e-12)
    means = np.array([h[y == c].mean(axis=0) for c in range(4)])
    assert metrics.unc3(h, y, w) == pytest.approx(np.var(cosines(means - means.mean(axis=0))), rel=1e-11)


def test_minority_classes():
    np.testing.assert_array_equal(metrics.minority_classes(np.array([100, 10, 100, 10])), [1, 3])
    for counts, message in (
        (np.array([10, 10, 10]), "0 classes have fewer"),
        (np.array([10, 10, 9]), "1 classes have fewer"),
        (np.array([1.0, 2.0]), "positive integers"),
        (np.array([3, 0]), "positive integers"),
    ):
        with pytest.raises(DataError, match=message):
            metrics.minority_classes(counts)


def test_minority_cosine_grows_to_one_as_two_classifiers_merge():
    frame, counts = simplex_frame(4, 5), np.array([100, 100, 10, 10])
    merged = frame.copy()
    merged[2:] = frame[2:].mean(axis=0)
    values = [metrics.minority_cosine((1 - t) * frame + t * merged, counts) for t in (0.0, 0.5, 0.9, 1.0)]
    assert values[0] == pytest.approx(-1 / 3)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1)


def test_what_has_no_direction():
    with pytest.raises(DataError, match="row 1 of weights is zero"):
        metrics.gnc2_margin(np.array([[1.0, 0], [0, 0]]))
    with pytest.raises(DataError, match="same direction"):
        metrics.gnc2_uniformity(np.array([[1.0, 0], [2.0, 0], [0, 1]]))
    with pytest.raises(DataError, match="row 0 of features is zero"):
        metrics.gnc1(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
