"""Variances of few observations each, moderated towards what all of them share (Smyth 2004)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def trigamma_inverse(y: float) -> float:
    """Return the x > 0 with trigamma(x) = y, by Newton's method on 1 / trigamma (Smyth 2004, appendix).

    Examples
    --------
    >>> round(trigamma_inverse(np.pi**2 / 6), 12)
    1.0
    """
    from scipy.special import polygamma

    # The ends are asymptotic: trigamma(x) is about 1 / x for a large x and 1 / x^2 for a small one.
    if y > 1e7:
        return float(1 / np.sqrt(y))
    if y < 1e-6:
        return 1 / y
    x = 0.5 + 1 / y
    for _ in range(50):
        value = polygamma(1, x)
        step = value * (1 - value / y) / polygamma(2, x)
        x += step
        if -step / x < 1e-10:
            break
    return float(x)


def moderate(variances: ArrayLike, freedom: ArrayLike, most: float) -> tuple[FloatArray, FloatArray]:
    """Return moderated variances and their degrees of freedom.

    A variance s2 with d degrees of freedom becomes (d0 prior + d s2) / (d0 + d). The prior is that of Smyth (2004),
    but at least the mean of all variances: with two degrees of freedom the geometric mean that he fits is so small that
    too many pairs are told apart.

    Parameters
    ----------
    variances, freedom : array_like of float, shape (n,)
        Of one kind, so that one prior makes sense.
    most : float
        Degrees of freedom that the prior has at most: what the data behind these variances have in all.

    Returns
    -------
    moderated, freedom : ndarray of float, shape (n,)
        With fewer than three variances above zero there is no prior: what is below the mean is raised to it.

    References
    ----------
    .. [1] G. K. Smyth. Linear models and empirical Bayes methods for assessing differential expression in microarray
       experiments. Statistical Applications in Genetics and Molecular Biology 3, 2004, section 6.2.
    """
    from scipy.special import digamma, polygamma

    s2, d = np.asarray(variances, dtype=np.float64), np.asarray(freedom, dtype=np.float64)
    if not len(s2):
        return s2, d
    mean = float(s2.mean())
    # What differs by rounding alone counts as zero.
    positive = s2 > 1e-20 * max(mean, np.finfo(float).tiny)
    if positive.sum() < 3:
        return np.maximum(s2, mean), d
    half = d[positive] / 2
    e = np.log(s2[positive]) - digamma(half) + np.log(half)
    spread = float(np.var(e, ddof=1) - polygamma(1, half).mean())
    d0 = min(most, 2 * trigamma_inverse(spread)) if spread > 0 else most
    s0 = float(np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2)))
    return (d0 * max(s0, mean) + d * s2) / (d0 + d), d0 + d
