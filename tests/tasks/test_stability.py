"""The stability tasks on planted fits and on kernel machines, whose leave-one-out is known in closed form."""

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.data.base import Split
from lebench.tasks.base import Fit, Scored

BOUND, SENSITIVITY = "digits/stability", "digits/class-sensitivity"


def planted_split(n=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = np.eye(classes)[y] + 0.6 * rng.standard_normal((n, classes))
    return Split(x[: n // 2], y[: n // 2], x[n // 2 :], y[n // 2 :], ("a", "b", "c")[:classes])


class LastLayer:
    """Offers features, and a Gram matrix that must not be used in their place."""

    def __init__(self, width=4):
        self.map = np.random.default_rng(1).standard_normal((3, width))

    def features(self, x):
        return np.tanh(x @ self.map)

    def head(self):
        raise AssertionError("only the features are needed")

    def gram(self, x1, x2):
        raise AssertionError("the last layer stands for the network")


class Kernel:
    def gram(self, x1, x2):
        return np.exp(-((x1[:, None] - x2[None]) ** 2).sum(axis=2))


def losses(predicted, y, classes=3):
    return np.minimum(((predicted - (np.eye(classes)[y] - 1 / classes)) ** 2).sum(axis=1) / 2, 1.0)


def test_bound_of_the_last_layer_is_that_of_refitted_ridge_regression():
    split, fitted = planted_split(), LastLayer()
    found = registry.tasks.get(BOUND).score({"n=500": Fit(split, fitted, 0)})
    x, z = (np.column_stack([fitted.features(p), np.ones(len(p))]) for p in (split.x_train, split.x_test))
    y = np.eye(3)[split.y_train] - 1 / 3
    ridge = 0.01 * (x**2).sum(axis=1).mean()

    def refit(keep, points):
        return points @ np.linalg.solve(x[keep].T @ x[keep] + ridge * np.eye(5), x[keep].T @ y[keep])

    everybody = np.ones(len(x), dtype=bool)
    full = losses(refit(everybody, z), split.y_test)
    changes = np.array([np.abs(losses(refit(np.arange(30) != i, z), split.y_test) - full) for i in range(30)])
    assert found["elastic_stability"] == pytest.approx(30 * changes.mean(axis=1).max(), rel=1e-8)
    assert found["uniform_stability"] == pytest.approx(30 * changes.max(), rel=1e-8)
    gap = full.mean() - losses(refit(everybody, x), split.y_train).mean()
    assert found["loss_gap"] == pytest.approx(gap, rel=1e-8)


@pytest.mark.parametrize("fitted", [LastLayer(), Kernel()], ids=["features", "gram"])
def test_elastic_is_at_most_uniform_and_the_gap_is_below_both_bounds(fitted):
    task = registry.tasks.get(BOUND)
    for seed in range(5):
        found = task.score({"n=500": Fit(planted_split(seed=seed), fitted, seed)})
        assert set(found) == set(task.metrics)
        assert 0 < found["elastic_stability"] <= found["uniform_stability"]
        ratio = found["elastic_stability"] / found["uniform_stability"]
        assert found["elastic_to_uniform_ratio"] == pytest.approx(ratio, rel=1e-12)
        assert found["loss_gap"] <= min(found["elastic_bound"], found["uniform_bound"])


def retrained(model):
    """The fits of the class-sensitivity task, on real digits."""
    split = registry.datasets.get("digits").split(0)
    parts = {variant.name: variant.apply(split, 0) for variant in registry.tasks.get(SENSITIVITY).variants}
    return {name: Fit(part, model.fit(part, 0), 0) for name, part in parts.items()}


def test_variants_differ_in_one_point_or_in_nothing():
    split = registry.datasets.get("digits").split(3)
    parts = {variant.name: variant.apply(split, 3) for variant in registry.tasks.get(SENSITIVITY).variants}
    whole = parts.pop("whole")
    again = parts.pop("again")
    np.testing.assert_array_equal(again.y_train, whole.y_train)
    np.testing.assert_array_equal(again.x_train, whole.x_train)
    assert len({variant.key for variant in registry.tasks.get(SENSITIVITY).variants}) == len(parts) + 2
    for i, part in enumerate(parts.values()):
        assert part.removed == i
        np.testing.assert_array_equal(part.x_train, np.delete(whole.x_train, i, axis=0))


def test_retraining_a_kernel_machine_is_its_closed_form():
    fits = retrained(registry.models.get("rbf")())
    whole = fits["whole"]
    ridges = {fit.fitted.regression.ridge for fit in fits.values()}
    assert len(ridges) == 1, "the ridge depends on the point: the closed form holds for a fixed one"
    x, split = whole.split.x_train, whole.split
    exact = metrics.leave_one_out_kernel_ridge(
        whole.fitted.gram(x, x), np.eye(10)[split.y_train] - 0.1, whole.fitted.gram(split.x_test, x), ridges.pop()
    )
    k = len(fits) - 2
    changes, removed = metrics.prediction_changes(exact.full, exact.without)[:k], split.y_train[:k]
    found = registry.tasks.get(SENSITIVITY).score(fits)
    assert isinstance(found, Scored)
    expected = metrics.class_sensitivity_matrix(changes, removed, split.y_test)
    np.testing.assert_allclose(found.artifacts["sensitivity"], expected, rtol=1e-6)
    np.testing.assert_array_equal(found.artifacts["removed_classes"], np.unique(removed))
    score = metrics.class_sensitivity(changes, removed, split.y_test)
    assert found.values["class_sensitivity"] == pytest.approx(score, rel=1e-6)
    assert found.values["class_sensitivity"] > 2
    assert found.values["removal_change@nothing"] == 0
    assert "not probabilities" in found.values["class_sensitivity@probabilities"].reason


def test_a_model_without_elasticity_scores_one():
    """The class frequencies change alike whatever the input."""
    found = registry.tasks.get(SENSITIVITY).score(retrained(registry.models.get("constant")())).values
    assert found["class_sensitivity"] == pytest.approx(1, rel=1e-12)
    assert found["class_sensitivity@probabilities"] == pytest.approx(1, rel=1e-12)


def test_where_nothing_changes_the_score_is_missing():
    class Deaf:
        def predict(self, x):
            return np.zeros((len(x), 10))

    split = registry.datasets.get("digits").split(0)
    parts = {variant.name: variant.apply(split, 0) for variant in registry.tasks.get(SENSITIVITY).variants}
    found = registry.tasks.get(SENSITIVITY).score({name: Fit(part, Deaf(), 0) for name, part in parts.items()}).values
    assert found["removal_change@removed"] == 0
    assert "nothing changes" in found["class_sensitivity"].reason
    assert "nothing changes" in found["class_sensitivity_loss"].reason
