"""What a check of agreement is, and how it is done."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lebench.arrays import FloatArray

#: Rounding may add up to so many machine epsilons of the largest value. On x86 it is 7 in float64 and 3 in float32.
EPSILONS = 32


@dataclass(frozen=True)
class Check:
    """One quantity of one network by one implementation in one dtype, and what it must be.

    Attributes
    ----------
    quantity, network, implementation : str
        What is computed, of what, and by what.
    dtype : {"float64", "float32"}
        Of the computation.
    reference : str
        Where the expected values come from.
    tolerance : float
        Largest deviation allowed, relative to the largest expected value.
    needs : tuple of str
        Packages without which it cannot be done.
    found, expected : callable
        Return the values, arrays of one shape.
    """

    quantity: str
    network: str
    implementation: str
    dtype: str
    reference: str
    tolerance: float
    needs: tuple[str, ...]
    found: Callable[[], FloatArray]
    expected: Callable[[], FloatArray]

    def result(self) -> dict[str, Any]:
        """Return the outcome; see :func:`lebench.agree.agree`."""
        missing = [name for name in self.needs if not installed(name)]
        deviation, reason = None, f"{' and '.join(missing)} not installed" if missing else ""
        if not missing:
            try:
                deviation = _deviation(self.found(), self.expected())
            except Exception as error:  # An implementation that fails is a finding, not the end of the table.
                reason = f"{type(error).__name__}: {error}"
        return {
            "quantity": self.quantity,
            "network": self.network,
            "implementation": self.implementation,
            "dtype": self.dtype,
            "reference": self.reference,
            "deviation": deviation,
            "tolerance": self.tolerance,
            "state": "missing" if missing else "ok" if deviation is not None and deviation <= self.tolerance else "out",
            "reason": reason,
        }


def installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def rounding(dtype: str) -> float:
    """Return the tolerance for what differs by rounding only.

    Examples
    --------
    >>> rounding("float64") == 32 * 2.0**-52
    True
    """
    return EPSILONS * float(np.finfo(dtype).eps)


def _deviation(found: FloatArray, expected: FloatArray) -> float:
    """Return the largest deviation over the largest expected value."""
    if found.shape != expected.shape:
        raise ValueError(f"shape {found.shape} instead of {expected.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(found))} of {found.size} values are not finite")
    return float(np.abs(found - expected).max() / np.abs(expected).max())
