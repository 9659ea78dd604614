"""How far the implementations of kernels and capabilities agree: NumPy, torch, JAX and neural-tangents."""

from __future__ import annotations

import difflib
import fnmatch
import importlib.metadata
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lebench import callables
from lebench.agree.checks import Check
from lebench.errors import UnknownNameError

__all__ = ["agree", "descriptions", "measured", "names", "versions"]

_PACKAGES = {
    "lebench": "lebench",
    "NumPy": "numpy",
    "numba": "numba",
    "torch": "torch",
    "JAX": "jax",
    "neural-tangents": "neural-tangents",
}


def agree(chosen: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Compute kernels, and what trained networks offer, by every implementation and compare.

    Kernels of infinite width are compared with stored numbers of neural-tangents, and on ill-conditioned inputs of
    mpmath; trained networks with torch in float64. So any two implementations differ by at most the sum of their
    deviations.

    Parameters
    ----------
    chosen : iterable of str, optional
        Quantities, networks or implementations, or globs (``"ntk*"``, ``"small-mlp"``, ``"JAX"``); by default all.

    Returns
    -------
    list of dict
        ``quantity``, ``network``, ``implementation``, ``dtype``, ``reference`` (str); ``deviation`` (float, the largest
        relative to the largest expected value, None if there is none); ``tolerance`` (float); ``state`` (``"ok"``,
        ``"out"``, or ``"missing"`` if a package is not installed); ``reason`` (str, why there is no deviation). Made of
        what JSON can hold.

    Raises
    ------
    UnknownNameError
        If a name matches nothing.
    """
    checks = _checks()
    if chosen is not None:
        patterns = list(chosen)
        for pattern in patterns:
            _expect_known(pattern)
        checks = [
            check
            for check in checks
            if any(
                fnmatch.fnmatchcase(name, pattern)
                for pattern in patterns
                for name in (check.quantity, check.network, check.implementation)
            )
        ]
    return [check.result() for check in checks]


def _checks() -> list[Check]:
    from lebench.agree import ill_conditioned, infinite_width, networks

    return [*infinite_width.checks(), *ill_conditioned.checks(), *networks.checks()]


def names() -> tuple[str, ...]:
    """Return the quantities, networks and implementations that are compared."""
    columns = zip(*((check.quantity, check.network, check.implementation) for check in _checks()), strict=True)
    return tuple(dict.fromkeys(name for column in columns for name in column))


def _expect_known(pattern: str) -> None:
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names()):
        near = difflib.get_close_matches(pattern, names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names())}"
        raise UnknownNameError(f"nothing to compare is called {pattern!r}; {hint}")


def descriptions() -> dict[str, str]:
    """Return what each network is, in words."""
    from lebench.agree import ill_conditioned, infinite_width, networks

    trained = {name: text for name, (text, _) in networks.NETWORKS.items()}
    return infinite_width.NETWORKS | ill_conditioned.descriptions() | trained


def versions() -> dict[str, str]:
    """Return the versions of what is installed of the packages that are compared."""
    found = {}
    for name, package in _PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def measured() -> dict[str, Any]:
    """Return the agreement as it was measured for the site: ``versions`` and ``checks``, see :func:`agree`.

    It is the output of ``lebench agree --json``, kept by ``make agreement``: compiling for JAX takes too long to do it
    whenever the site is built.
    """
    text = Path(__file__).with_name("measured.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


# ``lebench.agree(...)`` is a function, too.
callables.call(__name__, "lebench.api:agreed")
