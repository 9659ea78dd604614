"""Measures of training dynamics: what they are invariant to, and what they refuse."""

from types import SimpleNamespace

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError, ParameterError
from lebench.metrics.planted import rotation

TIMES = np.arange(1.0, 101.0)


def test_the_tail_index_does_not_notice_a_scale_and_ignores_what_is_before_the_tail():
    rate = TIMES**-0.8
    assert metrics.tail_index(1e3 * rate, TIMES) == pytest.approx(0.8, abs=1e-10)
    early = rate.copy()
    early[:80] = -1
    assert metrics.tail_index(early, TIMES, tail=0.2) == pytest.approx(0.8, abs=1e-10)


@pytest.mark.parametrize(
    ("rate", "times", "tail", "error", "message"),
    [
        (np.ones(3), TIMES, 0.1, DataError, "3 rates do not fit 100 times"),
        (np.ones(100), TIMES - 1, 0.1, DataError, "positive and increase"),
        (np.ones(100), TIMES[::-1], 0.1, DataError, "positive and increase"),
        (np.where(TIMES > 95, -1.0, 1.0), TIMES, 0.1, DataError, "changes sign among its last 10 values"),
        (np.zeros(100), TIMES, 0.1, DataError, "vanishes or changes sign"),
        (np.ones(100), TIMES, 0.0, ParameterError, "no share of the moments"),
        (np.ones(1), TIMES[:1], 0.5, DataError, "at least two moments"),
    ],
)
def test_the_tail_index_says_why_there_is_none(rate, times, tail, error, message):
    with pytest.raises(error, match=message):
        metrics.tail_index(rate, times, tail)


def test_the_gap_is_about_increments_and_relative():
    a, b = np.array([1.0, 5.0]), np.array([2.0, 4.0])
    assert metrics.le_alpha_beta_gap(a, b) == pytest.approx(2 / 6)
    assert metrics.le_alpha_beta_gap(10 * a, 10 * b) == pytest.approx(2 / 6)
    assert metrics.le_alpha_beta_gap(b, a) == pytest.approx(-2 / 6)
    with pytest.raises(DataError, match="no impact to compare"):
        metrics.le_alpha_beta_gap(np.ones(3), np.ones(3))
    with pytest.raises(DataError, match="2 values of A do not fit 3"):
        metrics.le_alpha_beta_gap(a, np.ones(3))


def test_separation_does_not_notice_affine_changes_or_order():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 15)
    features = 1.4 * rng.standard_normal((4, 2))[labels] + 0.5 * rng.standard_normal((60, 2))
    value = metrics.separation(features, labels)
    assert 0 < value < 1
    order = rng.permutation(60)
    moved = 1e-3 * (features @ rotation(2))[order] + 40.0
    assert metrics.separation(moved, labels[order]) == value


def test_more_dimensions_than_points_always_separate_and_equal_points_never():
    rng = np.random.default_rng(1)
    labels = np.arange(20) % 2
    assert metrics.separation(rng.standard_normal((20, 30)), labels) == 1.0
    assert metrics.separation(np.ones((20, 3)), labels) == 0.0
    with pytest.raises(DataError, match="only one class"):
        metrics.separation(np.ones((3, 2)), np.zeros(3, dtype=int))


def test_a_programme_that_is_not_solved_is_no_answer(monkeypatch):
    unsolved = SimpleNamespace(status=4, message="numerical difficulties")
    monkeypatch.setattr("lebench.metrics.dynamics.linprog", lambda *_, **__: unsolved)
    with pytest.raises(DataError, match="could not be decided: numerical difficulties"):
        metrics.separation(np.eye(4), np.array([0, 0, 1, 1]))


def test_imitation_needs_equal_shapes_and_a_movement():
    course = np.random.default_rng(2).standard_normal((5, 3, 4))
    assert metrics.imitation_error(course, course + 0.0) == 0.0
    with pytest.raises(DataError, match="do not fit"):
        metrics.imitation_error(course, course[:4])
    with pytest.raises(DataError, match="never move"):
        metrics.imitation_error(np.ones((3, 2, 2)), np.ones((3, 2, 2)))
