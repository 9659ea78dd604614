"""Kernels by neural-tangents: they are what tells the next engineer that a new JAX broke what mends it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lebench import architectures as arch
from lebench.backends import neural_tangents, neural_tangents_import
from lebench.errors import LebenchError, MissingDependencyError

pytest.importorskip("jax")
pytest.importorskip("frozendict")

VARIANCES = {"weight_variance": 2.0, "bias_variance": 0.1}
CONV, RELU, HEAD = arch.Conv(8), arch.Relu, arch.Dense()
BLOCK = (RELU, arch.Conv(8, stride=2), RELU, CONV)
NORMALIZED = (RELU, CONV, arch.LayerNorm(), RELU, CONV)
NETWORKS = {
    "mlp": (
        arch.Flatten(),
        *(part for name in ("relu", "erf", "leaky_relu", "gelu") for part in (arch.Dense(8), arch.Activation(name))),
        HEAD,
    ),
    "cnn": (CONV, RELU, arch.Conv(8, stride=2), RELU, arch.AvgPool(), CONV, arch.Flatten(), HEAD),
    "resnet": (
        CONV,
        arch.Residual(BLOCK, (arch.Conv(8, kernel=1, stride=2),)),
        arch.Residual(NORMALIZED),
        RELU,
        arch.GlobalAvgPool(),
        HEAD,
    ),
}


@pytest.fixture(scope="module")
def stored():
    return np.load(Path(__file__).parents[1] / "reference" / "neural_tangents_kernels.npz")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_kernels_match_numbers_from_an_old_jax(stored, name, kind):
    architecture = arch.Architecture(NETWORKS[name], **VARIANCES)
    x, z, expected = stored["x"], stored["z"], stored[f"{name}_{kind}"]
    found = neural_tangents.infinite_width_kernel(architecture, x, z, kind)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_single_precision_is_right_to_its_own_rounding(stored):
    architecture = arch.Architecture(NETWORKS["cnn"], **VARIANCES)
    found = neural_tangents.infinite_width_kernel(architecture, stored["x"], stored["z"], dtype="float32")
    np.testing.assert_allclose(found, stored["cnn_ntk"], rtol=1e-5)


def test_blocks_make_up_the_whole(stored):
    architecture = arch.Architecture(NETWORKS["mlp"], **VARIANCES)
    x, z = stored["x"], stored["z"]
    found = neural_tangents.infinite_width_kernel(architecture, x, z, block=2)
    np.testing.assert_allclose(found, stored["mlp_ntk"], rtol=1e-12)
    square = neural_tangents.infinite_width_kernel(architecture, x, block=2)
    np.testing.assert_allclose(square, neural_tangents.infinite_width_kernel(architecture, x, x), rtol=1e-6)
    np.testing.assert_array_equal(square, square.T)


def test_diagonal_on_the_unit_sphere_is_the_number_of_trained_layers():
    """Science page 1.2: Theta^(L)(x, x) = L + 1 and Sigma^(L)(x, x) = 1, inputs of squared length d here."""
    x = np.random.default_rng(0).standard_normal((3, 6))
    x *= np.sqrt(6) / np.linalg.norm(x, axis=1, keepdims=True)
    for depth in (1, 3):
        hidden = [part for _ in range(depth) for part in (arch.Dense(2), RELU)]
        # weight variance 2 also in the first layer, which has no ReLU before it: everything is twice as large.
        architecture = arch.Architecture((*hidden, HEAD))
        ntk, nngp = (neural_tangents.infinite_width_kernel(architecture, x, kind=kind) for kind in ("ntk", "nngp"))
        # Its angle of a point with itself is the square root of a rounding error.
        np.testing.assert_allclose(np.diag(ntk), 2 * (depth + 1), rtol=1e-7)
        np.testing.assert_allclose(np.diag(nngp), 2, rtol=1e-12)


@pytest.mark.parametrize("trace", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_three_empirical_implementations_agree(trace):
    import jax.numpy as jnp

    layers = (arch.Conv(2), arch.Residual((RELU, arch.Conv(2))), RELU, arch.Flatten(), HEAD)
    network = neural_tangents.stax_network(arch.Architecture(layers, **VARIANCES), outputs=2)
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((3, 3, 3, 2)), rng.standard_normal((2, 3, 3, 2))
    weights = neural_tangents.random_parameters(network, (3, 3, 2), seed=1)
    found = {
        name: neural_tangents.empirical_kernel(network.apply, weights, x, z, implementation=name, trace=trace)
        for name in ("structured", "jacobian", "ntk_vp")
    }
    assert found["jacobian"].shape == ((3, 2) if trace else (3, 2, 2, 2))
    for name in ("structured", "ntk_vp"):
        np.testing.assert_allclose(found[name], found["jacobian"], rtol=1e-12, atol=1e-12)
    # Nothing of this changes the precision of the process.
    assert jnp.zeros(1).dtype == jnp.float32


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((CONV, arch.BatchNorm(), RELU, arch.GlobalAvgPool(), HEAD), r"BatchNorm\(\) has no closed-form .* resnet-nf"),
        ((CONV, arch.MaxPool(), arch.Flatten(), HEAD), r"MaxPool\(\) has no closed-form kernel; use AvgPool"),
        ((arch.Dense(3), arch.Activation("tanh"), HEAD), r"Activation\(name=tanh\) has no closed-form kernel; use erf"),
        ((CONV, arch.Residual((RELU,)), arch.Flatten(), HEAD), "not independent; put a Dense or a Conv into the body"),
    ],
)
def test_layers_without_a_closed_form_are_named(layers, message):
    with pytest.raises(LebenchError, match=message):
        neural_tangents.stax_network(arch.Architecture(layers))


def test_what_is_missing_is_said_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "neural_tangents", None)
    neural_tangents_import.load.cache_clear()
    try:
        with pytest.raises(MissingDependencyError, match=r"pip install --no-deps neural-tangents==0\.6\.5"):
            neural_tangents_import.load()
    finally:
        neural_tangents_import.load.cache_clear()


def test_importing_the_module_imports_no_framework():
    code = (
        "import sys, lebench.backends.neural_tangents; "
        "sys.exit(any(name in sys.modules for name in ('jax', 'neural_tangents', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
