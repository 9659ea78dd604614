"""Jacot et al. 2018, Arora et al. 2019, Chizat et al. 2019: how far kernels explain networks."""

from __future__ import annotations

from lebench.site.papers.base import Claim, Evidence, Finding, Paper, sign, together, told
from lebench.site.papers.figures import along, by_model

_KERNELS = ("mlp", "lin-mlp", "entk-mlp-trained", "entk-mlp", "ntk-mlp", "nngp-mlp", "cnn", "ntk-cnn", "rbf")
_SIZES = (50, 100, 200, 500)
_SCALES = (1.0, 4.0, 16.0)


def _small_data(evidence: Evidence) -> Finding:
    task, value = "digits/small-n", "accuracy@n=50"
    dense = evidence.difference(("ntk-mlp", task, value), ("mlp", task, value))
    convolutional = evidence.difference(("ntk-cnn", task, value), ("cnn", task, value))
    values = {float(n): f"accuracy@n={n}" for n in _SIZES}
    return Finding(
        together(sign(dense), sign(convolutional)),
        f"At 50 digits the kernel's accuracy minus the network's is {told(dense)} for the perceptron and "
        f"{told(convolutional)} for the convolutional network.",
        [along(evidence, "Learning curves", "training points", {"accuracy": (task, values)}, _KERNELS[:9], log_x=True)],
    )


def _lazy(evidence: Evidence) -> Finding:
    task = "kernel/laziness"
    stiller = evidence.difference(("mlp", task, "kernel_change@a=1"), ("mlp", task, "kernel_change@a=16"))
    change = {scale: f"kernel_change@a={scale:g}" for scale in _SCALES}
    accuracy = {scale: f"accuracy@a={scale:g}" for scale in _SCALES}
    return Finding(
        sign(stiller),
        "A perceptron whose output is scaled by 16 changes its kernel less than at scale 1 by "
        f"{told(stiller)} of the kernel's norm.",
        [
            along(
                evidence,
                "Output scale",
                "output scale",
                {"change of the kernel": (task, change), "accuracy": (task, accuracy)},
                ("mlp", "cnn", "resnet-nf"),
                log_x=True,
            )
        ],
    )


def _turns(evidence: Evidence) -> Finding:
    task = "kernel/alignment"
    key = "centred_target_alignment@{}"
    turned = {
        model: evidence.difference((model, task, key.format("end")), (model, task, key.format("start")))
        for model in ("mlp", "cnn", "resnet", "permuted-labels")
    }
    panels = {"before training": (task, key.format("start")), "after training": (task, key.format("end"))}
    models = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg", "deep-linear", "linear", "permuted-labels")
    return Finding(
        together(*(sign(turned[model]) for model in ("mlp", "cnn", "resnet"))),
        "Training changes the centred alignment of the kernel with the labels of points it has not seen by "
        f"{', '.join(f'{told(e)} ({model})' for model, e in turned.items())}.",
        [by_model(evidence, "The kernel turns towards the labels", panels, models)],
    )


def _features(evidence: Evidence) -> Finding:
    task, value = "digits/accuracy", "accuracy"
    learnt = evidence.difference(("entk-mlp-trained", task, value), ("entk-mlp", task, value))
    network = evidence.difference(("mlp", task, value), ("entk-mlp-trained", task, value))
    return Finding(
        sign(learnt),
        "Regression with the perceptron's kernel after training has an accuracy higher than with that at "
        f"initialization by {told(learnt)}, and the network itself is above it by {told(network)}.",
        [by_model(evidence, "One architecture, six models", {"accuracy": (task, value)}, _KERNELS)],
    )


PAPER = Paper(
    name="neural-tangent-kernel",
    short="Networks and their kernels",
    title="Neural tangent kernels, lazy training, and what they leave out",
    authors="A. Jacot, F. Gabriel, C. Hongler; S. Arora et al.; L. Chizat, E. Oyallon, F. Bach",
    venue="NeurIPS 2018 and 2019",
    link="https://arxiv.org/abs/1904.11955",
    question="How much of what a network does is done by its kernel?",
    claims=(
        Claim(
            "Kernels win on small data",
            "With few training points, regression with the infinite-width kernel is better than the trained network.",
            "Arora et al. 2020, Harnessing the Power of Infinitely Wide Deep Nets on Small-data Tasks",
            "50 to 500 digits, the same points for all models; networks by their recipes, kernels with the ridge by "
            "leave-one-out.",
            ("digits/small-n",),
            _KERNELS,
            _small_data,
        ),
        Claim(
            "A large output scale makes training lazy",
            "If the output is scaled up, parameters move less and the kernel stands still.",
            "Chizat, Oyallon and Bach 2019, section 2",
            "Output scales 1, 4 and 16 of the registry's networks on digits, starting from output zero.",
            ("kernel/laziness",),
            ("mlp", "cnn", "resnet-nf"),
            _lazy,
        ),
        Claim(
            "At ordinary width the kernel turns towards the labels",
            "Networks of ordinary size are not lazy: their tangent kernel aligns with the labels as they train.",
            "Fort et al. 2020; Baratin et al. 2021",
            "Alignment of the kernel on test points, before and after training on digits.",
            ("kernel/alignment",),
            ("mlp", "cnn", "resnet", "permuted-labels"),
            _turns,
        ),
        Claim(
            "The trained kernel knows more than the initial one",
            "Kernel regression with the empirical kernel after training comes closer to the network.",
            "Fort et al. 2020, Deep Learning versus Kernel Learning",
            "Digits, ridge regression with the empirical kernel averaged over outputs.",
            ("digits/accuracy",),
            _KERNELS,
            _features,
        ),
    ),
)
