"""The worst case of a measure: environments in which one hyper-parameter changes, and its sign errors there.

After Dziugaite et al. 2020, "In search of robust measures of generalization", and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.base import KnownAnswer, metric
from lebench.metrics.measure_scores import SCORE_TAGS, Direction, equal_rows, read_measure, read_settings

#: Test points behind each gap, and the smallest effective sample of an environment, as in the paper.
TEST_POINTS, SMALLEST_SAMPLE = 10_000, 12.0

_CODE = "Dziugaite et al. 2020, released code"


def _seeds(*measures: list[float]) -> dict[str, Any]:
    """One axis, four networks per setting, gaps 0, 0.5, 1: each environment has 16 pairs of weight 1/2."""
    setting = np.repeat(np.arange(len(measures)), 4)
    return {"measure": np.concatenate(measures), "gap": setting / 2, "settings": setting[:, None]}


@dataclass(frozen=True)
class Environments:
    """Sign errors of a measure in environments: pairs of settings that differ in one axis.

    Attributes
    ----------
    axes : ndarray of shape (k,), int64
        The axis in which the two settings differ.
    errors : ndarray of shape (k,), float64
        Weighted share of pairs of networks that the measure orders wrongly; a tie counts one half.
    left_out : int
        Environments with too few pairs whose gaps differ reliably.
    """

    axes: IntArray
    errors: FloatArray
    left_out: int


def sign_errors(
    measure: Any,
    gap: Any,
    settings: Any,
    direction: Direction = "lower",
    *,
    test_points: int = TEST_POINTS,
    smallest_sample: float = SMALLEST_SAMPLE,
) -> Environments:
    """How often a measure orders two networks wrongly, for each pair of settings that differ in one axis.

    A pair of networks weighs (w - 1/2)_+, w = max(0, 1 - 2 exp(-2 n (dg/2)^2))^2: how sure n test points make the
    sign of the difference dg of their gaps (Hoeffding).

    Parameters
    ----------
    measure, gap : array of shape (n,), float32 or float64
        Value of the measure and generalization gap, in [0, 1], of each network.
    settings : array of shape (n, axes), integer or float
        Hyper-parameters of each network; networks with one setting differ in their seed.
    direction : {"lower", "higher"}
        Which values of the measure promise a small gap.
    test_points : int
        Points behind each gap.
    smallest_sample : float
        Environments are left out whose effective sample, (sum of weights)^2 / (sum of squared weights), is smaller.
        With s seeds per setting it is s^2 at most.

    Returns
    -------
    Environments

    Raises
    ------
    DataError
        If no environment is left, `test_points` or `smallest_sample` is not positive, or as in :func:`kendall_tau`.
    """
    ranks, gaps = read_measure(measure, gap, direction)
    grid = read_settings(settings, len(gaps))
    if test_points < 1 or not smallest_sample > 0:
        raise DataError(f"test_points is {test_points}, smallest_sample {smallest_sample}: both must be positive")
    axes, errors, left_out = [], [], 0
    groups = list(equal_rows(grid))
    for first, second in combinations(groups, 2):
        differing = np.flatnonzero(grid[first[0]] != grid[second[0]])
        if len(differing) != 1:
            continue
        apart = gaps[first, None] - gaps[None, second]
        sure = np.maximum(0, 1 - 2 * np.exp(-2 * test_points * (apart / 2) ** 2)) ** 2
        weights = np.maximum(0, sure - 0.5)
        total = weights.sum()
        if total == 0 or total**2 / np.square(weights).sum() < smallest_sample:
            left_out += 1
            continue
        wrong = (1 - np.sign(ranks[first, None] - ranks[None, second]) * np.sign(apart)) / 2
        axes.append(int(differing[0]))
        errors.append(float((weights * wrong).sum() / total))
    if not errors:
        raise DataError(
            f"no environment of {left_out} has an effective sample of {smallest_sample:g}: "
            "train more seeds, or set a lower smallest_sample"
        )
    return Environments(np.array(axes, dtype=np.int64), np.array(errors), left_out)


@metric(
    symbol=r"\bar e",
    equation=r"\frac1k\sum_e\frac{\sum w\,(1-\operatorname{sign}\Delta\mu\,\operatorname{sign}\Delta g)}{2\sum w}",
    source=f"{_CODE}; mean over environments",
    direction="lower",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer("one seed of four wrong", lambda: _seeds([0.0] * 4, [1.0, 1.0, 1.0, -1.0]), 0.25, "counting"),
        KnownAnswer(
            "two of three environments wrong",
            lambda: _seeds([0.0] * 4, [1.0, 1.0, 1.0, -1.0], [-9.0] * 4),
            0.75,
            "(1/4 + 1 + 1)/3",
        ),
        KnownAnswer("a constant", lambda: _seeds([0.0] * 4, [0.0] * 4), 0.5, "ties"),
    ),
    tags=SCORE_TAGS,
)
def sign_error(
    measure: Any,
    gap: Any,
    settings: Any,
    direction: Direction = "lower",
    *,
    test_points: int = TEST_POINTS,
    smallest_sample: float = SMALLEST_SAMPLE,
) -> float:
    """Mean over environments of the share of pairs of networks that a measure orders wrongly.

    Takes what :func:`sign_errors` takes.
    """
    found = sign_errors(measure, gap, settings, direction, test_points=test_points, smallest_sample=smallest_sample)
    return float(found.errors.mean())


@metric(
    symbol=r"e_{\max}",
    equation=r"\max_e\,\frac{\sum w\,(1-\operatorname{sign}\Delta\mu\,\operatorname{sign}\Delta g)}{2\sum w}",
    source=f"{_CODE}; maximum over environments: averages hide where a measure fails",
    direction="lower",
    bounds=(0.0, 1.0),
    invariant_to=("permutation", "translation"),
    known_answers=(
        KnownAnswer("one seed of four wrong", lambda: _seeds([0.0] * 4, [1.0, 1.0, 1.0, -1.0]), 0.25, "counting"),
        KnownAnswer(
            "two of three environments wrong",
            lambda: _seeds([0.0] * 4, [1.0, 1.0, 1.0, -1.0], [-9.0] * 4),
            1.0,
            "the maximum of 1/4, 1 and 1",
        ),
    ),
    tags=SCORE_TAGS,
)
def sign_error_worst(
    measure: Any,
    gap: Any,
    settings: Any,
    direction: Direction = "lower",
    *,
    test_points: int = TEST_POINTS,
    smallest_sample: float = SMALLEST_SAMPLE,
) -> float:
    """Largest share of pairs of networks that a measure orders wrongly, over environments.

    Takes what :func:`sign_errors` takes.
    """
    found = sign_errors(measure, gap, settings, direction, test_points=test_points, smallest_sample=smallest_sample)
    return float(found.errors.max())
