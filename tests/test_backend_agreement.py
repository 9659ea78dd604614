"""The backends agree: one network in torch and in JAX gives the same numbers."""

from dataclasses import replace

import numpy as np
import pytest

from lebench import architectures as arch
from lebench import registry
from lebench.backends.base import Recipe
from lebench.backends.jax_backend import JaxBackend
from lebench.backends.jax_from_torch import network_from_torch, weights_from_torch
from lebench.backends.jax_networks import Described
from lebench.backends.torch_backend import TorchBackend

LAYERS = (
    arch.Conv(4, kernel=2, stride=2, padding="valid"),
    arch.LayerNorm(),
    arch.Activation("gelu"),
    arch.AvgPool(),
    arch.Flatten(),
    arch.Dense(6),
    arch.BatchNorm(),
    arch.Activation("leaky_relu"),
    arch.Dense(5),
    arch.Activation("erf"),
    arch.Dense(),
)
BLOCKS = (
    arch.Conv(3, stride=2),
    arch.BatchNorm(),
    arch.Relu,
    arch.Residual((arch.Conv(3), arch.BatchNorm())),
    arch.MaxPool(),
    arch.Flatten(),
    arch.Dense(),
)
NETWORKS = {
    "blocks": arch.Architecture(BLOCKS),
    "mlp": arch.mlp(width=32),
    "cnn": arch.cnn(width=2),
    "resnet": arch.resnet(width=4),
    "vgg": arch.vgg(width=4),
    "other layers": arch.Architecture(LAYERS, bias_variance=0.3),
}


@pytest.fixture(scope="module")
def digits():
    return registry.datasets.get("digits").split(0)


# Compiling what measures a deep network takes longer than measuring it.
_DEEP = ("cnn", "resnet", "vgg")


@pytest.fixture(scope="module", params=[pytest.param(n, marks=pytest.mark.slow) if n in _DEEP else n for n in NETWORKS])
def pair(request, digits):
    """The same trained network twice."""
    network = NETWORKS[request.param]
    recipe = Recipe(epochs=2, lr=0.02, min_steps=0)
    trained = TorchBackend().fit(network, recipe, digits.x_train[:200], digits.y_train[:200], 10, 0)
    return trained, network_from_torch(trained, network)


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_predictions_and_features_agree(pair, digits):
    torch_net, jax_net = pair
    x = digits.x_test[:70]
    close(jax_net.predict(x), torch_net.predict(x), 1e-12)
    close(jax_net.predict_proba(x), torch_net.predict_proba(x), 1e-12)
    close(jax_net.features(x), torch_net.features(x), 1e-12)
    for found, expected in zip(jax_net.head(), torch_net.head(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_tangent_kernels_agree(pair, digits):
    torch_net, jax_net = pair
    x, z = digits.x_test[:9], digits.x_test[9:14]
    close(jax_net.gram(x, z), torch_net.gram(x, z), 1e-12)
    close(jax_net.gram(x, x), torch_net.gram(x, x), 1e-12)


@pytest.mark.parametrize("step", [None, 1e-3])
def test_similarities_agree(pair, digits, step):
    torch_net, jax_net = pair
    sources, labels, targets = digits.x_test[:5], digits.y_test[:5], digits.x_test[3:10]
    # A real step is a difference of scores, right to about the machine epsilon over the step.
    tolerance = 1e-10 if step is None else 1e-8
    for kind in ("relative", "signed", "kernel"):
        expected = torch_net.similarity(sources, labels, targets, kind, step)
        close(jax_net.similarity(sources, labels, targets, kind, step), expected, tolerance)


def _fit_both(network, recipe, x, y, **options):
    """Train from the same weights with both, the jax backend from those that torch has drawn."""
    start = TorchBackend().fit(network, replace(recipe, epochs=0, output_scale=None, linearized=False), x, y, 10, 0)

    class Start(Described):
        def draw(self, input_shape, seed):
            return weights_from_torch(start.function.module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "lebench.backends.jax_backend.network_of", lambda network, shape, classes: Start(network, classes)
        )
        found = JaxBackend().fit(network, recipe, x, y, 10, 0, **options)
    return found, TorchBackend().fit(network, recipe, x, y, 10, 0, **options)


@pytest.mark.parametrize(
    ("name", "changes", "options"),
    [
        ("blocks", {}, {}),
        # Adam makes full steps of gradients that are zero but for rounding, as those of biases under a normalization.
        ("mlp", {"optimizer": "adam", "lr": 0.002, "weight_decay": 0.05, "schedule": "cosine"}, {}),
        ("mlp", {"loss": "mse", "lr": 0.02}, {"removed": 7}),
        ("mlp", {"batch_size": 1, "epochs": 2, "lr": 0.005, "record_steps": 30}, {"removed": 7}),
        ("mlp", {"output_scale": 3.0, "momentum": 0.0, "lr": 0.02}, {}),
        ("mlp", {"linearized": True, "output_scale": 2.0, "lr": 0.01}, {}),
        (
            "blocks",
            {"nesterov": True, "warmup": 1, "schedule": "cosine", "augmentation": "flip-crop", "label_smoothing": 0.1},
            {"removed": 7},
        ),
        ("mlp", {"schedule": "one-cycle", "clip_norm": 0.5, "augmentation": "flip"}, {}),
    ],
)
def test_training_from_the_same_weights_is_the_same_training(digits, name, changes, options):
    """A few steps in single precision, batches of unequal size, batch normalization."""
    network = NETWORKS[name]
    recipe = Recipe(**{"epochs": 3, "lr": 0.05, "batch_size": 16, "min_steps": 0, **changes})
    found, expected = _fit_both(network, recipe, digits.x_train[:50], digits.y_train[:50], **options)
    close(found.predict(digits.x_test[:20]), expected.predict(digits.x_test[:20]), 2e-3)
    course, reference = found.trajectory(), expected.trajectory()
    np.testing.assert_array_equal(course.times, reference.times)
    np.testing.assert_array_equal(course.probe, reference.probe)
    np.testing.assert_allclose(course.loss, reference.loss, rtol=5e-3)
    x = digits.x_test[:6]
    close(found.gram(x, x), expected.gram(x, x), 5e-3)
    for step in (None, 1e-3):
        values = [net.similarity(x, digits.y_test[:6], x, "signed", step) for net in (found, expected)]
        close(values[0], values[1], 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "deep-linear", "mlp", "lenet", "cnn", "resnet", "resnet-nf", "vgg"])
def test_published_recipes_reach_the_same_accuracy(digits, name):
    model = registry.models.get(name)()
    x, y = digits.x_train[:500], digits.y_train[:500]
    accuracy = {}
    for backend in (TorchBackend(), JaxBackend()):
        fitted = backend.fit(model.network, replace(model.recipe, epochs=30), x, y, 10, 0)
        accuracy[backend.name] = (fitted.predict(digits.x_test).argmax(1) == digits.y_test).mean()
        # After a third of the epochs the linear network errs on one or two of the 500 points, with both backends.
        assert fitted.trajectory().error[-1] <= 0.01
    # Two standard deviations of an accuracy of 95 % on 450 points.
    assert accuracy["jax"] == pytest.approx(accuracy["torch"], abs=0.02)
