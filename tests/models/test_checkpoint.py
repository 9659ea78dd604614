"""Weights that were trained elsewhere: which files are taken, and what is said of the others."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lebench
from lebench import registry
from lebench.backends.torch_weight_files import read_weights
from lebench.errors import LebenchError
from lebench.models.checkpoint import trained_elsewhere

BUILDER = """
from torch import nn

def make(units=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))

def sized(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], 4), nn.ReLU(), nn.Linear(4, outputs))

def wider():
    return make(5)

def nothing():
    return None
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(BUILDER, encoding="utf-8")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))
    torch.save(module.state_dict(), tmp_path / "w.pt")
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    torch.save({"epoch": 3, "model": module.state_dict()}, tmp_path / "nested.pt")
    return tmp_path, module


def model_of(folder, weights, function):
    (model,) = trained_elsewhere(folder / weights, f"{folder / 'net.py'}:{function}").values()
    return model


@pytest.mark.parametrize("weights", ["w.pt", "nested.pt", "w.safetensors"])
@pytest.mark.parametrize("function", ["make", "sized"])
def test_weights_of_a_file_are_scored_like_the_module(folder, weights, function):
    path, module = folder
    split = registry.datasets.get("digits").split(0)
    fitted = model_of(path, weights, function).fit(split, 0)
    x = torch.tensor(split.x_test[:20]).permute(0, 3, 1, 2)
    np.testing.assert_allclose(fitted.predict(split.x_test[:20]), module.double()(x).detach(), rtol=1e-12)


def test_a_run_of_a_checkpoint_skips_what_needs_training(folder, tmp_path):
    path, _ = folder
    models = trained_elsewhere(path / "w.pt", f"{path / 'net.py'}:make")
    frame = lebench.run(models, ["digits/accuracy", "digits/trajectory"], 1, results=tmp_path / "results", jobs=1)
    status = frame.groupby("task")["status"].first()
    assert status.to_dict() == {"digits/accuracy": "ok", "digits/trajectory": "skipped"}


def test_names_tell_weights_and_builders_apart(folder):
    path, module = folder
    torch.save({name: value + 1 for name, value in module.state_dict().items()}, path / "other.pt")
    names = {
        name.split("-")[1]
        for weights in ("w.pt", "other.pt")
        for function in ("make", "sized")
        for name in trained_elsewhere(path / weights, f"{path / 'net.py'}:{function}")
    }
    assert len(names) == 4


def test_what_does_not_fit_is_named(folder):
    path, module = folder
    split = registry.datasets.get("digits").split(0)
    with pytest.raises(LebenchError, match=r"'1\.weight' has shape \(4, 64\), the module needs \(5, 64\)"):
        model_of(path, "w.pt", "wider").fit(split, 0)
    with pytest.raises(LebenchError, match=r"must return a torch\.nn\.Module, it returned NoneType"):
        model_of(path, "w.pt", "nothing").fit(split, 0)
    state = module.state_dict()
    torch.save({**state, "5.bias": torch.ones(1)}, path / "more.pt")
    with pytest.raises(LebenchError, match=r"the module has no '5\.bias'"):
        model_of(path, "more.pt", "make").fit(split, 0)
    torch.save({name: value for name, value in state.items() if name != "3.bias"}, path / "less.pt")
    with pytest.raises(LebenchError, match=r"'3\.bias' of shape \(10,\) is missing"):
        model_of(path, "less.pt", "make").fit(split, 0)
    torch.save({**state, "3.bias": state["3.bias"] * float("nan")}, path / "nan.pt")
    with pytest.raises(LebenchError, match=r"'3\.bias' of the module holds NaN"):
        model_of(path, "nan.pt", "make").fit(split, 0)
    with pytest.raises(LebenchError, match="has changed since"):
        replace(model_of(path, "w.pt", "make"), sha256="0").fit(split, 0)
    with pytest.raises(LebenchError, match="has no function 'nope'"):
        model_of(path, "w.pt", "nope")
    with pytest.raises(LebenchError, match="there is no file"):
        model_of(path, "none.pt", "make")
    with pytest.raises(LebenchError, match="must be FILE:FUNCTION"):
        trained_elsewhere(path / "w.pt", "make")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_a_pickle_is_never_executed(tmp_path):
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save(Bomb(), tmp_path / "saved.pt")
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    for name in ("bomb.pt", "saved.pt", "text.pt"):
        with pytest.raises(LebenchError, match="what it holds is not executed"):
            read_weights(tmp_path / name)
    (tmp_path / "text.safetensors").write_text("hello", encoding="utf-8")
    with pytest.raises(LebenchError, match="is no safetensors file"):
        read_weights(tmp_path / "text.safetensors")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(LebenchError, match=r"holds epoch and no state_dict"):
        read_weights(tmp_path / "empty.pt")
