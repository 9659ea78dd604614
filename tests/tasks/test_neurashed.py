"""The Neurashed tasks: what the model itself must score, in closed form, and that networks can do them."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Variant
from lebench.data.feature_graph import BACKGROUND, GROUPS, NODES, RARE, load
from lebench.models.neurashed import Neurashed
from lebench.models.spec import build_model
from lebench.tasks import neurashed as tasks
from lebench.tasks.base import Fit, Scored


def score(name, model, seed=1):
    task = registry.tasks.get(f"neurashed/{name}")
    split = registry.datasets.get(task.dataset).split(seed)
    fits = {}
    for variant in task.variants:
        own = variant.apply(split, seed)
        fits[variant.name] = Fit(own, model.with_recipe(variant.recipe).fit(own, seed), seed)
    found = task.score(fits)
    values = found.values if isinstance(found, Scored) else found
    assert set(values) == set(task.metrics)
    return values, fits


def test_the_data_are_what_they_say():
    x, fine = load()
    assert x.shape == (1600, NODES)
    assert set(np.unique(x)) == {0, 1}
    # Nodes of the class and of the sub-class fire for exactly those.
    np.testing.assert_array_equal(x[:, :16], np.repeat(fine[:, None] // 2 == np.arange(4), 4, axis=1))
    np.testing.assert_array_equal(x[:, 16:48], np.repeat(fine[:, None] == np.arange(8), 4, axis=1))
    share = x[:, -BACKGROUND:].mean()
    assert abs(share - RARE) < 4 * np.sqrt(RARE / (1600 * BACKGROUND))


@pytest.mark.parametrize("batch", [1, 8, 400])
def test_the_frequency_of_firing_is_that_of_drawn_batches(batch):
    split = Variant("v", groups=GROUPS).apply(registry.datasets.get("feature-graph").split(0), 0)
    expected = tasks.firing_frequency(split, batch)
    patterns = split.x_train > split.x_train.mean(axis=0)
    below = np.stack([patterns[split.y_train == c].any(axis=0) for c in range(4)])
    rng = np.random.default_rng(0)
    drawn = 4000 if batch < 400 else 10
    batches = rng.integers(0, 400, (drawn, batch)) if batch < 400 else np.tile(np.arange(400), (drawn, 1))
    fired = np.array([patterns[b].any(axis=0) for b in batches])
    reached = np.array([below[split.y_train[b]].any(axis=0) for b in batches])
    found = fired.sum(axis=0) / np.maximum(reached.sum(axis=0), 1)
    # Four deviations of a share; a node is reached in at least a fifth of the batches.
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / np.sqrt(drawn / 5))


@pytest.mark.parametrize(("facilitation", "threshold"), [(1.05, 0.598), (1.02, 0.786)])
def test_neurashed_keeps_exactly_the_nodes_above_its_threshold(facilitation, threshold):
    values, fits = score("implicit-regularization", Neurashed(facilitation=facilitation))
    assert values["sparsity_gain"] > 0.8
    own = fits["B=8"].fitted.diagnostics()["survival_threshold"]
    assert own == pytest.approx(threshold, abs=5e-4)
    for batch in (1, 8):
        assert values[f"survival_agreement@B={batch}"] == 1
        fit = fits[f"B={batch}"]
        frequency = tasks.firing_frequency(fit.split, batch)
        assert values[f"surviving_share@B={batch}"] == (frequency > own).mean()
    assert values["survival_rank@B=1"] > 0.8


def test_the_bottleneck_of_neurashed_leaves_the_class_and_exists_only_when_rounded():
    values, _ = score("bottleneck", Neurashed())
    raw = values["state_information@start-raw"]
    assert raw > 7
    assert values["state_information@end-raw"] == pytest.approx(raw, rel=1e-12)
    for digits in (1, 2):
        # Two bits name one of four classes.
        assert values[f"state_information@end-digits={digits}"] == pytest.approx(2, abs=1e-12)
        assert values[f"excess_information@digits={digits}"] == 0
        assert values[f"state_information@start-digits={digits}"] > 7


def test_elasticity_of_neurashed_is_the_sum_of_shared_amplifications():
    values, fits = score("elasticity", Neurashed())
    (fit,) = fits.values()
    split = fit.split
    own = fit.fitted.features(split.x_test)
    # A node of the background lies below all classes that it fired for; without one, a class's nodes count only there.
    weights, _ = fit.fitted.head()
    firing = own > 0
    effect = (own[:, None, :] * weights[None]).sum(axis=1)
    similarity = firing.astype(float) @ effect.T / np.einsum("nd,nd->n", firing, effect)[:, None]
    same = np.equal.outer(split.fine_test, split.fine_test)
    np.fill_diagonal(same, False)
    assert values["within_class_similarity@end-subclasses"] == pytest.approx(similarity[same].mean(), rel=1e-10)
    assert values["elasticity_ratio@end"] > values["elasticity_ratio@start"]


def test_networks_can_do_them_where_their_features_move():
    model = build_model("mlp[width=32]").model
    found = {name: score(name, model)[0] for name in ("bottleneck", "elasticity")}
    assert found["bottleneck"]["accuracy"] > 0.95
    assert found["elasticity"]["elasticity_ratio@end"] > 0.5
