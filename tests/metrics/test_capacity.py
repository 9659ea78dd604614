"""Capacity of two-layer networks: known answers, symmetries, and the released code of Neyshabur et al. 2019."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lebench import metrics
from lebench.errors import DataError

BOUNDS = ("unit_bound", "unit_bound_norms", "two_layer_bound")


def network(seed, h=5, d=4, c=3, m=7):
    rng = np.random.default_rng(seed)
    hidden_init, output_init = rng.standard_normal((h, d)), rng.standard_normal((c, h))
    hidden, output = hidden_init + rng.standard_normal((h, d)), output_init + rng.standard_normal((c, h))
    return hidden, hidden_init, output, output_init, rng.standard_normal((m, d))


def every_value(hidden, hidden_init, output, output_init, inputs, gamma=0.7):
    values = dict(metrics.two_layer_measures(hidden, hidden_init, output, output_init))
    return values | {name: getattr(metrics, name)(hidden, hidden_init, output, inputs, gamma) for name in BOUNDS}


def test_two_by_two_example():
    eye = np.eye(2)
    np.testing.assert_array_equal(metrics.unit_capacity(1.5 * eye, eye), [0.5, 0.5])
    np.testing.assert_array_equal(metrics.unit_impact(eye), [1, 1])
    for gamma in (1.0, 0.25):
        for name in ("unit_bound", "unit_bound_norms"):
            value = getattr(metrics, name)(1.5 * eye, eye, eye, eye, gamma)
            assert value == pytest.approx(10.242640687119284 / gamma, rel=1e-14)


def test_impact_is_of_outgoing_weights_and_capacity_of_incoming_ones():
    np.testing.assert_array_equal(metrics.unit_impact(np.array([[3.0, 0.0], [4.0, 1.0]])), [5, 1])
    np.testing.assert_array_equal(metrics.unit_capacity(np.array([[3.0, 4.0], [0.0, 1.0]]), np.zeros((2, 2))), [5, 1])


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (1, 5), (5, 1), (6, 6)])
def test_the_spectral_norm_is_the_largest_singular_value(shape):
    matrix = np.random.default_rng(0).standard_normal(shape)
    assert metrics.schatten_product([matrix]) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-14)
    assert metrics.schatten_product([1e-9 * matrix]) == pytest.approx(1e-9 * np.linalg.norm(matrix, 2), rel=1e-14)
    assert metrics.schatten_product([0 * matrix]) == 0


@given(seed=st.integers(0, 2**16), h=st.integers(1, 6), d=st.integers(1, 6), c=st.integers(1, 4), m=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_the_second_line_is_never_below_the_first(seed, h, d, c, m):
    hidden, hidden_init, output, _, inputs = network(seed, h, d, c, m)
    first = metrics.unit_bound(hidden, hidden_init, output, inputs, 1.0)
    second = metrics.unit_bound_norms(hidden, hidden_init, output, inputs, 1.0)
    assert first <= second * (1 + 1e-12)


def test_the_lines_are_equal_only_for_units_with_one_ratio():
    eye = np.eye(3)
    unequal = np.diag([1.0, 2.0, 3.0])
    # Impact, capacity and initial output all proportional to 1, 2, 3.
    equal = [getattr(metrics, name)(2 * unequal, unequal, unequal, eye, 1.0) for name in BOUNDS[:2]]
    assert equal[0] == pytest.approx(equal[1], rel=1e-14)
    apart = [getattr(metrics, name)(2 * unequal, unequal, eye, eye, 1.0) for name in BOUNDS[:2]]
    assert apart[0] < 0.95 * apart[1]


@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_order_of_units_rotation_of_inputs_and_rescaling_of_layers_change_nothing(seed, scale):
    hidden, hidden_init, output, output_init, inputs = network(seed)
    rng = np.random.default_rng(seed)
    order, (turn, _) = rng.permutation(len(hidden)), np.linalg.qr(rng.standard_normal((4, 4)))
    expected = every_value(hidden, hidden_init, output, output_init, inputs)
    permuted = every_value(hidden[order], hidden_init[order], output[:, order], output_init[:, order], inputs)
    rescaled = every_value(scale * hidden, scale * hidden_init, output / scale, output_init / scale, inputs)
    turned = every_value(hidden @ turn, hidden_init @ turn, output, output_init, inputs @ turn)
    # Sums of absolute values are bound to the axes: rotation is not among the invariances of this measure.
    turned["capacity_l1_max"] = expected["capacity_l1_max"]
    for values in (permuted, rescaled, turned):
        assert values == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("gamma", [0.0, -0.5])
def test_a_margin_that_is_not_positive_bounds_nothing(gamma):
    hidden, hidden_init, output, output_init, inputs = network(0)
    for name in BOUNDS:
        assert getattr(metrics, name)(hidden, hidden_init, output, inputs, gamma) == math.inf
    values = metrics.effective_capacities(hidden, hidden_init, output, output_init, inputs, gamma)
    assert {name for name, value in values.items() if math.isfinite(value)} == {"vc"}


@pytest.fixture(scope="module")
def released():
    """The network that the released code measured, in float64."""
    with np.load(Path(__file__).parents[1] / "reference" / "capacity_networks.npz") as arrays:
        names = [
            f"{time}.{layer}.{part}" for time in ("init", "final") for layer in (0, 2) for part in ("weight", "bias")
        ]
        weights = {name: arrays[f"two_layer.{name}"].astype(float) for name in names}
    digits = load_digits()
    return weights, digits.data[:200] / 16, digits.target[:200]


#: Printed by the released code.
RELEASED = {
    "Fro_Fro": 78.23751831054688,
    "L1max_L1max": 189.60858154296875,
    "Spec_Dist": 108.0890884399414,
    "Dist_Spec": 156.1814422607422,
    "Spec_L1max_sum": 224.6212158203125,
    "Dist_Fro_sum": 80.63493347167969,
}


def layers(weights):
    return [weights[name] for name in ("final.0.weight", "init.0.weight", "final.2.weight", "init.2.weight")]


def test_measures_equal_the_released_ones(released):
    weights, *_ = released
    ours = metrics.two_layer_measures(*layers(weights))
    assert ours["capacity_l1_max"] == pytest.approx(RELEASED["L1max_L1max"], rel=1e-6)
    assert ours["capacity_frobenius"] == pytest.approx(RELEASED["Fro_Fro"], rel=1e-6)
    assert ours["capacity_spectral_l1"] == pytest.approx(RELEASED["Spec_L1max_sum"], rel=1e-6)
    # The release multiplies one term by sqrt(classes), which the table of the paper does not have.
    without = RELEASED["Spec_Dist"] / math.sqrt(10) + RELEASED["Dist_Spec"]
    assert ours["capacity_spectral_frobenius"] == pytest.approx(without, rel=1e-6)
    # And it leaves out sqrt(h), which the table has; h = 16.
    assert ours["capacity_unit"] == pytest.approx(RELEASED["Dist_Fro_sum"] + 4, rel=1e-6)
    assert ours["capacity_parameters"] == 64 * 16
    # Unit vectors are never printed; the released norms are theirs.
    hidden, hidden_init, output, _ = layers(weights)
    assert np.linalg.norm(metrics.unit_capacity(hidden, hidden_init)) == pytest.approx(8.47311782836914, rel=1e-6)
    assert np.linalg.norm(metrics.unit_impact(output)) == pytest.approx(8.69113540649414, rel=1e-6)


def test_margin_equals_the_released_one(released):
    weights, x, y = released
    scores = np.maximum(x @ weights["final.0.weight"].T + weights["final.0.bias"], 0)
    scores = scores @ weights["final.2.weight"].T + weights["final.2.bias"]
    assert metrics.margin(scores, y, percentile=5) == pytest.approx(3.678739070892334, rel=1e-6)


@pytest.mark.parametrize(
    ("gamma", "l1_max_50", "l1_max_200", "frobenius", "spectral_l1", "spectral_frobenius", "unit"),
    [
        (3.678739070892334, 5701718.5, 1436723.5, 4431572.0, 4141279346688.0, 298771906560.0, 4667915.5),
        (1.0, 76718384.0, 19220964.0, 59581936.0, 56044143247360.0, 4043316658176.0, 61971768.0),
        (0.1, 7656959488.0, 1914653184.0, 5945082368.0, 5604404040302592.0, 404331576688640.0, 6157472256.0),
    ],
)
def test_bounds_equal_the_released_ones(
    released, gamma, l1_max_50, l1_max_200, frobenius, spectral_l1, spectral_frobenius, unit
):
    weights, x, _ = released
    measured = layers(weights)
    options = {"hidden_bias_init": weights["init.0.bias"], "parameters": 1210}
    ours = metrics.effective_capacities(*measured, x, gamma, **options)
    assert ours["vc"] == pytest.approx(2289635.387670798, rel=1e-12)
    assert ours["frobenius"] == pytest.approx(frobenius, rel=1e-5)
    assert ours["spectral_l1"] == pytest.approx(spectral_l1, rel=1e-5)
    assert ours["unit"] == pytest.approx(unit, rel=1e-5)
    # The release adds the squared largest pixel of every batch and divides by the points, so that the bound depends on
    # the batch size: with b batches it is ours for inputs that are sqrt(b/m) as large.
    for batches, expected in ((4, l1_max_50), (1, l1_max_200)):
        shrunk = metrics.effective_capacities(*measured, math.sqrt(batches / 200) * x, gamma, **options)
        assert shrunk["l1_max"] == pytest.approx(expected, rel=1e-5)
    # The release multiplies once more by ||U||_2, by which its bound changes under a rescaling that leaves f unchanged.
    confidence, extra = 6 * math.log(2 * 200 / 0.01), np.linalg.norm(measured[0], 2) ** 2
    assert extra * (ours["spectral_frobenius"] - confidence) + confidence == pytest.approx(spectral_frobenius, rel=1e-5)


def test_bounds_by_spectral_norms_are_zero_at_initialization_but_for_their_slack(released):
    weights, x, _ = released
    start = [weights[name] for name in ("init.0.weight", "init.0.weight", "init.2.weight", "init.2.weight")]
    ours = metrics.effective_capacities(*start, x, 1.0, hidden_bias_init=weights["init.0.bias"], parameters=1210)
    assert ours["spectral_l1"] == pytest.approx(42.83296203613281, rel=1e-5)
    assert ours["spectral_frobenius"] == pytest.approx(63.57980728149414, rel=1e-5)
    assert ours["unit"] == pytest.approx(23338.4140625, rel=1e-5)


def test_arrays_that_do_not_fit():
    hidden, hidden_init, output, output_init, inputs = network(0)
    for call, message in (
        (lambda: metrics.capacity_frobenius(hidden, output.T), r"\(classes, units\) and \(units, inputs\)"),
        (lambda: metrics.capacity_unit(hidden, hidden_init[:2], output), "initial hidden weights .* the same layer"),
        (lambda: metrics.unit_bound(hidden, hidden_init, output, inputs.T, 1.0), r"\(points, 4\) is needed"),
        (lambda: metrics.unit_bound(hidden, hidden_init, output, inputs, math.nan), "gamma is nan"),
        (lambda: metrics.unit_impact(np.zeros((3, 0))), "empty"),
        (lambda: metrics.unit_capacity(hidden * np.nan, hidden), "NaN or infinity"),
        (
            lambda: metrics.effective_capacities(hidden, hidden_init, output, output_init, inputs, 1.0, delta=1.0),
            "delta is 1.0",
        ),
        (
            lambda: metrics.effective_capacities(hidden, hidden_init, output, output_init, inputs, 1.0, parameters=0),
            "parameters is 0",
        ),
        (
            lambda: metrics.effective_capacities(
                hidden, hidden_init, output, output_init, inputs, 1.0, hidden_bias_init=np.zeros(3)
            ),
            "initial biases have shape",
        ),
    ):
        with pytest.raises(DataError, match=message):
            call()
