"""Fang, He, Long & Su 2021: the layer-peeled model and minority collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper, told
from lebench.site.papers.figures import along

_TASK = "digits/imbalance"
_RATIOS = (1, 5, 25)
_JUDGED = {"vgg": "VGG", "resnet": "ResNet"}
_SHOWN = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg", "permuted-labels", "random-features")
_COSINE = "minority_cosine@R={}"


def _minority(evidence: Evidence) -> Mapping[str, Contrast]:
    return {m: evidence.contrast((m, _TASK, _COSINE.format(25)), (m, _TASK, _COSINE.format(1))) for m in _JUDGED}


def _pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "classifiers of the thinned classes": (_TASK, {float(r): _COSINE.format(r) for r in _RATIOS}),
        "their class means": (_TASK, {float(r): f"minority_cosine@R={r}-means" for r in _RATIOS}),
        "accuracy on them": (_TASK, {float(r): f"accuracy@R={r}-minority" for r in _RATIOS}),
        "accuracy on the others": (_TASK, {float(r): f"accuracy@R={r}-majority" for r in _RATIOS}),
    }
    return [along(evidence, "With fewer points in half of the classes", "imbalance R", panels, _SHOWN, log_x=True)]


def _ends(evidence: Evidence) -> str:
    ends = ", ".join(f"{model} {told(evidence.mean(model, _TASK, _COSINE.format(25)))}" for model in _JUDGED)
    noise = told(evidence.mean("random-features", _TASK, _COSINE.format(25)))
    return f"It ends at {ends}, where one is a full collapse. Counts alone take noise features to {noise}."


PAPER = Paper(
    name="layer-peeled-model",
    short="Minority collapse",
    title="Exploring Deep Neural Networks via Layer-Peeled Model: Minority Collapse in Imbalanced Training",
    authors="C. Fang, H. He, Q. Long, W. J. Su",
    venue="PNAS 2021",
    link="https://arxiv.org/abs/2101.12699",
    question="What becomes of collapse when classes have different numbers of points?",
    claims=(
        Claim(
            "Minority classifiers fall together",
            "As the imbalance between two groups of classes grows, the classifiers of the smaller classes come closer "
            "together, and beyond a finite ratio they coincide: minority collapse.",
            "abstract; section on minority collapse",
            "Digits, 500 points when balanced; five classes keep 1/R of theirs, the recipe of each model. The paper "
            "trains to convergence on far larger sets, where ratios reach 1,000.",
            (_TASK,),
            _JUDGED,
            {},
            "rise of the mean cosine between classifiers of the thinned classes, from balanced to 25 times fewer "
            "points",
            _minority,
            _pictures,
            _ends,
        ),
    ),
)
