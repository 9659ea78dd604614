"""Errors that a user can act on, and how a bad input is reported."""

from __future__ import annotations

import json
from pathlib import Path


class LebenchError(Exception):
    """An error whose message alone tells a user what is wrong and what to do.

    The command line prints it as one line and exits with code 2; no traceback. Library code raises it
    (or its subclasses) for bad input only. A defect of lebench is any other exception.
    """


class LebenchWarning(UserWarning):
    """Something was left out or ignored, and the rest goes on; the command line prints it as one line."""


class UnknownNameError(LebenchError):
    """A name that is in no registry; the message suggests the nearest ones."""


class ParameterError(LebenchError):
    """A parameter that does not exist, or whose value has the wrong type or range."""


class MissingDependencyError(LebenchError):
    """An optional dependency is not installed; the message says which extra installs it."""


class DataError(LebenchError, ValueError):
    """Arrays that a metric, a dataset or a model cannot use.

    It is a ``ValueError`` too, so that code which uses the metrics as a library can catch it without
    importing lebench's exceptions.
    """


class UnavailableDataError(DataError):
    """Files of a dataset are missing, or they are not what they should be; the message says what to do."""


class NotOfferedError(LebenchError):
    """A fitted model lacks a capability after all; its cell is skipped with this reason."""


class TrainingError(LebenchError):
    """Training broke down, by divergence for example."""


def install_hint(extra: str) -> str:
    """Return the command that adds an extra to lebench as it is installed, whether or not it is on an index.

    Examples
    --------
    >>> install_hint("jax").startswith("pip install ")
    True
    """
    from importlib.metadata import PackageNotFoundError, distribution

    checkout = Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return f"pip install -e '{checkout}[{extra}]'"
    try:
        url = json.loads(distribution("lebench").read_text("direct_url.json") or "{}").get("url")
    except (PackageNotFoundError, ValueError):
        url = None
    return f"pip install 'lebench[{extra}]{f' @ {url}' if url else ''}'"
