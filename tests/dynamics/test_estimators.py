"""Estimators of impacts: exact on exact trajectories, equal to the released one where that is right."""

from pathlib import Path

import numpy as np
import pytest

from lebench import metrics
from lebench.dynamics import (
    class_directions,
    differentiate,
    estimate_difference,
    estimate_impacts,
    power_law_impact,
    solve_le_ode,
    window_rates,
)
from lebench.errors import DataError, ParameterError

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "le_sde.npz")


def planted(model, classes, p, seed=0):
    times = np.linspace(1, 50, 300)
    a, b = power_law_impact(times, 0.5, 0.4), power_law_impact(times, 1.2, -0.5)
    start = np.random.default_rng(seed).standard_normal((classes, p))
    return a, b, solve_le_ode(start, a, b, model)


@pytest.mark.parametrize("method", ["projection", "logarithms"])
def test_the_i_model_of_the_reference_is_recovered(method):
    found = estimate_impacts(REFERENCE["XI"], method=method)
    np.testing.assert_allclose(found.intra, REFERENCE["A"], atol=1e-12)
    np.testing.assert_allclose(found.inter, REFERENCE["B"], atol=1e-12)


def test_logarithms_are_the_released_estimator_on_a_random_walk_too():
    found = estimate_impacts(REFERENCE["XR"], method="logarithms")
    np.testing.assert_allclose(found.intra, REFERENCE["R_I_A"], atol=1e-12)
    np.testing.assert_allclose(found.inter, REFERENCE["R_I_B"], atol=1e-12)


@pytest.mark.parametrize("model", ["I", "L"])
@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_impacts_are_recovered_in_both_models(model, classes):
    a, b, means = planted(model, classes, classes)
    found = estimate_impacts(means, model)
    np.testing.assert_allclose(found.intra, a, atol=1e-9)
    np.testing.assert_allclose(found.inter, b, atol=1e-9)
    if model == "I":
        np.testing.assert_allclose(estimate_difference(means), a - b, atol=1e-9)


def released_l_estimator(means):
    """Return A and B as the release estimates them for the L-model with three classes, written as two weightings."""
    along = np.array([[1, -1, -1], [-1, 1, -1], [-2, -2, 0]]) / 2
    across = np.array([[2, -1, -1], [-1, 2, -1], [0, 0, 0]]) / 3
    s = (means * along).sum(axis=(1, 2))
    rest = means - s[:, None, None] / 2 * class_directions(3)
    f = (rest * across).sum(axis=(1, 2))
    g1, g2 = (3 * np.log(np.abs(value / value[0])) for value in (s, f))
    return (g1 + 2 * g2) / 3, (g2 - g1) * 2 / 3


def test_the_released_l_estimator_is_not_consistent():
    for found, expected in zip(released_l_estimator(REFERENCE["XR"]), ("R_L_A", "R_L_B"), strict=True):
        np.testing.assert_allclose(found, REFERENCE[expected], atol=1e-11)
    a, b, means = planted("L", 3, 3)
    intra, inter = released_l_estimator(means)
    assert abs(intra[-1] - a[-1]) > 0.1
    assert abs(inter[-1] - b[-1]) > 0.1


@pytest.mark.parametrize("model", ["I", "L"])
def test_norms_recover_impacts_too_and_do_not_mind_that_means_turn(model):
    a, b, means = planted(model, 4, 4)
    found = estimate_impacts(means, model, method="norms")
    np.testing.assert_allclose(found.intra, a, atol=1e-9)
    np.testing.assert_allclose(found.inter, b, atol=1e-9)
    with pytest.raises(DataError, match="vanishes"):
        estimate_impacts(np.concatenate([means, 0 * means[:1]]), model, method="norms")
    # Turned by half a turn from the second moment on, where projections have no logarithm.
    turned = means * np.where(np.arange(len(means)) > 0, -1, 1)[:, None, None]
    np.testing.assert_allclose(estimate_impacts(turned, model, method="norms").intra, a, atol=1e-9)
    with pytest.raises(DataError, match="turns away"):
        estimate_impacts(turned, model)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.4])
def test_rates_in_doubling_windows_have_the_tail_index_of_the_impact(exponent):
    times = np.arange(1.0, 1025.0)
    moments, rates = window_rates(times, power_law_impact(times, exponent, 0.3), 5)
    assert metrics.tail_index(rates, moments, tail=1.0) == pytest.approx(exponent, abs=1e-10)
    assert moments[-1] == pytest.approx(1024 / np.sqrt(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(4.0), np.arange(4.0), 1), "at least 2"),
        ((np.arange(4.0), np.arange(3.0)), "as many are needed"),
        ((np.arange(3.0, 8.0), np.arange(5.0)), "before the first moment"),
    ],
)
def test_windows_without_sense(arguments, message):
    with pytest.raises((DataError, ParameterError), match=message):
        window_rates(*arguments)


def test_rates_are_the_derivative():
    times = np.arange(0, 2, 1e-3)
    for values, slope, order in ((0.3 * times**2 - times, 0.6 * times - 1, 2), (np.sin(times), np.cos(times), 4)):
        np.testing.assert_allclose(differentiate(values, 1e-3, 21, order), slope, atol=1e-6)


def test_the_whole_way_from_means_to_rates():
    times = np.arange(1, 3, 1e-3)
    a, b = power_law_impact(times, 0.5), power_law_impact(times, 1.5, -0.3)
    start = np.random.default_rng(0).standard_normal((3, 3))
    for model in ("I", "L"):
        found = estimate_impacts(solve_le_ode(start, a, b, model), model)
        np.testing.assert_allclose(differentiate(found.intra, 1e-3, 9, 4), times**-0.5, atol=1e-6)
        np.testing.assert_allclose(differentiate(found.inter, 1e-3, 9, 4), -0.3 * times**-1.5, atol=1e-6)


def released_tail_index(values, last=1000):
    times = np.arange(1, len(values) + 1)[-last:]
    return 1 - np.mean(np.log(values[-last:]) / np.log(times))


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.1])
def test_the_tail_index_is_unbiased_where_the_released_one_is_not(exponent):
    rate, times = REFERENCE[f"tail_in_{exponent}"], np.arange(1.0, 2001.0)
    assert metrics.tail_index(rate, times, tail=0.5) == pytest.approx(exponent, abs=1e-10)
    # Of the rate the release gives 1 + r; it is made for the integral, of which it is off by log(1 - r)/log t.
    assert REFERENCE[f"tail_out_{exponent}"] == pytest.approx(1 + exponent)
    assert released_tail_index(rate) == pytest.approx(1 + exponent)


def test_the_bias_of_the_released_tail_index_is_the_derived_one():
    times = np.arange(1.0, 10_001.0)
    integral = times**0.5 / 0.5
    assert released_tail_index(integral, 1) - 0.5 == pytest.approx(-0.0753, abs=1e-4)
    assert released_tail_index(integral, 1) - 0.5 == pytest.approx(np.log(0.5) / np.log(1e4), rel=1e-10)
    rate = differentiate(integral, 1.0, 21)
    assert metrics.tail_index(rate, times) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_above_one_the_released_tail_index_does_not_tell_sizes_apart(exponent):
    """The integral of t^(-r) converges for r > 1, so log A / log t goes to zero whatever r is; the slope does not."""
    times = np.geomspace(1.0, 1e4, 20_001)
    integral = (1 - times ** (1 - exponent)) / (exponent - 1)
    released = 1 - np.log(integral[-1]) / np.log(times[-1])
    assert released == pytest.approx(1 + np.log(exponent - 1) / np.log(1e4), abs=2e-3)
    assert abs(released - 1) < 0.08
    assert metrics.tail_index(times**-exponent, times) == pytest.approx(exponent, abs=1e-9)


def test_a_vanishing_mean_is_reported_with_what_to_do():
    a, b, means = planted("I", 3, 4)
    centred = means - means.mean(axis=1, keepdims=True)
    with pytest.raises(DataError, match=r"the mean over classes vanishes at the first moment.*estimate_difference"):
        estimate_impacts(centred)
    np.testing.assert_allclose(estimate_difference(centred), a - b, atol=1e-9)
    means[7, 0, 0] = means[7, :, 0].mean()
    means[7, 1:, 0] = means[7, 0, 0]
    with pytest.raises(DataError, match=r"vanishes .moment 7.*method='projection'"):
        estimate_impacts(means, method="logarithms")
    assert np.isfinite(estimate_impacts(means).intra).all()
    with pytest.raises(DataError, match=r"turns away .* .moment 1"):
        estimate_impacts(np.stack([means[0], -means[0]]))
    # The advice is given where it helps: not for the deviations, nor in the L-model, whose deviations tell another sum.
    square = np.stack([np.diag([1.0, -1.0, 0.0])] * 2)
    for estimate in (
        lambda: estimate_difference(np.ones((2, 3, 4))),
        lambda: estimate_impacts(np.ones((2, 3, 4))),
        lambda: estimate_impacts(square, "L"),
    ):
        with pytest.raises(DataError, match="vanishes at the first moment, so that its gain has no logarithm") as error:
            estimate()
        assert "estimate_difference" not in str(error.value)


def test_bad_inputs_are_named():
    means, values = np.ones((5, 3, 2)), np.arange(30.0)
    with pytest.raises(ParameterError, match="1 classes"):
        estimate_impacts(means[:, :1])
    with pytest.raises(ParameterError, match="'I' and 'L' by"):
        estimate_impacts(means, "M")
    with pytest.raises(DataError, match="2 for 3 classes"):
        estimate_impacts(means, "L")
    with pytest.raises(ParameterError, match="by 'projection' or 'norms' only"):
        estimate_impacts(np.ones((5, 3, 3)), "L", method="logarithms")
    for step in (0.0, -1.0, np.nan):
        with pytest.raises(ParameterError, match="is not positive"):
            differentiate(values, step, 5)
    for window, order in ((4, 2), (3, 3), (5, 0)):
        with pytest.raises(ParameterError, match="the window must be odd"):
            differentiate(values, 1.0, window, order)
    with pytest.raises(DataError, match="30 values are fewer than the window of 151"):
        differentiate(values, 1.0, 151)
