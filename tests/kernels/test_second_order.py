"""Second-order kernels against Hessians by automatic differentiation, and the quadratic network of random signs."""

import doctest
import importlib
import itertools
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from lebench.architectures import mlp
from lebench.errors import DataError, ParameterError
from lebench.kernels import infinite_width_kernel
from lebench.kernels.second_order import second_order_diagonal, second_order_kernel
from lebench.models.spec import build_model

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    # torch compiles its forward-mode rules with a function of its own that it has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")

WEIGHTS, BIASES = 1.7, 0.2


def inputs(n=3, d=2, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def unit(activation, smoothing):
    """Return one hidden unit with its outgoing weight in the neural tangent parametrization, of (w, b, a) and x."""

    def output(parameters, x):
        d = len(x)
        extended = torch.cat([math.sqrt(WEIGHTS / d) * x, torch.tensor([math.sqrt(BIASES)])])
        u = parameters[:-1] @ extended
        if activation == "erf":
            hidden = torch.erf(u)
        else:
            # The mean of relu(u + s g) over standard normal g.
            s = smoothing * torch.linalg.vector_norm(extended)
            hidden = u * torch.special.ndtr(u / s) + s * torch.exp(-((u / s) ** 2) / 2) / math.sqrt(2 * math.pi)
        return math.sqrt(WEIGHTS) * parameters[-1] * hidden

    return output


@pytest.mark.parametrize(("activation", "smoothing"), [("erf", 0.0), ("relu", 0.3), ("relu", 1.0)])
def test_the_kernel_is_the_mean_product_of_hessians(activation, smoothing):
    """By automatic differentiation; hidden units are independent, so one of them has the limit's expectation."""
    x, draws = inputs(), 40_000
    parameters = torch.from_numpy(np.random.default_rng(1).standard_normal((draws, 4)))
    output = unit(activation, smoothing)
    hessians, gradients = [], []
    for point in torch.from_numpy(x):
        hessian = torch.func.vmap(torch.func.hessian(output), in_dims=(0, None))
        gradient = torch.func.vmap(torch.func.grad(output), in_dims=(0, None))
        hessians.append(hessian(parameters, point).flatten(1).numpy())
        gradients.append(gradient(parameters, point).numpy())
    options = {"activation": activation, "smoothing": smoothing, "weight_variance": WEIGHTS, "bias_variance": BIASES}
    kernel, both = (second_order_kernel(x, tangent=tangent, **options) for tangent in (False, True))
    for i, j in itertools.product(range(len(x)), repeat=2):
        products = (hessians[i] * hessians[j]).sum(axis=1)
        assert abs(products.mean() - kernel[i, j]) < 4 * products.std() / math.sqrt(draws)
        # The output's bias has a gradient but no Hessian.
        products += (gradients[i] * gradients[j]).sum(axis=1) + BIASES
        assert abs(products.mean() - both[i, j]) < 4 * products.std() / math.sqrt(draws)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_with_frozen_units_it_is_made_of_the_parts_of_the_tangent_kernel(depth):
    """Of a wide random network, by products of Hessians with random vectors: E <H z, H' z> = <H, H'>."""
    width, d, draws = 160, 2, 30
    x = torch.from_numpy(inputs(2, d, seed=3))
    generator = torch.Generator().manual_seed(0)
    sizes = [d, *[width] * depth, 1]

    def network(layers, point):
        h = point
        for number, (w, b) in enumerate(layers):
            h = math.sqrt(WEIGHTS / len(h)) * w @ h + math.sqrt(BIASES) * b
            h = torch.relu(h) if number < depth else h
        return h[0]

    def draw():
        return [
            tuple(
                torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((after, before), (after,))
            )
            for before, after in itertools.pairwise(sizes)
        ]

    found = []
    for _ in range(draws):
        layers, direction = draw(), draw()
        moved = [
            torch.func.jvp(torch.func.grad(lambda p, point=point: network(p, point)), (layers,), (direction,))[1]
            for point in x
        ]
        flat = [torch.cat([part.flatten() for layer in one for part in layer]) for one in moved]
        found.append([[float(a @ b) for b in flat] for a in flat])
    found = np.array(found)
    kernel = second_order_kernel(x.numpy(), depth=depth, weight_variance=WEIGHTS, bias_variance=BIASES)
    error = found.std(axis=0) / math.sqrt(draws)
    # Finite width is off by a few percent beyond the first layer.
    assert (np.abs(found.mean(axis=0) - kernel) < 4 * error + 0.04 * np.abs(kernel)).all()
    assert (4 * error < 0.25 * np.diagonal(kernel).max()).all()


def test_one_layer_of_frozen_units_is_twice_the_first_part_of_the_tangent_kernel():
    x, options = inputs(5, 4), {"weight_variance": 2.0, "bias_variance": 0.0}
    kernel = second_order_kernel(x, **options)
    norms = np.linalg.norm(x, axis=1)
    angle = np.arccos(np.clip(x @ x.T / np.outer(norms, norms), -1, 1))
    np.testing.assert_allclose(kernel, 4 * (2 * x @ x.T / 4) * (np.pi - angle) / (2 * np.pi), rtol=1e-7, atol=1e-12)
    with_tangent = second_order_kernel(x, tangent=True, **options)
    expected = infinite_width_kernel(replace(mlp(depth=1), **options), x)
    np.testing.assert_allclose(with_tangent - kernel, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"depth": 3},
        {"smoothing": 0.3},
        {"smoothing": 0.3, "tangent": True},
        {"activation": "erf"},
        {"activation": "erf", "tangent": True},
    ],
)
def test_it_is_a_kernel(options):
    x = inputs(30, 3, seed=5)
    kernel = second_order_kernel(x, **options)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-12)
    assert np.linalg.eigvalsh(kernel).min() > -1e-10 * np.trace(kernel)
    np.testing.assert_allclose(second_order_diagonal(x, **options), np.diagonal(kernel), rtol=1e-7)
    np.testing.assert_allclose(second_order_kernel(x[:4], x, **options), kernel[:4], rtol=1e-9)


def test_smoothing_tends_to_frozen_units_but_for_equal_inputs():
    """The density at zero of two preactivations stays finite between inputs and grows like 1/smoothing on each."""
    x = inputs(4, 3, seed=6)
    rough = [second_order_kernel(x, smoothing=s) for s in (1e-2, 1e-3)]
    density = second_order_kernel(x, smoothing=1e-6) - second_order_kernel(x)
    off = ~np.eye(4, dtype=bool)
    v, c = np.diagonal(2 * x @ x.T / 3 + 0.1), 2 * x @ x.T / 3 + 0.1
    expected = 2 * c**2 / (2 * np.pi * np.sqrt(np.maximum(np.outer(v, v) - c**2, 0) + np.eye(4)))
    np.testing.assert_allclose(density[off], expected[off], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(rough[1]) / np.diagonal(rough[0]), 10, rtol=0.2)


def test_the_average_over_random_signs_is_the_quadratic_network():
    """AZ-1: the mean of f(W + S w, V + v S) over all signs S is f(W, V) + a D_v v D_w w x, with units frozen.

    A network as lebench builds it, with changes so small that no unit changes its sign; all 2^6 signs.
    """
    from lebench.backends.torch_build import build

    width, d = 6, 4
    module = build(mlp(width, depth=2), (d,), 2, torch.Generator().manual_seed(0)).double()
    first, second, last = (layer for layer in module.layers if isinstance(layer, torch.nn.Linear))
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.standard_normal((3, d)))
    w, v = (1e-3 * torch.from_numpy(rng.standard_normal(shape)) for shape in ((width, d), (width, width)))
    start = first.weight.detach().clone(), second.weight.detach().clone()

    def active():
        before = first(x)
        return before > 0, second(torch.relu(before)) > 0

    with torch.no_grad():
        scores, (lower, upper) = module(x), active()
        total = torch.zeros_like(scores)
        for signs in itertools.product((-1.0, 1.0), repeat=width):
            s = torch.tensor(signs, dtype=torch.float64)
            first.weight.copy_(start[0] + s[:, None] * w)
            second.weight.copy_(start[1] + v * s)
            total += module(x)
            assert all(map(torch.equal, active(), (lower, upper)))
        quadratic = (upper * ((lower * (x @ w.T)) @ v.T)) @ last.weight.T
    np.testing.assert_allclose(total.numpy() / 2**width, (scores + quadratic).numpy(), rtol=0, atol=1e-12)
    assert quadratic.abs().max() > 1e-7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "at least one hidden layer"),
        ({"activation": "tanh"}, "use 'relu' or 'erf'"),
        ({"smoothing": -1.0}, "0 or more"),
        ({"depth": 2, "smoothing": 0.5}, "or depth=1"),
        ({"activation": "erf", "smoothing": 0.5}, "erf is smooth"),
        ({"weight_variance": 0.0}, "out of range"),
        ({"weight_variance": math.inf}, "out of range"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        second_order_kernel(np.ones((2, 2)), **options)


def test_an_input_of_zeros_without_biases_has_no_kernel_with_any_other():
    x = np.vstack([np.zeros(2), inputs()])
    kernel = second_order_kernel(x, bias_variance=0.0, smoothing=0.3)
    np.testing.assert_array_equal(kernel[0], 0)
    np.testing.assert_allclose(kernel[1:, 1:], second_order_kernel(inputs(), bias_variance=0.0, smoothing=0.3))


def test_examples():
    assert doctest.testmod(importlib.import_module("lebench.kernels.second_order")) == (0, 3)


def test_bad_inputs_are_named():
    with pytest.raises(DataError, match="3 dimensions, second inputs 2"):
        second_order_kernel(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(DataError, match="NaN"):
        second_order_kernel(np.full((2, 3), np.nan))
    with pytest.raises(ParameterError, match="or depth=1"):
        build_model("second-order-mlp[depth=2]")
