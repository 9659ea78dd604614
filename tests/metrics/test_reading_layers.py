"""What reads layers reads them as the networks of torch and JAX compute them: any stride, padding and pooling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_architectures import networks, without_normalization

from lebench import metrics
from lebench.architectures import Architecture, AvgPool, Conv, Dense, Flatten, Identity, Relu
from lebench.backends import jax_build, jax_weights, torch_build, torch_weights
from lebench.errors import DataError
from lebench.kernels import infinite_width_kernel

OUTPUTS = 2


class TorchNetwork:
    """A network of torch in float64 whose weights are read and set as those of the capability ``weights``."""

    def __init__(self, architecture, shape, seed):
        self.module = torch_build.build(architecture, shape, OUTPUTS, torch.Generator().manual_seed(seed)).double()
        self.shape = shape
        rng = np.random.default_rng(seed)
        for name, values in (*self.module.named_parameters(), *self.module.named_buffers()):
            if not name.endswith("num_batches_tracked"):
                values.data.copy_(torch.from_numpy(drawn(name, tuple(values.shape), rng)))
        self.module.eval()

    def scores(self, x):
        with torch.no_grad():
            return self.module(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()

    def layers(self):
        return torch_weights.layer_weights(self.module, torch.zeros(1, self.shape[2], *self.shape[:2]).double())

    def set(self, weights, biases):
        parts = [m for m in self.module.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            part.weight.data, part.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)


class JaxNetwork:
    """The same of JAX."""

    def __init__(self, architecture, shape, seed):
        self.architecture = architecture
        weights, statistics = jax_build.draw(architecture, shape, OUTPUTS, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        self.weights = [{k: drawn(k, np.shape(v), rng) for k, v in layer.items()} for layer in weights]
        self.statistics = [{k: drawn(k, np.shape(v), rng) for k, v in layer.items()} for layer in statistics]

    def scores(self, x):
        with jax.enable_x64(True):
            made = jax_build.Pass(self.architecture, OUTPUTS, list(self.weights), list(self.statistics))
            return np.asarray(made.run(jnp.asarray(x)))

    def layers(self):
        return jax_weights.layer_weights(self.architecture, self.weights, self.statistics)

    def set(self, weights, biases):
        self.weights = [
            {"w": w.T if w.ndim == 2 else w.transpose(2, 3, 1, 0), "b": b} for w, b in zip(weights, biases, strict=True)
        ]


def drawn(name, shape, rng):
    values = rng.standard_normal(shape)
    return np.exp(values / 2) if name.endswith("var") else values


#: JAX compiles every operation for every shape, so it gets fewer architectures.
EXAMPLES = {TorchNetwork: 25, JaxNetwork: 4}
BUILT = pytest.mark.parametrize("network", [TorchNetwork, pytest.param(JaxNetwork, marks=pytest.mark.slow)])
SEEDS = st.integers(0, 10**6)


def examples(network, check, **strategies):
    """Run a check on as many examples as a kind of network gets."""
    settings(max_examples=EXAMPLES[network], deadline=None)(given(**strategies)(check))()


@BUILT
def test_folded_layers_compute_what_layers_and_normalizations_do(network):
    examples(network, lambda made, seed: folding(network, made, seed), made=networks(), seed=SEEDS)


def folding(network, made, seed):
    architecture, shape = made
    built = network(architecture, shape, seed)
    plain = network(without_normalization(architecture), shape, seed)
    plain.set(*metrics.folded_layers(built.layers()))
    x = np.random.default_rng(seed).standard_normal((3, *shape))
    expected = built.scores(x)
    np.testing.assert_allclose(plain.scores(x), expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("network", list(EXAMPLES))
def test_a_path_norm_is_the_network_of_absolute_weights_on_ones(network):
    examples(
        network,
        lambda made, seed, p: path(network, made, seed, p),
        made=networks(normalized=False),
        seed=SEEDS,
        p=st.sampled_from([1.0, 2.0, 3.0]),
    )


def path(network, made, seed, p):
    architecture, shape = made
    built = network(architecture, shape, seed)
    weights, biases = metrics.folded_layers(built.layers())
    found = metrics.path_norm(weights, p, biases=biases, layers=architecture.layers, shape=shape)
    built.set([np.abs(w) ** p for w in weights], [np.abs(b) ** p for b in biases])
    assert found**p == pytest.approx(built.scores(np.ones((1, *shape))).sum(), rel=1e-10)


def test_a_weight_that_never_meets_the_image_is_on_no_path():
    """With stride 2 the only window of a 2 x 2 image begins in the border of zeros on both sides."""
    corner = np.zeros((1, 1, 3, 3))
    corner[0, 0, 0, 0] = 1
    layers = (Conv(1, stride=2), Relu, Flatten(), Dense())
    assert metrics.path_norm([corner, np.ones((1, 1))], 1.0, layers=layers, shape=(2, 2, 1)) == 0


def test_an_even_kernel_has_no_same_padding():
    layers = (Conv(1, 2), Flatten(), Dense())
    with pytest.raises(DataError, match=r"the kernel \(2, 2\) of layer 0 is even"):
        metrics.path_norm([np.ones((1, 1, 2, 2)), np.ones((1, 4))], layers=layers, shape=(2, 2, 1))


@BUILT
def test_scores_move_at_most_by_the_product_of_spectral_norms(network):
    examples(
        network,
        lambda seed, width, depth: lipschitz(network, seed, width, depth),
        seed=SEEDS,
        width=st.integers(1, 6),
        depth=st.integers(1, 3),
    )


def lipschitz(network, seed, width, depth):
    layers = (Flatten(), *(Dense(width), Relu) * depth, Dense())
    built = network(Architecture(layers), (2, 2, 1), seed)
    weights, _ = metrics.folded_layers(built.layers())
    x = np.random.default_rng(seed).standard_normal((2, 2, 2, 1))
    scores = built.scores(x)
    moved = np.linalg.norm(scores[0] - scores[1]) / np.linalg.norm(x[0] - x[1])
    assert moved <= metrics.schatten_product(weights) * (1 + 1e-12)


@BUILT
def test_the_kernel_of_a_linear_network_is_that_of_the_built_one(network):
    """Linear networks are linear in each layer's weights: E[f f'] is the sum of products of the mixed derivative.

    It is exact at every width, so one channel will do.
    """
    linear = networks(normalized=False, activation=Identity, pools=(AvgPool,), residual=False, depth=2, channels=1)
    examples(network, lambda made, seed: linear_kernel(network, made, seed), made=linear, seed=SEEDS)


def linear_kernel(network, made, seed):
    architecture, shape = made
    x = np.random.default_rng(seed).standard_normal((3, *shape))
    derivative, sizes = (torch_derivative if network is TorchNetwork else jax_derivative)(architecture, shape, x)
    rows = derivative.reshape(len(x), -1)
    scale = math.prod(architecture.weight_variance / (math.prod(size) / size[0]) for size in sizes)
    expected = infinite_width_kernel(architecture, x, kind="nngp")
    np.testing.assert_allclose(rows @ rows.T * scale, expected, atol=1e-12 * expected.max())


def torch_derivative(architecture, shape, x):
    """Return the derivative of one score in the weights of all layers, once each, and the shapes of the weights."""
    module = torch_build.build(architecture, shape, 1, torch.Generator().manual_seed(0)).double()
    for name, values in module.named_parameters():
        if name.endswith("bias"):
            values.data.zero_()
    names = [name for name, _ in module.named_parameters() if name.endswith("weight")]
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    parameters = dict(module.named_parameters())

    def scores(*weights):
        return torch.func.functional_call(module, parameters | dict(zip(names, weights, strict=True)), (images,))

    function = scores
    for layer in range(len(names)):
        function = torch.func.jacrev(function, argnums=layer)
    weights = [parameters[name].detach() for name in names]
    return function(*weights).detach().numpy(), [tuple(w.shape) for w in weights]


def jax_derivative(architecture, shape, x):
    weights, _ = jax_build.draw(architecture, shape, 1, np.random.default_rng(0))
    with jax.enable_x64(True):
        images, arrays = jnp.asarray(x), [jnp.asarray(layer["w"]) for layer in weights]

        def scores(*values):
            layers = [{"w": w, "b": jnp.zeros(w.shape[-1])} for w in values]
            return jax_build.Pass(architecture, 1, layers).run(images)

        function = scores
        for layer in range(len(arrays)):
            function = jax.jacfwd(function, argnums=layer)
        return np.asarray(function(*arrays)), [(w.shape[-1], *w.shape[:-1]) for w in arrays]
