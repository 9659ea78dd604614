"""The GeoMNIST tasks on planted runs of locally elastic differential equations, and on a network."""

import numpy as np
import pytest

from lebench import registry
from lebench.capabilities import Checkpoint, Trajectory
from lebench.data.base import Split
from lebench.dynamics import noisy_loss, power_law_impact, solve_le_ode
from lebench.metrics.base import Missing
from lebench.models.spec import build_model
from lebench.tasks import geomnist, geomnist_noise
from lebench.tasks.base import Fit

NAMES = ("a", "b", "c")
LABELS = np.tile(np.arange(3), 20)
SPLIT = Split(LABELS[:, None].astype(float), LABELS, LABELS[:, None].astype(float), LABELS, NAMES)
TIMES = np.linspace(0, 32, 513)


class Planted:
    """Every point has the scores of its class mean."""

    def __init__(self, means, times=TIMES):
        self.means, self.times = means, times

    def trajectory(self):
        probe = np.arange(len(LABELS))
        zeros = np.zeros(len(self.times))
        return Trajectory(self.times, zeros, zeros, probe, self.means[:, LABELS[probe]])

    def predict(self, x):
        return self.means[-1][x[:, 0].astype(int)]

    def predict_proba(self, x):
        scores = np.exp(self.predict(x) - self.predict(x).max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def checkpoints(self):
        return tuple(Checkpoint(time, lambda m=m: Planted(self.means[m : m + 1])) for m, time in enumerate(self.times))


def fits(*courses, names=("run 0", "run 1", "run 2")):
    return {name: Fit(SPLIT, Planted(course), 0) for name, course in zip(names, courses, strict=True)}


def impacts(exponent=0.5):
    late = power_law_impact(TIMES[1:], exponent, 0.8)
    return np.concatenate([[0.0], late + 0.1]), np.concatenate([[0.0], -0.25 * late - 0.05])


@pytest.mark.parametrize("exponent", [0.5, 1.2])
def test_impacts_and_their_tail_are_those_that_were_planted(exponent):
    a, b = impacts(exponent)
    start = np.random.default_rng(0).standard_normal((3, 3))
    found = geomnist.score_dynamics(fits(*[solve_le_ode(start, a, b)] * 3))
    values = found.values
    assert set(values) == set(registry.tasks.get("geomnist/dynamics").metrics)
    assert values["integrated_impact@intra-I"] == pytest.approx(a[-1], rel=1e-9)
    assert values["integrated_impact@inter-I"] == pytest.approx(b[-1], rel=1e-9)
    assert values["impact_difference@I"] == pytest.approx(a[-1] - b[-1], rel=1e-9)
    assert values["le_alpha_beta_gap@I"] == 1
    for name in ("difference", "intra", "inter"):
        assert values[f"tail_index@{name}-I"] == pytest.approx(exponent, abs=1e-9)
    np.testing.assert_allclose(found.artifacts["intra_i"], a, atol=1e-9)


def test_runs_with_the_same_impacts_are_imitated_exactly_in_their_own_model_only():
    a, b = impacts()
    rng = np.random.default_rng(1)
    starts = [rng.standard_normal((3, 3)) + 2 * np.eye(3) for _ in range(3)]
    for model, other in (("I", "L"), ("L", "I")):
        values = geomnist.score_imitation(fits(*[solve_le_ode(start, a, b, model) for start in starts]))
        # The mean of two runs of the linear equation is a run of it.
        assert values[f"imitation_error@{model}"] < 1e-9
        assert values[f"imitation_error@{other}"] > 0.05
        assert values["imitation_error@copied"] > 0.05


def test_the_l_model_ends_in_the_simplex():
    a = np.linspace(0, 60, len(TIMES))
    start = np.random.default_rng(2).standard_normal((3, 3)) + np.eye(3)
    course = solve_le_ode(start, a, -a / 2, "L")
    found = geomnist.score_collapse({"run 0": Fit(SPLIT, Planted(course), 0)})
    assert found.values["nc2_equiangular@scores"] < 1e-6
    assert found.values["nc2_equinorm@scores"] < 1e-6
    assert found.values["separation@test"] == found.values["accuracy"] == 1
    assert isinstance(found.values["nc1_pinv_over_C@features"], Missing)
    gaps = found.artifacts["nc2_equiangular"]
    assert gaps[-1] < 1e-6 < gaps[0]


def test_label_noise_finds_the_crossing_and_the_tail():
    a, b = impacts()
    start = np.eye(3) + 0.1
    courses = [solve_le_ode(sign * start, a, b) for sign in (1, 1, 1, 1, 1, -1, -1)]
    names = [f"p={p:g}" for p in geomnist_noise._SHARES]
    found = geomnist_noise.score_label_noise(fits(*courses, names=names))
    assert set(found.values) == set(registry.tasks.get("geomnist/noise-transition").metrics)
    # Accuracy is 1 up to 0.6 and 0 from 0.7: a third is reached at two thirds of the way.
    assert found.values["noise_crossing"] == pytest.approx(0.6 + 0.1 * 2 / 3)
    assert found.values["tail_index@p=0.4"] == pytest.approx(0.5, abs=1e-9)
    assert found.values["log_loss@p=0"] < found.values["log_loss@p=0.8"]


def test_a_class_that_nobody_followed_is_named():
    course = Trajectory(np.zeros(1), np.zeros(1), np.zeros(1), np.array([0, 1]), np.zeros((1, 2, 3)))
    with pytest.raises(geomnist.DataError, match="class c was followed"):
        geomnist.class_courses(course, SPLIT)


def test_variants_are_single_sample_steps_and_tasks_share_their_runs():
    dynamics, imitation = (registry.tasks.get(f"geomnist/{name}") for name in ("dynamics", "imitation"))
    assert [v.key for v in dynamics.variants] == [v.key for v in imitation.variants]
    assert registry.tasks.get("geomnist/simplex").variants[0].key == dynamics.variants[0].key
    model = build_model("linear").model.with_recipe(dynamics.variants[0].recipe)
    assert (model.recipe.batch_size, model.recipe.momentum, model.recipe.lr_at(0.9)) == (1, 0, 0.001)


@pytest.mark.slow
def test_a_network_crosses_chance_where_theory_says():
    task = registry.tasks.get("geomnist/noise-transition")
    model = build_model("linear").model
    made = {}
    split = registry.datasets.get("geomnist").split(0)
    for variant in task.variants:
        own = variant.apply(split, 0)
        made[variant.name] = Fit(own, model.with_recipe(variant.recipe).fit(own, 0), 0)
    values = task.score(made).values
    assert 0.6 <= values["noise_crossing"] <= 0.72
    assert values["accuracy@p=0.8"] < 1 / 3
    # No better on true labels than a learner that is calibrated on the wrong ones or, beyond 2/3, a uniform guess.
    for p in (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8):
        assert values[f"log_loss@p={p:g}"] > noisy_loss(p, 3) - 0.02
