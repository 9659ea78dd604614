"""What is said of a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lebench import plugins


def with_plugin(hint: str, what: str) -> str:
    """Return a hint, with the option ``--plugin`` where none was given: who forgot it has a name that nobody knows."""
    if plugins.loaded():
        return hint
    rest = f"{what} of your own needs its file: --plugin FILE"
    return f"{hint} {rest[0].upper()}{rest[1:]}" if hint.endswith("?") else f"{hint}; {rest}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names what is like an unknown name, nothing if nothing is.

    Examples
    --------
    >>> did_you_mean("resnett", ["mlp", "resnet"])
    "did you mean 'resnet'?"
    >>> did_you_mean("logistic", ["linear", "logistic-regression"])
    "did you mean 'logistic-regression'?"
    >>> did_you_mean("fourier-res", ["measure-frobenius"])
    ''
    """
    known = sorted(set(known))
    # Lower, and names that have only letters in common are like each other; but two of three letters are enough.
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.65)
    near = near or [one for one in known if len(name) > 2 and one.startswith(name)][:3]
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
