"""Su 2021: Neurashed, a phenomenological model of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import along, by_model

_SHOWN = ("neurashed", "mlp", "deep-linear", "linear", "permuted-labels")
_BOTH = {"neurashed": "Neurashed", "mlp": "neural network"}
_BATCHES = (1, 8, 32)
_REGULARIZATION, _BOTTLENECK, _ELASTICITY = (
    "neurashed/implicit-regularization",
    "neurashed/bottleneck",
    "neurashed/elasticity",
)


def _regularization(evidence: Evidence) -> Mapping[str, Contrast]:
    values = {"features that grow": "sparsity_gain", "rank correlation": "survival_rank@B=1"}
    return {
        f"{model}, {name}": evidence.contrast((model, _REGULARIZATION, value))
        for model in _BOTH
        for name, value in values.items()
    }


def _regularization_pictures(evidence: Evidence) -> Sequence[Picture]:
    shares = {float(b): f"surviving_share@B={b}" for b in _BATCHES} | {400.0: "surviving_share@B=full"}
    ranks = {float(b): f"survival_rank@B={b}" for b in _BATCHES}
    agreement = {float(b): f"survival_agreement@B={b}" for b in _BATCHES} | {400.0: "survival_agreement@B=full"}
    panels = {
        "share of features that grow": (_REGULARIZATION, shares),
        "do frequent features grow most? (rank correlation)": (_REGULARIZATION, ranks),
        "agreement with the survival threshold": (_REGULARIZATION, agreement),
    }
    return [along(evidence, "Features that survive", "inputs in a batch", panels, _SHOWN, log_x=True)]


def _bottleneck(evidence: Evidence) -> Mapping[str, Contrast]:
    value = "state_information@{}-digits=2"
    return {
        m: evidence.contrast((m, _BOTTLENECK, value.format("peak")), (m, _BOTTLENECK, value.format("end")))
        for m in _BOTH
    }


def _bottleneck_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "information, rounded to two digits": (_BOTTLENECK, "state_information@end-digits=2"),
        "to one digit": (_BOTTLENECK, "state_information@end-digits=1"),
        "beyond the class, two digits": (_BOTTLENECK, "excess_information@digits=2"),
    }
    return [by_model(evidence, "Bits about the input in the end", panels, _SHOWN)]


def _elasticity(evidence: Evidence) -> Mapping[str, Contrast]:
    grown = "elasticity_ratio@{}"
    return {
        f"{m}, {name}": contrast
        for m in _BOTH
        for name, contrast in (
            ("sub-class", evidence.contrast((m, _ELASTICITY, "elasticity_difference@end-subclasses"))),
            (
                "training",
                evidence.contrast((m, _ELASTICITY, grown.format("end")), (m, _ELASTICITY, grown.format("start"))),
            ),
        )
    }


def _elasticity_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "ratio before training": (_ELASTICITY, "elasticity_ratio@start"),
        "ratio after training": (_ELASTICITY, "elasticity_ratio@end"),
        "sub-class minus class, after training": (_ELASTICITY, "elasticity_difference@end-subclasses"),
    }
    return [by_model(evidence, "Local elasticity by sub-class and class", panels, _SHOWN)]


_GRAPH = (
    "Inputs are firing patterns of a graph of feature nodes, shared by classes, sub-classes and single inputs; "
    "networks are trained on the same patterns. What the paper leaves open (growth 1.05, decay 0.93, inhibition within "
    "classes that a batch reaches) is ours."
)

PAPER = Paper(
    name="neurashed",
    short="Neurashed",
    title="Neurashed: A Phenomenological Model for Imitating Deep Learning Training",
    authors="W. J. Su",
    venue="2021; version 2 of 2024 has another title",
    link="https://arxiv.org/abs/2112.09741",
    question="Does a graph of nodes that grow when they fire and shrink when they do not behave as networks do?",
    claims=(
        Claim(
            "Small batches keep what is shared",
            "Stochastic training strengthens features that many inputs share, full batches strengthen all: “neurashed "
            "enables insights into implicit regularization”.",
            "abstract; section on implicit regularization",
            _GRAPH,
            (_REGULARIZATION,),
            _BOTH,
            {},
            "rise of the share of features that grow from single inputs to full batches, and rank correlation of "
            "growth with frequency on single inputs",
            _regularization,
            _regularization_pictures,
        ),
        Claim(
            "An information bottleneck",
            "Late in training features lose information about the input.",
            "section on the information bottleneck",
            f"{_GRAPH} Without rounding nothing can be lost, so it is stated for states of one and two digits.",
            (_BOTTLENECK,),
            _BOTH,
            {},
            "bits about the input that features rounded to two digits lose from their peak to the end of training",
            _bottleneck,
            _bottleneck_pictures,
        ),
        Claim(
            "Local elasticity",
            "An update on one input moves inputs more that share more features with it; training makes that clearer.",
            "section on local elasticity",
            _GRAPH,
            (_ELASTICITY,),
            _BOTH,
            {},
            "relative similarity within sub-classes minus within classes, and growth of the elasticity ratio in "
            "training",
            _elasticity,
            _elasticity_pictures,
        ),
    ),
    released=("No code was released for this paper.",),
)
