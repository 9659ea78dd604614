"""Weights that were trained elsewhere: which files are taken, and what is said of the others."""

import pickle
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lebench
from lebench import registry
from lebench.backends.torch_weight_files import read_weights
from lebench.cli import main
from lebench.errors import LebenchError, LebenchWarning
from lebench.models.checkpoint import files_of, trained_elsewhere
from lebench.runner.store import Store

BUILDER = """
from torch import nn

def make(units=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))

def sized(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], 4), nn.ReLU(), nn.Linear(4, outputs))

def wider():
    return make(5)

def wide():
    return make(32)

def nothing():
    return None
"""


def network(units):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, units), nn.ReLU(), nn.Linear(units, 10))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(BUILDER, encoding="utf-8")
    torch.manual_seed(0)
    module = network(4)
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
        replace(model_of(path, "w.pt", "make"), weights=((0.0, str(path / "w.pt"), "0"),)).fit(split, 0)
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


def lebench_(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lebench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code


def run(*arguments):
    return lebench_("run", *arguments)


def test_files_that_do_not_fit_are_refused_before_anything_runs(folder, tmp_path, monkeypatch, capsys):
    path, module = folder
    monkeypatch.chdir(path)
    torch.save({**module.state_dict(), "3.bias": torch.full((10,), float("nan"))}, "nan.pt")
    (path / "pickle.pt").write_bytes(pickle.dumps({"a": 1}))
    torch.save(nn.Linear(64, 10).state_dict(), "other.pt")
    (path / "broken.py").write_text("import nosuchmodule\ndef make(): pass\n", encoding="utf-8")
    cases = [
        ("nan.pt", "net.py:make", "nan.pt with net.py:make: '3.bias' of the module holds NaN"),
        ("pickle.pt", "net.py:make", "what it holds is not executed"),
        ("other.pt", "net.py:make", "other.pt does not fit the builder: '1.weight' of shape (4, 64) is missing"),
        ("w.pt", "net.py:few", "net.py:few returns 7 scores, digits has 10 classes"),
        ("few.pt", "net.py:few", "there is no file few.pt"),
        ("w.pt", "broken.py:make", "builder 'broken.py' fails to import: ModuleNotFoundError"),
        ("w.pt", "net.py:says", "module returned str; let it return its scores"),
        ("w.pt", "net.py:breaks", "the builder fails, called without arguments or with (shape, classes): OSError: no"),
        ("w.pt", "net.py:three", "TypeError: three() missing 1 required positional argument: 'c'"),
        ("w.pt", "net.py:lazy", "parameters without shapes: call a lazy module once in it"),
    ]
    more = """
def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10), nn.Linear(10, 7, bias=False))

class Says(nn.Sequential):
    def forward(self, x):
        return "scores"

def says():
    return Says(*make())

def breaks():
    raise OSError("no\\nluck")

def three(a, b, c):
    return make()

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
"""
    (path / "net.py").write_text(BUILDER + more, encoding="utf-8")
    torch.save({**module.state_dict(), "4.weight": torch.ones(7, 10)}, "seven.pt")
    cases[3] = ("seven.pt", *cases[3][1:])
    for weights, builder, said in cases:
        code = run("--checkpoint", weights, "--builder", builder, "-t", "digits/accuracy", "-o", "none")
        err = capsys.readouterr().err
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
    assert not (path / "none").exists()


def test_records_say_where_weights_came_from_and_take_no_rank(folder, tmp_path, monkeypatch, capsys):
    path, _ = folder
    monkeypatch.chdir(path)
    options = (
        "--builder",
        "net.py:make",
        "-t",
        "digits/accuracy",
        "-t",
        "digits/small-n",
        "--seeds",
        1,
        "-o",
        "results",
    )
    assert run("--checkpoint", "w.pt", *options) == 0
    out = capsys.readouterr().out
    (record,) = (r for r in Store("results").load() if r.status == "ok")
    assert record.outside == model_of(path, "w.pt", "make").weights[0][2]
    assert f"trained elsewhere (sha256 {record.outside})" in out.replace("\n", " ")
    assert "not ranked" in out
    assert not re.search(r"\d+ to \d+ of \d+", out)
    assert "on digits/small-n: trains models of its own" in out
    assert lebench_("submit", "results", "--author", "A. Author") == 2
    assert "weights that were trained elsewhere" in capsys.readouterr().err
    # The same weights and code in another folder are the same model.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("w.pt", "net.py"):
        (elsewhere / name).write_bytes((path / name).read_bytes())
    assert model_of(elsewhere, "w.pt", "make").digest == model_of(path, "w.pt", "make").digest


@pytest.fixture
def course(folder):
    path, _ = folder
    module = network(32)
    (path / "course").mkdir()
    split = registry.datasets.get("digits").split(0)
    x, y = torch.tensor(split.x_train).float().permute(0, 3, 1, 2), torch.tensor(split.y_train)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    modules = {}
    for epoch in range(7):
        if epoch in (0, 1, 6):
            modules[epoch] = network(32)
            modules[epoch].load_state_dict(module.state_dict())
            torch.save(module.state_dict(), path / "course" / f"epoch_{epoch}.pt")
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return path, modules


def test_a_folder_of_checkpoints_is_a_trajectory(course, tmp_path):
    path, modules = course
    torch.save({"step": 3}, path / "course" / "best.pt")
    with pytest.warns(LebenchWarning, match=r"best\.pt: left out"):
        frame = lebench.score(path / "course", "digits", builder=f"{path / 'net.py'}:wide")
    assert set(frame["question"]) == {"accuracy", "elasticity", "collapse", "trajectory", "over-training", "alignment"}
    found = frame.set_index(["question", "metric"])["value"]
    alone = lebench.score(modules[6], "digits").set_index(["question", "metric"])["value"]
    first = lebench.score(modules[0], "digits").set_index(["question", "metric"])["value"]
    for name in ("nc1_pinv_over_C", "nc3_selfduality"):
        assert found["trajectory", f"{name}@end-train"] == pytest.approx(alone["collapse", f"{name}@train"])
    assert found["over-training", "elasticity_ratio@end"] == pytest.approx(alone["elasticity", "elasticity_ratio"])
    assert found["over-training", "elasticity_ratio@start"] == pytest.approx(first["elasticity", "elasticity_ratio"])
    same = lebench.score(modules, "digits", questions="trajectory").set_index("metric")["value"]
    assert same["nc1_pinv_over_C@end-train"] == found["trajectory", "nc1_pinv_over_C@end-train"]

    (path / "course" / "best.pt").unlink()
    tasks = ["digits/trajectory", "digits/over-training", "digits/alignment"]
    builder = f"{path / 'net.py'}:wide"
    run = lebench.run(tasks=tasks, seeds=1, results=tmp_path / "r", jobs=1, checkpoint=path / "course", builder=builder)
    assert set(run["status"]) == {"ok"}
    recorded = run.set_index(["task", "metric"])["value"]
    for task, question in zip(tasks, ("trajectory", "over-training", "alignment"), strict=True):
        for (of, metric), value in found.items():
            if of == question:
                expected = recorded[task, metric]
                np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_moments_have_the_time_in_their_names(tmp_path):
    for name in ("step=20-v1.ckpt", "step=3-v1.ckpt"):
        (tmp_path / name).touch()
    assert [file.name for file in files_of(tmp_path).values()] == ["step=20-v1.ckpt", "step=3-v1.ckpt"]
    hugging_face = tmp_path / "trainer"
    for step in (1000, 500):
        (hugging_face / f"checkpoint-{step}").mkdir(parents=True)
        (hugging_face / f"checkpoint-{step}" / "model.safetensors").touch()
        (hugging_face / f"checkpoint-{step}" / "optimizer.pt").touch()
    assert list(files_of(hugging_face)) == [500, 1000]
    (tmp_path / "empty").mkdir()
    with pytest.raises(LebenchError, match="holds no file of weights"):
        files_of(tmp_path / "empty")


def test_weights_of_a_module_that_holds_the_network(folder):
    path, module = folder
    torch.save(
        {"state_dict": {f"model.{k}": v for k, v in module.state_dict().items()} | {"loss.w": torch.ones(2)}},
        path / "l.ckpt",
    )
    split = registry.datasets.get("digits").split(0)
    same = model_of(path, "w.pt", "make").fit(split, 0).predict(split.x_test)
    np.testing.assert_array_equal(model_of(path, "l.ckpt", "make").fit(split, 0).predict(split.x_test), same)
