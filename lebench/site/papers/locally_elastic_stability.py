"""Deng, He & Su 2021: generalization bounds from locally elastic stability."""

from __future__ import annotations

from lebench.board import mean_interval
from lebench.site.papers.base import Claim, Evidence, Finding, Paper, sign, together, told
from lebench.site.papers.figures import by_model

_MODELS = ("mlp", "cnn", "resnet-nf", "resnet", "linear", "ntk-mlp", "rbf", "random-features")


def _extreme(evidence: Evidence) -> Finding:
    task, value = "stability/bound", "elastic_to_uniform_ratio"
    found = {model: evidence.mean(model, task, value) for model in ("mlp", "random-features", "linear")}
    inverse = {model: mean_interval([1 / v for v in evidence.by_seed(model, task, value).values()]) for model in found}
    panels = {"worst average over worst extreme": (task, value), "uniform stability": (task, "uniform_stability")}
    return Finding(
        together(*(sign(estimate, above=10.0) for estimate in inverse.values())),
        "The most extreme change of a loss is larger than the largest average change by a factor of "
        f"{told(inverse['mlp'])} for the perceptron's last layer, {told(inverse['linear'])} for a linear network and "
        f"{told(inverse['random-features'])} for noise features. We call a factor above 10 far.",
        [by_model(evidence, "Removing one point: the average against the extreme", panels, _MODELS)],
    )


def _tighter(evidence: Evidence) -> Finding:
    task = "stability/bound"
    gain = evidence.difference(("mlp", task, "uniform_bound"), ("mlp", task, "elastic_bound"))
    slack = evidence.difference(("mlp", task, "elastic_bound"), ("mlp", task, "loss_gap"))
    panels = {
        "bound by locally elastic stability": (task, "elastic_bound"),
        "bound by uniform stability": (task, "uniform_bound"),
        "measured gap": (task, "loss_gap"),
    }
    return Finding(
        together(sign(gain), sign(slack)),
        f"For the perceptron the locally elastic bound lies {told(gain)} below the uniform one and {told(slack)} above "
        "the measured gap of a loss that is at most 1.",
        [by_model(evidence, "Two bounds and the gap", panels, _MODELS)],
    )


def _classes(evidence: Evidence) -> Finding:
    task, value = "stability/class-sensitivity", "class_sensitivity"
    above = evidence.difference(("mlp", task, value), ("linear", task, value))
    perceptron, linear, kernel = (told(evidence.mean(model, task, value)) for model in ("mlp", "linear", "rbf"))
    panels = {
        "scores": (task, value),
        "probabilities": (task, "class_sensitivity@probabilities"),
        "last layer only, in closed form": ("stability/bound", "class_sensitivity"),
    }
    return Finding(
        sign(above),
        "Removing a training point moves its own class more than the average by a factor of "
        f"{perceptron} for the perceptron, {linear} for the linear network ({told(above)} between them) and {kernel} "
        "for a Gaussian kernel; 1 is no locality at all.",
        [by_model(evidence, "Sensitivity of a class to its own points", panels, _MODELS, reference=1.0)],
    )


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
            "The largest sensitivity to a removed point far exceeds the average, for random features and networks.",
            "abstract and section 1",
            "Ridge regression on the trained model's features, 500 digits; each point is left out in closed form.",
            ("stability/bound",),
            _MODELS,
            _extreme,
        ),
        Claim(
            "The bound gets tighter",
            "A bound of the generalization gap from locally elastic stability is tighter than that from uniform "
            "stability.",
            "main theorem",
            "The same ridge regression. The constants of the uniform bound are derived; those of the locally elastic "
            "one are recalled from the paper, more than twice what a derivation needs, and hold for many points only.",
            ("stability/bound",),
            _MODELS,
            _tighter,
        ),
        Claim(
            "A class feels its own points",
            "Leaving out a training point changes the loss of test points of the same class most, more so for networks "
            "than for simpler models.",
            "introduction, heat maps by class",
            "Each model is trained again without one of some points, with the same initialization and batches, on 200 "
            "digits; scored by scores rather than losses, for which a constant kernel has exactly 1.",
            ("stability/class-sensitivity", "stability/bound"),
            _MODELS,
            _classes,
        ),
    ),
    released=("No code was released for this paper.",),
)
