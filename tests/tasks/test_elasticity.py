"""The elasticity tasks on planted similarities, and on models that know no labels."""

from dataclasses import replace

import numpy as np
import pytest

from lebench import registry
from lebench.capabilities import Checkpoint
from lebench.data.base import Split
from lebench.models.spec import build_model
from lebench.tasks.base import Fit

CLASSES = 10


class Block:
    """Similarity within and between the values of the first coordinate; the signed one has the opposite sign."""

    def __init__(self, within, between):
        self.within, self.between = within, between

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        similar = np.where(sources[:, :1] == targets[None, :, 0], self.within, self.between)
        return similar if kind == "relative" else -similar


class Trained:
    def checkpoints(self):
        # Times 2^k - 1 are even steps in log(1 + time).
        return tuple(Checkpoint(2.0**k - 1, lambda k=k: Block(0.5 + 0.04 * k, 0.5 - 0.04 * k)) for k in range(11))


def test_growth_of_a_similarity_that_sharpens_with_every_step():
    y = np.tile(np.arange(CLASSES), 20)
    x = np.column_stack([y, np.arange(len(y))]).astype(float)
    task = registry.tasks.get("digits/over-training")
    scored = task.score({"default": Fit(Split(x, y, x, y, tuple("0123456789")), Trained(), 0)})
    assert set(scored.values) == set(task.metrics)
    assert list(scored.artifacts["epochs"]) == [0, 3, 15, 63, 255, 1023]
    assert scored.artifacts["difference"] == pytest.approx([0, 0.16, 0.32, 0.48, 0.64, 0.8])
    assert scored.values["elasticity_ratio@start"] == pytest.approx(0.5)
    assert scored.values["elasticity_ratio@t=0.4"] == pytest.approx(0.66)
    assert scored.values["elasticity_growth@ratio"] == pytest.approx(0.4)
    assert scored.values["elasticity_growth@difference"] == pytest.approx(0.8)
    assert scored.values["elasticity_growth@signed-difference"] == pytest.approx(-0.8)


def test_the_last_stage_repeats_where_training_is_too_short_for_six():
    from lebench.tasks.elasticity import stages

    assert list(stages(np.array([0.0]))) == [0] * 6
    assert list(stages(np.array([0.0, 1.0]))) == [0, 0, 0, 1, 1, 1]


def systems(model, seed=0):
    task, whole = registry.tasks.get("elasticity/label-systems"), registry.datasets.get("two-factor").split(seed)
    splits = {variant.name: variant.apply(whole, seed) for variant in task.variants}
    return {name: Fit(split, model.fit(split, seed), seed) for name, split in splits.items()}


def score_systems(fits):
    task = registry.tasks.get("elasticity/label-systems")
    scored = task.score(fits)
    assert set(scored.values) == set(task.metrics)
    return scored


class FollowsLabels:
    """Points of the class trained on have similarity 1, others 0."""

    def fit(self, split, seed):
        self.classes = split.classes
        return self

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        return np.equal.outer(labels, labels).astype(float)

    def predict(self, x):
        return np.eye(self.classes)[np.zeros(len(x), int)]


def test_a_similarity_that_is_the_label_follows_both_systems():
    scored = score_systems(systems(FollowsLabels()))
    for name in ("first", "second", "mean"):
        assert scored.values[f"label_following@{name}"] == 1
    assert scored.values["accuracy@first"] == 0.5
    # Cells in the order of the data: low-low, low-high, high-low, high-high.
    assert scored.artifacts["cells_first"].tolist() == np.kron(np.eye(2), np.ones((2, 2))).tolist()
    assert scored.artifacts["cells_second"].tolist() == np.kron(np.ones((2, 2)), np.eye(2)).tolist()


@pytest.mark.parametrize("spec", ["rbf", "random-features"])
def test_a_kernel_that_knows_no_labels_is_the_same_under_both_and_does_not_shift_at_all(spec):
    fits = systems(build_model(spec).model)
    x = fits["first"].split.x_test
    assert np.array_equal(x, fits["second"].split.x_test)
    assert np.array_equal(fits["first"].fitted.gram(x, x), fits["second"].fitted.gram(x, x))
    values = score_systems(fits).values
    assert values["label_following@mean"] == 0
    assert values["label_following@mean-relative"] == 0


def test_training_turns_the_similarity_of_a_network_towards_the_labels():
    """Chen, He & Su 2020, in each system; with permuted labels there is nothing to follow."""
    network = build_model("mlp[width=64,epochs=12,min_steps=0]").model
    fits = systems(network)
    values = score_systems(fits).values
    assert values["accuracy@first"] > 0.95
    assert min(values["label_following@first"], values["label_following@second"]) > 0.1
    permuted = {}
    for name, fit in fits.items():
        labels = np.random.default_rng(0).permutation(fit.split.y_train)
        permuted[name] = replace(fit, fitted=network.fit(replace(fit.split, y_train=labels), 0))
    assert abs(score_systems(permuted).values["label_following@mean"]) < 0.05
