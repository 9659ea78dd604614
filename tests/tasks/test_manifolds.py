"""The tasks on manifolds on a planted model whose similarity is minus the distance."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.manifolds import MANIFOLDS
from lebench.tasks.base import Fit


class Planted:
    """Similarity falls linearly with the distance along the manifold; knows the points by their place."""

    def __init__(self, manifold, seed):
        points, labels = manifold.training_points(seed)
        first = points[labels == 1]
        self.distance = manifold.geodesic(first, first)

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        slope = 1.0 if kind == "relative" else -1.0
        return 100.0 - slope * self.distance

    def predict(self, x):
        return np.eye(2)[np.zeros(len(x), dtype=int)]


@pytest.mark.parametrize("name", MANIFOLDS)
def test_similarity_that_falls_with_distance_has_correlation_minus_one(name):
    task = registry.tasks.get(f"manifold/{name}")
    split = registry.datasets.get(task.dataset).split(1)
    planted = Planted(MANIFOLDS[name], 1)
    scored = task.score({"default": Fit(split, planted, 1)})
    values = scored.values
    assert set(values) == set(task.metrics)
    assert values["distance_pearson"] == pytest.approx(-1)
    assert values["distance_spearman@signed"] == pytest.approx(1)
    assert values["accuracy"] == 0.5
    assert np.array_equal(scored.artifacts["distance"], planted.distance)
    assert scored.artifacts["similarity"] == pytest.approx(100 - planted.distance)
    assert scored.artifacts["signed"] == pytest.approx(100 + planted.distance)


def test_a_convolutional_network_is_skipped_with_the_reason():
    from lebench.runner.plan import make_plan

    plan = make_plan(["manifold/torus"], ["resnet", "mlp"], [0])
    assert [cell.label for cell in plan.skipped] == ["resnet"]
    assert plan.skipped[0].unmet == "needs images for Conv(channels=16); an input of this task has shape (3,)"
