"""Training by recipes for real networks: equal to a plain loop of torch, the same in JAX, one's own steps and loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lebench import architectures as arch
from lebench import registry
from lebench.backends.base import Recipe
from lebench.backends.batches import Augmented, order
from lebench.backends.torch_backend import TorchBackend
from lebench.backends.torch_function import as_input
from lebench.backends.torch_perceptron import perceptron
from lebench.errors import DataError, LebenchError, ParameterError
from lebench.models.network import Network
from lebench.models.spec import build_model
from lebench.seeds import generator

#: Everything at once.
FULL = Recipe(
    epochs=4,
    min_steps=0,
    batch_size=32,
    lr=0.05,
    schedule="cosine",
    warmup=1,
    nesterov=True,
    augmentation="flip-crop",
    label_smoothing=0.1,
    clip_norm=0.5,
)


@pytest.fixture(scope="module")
def digits():
    split = registry.datasets.get("digits").split(0)
    return replace(split, x_train=split.x_train[:100], y_train=split.y_train[:100])


def by_hand(image, flip, down, right):
    """Return an image padded by four zeros, cut out at a place, and mirrored before."""
    padded = np.pad(image[:, ::-1] if flip else image, ((4, 4), (4, 4), (0, 0)))
    height, width = image.shape[:2]
    return padded[4 + down : 4 + down + height, 4 + right : 4 + right + width]


def test_images_are_padded_cut_out_and_mirrored():
    x = np.random.default_rng(0).normal(size=(40, 6, 5, 3))
    changed = Augmented("flip-crop", (6, 5, 3), 40, None, 7)
    flips, shifts = changed._of(3)
    assert 8 < flips.sum() < 32
    assert (shifts.min(), shifts.max()) == (-4, 4)
    batch = np.array([3, 17, 39, 0])
    found = changed(x, 3, batch)
    for image, number in zip(found, batch, strict=True):
        down, right = shifts[number]
        # Mirroring the cut-out is cutting out of the mirrored one, on the other side.
        np.testing.assert_array_equal(
            image, by_hand(x[number], flips[number], down, -right if flips[number] else right)
        )
    np.testing.assert_array_equal(Augmented("none", (6, 5, 3), 40, None, 7)(x, 3, batch), x[batch])
    for kind in ("flip", "crop"):
        alone = Augmented(kind, (6, 5, 3), 40, None, 7)._of(3)
        assert (alone[0].any(), alone[1].any()) == (kind == "flip", kind == "crop")


def test_an_epoch_a_seed_and_a_point_left_out_change_no_other():
    usual = Augmented("flip-crop", (6, 5, 3), 40, None, 7)
    without = Augmented("flip-crop", (6, 5, 3), 39, 11, 7)
    for epoch in (1, 2):
        for one, other in zip(usual._of(epoch), without._of(epoch), strict=True):
            np.testing.assert_array_equal(np.delete(one, 11, axis=0), other)
    assert not np.array_equal(usual._of(1)[1], usual._of(2)[1])
    assert not np.array_equal(usual._of(1)[1], Augmented("flip-crop", (6, 5, 3), 40, None, 8)._of(1)[1])


def test_augmentation_of_what_is_no_image_is_refused():
    with pytest.raises(DataError, match="'flip' is for images; an input here has shape \\(64,\\)"):
        Augmented("flip", (64,), 10, None, 0)


def trained_plainly(recipe, x, y, seed):
    """Return the weights of a plain loop of torch, which has all of it but for the augmentation."""
    start = TorchBackend().fit(arch.resnet(width=4), replace(recipe, epochs=0), x, y, 10, seed)
    module = start.function.module.float().train().to(memory_format=torch.channels_last)
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0, momentum=0.9, nesterov=True, weight_decay=5e-4)
    else:
        optimizer = torch.optim.AdamW(module.parameters(), lr=1.0, weight_decay=5e-4)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    rng, changed = generator(seed, "batches"), Augmented("flip-crop", x.shape[1:], len(y), None, seed)
    single = x.astype(np.float32)
    for epoch in range(1, 5):
        for made, batch in enumerate(order(rng, len(y), None, 4)):
            optimizer.param_groups[0]["lr"] = recipe.rate(4 * (epoch - 1) + made, 4, 4)
            inputs = torch.from_numpy(changed(single, epoch, batch)).permute(0, 3, 1, 2)
            optimizer.zero_grad()
            loss(module(inputs), torch.from_numpy(y[batch])).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
    return [value.double().numpy() for value in module.state_dict().values()]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fit_has_the_weights_of_a_plain_loop_of_torch(digits, optimizer):
    recipe = FULL if optimizer == "sgd" else replace(FULL, optimizer="adam", nesterov=False, lr=0.002)
    fitted = TorchBackend().fit(arch.resnet(width=4), recipe, digits.x_train, digits.y_train, 10, 5)
    expected = trained_plainly(recipe, digits.x_train, digits.y_train, 5)
    for found, weights in zip(fitted.function.module.state_dict().values(), expected, strict=True):
        np.testing.assert_array_equal(found.double().numpy(), weights)
    # What is recorded is the loss of the labels as they are.
    with torch.no_grad():
        scores = fitted.function.module(torch.tensor(digits.x_train).permute(0, 3, 1, 2))
    plain = float(nn.functional.cross_entropy(scores, torch.tensor(digits.y_train)))
    assert fitted.trajectory().loss[-1] == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("width", "depth", "batch", "weight_decay"),
    [(13, 2, 7, 5e-4), (64, 1, 32, 0.0), (37, 3, 64, 1e-3), (8, 0, 16, 1e-3)],
)
def test_steps_of_a_perceptron_are_those_of_autograd_to_the_last_bit(
    digits, monkeypatch, width, depth, batch, weight_decay
):
    network = arch.mlp(width=width, depth=depth) if depth else arch.linear()
    recipe = Recipe(epochs=6, min_steps=0, lr=0.1, batch_size=batch, weight_decay=weight_decay)
    made = []

    def noted(*arguments):
        made.append(perceptron(*arguments))
        return made[-1]

    monkeypatch.setattr("lebench.backends.torch_training.perceptron", noted)
    fast = TorchBackend().fit(network, recipe, digits.x_train, digits.y_train, 10, 0)
    assert made[0] is not None
    monkeypatch.setattr("lebench.backends.torch_training.perceptron", lambda *_: None)
    plain = TorchBackend().fit(network, recipe, digits.x_train, digits.y_train, 10, 0)
    for one, other in zip(fast.checkpoints(), plain.checkpoints(), strict=True):
        pair = [list(each.fitted.function.module.parameters()) for each in (one, other)]
        assert all(torch.equal(*both) for both in zip(*pair, strict=True))
    np.testing.assert_array_equal(fast.trajectory().loss, plain.trajectory().loss)
    for changed in ({"optimizer": "adam"}, {"loss": "mse"}, {"clip_norm": 1.0}, {"precision": "bfloat16"}):
        assert perceptron(plain.function.module, replace(recipe, **changed), *batch_of(digits)) is None


def batch_of(digits):
    return as_input(digits.x_train[:32], torch.float32), torch.tensor(digits.y_train[:32])


def test_steps_of_a_perceptron_are_taken_only_where_their_gradients_are_those_of_autograd(digits, monkeypatch):
    recipe = Recipe(lr=0.1)

    def module():
        made = TorchBackend().fit(
            arch.mlp(width=8, depth=1), replace(recipe, epochs=0), digits.x_train, digits.y_train, 10, 0
        )
        found = made.function.module.float()
        for parameter in found.parameters():
            parameter.requires_grad_()
        return found

    assert perceptron(module(), recipe, *batch_of(digits)) is not None
    frozen = module()
    next(frozen.parameters()).requires_grad_(False)
    assert perceptron(frozen, recipe, *batch_of(digits)) is None
    assert perceptron(module().double(), recipe, *batch_of(digits)) is None
    hooked = module()
    hooked.layers[1].register_forward_hook(lambda layer, inputs, output: 2 * output)
    assert perceptron(hooked, recipe, *batch_of(digits)) is None


def test_bfloat16_is_another_training_and_jax_says_that_it_has_none(digits):
    x, y = digits.x_train, digits.y_train
    single, half = (
        TorchBackend().fit(arch.cnn(width=2), replace(FULL, precision=precision), x, y, 10, 0)
        for precision in ("float32", "bfloat16")
    )
    difference = np.abs(single.predict(x) - half.predict(x)).max()
    assert 1e-6 < difference < np.abs(single.predict(x)).max()
    pytest.importorskip("jax")
    from lebench.backends.jax_backend import JaxBackend

    with pytest.raises(ParameterError, match="the jax backend trains in float32 only, not in bfloat16"):
        JaxBackend().fit(arch.mlp(width=4), replace(FULL, augmentation="none", precision="bfloat16"), x, y, 10, 0)


def test_tf32_needs_a_device_that_has_it(digits):
    with pytest.raises(LebenchError, match=r"precision tf32 .* --device cuda"):
        TorchBackend().fit(arch.mlp(), replace(FULL, precision="tf32"), digits.x_train, digits.y_train, 10, 0)


def test_label_smoothing_is_refused_for_squared_errors(digits):
    with pytest.raises(ParameterError, match="label smoothing is for the loss 'cross_entropy'"):
        TorchBackend().fit(arch.mlp(), replace(FULL, loss="mse"), digits.x_train, digits.y_train, 10, 0)


def plain_step(module, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(module(x), y)
    loss.backward()
    optimizer.step()
    return loss


def test_a_step_of_ones_own_is_in_place_of_the_usual_one(digits):
    network = Network(arch.mlp(width=8), Recipe(epochs=2, min_steps=0))
    usual, same = network.fit(digits, 0), replace(network, step=plain_step).fit(digits, 0)
    np.testing.assert_array_equal(usual.predict(digits.x_train), same.predict(digits.x_train))

    def nothing(module, optimizer, x, y):
        return None

    still = replace(network, step=nothing).fit(digits, 0)
    np.testing.assert_array_equal(still.predict(digits.x_train), still.checkpoints()[0].fitted.predict(digits.x_train))


def test_a_loop_of_ones_own_trains_and_its_moments_are_noted(digits):
    def loop(module, x, y, record):
        optimizer = torch.optim.LBFGS(module.parameters())

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x), y)
            loss.backward()
            return loss

        for epoch in range(1, 4):
            optimizer.step(closure)
            record(epoch)

    fitted = Network(arch.mlp(width=8), Recipe(epochs=3, min_steps=0), loop=loop).fit(digits, 0)
    course = fitted.trajectory()
    np.testing.assert_array_equal(course.times, [0, 1, 2, 3])
    assert course.loss[-1] < course.loss[0] / 10


def test_both_hooks_and_hooks_that_a_backend_has_not_are_refused(digits):
    network = Network(arch.mlp(width=8), Recipe(epochs=1), step=plain_step)
    with pytest.raises(ParameterError, match="by a step or by a loop of one's own, not by both"):
        replace(network, loop=plain_step).fit(digits, 0)
    pytest.importorskip("jax")
    with pytest.raises(ParameterError, match="the jax backend takes no training step of one's own; use torch"):
        replace(network, backend="jax").fit(digits, 0)


@pytest.mark.parametrize(
    ("name", "weights"),
    # DeVries & Taylor 2017, Zagoruyko & Komodakis 2016, Hassani et al. 2021: 11.2, 2.7 and 3.7 million.
    [("resnet18", 11.2e6), ("wrn-16-4", 2.75e6), ("vit-tiny", 3.72e6)],
)
def test_networks_of_real_size_have_their_published_numbers_of_weights(name, weights):
    made = build_model(name).model.network
    if callable(made):
        module = made((32, 32, 3), 10)
    else:
        from lebench.backends.torch_build import build

        module = build(made, (32, 32, 3), 10, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(weights, rel=0.01)
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_transformer_offers_all_but_its_layers(digits):
    model = build_model("vit-tiny[epochs=2,warmup=1]").model
    fitted = replace(model, network=replace(model.network, width=8, heads=2, depth=1, hidden=8)).fit(digits, 0)
    assert "weights" not in model.capabilities
    x = digits.x_train[:5]
    assert fitted.features(x).shape == (5, 8)
    # The kernel is that of Jacobians: J J^T over outputs.
    jacobian = fitted.function.gradients(x, np.broadcast_to(np.eye(10), (5, 10, 10)))
    np.testing.assert_allclose(fitted.gram(x, x), np.einsum("icp,jcp->ij", jacobian, jacobian) / 10, rtol=1e-8)
    with pytest.raises(LebenchError, match="needs images that they fill"):
        model.network((30, 30, 3), 10)
