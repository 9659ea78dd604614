"""The gallery: a page per paper that says what it claims and what the records of the board show of it.

A paper is a module of this package with a constant ``PAPER``. A claim holds no number: its function looks the numbers
up in the records and judges by intervals, so that a page changes when the records do.
"""

from __future__ import annotations

from collections.abc import Sequence

from lebench.board import Board
from lebench.site.pages import render
from lebench.site.papers import (
    label_aware_kernels,
    layer_peeled,
    le_sde,
    local_elasticity,
    locally_elastic_stability,
    neural_collapse,
    neural_tangent_kernel,
    neurashed,
    over_parameterization,
)
from lebench.site.papers.base import Claim, Evidence, Finding, Paper
from lebench.site.pictures import Figure, Gallery

__all__ = ["PAPERS", "Judged", "judge", "pages"]

#: Papers, each with its claims and what the records say of them.
Judged = Sequence[tuple[Paper, Sequence[tuple[Claim, Finding]]]]

#: In the order of the gallery.
PAPERS: tuple[Paper, ...] = (
    local_elasticity.PAPER,
    locally_elastic_stability.PAPER,
    le_sde.PAPER,
    neurashed.PAPER,
    neural_collapse.PAPER,
    layer_peeled.PAPER,
    neural_tangent_kernel.PAPER,
    label_aware_kernels.PAPER,
    over_parameterization.PAPER,
)


def judge(board: Board, gallery: Gallery, papers: Sequence[Paper] = PAPERS) -> Judged:
    """Judge all claims by the records."""
    evidence = Evidence(board, gallery)
    return [(paper, [(claim, claim.judge(evidence)) for claim in paper.claims]) for paper in papers]


def pages(judged: Judged) -> dict[str, str]:
    """Return the text of the gallery's pages, and of every figure's specification, by its path."""
    texts = {
        "index.md": render("papers.md", papers=judged),
        "SUMMARY.md": "".join(["* [All papers](index.md)\n", *(f"* [{p.short}]({p.name}.md)\n" for p, _ in judged)]),
    }
    for paper, claims in judged:
        drawn = [
            (claim, finding, [_figure(paper, i, j, picture) for j, picture in enumerate(finding.pictures)])
            for i, (claim, finding) in enumerate(claims)
        ]
        texts[f"{paper.name}.md"] = render("paper.md", paper=paper, claims=drawn)
        texts |= {figure.path: figure.text for _, _, figures in drawn for figure in figures}
    return texts


def _figure(paper: Paper, claim: int, number: int, picture: object) -> Figure:
    return Figure(picture, f"figures/{paper.name}-{claim + 1}-{number + 1}.vl.json")  # type: ignore[arg-type]
