"""What was chosen and found when a kernel was fitted, against plain linear algebra."""

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError


def test_smallest_eigenvalue_is_relative_and_that_of_the_whole_spectrum():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    kernel = root @ root.T - 2 * np.eye(12)
    expected = np.linalg.eigvalsh(kernel)[0] / np.diagonal(kernel).mean()
    assert expected < 0
    assert metrics.smallest_eigenvalue(kernel) == pytest.approx(expected, rel=1e-12)
    assert metrics.smallest_eigenvalue(7 * kernel) == pytest.approx(expected, rel=1e-12)


def test_sizes_are_relative_to_the_kernel():
    rng = np.random.default_rng(1)
    kernel, part = rng.standard_normal((5, 7)), rng.standard_normal((5, 7))
    expected = np.abs(part).mean() / np.abs(kernel).mean()
    assert metrics.label_ratio(part, kernel) == pytest.approx(expected, rel=1e-14)
    assert metrics.label_ratio(3 * part, 3 * kernel) == pytest.approx(expected, rel=1e-14)
    assert metrics.kernel_standard_error(np.abs(part), kernel) == pytest.approx(expected, rel=1e-14)
    diagonal = rng.random(6)
    assert metrics.relative_ridge(0.3, diagonal) == pytest.approx(0.3 / diagonal.mean())
    assert metrics.label_weight(0.3, diagonal) == metrics.relative_ridge(0.3, diagonal)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.relative_ridge(-1.0, np.ones(3)), "the ridge is -1.0"),
        (lambda: metrics.relative_ridge(np.nan, np.ones(3)), "the ridge is nan"),
        (lambda: metrics.relative_ridge(1.0, np.zeros(3)), "mean diagonal of the kernel is 0"),
        (lambda: metrics.label_weight(-1.0, np.ones(3)), "the weight is -1.0"),
        (lambda: metrics.smallest_eigenvalue(np.array([[1.0, 2.0], [0.0, 1.0]])), "not symmetric"),
        (lambda: metrics.label_ratio(np.ones((2, 2)), np.ones((2, 3))), "does not fit a kernel of shape"),
        (lambda: metrics.label_ratio(np.ones((2, 2)), np.zeros((2, 2))), "zero everywhere"),
        (lambda: metrics.kernel_standard_error(-np.ones((2, 2)), np.ones((2, 2))), "negative one"),
    ],
)
def test_what_makes_no_sense_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()
