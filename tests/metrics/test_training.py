"""Measures of what training does: the terminal phase, growth, and the labels that a similarity follows."""

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError


def test_terminal_ratio_compares_with_the_first_moment_without_error():
    values = np.array([5.0, 2.0, 3.0, 1.0])
    assert metrics.terminal_ratio(values, np.array([0.5, 0.0, 0.1, 0.0])) == 0.5
    assert metrics.terminal_ratio(7 * values, np.array([0.5, 0.2, 0.0, 0.0])) == pytest.approx(1 / 3)
    assert metrics.interpolation_moment(np.array([0.3, 0.1])) is None


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([2.0, 1.0], [0.3, 0.1], "never vanishes, it is at least 0.1"),
        ([2.0, 1.0], [0.3, 0.0], "only at the last moment"),
        ([0.0, 1.0], [0.0, 0.0], "zero already"),
        ([-1.0, 1.0], [0.0, 0.0], "negative"),
        ([1.0, 1.0], [0.0, 0.0, 0.0], "2 values do not fit 3 errors"),
        ([1.0, np.nan], [0.0, 0.0], "NaN"),
    ],
)
def test_terminal_ratio_says_why_there_is_none(values, error, message):
    with pytest.raises(DataError, match=message):
        metrics.terminal_ratio(np.array(values), np.array(error))


def test_growth_does_not_notice_an_offset_and_needs_two_moments():
    course = np.array([0.25, 0.75, 0.5])
    assert metrics.elasticity_growth(course + 2) == metrics.elasticity_growth(course) == 0.25
    with pytest.raises(DataError, match="two moments"):
        metrics.elasticity_growth(np.array([0.5]))


def test_label_following_equals_a_loop_over_pairs_and_does_not_notice_order_or_offset():
    rng = np.random.default_rng(0)
    s, own, other = rng.random((12, 12)), np.arange(12) % 2, np.arange(12) // 3 % 3
    pairs = [(i, j) for i in range(12) for j in range(12)]
    followed = np.mean([s[i, j] for i, j in pairs if own[i] == own[j] and other[i] != other[j]])
    left = np.mean([s[i, j] for i, j in pairs if own[i] != own[j] and other[i] == other[j]])
    assert metrics.label_following(s, own, other) == pytest.approx(followed - left)
    order = rng.permutation(12)
    moved = metrics.label_following(s[np.ix_(order, order)] + 1, own[order], other[order])
    assert moved == pytest.approx(followed - left)


def test_label_following_changes_sign_with_the_labelling():
    rng = np.random.default_rng(1)
    s, one, two = rng.random((20, 20)), rng.integers(0, 2, 20), rng.integers(0, 2, 20)
    assert metrics.label_following(s, one, two) == -metrics.label_following(s, two, one)


def test_label_following_needs_pairs_of_both_kinds():
    labels = np.array([0, 0, 1, 1])
    with pytest.raises(DataError, match="no pair of points shares only the own label"):
        metrics.label_following(np.eye(4), labels, labels)
    with pytest.raises(DataError, match="only the other label"):
        metrics.label_following(np.eye(4), np.zeros(4, dtype=int), np.arange(4))
    with pytest.raises(DataError, match="square"):
        metrics.label_following(np.ones((3, 4)), labels, labels)
