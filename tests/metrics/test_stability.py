"""Locally elastic stability: leave-one-out against refitting, influence against its ratio, bounds and invariants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lebench import metrics
from lebench.errors import DataError


def problem(n=20, m=7, p=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels, held = np.arange(n) % classes, np.arange(m) % classes
    x, z = rng.standard_normal((n, p)), rng.standard_normal((m, p))
    return x, np.eye(classes)[labels] - 1 / classes, z, np.eye(classes)[held] - 1 / classes, labels, held


def refit(x, y, z, ridge):
    return z @ np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)


@pytest.mark.parametrize("ridge", [0.0, 0.3, 100.0])
def test_leave_one_out_of_ridge_is_the_refit(ridge):
    x, y, z, *_ = problem()
    found = metrics.leave_one_out_ridge(x, y, z, ridge)
    np.testing.assert_allclose(found.full, refit(x, y, z, ridge), rtol=1e-10, atol=1e-13)
    for i in range(len(x)):
        keep = np.arange(len(x)) != i
        np.testing.assert_allclose(found.without[i], refit(x[keep], y[keep], z, ridge), rtol=1e-9, atol=1e-12)


def test_leave_one_out_of_kernel_ridge_is_the_refit_and_agrees_with_ridge():
    x, y, z, *_ = problem()
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=2) / 5)
    cross = np.exp(-((z[:, None] - x[None]) ** 2).sum(axis=2) / 5)
    found = metrics.leave_one_out_kernel_ridge(kernel, y, cross, 0.1)
    for i in range(len(x)):
        keep = np.arange(len(x)) != i
        alpha = np.linalg.solve(kernel[np.ix_(keep, keep)] + 0.1 * np.eye(len(x) - 1), y[keep])
        np.testing.assert_allclose(found.without[i], cross[:, keep] @ alpha, rtol=1e-9, atol=1e-12)
    linear, kernelized = (
        metrics.leave_one_out_ridge(x, y, z, 0.3),
        metrics.leave_one_out_kernel_ridge(x @ x.T, y, z @ x.T, 0.3),
    )
    np.testing.assert_allclose(linear.full, kernelized.full, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(linear.without, kernelized.without, rtol=1e-9, atol=1e-12)


def ridge_gradients(x, y, theta, ridge):
    """Per-point gradients of (f - y)^2/2 in one output, and the Hessian of their mean plus the ridge over n."""
    residuals = x @ theta - y
    return x * residuals[:, None], (x.T @ x + ridge * np.eye(x.shape[1])) / len(x)


def test_influence_over_exact_is_one_minus_leverage():
    x, y, z, t, *_ = problem()
    y, t, ridge = y[:, 0], t[:, 0], 0.3
    system = x.T @ x + ridge * np.eye(5)
    theta = np.linalg.solve(system, x.T @ y)
    gradients, hessian = ridge_gradients(x, y, theta, ridge)
    targets = z * (z @ theta - t)[:, None]
    # The first-order loss change of the exact step of the parameters.
    leverage = np.einsum("ip,pq,iq->i", x, np.linalg.inv(system), x)
    step = -np.linalg.solve(system, x.T).T * ((y - x @ theta) / (1 - leverage))[:, None]
    exact = np.abs(step @ targets.T)
    found = metrics.influence_changes(gradients, targets, hessian)
    np.testing.assert_allclose(found / exact, np.tile(1 - leverage[:, None], (1, len(z))), rtol=1e-9)
    by_products = metrics.influence_changes(gradients, targets, lambda v: hessian @ v, tolerance=1e-13)
    np.testing.assert_allclose(by_products, found, rtol=1e-7, atol=1e-14)
    damped = metrics.influence_changes(gradients, targets, hessian - 0.1 * np.eye(5), damping=0.1)
    np.testing.assert_allclose(damped, found, rtol=1e-10)


def test_classes_in_orthogonal_subspaces_do_not_move_each_other():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 8)
    x = np.zeros((24, 9))
    for c in range(3):
        x[labels == c, 3 * c : 3 * c + 3] = rng.standard_normal((8, 3))
    found = metrics.leave_one_out_ridge(x, np.eye(3)[labels] - 1 / 3, x, 0.1)
    changes = np.linalg.norm(found.without - found.full, axis=2)
    matrix = metrics.class_sensitivity_matrix(changes, labels, labels)
    np.testing.assert_allclose(matrix[~np.eye(3, dtype=bool)], 0, atol=1e-15)
    assert metrics.class_sensitivity(changes, labels, labels) == pytest.approx(3)


@pytest.mark.parametrize(("classes", "published"), [(2, 1.0128), (3, 1.5191), (5, 2.5318)])
def test_constant_kernel_moves_every_prediction_alike(classes, published):
    """The exact change adds O(1/n) to the loss-based score (science.md 5.3), at 20 points a class and no ridge."""
    labels = np.repeat(np.arange(classes), 20)
    y = np.eye(classes)[labels] - 1 / classes
    # Ridge regression on a constant feature predicts the mean target.
    ones = np.ones((len(labels), 1))
    found = metrics.leave_one_out_ridge(ones, y, ones, 0.0)
    predicted = np.linalg.norm(found.without - found.full, axis=2)
    assert metrics.class_sensitivity(predicted, labels, labels) == pytest.approx(1, rel=1e-10)
    losses = metrics.loss_changes(
        metrics.clipped_squared_loss(found.full, y), metrics.clipped_squared_loss(found.without, y)
    )
    score = metrics.class_sensitivity_loss(losses, labels, labels)
    assert score * classes / 2 == pytest.approx(published, abs=6e-5)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_elastic_is_at_most_uniform(seed):
    changes = np.random.default_rng(seed).exponential(size=(6, 9))
    elastic, uniform = metrics.elastic_stability(changes), metrics.uniform_stability(changes)
    assert elastic <= uniform
    assert metrics.elastic_to_uniform_ratio(changes) == pytest.approx(elastic / uniform, rel=1e-13)
    assert elastic == pytest.approx(6 * max(row.mean() for row in changes), rel=1e-13)


def test_bounds_hold_for_bounded_losses_of_ridge_regression():
    """The gap of a ridge regression whose population risk is known from many held-out points is below both bounds."""
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((3, 1))

    def draw(n):
        x = rng.standard_normal((n, 3))
        return x, x @ theta + 0.5 * rng.standard_normal((n, 1))

    x, y = draw(100)
    z, t = draw(20_000)
    found = metrics.leave_one_out_ridge(x, y, z, 1.0)
    test_loss = metrics.clipped_squared_loss(found.full, t)
    train_loss = metrics.clipped_squared_loss(metrics.leave_one_out_ridge(x, y, x, 1.0).full, y)
    changes = metrics.loss_changes(test_loss, metrics.clipped_squared_loss(found.without, t))
    gap = test_loss.mean() - train_loss.mean()
    assert gap <= metrics.elastic_bound(changes, bound=1.0)
    assert gap <= metrics.uniform_bound(changes, bound=1.0)
    assert metrics.elastic_to_uniform_ratio(changes) < 0.5


def test_the_elastic_bound_does_not_see_what_a_learner_stores():
    """A learner that is right where it was trained and wrong elsewhere has a gap of 1, whatever the average says."""
    n = 2000
    at_new_points = np.zeros((n, 3))
    assert metrics.loss_gap(np.zeros(n), np.ones(3)) == 1
    assert metrics.elastic_bound(at_new_points, bound=1.0) < 0.2
    # At the stored points themselves removal changes everything, which the uniform bound takes in.
    at_stored_points = np.eye(n)
    assert metrics.uniform_stability(at_stored_points) == n
    assert metrics.uniform_bound(at_stored_points, bound=1.0) > 1
    assert metrics.elastic_stability(at_stored_points) == pytest.approx(1)


def test_the_uniform_bound_is_mcdiarmids_inequality():
    """Mean 2 beta/n, differences c = (4 beta + M)/n: exp(-2 e^2/(n c^2)) = delta at the bound's second term."""
    changes, bound, delta = np.random.default_rng(0).exponential(size=(50, 20)) / 50, 0.8, 0.1
    beta, n = metrics.uniform_stability(changes), len(changes)
    excess = metrics.uniform_bound(changes, bound, delta) - 2 * beta / n
    assert math.exp(-2 * excess**2 / (n * ((4 * beta + bound) / n) ** 2)) == pytest.approx(delta, rel=1e-12)
    # What is derived of the elastic bound is less than half of what is quoted.
    mean = metrics.elastic_stability(changes)
    quoted = metrics.elastic_bound(changes, bound, delta, epsilon=0.1) - 2 * mean / n
    assert (4 * mean + 0.2 + bound) * math.sqrt(math.log(1 / delta) / (2 * n)) < quoted / 2


def test_retraining_is_the_closed_form_and_its_floor_is_what_repeats():
    """Leave-one-out of ridge regression by training anew; a trainer that does not repeat itself has a floor."""
    x, y, z, *_ = problem()
    calls = []

    def fit(i, noise=0.0):
        calls.append(i)
        keep = np.arange(len(x)) != (-1 if i is None else i)
        return refit(x[keep], y[keep], z, 0.3) + noise * len(calls)

    exact = metrics.leave_one_out_ridge(x, y, z, 0.3)
    found = metrics.leave_one_out_retraining(fit, [2, 7, 11])
    assert calls == [None, 2, 7, 11, None]
    np.testing.assert_allclose(found.without, exact.without[[2, 7, 11]], rtol=1e-9, atol=1e-12)
    assert not metrics.prediction_changes(found.full, found.again[None]).any()
    calls.clear()
    noisy = metrics.leave_one_out_retraining(lambda i: fit(i, 0.01), [2])
    # The third call is two steps of .01 from the first, in each of three outputs.
    floor = metrics.prediction_changes(noisy.full, noisy.again[None])
    np.testing.assert_allclose(floor, 0.02 * math.sqrt(3), rtol=1e-9)


def test_removing_from_some_classes_gives_their_rows_of_the_whole():
    labels, targets = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 2])
    changes = np.random.default_rng(0).exponential(size=(6, 4))
    whole = metrics.class_sensitivity_matrix(changes, labels, targets)
    some = metrics.class_sensitivity_matrix(changes[2:], labels[2:], targets)
    np.testing.assert_array_equal(some, whole[1:])
    expected = (whole[1, 1] + whole[2, 2]) / 2 / whole[1:].mean()
    assert metrics.class_sensitivity(changes[2:], labels[2:], targets) == pytest.approx(expected, rel=1e-13)


def test_cross_entropy_by_definition_and_its_bound():
    scores, labels = np.array([[[1.0, 2.0, 0.0], [0.0, 0.0, 800.0]]]), np.array([1, 0])
    expected = -math.log(math.exp(2) / (math.exp(1) + math.exp(2) + 1))
    losses = metrics.clipped_cross_entropy(scores, labels, bound=5.0)
    assert losses.shape == (1, 2)
    assert losses[0, 0] == pytest.approx(expected, rel=1e-13)
    assert losses[0, 1] == 5.0


def test_what_has_no_leave_one_out():
    x, y, z, *_ = problem(n=4)
    with pytest.raises(DataError, match="choose a positive ridge"):
        metrics.leave_one_out_ridge(x, y, z, 0.0)
    with pytest.raises(DataError, match="determines its own prediction"):
        metrics.leave_one_out_ridge(np.eye(4), y, np.eye(4), 0.0)
    with pytest.raises(DataError, match="choose a larger ridge"):
        metrics.leave_one_out_kernel_ridge(-np.eye(4), y, np.ones((2, 4)), 0.5)
    with pytest.raises(DataError, match="ridge is -1"):
        metrics.leave_one_out_ridge(x, y, z, -1.0)
    with pytest.raises(DataError, match="not positive definite"):
        metrics.influence_changes(x, z, -np.eye(5))
    with pytest.raises(DataError, match="absolute values"):
        metrics.elastic_stability(-np.ones((2, 2)))
    with pytest.raises(DataError, match="delta is 1"):
        metrics.uniform_bound(np.ones((2, 2)), bound=1.0, delta=1.0)
    with pytest.raises(DataError, match="bounded by a positive number"):
        metrics.elastic_bound(np.ones((2, 2)), bound=math.inf)
    with pytest.raises(DataError, match="nothing changes"):
        metrics.class_sensitivity(np.zeros((2, 2)), np.arange(2), np.arange(2))
    with pytest.raises(DataError, match="absolute values"):
        metrics.removal_change(-np.ones((2, 2)))
    with pytest.raises(DataError, match="class 1 of 3 has no points"):
        metrics.class_sensitivity(np.ones((2, 2)), np.arange(2), np.array([0, 2]))
    with pytest.raises(DataError, match="no point is left out"):
        metrics.leave_one_out_retraining(lambda i: np.ones((2, 1)), [])
    with pytest.raises(DataError, match="predict the same targets every time"):
        metrics.leave_one_out_retraining(lambda i: np.ones((2 + (i or 0), 1)), [1])
    with pytest.raises(DataError, match="without point 1 contain NaN"):
        metrics.leave_one_out_retraining(lambda i: np.full((2, 1), math.nan if i else 1.0), [1])
    with pytest.raises(DataError, match=r"have shape \(1, 3, 2\), those with it \(2, 2\)"):
        metrics.prediction_changes(np.ones((2, 2)), np.ones((1, 3, 2)))
