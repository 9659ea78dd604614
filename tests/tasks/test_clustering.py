"""Clustering of hidden digits on planted fits, whose scores are known."""

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.data.base import Split
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.runner.plan import make_plan
from lebench.tasks.base import Fit, NotFitted, Scored

LEARNING_RATE = registry.tasks.get("digits/learning-rate")
MNIST = registry.tasks.get("mnist/clustering-5v8")
RATES = tuple(variant.name for variant in LEARNING_RATE.variants)
DIVERGED = NotFitted("training diverged by epoch 1: the loss is nan")


def planted_split(per_class=70):
    """Four digits merged into two labels; the last coordinates are far larger than the digit and say nothing of it."""
    fine = np.tile(np.arange(4), per_class)
    noise = np.random.default_rng(0).normal(size=(len(fine), 7)) * 20
    x, y = np.column_stack([fine, noise]), (fine > 1).astype(np.int64)
    return Split(x, y, x, y, ("aux", "primary"), fine, fine)


class Planted:
    """Each similarity sees the digit in the first coordinate, or another coordinate that is independent of it."""

    def __init__(self, relative=True, kernel=True, zero=False):
        self.sees, self.zero = {"relative": relative, "kernel": kernel}, zero

    def predict(self, x):
        return np.eye(2)[(x[:, 0] > 1).astype(int)]

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        assert set(labels) == {1}
        if self.zero:
            raise DataError("similarity is undefined for source 0: the change of its own scores is zero")
        if self.sees[kind]:
            same = sources[:, :1] == targets[None, :, 0]
        else:
            same = (sources[:, 1:2] > 0) == (targets[None, :, 1] > 0)
        return np.where(same, 0.9, 0.1)


class WithFeatures(Planted):
    def features(self, x):
        return x[:, :1]

    def head(self):
        return np.zeros((2, 1)), np.zeros(2)


def values_of(task, fits):
    scored = task.score(fits)
    values = scored.values if isinstance(scored, Scored) else scored
    assert set(values) == set(task.metrics)
    return values


def rates(models):
    split = planted_split()
    return values_of(LEARNING_RATE, {rate: Fit(split, models.get(rate, DIVERGED), 0) for rate in RATES})


def test_dependence_on_the_learning_rate_is_shown():
    values = rates({"x0.1": Planted(relative=False), "x0.2": Planted(), "x0.5": Planted(kernel=False)})
    assert values["adjusted_rand_index@x0.2"] == values["adjusted_rand_index@x0.5"] == 1
    assert values["clustering_accuracy_corrected@x0.2"] == 1
    assert abs(values["adjusted_rand_index@x0.1"]) < 0.1
    assert values["adjusted_rand_index@kernel-x0.1"] == values["adjusted_rand_index@kernel-x0.2"] == 1
    assert abs(values["adjusted_rand_index@kernel-x0.5"]) < 0.1
    assert values["accuracy@x0.1"] == 1
    assert values["adjusted_rand_index@best"] == 1
    assert values["adjusted_rand_index@worst"] == values["adjusted_rand_index@x0.1"]
    assert values["spread@rates"] == pytest.approx(1 - values["adjusted_rand_index@x0.1"])
    assert values["spread@kernel-rates"] == pytest.approx(1 - values["adjusted_rand_index@kernel-x0.5"])


def test_rate_at_which_training_diverges_is_missing_with_the_reason():
    values = rates({"x0.1": Planted()})
    assert values["adjusted_rand_index@x0.1"] == 1
    for name in ("adjusted_rand_index", "clustering_accuracy_corrected", "accuracy"):
        assert values[f"{name}@x3"] == Missing(DIVERGED.reason)
    assert values["spread@rates"] == Missing("fewer than two learning rates have a value")
    values = rates({})
    assert values[LEARNING_RATE.primary] == values["adjusted_rand_index@features"] == Missing(DIVERGED.reason)


def test_network_whose_units_are_dead_has_no_clustering_but_an_accuracy():
    values = rates({"x0.1": Planted(), "x1": WithFeatures(zero=True)})
    for name in ("adjusted_rand_index@x1", "clustering_accuracy_corrected@x1", "adjusted_rand_index@kernel-x1"):
        assert values[name].reason.startswith("similarity is undefined")
    assert values["accuracy@x1"] == 1


def test_baselines_need_no_similarity():
    values = rates({"x0.1": WithFeatures(relative=False)})
    # What is large in the inputs says nothing of the digit; the features are the digit.
    for name in ("pixels", "pca", "autoencoder"):
        assert abs(values[f"adjusted_rand_index@{name}"]) < 0.1
    assert values["adjusted_rand_index@features"] == 1
    without = rates({"x0.1": Planted()})
    assert without["adjusted_rand_index@features"] == Missing("the model has no features")
    assert without["adjusted_rand_index@autoencoder"] == values["adjusted_rand_index@autoencoder"]


def test_baselines_find_digits_that_lie_far_apart():
    split = planted_split()
    x = split.x_train * 0.01
    # The digit in three coordinates, so that it is the direction of largest variance.
    x[:, :3] = split.fine_train[:, None]
    fits = {
        rate: Fit(Split(x, split.y_train, x, split.y_train, ("a", "b"), split.fine_train), Planted(), 0)
        for rate in RATES
    }
    values = values_of(LEARNING_RATE, fits)
    for name in ("pixels", "pca", "autoencoder"):
        assert values[f"adjusted_rand_index@{name}"] == 1


def test_mnist_clusters_by_both_similarities_and_keeps_the_matrix():
    fit = Fit(planted_split(), Planted(kernel=False), 0)
    values = values_of(MNIST, {"5v8": fit})
    assert values["adjusted_rand_index@5v8"] == values["accuracy"] == 1
    assert abs(values["adjusted_rand_index@kernel-5v8"]) < 0.1
    kept = MNIST.score({"5v8": fit}).artifacts
    assert list(kept["labels"]) == [5] * 50 + [8] * 50
    assert np.array_equal(kept["similarity"], np.kron([[0.9, 0.1], [0.1, 0.9]], np.ones((50, 50))))
    assert MNIST.score({"5v8": Fit(planted_split(), Planted(zero=True), 0)}).artifacts == {}


def test_network_that_diverges_on_mnist_is_missing_with_the_reason_and_the_baselines_stand():
    scored = MNIST.score({"5v8": Fit(planted_split(), DIVERGED, 0)})
    assert scored.values["adjusted_rand_index@5v8"] == Missing(DIVERGED.reason)
    assert set(scored.values) == set(MNIST.metrics)
    assert isinstance(scored.values["adjusted_rand_index@pixels"], float)
    assert not scored.artifacts


def test_learning_rates_are_for_models_that_have_one():
    plan = make_plan(["digits/learning-rate"], ["mlp", "rbf", "constant"], [0])
    assert [job.label for job in plan.jobs] == ["mlp"]
    reasons = {cell.label: cell.unmet for cell in plan.skipped}
    assert reasons["rbf"] == "varies how a network is trained, and the model is not trained step by step"
    assert reasons["constant"] == "needs the capability similarity, which the model does not offer"


def test_similarity_reveals_real_digits_more_or_less():
    """The whole way on real data, at one rate: what is scored is what a fit by hand gives."""
    variant = LEARNING_RATE.variants[RATES.index("x0.1")]
    split = variant.apply(registry.datasets.get("digits").split(0), 0)
    fitted = registry.models.get("mlp")(width=64).with_recipe((*variant.recipe, ("epochs", 5))).fit(split, 0)
    fits = {rate: Fit(split, fitted if rate == "x0.1" else DIVERGED, 0) for rate in RATES}
    values = values_of(LEARNING_RATE, fits)
    # Pixels tell the 5 from the 8 of these digits well; so does a network that has hardly moved.
    assert values["adjusted_rand_index@pixels"] > 0.8
    assert values["adjusted_rand_index@x0.1"] > 0.5
    assert values["clustering_accuracy_corrected@x0.1"] > 0.5


def test_spread_is_refused_without_scores():
    assert metrics.spread(np.array([0.5])) == 0
    with pytest.raises(DataError, match="scores have shape"):
        metrics.spread(np.array([]))
    with pytest.raises(DataError, match="scores contain NaN"):
        metrics.spread(np.array([0.5, np.nan]))
