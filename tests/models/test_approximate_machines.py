"""Machines by centres and by random features against the exact ones that they approximate."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Variant
from lebench.models.approximate_machines import RadialFeatures
from lebench.models.kernel_machine import Radial
from lebench.models.spec import build_model


@pytest.fixture(scope="module")
def digits():
    return Variant("small", n_train=120).apply(registry.datasets.get("digits").split(0), 0)


def fit(spec, split):
    return build_model(spec).model.fit(split, 0)


def far(found, exact):
    return np.sqrt(np.square(found - exact).mean() / np.square(exact).mean())


@pytest.mark.parametrize("exact", ["ntk-mlp", "nngp-mlp", "rbf", "laplace"])
def test_with_all_points_as_centres_scores_are_exact(exact, digits):
    whole, fitted = fit(exact, digits), fit(f"nystrom-{exact}", digits)
    np.testing.assert_allclose(fitted.predict(digits.x_test), whole.predict(digits.x_test), rtol=1e-4, atol=1e-4)
    found = fitted.diagnostics()
    assert found["solver_rank@centres"] == 1
    assert found["score_difference"] < 1e-5
    assert found["prediction_disagreement"] == 0
    some = fit(f"nystrom-{exact}[rank=30]", digits)
    ridge = some.diagnostics()["relative_ridge"]
    scores = whole.predict(digits.x_train)
    assert ridge == whole.diagnostics()["relative_ridge"]
    assert some.diagnostics()["score_difference"] == pytest.approx(far(some.predict(digits.x_train), scores), 1e-6)


@pytest.mark.parametrize("shape", ["gaussian", "laplace"])
def test_random_features_have_the_kernel_on_average(shape):
    rng = np.random.default_rng(0)
    kernel, x = Radial(shape, 0.7), rng.standard_normal((6, 3))
    features = RadialFeatures.drawn(kernel, 3, 200_000, rng)
    found = features.gram(x, x)
    # Five standard deviations of a mean of numbers up to 2.
    np.testing.assert_allclose(found, kernel.gram(x, x), atol=5 * 2**0.5 / 200_000**0.5)
    np.testing.assert_allclose(features.diagonal(x), np.diagonal(found), rtol=1e-12)


@pytest.mark.parametrize("exact", ["rbf", "laplace"])
def test_machines_of_random_features_solve_ridge_regression_and_come_closer(exact, digits):
    few, many = (fit(f"features-{exact}[rank={rank}]", digits) for rank in (60, 6000))
    # The same in the space of points: K (K + ridge)^-1 of the kernel of the features.
    gram = few.gram(digits.x_train, digits.x_train)
    ridge = few.diagnostics()["relative_ridge"] * np.trace(gram) / len(gram)
    targets = np.eye(10)[digits.y_train] - 0.1
    expected = few.gram(digits.x_test, digits.x_train) @ np.linalg.solve(gram + ridge * np.eye(len(gram)), targets)
    np.testing.assert_allclose(few.predict(digits.x_test), expected, rtol=1e-4, atol=1e-4)
    away = [each.diagnostics()["score_difference"] for each in (few, many)]
    assert away[1] < 0.5 * away[0]
    scores = fit(exact, digits).predict(digits.x_test)
    assert far(many.predict(digits.x_test), scores) < 0.5 * far(few.predict(digits.x_test), scores)
    assert many.diagnostics()["solver_rank@features"] == 50


def test_what_diagnostics_say_without_exact_scores(digits, monkeypatch):
    monkeypatch.setattr("lebench.models.large_kernel_machine._SUBSET", 50)
    for spec in ("nystrom-rbf", "features-rbf"):
        found = fit(spec, digits).diagnostics()
        assert found["relative_ridge"] > 0
        assert "score_difference" not in found
