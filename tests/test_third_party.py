"""Models as others write them: modules of the form of timm, transformers, flax and equinox, and fitted classifiers.

The packages themselves are not needed here; each form was tried once with the real one.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import lebench
from lebench import metrics
from lebench.errors import LebenchError, LebenchWarning


def planted(shape, classes=3, each=12):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), each)
    return rng.standard_normal((classes, *shape))[y] + 0.5 * rng.standard_normal((len(y), *shape)), y


def values(frame):
    assert not frame["reason"].str.contains("needs the capability").any(), frame["reason"].tolist()
    return frame.set_index("metric")["value"]


class TimmBlock(nn.Module):
    """A block with drop path and layer scale, as timm's ConvNeXt has."""

    def __init__(self, dim):
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.gamma = nn.Parameter(0.1 * torch.ones(dim))

    def forward(self, x):
        shortcut = x
        x = self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1))).mul(self.gamma).permute(0, 3, 1, 2)
        if self.training:
            x = x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.9))
        return x + shortcut


class Timm(nn.Module):
    """``forward_features`` and ``forward_head``, ending in ``fc``."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, 2)
        self.stages = nn.Sequential(TimmBlock(6), TimmBlock(6))
        self.fc = nn.Linear(6, 3)

    def forward_features(self, x):
        return self.stages(self.stem(x))

    def forward_head(self, x):
        return self.fc(x.mean((2, 3)))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def test_a_module_of_timm():
    torch.manual_seed(0)
    x, y = planted((3, 8, 8))
    module = Timm()
    found = values(lebench.score(module, x, y))
    features = module.double().eval().forward_features(torch.tensor(x)).mean((2, 3)).detach()
    expected = metrics.collapse(features, y, module.fc.weight.detach(), module.fc.bias.detach())
    assert found["nc1_quotient@train"] == pytest.approx(expected["nc1_quotient"])
    assert 0 < found["elasticity_ratio"] < 1


@dataclass
class SequenceClassifierOutput:
    loss: object = None
    logits: object = None
    hidden_states: object = None


class Bert(nn.Module):
    """Token ids in, an object with ``logits`` out; a mask where none is given, dropout, and a pooler."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.Embedding(20, 8)
        self.position = nn.Embedding(6, 8)
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.norm, self.dropout = nn.LayerNorm(8), nn.Dropout(0.1)
        self.pooler, self.classifier = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        x = self.embeddings(input_ids) + self.position(torch.arange(input_ids.shape[1]))
        weights = (self.query(x) @ self.key(x).transpose(1, 2) / 8**0.5).softmax(-1)
        x = self.norm(x + self.dropout(weights @ self.value(x)))
        return SequenceClassifierOutput(logits=self.classifier(torch.tanh(self.pooler(x[:, 0]))))


def test_a_model_of_transformers():
    torch.manual_seed(0)
    y = np.repeat(np.arange(3), 12)
    x = np.random.default_rng(0).integers(0, 6, (36, 6)) + 6 * y[:, None]
    module = Bert()
    found = values(lebench.score(module, x, y))
    logits = module.double().eval()(torch.tensor(x)).logits.detach()
    assert found["accuracy"] == pytest.approx(float((logits.argmax(1).numpy() == y).mean()))
    assert 0 < found["elasticity_ratio"] < 1


class Flax:
    """A module with ``init`` and ``apply``, whose weights are a nested dict under ``params``."""

    def init(self, key, x):
        one, two = jax.random.split(key)
        kernels = (jax.random.normal(one, (x.shape[-1], 6)) / 2, jax.random.normal(two, (6, 3)) / 2)
        return {"params": {f"Dense_{i}": {"kernel": k, "bias": jnp.zeros(k.shape[1])} for i, k in enumerate(kernels)}}

    def apply(self, variables, x):
        for layer in (variables["params"]["Dense_0"], variables["params"]["Dense_1"]):
            x = x @ layer["kernel"] + layer["bias"]
            x = jax.nn.relu(x) if x.shape[-1] == 6 else x
        return x


@jax.tree_util.register_pytree_node_class
class Equinox:
    """A module that is a pytree itself and takes one input."""

    def __init__(self, weight, out):
        self.weight, self.out = weight, out

    def tree_flatten(self):
        return (self.weight, self.out), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)

    def __call__(self, x):
        return self.out @ jnp.tanh(self.weight @ x)


@pytest.mark.parametrize("kind", ["flax", "equinox"])
def test_a_network_in_jax(kind):
    x, y = planted((5,))
    if kind == "flax":
        module = Flax()
        model = (module.apply, module.init(jax.random.PRNGKey(0), x))
    else:
        rng = np.random.default_rng(1)
        model = (lambda m, x: jax.vmap(m)(x), Equinox(rng.standard_normal((6, 5)), rng.standard_normal((3, 6))))
    found = values(lebench.score(model, x, y, questions=["accuracy", "elasticity"]))
    scores = np.asarray(model[0](model[1], jnp.asarray(x)))
    assert found["accuracy"] == pytest.approx(float((scores.argmax(1) == y).mean()))
    assert 0 < found["elasticity_ratio"] < 1


def test_modules_that_cannot_be_scored_say_why():
    x, y = planted((5,))

    class Growing(nn.Linear):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return super().forward(x)[:, : 3 + self.calls % 2]

    class Object(nn.Linear):
        def forward(self, x):
            return object()

    class Batch(nn.Linear):
        def forward(self, x):
            return super().forward(x) - super().forward(x).mean(0)

    class Chance(nn.Linear):
        def forward(self, x):
            return super().forward(x) + torch.rand(1)

    for module, said in (
        (Growing(5, 4), "model: the model returns another number of scores each time, 3 and 4"),
        (Object(5, 3), "model: the module returned object; let it return its scores"),
        (Batch(5, 3), "depend on the other inputs of its batch"),
        (Chance(5, 3), "chance"),
    ):
        with pytest.raises(LebenchError, match=said) as error:
            lebench.score(module, x, y)
        assert "\n" not in str(error.value)


def test_data_that_cannot_be_scored_say_why():
    x, y = planted((5,))
    net = nn.Linear(5, 3)
    images = [np.zeros((3, 4, 4)), np.zeros((3, 5, 5))]
    with pytest.raises(LebenchError, match="x: the inputs cannot be made an array"):
        lebench.score(net, images, np.array([0, 1]))
    with pytest.raises(LebenchError, match="y: labels must be integers or strings"):
        lebench.score(net, x, y + 0.5)
    with pytest.warns(LebenchWarning, match="labels are encoded: 1 is 0, 2 is 1, 3 is 2"):
        one = lebench.score(net, x, y + 1, questions="accuracy")
    zero = lebench.score(net, x, y, questions="accuracy")
    np.testing.assert_array_equal(one["value"], zero["value"])
    # A class with one sample.
    few = np.append(np.flatnonzero(y < 2), np.flatnonzero(y == 2)[0])
    frame = lebench.score(net, x[few], y[few])
    assert len(frame) == 3
    assert frame["reason"].str.endswith("a class of this data has 1").all()
