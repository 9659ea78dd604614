"""LE-ODE and LE-SDE against integrators, closed forms, the released simulation and the covariance of linear noise."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from lebench import metrics
from lebench.dynamics import (
    class_coordinates,
    class_directions,
    log_gains,
    noise_transition,
    noisy_loss,
    power_law_impact,
    sample_le_sde,
    separation_rate,
    solve_le_ode,
)
from lebench.errors import DataError, ParameterError

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "le_sde.npz")


def drift(means, alpha, beta, model):
    """Return the right-hand side as the paper writes it, by loops over classes."""
    classes, p = means.shape
    moved = np.zeros_like(means)
    for k in range(classes):
        for other in range(classes):
            direction = np.eye(classes)[other] - 1 / classes
            h = np.eye(p) if model == "I" else np.outer(direction, direction) / (direction @ direction)
            moved[k] += (alpha if k == other else beta) * h @ means[other] / classes
    return moved


def planted_rates(steps, seed=0):
    rng = np.random.default_rng(seed)
    lengths, alpha, beta = rng.uniform(0.2, 1.5, steps), rng.uniform(0.2, 1.5, steps), rng.uniform(-0.8, 0.6, steps)
    times = 1 + np.concatenate([[0], np.cumsum(lengths)])
    a, b = (3 + np.concatenate([[0], np.cumsum(lengths * rate)]) for rate in (alpha, beta))
    return times, alpha, beta, a, b


@pytest.mark.parametrize("model", ["I", "L"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_closed_form_is_what_an_integrator_finds(model, classes):
    times, alpha, beta, a, b = planted_rates(6)
    start = np.random.default_rng(1).standard_normal((classes, classes if model == "L" else 4))
    solved = solve_le_ode(start, a, b, model)
    state = start
    for m in range(6):
        state = (
            solve_ivp(
                lambda _, y, m=m: drift(y.reshape(start.shape), alpha[m], beta[m], model).ravel(),
                (times[m], times[m + 1]),
                state.ravel(),
                method="DOP853",
                rtol=1e-11,
                atol=1e-12,
            )
            .y[:, -1]
            .reshape(start.shape)
        )
        np.testing.assert_allclose(solved[m + 1], state, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(solved[0].round(13), start.round(13))


def test_smooth_rates_on_a_fine_grid_are_what_an_integrator_finds():
    times = np.linspace(0, 5, 4001)
    a, b = np.sin(times) + times, 0.5 * np.cos(2 * times)
    start = np.random.default_rng(2).standard_normal((3, 3))
    found = solve_ivp(
        lambda t, y: drift(y.reshape(3, 3), np.cos(t) + 1, -np.sin(2 * t), "L").ravel(),
        (0, 5),
        start.ravel(),
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    np.testing.assert_allclose(solve_le_ode(start, a, b, "L")[-1], found.y[:, -1].reshape(3, 3), rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_two_modes_grow_by_the_published_gains(classes):
    a, b = np.array([0.0, 1.7]), np.array([0.0, -0.4])
    start = np.random.default_rng(3).standard_normal((classes, classes))
    first, last = solve_le_ode(start, a, b)
    centre = first.mean(axis=0)
    np.testing.assert_allclose(last.mean(axis=0), centre * np.exp((1.7 - 0.4 * (classes - 1)) / classes), rtol=1e-10)
    np.testing.assert_allclose(last - last.mean(axis=0), (first - centre) * np.exp(2.1 / classes), rtol=1e-10)
    first, last = solve_le_ode(start, a, b, "L")
    before, after = class_coordinates(first), class_coordinates(last)
    assert after.mean() == pytest.approx(before.mean() * np.exp(2.1 / classes), rel=1e-10)
    gain = np.exp((1.7 - 0.4 / (classes - 1)) / classes)
    np.testing.assert_allclose(after - after.mean(), (before - before.mean()) * gain, rtol=1e-9)
    # What is orthogonal to all directions is conserved.
    np.testing.assert_allclose(last.sum(axis=1), first.sum(axis=1), atol=1e-12)


def test_the_l_model_collapses_to_a_simplex():
    start = np.random.default_rng(0).standard_normal((3, 3))
    means = solve_le_ode(start, np.array([0.0, 60.0]), np.array([0.0, -30.0]), "L")[-1]
    norms = np.linalg.norm(means, axis=1)
    cosines = (means @ means.T / np.outer(norms, norms))[~np.eye(3, dtype=bool)]
    np.testing.assert_allclose(cosines, -0.5, atol=1e-4)
    np.testing.assert_allclose(norms / norms.mean(), 1, atol=1e-5)
    aligned = means / norms[:, None] @ class_directions(3)[0] / np.sqrt(2 / 3)
    np.testing.assert_allclose(np.abs(aligned), [1, 0.5, 0.5], atol=1e-4)


@pytest.mark.parametrize(
    ("course", "alpha", "beta"), [("ode_const_seed0", "ode_a", "ode_b"), ("ode2_seed11", "ode2_a", "ode2_b")]
)
def test_euler_without_noise_is_the_released_simulation(course, alpha, beta):
    reference = REFERENCE[course]
    a, b = (np.cumsum(REFERENCE[rate]) for rate in (alpha, beta))
    path = sample_le_sde(
        reference[0][:, None],
        np.arange(len(a), dtype=float),
        a,
        b,
        np.random.default_rng(0),
        model="L",
        noise=0.0,
        method="euler",
    )
    np.testing.assert_allclose(path[:, :, 0], reference, rtol=1e-12, atol=1e-12)


class Basis:
    """In place of a generator: of all numbers drawn one after the other, one is 1 and the others are 0."""

    def __init__(self, which):
        self.which, self.drawn = which, 0

    def standard_normal(self, shape):
        size = int(np.prod(shape))
        values = np.zeros(size)
        if self.drawn <= self.which < self.drawn + size:
            values[self.which - self.drawn] = 1.0
        self.drawn += size
        return values.reshape(shape)


def exact_covariance(times, alpha, beta, model, classes, n, p, noise, method):
    """Return the covariance of all features at the last moment by matrix exponentials (Van Loan)."""
    dimension = classes * n * p
    total = np.zeros((dimension, dimension))
    for step, within, between in zip(np.diff(times), alpha, beta, strict=True):
        matrix = np.zeros((dimension, dimension))
        for column in range(dimension):
            unit = np.zeros(dimension)
            unit[column] = 1
            moved = drift(unit.reshape(classes, n, p).mean(axis=1), within, between, model)
            matrix[:, column] = np.repeat(moved[:, None], n, axis=1).ravel()
        if method == "euler":
            forward, added = np.eye(dimension) + step * matrix, step * noise**2 * np.eye(dimension)
        else:
            zero = np.zeros_like(matrix)
            whole = expm(step * np.block([[-matrix, noise**2 * np.eye(dimension)], [zero, matrix.T]]))
            forward = whole[dimension:, dimension:].T
            added = forward @ whole[:dimension, dimension:]
        total = forward @ total @ forward.T + added
    return total


@pytest.mark.parametrize("method", ["exact", "euler"])
@pytest.mark.parametrize(
    ("model", "classes", "n", "p"), [("I", 2, 3, 2), ("I", 3, 1, 2), ("L", 2, 2, 2), ("L", 3, 2, 3)]
)
def test_the_sampled_path_is_linear_noise_with_the_exact_covariance(model, classes, n, p, method):
    times, alpha, beta, a, b = planted_rates(2, seed=4)
    zeros = np.zeros((classes, n, p))

    def at_the_end(rng):
        return sample_le_sde(zeros, times, a, b, rng, model=model, noise=0.7, method=method)[-1].ravel()

    count = Basis(-1)
    np.testing.assert_array_equal(at_the_end(count), 0)
    responses = np.array([at_the_end(Basis(k)) for k in range(count.drawn)])
    expected = exact_covariance(times, alpha, beta, model, classes, n, p, 0.7, method)
    np.testing.assert_allclose(responses.T @ responses, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("model", ["I", "L"])
def test_without_noise_the_exact_path_is_the_closed_form(model):
    times, _, _, a, b = planted_rates(5)
    start = np.random.default_rng(5).standard_normal((3, 4, 3))
    path = sample_le_sde(start, times, a, b, np.random.default_rng(0), model=model, noise=0.0)
    means = solve_le_ode(start.mean(axis=1), a, b, model)
    np.testing.assert_allclose(path.mean(axis=2), means, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        path - path.mean(axis=2, keepdims=True),
        np.broadcast_to(path[0] - path[0].mean(axis=1, keepdims=True), path.shape),
        atol=1e-11,
    )


def test_features_separate_if_the_impact_falls_more_slowly_than_one_over_t():
    times = np.concatenate([np.geomspace(1, 1e4, 200)])
    separated = {}
    for name, a in {
        "0.5": power_law_impact(times, 0.5, 0.5),
        "1.5": power_law_impact(times, 1.5, 0.5),
        "never": np.zeros(len(times)),
    }.items():
        shares = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            start = rng.standard_normal((3, 1, 3)) + 0.1 * rng.standard_normal((3, 40, 3))
            last = sample_le_sde(start, times, a, np.zeros(len(times)), rng, noise=0.5)[-1]
            shares.append(metrics.separation(last.reshape(-1, 3), np.repeat(np.arange(3), 40)))
        separated[name] = np.mean(shares)
    assert separated["0.5"] > 0.95
    assert separated["1.5"] < 0.2
    assert abs(separated["1.5"] - separated["never"]) < 0.1


def test_power_law_impact_is_the_integral():
    times = np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(power_law_impact(times, 0.5, 3.0), 6 * (np.sqrt(times) - 1), rtol=1e-13)
    np.testing.assert_allclose(power_law_impact(times, 1.0, 2.0), 2 * np.log(times), rtol=1e-13)
    np.testing.assert_allclose(power_law_impact(times[1:], 2.0), [0, 1 / 4 - 1 / 9], atol=1e-15)
    with pytest.raises(DataError, match="begins after 0"):
        power_law_impact(np.arange(3.0), 0.5)
    with pytest.raises(DataError, match="step 1 is not positive"):
        power_law_impact(np.array([1.0, 3.0, 2.0]), 0.5)
    with pytest.raises(ParameterError, match="finite numbers"):
        power_law_impact(times, np.nan)


def test_the_separation_rate_is_the_smaller_of_the_two():
    rate = separation_rate(np.array([1.0, 1.0, 1.0]), np.array([0.5, 0.0, -0.5]), 4)
    np.testing.assert_array_equal(rate, [0.5, 1.0, -0.5])
    # Its two terms are K times the rates of the two modes of the I-model.
    mean, deviation = log_gains(np.array([1.0]), np.array([0.5]), 4)
    assert rate[0] == 4 * min(mean[0], deviation[0])


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.1, 0.1054), (0.2, 0.2231), (0.3, 0.3567), (0.4, 0.5108), (0.5, 0.6931), (2 / 3, 1.0986), (0.8, np.log(3))],
)
def test_the_loss_of_a_calibrated_learner_under_label_noise(p, expected):
    assert noisy_loss(p, 3) == pytest.approx(expected, abs=5e-5)
    assert noise_transition(3) == pytest.approx(2 / 3)


def test_bad_inputs_are_named():
    rng, start, flat = np.random.default_rng(0), np.ones((3, 2, 3)), np.arange(3.0)
    with pytest.raises(ParameterError, match="1 classes"):
        class_directions(1)
    with pytest.raises(ParameterError, match="1 classes"):
        solve_le_ode(np.ones((1, 2)), flat, flat)
    with pytest.raises(ParameterError, match="1 classes"):
        noise_transition(1)
    with pytest.raises(ParameterError, match="no share of labels"):
        noisy_loss(1.2, 3)
    with pytest.raises(DataError, match="3 values of A do not fit 2 of B"):
        solve_le_ode(np.ones((3, 2)), flat, flat[:2])
    with pytest.raises(DataError, match="one per class, 3"):
        solve_le_ode(np.ones((3, 2)), flat, flat, "L")
    with pytest.raises(ParameterError, match="model 'M' is unknown"):
        solve_le_ode(np.ones((3, 2)), flat, flat, "M")
    with pytest.raises(ParameterError, match="model 'M' is unknown"):
        log_gains(flat, flat, 3, "M")
    with pytest.raises(DataError, match="3 values of A do not fit 2 of B"):
        log_gains(flat, flat[:2], 3)
    with pytest.raises(DataError, match=r"shape \(3, 2\): the L-model needs one dimension per class"):
        class_coordinates(np.ones((3, 2)))
    with pytest.raises(DataError, match="step 1 is not positive"):
        sample_le_sde(start, np.array([0.0, 1.0, 1.0]), flat, flat, rng)
    with pytest.raises(DataError, match="2 times do not fit 3"):
        sample_le_sde(start, flat[:2], flat, flat, rng)
    with pytest.raises(ParameterError, match="no standard deviation"):
        sample_le_sde(start, flat, flat, flat, rng, noise=-1.0)
    with pytest.raises(ParameterError, match="method 'milstein' is unknown"):
        sample_le_sde(start, flat, flat, flat, rng, method="milstein")
    with pytest.raises(DataError, match="use more moments"):
        sample_le_sde(start, flat, 100 * flat, flat, rng, model="L")
    with pytest.raises(DataError, match="2 values of alpha do not fit 3"):
        separation_rate(flat[:2], flat, 3)


@pytest.mark.parametrize(("model", "start"), [("I", np.ones((3, 2))), ("L", np.eye(3))])
def test_class_means_that_no_number_holds_are_refused_in_words(model, start):
    with pytest.raises(DataError, match=r"class means grow beyond what a number holds \(moment 1\)"):
        solve_le_ode(start, np.array([0.0, 1e4]), np.zeros(2), model)


@pytest.mark.parametrize("method", ["exact", "euler"])
def test_features_that_no_number_holds_are_refused_in_words(method):
    rng, times = np.random.default_rng(0), np.arange(200.0)
    with pytest.raises(DataError, match=r"beyond what a number holds \(moment \d+\)"):
        sample_le_sde(np.ones((3, 2, 3)), times, 1e4 * times, times, rng, method=method)
    with pytest.raises(ParameterError, match="more than a number holds"):
        power_law_impact(np.arange(1.0, 9.0), -900.0)
