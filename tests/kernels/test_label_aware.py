"""LANTK-HR: against the released kernels, double sums, dense least squares, and what cross-fitting promises."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from lebench import metrics
from lebench.errors import DataError
from lebench.kernels import (
    LABEL_RATIOS,
    RIDGES,
    LabelAgreement,
    PairRegression,
    kernel_average,
    label_aware_regression,
    one_hot_targets,
    pair_features,
    restricted_regression,
)
from lebench.kernels.averages import _inverse, average


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).parents[1] / "reference" / "label_aware_digits.npz") as file:
        return {name: file[name] for name in file}


def labels_of(released):
    return (released["Y_train"][:, 0] > 0).astype(np.int64)


@pytest.fixture
def planted():
    """Points of three classes, some twice, with a Gaussian kernel."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.arange(30) % 3)
    x = rng.standard_normal((3, 6))[labels] + 0.7 * rng.standard_normal((30, 6))
    x[7] = x[3]
    return x, labels, np.exp(-cdist(x, x, "sqeuclidean") / 12)


def test_released_label_kernels(released):
    """Five sums, not clipped, as the release; the two kernels that it calls V2 differ."""
    labels = labels_of(released)
    kernel, cross = released["ntk_train"], released["ntk_test_train"]
    for variant, name in (("kr-v1", "V1_label"), ("kr-v2-two-layer", "V2_label"), ("kr-v2-cntk", "V2_pre")):
        average = kernel_average(kernel, labels, variant)
        for values, part in ((kernel, "train"), (cross, "test")):
            expected = released[f"{name}_{part}"]
            np.testing.assert_allclose(
                average(values, clip=False), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
            )
    assert np.abs(released["V2_label_train"]).mean() > 10 * np.abs(released["V2_pre_train"]).mean()


@pytest.mark.parametrize("ratio", ["0.1", "1.0"])
@pytest.mark.parametrize(("variant", "name"), [("kr-v1", "V1"), ("kr-v2-two-layer", "V2")])
def test_released_label_aware_kernels(released, variant, name, ratio):
    average = kernel_average(released["ntk_train"], labels_of(released), variant)
    agreement = average(released["ntk_train"], clip=False)
    scale = float(ratio) * np.abs(released["ntk_train"]).mean() / np.abs(agreement).mean()
    for kernel, part in ((released["ntk_train"], "train"), (released["ntk_test_train"], "test_train")):
        np.testing.assert_allclose(
            kernel + scale * average(kernel, clip=False), released[f"ntl_{name}_lr{ratio}_{part}"], rtol=1e-12
        )


def test_the_released_elasticity_ratio_counts_the_diagonal(released):
    """Ours leaves the diagonal out: a point is similar to itself whatever the labels. So the release's is too large."""
    kernel, labels = released["ntl_V1_lr0.1_train"], labels_of(released)
    normalized = kernel / np.sqrt(np.outer(np.diagonal(kernel), np.diagonal(kernel)))
    same = labels[:, None] == labels
    with_diagonal = normalized[same].mean() / (normalized[same].mean() + normalized[~same].mean())
    assert with_diagonal == pytest.approx(float(released["ntl_V1_lr0.1_train_ratio"]), rel=1e-12)
    assert metrics.elasticity_ratio(normalized, labels) < with_diagonal - 1e-3


def test_five_sums_are_the_double_sum(planted):
    """LA-4."""
    _, labels, kernel = planted
    agreement = 2.0 * (labels[:, None] == labels) - 1
    average = kernel_average(kernel, labels)
    at = np.linspace(kernel.min(), kernel.max(), 7)
    weights = np.ptp(kernel) ** 2 - (at[:, None, None] - kernel) ** 2
    assert weights.min() >= 0
    expected = (weights * agreement).sum((1, 2)) / weights.sum((1, 2))
    np.testing.assert_allclose(average(at), expected, rtol=1e-12)
    assert np.abs(expected).max() <= 1


def test_outside_the_range_of_the_kernel_the_average_is_clipped():
    average = kernel_average(np.array([[1.0, 0.2], [0.2, 1.0]]), [0, 1])
    np.testing.assert_array_equal(average(np.array([-3.0, 5.0])), average(np.array([0.2, 1.0])))
    assert np.abs(average(np.linspace(1, 3, 50), clip=False)).max() > 1


def dense_features(x, kernel, names, reference):
    """Pair features the slow way, of all pairs of rows of x, with scales from the reference points."""
    mean_square = np.mean([np.sum((a - b) ** 2) for a in reference for b in reference])
    axes = np.linalg.svd(reference - reference.mean(0))[2][:5]
    rows = []
    for i, a in enumerate(x):
        for j, b in enumerate(x):
            na, nb = np.linalg.norm(a), np.linalg.norm(b)
            cosine = a @ b / (na * nb)
            angle = np.arccos(np.clip(cosine, -1, 1))
            pa, pb = axes @ (a - reference.mean(0)), axes @ (b - reference.mean(0))
            known = {
                "kernel": [kernel[i, j]],
                "inner": [a @ b],
                "cosine": [cosine],
                "squared-distance": [np.sum((a - b) ** 2)],
                "norms": [na * nb],
                "sine": [np.sin(angle)],
                "angle": [angle],
                "gaussian": [np.exp(-np.sum((a - b) ** 2) / mean_square)],
                "correlation": [np.corrcoef(a, b)[0, 1]],
                "l1-distance": [np.abs(a - b).sum()],
                "products": pa * pb,
                "differences": np.abs(pa - pb),
            }
            rows.append(np.concatenate([known[name] for name in names]))
    return np.column_stack([np.array(rows), np.ones(len(rows))])


@pytest.mark.parametrize(("variant", "count"), [("fjlt-v1", 10), ("fjlt-v2", 20), ("fjlt-v4-6", 14)])
def test_streamed_pair_regression_is_least_squares_over_all_pairs(planted, variant, count):
    x, labels, kernel = planted
    features = pair_features(x, variant)
    assert features.count == count
    folds = np.arange(30) % 4
    regression = PairRegression(features, kernel, x, labels, folds)
    design = dense_features(x, kernel, features.names, x)
    agreement = (2.0 * (labels[:, None] == labels) - 1).reshape(-1)
    points = features.points(x)
    for excluded in ((), (1,), (0, 3)):
        kept = ~np.isin(folds, excluded)
        pairs = (kept[:, None] & kept).reshape(-1)
        expected = design @ np.linalg.lstsq(design[pairs], agreement[pairs])[0]
        found = regression.evaluate(regression.solve(excluded), kernel, points, points)
        # sin and arccos of a cosine of one, on the diagonal, carry the square root of its rounding.
        np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-10 if variant == "fjlt-v4-6" else 1e-7)


def test_blocks_of_rows_change_nothing(planted, monkeypatch):
    x, labels, kernel = planted
    features, folds = pair_features(x, "fjlt-v4-6"), np.arange(30) % 3
    points = features.points(x)

    def fitted():
        regression = PairRegression(features, kernel, x, labels, folds)
        return regression.evaluate(regression.solve(), kernel, points, points)

    whole = fitted()
    monkeypatch.setattr("lebench.kernels.pair_regression._ROWS", 3)
    np.testing.assert_allclose(fitted(), whole, atol=1e-10)


@pytest.mark.parametrize("variant", ["kr-v1", "kr-v2-cntk", "kr-v2-two-layer", "fjlt-v1"])
def test_no_label_enters_the_estimate_of_its_own_pairs(planted, variant):
    x, labels, kernel = planted
    estimates = []
    for of_point_3 in (0, 1):
        # Point 7 is the same as point 3: it is in the same fold, and its label counts as the other's.
        changed = labels.copy()
        changed[[3, 7]] = of_point_3
        agreement = LabelAgreement(kernel, x, changed, variant, np.random.default_rng(0))
        fold = agreement.folds(x)
        estimates.append(agreement(kernel, x, x))
    assert fold[3] == fold[7]
    assert sorted(np.unique(fold)) == list(range(5))
    own = fold == fold[3]
    touched = own[:, None] | own
    np.testing.assert_array_equal(estimates[0][touched], estimates[1][touched])
    assert np.abs(estimates[0] - estimates[1])[~touched].max() > 1e-9 * np.abs(estimates[0]).max()


def test_a_new_point_meets_a_training_point_as_the_others_do(planted):
    """One estimator: a function of two inputs, whichever set they are asked for in."""
    x, labels, kernel = planted
    agreement = LabelAgreement(kernel, x, labels, "fjlt-v1", np.random.default_rng(0))
    whole = agreement(kernel, x, x)
    np.testing.assert_allclose(agreement(kernel[4:9, 10:], x[4:9], x[10:]), whole[4:9, 10:], atol=1e-10)
    np.testing.assert_allclose(whole, whole.T, atol=1e-10)
    new = np.random.default_rng(2).standard_normal((4, 6))
    cross = np.exp(-cdist(new, x, "sqeuclidean") / 12)
    assert (agreement.folds(new) == 5).all()
    found = LabelAgreement(kernel, x, labels, "kr-v1", np.random.default_rng(0))(cross, new, x)
    fold = agreement.folds(x)
    for g in range(5):
        without = average(kernel, labels, "kr-v1", 0.0, np.flatnonzero(fold != g))
        np.testing.assert_allclose(found[:, fold == g], without(cross[:, fold == g]), rtol=1e-12)


def test_estimates_tell_classes_apart(planted):
    x, labels, kernel = planted
    same = labels[:, None] == labels
    off = ~np.eye(30, dtype=bool)
    for variant in ("kr-v1", "kr-v2-two-layer", "fjlt-v1", "fjlt-v2", "fjlt-v4-6"):
        estimate = LabelAgreement(kernel, x, labels, variant, np.random.default_rng(0))(kernel, x, x)
        assert estimate[same & off].mean() > estimate[~same].mean(), variant


def test_indefinite_kernels_get_only_ridges_that_make_them_definite(released):
    kernel, labels = released["ntk_train"], labels_of(released)
    agreement = kernel_average(kernel, labels)(kernel)
    targets = one_hot_targets(labels)
    found = label_aware_regression(kernel, agreement, targets, [1.0])
    assert found.smallest_eigenvalue < -10
    matrix = kernel + found.scale * agreement
    assert found.smallest_eigenvalue == pytest.approx(np.linalg.eigvalsh(matrix)[0], rel=1e-9)
    ridge = found.regression.ridge
    assert ridge >= -2 * found.smallest_eigenvalue
    assert found.regression.relative_ridge in RIDGES
    inverse = np.linalg.inv(matrix + ridge * np.eye(20))
    np.testing.assert_allclose(found.regression.coefficients, inverse @ targets, rtol=1e-9, atol=1e-12)
    residuals = inverse @ targets / np.diagonal(inverse)[:, None]
    np.testing.assert_allclose(found.regression.residuals, residuals, rtol=1e-9, atol=1e-12)
    assert found.leave_one_out[0] == pytest.approx(np.square(residuals).mean(), rel=1e-9)


def test_the_label_ratio_is_chosen_on_the_training_points(planted):
    _, labels, kernel = planted
    targets = one_hot_targets(labels)
    exact = 2.0 * (labels[:, None] == labels) - 1
    found = label_aware_regression(kernel, exact, targets)
    assert found.label_ratio > 0
    assert found.scale == pytest.approx(found.label_ratio * np.abs(kernel).mean(), rel=1e-12)
    assert found.leave_one_out[0] > found.leave_one_out.min()
    assert len(found.leave_one_out) == len(LABEL_RATIOS)
    # A multiple of the kernel itself tells nothing: at the tie the smallest ratio wins.
    assert label_aware_regression(kernel, kernel, targets, [0.0, 0.0]).label_ratio == 0


def test_a_leak_wins_and_a_shuffle_is_chance():
    """LA-5: exact agreement on training and test points, and agreement of shuffled labels."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(400) % 2)
    train, test = np.arange(200), np.arange(200, 400)
    correct = []
    for own in (labels, rng.permutation(labels)):
        kernel = 2.0 * (own[:, None] == own) - 1
        weights = np.linalg.solve(kernel[np.ix_(train, train)] + 1e-3 * np.eye(200), one_hot_targets(labels[train]))
        scores = kernel[np.ix_(test, train)] @ weights
        correct.append(metrics.accuracy(scores, labels[test]))
    assert correct[0] == 1
    assert abs(correct[1] - 0.5) < 2.576 * np.sqrt(0.25 / 200)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y, k: kernel_average(k, np.zeros(30, dtype=int)), "two classes"),
        (lambda x, y, k: kernel_average(np.ones((30, 30)), y), "all entries of the kernel are 1"),
        (lambda x, y, k: kernel_average(k, y, "kr-v3"), "'kr-v3' is unknown"),
        (lambda x, y, k: kernel_average(k, y[:4]), "30 points, there are 4 labels"),
        (lambda x, y, k: kernel_average(k, y, "kr-v2-cntk"), "singular"),
        (lambda x, y, k: LabelAgreement(k[:8, :8], x[:8], y[:8], "kr-v1", np.random.default_rng(0)), "10 different"),
        (lambda x, y, k: LabelAgreement(k, x, y, "kr-v3", np.random.default_rng(0)), "kr-v3"),
        (
            lambda x, y, k: LabelAgreement(k, x, 0 * y, "fjlt-v1", np.random.default_rng(0))(k, x, x),
            "points of two classes",
        ),
        (lambda x, y, k: pair_features(np.ones((5, 2)), "fjlt-v1"), "all 5 training points are equal"),
        (lambda x, y, k: pair_features(np.nan * x, "fjlt-v1"), "training points contain NaN"),
        (lambda x, y, k: restricted_regression(np.nan * k, one_hot_targets(y)), "kernel contains NaN"),
        (lambda x, y, k: label_aware_regression(k, np.nan * k, one_hot_targets(y)), "agreement contains NaN"),
        (lambda x, y, k: pair_features(x, "kr-v1"), "no pair features"),
        (lambda x, y, k: LabelAgreement(k, x, y - 1, "fjlt-v2", np.random.default_rng(0)), "contain -1"),
        (lambda x, y, k: LabelAgreement(k, x, y[:5], "fjlt-v2", np.random.default_rng(0)), "5 labels for 30 points"),
        (lambda x, y, k: LabelAgreement(k, x[:20], y, "kr-v1", np.random.default_rng(0)), "20 training points"),
        (lambda x, y, k: LabelAgreement(np.nan * k, x, y, "kr-v1", np.random.default_rng(0)), "NaN"),
        (lambda x, y, k: label_aware_regression(k, k[:4], one_hot_targets(y)), "do not fit"),
        (lambda x, y, k: label_aware_regression(k, k, one_hot_targets(y), []), "at least one, none negative"),
        (lambda x, y, k: label_aware_regression(k, k, one_hot_targets(y), [-1.0]), "at least one, none negative"),
        (lambda x, y, k: label_aware_regression(k, 0 * k, one_hot_targets(y)), "zero everywhere"),
        (lambda x, y, k: label_aware_regression(k, -k, one_hot_targets(y), [1e4]), "smaller label ratios"),
    ],
)
def test_bad_input_is_named(planted, make, message):
    with pytest.raises(DataError, match=message) as raised:
        make(*planted)
    assert "\n" not in str(raised.value)


def test_the_inverse_for_v2_takes_a_ridge_relative_to_the_diagonal():
    matrix = np.diag([1.0, 3.0])
    np.testing.assert_allclose(_inverse(matrix, 0.5), np.diag([1 / 2, 1 / 4]))
