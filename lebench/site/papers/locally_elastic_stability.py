"""Deng, He & Su 2021: generalization bounds from locally elastic stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import by_model

_SHOWN = ("mlp", "cnn", "resnet-nf", "resnet", "linear", "ntk-mlp", "rbf", "random-features")
_BOUND = "digits/stability"
_NETWORKS = dict.fromkeys(("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg"), "neural network")


def _extreme(evidence: Evidence) -> Mapping[str, Contrast]:
    value = "elastic_to_uniform_ratio"
    # The value is the average over the extreme: its inverse is how many times larger the extreme is.
    found = {m: evidence.contrast((m, _BOUND, value), ratio=True) for m in (*_NETWORKS, "random-features")}
    return {m: Contrast(tuple(-v for v in one.values), _FAR, ratio=True) for m, one in found.items()}


#: The logarithm of a factor above which we call the extreme far from the average.
_FAR = 2.302585092994046


def _extreme_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "worst average over worst extreme": (_BOUND, "elastic_to_uniform_ratio"),
        "uniform stability": (_BOUND, "uniform_stability"),
    }
    return [by_model(evidence, "Removing one point: the average against the extreme", panels, _SHOWN)]


def _tighter(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        m: evidence.contrast((m, _BOUND, "uniform_bound"), (m, _BOUND, "elastic_bound"), ratio=True)
        for m in (*_NETWORKS, "random-features")
    }


def _tighter_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "bound by locally elastic stability": (_BOUND, "elastic_bound"),
        "bound by uniform stability": (_BOUND, "uniform_bound"),
        "measured gap": (_BOUND, "loss_gap"),
    }
    return [by_model(evidence, "Two bounds and the gap", panels, _SHOWN)]


_CLASSES = "digits/class-sensitivity"


def _classes(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        "mlp against no locality": evidence.contrast(("mlp", _CLASSES, "class_sensitivity"), ratio=True),
        "mlp against linear": evidence.contrast(
            ("mlp", _CLASSES, "class_sensitivity"), ("linear", _CLASSES, "class_sensitivity"), ratio=True
        ),
    }


def _classes_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        "scores": (_CLASSES, "class_sensitivity"),
        "probabilities": (_CLASSES, "class_sensitivity@probabilities"),
        "last layer only, in closed form": (_BOUND, "class_sensitivity"),
    }
    return [by_model(evidence, "Sensitivity of a class to its own points", panels, _SHOWN, reference=1.0)]


PAPER = Paper(
    name="locally-elastic-stability",
    short="Locally elastic stability",
    title="Toward Better Generalization Bounds with Locally Elastic Stability",
    authors="Z. Deng, H. He, W. J. Su",
    venue="ICML 2021, version 2",
    link="https://arxiv.org/abs/2010.13988",
    question="If most points hardly feel the removal of a training point, how much better a bound follows?",
    claims=(
        Claim(
            "The worst case is far from the average",
            "“There are many cases that the worst-case sensitivity of the loss is much larger than the average "
            "sensitivity taken over the single data point that is removed, especially in some advanced models such as "
            "random feature models or neural networks.”",
            "abstract",
            "Ridge regression on the trained model's features, 500 digits; each point is left out in closed form.",
            (_BOUND,),
            {**_NETWORKS, "random-features": "random feature model"},
            {},
            "largest change of a loss over the largest average change, above 10 times",
            _extreme,
            _extreme_pictures,
        ),
        Claim(
            "The bound gets tighter",
            "“We further demonstrate that locally elastic stability implies tighter generalization bounds than those "
            "derived based on uniform stability in many situations.”",
            "abstract; regularized least squares among the examples",
            "The same ridge regression. The constants of the uniform bound are derived; those of the locally elastic "
            "one are recalled from the paper, more than twice what a derivation needs, and hold for many points only.",
            (_BOUND,),
            {**_NETWORKS, "random-features": "regularized least squares on random features"},
            {},
            "bound by uniform stability over that by locally elastic stability, above 1 time",
            _tighter,
            _tighter_pictures,
        ),
        Claim(
            "A class feels its own points",
            "Leaving out a training point changes the loss of test points of the same class most, more so for networks "
            "than for simpler models.",
            "introduction, heat maps by class",
            "Each model is trained again without one of some points, with the same initialization and batches, on 200 "
            "digits; scored by scores rather than losses, for which a constant kernel has exactly 1.",
            (_CLASSES, _BOUND),
            {"mlp": "neural network"},
            {"linear": "linear classifier"},
            "sensitivity of a class to its own points over the average, and that over a linear network's, above 1 time",
            _classes,
            _classes_pictures,
        ),
    ),
    released=("No code was released for this paper.",),
)
