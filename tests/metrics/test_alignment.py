"""Alignment, kernel distance and laziness against closed forms and the papers' scaling laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from lebench import metrics
from lebench.errors import DataError


def kernel(seed, n=12, p=5):
    features = np.random.default_rng(seed).standard_normal((n, p))
    return features @ features.T


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-5, 5))
def test_stated_invariances(seed, scale, constant):
    rng = np.random.default_rng(seed)
    a, b = kernel(seed), kernel(seed + 1)
    order = rng.permutation(len(a))
    labels = np.arange(12) % 3
    for value in (metrics.kernel_alignment, metrics.centred_kernel_alignment, metrics.kernel_rotation):
        expected = value(a, b)
        assert value(a[order][:, order], b[order][:, order]) == pytest.approx(expected, abs=1e-12)
        assert value(scale * a, b) == pytest.approx(expected, abs=1e-12)
        assert value(b, a) == pytest.approx(expected, abs=1e-12)
    assert metrics.centred_kernel_alignment(a + constant, b) == pytest.approx(
        metrics.centred_kernel_alignment(a, b), abs=1e-9
    )
    shuffled = metrics.kernel_target_alignment(a[order][:, order], labels[order])
    assert shuffled == pytest.approx(metrics.kernel_target_alignment(a, labels), abs=1e-12)
    assert metrics.kernel_change(scale * a, scale * b) == pytest.approx(metrics.kernel_change(a, b))


def test_centring_is_that_of_features():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((9, 4)) + 3
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(metrics.centre(features @ features.T), centred @ centred.T, atol=1e-12)


def test_label_kernel_of_two_classes_is_half_that_of_signs():
    labels = np.array([0, 1, 1, 0])
    signs = 2.0 * labels - 1
    np.testing.assert_allclose(metrics.label_kernel(labels), np.outer(signs, signs) / 2)


def test_a_linear_model_stands_still_and_its_residuals_decay_exponentially():
    """Its kernel does not depend on the weights: distance and velocity are exactly zero at all times."""
    k = kernel(3)
    assert metrics.kernel_rotation(k, k.copy()) == pytest.approx(0, abs=1e-15)
    assert metrics.kernel_velocity(k, 2 * k, 0.5) == pytest.approx(0, abs=1e-15)
    assert metrics.kernel_change(k, k) == 0


def tanh_network(a, b, scale=1.0, x=1.3):
    """Return output, Jacobian (1, 2m) and norm of the Hessian of scale times sum_i b_i tanh(a_i x)."""
    s = np.tanh(a * x)
    first = 1 - s**2
    second = -2 * s * first
    jacobian = scale * np.concatenate([s, b * first * x])[None]
    return scale * b @ s, jacobian, scale * metrics.two_layer_hessian_norm(b * second * x**2, first * x)


@pytest.mark.parametrize(
    ("deviation", "scale", "slope", "around"),
    [
        # LeCun: b ~ N(0, 1/m).
        (lambda m: m**-0.5, lambda m: 1.0, -1.0, 0.2),
        # Neural tangent: m^(-1/2) in front. The largest |b_i| grows like the root of log m, which flattens the slope.
        (lambda m: 1.0, lambda m: m**-0.5, -0.5, 0.2),
        (lambda m: 1.0, lambda m: m**-0.75, -0.25, 0.15),
    ],
    ids=["lecun", "tangent", "three quarters"],
)
def test_laziness_of_a_two_layer_network_falls_with_its_width(deviation, scale, slope, around):
    """KD-1, Chizat et al.: kappa falls like m^(-1/2) + (m scale)^(-1), with LeCun's weights like 1/m.

    One input x = 1.3 with target 0.5, means over 60 draws.
    """
    widths = (100, 1000, 10_000)
    means = []
    for m in widths:
        values = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            a, b = rng.standard_normal(m), rng.standard_normal(m) * deviation(m)
            output, jacobian, norm = tanh_network(a, b, scale(m))
            values.append(metrics.laziness(np.array([output - 0.5]), jacobian, norm))
        means.append(np.mean(values))
    assert np.polyfit(np.log(widths), np.log(means), 1)[0] == pytest.approx(slope, abs=around)
    if slope == -1:
        assert means[0] * 100 == pytest.approx(1.86, abs=0.5)


def test_laziness_of_a_model_that_starts_at_zero_falls_like_one_over_its_output_scale():
    """KD-1: doubled units with opposite outputs make h(w0) = 0, and kappa of alpha h is kappa of h over alpha."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(50), rng.standard_normal(50)
    a, b = np.concatenate([a, a]), np.concatenate([b, -b])
    scales = np.array([0.1, 1.0, 10.0, 100.0])
    values = []
    for scale in scales:
        output, jacobian, norm = tanh_network(a, b, scale)
        assert output == pytest.approx(0, abs=1e-12 * scale)
        values.append(metrics.laziness(np.array([output - 0.5]), jacobian, norm))
    np.testing.assert_allclose(np.array(values) * scales, values[1], rtol=1e-10)


def test_hessian_norm_agrees_with_the_whole_matrix():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    m, x = 7, 1.3
    weights = torch.from_numpy(rng.standard_normal(2 * m))

    def network(w):
        return w[m:] @ torch.tanh(w[:m] * x)

    hessian = torch.autograd.functional.hessian(network, weights)
    a, b = weights[:m].numpy(), weights[m:].numpy()
    s = np.tanh(a * x)
    norm = metrics.two_layer_hessian_norm(b * -2 * s * (1 - s**2) * x**2, (1 - s**2) * x)
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(hessian, 2)), rel=1e-12)


def test_network_kernels_turn_towards_the_labels_when_features_do():
    labels = np.repeat(np.arange(4), 10)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40, 40))
    values = []
    for share in (0.0, 0.5, 1.0):
        features = share * np.eye(4)[labels] @ rng.standard_normal((4, 40)) * 2 + (1 - share) * noise
        values.append(metrics.centred_target_alignment(features @ features.T, labels))
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.kernel_alignment(np.zeros((3, 3)), np.eye(3)), "a kernel is zero"),
        (lambda: metrics.centred_kernel_alignment(np.full((3, 3), 0.1), np.eye(3)), "constant where it is centred"),
        (lambda: metrics.kernel_alignment(np.eye(3), np.eye(4)), "different points"),
        (lambda: metrics.kernel_alignment(softmax(np.arange(9.0)).reshape(3, 3), np.eye(3)), "not symmetric"),
        (lambda: metrics.kernel_target_alignment(np.eye(3), np.array([0, 2, 2])), "class 1 of 3 has no points"),
        (lambda: metrics.kernel_velocity(np.eye(3), np.eye(3), 0.0), "positive time"),
        (lambda: metrics.kernel_change(np.zeros((3, 3)), np.eye(3)), "before training is zero"),
        (lambda: metrics.laziness(np.ones(2), np.zeros((2, 3)), 1.0), "Jacobian is zero"),
        (lambda: metrics.laziness(np.ones(2), np.ones((2, 3)), -1.0), "non-negative"),
        (lambda: metrics.laziness(np.ones(3), np.ones((2, 3)), 1.0), "3 residuals"),
        (lambda: metrics.two_layer_hessian_norm(np.ones(3), np.ones(2)), "3 second derivatives"),
    ],
)
def test_bad_inputs(call, message):
    with pytest.raises(DataError, match=message):
        call()
