"""Models without a network, and the controls."""

import numpy as np
import pytest

from lebench import registry
from lebench.capabilities import CAPABILITIES, offers
from lebench.data.base import Split
from lebench.errors import DataError
from lebench.kernels import RIDGES
from lebench.models.classical import LinearClassifier
from lebench.models.kernel_machine import kernel_similarity

NAMES = ("knn", "logistic-regression", "rbf", "constant", "random-features")


@pytest.fixture(scope="module")
def digits():
    return registry.datasets.get("digits").split(0)


@pytest.fixture(scope="module")
def fitted(digits):
    return {name: registry.models.get(name)().fit(digits, 0) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_declared_is_offered(name, fitted):
    declared = registry.models.get(name)().capabilities
    assert {c for c in CAPABILITIES if offers(fitted[name], c)} == declared


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("knn", 0.97, 1.0),
        ("logistic-regression", 0.94, 1.0),
        ("rbf", 0.98, 1.0),
        # Chance is 0.1; the binomial standard deviation of 450 points is 0.014.
        ("constant", 0.05, 0.15),
        ("random-features", 0.04, 0.16),
    ],
)
def test_accuracy_on_digits(name, lowest, highest, fitted, digits):
    assert lowest <= (fitted[name].predict(digits.x_test).argmax(1) == digits.y_test).mean() <= highest


def test_nearest_neighbours_are_those_of_a_plain_loop(fitted, digits):
    train = digits.x_train.reshape(1347, -1)
    for x, scores in zip(digits.x_test[:20], fitted["knn"].predict(digits.x_test[:20]), strict=True):
        order = np.argsort(np.linalg.norm(train - x.ravel(), axis=1))[:3]
        votes = np.bincount(digits.y_train[order], minlength=10)
        winners = np.flatnonzero(votes == votes.max())
        expected = winners[0] if len(winners) == 1 else digits.y_train[order[0]]
        assert scores.argmax() == expected


def test_too_many_neighbours_are_refused(digits):
    from dataclasses import replace

    few = replace(digits, x_train=digits.x_train[:2], y_train=digits.y_train[:2])
    with pytest.raises(DataError, match="k=3 training points, there are 2"):
        registry.models.get("knn")().fit(few, 0)


def test_logistic_regression_of_two_classes_has_the_probabilities_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    split = registry.datasets.get("digits-3v8").split(0)
    flat = split.x_train.reshape(len(split.x_train), -1)
    ours = registry.models.get("logistic-regression")().fit(split, 0).predict_proba(split.x_train)
    theirs = LogisticRegression(max_iter=5000, tol=1e-6).fit(flat, split.y_train).predict_proba(flat)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_similarity_of_a_linear_classifier_is_a_real_step():
    """A step of gradient descent on the cross-entropy, taken by hand."""
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((3, 4)), rng.standard_normal(3)
    x, y = rng.standard_normal((5, 4)), np.array([0, 1, 2, 0, 1])
    model = LinearClassifier(weights, bias)
    found = {kind: model.similarity(x, y, x, kind=kind) for kind in ("relative", "signed", "kernel")}
    for i in range(5):
        gradient = model.predict_proba(x[i : i + 1])[0] - np.eye(3)[y[i]]
        step = 0.7
        moved = LinearClassifier(weights - step * np.outer(gradient, x[i]), bias - step * gradient)
        change = moved.predict(x) - model.predict(x)
        norms = np.linalg.norm(change, axis=1)
        np.testing.assert_allclose(found["relative"][i], norms / norms[i])
        np.testing.assert_allclose(found["signed"][i], change @ change[i] / norms[i] ** 2)
        np.testing.assert_allclose(found["kernel"][i], -change @ gradient / (step * gradient @ gradient))


def test_a_kernel_that_vanishes_on_a_source_is_refused():
    with pytest.raises(DataError, match="source 1"):
        kernel_similarity(np.ones((2, 3)), np.array([1.0, 0.0]), "relative")


def test_the_ridge_is_the_best_of_explicit_leave_one_out():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((25, 3))
    y = (x[:, 0] + 0.5 * rng.standard_normal(25) > 0).astype(np.int64)
    machine = registry.models.get("rbf")().fit(Split(x, y, x, y, ("a", "b")), 0)
    targets = np.eye(2)[y] - 0.5
    kernel = machine.gram(x, x)
    losses = []
    for ridge in RIDGES:
        residuals = []
        for i in range(25):
            rest = np.arange(25) != i
            alpha = np.linalg.solve(kernel[np.ix_(rest, rest)] + ridge * np.eye(24), targets[rest])
            residuals.append(kernel[i, rest] @ alpha - targets[i])
        losses.append(np.square(residuals).mean())
    best = RIDGES[int(np.argmin(losses))]
    expected = kernel @ np.linalg.solve(kernel + best * np.eye(25), targets)
    np.testing.assert_allclose(machine.predict(x), expected, atol=1e-8)


def test_random_features_are_a_function_of_the_input_and_unrelated_to_it(fitted, digits):
    x = digits.x_test[:200]
    features = fitted["random-features"].features(x)
    np.testing.assert_array_equal(features, fitted["random-features"].features(x))
    # Neighbours at a millionth of the distance between images have independent features.
    moved = fitted["random-features"].features(x + 1e-6)
    correlation = np.corrcoef(features.ravel(), moved.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(features.size)


def test_permuted_labels_train_the_default_perceptron_on_wrong_labels(digits):
    from dataclasses import replace

    control = registry.models.get("permuted-labels")()
    short = replace(control.mlp.recipe, epochs=2, min_steps=0)
    control = replace(control)
    object.__setattr__(control, "mlp", replace(control.mlp, recipe=short))
    fitted = control.fit(digits, 0)
    assert (fitted.predict(digits.x_train).argmax(1) == digits.y_train).mean() < 0.25
    assert control.capabilities == registry.models.get("mlp")().capabilities
