"""The jax backend on its own: what torch cannot be asked for, and known answers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lebench import architectures as arch
from lebench.backends.base import Recipe
from lebench.backends.jax_backend import JaxBackend
from lebench.backends.jax_build import Pass, draw
from lebench.backends.jax_networks import Described, Function
from lebench.backends.jax_tangents import Tangents
from lebench.capabilities import CAPABILITIES, offers
from lebench.errors import DataError, LebenchError, TrainingError

FAST = Recipe(epochs=2, min_steps=0)


@pytest.fixture(scope="module")
def blobs():
    """Three classes in four dimensions, 20 points each."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    return 3 * rng.standard_normal((3, 4))[y] + rng.standard_normal((60, 4)), y


def fit(network, x, y, classes=3, recipe=FAST, seed=0):
    return JaxBackend().fit(network, recipe, x, y, classes, seed)


def test_weights_have_the_variance_of_the_description():
    wide = arch.Architecture((arch.Flatten(), arch.Dense(2000), arch.Dense()), weight_variance=2.0, bias_variance=0.25)
    weights, statistics = draw(wide, (500,), 2, np.random.default_rng(1))
    # The sample variance of N numbers has relative standard deviation sqrt(2 / N); five of them.
    assert weights[0]["w"].var() == pytest.approx(2.0 / 500, rel=5 * np.sqrt(2 / 1e6))
    assert weights[0]["b"].var() == pytest.approx(0.25, rel=5 * np.sqrt(2 / 2000))
    assert statistics == ()


def test_a_layer_that_does_not_fit_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(LebenchError, match=r"Dense\(units=5\) needs a vector .* Flatten"):
        draw(arch.Architecture((arch.Dense(5),)), (8, 8, 1), 10, rng)
    with pytest.raises(LebenchError, match=r"MaxPool\(\) leaves nothing"):
        draw(arch.Architecture((arch.MaxPool(),) * 4), (8, 8, 1), 10, rng)
    with pytest.raises(LebenchError, match="add a 1x1 convolution"):
        draw(arch.Architecture((arch.Residual((arch.Conv(4, stride=2),)),)), (8, 8, 4), 10, rng)


def test_examples_that_fill_up_a_batch_do_not_count():
    """Batch normalization sees only those with a share, and its running variance is the unbiased one."""
    network = arch.Architecture((arch.BatchNorm(), arch.Dense()))
    weights, statistics = draw(network, (3,), 2, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    shares = jnp.array([0.25] * 4 + [0.0] * 2)
    made = Pass(network, 2, list(weights), list(statistics), shares=shares)
    alone = Pass(network, 2, list(weights), list(statistics), shares=jnp.full(4, 0.25))
    np.testing.assert_allclose(made.run(jnp.asarray(x))[:4], alone.run(jnp.asarray(x[:4])), rtol=1e-5)
    np.testing.assert_allclose(made.updated[0]["mean"], 0.1 * x[:4].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(made.updated[0]["var"], 0.9 + 0.1 * x[:4].var(axis=0, ddof=1), rtol=1e-5)


def test_the_same_seed_gives_the_same_network_and_precision_stays_what_it_was(blobs):
    first, again = (fit(arch.mlp(width=16), *blobs, seed=3).predict(blobs[0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, fit(arch.mlp(width=16), *blobs, seed=4).predict(blobs[0]))
    assert first.dtype == np.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_mse_training_of_a_linear_network_finds_the_ridge_solution(blobs):
    """Minimum of mean (1/2)|f - y|^2 + (wd/2)|w|^2, the bias decayed as well, in closed form."""
    x, y = blobs
    decay = 0.1
    recipe = Recipe(epochs=400, lr=0.02, batch_size=60, weight_decay=decay, loss="mse", schedule="constant")
    with_one = np.hstack([x, np.ones((60, 1))])
    targets = np.eye(3)[y] - 1 / 3
    weights = np.linalg.solve(with_one.T @ with_one / 60 + decay * np.eye(5), with_one.T @ targets / 60)
    fitted = fit(arch.linear(), x, y, recipe=recipe)
    np.testing.assert_allclose(fitted.predict(x), with_one @ weights, atol=1e-5)
    assert not offers(fitted, "predict_proba")


def test_divergence_is_an_error_that_says_what_to_do(blobs):
    with pytest.raises(TrainingError, match=r"diverged .* smaller lr"):
        fit(arch.deep_linear(width=16), *blobs, recipe=Recipe(epochs=50, lr=50.0, min_steps=0))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_similarity_of_a_linear_network_is_its_gram_matrix(blobs, loss):
    """science: f = w.x + b gives S_ker = <x, x'> + 1 and S_rel = |<x, x'> + 1| / (|x|^2 + 1) for any step."""
    x, y = blobs
    fitted = fit(arch.linear(), x, y, recipe=replace(FAST, loss=loss))
    sources, targets = x[:6], x[3:12]
    gram = sources @ targets.T + 1
    norm = (sources**2).sum(axis=1, keepdims=True) + 1
    for step in (None, 1e-4):
        tolerance = 1e-10 if step is None else 1e-8
        for kind, expected in (("kernel", gram), ("signed", gram / norm), ("relative", np.abs(gram) / norm)):
            found = fitted.similarity(sources, y[:6], targets, kind=kind, step=step)
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fitted.gram(sources, targets), gram, rtol=1e-12)


def test_a_function_of_ones_own_is_measured_like_its_description(blobs):
    """A two-layer network written by hand, its kernel by explicit gradients, against the layers of an architecture."""
    x, y = blobs

    def builder(shape, outputs):
        def init(key):
            one, two = jax.random.split(key)
            return {
                "hidden": {"w": jax.random.normal(one, (shape[0], 8)), "b": jnp.zeros(8)},
                "last": {"w": jax.random.normal(two, (8, outputs)), "b": jnp.zeros(outputs)},
            }

        def features(weights, x):
            return jnp.tanh(x @ weights["hidden"]["w"] + weights["hidden"]["b"])

        return init, features, lambda weights: (weights["last"]["w"].T, weights["last"]["b"])

    fitted = fit(builder, x, y)
    lacking = {"diagnostics", "complexity", "weights"}
    assert {name for name in CAPABILITIES if offers(fitted, name)} == set(CAPABILITIES) - lacking
    matrix, bias = fitted.head()
    np.testing.assert_allclose(fitted.features(x) @ matrix.T + bias, fitted.predict(x), atol=1e-12)

    described = Described(arch.mlp(width=8, depth=1, activation="tanh"), 3)
    tangents = Tangents(described.factors, described.scores, jax.jit)
    weights = (fitted.function.parameters["hidden"], fitted.function.parameters["last"])
    with jax.enable_x64(True):
        expected = tangents.gram(weights, (), x[:5], x[5:9])
        changes = tangents.first_order(weights, (), x[:5], np.eye(3)[y[:5]], x[5:9])
        own = Function(lambda key: None, lambda values, x: described.scores((values["hidden"], values["last"]), (), x))
        found = Tangents(own.factors, own.scores, jax.jit).first_order(
            fitted.function.parameters, (), x[:5], np.eye(3)[y[:5]], x[5:9]
        )
    np.testing.assert_allclose(fitted.gram(x[:5], x[5:9]), expected, rtol=1e-12)
    for one, other in zip(found, changes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_function_without_a_head_says_how_to_have_features(blobs):
    def headless(shape, outputs):
        return lambda key: jnp.zeros((shape[0], outputs)), lambda weights, x: x @ weights

    fitted = fit(headless, *blobs)
    assert not offers(fitted, "features")
    assert "has no features; let the builder return (init, features, head)" in fitted.unavailable["features"]
    with pytest.raises(LebenchError, match=r"must return functions \(init, apply\)"):
        fit(lambda shape, outputs: None, *blobs)


def test_chunks_make_up_the_whole(blobs, monkeypatch):
    x, y = blobs
    fitted = fit(arch.mlp(width=16), x, y)
    whole = fitted.gram(x[:20], x[:20]), fitted.similarity(x[:11], y[:11], x[:20])
    monkeypatch.setattr("lebench.backends.jax_tangents._LARGEST_CHUNK", 8)
    chunked = fitted.gram(x[:20], x[:20]), fit(arch.mlp(width=16), x, y).similarity(x[:11], y[:11], x[:20])
    for found, expected in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_checkpoints_are_the_network_at_the_moments_of_its_trajectory(blobs):
    x, y = blobs
    fitted = fit(arch.mlp(width=16), x, y, recipe=replace(FAST, epochs=5))
    course, kept = fitted.trajectory(), fitted.checkpoints()
    assert [point.time for point in kept] == course.times.tolist()
    for point, scores in zip(kept, course.scores, strict=True):
        np.testing.assert_allclose(point.fitted.predict(x)[course.probe], scores, rtol=1e-5, atol=1e-5)
    assert not offers(kept[0].fitted, "checkpoints")


def test_a_vanishing_denominator_is_reported_by_source(blobs):
    x, y = blobs
    # Without biases: no unit is active on positive inputs, so nothing moves.
    fitted = fit(
        lambda shape, outputs: (
            lambda key: (-jnp.ones((shape[0], 5)), jnp.ones((5, outputs))),
            lambda weights, x: jax.nn.relu(x @ weights[0]) @ weights[1],
        ),
        np.abs(x),
        y,
        recipe=replace(FAST, epochs=0),
    )
    with pytest.raises(DataError, match="undefined for source 0, 1"):
        fitted.similarity(np.abs(x[:2]), y[:2], np.abs(x))
