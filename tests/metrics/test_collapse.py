"""Collapse metrics against closed forms, the definitions written out, and each other."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lebench import metrics
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.metrics.planted import isotropic_clusters, rhombus, rotation, simplex_frame


def planted(classes=4, p=9, n=200, seed=0, balanced=False):
    rng = np.random.default_rng(seed)
    labels = (
        np.arange(n) % classes if balanced else rng.permutation(np.r_[np.arange(classes), rng.integers(0, classes, n)])
    )
    features = 2 * rng.standard_normal((classes, p))[labels] + 1 + rng.standard_normal((len(labels), p))
    return features, labels, rng.standard_normal((classes, p)), rng.standard_normal(classes)


def by_definition(h, y, w, b):
    """Write the definitions of science.md 6.1 out with (p, p) matrices and loops."""
    classes, p = len(w), h.shape[1]
    mu = np.array([h[y == c].mean(axis=0) for c in range(classes)])
    mean = mu.mean(axis=0)
    m = mu - mean
    within = sum(np.outer(x - mu[c], x - mu[c]) for x, c in zip(h, y, strict=True)) / len(h)
    between = sum(np.outer(row, row) for row in m) / classes
    values, vectors = np.linalg.eigh(between)
    rank = min(classes - 1, p)
    inverse = vectors[:, -rank:] / values[-rank:] @ vectors[:, -rank:].T
    variances = [np.mean(((h[y == c] - mu[c]) ** 2).sum(axis=1)) for c in range(classes)]
    pairs = [(i, j) for i in range(classes) for j in range(classes) if i != j]

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    def angles(rows):
        return np.mean([abs(cosine(rows[i], rows[j]) + 1 / (classes - 1)) for i, j in pairs])

    def spread(rows):
        norms = np.linalg.norm(rows, axis=1)
        return norms.std(ddof=1) / norms.mean()

    simplex = (np.eye(classes) - np.ones((classes, classes)) / classes) / math.sqrt(classes - 1)
    nearest = np.array([np.argmin(((x - mu) ** 2).sum(axis=1)) for x in h])
    return {
        "nc1_pinv_over_C": np.trace(within @ inverse) / classes,
        "nc1_pinv_sum": np.trace(within @ inverse),
        "nc1_quotient": np.trace(within) / np.trace(between),
        "cdnv": np.mean([(variances[i] + variances[j]) / (2 * ((mu[i] - mu[j]) ** 2).sum()) for i, j in pairs]),
        "nc2_equinorm": spread(m),
        "nc2_equiangular": angles(m),
        "nc2_equinorm_weights": spread(w),
        "nc2_equiangular_weights": angles(w),
        "nc2_weights": np.linalg.norm(w @ w.T / np.linalg.norm(w @ w.T) - simplex),
        "nc3_selfduality": np.linalg.norm(w / np.linalg.norm(w) - m / np.linalg.norm(m)) ** 2,
        "nc3_zhu": np.linalg.norm(w @ m.T / np.linalg.norm(w @ m.T) - simplex),
        "nc3_bias": np.linalg.norm(b + w @ mean),
        "nc4": np.mean((h @ w.T + b).argmax(axis=1) != nearest),
        "ncc_accuracy": np.mean(nearest == y),
    }


@pytest.mark.parametrize(("classes", "p"), [(2, 1), (2, 7), (4, 9), (7, 3), (10, 4)])
def test_everything_is_the_definition_written_out(classes, p):
    h, y, w, b = planted(classes, p)
    values, truth = metrics.collapse(h, y, w, b), by_definition(h, y, w, b)
    assert values.keys() == truth.keys()
    for name, value in values.items():
        assert value == pytest.approx(truth[name], rel=1e-10), name


def test_each_metric_alone_is_the_one_of_the_summary():
    h, y, w, b = planted()
    for name, value in metrics.collapse(h, y, w, b).items():
        arguments = {"features": h, "labels": y, "weights": w, "bias": b}
        if name.endswith("weights"):
            arguments = {"weights": w}
        elif name in ("nc3_selfduality", "nc3_zhu"):
            del arguments["bias"]
        elif name not in ("nc3_bias", "nc4"):
            arguments = {"features": h, "labels": y}
        assert getattr(metrics, name)(**arguments) == pytest.approx(value, rel=1e-14), name


@pytest.mark.parametrize("balanced", [True, False])
def test_gram_matrix_gives_the_same(balanced):
    h, y, _, _ = planted(balanced=balanced)
    from_features, from_gram = metrics.collapse(h, y), metrics.collapse_from_gram(h @ h.T, y)
    assert from_features.keys() == from_gram.keys()
    for name, value in from_features.items():
        assert from_gram[name] == pytest.approx(value, rel=1e-10), name


def test_gram_matrix_with_fewer_dimensions_than_classes():
    h, y, _, _ = planted(7, 3)
    expected = metrics.collapse(h, y)["nc1_pinv_over_C"]
    # The rank of Sigma_B cannot be read off a Gram matrix: it has to be said.
    unsaid = metrics.collapse_from_gram(h @ h.T, y)["nc1_pinv_over_C"]
    assert isinstance(unsaid, Missing)
    assert "fewer than 6 dimensions" in unsaid.reason
    assert metrics.collapse_from_gram(h @ h.T, y, dimension=3)["nc1_pinv_over_C"] == pytest.approx(expected, rel=1e-9)


def test_a_class_of_one_point_has_no_spread():
    h = np.random.default_rng(0).standard_normal((3, 8))
    for values in (metrics.collapse(h, np.arange(3)), metrics.collapse_from_gram(h @ h.T, np.arange(3))):
        for name in ("nc1_pinv_over_C", "nc1_pinv_sum", "nc1_quotient", "cdnv"):
            assert "class 0 has one point" in values[name].reason
        assert values["nc2_equinorm"] == pytest.approx(metrics.nc2_equinorm(h, np.arange(3)), rel=1e-12)
    for name in ("nc1_pinv_over_C", "nc1_quotient", "cdnv", "gnc1"):
        with pytest.raises(DataError, match="class 2 has one point"):
            getattr(metrics, name)(np.r_[h, h[:2] + 0.1], np.array([0, 1, 2, 0, 1]))


def test_closed_forms_of_the_noisy_simplex():
    classes, p, rho, s = 5, 40, 2.0, 0.3
    features, labels = isotropic_clusters(simplex_frame(classes, p, rho), s)
    values = metrics.collapse(features, labels)
    assert values["nc1_pinv_over_C"] == pytest.approx(s**2 * (classes - 1) ** 2 / (classes * rho**2), rel=1e-12)
    assert values["cdnv"] == pytest.approx(p * s**2 * (classes - 1) / (2 * classes * rho**2), rel=1e-12)
    assert values["nc1_quotient"] == pytest.approx(p * s**2 / rho**2, rel=1e-12)


def test_float32_where_the_default_pseudo_inverse_fails():
    # The trap of science.md 6.5: C = 10, p = 64, rho = 3, s = .4; NumPy's float32 pinv is off by orders of magnitude.
    classes, p, rho, s = 10, 64, 3.0, 0.4
    features, labels = isotropic_clusters(simplex_frame(classes, p, rho), s)
    features = features.astype(np.float32)
    truth = s**2 * (classes - 1) ** 2 / (classes * rho**2)
    assert truth == pytest.approx(0.144)
    means = np.array([features[labels == c].mean(axis=0) for c in range(classes)])
    centred = means - means.mean(axis=0)
    deviations = features - means[labels]
    naive = (
        np.trace(deviations.T @ deviations / len(features) @ np.linalg.pinv(centred.T @ centred / classes)) / classes
    )
    assert abs(naive) > 1e3
    assert metrics.nc1_pinv_over_C(features, labels) == pytest.approx(truth, rel=1e-5)


def test_float32_features_give_the_float64_answer_to_single_precision():
    h, y, w, b = planted(n=2000)
    exact, single = (
        metrics.collapse(h.astype(np.float32).astype(np.float64), y, w, b),
        metrics.collapse(h.astype(np.float32), y, w, b),
    )
    for name, value in exact.items():
        assert single[name] == pytest.approx(value, rel=1e-6), name


@given(seed=st.integers(0, 2**16), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
@settings(max_examples=25, deadline=None)
def test_stated_invariances(seed, scale, shift):
    h, y, w, b = planted(seed=seed, n=40)
    rng = np.random.default_rng(seed)
    q, order, classes = rotation(h.shape[1], seed), rng.permutation(len(h)), rng.permutation(4)
    values = metrics.collapse(h, y, w, b)
    turned = metrics.collapse(h @ q, y, w @ q, b)
    shuffled = metrics.collapse(h[order], y[order], w, b)
    renamed = metrics.collapse(h, np.argsort(classes)[y], w[classes], b[classes])
    moved = metrics.collapse(scale * h + shift, y, scale * w)
    for name, value in values.items():
        for other in (turned, shuffled, renamed):
            assert other[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        if name not in ("nc3_bias", "nc4"):
            assert moved[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_bias_decides_nc4():
    h, y, _, _ = planted()
    means = metrics.class_means(h, y)
    # The nearest centre as a linear rule: w_c = mu_c, b_c = -|mu_c|^2/2.
    rule = -0.5 * (means**2).sum(axis=1)
    assert metrics.nc4(h, y, means, rule) == 0
    # A bias that outweighs everything gives every point to class 0.
    nearest = np.argmin(((h[:, None] - means) ** 2).sum(axis=2), axis=1)
    assert metrics.nc4(h, y, means, np.array([1e6, 0, 0, 0])) == np.mean(nearest != 0)


def test_centres_of_the_training_points_decide_on_other_points():
    h, y, w, b = planted()
    means = metrics.class_means(h, y)
    rng = np.random.default_rng(9)
    # Test points of two classes only.
    x, z = means[[0, 2]][rng.integers(0, 2, 30)] + rng.standard_normal((30, 9)), np.full(30, 2)
    nearest = np.argmin(((x[:, None] - means) ** 2).sum(axis=2), axis=1)
    assert metrics.ncc_accuracy(x, z, means=means) == np.mean(nearest == 2)
    assert metrics.nc4(x, z, w, b, means=means) == np.mean(nearest != (x @ w.T + b).argmax(axis=1))
    both = metrics.collapse(h[:100], y[:100], w, b, means=means)
    assert both["ncc_accuracy"] == metrics.ncc_accuracy(h[:100], y[:100], means=means)
    assert both["nc4"] == metrics.nc4(h[:100], y[:100], w, b, means=means)


def test_ties_are_no_agreement():
    features, labels = np.array([[-1.0], [1.0], [0.0], [0.0]]), np.array([0, 1, 0, 1])
    # The centres are -1/2 and 1/2; the two points at 0 are equally near to both.
    assert metrics.ncc_accuracy(features, labels) == 0.5
    # A classifier that gives every class the same score agrees with nothing.
    assert metrics.nc4(features, labels, np.zeros((2, 1)), np.zeros(2)) == 1


def test_coinciding_class_means_have_no_nc1():
    features, labels = np.array([[0.0, 1], [0, -1], [0, 2], [0, -2], [1, 1], [1, -1]]), np.array([0, 0, 1, 1, 2, 2])
    for metric, message in (
        (metrics.nc1_pinv_over_C, "fewer than 2 dimensions"),
        (metrics.cdnv, "two class means coincide"),
    ):
        with pytest.raises(DataError, match=message):
            metric(features, labels)
    values = metrics.collapse(features, labels)
    assert isinstance(values["nc1_pinv_sum"], Missing)
    # Means 0, 0, 1 on an axis: norms 1/3, 1/3, 2/3.
    assert values["nc2_equinorm"] == pytest.approx(math.sqrt(1 / 27) / (4 / 9))
    assert values["nc1_quotient"] == pytest.approx(2 / (2 / 9))


def test_constant_features_are_undefined_not_zero():
    features, labels = np.full((6, 3), 0.1), np.arange(6) % 3
    for dtype in (np.float64, np.float32):
        values = metrics.collapse(features.astype(dtype), labels)
        assert {name for name, value in values.items() if isinstance(value, Missing)} == values.keys() - {
            "ncc_accuracy"
        }
    assert isinstance(metrics.collapse_from_gram(features @ features.T, labels)["nc1_quotient"], Missing)


def test_degenerate_rank_of_a_planar_rhombus():
    with pytest.raises(DataError, match="fewer than 3 dimensions"):
        metrics.nc1_pinv_sum(**rhombus())


def test_shapes_of_the_last_layer():
    h, y, w, b = planted()
    with pytest.raises(DataError, match=r"weights have shape \(3, 9\), but \(4, 9\) is needed"):
        metrics.nc3_selfduality(h, y, w[:3])
    with pytest.raises(DataError, match="bias has 3 entries for 4 classes"):
        metrics.nc4(h, y, w, b[:3])
    with pytest.raises(DataError, match="bias is given without weights"):
        metrics.collapse(h, y, bias=b)
    with pytest.raises(DataError, match="features have 9 dimensions"):
        metrics.ncc_accuracy(h, y, means=np.ones((4, 8)))


def test_torch_and_jax_features_give_the_same():
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    h, y, w, b = (array.astype(np.float32) if array.dtype.kind == "f" else array for array in planted())
    expected = metrics.collapse(h, y, w, b)
    assert metrics.collapse(*map(torch.from_numpy, (h, y, w, b))) == expected
    assert metrics.collapse(*map(jnp.asarray, (h, y, w, b))) == expected
