"""Kernel machines: closed forms against plain linear algebra, and what they offer against real gradient steps."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from sklearn import gaussian_process
from sklearn.metrics import pairwise as sklearn_kernels

from lebench import registry
from lebench.architectures import mlp
from lebench.data.base import Variant
from lebench.errors import LebenchError
from lebench.kernels import RIDGES, infinite_width_kernel
from lebench.models import kernel_machine
from lebench.models.kernel_machine import Radial
from lebench.models.spec import build_model
from lebench.runner.plan import make_plan


@pytest.fixture(scope="module")
def digits():
    return Variant("small", n_train=60).apply(registry.datasets.get("digits").split(0), 0)


def fit(spec, split, seed=0):
    return build_model(spec).model.fit(split, seed)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_radial_kernels_are_those_of_scikit_learn(scale):
    """The length scale is in units of the root of the input dimension, so gamma is 1 / (2 d s^2) and so on."""
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((5, 3, 4, 2)), rng.standard_normal((7, 3, 4, 2))
    rows, columns = x.reshape(5, 24), z.reshape(7, 24)
    gaussian = sklearn_kernels.rbf_kernel(rows, columns, gamma=1 / (2 * 24 * scale**2))
    np.testing.assert_allclose(Radial("gaussian", scale).gram(x, z), gaussian, rtol=1e-12)
    # The Laplace kernel of scikit-learn takes the sum of absolute differences, that of a distance is Matern's of 1/2.
    matern = gaussian_process.kernels.Matern(length_scale=scale * np.sqrt(24), nu=0.5)(rows, columns)
    np.testing.assert_allclose(Radial("laplace", scale).gram(x, z), matern, rtol=1e-12)
    for shape in ("gaussian", "laplace"):
        kernel = Radial(shape, scale)
        np.testing.assert_array_equal(kernel.diagonal(x), np.diag(kernel.gram(x, x)))


def test_radial_kernels_in_closed_form():
    x, z = np.zeros((1, 4)), np.array([[0.0, 0, 0, 0], [2, 2, 2, 2], [0, 0, 0, 1]])
    np.testing.assert_allclose(Radial("gaussian", 1.0).gram(x, z), np.exp([[0, -2, -1 / 8]]), rtol=1e-14)
    np.testing.assert_allclose(Radial("laplace", 2.0).gram(x, z), np.exp([[0, -1, -1 / 4]]), rtol=1e-14)


@pytest.mark.parametrize(
    ("made", "shape", "default"),
    [(kernel_machine.rbf, "gaussian", 0.5), (kernel_machine.laplace, "laplace", 1.0)],
)
def test_registered_radial_machines(made, shape, default, digits):
    assert made().family == Radial(shape, default)
    assert made(2.5).family == Radial(shape, 2.5)
    fitted = made(2.0).fit(digits, 0)
    np.testing.assert_allclose(
        fitted.gram(digits.x_test[:4], digits.x_train), Radial(shape, 2.0).gram(digits.x_test[:4], digits.x_train)
    )


def test_the_linear_kernel_in_closed_form():
    x = np.array([[1.0, 2, 3, 4], [0, 0, 0, 2]])
    np.testing.assert_allclose(kernel_machine.Linear().gram(x, x), [[8.5, 3], [3, 2]], rtol=1e-15)
    np.testing.assert_allclose(kernel_machine.Linear().diagonal(x), [8.5, 2], rtol=1e-15)


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
