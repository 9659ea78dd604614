"""Norms of layers and paths: symmetries, other ways to compute them, and the released code "generalization-bounds"."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lebench import metrics
from lebench.architectures import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    Relu,
    Residual,
)
from lebench.errors import DataError

PRODUCTS = {
    "l1_max": lambda weights: metrics.group_norm_product(weights, 1.0, math.inf),
    "frobenius": metrics.group_norm_product,
    "l3": lambda weights: metrics.group_norm_product(weights, 3.0, 1.5),
    "spectral": metrics.schatten_product,
    "trace": lambda weights: metrics.schatten_product(weights, 1.0),
    "path": metrics.path_norm,
}
DISTANCES = {
    "complexity": metrics.spectral_complexity,
    "spectral_distance": metrics.spectral_distance,
    "distance": metrics.distance_from_initialization,
}


def dense_network(seed, sizes=(4, 5, 3, 2)):
    rng = np.random.default_rng(seed)
    initial = [rng.standard_normal((after, before)) for before, after in itertools.pairwise(sizes)]
    return [layer + rng.standard_normal(layer.shape) for layer in initial], initial


def every_value(weights, initial):
    values = {name: measure(weights) for name, measure in PRODUCTS.items()}
    return values | {name: measure(weights, initial) for name, measure in DISTANCES.items()}


def changed(layers, order, turn, scale):
    """Hidden units in another order, inputs rotated, layers rescaled without changing the function."""
    first, second, third = layers
    return [scale * first[order] @ turn, second[:, order] / scale**2, scale * third]


@given(seed=st.integers(0, 2**16), scale=st.floats(0.05, 20))
@settings(max_examples=40, deadline=None)
def test_symmetries(seed, scale):
    weights, initial = dense_network(seed)
    rng = np.random.default_rng(seed)
    order, still = rng.permutation(5), np.eye(4)
    expected = every_value(weights, initial)
    permuted = every_value(changed(weights, order, still, 1.0), changed(initial, order, still, 1.0))
    assert permuted == pytest.approx(expected, rel=1e-10)
    identity = np.arange(5)
    rescaled = every_value(changed(weights, identity, still, scale), changed(initial, identity, still, scale))
    # The distance of the weights themselves is the one value that rescaling changes.
    rescaled["distance"] = expected["distance"]
    assert rescaled == pytest.approx(expected, rel=1e-10)
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    turned = every_value(changed(weights, identity, turn, 1.0), changed(initial, identity, turn, 1.0))
    for name in ("spectral", "trace", "frobenius", "complexity", "spectral_distance", "distance"):
        assert turned[name] == pytest.approx(expected[name], rel=1e-10)


@given(seed=st.integers(0, 2**16), rows=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_ratio_of_group_norms_says_how_many_rows_carry_the_weight(seed, rows):
    """AZ-2: m |W|_{2,4}^4 / |W|_F^4 is 1 for equal rows, m for a single one and between for all others."""

    def ratio(w):
        return len(w) * (metrics.group_norm_product([w], 2, 4) / metrics.group_norm_product([w])) ** 4

    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, 5)) * rng.exponential(size=(rows, 1))
    assert 1 - 1e-12 <= ratio(w) <= rows + 1e-12
    assert ratio(w / np.linalg.norm(w, axis=1, keepdims=True)) == pytest.approx(1, rel=1e-12)
    alone = np.zeros((rows, 5))
    alone[rng.integers(rows)] = w[0]
    assert ratio(alone) == pytest.approx(rows, rel=1e-12)
    frobenius, group = metrics.group_norm_product([w]), metrics.group_norm_product([w], 2, 4)
    assert rows**-0.25 * frobenius <= group * (1 + 1e-12)
    assert group <= frobenius * (1 + 1e-12)


@given(seed=st.integers(0, 2**16), p=st.floats(1, 4))
@settings(max_examples=30, deadline=None)
def test_the_path_norm_is_the_sum_over_paths(seed, p):
    (first, second, third), _ = dense_network(seed, (2, 3, 2, 2))
    paths = itertools.product(range(2), range(3), range(2), range(2))
    total = sum(abs(third[o, b] * second[b, a] * first[a, i]) ** p for i, a, b, o in paths)
    assert metrics.path_norm([first, second, third], p) == pytest.approx(total ** (1 / p), rel=1e-12)


@given(seed=st.integers(0, 2**16), unit=st.integers(0, 4), scale=st.floats(0.05, 20))
@settings(max_examples=30, deadline=None)
def test_the_path_norm_does_not_change_when_one_unit_is_rescaled(seed, unit, scale):
    weights, _ = dense_network(seed)
    biases = [np.random.default_rng(seed).standard_normal(len(layer)) for layer in weights]
    expected = metrics.path_norm(weights, biases=biases)
    weights[0][unit] *= scale
    biases[0][unit] *= scale
    weights[1][:, unit] /= scale
    assert metrics.path_norm(weights, biases=biases) == pytest.approx(expected, rel=1e-12)
    assert metrics.path_norm(weights) < expected


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, 8), (5, 1, 7), (3, 2, 8), (3, 2, 7), (1, 2, 8)])
def test_convolutions_are_those_of_jax(kernel, stride, size, padding):
    jax = pytest.importorskip("jax")
    weight = np.abs(np.random.default_rng(0).standard_normal((4, 2, kernel, kernel))).astype(np.float32)
    layers = (Conv(4, kernel, stride, padding), Relu)
    image = jax.numpy.ones((1, 2, size, size))
    # The networks pad both sides alike, where JAX's "SAME" would pad an even image with a stride on one side only.
    edge = [(kernel // 2, kernel // 2)] * 2 if padding == "same" else "VALID"
    expected = jax.lax.conv_general_dilated(image, weight, (stride, stride), edge).sum()
    value = metrics.path_norm([weight], 1.0, layers=layers, shape=(size, size, 2))
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_pooling_and_residual_blocks():
    # Ones everywhere: every pixel passes a body of 2 x 3 and a shortcut of 1, then averages and one output.
    block = Residual((Conv(1, 1), Relu, BatchNorm(), Conv(1, 1)), ())
    layers = (block, Relu, AvgPool(2), MaxPool(2), GlobalAvgPool(), Dense())
    weights = [np.full((1, 1, 1, 1), 2.0), np.full((1, 1, 1, 1), -3.0), np.array([[5.0]])]
    assert metrics.path_norm(weights, 1.0, layers=layers, shape=(5, 5, 1)) == pytest.approx(35)
    assert metrics.path_norm(weights, 2.0, layers=layers, shape=(5, 5, 1)) == pytest.approx(math.sqrt(37 * 25))


def test_a_distance_with_a_layer_of_zeros_is_finite():
    weights, initial = [np.zeros((2, 2)), np.eye(2)], [np.eye(2), np.eye(2)]
    # Without the division by its norm, only the term of the layer itself is left: 2 units that moved by 1, times 1.
    assert metrics.spectral_complexity(weights, initial) == pytest.approx(2)
    assert metrics.spectral_distance(weights, initial) == pytest.approx(2)


def test_folded_batch_normalization_computes_the_same():
    rng = np.random.default_rng(0)
    weight, bias, x = rng.standard_normal((3, 4)), rng.standard_normal(3), rng.standard_normal((5, 4))
    scale, shift, mean, variance = *rng.standard_normal((3, 3)), rng.uniform(0.5, 2, 3)
    given_arrays = (weight, bias, scale, shift, mean, variance)
    before = [array.copy() for array in given_arrays]
    folded, offset = metrics.fold_batch_norm(*given_arrays, eps=0.1)
    expected = scale * (x @ weight.T + bias - mean) / np.sqrt(variance + 0.1) + shift
    np.testing.assert_allclose(x @ folded.T + offset, expected, rtol=1e-13)
    for array, copy in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    kernel = rng.standard_normal((3, 2, 3, 3))
    folded, _ = metrics.fold_batch_norm(kernel, None, scale, shift, mean, variance, eps=0.1)
    np.testing.assert_allclose(folded[1], kernel[1] * scale[1] / math.sqrt(variance[1] + 0.1))


#: Printed by the released code at margin 1: five of its measures, path norms for p = 1, 1.5, 2, and five bounds.
MEASURES = {
    "fc": {
        "l1_max": 147.510352576468,
        "frobenius": 60.242532625857145,
        "l3": 62.6257355159032,
        "spectral": 15.634144810583162,
        "schatten": 116.80280106516327,
        "trace": 495.75543117916834,
        "path": (929.6744384765625, 70.42729949951172, 21.65315818786621),
    },
    "vgg": {
        "l1_max": 90.60737238884015,
        "frobenius": 5.475903725802616,
        "l3": 4.453825250369926,
        "spectral": 0.5521823067233596,
        "schatten": 18.637689074629648,
        "trace": 265.61369015802023,
        "path": (233.3044891357422, 3.471221446990967, 1.1882719993591309),
    },
}
BOUNDS = {
    "fc": {
        "l1_max": 25.885614734182987,
        "frobenius": 10.571563032201423,
        "l3": 26.576257366291394,
        "spectral_l1": 633.6173920489995,
        "spectral_frobenius": 20.22818088397112,
    },
    "vgg": {
        "l1_max": 19.38964223288887,
        "frobenius": 1.171823123723355,
        "l3": 2.3048593693591974,
        "spectral_l1": 40.95519883729642,
        "spectral_frobenius": 1.6165146396237884,
    },
}
NAMES = {
    "fc": ("classifier.0", "classifier.2"),
    "vgg": ("features.0", "features.2", "features.6", "classifier.0", "classifier.4"),
}
PARAMETERS = {"fc": 1210, "vgg": 646}
CONVOLUTIONS = (Conv(4), Relu, Conv(4), Relu, MaxPool(2), Conv(8), Relu, MaxPool(4))
LAYERS = {"fc": (Flatten(), Dense(), Relu, Dense()), "vgg": (*CONVOLUTIONS, Flatten(), Dense(), Relu, Dense())}


def read_network(name, time):
    """Return weights and biases, batch normalization folded."""
    with np.load(Path(__file__).parents[1] / "reference" / "capacity_networks.npz") as arrays:
        prefix = f"{name}.{time}."
        found = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    pairs = [(found[f"{layer}.weight"].astype(float), found[f"{layer}.bias"].astype(float)) for layer in NAMES[name]]
    if name == "vgg":
        parts = ("weight", "bias", "running_mean", "running_var")
        pairs[3] = metrics.fold_batch_norm(*pairs[3], *(found[f"classifier.1.{part}"] for part in parts))
    return [list(part) for part in zip(*pairs, strict=True)]


@pytest.mark.parametrize("name", ["fc", "vgg"])
def test_measures_equal_the_released_ones(name):
    weights, biases = read_network(name, "final")
    values = {key: measure(weights) for key, measure in PRODUCTS.items() if key != "path"}
    values["schatten"] = metrics.schatten_product(weights, 1.5)
    expected = MEASURES[name]
    assert values == pytest.approx({key: expected[key] for key in values}, rel=1e-5)
    for p, value in zip((1.0, 1.5, 2.0), expected["path"], strict=True):
        ours = metrics.path_norm(weights, p, biases=biases, layers=LAYERS[name], shape=(8, 8, 1))
        assert ours == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", ["fc", "vgg"])
def test_bounds_equal_the_released_ones(name):
    weights, initial = read_network(name, "final")[0], read_network(name, "init")[0]
    values = metrics.layer_bounds(weights, initial, 1.0, 200, 64, PARAMETERS[name])
    # On fresh networks: at every call the release folds batch normalization into the initial network of the caller.
    assert values == pytest.approx(BOUNDS[name], rel=1e-6)
    # A margin that is not positive bounds nothing; the release prints negative bounds, -5.24 for vgg at margin -0.31.
    nothing = metrics.layer_bounds(weights, initial, -0.3085366487503052, 200, 64, PARAMETERS[name])
    assert set(nothing.values()) == {math.inf}


def test_the_folded_network_has_the_scores_of_the_released_one():
    torch = pytest.importorskip("torch")
    with np.load(Path(__file__).parents[1] / "reference" / "capacity_networks.npz") as arrays:
        expected = arrays["vgg.logits_before_reparam"]
    weights, biases = ([torch.from_numpy(array) for array in part] for part in read_network("vgg", "final"))
    x = torch.from_numpy(load_digits().data[:200].reshape(200, 1, 8, 8) / 16)
    for index, pool in ((0, 1), (1, 2), (2, 4)):
        x = torch.relu(torch.nn.functional.conv2d(x, weights[index], biases[index], padding=1))
        x = torch.nn.functional.max_pool2d(x, pool)
    x = torch.relu(x.flatten(1) @ weights[3].T + biases[3])
    np.testing.assert_allclose((x @ weights[4].T + biases[4]).numpy(), expected, atol=1e-6)


def test_arrays_that_do_not_fit():
    weights, initial = dense_network(0)
    image = (Conv(4), Flatten(), Dense())
    kernel, one = np.ones((4, 1, 3, 3)), np.ones(2)
    for call, message in (
        (lambda: metrics.group_norm_product([]), "at least one layer"),
        (lambda: metrics.group_norm_product(weights[0]), "must be a list"),
        (lambda: metrics.group_norm_product([np.ones(3)]), r"layer 0 have shape \(3,\)"),
        (lambda: metrics.group_norm_product([weights[0] * np.nan]), "layer 0 contain NaN"),
        (lambda: metrics.group_norm_product(weights, 0.5), "p is 0.5"),
        (lambda: metrics.schatten_product(weights, math.nan), "p is nan"),
        (lambda: metrics.distance_from_initialization(weights, initial[:2]), "they must be the same layers"),
        (lambda: metrics.layer_bounds(weights, initial, 1.0, 0, 4, 9), "points is 0"),
        (lambda: metrics.path_norm(weights, math.inf), "p is inf"),
        (lambda: metrics.path_norm([weights[0], weights[2]]), r"layer 1 have shape \(2, 3\): \(outputs, 5\)"),
        (lambda: metrics.path_norm(weights, biases=[None]), "1 biases for 3 layers"),
        (lambda: metrics.path_norm([weights[0]], biases=[one]), r"biases of layer 0 have shape \(2,\): \(5,\)"),
        (lambda: metrics.path_norm([kernel], layers=image), "shape, .* is needed"),
        (lambda: metrics.path_norm([kernel], layers=image, shape=(4, 4, 1)), "Dense.* no weights left"),
        (lambda: metrics.path_norm([kernel], layers=image, shape=(4, 4, 3)), "no convolution of shape"),
        (lambda: metrics.path_norm([kernel], layers=(Conv(4, padding="valid"),), shape=(2, 2, 1)), "is larger than"),
        (lambda: metrics.path_norm(weights, layers=(Dense(),), shape=(4,)), "2 more than the layers have"),
        (lambda: metrics.path_norm(weights, layers=(LayerNorm(),), shape=(4,)), "LayerNorm, which is no sum"),
        (lambda: metrics.fold_batch_norm(np.eye(2), None, one, one, one, -one), "must be positive"),
        (lambda: metrics.fold_batch_norm(np.eye(3), None, one, one, one, one), r"scales have shape \(2,\): \(3,\)"),
    ):
        with pytest.raises(DataError, match=message):
            call()
