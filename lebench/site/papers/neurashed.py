"""Su 2021: Neurashed, a phenomenological model of training."""

from __future__ import annotations

from lebench.site.papers.base import Claim, Evidence, Finding, Paper, across, sign, together, told
from lebench.site.papers.figures import along, by_model

_MODELS = ("neurashed", "mlp", "deep-linear", "linear", "permuted-labels")
_BOTH = ("neurashed", "mlp")
_BATCHES = (1, 8, 32)


def _regularization(evidence: Evidence) -> Finding:
    task = "neurashed/implicit-regularization"
    gain = {model: evidence.mean(model, task, "sparsity_gain") for model in _BOTH}
    rank = {model: evidence.mean(model, task, "survival_rank@B=1") for model in _BOTH}
    shares = {float(b): f"surviving_share@B={b}" for b in _BATCHES} | {400.0: "surviving_share@B=full"}
    ranks = {float(b): f"survival_rank@B={b}" for b in _BATCHES}
    agreement = {float(b): f"survival_agreement@B={b}" for b in _BATCHES} | {400.0: "survival_agreement@B=full"}
    panels = {
        "share of features that grow": (task, shares),
        "do frequent features grow most? (rank correlation)": (task, ranks),
        "agreement with the survival threshold": (task, agreement),
    }
    return Finding(
        across(*(together(sign(gain[model]), sign(rank[model])) for model in _BOTH)),
        "From single inputs to full batches the share of features that grow rises by "
        f"{', '.join(f'{told(e)} ({model})' for model, e in gain.items())}; on single inputs the rank correlation of "
        f"growth with frequency is {', '.join(f'{told(e)} ({model})' for model, e in rank.items())}.",
        [along(evidence, "Features that survive", "inputs in a batch", panels, _MODELS, log_x=True)],
    )


def _bottleneck(evidence: Evidence) -> Finding:
    task = "neurashed/bottleneck"
    lost = {
        model: evidence.difference(
            (model, task, "state_information@peak-digits=2"), (model, task, "state_information@end-digits=2")
        )
        for model in _BOTH
    }
    raw = evidence.difference(
        ("neurashed", task, "state_information@peak-raw"), ("neurashed", task, "state_information@end-raw")
    )
    panels = {
        "information, rounded to two digits": (task, "state_information@end-digits=2"),
        "to one digit": (task, "state_information@end-digits=1"),
        "beyond the class, two digits": (task, "excess_information@digits=2"),
    }
    return Finding(
        across(*(sign(estimate) for estimate in lost.values())),
        "From its peak to the end of training, features rounded to two digits lose "
        f"{', '.join(f'{told(e)} bits ({model})' for model, e in lost.items())} about the input. Not rounded, those of "
        f"Neurashed lose {told(raw)}.",
        [by_model(evidence, "Bits about the input in the end", panels, _MODELS)],
    )


def _elasticity(evidence: Evidence) -> Finding:
    task, value = "neurashed/elasticity", "elasticity_difference@end-subclasses"
    found = {model: evidence.mean(model, task, value) for model in _BOTH}
    grown = {
        model: evidence.difference((model, task, "elasticity_ratio@end"), (model, task, "elasticity_ratio@start"))
        for model in _BOTH
    }
    panels = {
        "ratio before training": (task, "elasticity_ratio@start"),
        "ratio after training": (task, "elasticity_ratio@end"),
        "sub-class minus class, after training": (task, value),
    }
    return Finding(
        across(*(together(sign(found[model]), sign(grown[model])) for model in _BOTH)),
        "A step moves its own sub-class more than the other of its class by "
        f"{', '.join(f'{told(e)} ({model})' for model, e in found.items())} of relative similarity; training raises "
        f"the elasticity ratio by {', '.join(f'{told(e)} ({model})' for model, e in grown.items())}.",
        [by_model(evidence, "Local elasticity by sub-class and class", panels, _MODELS)],
    )


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
            "Stochastic training strengthens features that many inputs share, full batches strengthen all.",
            "section on implicit regularization",
            _GRAPH,
            ("neurashed/implicit-regularization",),
            _MODELS,
            _regularization,
        ),
        Claim(
            "An information bottleneck",
            "Late in training features lose information about the input.",
            "section on the information bottleneck",
            f"{_GRAPH} Without rounding nothing can be lost, so it is stated for states of one and two digits.",
            ("neurashed/bottleneck",),
            _MODELS,
            _bottleneck,
        ),
        Claim(
            "Local elasticity",
            "An update on one input moves inputs more that share more features with it; training makes that clearer.",
            "section on local elasticity",
            _GRAPH,
            ("neurashed/elasticity",),
            _MODELS,
            _elasticity,
        ),
    ),
    released=("No code was released for this paper.",),
)
