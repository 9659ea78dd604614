"""One fitted network over a small protocol: wrapped functions, and a backend in a plug-in of sixty lines."""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import lebench
from lebench.backends.fitted import Differentiable, FittedNetwork
from lebench.capabilities import CAPABILITIES, offers
from lebench.errors import LebenchError


def offered(fitted: object) -> set[str]:
    return {name for name in CAPABILITIES if offers(fitted, name)}


class Minimal:
    """The protocol and nothing else: f(x) = tanh(x V) W in NumPy."""

    def __init__(self, v: np.ndarray, w: np.ndarray) -> None:
        self.v, self.w = v, w

    def scores(self, x):
        return np.tanh(x @ self.v) @ self.w

    def gradients(self, x, cotangents):
        h = np.tanh(x @ self.v)
        back = np.einsum("nkc,hc->nkh", cotangents, self.w) * (1 - h**2)[:, None]
        parts = np.einsum("nd,nkh->nkdh", x, back), np.einsum("nh,nkc->nkhc", h, cotangents)
        return np.concatenate([part.reshape(*cotangents.shape[:2], -1) for part in parts], axis=2)

    def moved(self, change):
        v, w = np.split(change, [self.v.size])
        return Minimal(self.v + v.reshape(self.v.shape), self.w + w.reshape(self.w.shape))


@pytest.fixture
def three() -> dict[str, FittedNetwork]:
    """The same function by the protocol alone, by torch and by JAX."""
    rng = np.random.default_rng(0)
    v, w = rng.standard_normal((4, 6)), rng.standard_normal((6, 3))
    module = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, bias=False)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(v.T))
        module[2].weight.copy_(torch.from_numpy(w.T))
    x = np.zeros((1, 4))
    function: Differentiable = Minimal(v, w)
    with jax.enable_x64(True):
        jaxed = lebench.wrap((lambda p, x: jnp.tanh(x @ p[0]) @ p[1], (v, w)), x)
    return {"protocol": FittedNetwork(function, "cross_entropy", 3), "torch": lebench.wrap(module, x), "jax": jaxed}


def test_capabilities_follow_from_the_function(three):
    always = {"predict", "predict_proba", "similarity", "gram"}
    assert offered(three["protocol"]) == offered(three["jax"]) == always
    assert offered(three["torch"]) == always | {"features", "weights"}
    assert set(three["jax"].unavailable) == {"features", "weights", "checkpoints"}
    assert not offers(FittedNetwork(three["protocol"].function, "mse", 3), "predict_proba")


@pytest.mark.parametrize("step", [None, 0.1])
def test_every_backend_measures_the_same_function_alike(three, step, monkeypatch):
    monkeypatch.setattr("lebench.backends.fitted._HELD", 100)
    rng = np.random.default_rng(1)
    x, z, y = rng.standard_normal((5, 4)), rng.standard_normal((7, 4)), np.array([0, 1, 2, 0, 1])
    reference = three["protocol"]
    for name in ("torch", "jax"):
        found = three[name]
        np.testing.assert_allclose(found.predict_proba(x), reference.predict_proba(x), rtol=1e-12)
        np.testing.assert_allclose(found.gram(x, z), reference.gram(x, z), rtol=1e-10)
        np.testing.assert_allclose(found.gram(x, x), reference.gram(x, x), rtol=1e-10)
        for kind in ("relative", "signed", "kernel"):
            for targets in (z, x):
                values = [each.similarity(x, y, targets, kind, step) for each in (found, reference)]
                np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-12)


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor


def test_a_module_that_returns_logits_is_wrapped():
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x):
            hidden = self.body(x).relu().mean((2, 3))
            return Output(self.head(hidden), hidden)

    module = Classifier().train()
    x = torch.randn(6, 3, 5, 5)
    fitted = lebench.wrap(module, x[:2])
    assert module.training
    assert next(module.parameters()).dtype == torch.float32
    array = x.double().numpy()
    np.testing.assert_allclose(fitted.predict(array), module.eval()(x).logits.detach(), rtol=1e-4, atol=1e-5)
    weights, bias = fitted.head()
    np.testing.assert_allclose(fitted.features(array) @ weights.T + bias, fitted.predict(array), rtol=1e-10)
    assert fitted.similarity(array[:3], np.array([0, 1, 4]), array).shape == (3, 6)
    last = lebench.wrap(module, array.transpose(0, 2, 3, 1), channels_last=True)
    np.testing.assert_allclose(last.predict(array.transpose(0, 2, 3, 1)), fitted.predict(array), rtol=1e-12)


def test_what_cannot_be_wrapped_is_named():
    x = np.ones((2, 4))
    with pytest.raises(LebenchError, match="cannot wrap str"):
        lebench.wrap("weights.pt", x)
    with pytest.raises(LebenchError, match=r"does not take inputs of shape \(4,\)"):
        lebench.wrap(nn.Linear(3, 2), x)
    broken = nn.Linear(4, 2)
    nn.init.constant_(broken.bias, float("nan"))
    with pytest.raises(LebenchError, match="'bias' of the module holds NaN"):
        lebench.wrap(broken, x)
    with pytest.raises(LebenchError, match="weights hold NaN"):
        lebench.wrap((lambda w, x: x @ w, np.full((4, 2), np.nan)), x)
    with pytest.raises(LebenchError, match="loss must be"):
        lebench.wrap(nn.Linear(4, 2), x, loss="hinge")
    with pytest.raises(LebenchError, match="NaN or infinite"):
        lebench.wrap(nn.Linear(4, 2), x * np.inf)


def in_pairs(w, x):
    return x @ w - 1e-3 * (x @ w).mean(0)


class Pairs(nn.Linear):
    def forward(self, x):
        return in_pairs(self.weight.T, x)


@pytest.mark.parametrize("n", [1, 3])
def test_scores_that_are_no_function_of_each_input_are_refused(n):
    x, w = np.random.default_rng(0).standard_normal((n, 4)), np.random.default_rng(1).standard_normal((4, 2))
    for model in [(in_pairs, w), Pairs(4, 2)]:
        with pytest.raises(LebenchError, match="depend on the other inputs of its batch"):
            lebench.wrap(model, x)
    with pytest.raises(LebenchError, match="depend on chance"):
        lebench.wrap(nn.Sequential(nn.Linear(4, 2), Noise()), x)
    with pytest.raises(LebenchError, match="scores are NaN"):
        lebench.wrap((lambda w, x: jnp.log(-jnp.square(x @ w)), w), x)
    with pytest.raises(LebenchError, match="weights hold int64"):
        lebench.wrap((lambda w, x: x @ w["w"], {"w": w, "step": np.arange(2)}), x)
    half = lebench.wrap((lambda w, x: (x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)).astype(jnp.float32), w), x)
    np.testing.assert_allclose(half.predict(x), x @ w, rtol=0.1, atol=0.1)


class Noise(nn.Module):
    def forward(self, x):
        return x + 1e-3 * torch.randn(2)


STUB = Path(__file__).parent / "plugins" / "numpy_backend.py"


def test_a_backend_of_a_plugin_trains_a_perceptron_that_all_tracks_score(tmp_path, plugins_forgotten):
    tasks = ["digits/accuracy", "digits/elasticity", "digits/collapse"]
    frame = lebench.run(
        "mlp[width=8,epochs=8,min_steps=0]",
        tasks,
        seeds=1,
        backend="numpy-mlp",
        plugins=[STUB],
        results=tmp_path,
        jobs=1,
    )
    assert set(frame["task"]) == set(tasks)
    assert set(frame["status"]) == {"ok"}
    accuracy = frame[(frame["task"] == "digits/accuracy") & (frame["metric"] == "accuracy")]["value"].item()
    assert accuracy > 0.5
