"""Which measure explains generalization? Scores of a measure over a set of trained networks.

Networks differ in their hyper-parameters, the axes; each has a value of the measure and a generalization gap (or test
error: say which). Only the order of a measure's values counts, so that infinite bounds are values like any other.
Kendall's tau and conditional mutual information after Jiang et al. 2020, "Fantastic generalization measures and where
to find them".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import kendalltau, rankdata

from lebench.arrays import FloatArray, IntArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_floats, read_floats, to_numpy
from lebench.metrics.base import KnownAnswer, metric

SCORE_TAGS = ("generalization", "capacity")
_JIANG = "Jiang et al. 2020"
_CODE = "released code"

Direction = Literal["lower", "higher"]


def read_measure(measure: Any, gap: Any, direction: str) -> tuple[FloatArray, FloatArray]:
    """Return the ranks of the measure, so that a large rank promises a large gap, and the gaps."""
    values = read_floats("values of the measure", measure, 1, finite=False).astype(np.float64)
    if np.isnan(values).any():
        raise DataError("values of the measure contain NaN: leave these networks out, and say so")
    gaps = as_floats("gaps", gap, 1)
    if len(gaps) != len(values):
        raise DataError(
            f"there are {len(values)} values of the measure for {len(gaps)} gaps: one per network is needed"
        )
    if len(values) < 2:
        raise DataError("there is one network: at least two are needed")
    if direction not in ("lower", "higher"):
        raise DataError(f"direction is {direction!r}: 'lower' or 'higher' values of the measure promise a small gap")
    return np.asarray(rankdata(values if direction == "lower" else -values), dtype=np.float64), gaps


def read_settings(settings: Any, models: int) -> IntArray:
    """Return the settings with the values of each axis numbered from 0."""
    values = to_numpy(settings)
    if values.ndim != 2 or len(values) != models or values.shape[1] == 0:
        raise DataError(f"settings have shape {values.shape}: ({models}, axes) is needed, one row per network")
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError("settings must be finite numbers: number the values of each axis")
    return np.stack([np.unique(axis, return_inverse=True)[1] for axis in values.T], axis=1).astype(np.int64)


def _toy(measure: str, settings: bool = True) -> dict[str, Any]:
    """Nine networks on a 3 x 3 grid of axes a and b with gaps 0.1 a - 0.3 b."""
    a, b = (np.repeat([0.0, 1.0, 2.0], 3), np.tile([0.0, 1.0, 2.0], 3))
    gap = 0.1 * a - 0.3 * b
    measures = {"a": a, "a + 3 b": a + 3 * b, "gap": gap, "-gap": -gap}
    grid = {"settings": np.stack([a, b], axis=1).astype(np.int64)} if settings else {}
    return {"measure": measures[measure], "gap": gap} | grid


def _rotated(models: int) -> dict[str, Any]:
    """Order of the gaps, but for the last network, which comes first."""
    return {"measure": np.roll(np.arange(float(models)), 1), "gap": np.arange(float(models))}


def _tau(ranks: FloatArray, gaps: FloatArray) -> float:
    """Return tau-a: that of SciPy, tau-b, leaves the tied pairs out of the count."""
    pairs = len(gaps) * (len(gaps) - 1) // 2
    untied = [
        pairs - sum(int(n) * (int(n) - 1) // 2 for n in np.unique(v, return_counts=True)[1]) for v in (ranks, gaps)
    ]
    if 0 in untied:
        return 0.0
    return float(kendalltau(ranks, gaps).statistic * math.sqrt(untied[0] * untied[1]) / pairs)


_metric = partial(
    metric, direction="higher", invariant_to=("permutation", "scale", "translation", "monotone"), tags=SCORE_TAGS
)


@_metric(
    symbol=r"\tau",
    equation=r"\frac{1}{n(n-1)}\sum_{i\ne j}\operatorname{sign}(\mu_i-\mu_j)\operatorname{sign}(g_i-g_j)",
    source=f"{_JIANG}; tau-a: a tie counts 0",
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer("the gap itself", lambda: _toy("gap", False), 1.0, "identity"),
        KnownAnswer("minus the gap", lambda: _toy("-gap", False), -1.0, "identity"),
        KnownAnswer("one of two axes", lambda: _toy("a", False), 0.25, "counting"),
        KnownAnswer("right and wrong axis", lambda: _toy("a + 3 b", False), -0.5, "counting"),
    ),
)
def kendall_tau(measure: Any, gap: Any, direction: Direction = "lower") -> float:
    """Kendall's rank correlation of a measure with the generalization gap, over all pairs of networks.

    Parameters
    ----------
    measure : array of shape (n,), float32 or float64
        Value of the measure for each network; may be infinite.
    gap : array of shape (n,), float32 or float64
        Generalization gap of each network.
    direction : {"lower", "higher"}
        Which values of the measure promise a small gap: ``"higher"`` for a margin.

    Raises
    ------
    DataError
        If the lengths differ, there are fewer than two networks, or a value is NaN.

    Examples
    --------
    >>> kendall_tau(np.array([1.0, 2.0, np.inf]), np.array([0.1, 0.3, 0.2]))
    0.3333333333333333
    """
    return _tau(*read_measure(measure, gap, direction))


def granulated_taus(measure: Any, gap: Any, settings: Any, direction: Direction = "lower") -> FloatArray:
    """Kendall's tau along each axis: psi_i, the mean over all settings of the other axes.

    Settings of the other axes at which axis i takes only one value are left out.

    Parameters
    ----------
    measure, gap : array of shape (n,), float32 or float64
        Value of the measure and generalization gap of each network.
    settings : array of shape (n, axes), integer or float
        Hyper-parameters of each network; several networks may share one setting.
    direction : {"lower", "higher"}
        Which values of the measure promise a small gap.

    Returns
    -------
    ndarray of shape (axes,), float64

    Raises
    ------
    DataError
        If an axis never varies while the others stand still, or as in :func:`kendall_tau`.
    """
    ranks, gaps = read_measure(measure, gap, direction)
    grid = read_settings(settings, len(gaps))
    psi = np.empty(grid.shape[1])
    for axis in range(grid.shape[1]):
        groups = equal_rows(np.delete(grid, axis, axis=1))
        taus = [_tau(ranks[group], gaps[group]) for group in groups if len(np.unique(grid[group, axis])) > 1]
        if not taus:
            raise DataError(f"axis {axis} never varies while the others stand still: leave it out of the settings")
        psi[axis] = np.mean(taus)
    return psi


def equal_rows(rows: IntArray) -> Iterator[IntArray]:
    """Yield the indices of equal rows."""
    labels = _numbered(rows)
    for label in range(int(labels.max()) + 1):
        yield np.flatnonzero(labels == label).astype(np.int64)


def _numbered(rows: IntArray) -> IntArray:
    """Return for each row the number of its value, from 0."""
    if rows.shape[1] == 0:
        return np.zeros(len(rows), dtype=np.int64)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


@_metric(
    symbol=r"\Psi",
    equation=r"\frac1a\sum_{i=1}^a\psi_i,\quad \psi_i = \operatorname{mean}_{\theta_{-i}}\tau(\theta_i\mid\theta_{-i})",
    source=f"{_JIANG}, {_CODE}; unweighted mean over axes and over settings of the others",
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer("one of two axes", lambda: _toy("a"), 0.5, "psi is (1, 0)"),
        KnownAnswer("right and wrong axis", lambda: _toy("a + 3 b"), 0.0, "psi is (1, -1)"),
    ),
)
def granulated_tau(measure: Any, gap: Any, settings: Any, direction: Direction = "lower") -> float:
    """Kendall's tau when one hyper-parameter varies at a time, averaged over hyper-parameters.

    Parameters
    ----------
    measure, gap : array of shape (n,), float32 or float64
        Value of the measure and generalization gap of each network.
    settings : array of shape (n, axes), integer or float
        Hyper-parameters of each network.
    direction : {"lower", "higher"}
        Which values of the measure promise a small gap.
    """
    return float(granulated_taus(measure, gap, settings, direction).mean())


def conditional_informations(
    measure: Any, gap: Any, settings: Any = None, conditions: int = 2
) -> Mapping[tuple[int, ...], float]:
    """Information that a measure's order has about the order of the gaps, given some of the hyper-parameters.

    For a set S of axes: I(V_mu; V_g | U_S) / H(V_g | U_S), over ordered pairs of networks, V the signs of the
    differences (a tie is a third sign), U_S the values of both networks on the axes in S. A set given which the order
    of the gaps is certain says nothing and is left out.

    Parameters
    ----------
    measure, gap : array of shape (n,), float32 or float64
        Value of the measure and generalization gap of each network.
    settings : array of shape (n, axes), integer or float, optional
        Hyper-parameters of each network; without it only the empty set is looked at.
    conditions : int
        Largest size of a set.

    Returns
    -------
    dict of tuple of int to float
        Value in [0, 1] by the axes in S.

    Raises
    ------
    DataError
        If all gaps are equal, `conditions` is negative, or as in :func:`kendall_tau`.
    """
    ranks, gaps = read_measure(measure, gap, "lower")
    if conditions < 0:
        raise DataError(f"conditions is {conditions}: at least 0 is needed")
    grid = np.empty((len(gaps), 0), dtype=np.int64) if settings is None else read_settings(settings, len(gaps))
    different = ~np.eye(len(gaps), dtype=bool)
    signs = [np.sign(v[:, None] - v[None, :])[different].astype(np.int64) + 1 for v in (ranks, gaps)]
    found: dict[tuple[int, ...], float] = {}
    for size in range(min(conditions, grid.shape[1]) + 1):
        for axes in combinations(range(grid.shape[1]), size):
            labels = _numbered(grid[:, axes])
            cells = (labels[:, None] * (int(labels.max()) + 1) + labels[None, :])[different]
            value = _normalized_information(cells * 9 + signs[0] * 3 + signs[1])
            if value is not None:
                found[axes] = value
    if not found:
        raise DataError("gaps are all equal: there is no order to explain")
    return found


def _normalized_information(codes: NDArray[np.int64]) -> float | None:
    """Return I/H from the codes 9 u + 3 v_mu + v_g of all pairs, or None if H is zero."""
    counts = np.bincount(codes, minlength=9 * (int(codes.max()) // 9 + 1)).reshape(-1, 3, 3).astype(np.float64)
    entropy = _conditional_entropy(counts.sum(axis=1))
    if entropy == 0:
        return None
    return min(max(1 - _conditional_entropy(counts.reshape(-1, 3)) / entropy, 0.0), 1.0)


def _conditional_entropy(counts: FloatArray) -> float:
    """Return the entropy of the column given the row, in nats times the number of pairs."""
    totals = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return float(-xlogy(counts, shares).sum())


@_metric(
    symbol=r"\mathcal K",
    equation=r"\min_{|S|\le2} I(V_\mu;V_g\mid U_S)\,/\,H(V_g\mid U_S)",
    source=f"{_JIANG}, {_CODE}; a tie is a sign of its own (our choice); blind to the sign of the relation",
    bounds=(0.0, 1.0),
    known_answers=(
        KnownAnswer("tau 1/2, no axes", lambda: _rotated(8), 0.75 * math.log2(3) - 1, "1 - H((1 + tau)/2)"),
        KnownAnswer("tau 0, no axes", lambda: _rotated(4), 0.0, "1 - H((1 + tau)/2)"),
        KnownAnswer("the gap itself", lambda: _toy("gap"), 1.0, "certain under every condition"),
        KnownAnswer("minus the gap", lambda: _toy("-gap"), 1.0, "blind to the sign"),
        KnownAnswer("one axis", lambda: _toy("a"), 0.0, "nothing is left, given that axis"),
    ),
)
def conditional_information(measure: Any, gap: Any, settings: Any = None, conditions: int = 2) -> float:
    """Smallest share of the order of the gaps that a measure explains, whichever two hyper-parameters are known.

    Its bias is positive in small samples: about var(tau)/(2 ln 2) without conditions, 0.015 for 24 networks.

    Parameters
    ----------
    measure, gap : array of shape (n,), float32 or float64
        Value of the measure and generalization gap of each network.
    settings : array of shape (n, axes), integer or float, optional
        Hyper-parameters of each network; without it nothing is conditioned on.
    conditions : int
        Most hyper-parameters that are known at a time.
    """
    return min(conditional_informations(measure, gap, settings, conditions).values())
