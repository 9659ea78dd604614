"""What some models must score on a task, and why: shown on the task's page beside what they do score.

A control without information is at chance, one that reads the test labels is perfect, a linear model does not change
its kernel. The answers of metrics on planted arrays are another matter, see :mod:`lebench.site.calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from lebench.board import Score


@dataclass(frozen=True)
class KnownAnswer:
    """What is known of one value of a task.

    Attributes
    ----------
    value : str
        Name of the value.
    number : float
        What it is.
    of : str
        Whose value.
    why : str
        The reason, with its source.
    models : tuple of str
        Registered names of models that it holds for, ``"*"`` for all; empty where it is a point of reference.
    relation : {"is", "is about", "is at most"}
        How scores and number compare.
    tolerance : float
        How far a score may be from the number: rounding, or what a finite sample does.
    """

    value: str
    number: float
    of: str
    why: str
    models: tuple[str, ...] = ()
    relation: Literal["is", "is about", "is at most"] = "is"
    tolerance: float = 1e-6

    def holds(self, score: float) -> bool:
        """Return whether a score is as it must be."""
        beyond = score - self.number if self.relation == "is at most" else abs(score - self.number)
        return beyond <= self.tolerance


_BLIND = ("permuted-labels", "random-features")
_KERNELS = ("ntk-mlp", "ntk-cnn", "nngp-mlp", "nngp-cnn", "rbf", "laplace", "linear-kernel", "entk-mlp")


def _chance(value: str, classes: int, tolerance: float = 0.05) -> tuple[KnownAnswer, ...]:
    share = f"1/{classes}"
    return (
        KnownAnswer(value, 1 / classes, "one class for every input", f"it is right on {share} of balanced test points",
                    ("constant",), "is about", 0.01),
        KnownAnswer(value, 1 / classes, "a model that learns nothing of the labels",
                    f"labels or inputs carry no information, so that {share} of the guesses are right",
                    _BLIND, "is about", tolerance),
        KnownAnswer(value, 1.0, "a model that reads the test labels", "the control that must be caught",
                    ("leak-kernel",)),
    )  # fmt: skip


_INDEPENDENT = KnownAnswer(
    "distance_pearson", 0.0, "features that are independent of the input",
    "similarities that know nothing of the inputs cannot follow their distance", ("random-features",), "is about", 0.05,
)  # fmt: skip
_NO_CLUSTERS = "of labels and clusters that are independent the adjusted Rand index is 0 in the mean (Hubert & Arabie)"
_LABEL_BLIND = (
    KnownAnswer("label_following@mean", 0.0, "a kernel that knows no labels",
                "under both labellings it is the same kernel, so that it follows neither", _KERNELS),
    KnownAnswer("label_following@mean", 2.0, "the kernel of the labels, y yᵀ",
                "1 within and −1 between the classes of its own labels, nothing of the other; the control adds a "
                "little of another kernel", ("leak-kernel",), "is about", 0.05),
)  # fmt: skip

#: Answers by task; a name may be a pattern.
KNOWN: dict[str, tuple[KnownAnswer, ...]] = {
    "digits/accuracy": (
        *_chance("accuracy", 10),
        KnownAnswer("brier", 0.9, "the same probability for each of ten classes", "1 − 1/C", ("constant",), "is about",
                    1e-3),
        KnownAnswer("log_loss", math.log(10), "the same probability for each of ten classes", "ln C", ("constant",),
                    "is about", 1e-3),
    ),
    "digits/small-n": _chance("accuracy@mean", 10),
    "lantk/*-pairs": _chance("accuracy@mean", 2, 0.1),
    "lantk/*-pairs-large": _chance("accuracy@mean", 2, 0.1),
    "lantk/cifar-curve": _chance("accuracy@mean", 2, 0.1),
    "lantk/cifar-multiclass*": _chance("accuracy@mean", 10),
    "lantk/digits-curve": _chance("accuracy@mean", 10),
    "collapse/label-noise": (
        KnownAnswer("nc1_pinv_over_C@p=0.4-noisy", 0.0, "features that are the given labels",
                    "points of a class coincide, so that nothing varies within it", ("leak-kernel",), "is", 1e-4),
        *_chance("accuracy@p=0.4", 10),
    ),
    "digits/collapse": (
        KnownAnswer("nc1_pinv_over_C@train", 0.0, "features that are the labels",
                    "points of a class coincide, so that nothing varies within it", ("leak-kernel",), "is", 1e-4),
        KnownAnswer("ncc_accuracy@test", 1.0, "features that are the labels", "each point is at the mean of its class",
                    ("leak-kernel",)),
    ),
    "collapse/imbalance": (
        KnownAnswer("minority_cosine@R=25-means", -1 / 9, "means of classes that form a simplex",
                    "the cosine of any two of C vectors of a simplex is −1/(C − 1), however many points a class has",
                    ("leak-kernel",), "is about", 5e-3),
        KnownAnswer("minority_cosine@R=25", 1.0, "complete minority collapse",
                    "the classifiers of all classes with few points coincide (Fang, He, Long & Su 2021)"),
    ),
    "collapse/trajectory": (
        KnownAnswer("terminal_ratio@nc1-train", 1.0, "features that rest",
                    "what does not move after the training error is zero has the same collapse at the end"),
    ),
    "*/collapse": (
        KnownAnswer("nc2_equiangular@scores", 0.0, "the L-model of the locally elastic equation",
                    "its class means end in a simplex (Zhang, Wang & Su 2021)"),
    ),
    "digits/elasticity": (
        KnownAnswer("elasticity_ratio", 0.5, "a model that moves all points alike",
                    "p/(p + q) for a similarity p within and q between classes, p = q (Chen, He & Su 2020)",
                    ("random-features",), "is about", 0.01),
        KnownAnswer("elasticity_difference", 0.0, "a model that moves all points alike", "p − q with p = q",
                    ("random-features",), "is about", 0.01),
    ),
    "elasticity/label-systems": _LABEL_BLIND,
    "kernel/label-systems": (
        *_LABEL_BLIND,
        KnownAnswer("kernel_change@systems", 0.0, "a kernel that knows no labels",
                    "its matrices under both labellings are the same, bit by bit", _KERNELS, "is", 0.0),
    ),
    "elasticity/over-training": (
        KnownAnswer("elasticity_growth@difference", 0.0, "a kernel that training does not change",
                    "a linear model and a kernel machine have one similarity from the first step to the last",
                    ("linear", "logistic-regression", *_KERNELS)),
    ),
    "digits/clustering": (
        KnownAnswer("adjusted_rand_index@mean", 0.0, "features that are independent of the input", _NO_CLUSTERS,
                    ("random-features",), "is about", 0.03),
    ),
    "mnist/clustering": (
        KnownAnswer("adjusted_rand_index@5v8", 0.0, "features that are independent of the input", _NO_CLUSTERS,
                    ("random-features",), "is about", 0.03),
    ),
    "manifold/*": (_INDEPENDENT,),
    "stability/class-sensitivity": (
        KnownAnswer("class_sensitivity", 1.0, "a model that does not look at the input",
                    "leaving a point out moves the predictions for all classes alike", ("constant",), "is", 1e-6),
        KnownAnswer("class_sensitivity", 1.0, "features that are independent of the input",
                    "a point's influence knows no class", ("random-features",), "is about", 0.1),
    ),
    "stability/bound": (
        KnownAnswer("elastic_to_uniform_ratio", 1.0, "every model",
                    "a largest mean is not above the largest value (Deng, He & Su 2021)", ("*",), "is at most"),
    ),
    "kernel/gap": (
        KnownAnswer("gap_closed@elasticity_ratio", 0.0, "the kernel at infinite width", "by definition", ("ntk-mlp",)),
        KnownAnswer("gap_closed@elasticity_ratio", 1.0, "the trained network", "by definition", ("mlp",)),
    ),
    "*/label-noise": (
        KnownAnswer("noise_crossing", 2 / 3, "the best rule for noisy labels of three classes",
                    "beyond (C − 1)/C a wrong class has more of the labels than the right one"),
        KnownAnswer("log_loss@p=0.4", -math.log(0.6), "a calibrated model at a share p of wrong labels",
                    "it gives the right class the probability 1 − p: −ln(1 − p)"),
    ),
    "neurashed/bottleneck": (
        KnownAnswer("excess_information@digits=2", 0.0, "a state that has only the label left",
                    "what is left of the input beyond the label is nothing", ("neurashed",)),
    ),
    "overparam/teacher-*": (
        KnownAnswer("scaled_loss", 1 - 2 / math.pi, "the best constant", "d times its loss, in the limit of large d"),
        KnownAnswer("scaled_loss", 1 - 3 / math.pi, "the best quadratic function",
                    "d times its loss, in the limit of large d (Li, Ma & Zhang 2020)"),
        KnownAnswer("loss_ratio", 1.0, "the best of six kernels on the same points", "by definition"),
    ),
    "overparam/concept-*": (
        KnownAnswer("loss_ratio", 1.0, "the best of six kernels on the same points", "by definition"),
        KnownAnswer("unexplained_share", 1.0, "a constant", "it explains nothing of the variance", ("constant",),
                    "is about", 0.02),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Answered:
    """A known answer and the scores that it speaks of.

    Attributes
    ----------
    answer : KnownAnswer
        What is known.
    scores : tuple of (str, Score)
        Labels of models and their scores, at most a few; those farthest from the answer.
    """

    answer: KnownAnswer
    scores: tuple[tuple[str, Score], ...]

    @property
    def holds(self) -> bool:
        """Whether every score is as it must be."""
        return all(self.answer.holds(score.mean) for _, score in self.scores)


def answers(task: str, values: Sequence[str]) -> list[KnownAnswer]:
    """Return what is known of the values that a task has."""
    found = [answer for pattern, of in KNOWN.items() if fnmatchcase(task, pattern) for answer in of]
    return [answer for answer in found if answer.value in values]


def answered(answer: KnownAnswer, scores: Sequence[tuple[str, str, Score]], most: int = 4) -> Answered:
    """Return an answer with the scores that it speaks of, those farthest from it first.

    Parameters
    ----------
    answer : KnownAnswer
        What is known.
    scores : sequence of (name, label, Score)
        Of the answer's value: registered name of the model, how it is called on the board, and its score.
    most : int, default 4
        Scores at most.
    """
    found = [(label, score) for name, label, score in scores if name in answer.models or "*" in answer.models]

    def beyond(item: tuple[str, Score]) -> tuple[float, str]:
        off = item[1].mean - answer.number
        return -(off if answer.relation == "is at most" else abs(off)), item[0]

    return Answered(answer, tuple(sorted(found, key=beyond)[:most]))
