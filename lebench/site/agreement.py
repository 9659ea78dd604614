"""The agreement as a page: how far the implementations of kernels and capabilities are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lebench.agree import descriptions, ill_conditioned, infinite_width, networks
from lebench.site.pages import render

_INTRODUCTIONS = {
    infinite_width.REFERENCE: (
        "Kernels of infinite width",
        "The covariance of the scores (NNGP) and the tangent kernel (NTK) of 4 or 6 inputs, by the loops that numba "
        "compiles, by the recursion over layers in NumPy, torch and JAX, and by neural-tangents. The reference was "
        "computed once by neural-tangents in float64, from networks built of its own layers.",
    ),
    ill_conditioned.REFERENCE: (
        "Nearly collinear inputs",
        "Kernels of inputs at angles near 0 and π, on which digits are lost if angles are read off rounded cosines. "
        "The reference was computed once by mpmath with 60 digits.",
    ),
    networks.REFERENCE: (
        "Trained networks",
        "A network is trained by torch for one epoch on 64 digits; then both backends measure the same weights, always "
        "in float64. neural-tangents has its own way to the empirical tangent kernel. That both train alike, from the "
        "same weights, is checked by the tests.",
    ),
}


@dataclass(frozen=True)
class Precision:
    """The checks of one row in one dtype: one for each implementation, None where it does not compute this."""

    checks: tuple[dict[str, Any] | None, ...]
    tolerance: float | None


@dataclass(frozen=True)
class Row:
    """A network, and how far each implementation is from the reference."""

    network: str
    description: str
    precisions: tuple[Precision, ...]


@dataclass(frozen=True)
class Section:
    """What is compared with one reference: its columns, and its rows by quantity."""

    title: str
    introduction: str
    reference: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]


def page(measured: Mapping[str, Any]) -> str:
    """Return the page of an agreement.

    Parameters
    ----------
    measured : mapping
        As :func:`lebench.agree.measured` returns it.
    """
    checks = measured["checks"]
    done = [check for check in checks if check["state"] != "missing"]
    return render(
        "agreement.md",
        sections=[_section(checks, each) for each in dict.fromkeys(check["reference"] for check in checks)],
        versions=[f"{name} {version}" for name, version in measured["versions"].items()],
        checks=len(done),
        out=sum(check["state"] == "out" for check in done),
        missing=list(dict.fromkeys(check["implementation"] for check in checks if check["state"] == "missing")),
    )


def _section(checks: Sequence[dict[str, Any]], reference: str) -> Section:
    mine = [check for check in checks if check["reference"] == reference]
    columns = tuple(
        (dtype, tuple(dict.fromkeys(check["implementation"] for check in mine if check["dtype"] == dtype)))
        for dtype in dict.fromkeys(check["dtype"] for check in mine)
    )
    found = {(check["quantity"], check["network"], check["dtype"], check["implementation"]): check for check in mine}
    networks = dict.fromkeys(check["network"] for check in mine)

    def precision(quantity: str, network: str, dtype: str, implementations: tuple[str, ...]) -> Precision:
        row = tuple(found.get((quantity, network, dtype, each)) for each in implementations)
        return Precision(row, next((check["tolerance"] for check in row if check is not None), None))

    groups = tuple(
        (
            quantity,
            tuple(
                Row(network, descriptions()[network], tuple(precision(quantity, network, *each) for each in columns))
                for network in networks
            ),
        )
        for quantity in dict.fromkeys(check["quantity"] for check in mine)
    )
    return Section(*_INTRODUCTIONS[reference], reference, columns, groups)
