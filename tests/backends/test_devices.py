"""Devices: nothing is on the wrong one, by tensors that hold CPU data under the name of another device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from lebench import architectures as arch
from lebench import devices, registry
from lebench.backends.base import Recipe
from lebench.backends.torch_backend import TorchBackend
from lebench.devices import Device, share_out
from lebench.errors import LebenchWarning, ParameterError

#: The device that they claim to be on: one that needs no driver, and on which torch itself would compute nothing.
NAME = "lazy"
RECIPE = Recipe(epochs=2, min_steps=0, batch_size=16, lr=0.02, augmentation="none")


class Elsewhere(torch.Tensor):
    """A tensor of another device, whose data are on the processor."""

    @staticmethod
    def __new__(cls, data):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            data.shape,
            strides=data.stride(),
            storage_offset=data.storage_offset(),
            dtype=data.dtype,
            device=NAME,
            requires_grad=data.requires_grad,
        )

    def __init__(self, data):
        self.data_here = data

    def tolist(self):
        return self.data_here.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def here(value):
    return value.data_here if isinstance(value, Elsewhere) else value


def compute(function, args, kwargs):
    """Do an operation where its tensors are, and fail if they are not in one place."""
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    away = any(isinstance(tensor, Elsewhere) for tensor in tensors)
    moves = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    mixed = away and any(not isinstance(tensor, Elsewhere) and tensor.ndim > 0 for tensor in tensors)
    if mixed and not moves:
        shapes = [(type(tensor).__name__, tuple(tensor.shape)) for tensor in tensors]
        raise AssertionError(f"{function} of tensors on several devices: {shapes}")
    wanted = kwargs.get("device")
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
        away = torch.device(wanted).type == NAME
    found = function(*tree_map(here, args), **tree_map(here, kwargs))
    if function is torch.ops.aten.copy_.default or function._schema.name.split(".")[0].endswith("_"):
        # In place: what it is called on.
        return args[0]
    return tree_map(lambda leaf: Elsewhere(leaf) if away and isinstance(leaf, torch.Tensor) else leaf, found)


class Moving(TorchDispatchMode):
    """Sends tensors to the other device, and makes those that are asked for there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


@pytest.fixture(scope="module")
def digits():
    split = registry.datasets.get("digits").split(0)
    return replace(split, x_train=split.x_train[:48], y_train=split.y_train[:48])


NETWORKS = {
    "mlp": arch.mlp(width=16),
    "cnn": arch.cnn(width=2),
    "resnet": arch.resnet(width=2),
}
ALL_OPTIONS = {"augmentation": "flip-crop", "label_smoothing": 0.1, "clip_norm": 0.5, "nesterov": True}


@pytest.fixture
def new_parameters():
    """Conversions of modules make new parameters: the data of a subclass cannot be set in place."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.usefixtures("new_parameters")
@pytest.mark.parametrize(
    ("name", "changes"),
    [("mlp", {}), ("mlp", {"optimizer": "adam"}), ("cnn", {"loss": "mse"}), ("resnet", ALL_OPTIONS)],
)
def test_training_and_measurements_are_all_on_the_device(digits, name, changes):
    recipe = replace(RECIPE, **changes)
    x, y, z = digits.x_train, digits.y_train, digits.x_test[:6]
    expected = TorchBackend().fit(NETWORKS[name], recipe, x, y, 10, 0)
    with devices.using(NAME), Moving():
        fitted = TorchBackend().fit(NETWORKS[name], recipe, x, y, 10, 0)
        assert all(isinstance(p.data, Elsewhere) for p in fitted.function.module.parameters())
        np.testing.assert_allclose(fitted.predict(z), expected.predict(z), rtol=1e-9)
        np.testing.assert_allclose(fitted.features(z), expected.features(z), rtol=1e-9)
        for found, weights in zip(fitted.weights(), expected.weights(), strict=True):
            np.testing.assert_allclose(found.weight, weights.weight, rtol=1e-9)
        np.testing.assert_array_equal(fitted.trajectory().loss, expected.trajectory().loss)
        last = fitted.checkpoints()[-1].fitted
        np.testing.assert_array_equal(last.predict(z), fitted.predict(z))
        cotangents = np.broadcast_to(np.eye(10), (6, 10, 10))
        np.testing.assert_allclose(
            fitted.function.gradients(z, cotangents), expected.function.gradients(z, cotangents), atol=1e-9
        )
        labels = digits.y_test[:6]
        for step in (None, 1e-3):
            similar = fitted.similarity(z, labels, z, step=step)
            np.testing.assert_allclose(similar, expected.similarity(z, labels, z, step=step), rtol=1e-6)
        np.testing.assert_allclose(fitted.gram(z, z), expected.gram(z, z), rtol=1e-8)


def test_tensors_of_several_devices_are_noticed():
    with Moving():
        away = torch.ones(3, 2).to(NAME)
        assert away.device.type == NAME
        np.testing.assert_array_equal((away + 1).cpu().numpy(), 2)
        for mixed in (lambda: away @ torch.ones(2, 4), lambda: away + torch.ones(2), lambda: away[torch.tensor([0])]):
            with pytest.raises(AssertionError, match="of tensors on several devices"):
                mixed()


GPUS = (Device("cuda:0", "A", "1"), Device("cuda:1", "A", "1"))


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        ("cpu", GPUS, "cpu"),
        ("auto", (), "cpu"),
        ("auto", GPUS, "cuda:0 cuda:1"),
        ("cuda", GPUS, "cuda:0 cuda:1"),
        ("cuda:1", GPUS, "cuda:1"),
        ("mps", (Device("mps"),), "mps"),
    ],
)
def test_workers_share_the_devices_that_are_wanted(wanted, there, expected):
    shared = share_out(wanted, ["torch"], lambda backend: there)
    assert " ".join(device.name for device in shared["torch"]) == expected


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("cuda:7", "there is no device 'cuda:7' for the torch backend here; it has cpu, cuda:0, cuda:1"),
        ("mps", "there is no device 'mps'"),
        ("gpu", "device 'gpu' is none of auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused(wanted, message):
    with pytest.raises(ParameterError, match=message):
        share_out(wanted, ["torch"], lambda backend: GPUS)


@pytest.mark.parametrize("what", ["predict", "features", "gram", "similarity"])
def test_a_batch_of_measurements_that_does_not_fit_is_halved_once(digits, monkeypatch, what):
    x, y = digits.x_train, digits.y_train
    ask = {
        "predict": lambda fitted: fitted.predict(x),
        "features": lambda fitted: fitted.features(x),
        "gram": lambda fitted: fitted.gram(x, x),
        "similarity": lambda fitted: fitted.similarity(x, y, x),
    }[what]
    monkeypatch.setattr("lebench.backends.torch_function._BATCH", 40)
    monkeypatch.setattr("lebench.backends.torch_tangents.BUDGET_BYTES", 2_600_000)
    sizes, most = [], len(x)

    def fitted():
        made = TorchBackend().fit(arch.cnn(width=2), RECIPE, x, y, 10, 0)
        usual = made.function.module.forward

        def limited(x):
            sizes.append(len(x))
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return usual(x)

        made.function.module.forward = limited
        return made

    expected = ask(fitted())
    largest = max(sizes)
    assert 8 < largest < len(x)
    sizes, most = [], largest - 1
    with pytest.warns(
        LebenchWarning, match="out of memory on the device: measured in batches of half the size"
    ) as said:
        found = ask(fitted())
    assert len(said) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert sizes.count(largest) == 1
    assert largest // 2 in sizes
    most = largest // 2 - 1
    with pytest.raises(torch.OutOfMemoryError), pytest.warns(LebenchWarning):
        ask(fitted())


@pytest.mark.gpu
def test_a_gpu_computes_what_the_processor_computes(digits):
    there = TorchBackend.devices()
    if not there:
        pytest.skip("there is no GPU here")
    from lebench.cli.doctor import _agreement

    for finding in _agreement("torch", [device.name for device in there]):
        assert finding.right, finding.found
