"""Kernel machines: closed forms against plain linear algebra, and what they offer against real gradient steps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lebench import registry
from lebench.architectures import mlp
from lebench.data.base import Variant
from lebench.errors import LebenchError
from lebench.kernels import RIDGES, infinite_width_kernel
from lebench.models.spec import build_model
from lebench.runner.plan import make_plan


@pytest.fixture(scope="module")
def digits():
    return Variant("small", n_train=60).apply(registry.datasets.get("digits").split(0), 0)


def fit(spec, split, seed=0):
    return build_model(spec).model.fit(split, seed)


def test_predictions_are_those_of_ridge_regression(digits):
    fitted = fit("laplace", digits)
    gram = fitted.gram(digits.x_train, digits.x_train)
    targets = np.eye(10)[digits.y_train] - 0.1
    ridge = fitted.regression.ridge
    expected = fitted.gram(digits.x_test, digits.x_train) @ np.linalg.solve(gram + ridge * np.eye(60), targets)
    np.testing.assert_allclose(fitted.predict(digits.x_test), expected, rtol=1e-8, atol=1e-10)
    assert fitted.regression.relative_ridge in RIDGES


@pytest.mark.parametrize("spec", ["rbf", "linear-kernel", "ntk-mlp[depth=1]"])
def test_a_gradient_step_moves_scores_as_the_similarity_says(spec, digits):
    """In the features of the kernel's square root the machine is linear, and a step is a real step of its weights."""
    fitted = fit(spec, digits)
    x = np.concatenate([digits.x_train[:12], digits.x_test[:8]])
    values, vectors = np.linalg.eigh(fitted.gram(x, x))
    features = vectors * np.sqrt(np.clip(values, 0, None))
    weights = np.random.default_rng(0).standard_normal((20, 10))
    target, source, step = np.eye(10)[digits.y_train[3]] - 0.1, 3, 0.37
    gradient = np.outer(features[source], features[source] @ weights - target)
    moved = features @ (weights - step * gradient) - features @ weights
    relative = np.linalg.norm(moved, axis=1) / np.linalg.norm(moved[source])
    found = fitted.similarity(x[source][None], digits.y_train[[source]], x, step=step)
    np.testing.assert_allclose(found[0], relative, rtol=1e-6, atol=1e-8)
    signed = moved @ moved[source] / (moved[source] @ moved[source])
    np.testing.assert_allclose(
        fitted.similarity(x[source][None], digits.y_train[[source]], x, kind="signed")[0], signed, rtol=1e-6, atol=1e-8
    )


def test_the_course_is_gradient_flow_of_the_regularized_loss(digits):
    """Integrated numerically: c' = -((K + ridge) c - y)/n, from 0."""
    fitted = fit("rbf[scale=2]", digits)
    gram, ridge = fitted.gram(digits.x_train, digits.x_train), fitted.regression.ridge
    targets = np.eye(10)[digits.y_train] - 0.1
    course = fitted.trajectory()
    time = course.times[8]

    def slope(_, c):
        c = c.reshape(60, 10)
        return (-((gram + ridge * np.eye(60)) @ c - targets) / 60).ravel()

    end = solve_ivp(slope, (0, time), np.zeros(600), method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1].reshape(60, 10)
    scores = gram @ end
    np.testing.assert_allclose(course.scores[8], scores[course.probe], rtol=1e-7, atol=1e-9)
    assert course.loss[8] == pytest.approx(np.square(scores - targets).sum(axis=1).mean() / 2, rel=1e-7)
    assert course.loss[0] == pytest.approx(np.square(targets).sum(axis=1).mean() / 2)
    assert (np.diff(course.loss) <= 1e-12).all()
    kept = fitted.checkpoints()
    np.testing.assert_allclose(kept[8].fitted.predict(digits.x_train)[course.probe], course.scores[8], atol=1e-12)
    np.testing.assert_allclose(kept[-1].fitted.predict(digits.x_test), fitted.predict(digits.x_test), atol=1e-8)


def test_kernel_of_infinite_width_is_that_of_the_architecture(digits):
    from dataclasses import replace

    fitted = fit("ntk-mlp[depth=3,bias_variance=0.2]", digits)
    network = replace(mlp(depth=3), bias_variance=0.2)
    expected = infinite_width_kernel(network, digits.x_test[:7], digits.x_train[:5])
    np.testing.assert_array_equal(fitted.gram(digits.x_test[:7], digits.x_train[:5]), expected)
    # 2/pi of it would be missing if a half of the kernel was: the diagonal is linear in |x|^2.
    assert fitted.regression.mean_diagonal == pytest.approx(
        np.mean(np.diagonal(fitted.gram(digits.x_train, digits.x_train)))
    )


@pytest.mark.parametrize("backend", ["torch"])
def test_empirical_kernel_is_that_of_the_network(backend, digits):
    machine = build_model("entk-mlp[width=32]", backend).model.fit(digits, 1)
    network = build_model("mlp[width=32,epochs=0]", backend).model.fit(digits, 1)
    x = digits.x_test[:20]
    np.testing.assert_allclose(machine.gram(x, digits.x_train), network.gram(x, digits.x_train), rtol=1e-12)
    similar = machine.similarity(x, digits.y_test[:20], x)
    np.testing.assert_allclose(np.diagonal(similar), 1, rtol=1e-10)
    gram = network.gram(x, x)
    np.testing.assert_allclose(similar, np.abs(gram) / np.diagonal(gram)[:, None], rtol=1e-9)


def test_training_turns_the_empirical_kernel(digits):
    before, after = fit("entk-mlp[width=32]", digits), fit("entk-mlp-trained[width=32]", digits)
    x = digits.x_train
    from lebench import metrics

    labels = digits.y_train
    assert metrics.centred_target_alignment(after.gram(x, x), labels) > metrics.centred_target_alignment(
        before.gram(x, x), labels
    )


def test_duplicate_points_are_fitted_with_a_ridge(digits):
    from dataclasses import replace

    twice = replace(
        digits,
        x_train=np.concatenate([digits.x_train, digits.x_train]),
        y_train=np.concatenate([digits.y_train, digits.y_train]),
    )
    scores = fit("ntk-mlp", twice).predict(digits.x_train)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == digits.y_train).mean() == 1


def test_single_class_is_refused(digits):
    from dataclasses import replace

    with pytest.raises(LebenchError, match="all 60 labels are 0"):
        fit("rbf", replace(digits, y_train=np.zeros(60, dtype=np.int64)))


def test_convolutional_kernels_are_skipped_where_there_are_no_images():
    plan = make_plan(["manifold/torus"], ["ntk-cnn", "entk-resnet-nf", "ntk-mlp"], [0])
    assert [job.label for job in plan.jobs] == ["ntk-mlp"]
    assert {cell.label for cell in plan.skipped} == {"ntk-cnn", "entk-resnet-nf"}
    assert all("needs images" in cell.unmet for cell in plan.skipped)
