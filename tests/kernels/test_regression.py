"""Kernel regression against explicit solves, explicit leave-one-out and integrated gradient flow."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch

from lebench.architectures import mlp
from lebench.errors import DataError, LebenchWarning
from lebench.kernels import (
    RIDGES,
    gradient_flow,
    infinite_width_kernel,
    one_hot_targets,
    ridge_regression,
    solve_spd,
)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 5))
    labels = rng.integers(0, 3, 30)
    return infinite_width_kernel(mlp(), x), one_hot_targets(labels, 3)


def test_leave_one_out_is_that_of_explicit_refits(problem):
    kernel, targets = problem
    fit = ridge_regression(kernel, targets)
    mean = np.trace(kernel) / 30
    for ridge, loss in zip(RIDGES * mean, fit.leave_one_out, strict=True):
        residuals = np.empty_like(targets)
        for i in range(30):
            rest = np.arange(30) != i
            alpha = np.linalg.solve(kernel[np.ix_(rest, rest)] + ridge * np.eye(29), targets[rest])
            residuals[i] = targets[i] - kernel[i, rest] @ alpha
        assert loss == pytest.approx(np.square(residuals).mean(), rel=1e-6)
        if ridge == pytest.approx(fit.ridge):
            np.testing.assert_allclose(fit.residuals, residuals, rtol=1e-6, atol=1e-9)
    assert fit.relative_ridge == RIDGES[fit.leave_one_out.argmin()]
    assert fit.mean_diagonal == pytest.approx(mean)
    expected = np.linalg.solve(kernel + fit.ridge * np.eye(30), targets)
    np.testing.assert_allclose(fit.coefficients, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.predict(kernel[:4]), kernel[:4] @ expected, rtol=1e-8, atol=1e-10)


def test_the_scale_of_the_kernel_does_not_matter(problem):
    kernel, targets = problem
    fit, scaled = ridge_regression(kernel, targets), ridge_regression(1000 * kernel, targets)
    assert scaled.relative_ridge == fit.relative_ridge
    np.testing.assert_allclose(scaled.predict(1000 * kernel), fit.predict(kernel), atol=1e-10)


def test_duplicate_points_are_fitted_with_the_ridge(problem):
    kernel, targets = problem
    twice = np.arange(60) % 30
    fit = ridge_regression(kernel[np.ix_(twice, twice)], targets[twice])
    assert np.isfinite(fit.coefficients).all()
    np.testing.assert_allclose(fit.coefficients[:30], fit.coefficients[30:], atol=1e-6)


def test_one_hot_targets():
    np.testing.assert_allclose(one_hot_targets([1, 0]), [[-0.5, 0.5], [0.5, -0.5]])
    assert one_hot_targets([1, 0], 4).shape == (2, 4)
    with pytest.raises(DataError, match="at least two classes"):
        one_hot_targets([1, 1, 1], 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ridge", [1e-3, 1e-6, 0.0])
def test_mixed_precision_solves_to_double_accuracy(ridge, dtype):
    rng = np.random.default_rng(1)
    kernel = infinite_width_kernel(mlp(), rng.standard_normal((150, 20))).astype(dtype)
    targets = rng.standard_normal((150, 4))
    solution = solve_spd(kernel, targets, ridge)
    expected = scipy.linalg.solve(kernel.astype(np.float64) + ridge * np.eye(150), targets, assume_a="pos")
    np.testing.assert_allclose(solution.coefficients, expected, atol=1e-7 * np.abs(expected).max())
    assert solution.jitter == 0
    assert solution.refinements > 0
    assert solution.residual < 1e-9


def test_what_float32_cannot_factor_is_solved_in_float64():
    values = np.logspace(-10, 0, 20)
    basis = np.linalg.qr(np.random.default_rng(2).standard_normal((20, 20)))[0]
    kernel = (basis * values) @ basis.T
    kernel = (kernel + kernel.T) / 2
    solution = solve_spd(kernel, kernel @ np.ones(20))
    assert (solution.jitter, solution.refinements) == (0.0, 0)
    assert solution.coefficients.shape == (20,)
    np.testing.assert_allclose(solution.coefficients, 1.0, atol=1e-4)


def test_duplicate_points_without_ridge_get_a_jitter_that_is_reported(problem):
    kernel, targets = problem
    twice = np.arange(60) % 30
    singular = kernel[np.ix_(twice, twice)]
    with pytest.warns(LebenchWarning, match="singular.*was added to its diagonal"):
        solution = solve_spd(singular, targets[twice])
    assert 0 < solution.jitter < 1e-9 * np.trace(kernel) / 30
    np.testing.assert_allclose(singular @ solution.coefficients, targets[twice], atol=1e-6)


@pytest.mark.parametrize("time", [0.0, 0.5, 7.0, 100.0])
def test_gradient_flow_is_what_integration_gives(problem, time):
    kernel, targets = problem
    initial = np.random.default_rng(3).standard_normal(targets.shape)
    train, test = np.arange(30) < 20, np.arange(30) >= 20
    flow = gradient_flow(kernel[np.ix_(train, train)], targets[train], initial[train])

    def slope(_, f):
        # All points follow the residuals of the 20 training points.
        return (-(kernel * train) @ (f.reshape(targets.shape) - targets) / 20).ravel()

    run = scipy.integrate.solve_ivp(slope, (0, time), initial.ravel(), rtol=1e-10, atol=1e-12, method="DOP853")
    expected = run.y[:, -1].reshape(targets.shape)
    np.testing.assert_allclose(flow.train(time), expected[train], atol=1e-7)
    predicted = flow.predict(kernel[np.ix_(test, train)], time, initial[test])
    np.testing.assert_allclose(predicted, expected[test], atol=1e-7)


def test_gradient_flow_ends_at_interpolation(problem):
    kernel, targets = problem
    flow = gradient_flow(kernel, targets)
    assert flow.rank == 30
    np.testing.assert_allclose(flow.train(math.inf), targets, atol=1e-9)
    np.testing.assert_allclose(flow.coefficients(math.inf), np.linalg.solve(kernel, targets), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(flow.train(1e12), targets, atol=1e-9)
    np.testing.assert_array_equal(flow.coefficients(0.0), 0.0)


def test_gradient_flow_of_duplicates_with_two_labels_ends_between_them(problem):
    kernel, _ = problem
    pair = np.array([0, 0, 1])
    flow = gradient_flow(kernel[np.ix_(pair, pair)], [1.0, -1.0, 1.0])
    assert flow.rank == 2
    np.testing.assert_allclose(flow.train(math.inf).ravel(), [0.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(
        kernel[np.ix_(pair, pair)] @ flow.coefficients(math.inf), flow.train(math.inf), atol=1e-12
    )


@pytest.mark.parametrize("function", [ridge_regression, gradient_flow, solve_spd])
@pytest.mark.parametrize(
    ("kernel", "targets", "message"),
    [
        (np.ones((2, 3)), np.ones(2), "square"),
        (np.eye(2), np.ones(3), "targets have shape"),
        (np.diag([1.0, np.inf]), np.ones(2), "NaN or infinity"),
        (np.eye(2), np.array([1.0, np.nan]), "NaN or infinity"),
        (np.diag([1.0, -0.5]), np.ones(2), "positive semidefinite"),
        (-np.eye(2), np.ones(2), "positive"),
    ],
)
def test_unusable_kernels_are_refused(function, kernel, targets, message):
    with pytest.raises(DataError, match=message):
        function(kernel, targets)


def test_unusable_ridges_and_times_are_refused(problem):
    kernel, targets = problem
    with pytest.raises(DataError, match="each positive"):
        ridge_regression(kernel, targets, [0.0, 1.0])
    with pytest.raises(DataError, match="at least 0"):
        solve_spd(kernel, targets, -1.0)
    with pytest.raises(DataError, match="at least 0"):
        gradient_flow(kernel, targets).coefficients(-1.0)
    with pytest.raises(DataError, match="at least 0"):
        gradient_flow(kernel, targets).train(math.nan)


def test_unusable_new_points_are_refused(problem):
    kernel, targets = problem
    for fit in (ridge_regression(kernel, targets).predict, partial(gradient_flow(kernel, targets).predict, time=1.0)):
        with pytest.raises(DataError, match=r"shape \(2, 3\): \(m, \d+\), between new points"):
            fit(kernel[:2, :3])
        with pytest.raises(DataError, match="scores are NaN or infinite"):
            fit(np.nan * kernel)


def test_unusable_initial_scores_are_refused(problem):
    kernel, targets = problem
    with pytest.raises(DataError, match="initial scores contain NaN"):
        gradient_flow(kernel, targets, np.nan * targets)
    with pytest.raises(DataError, match="initial scores have shape"):
        gradient_flow(kernel, targets, targets[:-1])
    with pytest.raises(DataError, match="they must agree"):
        gradient_flow(kernel, targets, np.hstack([targets, targets]))


def test_the_message_says_where_a_kernel_is_not_finite(problem):
    kernel, targets = (array.copy() for array in problem)
    kernel[1, 2] = np.inf
    with pytest.raises(DataError, match=r"infinity at \[1, 2\]: look"):
        ridge_regression(kernel, targets)


def test_large_finite_entries_are_no_infinity():
    kernel = np.eye(3, dtype=np.float32) * np.float32(2e38)
    assert np.isfinite(ridge_regression(kernel, np.eye(3)).coefficients).all()


def test_torch_tensors_are_read(problem):
    kernel, targets = problem
    fit = ridge_regression(torch.from_numpy(kernel), torch.from_numpy(targets))
    np.testing.assert_array_equal(fit.coefficients, ridge_regression(kernel, targets).coefficients)
