"""Fang, He, Long & Su 2021: the layer-peeled model and minority collapse."""

from __future__ import annotations

from lebench.site.papers.base import Claim, Evidence, Finding, Paper, across, sign, told
from lebench.site.papers.figures import along

_TASK = "collapse/imbalance"
_RATIOS = (1, 5, 25)
_MODELS = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg", "permuted-labels", "random-features")


def _minority(evidence: Evidence) -> Finding:
    cosine = "minority_cosine@R={}"
    rises = {
        model: evidence.difference((model, _TASK, cosine.format(25)), (model, _TASK, cosine.format(1)))
        for model in ("mlp", "cnn", "resnet")
    }
    ends = ", ".join(f"{model} {told(evidence.mean(model, _TASK, cosine.format(25)))}" for model in rises)
    noise = evidence.mean("random-features", _TASK, cosine.format(25))
    panels = {
        "classifiers of the thinned classes": (_TASK, {float(r): cosine.format(r) for r in _RATIOS}),
        "their class means": (_TASK, {float(r): f"minority_cosine@R={r}-means" for r in _RATIOS}),
        "accuracy on them": (_TASK, {float(r): f"accuracy@R={r}-minority" for r in _RATIOS}),
        "accuracy on the others": (_TASK, {float(r): f"accuracy@R={r}-majority" for r in _RATIOS}),
    }
    return Finding(
        across(*(sign(rise) for rise in rises.values())),
        "From balanced classes to 25 times fewer points the mean cosine between classifiers of the thinned classes "
        f"rises by {', '.join(f'{told(rise)} ({model})' for model, rise in rises.items())}. It ends at "
        f"{ends}, where 1 is a full collapse. Counts alone take noise features to {told(noise)}.",
        [along(evidence, "With fewer points in half of the classes", "imbalance R", panels, _MODELS, log_x=True)],
    )


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
            "together, and beyond a finite ratio they coincide.",
            "abstract; section on minority collapse",
            "Digits, 500 points when balanced; five classes keep 1/R of theirs, the recipe of each model. The paper "
            "trains to convergence on far larger sets, where ratios reach 1,000.",
            (_TASK,),
            _MODELS,
            _minority,
        ),
    ),
)
