"""Papyan, Han & Donoho 2020: neural collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench import pictures
from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import by_model

_TASK = "digits/trajectory"
#: Two of the paper's three architectures.
_JUDGED = {"resnet": "ResNet", "vgg": "VGG"}
_SHOWN = ("resnet", "vgg", "resnet-nf", "cnn", "lenet", "mlp")
_FALLING = {
    "NC1": "terminal_ratio@nc1-train",
    "NC2, norms": "terminal_ratio@nc2-equinorm-train",
    "NC2, angles": "terminal_ratio@nc2-equiangular-train",
    "NC3": "terminal_ratio@nc3-train",
}


def _falls(evidence: Evidence, *names: str) -> Mapping[str, Contrast]:
    """Return, for each network, what a measure is in the end over what it was when the training error vanished."""
    return {
        f"{model}{name.removeprefix('NC2') if len(names) > 1 else ''}": evidence.contrast(
            (model, _TASK, _FALLING[name]), ratio=True, under=True
        )
        for model in _JUDGED
        for name in names
    }


def _variability(evidence: Evidence) -> Mapping[str, Contrast]:
    return _falls(evidence, "NC1")


def _simplex(evidence: Evidence) -> Mapping[str, Contrast]:
    return _falls(evidence, "NC2, norms", "NC2, angles")


def _self_duality(evidence: Evidence) -> Mapping[str, Contrast]:
    return _falls(evidence, "NC3")


def _variability_pictures(evidence: Evidence) -> Sequence[Picture]:
    drawn = {model: evidence.arrays(model, _TASK) for model in ("resnet", "vgg", "cnn", "mlp")}
    panels = {name: (_TASK, value) for name, value in _FALLING.items()}
    return [
        *pictures.comparisons(drawn),
        by_model(evidence, "End over interpolation", panels, _SHOWN, reference=1.0),
    ]


def _simplex_pictures(evidence: Evidence) -> Sequence[Picture]:
    task = "digits/collapse"
    panels = {
        "differing norms": (task, "nc2_equinorm@train"),
        "differing angles": (task, "nc2_equiangular@train"),
        "nearest mean against classifier": (task, "nc4@train"),
    }
    return [by_model(evidence, "The simplex at the end of training", panels, (*_SHOWN, "deep-linear", "linear"))]


_SETTING = (
    "Digits, the recipe of each model of the registry, about twenty moments of training; the paper trains ResNet, VGG "
    "and DenseNet, which we have not, on image sets for 350 epochs. A model is followed beyond the moment at which "
    "every training point is classified correctly."
)
_ESTIMAND = "end of training over the moment at which the training error vanished, below 1 time"

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
            "“Cross-example within-class variability of last-layer training activations collapses to zero, as the "
            "individual activations themselves collapse to their class-means.”",
            "abstract; figure of NC1 over epochs",
            _SETTING,
            (_TASK,),
            _JUDGED,
            {},
            f"variability within classes, {_ESTIMAND}",
            _variability,
            _variability_pictures,
        ),
        Claim(
            "NC2: class means tend to a simplex",
            "“The class-means collapse to the vertices of a Simplex Equiangular Tight Frame (ETF).”",
            "abstract; figures of NC2 over epochs",
            _SETTING,
            (_TASK, "digits/collapse"),
            _JUDGED,
            {},
            f"deviation of norms and angles from those of a simplex, {_ESTIMAND}",
            _simplex,
            _simplex_pictures,
        ),
        Claim(
            "NC3: classifiers turn towards class means",
            "“Up to rescaling, the last-layer classifiers collapse to the class-means, or in other words to the "
            "Simplex ETF, i.e. to a self-dual configuration.”",
            "abstract; figure of NC3 over epochs",
            _SETTING,
            (_TASK,),
            _JUDGED,
            {},
            f"distance of classifiers from class means, {_ESTIMAND}",
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
