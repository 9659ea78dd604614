"""Weights of trained networks: what a network with them and without normalization computes is what it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lebench import architectures, metrics
from lebench.architectures import Architecture, BatchNorm, Conv, Dense, Flatten, LayerNorm, MaxPool, Relu, Residual
from lebench.backends.base import Recipe
from lebench.backends.jax_backend import JaxBackend
from lebench.backends.jax_networks import Described
from lebench.backends.torch_backend import TorchBackend
from lebench.backends.torch_weights import layer_weights
from lebench.capabilities import HasWeights
from lebench.errors import LebenchError
from lebench.models.network import Network

RECIPE = Recipe(epochs=2, lr=0.01, min_steps=0, batch_size=10)
BACKENDS = {"torch": TorchBackend, "jax": JaxBackend}
NETWORKS = {
    "mlp": architectures.mlp(width=7),
    "residual": Architecture(
        (
            Conv(3),
            Relu,
            MaxPool(),
            Residual((Conv(2, stride=2), BatchNorm(), Relu, Conv(2)), (Conv(2, kernel=1, stride=2), BatchNorm())),
            Relu,
            Flatten(),
            Dense(),
        )
    ),
}


def _without_normalization(layers):
    kept = []
    for layer in layers:
        if isinstance(layer, Residual):
            layer = Residual(_without_normalization(layer.body), _without_normalization(layer.shortcut))
        if not isinstance(layer, BatchNorm):
            kept.append(layer)
    return tuple(kept)


def _data(shape=(8, 8, 1)):
    rng = np.random.default_rng(3)
    return rng.standard_normal((30, *shape)), np.arange(30) % 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_folded_weights_are_the_network(backend, name):
    import jax

    x, y = _data()
    fitted = BACKENDS[backend]().fit(NETWORKS[name], RECIPE, x, y, 3, seed=0)
    expected = fitted.predict(x)
    assert isinstance(fitted, HasWeights)
    weights, biases = metrics.folded_layers(fitted.weights())
    plain = replace(NETWORKS[name], layers=_without_normalization(NETWORKS[name].layers))
    values = [
        {"w": w.T if w.ndim == 2 else w.transpose(2, 3, 1, 0), "b": b} for w, b in zip(weights, biases, strict=True)
    ]
    with jax.enable_x64(True):
        scores = np.asarray(Described(plain, 3).scores(values, (), x))
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)
    assert np.array_equal(fitted.predict(x), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_checkpoint_has_the_initial_weights(backend):
    x, y = _data()
    recipe = replace(RECIPE, epochs=0)
    before = BACKENDS[backend]().fit(NETWORKS["residual"], recipe, x, y, 3, seed=4).weights()
    trained = BACKENDS[backend]().fit(NETWORKS["residual"], RECIPE, x, y, 3, seed=4)
    first = trained.checkpoints()[0].fitted.weights()
    for initial, kept, after in zip(before, first, trained.weights(), strict=True):
        assert np.array_equal(initial.weight, kept.weight)
        assert not np.array_equal(initial.weight, after.weight)
    assert np.array_equal(first[1].normalization.mean, [0, 0])
    assert np.array_equal(first[1].normalization.variance, [1, 1])
    assert first[1].normalization.eps == 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_are_copies(backend):
    x, y = _data()
    fitted = BACKENDS[backend]().fit(NETWORKS["mlp"], RECIPE, x, y, 3, seed=0)
    scores = fitted.predict(x)
    for layer in fitted.weights():
        layer.weight[:] = 0
        layer.bias[:] = 0
    assert np.array_equal(fitted.predict(x), scores)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layers", [(Flatten(), BatchNorm(), Dense()), (Conv(2), LayerNorm(), Flatten(), Dense())])
def test_a_normalization_of_no_layer_is_refused(backend, layers):
    x, y = _data()
    fitted = BACKENDS[backend]().fit(Architecture(layers), RECIPE, x, y, 3, seed=0)
    # A backend that finds it out beforehand does not offer them, and says why.
    if "weights" in fitted.unavailable:
        assert not isinstance(fitted, HasWeights)
        assert "capacities are defined" in fitted.unavailable["weights"]
    else:
        with pytest.raises(LebenchError, match="capacities are defined"):
            fitted.weights()


@pytest.mark.parametrize("backend", BACKENDS)
def test_expansions_have_no_layers(backend):
    x, y = _data()
    for recipe in (replace(RECIPE, linearized=True), replace(RECIPE, output_scale=2.0)):
        fitted = BACKENDS[backend]().fit(NETWORKS["mlp"], recipe, x, y, 3, seed=0)
        assert not isinstance(fitted, HasWeights)
        assert "weights" not in Network(NETWORKS["mlp"], recipe).capabilities


class _Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.inner(self.inner(x)))


def _shared_normalization_after_activation():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.BatchNorm1d(4), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (_Twice(), "'inner' is called several times"),
        (nn.Sequential(nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 3)), "'1.weight'"),
        (_shared_normalization_after_activation(), "'2.weight'"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False, track_running_stats=False)), "'1' is part"),
    ],
)
def test_modules_without_such_layers_are_refused(module, named):
    with pytest.raises(LebenchError, match=named):
        layer_weights(module.double().eval(), torch.zeros(2, 4, dtype=torch.float64))


def test_a_module_of_ones_own():
    module = nn.Sequential(nn.Linear(4, 5, bias=False), nn.BatchNorm1d(5, affine=False), nn.ReLU(), nn.Linear(5, 3))
    module = module.double()
    module(torch.randn(50, 4, dtype=torch.float64))
    first, last = layer_weights(module.eval(), torch.zeros(1, 4, dtype=torch.float64))
    assert np.array_equal(first.bias, np.zeros(5))
    assert np.array_equal(first.normalization.scale, np.ones(5))
    assert last.normalization is None
    x = np.random.default_rng(0).standard_normal((6, 4))
    weights, biases = metrics.folded_layers((first, last))
    scores = np.maximum(x @ weights[0].T + biases[0], 0) @ weights[1].T + biases[1]
    np.testing.assert_allclose(scores, module(torch.from_numpy(x)).detach().numpy(), rtol=1e-12, atol=1e-14)


def test_width_of_a_perceptron():
    changed = architectures.mlp(width=7, depth=3).with_width(11)
    assert changed == architectures.mlp(width=11, depth=3)
    assert Network(architectures.mlp(width=7)).with_width(2).network == architectures.mlp(width=2)
    for wrong, reason in (
        (architectures.mlp(), "width is 0"),
        (architectures.linear(), "has no hidden layer"),
        (Architecture((Conv(3), Relu, Flatten(), Dense())), r"has Conv\(channels=3\)"),
    ):
        with pytest.raises(LebenchError, match=reason):
            wrong.with_width(0 if reason == "width is 0" else 4)
    with pytest.raises(LebenchError, match="one's own"):
        Network(lambda shape, outputs: nn.Linear(shape[0], outputs)).with_width(4)
