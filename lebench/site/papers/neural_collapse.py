"""Papyan, Han & Donoho 2020: neural collapse."""

from __future__ import annotations

from lebench import pictures
from lebench.site.papers.base import Claim, Evidence, Finding, Paper, across, short_of, sign, together, told
from lebench.site.papers.figures import by_model

_TASK = "collapse/trajectory"
_NETWORKS = ("resnet", "vgg", "resnet-nf", "cnn", "lenet", "mlp")
_FALLING = {
    "NC1": "terminal_ratio@nc1-train",
    "NC2, norms": "terminal_ratio@nc2-equinorm-train",
    "NC2, angles": "terminal_ratio@nc2-equiangular-train",
    "NC3": "terminal_ratio@nc3-train",
}


def _falls(evidence: Evidence, value: str) -> Finding:
    """Judge whether a measure goes on falling after interpolation, in every network."""
    ends = {model: evidence.mean(model, _TASK, value) for model in _NETWORKS}
    verdicts = [sign(short_of(1.0, end)) for end in ends.values()]
    said = ", ".join(f"{model} {told(end)}" for model, end in ends.items())
    return Finding(
        across(*verdicts),
        f"At the end of training it is, as a share of what it was when the training error vanished: {said}. Its "
        f"interval lies below 1 for {verdicts.count('holds')} of {len(ends)} networks.",
    )


def _variability(evidence: Evidence) -> Finding:
    found = _falls(evidence, _FALLING["NC1"])
    drawn = {model: evidence.arrays(model, _TASK) for model in ("resnet", "vgg", "cnn", "mlp")}
    shown = pictures.comparisons(drawn)
    panels = {name: (_TASK, value) for name, value in _FALLING.items()}
    return Finding(
        found.verdict,
        found.sentence,
        [*shown, by_model(evidence, "End over interpolation", panels, _NETWORKS, reference=1.0)],
    )


def _self_duality(evidence: Evidence) -> Finding:
    return _falls(evidence, _FALLING["NC3"])


def _simplex(evidence: Evidence) -> Finding:
    norms, angles = (_falls(evidence, _FALLING[name]) for name in ("NC2, norms", "NC2, angles"))
    task = "digits/collapse"
    panels = {
        "differing norms": (task, "nc2_equinorm@train"),
        "differing angles": (task, "nc2_equiangular@train"),
        "nearest mean against classifier": (task, "nc4@train"),
    }
    return Finding(
        together(norms.verdict, angles.verdict),
        f"Norms: {norms.sentence} Angles: {angles.sentence}",
        [by_model(evidence, "The simplex at the end of training", panels, (*_NETWORKS, "deep-linear", "linear"))],
    )


_SETTING = (
    "Digits, the recipe of each model of the registry, about twenty moments of training; the paper trains image sets "
    "for 350 epochs. A model is followed beyond the moment at which every training point is classified correctly."
)

PAPER = Paper(
    name="neural-collapse",
    short="Neural collapse",
    title="Prevalence of Neural Collapse during the Terminal Phase of Deep Learning Training",
    authors="V. Papyan, X. Y. Han, D. L. Donoho",
    venue="PNAS 2020",
    link="https://arxiv.org/abs/2008.08186",
    question="Once every training point is classified correctly, what do features and classifiers still do?",
    claims=(
        Claim(
            "NC1: features collapse to class means",
            "The variability within classes goes on vanishing after the training error is zero.",
            "figure of NC1 over epochs",
            _SETTING,
            (_TASK,),
            _NETWORKS,
            _variability,
        ),
        Claim(
            "NC2: class means tend to a simplex",
            "Centred class means become equally long and equally far apart.",
            "figures of NC2 over epochs",
            _SETTING,
            (_TASK, "digits/collapse"),
            _NETWORKS,
            _simplex,
        ),
        Claim(
            "NC3: classifiers turn towards class means",
            "Weights of the last layer and class means become the same up to scale.",
            "figure of NC3 over epochs",
            _SETTING,
            (_TASK,),
            _NETWORKS,
            _self_duality,
        ),
    ),
    released=(
        "The authors' notebook leaves out the division of NC1 by the number of classes; lebench divides, as the paper "
        "does.",
        "Public implementations take the pseudo-inverse with a default cut-off, which in single precision returns "
        "values of the order of 10^7; lebench uses the known rank C - 1 in double precision.",
    ),
)
