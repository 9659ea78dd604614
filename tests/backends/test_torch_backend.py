"""The torch backend: what it builds, how it trains, and what a fitted network says of itself."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lebench import architectures as arch
from lebench import registry
from lebench.backends.base import Recipe
from lebench.backends.batches import order
from lebench.backends.torch_backend import TorchBackend
from lebench.backends.torch_build import Subsample, build
from lebench.capabilities import CAPABILITIES, offers
from lebench.errors import DataError, LebenchError, TrainingError

NAMED = ("linear", "deep-linear", "mlp", "lenet", "cnn", "resnet", "resnet-nf", "vgg")
FAST = Recipe(epochs=3, min_steps=0, lr=0.02)


@pytest.fixture(scope="module")
def digits():
    return registry.datasets.get("digits").split(0)


@pytest.fixture(scope="module")
def blobs():
    """Three classes in four dimensions, 20 points each."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    return 3 * rng.standard_normal((3, 4))[y] + rng.standard_normal((60, 4)), y


def fit(network, x, y, classes, recipe=FAST, seed=0):
    return TorchBackend().fit(network, recipe, x, y, classes, seed)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_architecture_maps_digits_to_ten_scores(name):
    model = registry.models.get(name)()
    network = build(model.network, (8, 8, 1), 10, torch.Generator().manual_seed(0))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_checkpoints_are_the_network_at_the_moments_of_its_trajectory(blobs):
    x, y = blobs
    fitted = fit(arch.mlp(width=16), x, y, 3, replace(FAST, epochs=5))
    course, kept = fitted.trajectory(), fitted.checkpoints()
    assert [point.time for point in kept] == course.times.tolist()
    for point, scores in zip(kept, course.scores, strict=True):
        # Recorded in single precision, measured in double.
        np.testing.assert_allclose(point.fitted.predict(x)[course.probe], scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(kept[-1].fitted.predict(x), fitted.predict(x))
    assert kept[0].fitted.similarity(x, y, x).shape == (60, 60)
    assert not offers(kept[0].fitted, "checkpoints")


def test_output_scale_centres_the_scores_and_makes_training_lazy(blobs):
    """Chizat, Oyallon & Bach 2019: the weights move by about 1/a, so the kernel changes less as a grows."""
    x, y = blobs
    moved = {}
    for scale in (1.0, 10.0):
        recipe = replace(FAST, epochs=30, output_scale=scale, momentum=0.0, weight_decay=0.0, schedule="constant")
        fitted = fit(arch.mlp(width=64), x, y, 3, recipe)
        first = fitted.checkpoints()[0].fitted
        np.testing.assert_array_equal(first.predict(x), 0)
        before, after = first.gram(x, x), fitted.gram(x, x)
        moved[scale] = np.linalg.norm(after - before) / np.linalg.norm(before)
        assert fitted.trajectory().loss[-1] < fitted.trajectory().loss[0]
        assert not offers(fitted, "features")
    assert 0 < moved[10.0] < moved[1.0] / 3


def test_output_scale_is_refused_with_batch_normalization(digits):
    with pytest.raises(TrainingError, match="without batch normalization"):
        fit(arch.resnet(width=2), digits.x_train[:20], digits.y_train[:20], 10, replace(FAST, output_scale=2.0))


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_linearized_network_is_linear_in_its_weights_with_the_kernel_of_the_initialization(blobs, loss):
    x, y = blobs
    recipe = replace(FAST, epochs=20, loss=loss, linearized=True, lr=0.002)
    fitted = fit(arch.mlp(width=32), x, y, 3, recipe)
    start = fit(arch.mlp(width=32), x, y, 3, replace(recipe, epochs=0, linearized=False))
    np.testing.assert_allclose(fitted.checkpoints()[0].fitted.predict(x), start.predict(x), atol=1e-12)
    assert fitted.trajectory().loss[-1] < fitted.trajectory().loss[0] / 2
    np.testing.assert_allclose(fitted.gram(x, x), start.gram(x, x), rtol=1e-12)
    # Scores are affine in the weights: half-way between start and end they are the mean of both.
    middle = copy.deepcopy(fitted.function.module)
    for p, a, b in zip(
        middle.parameters(), start.function.module.parameters(), fitted.function.module.parameters(), strict=True
    ):
        p.data = (a.data + b.data) / 2
    inputs = torch.from_numpy(x)
    np.testing.assert_allclose(
        middle(inputs).detach(), (start.predict(x) + fitted.predict(x)) / 2, rtol=1e-9, atol=1e-9
    )
    # A real step moves the scores by the kernel times the loss gradient, whatever its size.
    moved = fitted.similarity(x[:5], y[:5], x[:8], step=0.5)
    np.testing.assert_array_equal(moved, fitted.similarity(x[:5], y[:5], x[:8]))
    assert not offers(fitted, "features")


def test_strided_pointwise_convolutions_are_a_choice_of_pixels_before_one_without_stride():
    """The strided ones damage the heap on some processors, see Subsample; the function is the same."""
    drawn = torch.Generator().manual_seed(0)
    network = build(arch.resnet(width=4), (8, 8, 1), 10, drawn).eval()
    pointwise = [part for part in network.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1)]
    assert pointwise
    assert all(part.stride == (1, 1) for part in pointwise)
    chosen = [
        part
        for part in network.modules()
        if isinstance(part, nn.Sequential) and isinstance(next(iter(part), None), Subsample)
    ]
    x = torch.randn(3, chosen[0][1].in_channels, 7, 8, generator=drawn)
    weight, bias = chosen[0][1].weight, chosen[0][1].bias
    strided = torch.nn.functional.conv2d(x, weight, bias, stride=chosen[0][0].stride)
    torch.testing.assert_close(chosen[0](x), strided)


def test_convolutional_network_can_be_linearized(digits):
    recipe = replace(FAST, linearized=True, lr=0.01, epochs=2)
    fitted = fit(arch.resnet_nf(width=4), digits.x_train[:100], digits.y_train[:100], 10, recipe)
    assert fitted.trajectory().loss[-1] < fitted.trajectory().loss[0]


def test_left_out_point_leaves_the_batches_of_the_others_as_they_were(blobs):
    x, y = blobs
    recipe = replace(FAST, epochs=4, batch_size=7, momentum=0.0, weight_decay=0.0)
    batches = order(np.random.default_rng(0), 60, None, 9)
    without = order(np.random.default_rng(0), 59, 11, 9)
    for batch, rest in zip(batches, without, strict=True):
        expected = batch[batch != 11]
        np.testing.assert_array_equal(np.delete(np.arange(60), 11)[rest], expected)
    whole = fit(arch.mlp(width=16), x, y, 3, recipe).predict(x)
    kept = np.arange(60) != 11
    removed = TorchBackend().fit(arch.mlp(width=16), recipe, x[kept], y[kept], 3, 0, removed=11).predict(x)
    reordered = TorchBackend().fit(arch.mlp(width=16), recipe, x[kept], y[kept], 3, 0).predict(x)
    assert np.abs(removed - whole).max() < np.abs(reordered - whole).max() / 2


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        (arch.linear(), 64 * 10 + 10),
        (arch.mlp(width=32, depth=2), 64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10),
        # 5x5 convolutions 1-6-16, two poolings leave 2x2x16.
        (arch.lenet(), 6 * 25 + 6 + 16 * 6 * 25 + 16 + 64 * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10),
    ],
)
def test_parameter_counts(architecture, parameters):
    network = build(architecture, (8, 8, 1), 10, torch.Generator())
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_weights_have_the_variance_of_the_description():
    wide = arch.Architecture((arch.Flatten(), arch.Dense(2000), arch.Dense()), weight_variance=2.0, bias_variance=0.25)
    first = build(wide, (500,), 2, torch.Generator().manual_seed(1)).layers[1]
    # The sample variance of N numbers has relative standard deviation sqrt(2 / N); five of them.
    assert first.weight.var().item() == pytest.approx(2.0 / 500, rel=5 * math.sqrt(2 / 1e6))
    assert first.bias.var().item() == pytest.approx(0.25, rel=5 * math.sqrt(2 / 2000))


def test_flatten_keeps_the_order_height_width_channels():
    x = np.arange(2 * 3 * 4 * 2, dtype=float).reshape(2, 3, 4, 2)
    network = build(arch.Architecture((arch.Flatten(),)), (3, 4, 2), 1, torch.Generator())
    flat = network(torch.from_numpy(x).permute(0, 3, 1, 2))
    np.testing.assert_array_equal(flat.numpy(), x.reshape(2, -1))


def test_a_layer_that_does_not_fit_is_named():
    with pytest.raises(LebenchError, match=r"Dense\(units=5\) needs a vector .* Flatten"):
        build(arch.Architecture((arch.Dense(5),)), (8, 8, 1), 10, torch.Generator())
    with pytest.raises(LebenchError, match=r"MaxPool\(\) leaves nothing"):
        build(arch.Architecture((arch.MaxPool(),) * 4), (8, 8, 1), 10, torch.Generator())
    mismatch = arch.Residual((arch.Conv(4, stride=2),))
    with pytest.raises(LebenchError, match="add a 1x1 convolution"):
        build(arch.Architecture((mismatch,)), (8, 8, 4), 10, torch.Generator())


def test_the_same_seed_gives_the_same_network_bit_for_bit(digits):
    x, y = digits.x_train[:100], digits.y_train[:100]
    first, again = (fit(arch.resnet(width=4), x, y, 10, seed=3).predict(x) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, fit(arch.resnet(width=4), x, y, 10, seed=4).predict(x))


def test_training_leaves_torchs_global_randomness_alone(blobs):
    def module(shape, outputs):
        return nn.Linear(shape[0], outputs)

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(module, *blobs, 3)
    assert torch.equal(torch.rand(1), expected)


def test_mse_training_of_a_linear_network_finds_the_ridge_solution(blobs):
    """Minimum of mean (1/2)|f - y|^2 + (wd/2)|w|^2, the bias decayed as well, in closed form."""
    x, y = blobs
    decay = 0.1
    recipe = Recipe(
        epochs=400, lr=0.02, batch_size=60, weight_decay=decay, loss="mse", schedule="constant", momentum=0.9
    )
    with_one = np.hstack([x, np.ones((60, 1))])
    targets = np.eye(3)[y] - 1 / 3
    weights = np.linalg.solve(with_one.T @ with_one / 60 + decay * np.eye(5), with_one.T @ targets / 60)
    fitted = fit(arch.linear(), x, y, 3, recipe)
    np.testing.assert_allclose(fitted.predict(x), with_one @ weights, atol=1e-5)
    assert not offers(fitted, "predict_proba")


def test_a_small_network_reaches_zero_training_error_and_generalizes(digits):
    fitted = fit(arch.mlp(width=64), digits.x_train, digits.y_train, 10, Recipe(epochs=30, lr=0.1))
    course = fitted.trajectory()
    assert course.times[0] == 0
    assert course.times[-1] == 30
    assert course.error[0] > 0.7
    assert course.error[-1] == 0
    assert course.scores.shape == (len(course.times), len(course.probe), 10)
    np.testing.assert_allclose(course.scores[-1], fitted.predict(digits.x_train[course.probe]), atol=1e-4)
    assert (fitted.predict(digits.x_test).argmax(1) == digits.y_test).mean() > 0.94


def test_small_data_gets_the_minimum_number_of_steps(blobs):
    x, y = blobs
    fitted = fit(arch.linear(), x, y, 3, Recipe(epochs=5, batch_size=20, min_steps=100))
    assert fitted.trajectory().times[-1] == math.ceil(100 / 3)


def test_what_is_recorded_within_epochs_does_not_change_training(blobs):
    x, y = blobs
    recipe = Recipe(epochs=2, batch_size=1, min_steps=0, lr=0.01)
    plain = fit(arch.mlp(width=8), x, y, 3, recipe)
    fitted = fit(arch.mlp(width=8), x, y, 3, replace(recipe, record_steps=25))
    course = fitted.trajectory()
    np.testing.assert_allclose(course.times, [0, 25 / 60, 50 / 60, 1, 75 / 60, 100 / 60, 2])
    np.testing.assert_array_equal(fitted.predict(x), plain.predict(x))
    np.testing.assert_array_equal(course.scores[[0, 3, -1]], plain.trajectory().scores)
    assert [point.time for point in fitted.checkpoints()] == course.times.tolist()
    # One update is small, and 25 are more.
    moved = np.linalg.norm(np.diff(course.scores, axis=0), axis=(1, 2))
    assert (moved > 0).all()


def test_divergence_is_an_error_that_says_what_to_do(blobs):
    with pytest.raises(TrainingError, match=r"diverged .* smaller lr"):
        fit(arch.deep_linear(width=16), *blobs, 3, Recipe(epochs=50, lr=50.0, min_steps=0))


@pytest.mark.parametrize("name", NAMED)
def test_every_network_offers_what_it_declares(name, digits):
    model = registry.models.get(name)()
    model = replace(model, recipe=replace(model.recipe, epochs=1, min_steps=0))
    x, y = digits.x_train[:40], digits.y_train[:40]
    fitted = fit(model.network, x, y, 10, model.recipe)
    assert {c for c in CAPABILITIES if offers(fitted, c)} == model.capabilities

    features, (weights, bias) = fitted.features(x), fitted.head()
    np.testing.assert_allclose(features @ weights.T + bias, fitted.predict(x), atol=1e-10)
    np.testing.assert_allclose(fitted.predict_proba(x).sum(axis=1), 1.0)
    relative = fitted.similarity(x[:5], y[:5], x[:7])
    assert relative.shape == (5, 7)
    assert relative.dtype == np.float64
    np.testing.assert_allclose(relative[range(5), range(5)], 1.0)
    gram = fitted.gram(x[:6], x[:6])
    np.testing.assert_allclose(gram, gram.T, rtol=1e-10)
    assert np.linalg.eigvalsh(gram).min() > -1e-8 * np.trace(gram)


@pytest.mark.parametrize("step", [None, 1e-6, 1.0])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_similarity_of_a_linear_network_is_its_gram_matrix(blobs, step, loss):
    """science: f = w.x + b gives S_ker = <x, x'> + 1 and S_rel = |<x, x'> + 1| / (|x|^2 + 1) for any step."""
    x, y = blobs
    fitted = fit(arch.linear(), x, y, 3, replace(FAST, loss=loss))
    sources, targets = x[:6], x[3:12]
    gram = sources @ targets.T + 1
    norm = (sources**2).sum(axis=1, keepdims=True) + 1
    # A real step of 1e-6 is resolved to about the machine epsilon over the step.
    tolerance = 1e-10 if step is None else 1e-8
    for kind, expected in (("kernel", gram), ("signed", gram / norm), ("relative", np.abs(gram) / norm)):
        found = fitted.similarity(sources, y[:6], targets, kind=kind, step=step)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("architecture", [arch.mlp(width=16, activation="tanh"), arch.mlp(width=16)])
def test_first_order_similarity_is_the_limit_of_real_steps(blobs, architecture):
    x, y = blobs
    fitted = fit(architecture, x, y, 3)
    for kind in ("relative", "signed", "kernel"):
        limit = fitted.similarity(x[:8], y[:8], x[8:20], kind=kind)
        real = fitted.similarity(x[:8], y[:8], x[8:20], kind=kind, step=1e-6)
        np.testing.assert_allclose(real, limit, atol=2e-4 * np.abs(limit).max())


def test_similarity_tends_to_the_tangent_kernel_in_proportion_to_the_step(blobs):
    """LE-2: of a smooth network the error of a real step is of first order in it."""
    x, y = blobs
    fitted = fit(arch.mlp(width=16, activation="tanh"), x, y, 3, replace(FAST, loss="mse"))

    def error(step):
        found = fitted.similarity(x[:8], y[:8], x[8:20], kind="kernel", step=step)
        return np.linalg.norm(found - limit) / np.linalg.norm(limit)

    limit = fitted.similarity(x[:8], y[:8], x[8:20], kind="kernel")
    steps = np.array([1e-2, 1e-3, 1e-4])
    errors = np.array([error(step) for step in steps])
    assert 0.9 <= np.polyfit(np.log(steps), np.log(errors), 1)[0] <= 1.1
    assert error(1e-8) < 1e-6


def test_gram_is_the_average_over_outputs_of_the_jacobian_gram(blobs):
    x, y = blobs
    fitted = fit(arch.mlp(width=8), x, y, 3)
    parameters = dict(fitted.function.module.named_parameters())
    jacobian = torch.func.jacrev(
        lambda p: torch.func.functional_call(fitted.function.module, p, torch.from_numpy(x[:6]))
    )
    rows = torch.cat([j.flatten(2) for j in jacobian(parameters).values()], dim=2)
    expected = torch.einsum("ncp,mcp->nm", rows, rows).detach().numpy() / 3
    np.testing.assert_allclose(fitted.gram(x[:6], x[:6]), expected, rtol=1e-10)


def test_similarity_survives_a_saturated_classifier(blobs):
    """Logits so large that p - onehot is 0 in float64; the kernel of a linear network does not care."""
    x, y = blobs
    fitted = fit(arch.linear(), x, y, 3, Recipe(epochs=100, lr=0.1))
    with torch.no_grad():
        for parameter in fitted.function.module.parameters():
            parameter.mul_(500.0)
    right = fitted.predict(x).argmax(1) == y
    found = fitted.similarity(x[right], y[right], x)
    gram = np.abs(x[right] @ x.T + 1) / ((x[right] ** 2).sum(axis=1, keepdims=True) + 1)
    np.testing.assert_allclose(found, gram, rtol=1e-8)


def test_a_vanishing_denominator_is_reported_by_source(blobs):
    def dead(shape, outputs):
        return nn.Sequential(nn.Linear(shape[0], 5, bias=False), nn.ReLU(), nn.Linear(5, outputs, bias=False))

    x, y = np.abs(blobs[0]), blobs[1]
    fitted = fit(dead, x, y, 3, replace(FAST, epochs=0))
    with torch.no_grad():
        fitted.function.module[0].weight.fill_(-1.0)  # no unit is active on positive inputs: nothing moves
    with pytest.raises(DataError, match="undefined for source 0, 1"):
        fitted.similarity(x[:2], y[:2], x)


def test_a_module_of_ones_own_is_scored(digits):
    def small(shape, outputs):
        return nn.Sequential(nn.Conv2d(shape[2], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, outputs))

    x, y = digits.x_train[:60], digits.y_train[:60]
    fitted = fit(small, x, y, 10)
    assert fitted.features(x).shape == (60, 144)
    assert fitted.gram(x[:3], x[:4]).shape == (3, 4)


def test_a_module_without_a_linear_head_has_no_features(blobs):
    def headless(shape, outputs):
        return nn.Sequential(nn.Linear(shape[0], 7), nn.ReLU(), nn.Linear(7, outputs + 1), nn.AvgPool1d(2, 1))

    fitted = fit(headless, *blobs, 3)
    assert not offers(fitted, "features")
    assert "does not end in a torch.nn.Linear" in fitted.unavailable["features"]
    with pytest.raises(LebenchError, match=r"must return a torch\.nn\.Module"):
        fit(lambda shape, outputs: None, *blobs, 3)
