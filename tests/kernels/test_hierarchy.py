"""LANTK-NTH: against integration of the hierarchy, automatic differentiation, explicit tensors, reference moments."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lebench.errors import DataError, ParameterError
from lebench.kernels import (
    HierarchyCorrection,
    fourth_order,
    hierarchy_weights,
    orthant_moments,
    orthant_root,
    two_layer_diagonal,
    two_layer_kernel,
)


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parents[1] / "reference" / "hierarchy_digits.npz") as file:
        return {name: file[name] for name in file}


def positive_definite(rng, n):
    root = rng.standard_normal((n, n))
    return root @ root.T + 0.5 * np.eye(n)


def test_two_layer_kernel_closed_form():
    x = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-2.0, 0.0, 0.0]])
    kernel = two_layer_kernel(x)
    assert kernel[0, 1] == pytest.approx(1 / (2 * np.pi), rel=1e-12)
    np.testing.assert_allclose(np.diagonal(kernel), [1, 1, 4], rtol=1e-12)
    assert kernel[0, 2] == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(two_layer_diagonal(x), [1, 1, 4], rtol=1e-12)


def test_kernels_of_finite_width_converge_to_it():
    """LA-1: the error of networks of m units falls as the square root of m."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5))
    expected = two_layer_kernel(x)
    widths, errors = (100, 400, 1600, 6400), []
    for width in widths:
        found = []
        for _ in range(20):
            z, a = x @ rng.standard_normal((5, width)), rng.standard_normal(width)
            active = (z > 0).astype(float)
            kernel = np.maximum(z, 0) @ np.maximum(z, 0).T + (x @ x.T) * ((active * a**2) @ active.T)
            found.append(np.abs(kernel / width - expected).mean())
        errors.append(np.mean(found))
    assert np.polyfit(np.log(widths), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.15)


def test_closed_form_is_the_limit_of_the_truncated_hierarchy():
    """LA-2: residuals -exp(-Ht/n) y drive K3, K3 and they drive K2; K4 is any matrix, not a symmetric one."""
    rng = np.random.default_rng(3)
    n = 4
    kernel, k4, y = positive_definite(rng, n), rng.standard_normal((n, n)), rng.choice([-1.0, 1.0], n)
    values, vectors = np.linalg.eigh(kernel)

    def slope(t, state):
        residuals = -vectors @ (np.exp(-t * values / n) * (vectors.T @ y))
        return np.concatenate([[-state[1:] @ residuals / n], -k4 @ residuals / n])

    end = 40 * n / values[0]
    integrated = solve_ivp(slope, (0, end), np.zeros(n + 1), method="DOP853", rtol=1e-11, atol=1e-13).y[0, -1]
    weights = hierarchy_weights(kernel, y)
    assert (weights * k4).sum() == pytest.approx(integrated, abs=1e-6)
    # The published form, term by term.
    solved = np.linalg.solve(kernel, y)
    q = vectors.T @ k4 @ vectors / values / np.add.outer(values, values)
    published = solved @ k4 @ solved - y @ vectors @ q @ vectors.T @ y
    assert (weights * k4).sum() == pytest.approx(published, rel=1e-10)
    symmetric = k4 + k4.T
    assert (weights * symmetric).sum() == pytest.approx(solved @ symmetric @ solved / 2, rel=1e-10)


def test_ridge_and_classes_of_the_weights():
    rng = np.random.default_rng(0)
    kernel, y = positive_definite(rng, 5), rng.choice([-1.0, 1.0], (5, 3))
    shifted = kernel + 0.1 * np.trace(kernel) / 5 * np.eye(5)
    np.testing.assert_allclose(hierarchy_weights(kernel, y, 0.1), hierarchy_weights(shifted, y), rtol=1e-10)
    mean = np.mean([hierarchy_weights(kernel, column) for column in y.T], axis=0)
    np.testing.assert_allclose(hierarchy_weights(kernel, y), mean, atol=1e-12)
    two = np.column_stack([y[:, 0], -y[:, 0]])
    np.testing.assert_allclose(hierarchy_weights(kernel, two), hierarchy_weights(kernel, y[:, 0]), atol=1e-12)


def test_sampler_has_the_correlations_that_were_asked_for(reference):
    x = reference["X_train"]
    unit = x / np.linalg.norm(x, axis=1)[:, None]
    for quadruple in ([0, 1, 2, 3], [4, 4, 6, 7], [5, 5, 5, 5]):
        cosines = unit[quadruple] @ unit[quadruple].T
        root = orthant_root(cosines)
        np.testing.assert_allclose(root @ root.T, cosines, atol=1e-10)
    with pytest.raises(DataError, match="not those of vectors"):
        orthant_root(np.eye(4) - 1.5 * np.eye(4)[::-1])


def test_orthant_moments_known_answers():
    rng = np.random.default_rng(0)
    values, errors = orthant_moments(np.eye(4), 100_000, rng)
    expected = np.array([1 / 16, 1 / (8 * np.pi), 1 / (8 * np.pi), 1 / (8 * np.pi)])
    assert (np.abs(values - expected) < 4 * errors).all()
    values, errors = orthant_moments(np.ones((4, 4)), 100_000, rng)
    assert (np.abs(values - 0.5) < 4 * errors).all()
    assert (errors < 0.01).all()


def test_reference_moments(reference):
    """Direct Monte Carlo of the four moments by another implementation, 400,000 draws."""
    rng = np.random.default_rng(1)
    x = reference["X_train"]
    unit = x / np.linalg.norm(x, axis=1)[:, None]
    names = ("E_1a1b1i1j", "E_1a1b_RiRj", "E_1aRb1iRj", "E_Ra1b1iRj")
    draws = 40_000
    for quadruple in ((0, 1, 2, 3), (4, 5, 6, 7), (0, 0, 1, 2), (3, 1, 3, 7), (2, 5, 5, 1)):
        vectors = unit[list(quadruple)]
        values, errors = orthant_moments(vectors @ vectors.T, draws, rng)
        expected = np.array([reference[name][quadruple] for name in names])
        both = errors * np.sqrt(1 + draws / float(reference["n_mc"]))
        assert (np.abs(values - expected) < 4 * both).all(), quadruple
        value, error = fourth_order(x[list(quadruple)], draws, rng)
        assert abs(value - reference["Kab_seed_formula"][quadruple]) < 4 * error


def test_the_fourth_order_kernel_is_the_derivative_of_the_derivative():
    """LA-3: four gradients by automatic differentiation, which as the formula leaves out units that switch."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((4, 3)) + 0.8
    x = torch.tensor(points)
    found = []
    for _ in range(20):
        # The units do not meet each other in these inner products, so a wide network averages over single ones.
        units = 20_000
        weights = [torch.randn(units, 3, dtype=torch.float64), torch.randn(units, dtype=torch.float64)]
        for weight in weights:
            weight.requires_grad_()

        def gradient(value, weights=weights):
            return torch.autograd.grad(value, weights, create_graph=True)

        def product(first, second):
            return sum((p * q).sum() for p, q in zip(first, second, strict=True))

        outputs = [(torch.relu(weights[0] @ point) * weights[1]).sum() for point in x]
        of_output = [gradient(output) for output in outputs]
        k3 = product(gradient(product(of_output[0], of_output[1])), of_output[2])
        found.append(product(gradient(k3), of_output[3]).item() / units)
    value, error = fourth_order(points, 400_000, rng)
    spread = np.std(found, ddof=1) / np.sqrt(20)
    assert abs(np.mean(found) - value) < 4 * np.hypot(spread, error)
    # Both are known to a few percent.
    assert spread < 0.05 * abs(value)


def explicit(x1, x2, x, w):
    """The tensor m K4(a, b, i, j) of some draws, written out."""
    z1, z2, z = x1 @ w.T, x2 @ w.T, x @ w.T
    on1, on2, on = (1.0 * (values > 0) for values in (z1, z2, z))
    s1, s2, s = (np.maximum(values, 0) for values in (z1, z2, z))
    ab, ij, ai, bi = x1 @ x2.T, x @ x.T, x1 @ x.T, x2 @ x.T
    mean = len(w)
    products = (
        2 * ab[:, :, None, None] * ij
        + ai[:, None, :, None] * bi[None, :, None, :]
        + bi[None, :, :, None] * ai[:, None, None, :]
    )
    return (
        products * np.einsum("ak,bk,ik,jk->abij", on1, on2, on, on)
        + 2 * ab[:, :, None, None] * np.einsum("ak,bk,ik,jk->abij", on1, on2, s, s)
        + ai[:, None, :, None] * np.einsum("ak,ik,bk,jk->abij", on1, on, s2, s)
        + bi[None, :, :, None] * np.einsum("bk,ik,ak,jk->abij", on2, on, s1, s)
    ) / mean


@pytest.mark.parametrize("d", [3, 9])
def test_correction_is_that_of_the_tensor_never_formed(d, monkeypatch):
    rng = np.random.default_rng(0)
    x, x1, x2 = (rng.standard_normal((n, d)) for n in (6, 4, 5))
    weights = rng.standard_normal((6, 6))
    form = HierarchyCorrection(x, weights, 7, 64, seed=5)
    w = np.random.default_rng(5).standard_normal((64, d))
    expected = np.einsum("ij,abij->ab", weights, explicit(x1, x2, x, w)) / 7
    found, _ = form.gram(x1, x2)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    square, error = form.gram(x1, x1)
    np.testing.assert_allclose(square, square.T, atol=1e-12 * np.abs(square).max())
    own, own_error = form.diagonal(x1)
    np.testing.assert_allclose(own, np.diagonal(square), rtol=1e-10)
    np.testing.assert_allclose(own_error, np.diagonal(error), rtol=1e-8)
    for name in ("_NUMBERS", "_KEPT"):
        monkeypatch.setattr(f"lebench.kernels.hierarchy.{name}", 1)
        again = HierarchyCorrection(x, weights, 7, 64, seed=5)
        for _ in range(2):
            np.testing.assert_allclose(again.gram(x1, x2)[0], found, rtol=1e-10, atol=1e-12 * np.abs(found).max())


def test_reference_correction(reference):
    """The released closed form, on moments by direct Monte Carlo, at width 40,960."""
    x, y = reference["X_train"], reference["Y_train"][:, 0]
    kernel = two_layer_kernel(x)
    np.testing.assert_allclose(kernel, reference["second"], atol=1e-7)
    weights = hierarchy_weights(kernel, y)
    direct = np.einsum("ij,abij->ab", weights, reference["Kab_seed_formula"]) / 40_960
    np.testing.assert_allclose(direct, reference["fourth"], rtol=1e-6, atol=1e-11)
    found, error = HierarchyCorrection(x, weights, 40_960, 64_000, seed=0).gram(x, x)
    assert (np.abs(found - reference["fourth"]) < 4 * error * np.sqrt(1 + 64 / 400)).all()
    assert error.mean() < 0.02 * np.abs(found).mean()


def test_standard_error_is_that_of_repetitions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3))
    weights = hierarchy_weights(two_layer_kernel(x), rng.choice([-1.0, 1.0], 5))
    values, errors = zip(*(HierarchyCorrection(x, weights, 1, 320, seed).gram(x, x) for seed in range(60)), strict=True)
    assert np.mean(errors) == pytest.approx(np.std(values, axis=0, ddof=1).mean(), rel=0.15)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: hierarchy_weights(np.ones((2, 2)), [1.0, -1.0]), DataError, "points that occur twice"),
        (lambda: hierarchy_weights(np.eye(3), [1.0, -1.0]), DataError, "the targets are of 2 points"),
        (lambda: fourth_order(np.eye(4) * [1, 1, 0, 1], 10, np.random.default_rng(0)), DataError, "point 2"),
        (lambda: orthant_moments(np.eye(4), 1, np.random.default_rng(0)), ParameterError, "draws=1"),
        (lambda: HierarchyCorrection(np.eye(2), np.eye(2), 0, 64, 0), ParameterError, "width=0"),
        (lambda: HierarchyCorrection(np.eye(2), np.eye(2), 4, 8, 0), ParameterError, "draws=8"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)
