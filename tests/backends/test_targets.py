"""Networks and kernel machines on real-valued targets in place of labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lebench import architectures, registry
from lebench.architectures import Architecture, Dense
from lebench.backends.base import Recipe
from lebench.backends.jax_backend import JaxBackend
from lebench.backends.torch_backend import TorchBackend
from lebench.data.base import Dataset, Split, Variant
from lebench.errors import DataError
from lebench.models.kernel_machine import linear_kernel
from lebench.models.network import Network
from lebench.runner.plan import make_plan

BACKENDS = {"torch": TorchBackend, "jax": JaxBackend}
TRUTH = np.array([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]])


def _split(n=40):
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, n, 3))
    none = np.zeros(n, dtype=np.int64)
    return Split(x, none, z, none, ("a", "b"), target_train=x @ TRUTH + [1.0, 2.0], target_test=z @ TRUTH + [1.0, 2.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_linear_network_finds_the_linear_truth(backend):
    split = _split()
    recipe = Recipe(epochs=60, lr=0.05, momentum=0.9, weight_decay=0.0, batch_size=10, schedule="constant")
    # The loss of the recipe is for labels; targets that are real numbers have the square.
    model = replace(Network(Architecture((Dense(),)), recipe), backend=backend)
    fitted = model.fit(split, seed=0)
    np.testing.assert_allclose(fitted.predict(split.x_test), split.target_test, atol=1e-4)
    course = fitted.trajectory()
    start = course.scores[0] - split.target_train[course.probe]
    assert course.loss[0] == pytest.approx(0.5 * np.square(start).sum(axis=1).mean(), rel=1e-5)
    spread = split.target_train.var(axis=0).sum()
    assert course.error == pytest.approx(2 * course.loss / spread, rel=1e-6)


def test_backends_agree_on_the_similarity():
    split = _split()
    recipe = Recipe(epochs=0, loss="mse")
    for backend in BACKENDS.values():
        fitted = backend().fit(architectures.mlp(width=5), recipe, split.x_train, split.target_train, 2, seed=1)
        x, wanted = split.x_train[:4], split.target_train[:4]
        kernel = fitted.similarity(x, wanted, x, kind="kernel", step=1e-7)
        limit = fitted.similarity(x, wanted, x, kind="kernel")
        np.testing.assert_allclose(kernel, limit, rtol=1e-5, atol=1e-5)
        # The step follows the residual of the targets: of others it goes elsewhere.
        assert not np.allclose(limit, fitted.similarity(x, wanted + np.array([5.0, -5.0]), x, kind="kernel"), rtol=1e-2)


def test_a_kernel_machine_finds_the_linear_truth():
    split = _split()
    fitted = linear_kernel().fit(split, seed=0)
    np.testing.assert_allclose(fitted.predict(split.x_test), split.target_test, atol=1e-3)
    course = fitted.trajectory()
    assert course.error[0] == pytest.approx(
        np.square(split.target_train).sum(axis=1).mean() / split.target_train.var(axis=0).sum()
    )


def _dataset():
    x = np.random.default_rng(5).standard_normal((30, 3)) + 7

    def halves(x, y, rng):
        return x[:20], y[:20], x[20:], y[20:]

    return Dataset(
        "planted-targets", "", "", "", 1, (3,), ("a", "b"), lambda: (x, x @ TRUTH), halves, standardized=False
    )


def test_a_dataset_of_targets():
    dataset = _dataset()
    split = dataset.split(0)
    assert dataset.has_targets
    assert split.classes == 2
    assert np.array_equal(split.x_train, dataset.arrays[0][:20])
    assert np.array_equal(split.target_test, split.x_test @ TRUTH)
    assert not split.y_train.any()
    assert not replace(dataset, load=lambda: (dataset.arrays[0], np.zeros(30, dtype=np.int64))).has_targets
    fewer = Variant(n_train=5).apply(split, 0)
    assert fewer.target_train.shape == (5, 2)
    assert np.array_equal(fewer.target_train, fewer.x_train @ TRUTH)
    assert Variant(leave_out=3).apply(split, 0).target_train.shape == (19, 2)
    for change in ({"label_noise": 0.1}, {"permute_labels": True}, {"groups": ((0,), (1,))}, {"imbalance": 2.0}):
        with pytest.raises(DataError, match="real-valued targets"):
            Variant(**change).apply(split, 0)


def test_what_learns_classes_is_skipped(own_registries):
    registry.datasets.register("planted-targets", _dataset())
    digits = registry.tasks.get("digits/accuracy")
    registry.tasks.register("toy/targets", replace(digits, name="toy/targets", dataset="planted-targets"))
    plan = make_plan(["toy/targets"], ["knn", "rbf", "mlp", "permuted-labels", "lantk-nth-mlp"], [0])
    assert {job.label for job in plan.jobs} == {"rbf", "mlp"}
    assert {cell.unmet for cell in plan.skipped} == {"predicts real numbers, and the model learns classes"}


def test_what_has_no_width_is_skipped(own_registries):
    digits = registry.tasks.get("digits/accuracy")
    task = replace(digits, name="toy/width", variants=(Variant("h=4", width=4),))
    registry.tasks.register("toy/width", task)
    plan = make_plan(["toy/width"], ["mlp", "lin-mlp", "resnet", "linear", "rbf", "ntk-mlp", "permuted-labels"], [0])
    assert {job.label for job in plan.jobs} == {"mlp", "lin-mlp"}
    reasons = {cell.label: cell.unmet for cell in plan.skipped}
    assert reasons["linear"] == "varies the width of a perceptron, and the model has no hidden layer"
    assert "Conv(channels=16)" in reasons["resnet"]
    none = "varies the width, and the model is no perceptron and has no method with_width of its own"
    assert reasons["ntk-mlp"] == reasons["rbf"] == none
