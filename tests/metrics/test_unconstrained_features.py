"""NC-2: free features trained on the square loss end where the closed form says, and the collapse ruler reads zero."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from lebench import metrics


def descend(classes, n, weight_decay, feature_decay, bias, p=6, seed=0):
    """Minimize |W H + b - Y|^2/(2N) + lw/2 |W|^2 + lh/2 |H|^2 over W (C, p), H (p, N) and, if asked, b (C,)."""
    count = classes * n
    targets = np.repeat(np.eye(classes), n, axis=1)

    def unpack(vector):
        w, h, b = np.split(vector, [classes * p, classes * p + p * count])
        return w.reshape(classes, p), h.reshape(p, count), b if bias else np.zeros(classes)

    def loss(vector):
        w, h, b = unpack(vector)
        residual = w @ h + b[:, None] - targets
        value = (residual**2).sum() / (2 * count) + weight_decay / 2 * (w**2).sum() + feature_decay / 2 * (h**2).sum()
        gradient = [residual @ h.T / count + weight_decay * w, w.T @ residual / count + feature_decay * h]
        return value, np.concatenate([*map(np.ravel, gradient), residual.sum(axis=1) / count if bias else []])

    size = classes * p + p * count + (classes if bias else 0)
    start = np.random.default_rng(seed).standard_normal(size) / 2
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-18, "gtol": 1e-11}
    return unpack(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x), targets


@pytest.mark.parametrize("bias", [False, True])
def test_descent_ends_in_the_closed_form_and_has_collapsed(bias):
    classes, n, weight_decay, feature_decay = 4, 5, 0.02, 0.01
    gain = 1 - classes * math.sqrt(n * weight_decay * feature_decay)
    assert gain == pytest.approx(0.8735088936, abs=1e-10)
    (w, h, b), targets = descend(classes, n, weight_decay, feature_decay, bias)
    expected = gain * (targets - 1 / classes if bias else targets)
    np.testing.assert_allclose(w @ h, expected, atol=1e-4)
    np.testing.assert_allclose(b, 1 / classes if bias else 0, atol=1e-4)
    values = metrics.collapse(h.T, np.repeat(np.arange(classes), n), w, b)
    for name in ("nc1_pinv_over_C", "nc1_quotient", "cdnv"):
        assert values[name] < 1e-7
    for name in ("nc2_equinorm", "nc2_equiangular", "nc4"):
        assert values[name] == pytest.approx(0, abs=1e-4)
    norms = np.linalg.norm(w, axis=1)
    cosines = (w @ w.T / np.outer(norms, norms))[~np.eye(classes, dtype=bool)]
    # With a free bias the classifiers are a simplex, without one an orthogonal frame.
    np.testing.assert_allclose(cosines, -1 / 3 if bias else 0, atol=1e-4)
    # Self-dual: of an orthogonal frame only once its mean, which the class means lose, is taken off.
    own = w if bias else w - w.mean(axis=0)
    means = h.reshape(-1, classes, n).mean(axis=2).T
    assert metrics.nc3_selfduality(h.T, np.repeat(np.arange(classes), n), own) == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(means - h[:, ::n].T) < 1e-3


def test_too_much_weight_decay_leaves_nothing():
    (w, h, _), _ = descend(3, 4, 0.3, 0.3, bias=False)
    assert 3 * math.sqrt(4 * 0.3 * 0.3) > 1
    np.testing.assert_allclose(w @ h, 0, atol=1e-6)
