"""Generalization metrics against scikit-learn and hand calculation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from lebench import metrics
from lebench.errors import DataError


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    return rng.standard_normal((200, 4)), rng.integers(0, 4, 200)


def test_accuracy_without_ties_is_sklearns(scores):
    f, y = scores
    expected = accuracy_score(y, f.argmax(axis=1))
    assert metrics.accuracy(f, y) == expected
    assert metrics.error(f, y) == 1 - expected


def test_a_tie_for_the_maximum_is_wrong_even_for_the_first_class():
    assert metrics.accuracy(np.array([[1.0, 1.0, 0.0]]), np.array([0])) == 0
    # A tie below the maximum does no harm.
    assert metrics.accuracy(np.array([[2.0, 1.0, 1.0]]), np.array([0])) == 1


def test_log_loss_is_sklearns(scores):
    f, y = scores
    p = softmax(f)
    assert metrics.log_loss(p, y) == pytest.approx(sklearn_log_loss(y, p, labels=range(4)), rel=1e-13)


def test_brier_is_twice_the_binary_form():
    rng = np.random.default_rng(1)
    p, y = rng.random(50), rng.integers(0, 2, 50)
    assert metrics.brier(np.stack([1 - p, p], axis=1), y) == pytest.approx(2 * brier_score_loss(y, p), rel=1e-13)


def naive_calibration_error(p, y, bins):
    confidence, predicted = p.max(axis=1), p.argmax(axis=1)
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(len(y)) if b / bins < confidence[i] <= (b + 1) / bins]
        if inside:
            gap = np.mean([predicted[i] == y[i] for i in inside]) - np.mean([confidence[i] for i in inside])
            total += len(inside) / len(y) * abs(gap)
    return total


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_calibration_error_is_the_naive_loop(scores, bins):
    p, y = softmax(2 * scores[0]), scores[1]
    assert metrics.expected_calibration_error(p, y, bins=bins) == pytest.approx(
        naive_calibration_error(p, y, bins), rel=1e-12
    )


def test_certain_and_right_is_calibrated():
    assert metrics.expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_gap_of_identical_sets_is_zero(scores):
    assert metrics.generalization_gap(*scores, *scores) == 0


def test_margin_percentiles():
    f = np.stack([np.arange(11.0), np.zeros(11), np.full(11, -5.0)], axis=1)
    y = np.zeros(11, dtype=int)
    assert metrics.margin(f, y, percentile=50) == 5
    assert metrics.margin(f, y, percentile=0) == 0
    # Halfway between the order statistics 0 and 1.
    assert metrics.margin(f, y, percentile=5) == pytest.approx(0.5)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
@settings(max_examples=30, deadline=None)
def test_accuracy_is_invariant_to_order_scale_and_shift(seed, scale, shift):
    rng = np.random.default_rng(seed)
    f, y = rng.standard_normal((20, 3)), rng.integers(0, 3, 20)
    order, columns = rng.permutation(20), rng.permutation(3)
    value = metrics.accuracy(f, y)
    assert metrics.accuracy(scale * f + shift, y) == value
    assert metrics.accuracy(f[order], y[order]) == value
    renamed = np.argsort(columns)[y]
    assert metrics.accuracy(f[:, columns], renamed) == value
    assert metrics.margin(f[:, columns] + shift, renamed) == pytest.approx(metrics.margin(f, y), abs=1e-12)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_proper_scores_are_smallest_for_the_true_distribution(seed):
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.ones(3))
    labels = np.repeat(np.arange(3), 2)
    weights = truth[labels] / 2
    other = rng.dirichlet(np.ones(3))

    def expected(metric, p):
        return sum(w * metric(p[None], np.array([y])) for w, y in zip(weights, labels, strict=True))

    for metric in (metrics.log_loss, metrics.brier):
        assert expected(metric, truth) <= expected(metric, other) + 1e-12


@pytest.mark.parametrize(
    ("p", "message"),
    [([[0.5, 0.6]], "sum to 1"), ([[1.5, -0.5]], "non-negative"), ([[np.nan, 1.0]], "NaN or infinity")],
)
def test_what_is_no_probability_is_refused(p, message):
    for metric in (metrics.log_loss, metrics.brier, metrics.expected_calibration_error):
        with pytest.raises(DataError, match=message):
            metric(np.array(p), np.array([0]))


def test_parameters_out_of_range():
    with pytest.raises(DataError, match="percentile is 101"):
        metrics.margin(np.eye(2), np.arange(2), percentile=101)
    with pytest.raises(DataError, match="bins is 0"):
        metrics.expected_calibration_error(np.eye(2), np.arange(2), bins=0)
