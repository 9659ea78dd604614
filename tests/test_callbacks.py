"""Following a training: a plain loop, and trainers with the hooks of Lightning and of Hugging Face."""

import csv
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import lebench
from lebench.errors import LebenchError, MissingDependencyError

EPOCHS = 3


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 15)
    return (4 * rng.standard_normal((4, 6)))[y] + rng.standard_normal((60, 6)), y


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 4))


def epochs(module, data):
    """Train, an epoch at a time."""
    x, y = torch.tensor(data[0]).float(), torch.tensor(data[1])
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for epoch in range(EPOCHS):
        module.train()
        for batch in torch.randperm(len(x)).split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
        yield epoch


def test_a_plain_loop_is_followed(data, module, tmp_path):
    follow = lebench.Follow(*data, csv_file=tmp_path / "course.csv")
    follow(module, 0)
    for epoch in epochs(module, data):
        state, training = torch.get_rng_state(), module.training
        follow(module, epoch + 1)
        assert module.training == training
        assert torch.equal(torch.get_rng_state(), state)
    frame = follow.frame
    assert sorted(set(frame["time"])) == [0, 1, 2, 3]
    last = frame[frame["time"] == EPOCHS].set_index("metric")["value"]
    expected = lebench.score(module, *data, questions=["accuracy", "collapse"]).set_index("metric")["value"]
    np.testing.assert_array_equal(last, expected)
    course = frame[frame["metric"] == "nc1_pinv_over_C@train"]["value"].tolist()
    assert course[-1] < course[0]
    with (tmp_path / "course.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows if row["metric"] == "nc1_pinv_over_C@train"] == course
    titles = [spec["title"]["text"] for spec in frame.plot().to_dict()["vconcat"]]
    assert titles == ["accuracy. Over training", "collapse. Over training"]


def test_every_so_many_calls(data, module):
    follow = lebench.Follow(*data, questions="accuracy", every=2)
    for epoch in range(5):
        follow(module, epoch)
    assert sorted(set(follow.frame["time"])) == [0, 2, 4]
    with pytest.raises(LebenchError, match="every must be a whole number from 1, not 0"):
        lebench.Follow(*data, every=0)


def test_lightning(data, module, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    lightning = types.ModuleType("lightning.pytorch")
    lightning.Callback = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "lightning.pytorch", lightning)
    follow = lebench.Follow(*data, questions="accuracy")
    callback = follow.lightning()
    assert isinstance(callback, lightning.Callback)
    trainer = SimpleNamespace(current_epoch=0)
    callback.on_train_start(trainer, module)
    for trainer.current_epoch in epochs(module, data):
        callback.on_train_epoch_end(trainer, module)
    assert sorted(set(follow.frame["time"])) == [0, 1, 2, 3]


def test_hugging_face(data, module, monkeypatch):
    transformers = types.ModuleType("transformers")
    transformers.TrainerCallback = type("TrainerCallback", (), {})
    monkeypatch.setitem(sys.modules, "transformers", transformers)

    class Logits(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return {"loss": torch.zeros(()), "logits": self.network(x)}

    follow = lebench.Follow(*data, questions="accuracy")
    callback = follow.hugging_face()
    assert isinstance(callback, transformers.TrainerCallback)
    state = SimpleNamespace(epoch=None)
    callback.on_train_begin(None, state, None, model=Logits(module), optimizer=None)
    for epoch in epochs(module, data):
        state.epoch = epoch + 1.0
        callback.on_epoch_end(None, state, None, model=Logits(module), optimizer=None)
    assert sorted(set(follow.frame["time"])) == [0, 1, 2, 3]


def test_tensorboard(data, module, monkeypatch, tmp_path):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def add_scalar(self, *values):
            written.append(values)

        def flush(self):
            pass

    board = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    follow = lebench.Follow(*data, questions="accuracy", tensorboard=tmp_path)
    follow(module, 7)
    value = follow.frame.set_index("metric")["value"]["accuracy"]
    assert ("accuracy/accuracy", value, 7) in written


def test_what_is_not_installed_is_named(data, monkeypatch, tmp_path):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    follow = lebench.Follow(*data)
    with pytest.raises(MissingDependencyError, match="Lightning is not installed"):
        follow.lightning()
    with pytest.raises(MissingDependencyError, match="transformers is not installed"):
        follow.hugging_face()
    with pytest.raises(MissingDependencyError, match="pip install tensorboard, or give csv_file"):
        lebench.Follow(*data, tensorboard=tmp_path)
