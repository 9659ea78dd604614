"""Width: curves of trained perceptrons, and measures of the network at the loss where all widths are compared."""

from __future__ import annotations

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.data.base import Variant
from lebench.metrics.base import Missing
from lebench.tasks import width
from lebench.tasks.base import Fit, NotFitted


def _fit(units, epochs, noise=0.0, n=200, **parameters):
    split = Variant(n_train=n, label_noise=noise).apply(registry.datasets.get("digits").split(0), 0)
    model = registry.models.get("mlp")(**{"depth": 1} | parameters).with_width(units)
    recipe = (*width._RECIPE, ("epochs", epochs))
    return Fit(split, model.with_recipe(recipe).fit(split, 0), 0)


@pytest.fixture(scope="module")
def trained():
    return _fit(32, 150)


def test_measures_are_taken_where_the_loss_has_come_down(trained):
    measured = width._measured(trained)
    course, kept = trained.fitted.trajectory(), trained.fitted.checkpoints()
    first = int(np.argmax(course.loss <= 0.01))
    assert 0 < first < len(kept) - 1
    (u, v), (u0, v0) = ([layer.weight for layer in kept[moment].fitted.weights()] for moment in (first, 0))
    assert measured["capacity_frobenius"] == pytest.approx(np.linalg.norm(u) * np.linalg.norm(v))
    assert measured["capacity_unit"] == metrics.capacity_unit(u, u0, v)
    assert measured["capacity_spectral_l1"] == metrics.capacity_spectral_l1(u, u0, v, v0)
    assert measured["unit_capacity"] == pytest.approx(np.sqrt(((u - u0) ** 2).sum(axis=1)).mean())
    assert measured["unit_impact"] == pytest.approx(np.sqrt((v**2).sum(axis=0)).mean())
    scores = kept[first].fitted.predict(trained.split.x_train)
    gamma = metrics.margin(scores, trained.split.y_train, 5)
    rows = trained.split.x_train.reshape(200, -1)
    assert measured["unit_bound"] == metrics.unit_bound(u, u0, v, rows, gamma)


def test_what_cannot_be_measured_is_missing_with_the_reason(trained):
    assert "come down" in width._measured(_fit(4, 1)).reason
    assert "two layers, the network has 3" in width._measured(_fit(32, 60, depth=2)).reason
    assert width._measured(Fit(trained.split, NotFitted("diverged"), 0)).reason == "diverged"
    assert "no ReLUs" in width._measured(_fit(32, 400, activation="tanh")).reason
    start = trained.fitted.checkpoints()[0].fitted
    arrays = [layer.weight for layer in start.weights()]
    assert "not positive" in width._bound(start, trained.split, arrays, arrays).reason


def test_every_declared_value_is_returned():
    task = registry.tasks.get("overparam/width")
    fits = {}
    for variant in task.variants:
        if variant.width <= 16:
            fits[variant.name] = _fit(variant.width, 5, noise=variant.label_noise, n=100)
        else:
            fits[variant.name] = Fit(fits["clean-h=4"].split, NotFitted("too wide for a test"), 0)
    scored = task.score(fits)
    assert set(scored.values) == set(task.metrics)
    assert isinstance(scored.values["error@clean-h=8"], float)
    assert isinstance(scored.values["error_peak@noisy"], Missing)
    assert scored.values["width_exponent@capacity_unit"].reason == "too wide for a test"


def test_curves_and_exponents(trained):
    """With one network at every width all curves are flat: no peak, no growth."""
    task = registry.tasks.get("overparam/width")
    scored = task.score({variant.name: trained for variant in task.variants})
    assert scored.values["error_peak@noisy"] == 0
    assert scored.values["width_exponent@capacity_frobenius"] == pytest.approx(0, abs=1e-12)
    assert scored.values["kendall_tau@unit_bound"] == 0
    assert np.ptp(scored.artifacts["error_clean"]) == 0
    error = metrics.error(trained.fitted.predict(trained.split.x_test), trained.split.y_test)
    assert scored.values["error@clean-h=64"] == error
