"""A fit that is ended and continued has the same weights, to the last bit."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from lebench import architectures as arch
from lebench import registry
from lebench.backends.base import Recipe
from lebench.backends.torch_backend import TorchBackend
from lebench.checkpoints import KeptFit, Training, keeping, training
from lebench.errors import LebenchError
from lebench.models.spec import build_model

RECIPE = Recipe(epochs=3, lr=0.05, batch_size=32, min_steps=1)


class Ended(BaseException):
    """Stands for whatever ends a process."""


def network(shape, classes):
    """Return what has momentum, running statistics, and draws of its own while it trains."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, classes)
    )


def fit(recipe=RECIPE, seed=0):
    split = registry.datasets.get("digits").split(0)
    return TorchBackend().fit(network, recipe, split.x_train[:200], split.y_train[:200], 10, seed)


def weights(fitted):
    return [value.numpy() for value in fitted.function.module.state_dict().values()]


def kept(folder, every_s=0.0, to_the_end=False, made_by=None):
    return KeptFit(folder, {"model": "mine"}, made_by or {"torch": "1"}, every_s, to_the_end)


def end_after(monkeypatch, steps):
    """Let training end after so many steps, each of which is kept."""
    monkeypatch.setattr("lebench.checkpoints._PRICE", 0.0)
    made = iter(range(steps))
    usual = Training.step

    def step(self, state):
        usual(self, state)
        if next(made, None) is None:
            raise Ended

    monkeypatch.setattr(Training, "step", step)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("steps", [0, 4, 6, 9, 20])
def test_training_that_was_ended_goes_on_to_the_same_weights(tmp_path, monkeypatch, steps, optimizer):
    recipe = replace(RECIPE, optimizer=optimizer)
    whole = fit(recipe)
    with monkeypatch.context() as patch:
        end_after(patch, steps)
        with pytest.raises(Ended), keeping(kept(tmp_path)):
            fit(recipe)
    again = kept(tmp_path, every_s=1000.0)
    evaluated = []
    monkeypatch.setattr(nn.BatchNorm2d, "forward", counting(nn.BatchNorm2d.forward, evaluated))
    with keeping(again):
        resumed = fit(recipe)
    # In training mode: no step is made twice.
    assert sum(evaluated) == 21 - (steps + 1)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    ours, theirs = whole.trajectory(), resumed.trajectory()
    for field in fields(ours):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
    for one, other in zip(whole.checkpoints(), resumed.checkpoints(), strict=True):
        for a, b in zip(weights(one.restore()), weights(other.restore()), strict=True):
            np.testing.assert_array_equal(a, b)
    assert again.wall_s > 0
    again.end()
    assert not tmp_path.exists()


@pytest.mark.parametrize("steps", [0, 5])
def test_training_of_a_perceptron_goes_on_to_the_same_weights(tmp_path, monkeypatch, steps):
    split = registry.datasets.get("digits").split(0)

    def fitted():
        return TorchBackend().fit(arch.mlp(width=13), RECIPE, split.x_train[:200], split.y_train[:200], 10, 0)

    whole = fitted()
    with monkeypatch.context() as patch:
        end_after(patch, steps)
        with pytest.raises(Ended), keeping(kept(tmp_path)):
            fitted()
    again = kept(tmp_path, every_s=1000.0)
    with keeping(again):
        resumed = fitted()
    assert again.wall_s > 0
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [0, 3, 9])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_in_jax_that_was_ended_goes_on_to_the_same_weights(tmp_path, monkeypatch, steps, optimizer):
    jax = pytest.importorskip("jax")
    from lebench.backends.jax_backend import JaxBackend

    split = registry.datasets.get("digits").split(0)
    # 25 steps an epoch: groups of 16 and 9 of them between moments.
    recipe = Recipe(epochs=6, lr=0.01, batch_size=8, min_steps=1, optimizer=optimizer, augmentation="flip")

    def fitted():
        return JaxBackend().fit(arch.resnet(width=2), recipe, split.x_train[:200], split.y_train[:200], 10, 0)

    whole = fitted()
    with monkeypatch.context() as patch:
        end_after(patch, steps)
        with pytest.raises(Ended), keeping(kept(tmp_path)):
            fitted()
    again = kept(tmp_path, every_s=1000.0, to_the_end=True)
    with keeping(again):
        resumed = fitted()
    assert again.wall_s > 0
    with monkeypatch.context() as patch, keeping(kept(tmp_path, to_the_end=True)):
        # From the last state, nothing is trained.
        patch.setattr("lebench.backends.jax_training._stepper", lambda *_: None)
        last = fitted()
    for other in (resumed, last):
        for one, two in zip(
            jax.tree.leaves(whole.function.parameters), jax.tree.leaves(other.function.parameters), strict=True
        ):
            np.testing.assert_array_equal(one, two)
        for field in fields(whole.trajectory()):
            np.testing.assert_array_equal(
                getattr(whole.trajectory(), field.name), getattr(other.trajectory(), field.name)
            )
        x = split.x_test[:3]
        np.testing.assert_array_equal(
            whole.checkpoints()[1].fitted.predict(x), other.checkpoints()[1].fitted.predict(x)
        )


def counting(forward, calls):
    def counted(module, x):
        calls.append(module.training)
        return forward(module, x)

    return counted


def test_fit_that_is_kept_to_its_end_needs_no_training(tmp_path, monkeypatch):
    first = kept(tmp_path, every_s=1000.0, to_the_end=True)
    with keeping(first):
        whole = fit()
    first.end()
    monkeypatch.setattr(torch.optim.SGD, "step", None)
    second = kept(tmp_path, to_the_end=True, made_by={"torch": "2"})
    with keeping(second):
        found = fit()
    for one, other in zip(weights(whole), weights(found), strict=True):
        np.testing.assert_array_equal(one, other)
    assert second.cpu_s > 0
    assert json.loads((tmp_path / "fit.json").read_text()) == {"model": "mine"}


def test_state_of_other_code_is_not_continued_and_one_of_another_recipe_is_refused(tmp_path, monkeypatch):
    whole = fit()
    with monkeypatch.context() as patch:
        end_after(patch, 5)
        with pytest.raises(Ended), keeping(kept(tmp_path)):
            fit()
    with keeping(kept(tmp_path, made_by={"torch": "2"})) as _, monkeypatch.context():
        found = fit()
    np.testing.assert_array_equal(weights(whole)[0], weights(found)[0])
    with keeping(kept(tmp_path)), pytest.raises(LebenchError, match=r"1\.npz' is of another recipe: remove it"):
        fit(replace(RECIPE, lr=0.1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x93NUMPY"])
def test_damaged_state_is_made_anew(tmp_path, content):
    (tmp_path / "1.npz").write_bytes(content)
    with keeping(kept(tmp_path, every_s=1000.0)):
        found = fit()
    np.testing.assert_array_equal(weights(found)[0], weights(fit())[0])


def test_built_in_network_that_trains_several_times_has_a_state_for_each(tmp_path):
    split = registry.datasets.get("digits").split(0)
    model = build_model("mlp[width=8,depth=1,epochs=1,min_steps=1]", "torch").model
    with keeping(kept(tmp_path, every_s=1000.0, to_the_end=True)):
        for seed in (0, 1):
            model.fit(split, seed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npz", "2.npz", "fit.json"]


def test_of_a_fit_that_is_made_twice_in_a_process_the_second_is_kept(tmp_path):
    """As where a first attempt imported torch, and so drew what came from no stream."""
    twice = kept(tmp_path / "fit", to_the_end=True)
    for value in (1.0, 2.0):
        with keeping(twice):
            place = training("mine")
            assert place.load() is None
            place.end(lambda value=value: ({"weight": np.array([value])}, {}))
    assert [file.name for file in (tmp_path / "fit").glob("*.npz")] == ["1.npz"]
    with keeping(kept(tmp_path / "fit")):
        arrays, _ = training("mine").load()
    assert arrays["weight"].tolist() == [2.0]
