"""Arora et al. 2020, Chizat et al. 2019, Fort et al. 2020: how far kernels explain networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import along, by_model

_KERNELS = ("mlp", "lin-mlp", "entk-mlp-trained", "entk-mlp", "ntk-mlp", "nngp-mlp", "cnn", "ntk-cnn", "rbf")
_SIZES = (50, 100, 200, 500)
_SCALES = (1.0, 4.0, 16.0)


def _small_data(evidence: Evidence) -> Mapping[str, Contrast]:
    task = "digits/small-n"
    return {
        f"n = {n}": evidence.contrast(("ntk-cnn", task, f"accuracy@n={n}"), ("resnet", task, f"accuracy@n={n}"))
        for n in _SIZES
    }


def _small_data_pictures(evidence: Evidence) -> Sequence[Picture]:
    values = {float(n): f"accuracy@n={n}" for n in _SIZES}
    panels = {"accuracy": ("digits/small-n", values)}
    return [along(evidence, "Learning curves", "training points", panels, (*_KERNELS, "resnet"), log_x=True)]


def _lazy(evidence: Evidence) -> Mapping[str, Contrast]:
    task, change = "digits/laziness", "kernel_change@a={:g}"
    return {
        m: evidence.contrast((m, task, change.format(1)), (m, task, change.format(16)), ratio=True) for m in ("mlp",)
    }


def _lazy_pictures(evidence: Evidence) -> Sequence[Picture]:
    task = "digits/laziness"
    panels = {
        "change of the kernel": (task, {scale: f"kernel_change@a={scale:g}" for scale in _SCALES}),
        "accuracy": (task, {scale: f"accuracy@a={scale:g}" for scale in _SCALES}),
    }
    return [along(evidence, "Output scale", "output scale", panels, ("mlp", "cnn", "resnet-nf"), log_x=True)]


def _turns(evidence: Evidence) -> Mapping[str, Contrast]:
    task, key = "digits/alignment", "centred_target_alignment@{}"
    return {
        m: evidence.contrast((m, task, key.format("end")), (m, task, key.format("start")))
        for m in ("cnn", "resnet", "vgg")
    }


def _turns_pictures(evidence: Evidence) -> Sequence[Picture]:
    task, key = "digits/alignment", "centred_target_alignment@{}"
    panels = {"before training": (task, key.format("start")), "after training": (task, key.format("end"))}
    models = ("mlp", "lenet", "cnn", "resnet-nf", "resnet", "vgg", "deep-linear", "linear", "permuted-labels")
    return [by_model(evidence, "The kernel turns towards the labels", panels, models)]


def _features(evidence: Evidence) -> Mapping[str, Contrast]:
    task = "digits/accuracy"
    return {
        "accuracy": evidence.contrast(("entk-mlp-trained", task, "accuracy"), ("entk-mlp", task, "accuracy")),
    }


def _features_pictures(evidence: Evidence) -> Sequence[Picture]:
    return [by_model(evidence, "One architecture, six models", {"accuracy": ("digits/accuracy", "accuracy")}, _KERNELS)]


PAPER = Paper(
    name="neural-tangent-kernel",
    short="Networks and their kernels",
    title="Neural tangent kernels, lazy training, and what they leave out",
    authors="A. Jacot, F. Gabriel, C. Hongler; S. Arora et al.; L. Chizat, E. Oyallon, F. Bach; S. Fort et al.",
    venue="NeurIPS 2018 and 2019, ICLR 2020, NeurIPS 2020",
    link="https://arxiv.org/abs/1904.11955",
    question="How much of what a network does is done by its kernel?",
    claims=(
        Claim(
            "Kernels win on small data",
            "“On CIFAR-10 with 10 – 640 training samples, Convolutional NTK consistently beats ResNet-34 by 1% - 3%.”",
            "Arora et al. 2020, Harnessing the Power of Infinitely Wide Deep Nets on Small-data Tasks, abstract",
            "50 to 500 digits instead of CIFAR-10, the same points for all models; a small ResNet by its recipe, the "
            "kernel with the ridge by leave-one-out.",
            ("digits/small-n",),
            {"ntk-cnn": "convolutional NTK"},
            {"resnet": "ResNet, small where the paper has 34 layers"},
            "accuracy of the kernel minus the network's",
            _small_data,
            _small_data_pictures,
        ),
        Claim(
            "A large output scale makes training lazy",
            "Lazy training “is due to a choice of scaling, often implicit, that allows the model to behave as its "
            "linearization around the initialization”: scaled up, the kernel stands still.",
            "Chizat, Oyallon and Bach 2019, abstract and section 2",
            "Output scales 1 and 16 of a perceptron on digits, starting from output zero; their VGG was not run.",
            ("digits/laziness",),
            {"mlp": "ReLU network, of three layers where the paper has two"},
            {},
            "change of the kernel in training at scale 1 over that at scale 16, above 1 time",
            _lazy,
            _lazy_pictures,
        ),
        Claim(
            "At ordinary width the kernel turns towards the labels",
            "Networks of ordinary size are not lazy: their tangent kernel aligns with the labels as they train.",
            "Fort et al. 2020; Baratin et al. 2021",
            "Alignment of the kernel on test points, before and after training on digits, where they have CIFAR-10.",
            ("digits/alignment",),
            {"cnn": "convolutional network", "resnet": "ResNet", "vgg": "VGG"},
            {},
            "centred alignment of the kernel with the labels of points that it has not seen, after minus before "
            "training",
            _turns,
            _turns_pictures,
        ),
        Claim(
            "The trained kernel knows more than the initial one",
            "Kernel regression with the empirical kernel after training comes closer to the network.",
            "Fort et al. 2020, Deep Learning versus Kernel Learning",
            "A perceptron on digits, where they have ResNet and WideResNet on CIFAR; ridge regression with the "
            "empirical kernel averaged over outputs.",
            ("digits/accuracy",),
            {"entk-mlp-trained": "tangent kernel of the trained network"},
            {"entk-mlp": "tangent kernel at initialization"},
            "accuracy with the trained kernel minus that with the initial one",
            _features,
            _features_pictures,
        ),
    ),
)
