"""Tasks on kernels: what they say of planted models whose answer is known."""

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.capabilities import Checkpoint
from lebench.data.base import Split, Variant
from lebench.metrics.base import Missing
from lebench.models.spec import build_model
from lebench.tasks.base import Fit, NotFitted


def split_of(classes=3, n=60, d=4):
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = rng.standard_normal((classes, d))[y] * 3 + rng.standard_normal((n, d))
    return Split(x, y, x.copy(), y.copy(), tuple("abc"[:classes]))


class Kernel:
    """A kernel that is a mixture of the identity on the points and of the labels."""

    def __init__(self, split, share):
        self.split, self.share = split, share

    def gram(self, x1, x2):
        labels = {row.tobytes(): label for row, label in zip(self.split.x_test, self.split.y_test, strict=True)}
        y1, y2 = (np.array([labels[row.tobytes()] for row in x]) for x in (x1, x2))
        same = (x1[:, None] == x2[None]).all(axis=-1)
        return self.share * (np.equal.outer(y1, y2) - 1 / 3) + (1 - self.share) * same

    def similarity(self, x, y, targets, kind="relative", step=None):
        gram = self.gram(x, targets)
        return np.abs(gram) if kind == "relative" else gram

    def predict(self, x):
        return self.gram(x, self.split.x_test) @ np.eye(3)[self.split.y_test]

    def checkpoints(self):
        shares = np.linspace(0, self.share, 5)
        return tuple(Checkpoint(float(10 * k), lambda s=s: Kernel(self.split, s)) for k, s in enumerate(shares))


def test_alignment_of_a_kernel_that_becomes_the_labels():
    split = split_of()
    scored = registry.tasks.get("digits/alignment").score({"default": Fit(split, Kernel(split, 1.0), 0)})
    values = scored.values
    # 30 points are compared: sqrt((C-1)/(n-1)) for the identity, 1 for the labels.
    assert values["centred_target_alignment@start"] == pytest.approx(np.sqrt(2 / 29))
    assert values["centred_target_alignment@end"] == pytest.approx(1)
    assert values["kernel_rotation"] == pytest.approx(1 - np.sqrt(2 / 30))
    assert scored.artifacts["epochs"][0] == 0
    assert scored.artifacts["epochs"][-1] == pytest.approx(40)
    assert (np.diff(scored.artifacts["alignment"]) > 0).all()


def test_the_kernel_of_a_linear_model_stands_still():
    split = Variant(n_train=50).apply(registry.datasets.get("digits").split(0), 0)
    fitted = build_model("linear[epochs=3,min_steps=0]").model.fit(split, 0)
    values = registry.tasks.get("digits/alignment").score({"default": Fit(split, fitted, 0)}).values
    for name in ("kernel_rotation", "kernel_change", "kernel_velocity@first", "kernel_velocity@last"):
        assert values[name] == pytest.approx(0, abs=1e-12)


def test_the_ends_of_the_gap_are_0_and_1():
    task = registry.tasks.get("digits/gap")
    split = task.variants[0].apply(registry.datasets.get("digits").split(0), 0)
    for spec, expected in (("ntk-mlp", 0.0), ("mlp", 1.0)):
        values = task.score({"n=200": Fit(split, build_model(spec).model.fit(split, 0), 0)})
        assert values["gap_closed@elasticity_ratio"] == pytest.approx(expected, abs=1e-9)
        network = values["difference_to_kernel@accuracy-network"]
        assert values["difference_to_kernel@accuracy"] == pytest.approx(expected * network, abs=1e-12)
        # On few digits the kernel is the better classifier: to come down to the network closes no gap.
        assert network < 0
        assert isinstance(values["gap_closed@accuracy"], Missing)


def test_linearized_network_that_cannot_be_trained_is_a_reason_and_the_same_model_disagrees_nowhere():
    split = split_of()
    task = registry.tasks.get("digits/linearization")
    fit = Fit(split, Kernel(split, 0.7), 0)
    same = task.score({"network": fit, "linearized": fit})
    assert same["prediction_disagreement"] == 0
    assert same["cdnv@network"] == same["cdnv@linearized"]
    broken = task.score({"network": fit, "linearized": Fit(split, NotFitted("it diverged"), 0)})
    assert broken["accuracy@linearized"] == Missing("it diverged")
    assert isinstance(broken["prediction_disagreement"], Missing)
    assert broken["accuracy@network"] == same["accuracy@network"]


def test_lazy_training_moves_the_kernel_less():
    """Chizat et al.: the change falls with the output scale, on a small network trained for real."""
    task = registry.tasks.get("digits/laziness")
    digits = registry.datasets.get("digits").split(0)
    model = build_model("mlp[width=128,depth=1]").model
    fits = {}
    for variant in task.variants:
        split = variant.apply(digits, 0)
        fits[variant.name] = Fit(split, model.with_recipe(variant.recipe).fit(split, 0), 0)
    values = task.score(fits)
    assert set(values) == set(task.metrics)
    assert values["kernel_change@a=16"] < values["kernel_change@a=1"] / 4
    assert values["accuracy@a=1"] > 0.8
    failed = task.score(fits | {"a=4": Fit(fits["a=4"].split, NotFitted("it diverged"), 0)})
    assert failed["accuracy@a=4"] == Missing("it diverged")


def test_metrics_between_two_models():
    assert metrics.gap_closed(0.65, 0.6, 0.8) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="no gap to close"):
        metrics.gap_closed(0.5, 0.7, 0.7)
    with pytest.raises(ValueError, match="finite numbers"):
        metrics.difference_to_kernel(float("nan"), 0.0)
    with pytest.raises(ValueError, match="2 labels for 3 points"):
        metrics.prediction_disagreement(np.array([0, 1, 1]), np.array([0, 1]))
