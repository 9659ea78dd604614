"""Chen, He & Su 2020: kernels that know the training labels, between the kernel of a network and the network."""

from __future__ import annotations

from lebench.site.papers.base import Claim, Paper
from lebench.site.papers.label_aware_findings import (
    CURVES,
    DENSE,
    MANY,
    PAIRS,
    PERMUTED,
    SYSTEMS,
    THREE_LAYERS,
    TRAINED,
    accuracy_between,
    accuracy_pictures,
    accuracy_shares,
    classes,
    controls,
    controls_note,
    curves,
    curves_pictures,
    elasticity_between,
    elasticity_pictures,
    elasticity_shares,
    gains,
    gains_note,
    gains_pictures,
    systems,
    systems_note,
    systems_pictures,
    training,
    training_note,
    training_pictures,
)

_KERNEL = {"ntk-mlp": "NTK", "ntk-cnn": "CNTK"}
_DENSE = {"lantk-hr-mlp": "LANTK-HR"}
_AWARE = {"lantk-hr-mlp": "LANTK-HR", "lantk-hr-cnn": "LANTK-HR of a convolutional network"}
_BETWEEN = {
    "ntk-mlp": "NTK",
    DENSE: f"{THREE_LAYERS}, with its optimizer",
    "mlp": f"{THREE_LAYERS}, on small digits",
}
_SETTING = (
    "Two pairs of CIFAR-10 (deer-dog, cat-frog) with 200 training photographs each, two of MNIST with 100, four of the "
    "small digits with 20; test points are the first of each class of the official test part, 1,000 in all, where the "
    "paper has 10,000 and 2,000. The ridge is chosen by leave-one-out over one grid for all kernels, and so is the "
    "weight of the labels. Mean over pairs; intervals over seeds."
)

PAPER = Paper(
    name="label-aware-kernels",
    short="Label-aware kernels",
    title="Label-Aware Neural Tangent Kernel: Toward Better Generalization and Local Elasticity",
    authors="S. Chen, H. He, W. J. Su",
    venue="NeurIPS 2020",
    link="https://arxiv.org/abs/2010.11775",
    question="Does a kernel that knows the training labels close the gap between tangent kernel and network?",
    claims=(
        Claim(
            "Labels make the kernel better",
            "“Models trained with the proposed kernels better simulate NNs in terms of generalization ability”: "
            "regression with the label-aware kernel generalizes better than with the tangent kernel.",
            "abstract; experiments on pairs and on ten classes of CIFAR-10",
            f"{_SETTING} Released kernels take no ridge; ours admit only ridges that make the regression one with a "
            "definite kernel. Where a kernel is indefinite that can cost accuracy.",
            (*PAIRS, MANY),
            _AWARE,
            _KERNEL,
            "accuracy of the label-aware kernel minus that of its kernel",
            gains,
            gains_pictures,
            gains_note,
        ),
        Claim(
            "Between kernel and network, in accuracy",
            "NTK “are known to fall behind real-world NNs in generalization ability”; the label-aware kernel reduces "
            "this gap and lies between the two.",
            "abstract and experiments",
            f"{_SETTING} Dense kernels and networks only; the networks with the optimizer of the paper, on the small "
            "digits by the recipe of the registry.",
            PAIRS,
            _DENSE,
            _BETWEEN,
            "accuracy of the label-aware kernel minus its kernel's, and of the network minus the label-aware kernel's",
            accuracy_between,
            accuracy_pictures,
            accuracy_shares,
        ),
        Claim(
            "Between kernel and network, in elasticity",
            "The label agnostic NTK is “not as locally elastic as NNs”; the label-aware kernel better simulates them "
            "“in terms of … local elasticity”.",
            "abstract; experiments, local elasticity ratio",
            "On held-out points, normalized by the square roots of the same kernel's diagonal on both sides, the "
            "diagonal left out; for a network the empirical tangent kernel after training. Dense ones only.",
            PAIRS,
            _DENSE,
            _BETWEEN,
            "elasticity ratio of the label-aware kernel minus its kernel's, and of the network minus the label-aware "
            "kernel's",
            elasticity_between,
            elasticity_pictures,
            elasticity_shares,
        ),
        Claim(
            "More on many classes",
            "The improvement is larger on ten classes than on pairs.",
            "experiments, multi-class table",
            "500 photographs of ten classes where the paper has 2,000 to 20,000; the difference of the two gains, "
            "paired by seed.",
            ("lantk/cifar-pairs", MANY),
            _AWARE,
            _KERNEL,
            "gain in accuracy of the label-aware kernel over its kernel, on ten classes minus on pairs",
            classes,
        ),
        Claim(
            "At every training size",
            "The improvement is there at each of the training sizes.",
            "experiments, multi-class table over 2,000 to 20,000",
            "50 to 400 small digits of ten classes, 100 to 800 photographs of deer and dogs.",
            tuple(CURVES),
            _AWARE,
            _KERNEL,
            "accuracy of the label-aware kernel minus that of its kernel, by task and size",
            curves,
            curves_pictures,
        ),
        Claim(
            "Networks become more elastic in training",
            "The elasticity ratio of a network grows as it is trained.",
            "motivation, label systems",
            "Digits of scikit-learn; the ratio of the relative similarity, before and after training.",
            ("digits/over-training",),
            TRAINED,
            {},
            "growth of the elasticity ratio from before training to after it",
            training,
            training_pictures,
            training_note,
        ),
        Claim(
            "Two labellings, one kernel",
            "Of the same points under two labellings a kernel without labels is the same, while trained networks and "
            "label-aware kernels follow the labels: “the label agnostic nature of the NTK”.",
            "abstract; motivation, label systems",
            "Planted points with two exchangeable factors instead of photographs of cats and dogs with chairs and "
            "benches.",
            (SYSTEMS,),
            {"ntk-mlp": "NTK", "lantk-hr-mlp": "LANTK-HR", "mlp": THREE_LAYERS},
            {},
            "change of the tangent kernel between the labellings, relative to it, at most rounding; elasticity by "
            "their own labels minus by the others' for the two that follow them",
            systems,
            systems_pictures,
            systems_note,
        ),
        Claim(
            "Only true labels help",
            "The paper has no control; that true labels inside the kernel gain more than permuted ones is our claim.",
            "ours",
            "The labels are permuted where label agreement is estimated, not in the regression itself.",
            (*PAIRS, MANY),
            _AWARE,
            dict.fromkeys(PERMUTED.values(), "ours: labels permuted inside the kernel"),
            "label-aware kernel with true labels minus with permuted ones",
            controls,
            None,
            controls_note,
        ),
    ),
    released=(
        "It needs libraries of 2020 and a function that Python no longer has; it does not run on a current machine.",
        "In two of its kernels the training points get their true label agreement and the test points a prediction, so "
        "that the two kernels do not match. Here one cross-fitted estimator serves both.",
        "The sampler of the fourth-order kernel has wrong entries in its factor: the covariance is off by more than "
        "1, and all published values of the hierarchy are affected. Here it is a Cholesky factor. The hierarchy "
        "itself is "
        "the almost-everywhere derivative, as published, which leaves out units that switch.",
        "There are two kernels called V2, of which one is no average. Here they are kr-v2-cntk and kr-v2-two-layer.",
        "The pair features are compressed by a Johnson-Lindenstrauss transform, scaled wrongly for anything but plain "
        "least "
        "squares. Here the normal equations are summed exactly.",
        "The elasticity ratio includes the diagonal on training points, and on test points it is normalized by the "
        "diagonal "
        "of the kernel without labels. Here the diagonal is left out and each kernel is normalized by its own.",
        "Label-aware kernels can be indefinite, which is not checked. Here only ridges are admitted that make the "
        "regression "
        "one with a definite kernel, and the smallest eigenvalue is recorded.",
        "The weight of the labels is a constant of each script (0.1, 0.0005 or from the command line). Here it is "
        "chosen by "
        "leave-one-out on the training points.",
        "One seed (66 or 666), no intervals.",
    ),
)
