"""The kept grid of networks, the measures on it, and the scores of measures whose quality is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.data.measure_grid import AXES, SEEDS, load_grid
from lebench.models.measure import FittedMeasure, Measure, measure
from lebench.tasks.base import Fit
from lebench.tasks.measures import score_measures

MEASURES = sorted(item.name for item in registry.models.items() if "measure" in item.tags)


def _scores(function, seed=0):
    return score_measures({"default": Fit(registry.datasets.get("digits").split(seed), FittedMeasure(function), seed)})


def test_errors_in_the_file_are_those_of_its_networks():
    grid = load_grid()
    for network in grid[:: len(grid) // 12]:
        assert network.measured_errors() == (network.train_error, network.test_error)
        scores, y = network.train_scores, network.split.y_train
        shifted = scores - scores.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]
        # The loss was looked at before rounding to half precision.
        assert losses.mean() < 0.0105


def test_scores_are_those_on_the_dataset_that_has_the_name_at_the_time(monkeypatch):
    usual, digits = load_grid()[0].train_scores, registry.datasets.get("digits")
    with monkeypatch.context() as patched:
        patched.setitem(registry.datasets._objects, "digits", replace(digits, standardized=False))
        assert not np.array_equal(load_grid()[0].train_scores, usual)
    np.testing.assert_array_equal(load_grid()[0].train_scores, usual)


def test_every_setting_is_there_and_seeds_share_their_start():
    grid = load_grid()
    assert {network.seed for network in grid} == set(SEEDS)
    for axis, values in AXES.items():
        assert {network.setting[axis] for network in grid} == set(values)
    assert len(grid) == 288
    one, two = [n for n in grid if n.seed == 1 and n.setting["width"] == 16 and n.setting["depth"] == 2][:2]
    assert all(map(np.array_equal, one.initial_weights, two.initial_weights))
    assert not np.array_equal(one.weights[0], two.weights[0])


def test_networks_are_those_of_the_registered_model():
    network = next(n for n in load_grid() if n.seed == 2 and n.setting["width"] == 64 and n.setting["depth"] == 1)
    start = registry.models.get("mlp")(width=64, depth=1).with_recipe((("epochs", 0),)).fit(network.split, 2)
    for layer, weight in zip(start.weights(), network.initial_weights, strict=True):
        np.testing.assert_allclose(layer.weight, weight, rtol=1e-3, atol=1e-4)


def test_the_gap_itself_is_a_perfect_measure_and_its_opposite_the_worst():
    perfect = _scores(lambda network: network.gap)
    for name in ("kendall_tau", "granulated_tau"):
        opposite = _scores(lambda network: -network.gap).values[name]
        assert perfect.values[name] == pytest.approx(-opposite)
        # Less than 1 only by pairs of networks with equal gaps.
        assert perfect.values[name] > 0.85
    assert perfect.values["conditional_information"] == pytest.approx(1)
    assert perfect.values["sign_error_worst"] == 0
    assert _scores(lambda network: -network.gap).values["sign_error"] == 1


def test_a_constant_orders_nothing():
    values = _scores(lambda network: 1.0).values
    assert values["granulated_tau"] == values["kendall_tau"] == values["conditional_information"] == 0
    assert values["sign_error"] == 0.5


def test_a_measure_of_one_hyper_parameter_has_only_its_own_tau():
    values = _scores(lambda network: -network.setting["n_train"]).values
    assert values["granulated_tau@n_train"] > 0.9
    assert all(values[f"granulated_tau@{axis}"] == 0 for axis in AXES if axis != "n_train")
    # Given that hyper-parameter nothing is left to tell.
    assert values["conditional_information"] == 0


def test_infinite_values_are_ordered_and_not_pictured():
    scored = _scores(lambda network: math.inf if network.setting["n_train"] == 60 else 1.0)
    assert scored.values["granulated_tau@n_train"] > 0.9
    assert np.isfinite(scored.artifacts["measure"]).all()


@pytest.mark.parametrize("name", MEASURES)
def test_measures_give_numbers(name):
    model = registry.models.get(name)()
    assert isinstance(model, Measure)
    values = [model.fit(None, 0).complexity(network) for network in load_grid()[::40]]
    assert all(isinstance(value, float) and not math.isnan(value) for value in values)


def test_measures_are_the_metrics():
    network = load_grid()[0]
    found = {name: registry.models.get(name)().function(network) for name in MEASURES}
    gamma = metrics.margin(network.train_scores, network.split.y_train, 10)
    complexity = metrics.spectral_complexity(network.weights, network.initial_weights)
    n = len(network.split.y_train)
    assert found["measure-spectral-bound"] == pytest.approx(complexity / (gamma * math.sqrt(n)))
    assert found["measure-path"] == metrics.path_norm(network.weights, biases=network.biases)
    assert found["measure-inverse-margin"] == pytest.approx(1 / gamma)


def test_a_measure_of_ones_own(own_registries):
    @measure("measure-toy")
    def toy(network):
        """Largest weight."""
        return max(float(np.abs(w).max()) for w in network.weights)

    assert registry.models.get("measure-toy")().fit(None, 0).complexity(load_grid()[0]) == toy(load_grid()[0])
    assert registry.models.item("measure-toy").summary == "Largest weight"
    with pytest.raises(Exception, match="without a docstring"):
        measure("measure-mute")(lambda network: 0.0)
