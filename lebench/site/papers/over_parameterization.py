"""Neyshabur et al. 2019; Li, Ma & Zhang 2020; Allen-Zhu, Li & Liang 2019: width, capacity, and beyond kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.board import entry_name
from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import along, by_model

_TWO_LAYERS = "mlp[depth=1]"
_ENTRY = entry_name(_TWO_LAYERS)
_TWO = {_TWO_LAYERS: "two-layer ReLU network"}
_WIDTHS = (4, 8, 12, 16, 32, 64, 128, 256, 512)
_WIDTH = "overparam/width"
_TEACHERS = ("overparam/teacher-8", "overparam/teacher-16")
_CONCEPTS = ("overparam/concept-sin", "overparam/concept-tanh")


def _wider_is_better(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        labels: evidence.contrast(
            (_ENTRY, _WIDTH, f"error@{key}-h=16"), (_ENTRY, _WIDTH, f"error@{key}-h=512"), ratio=True
        )
        for labels, key in (("true labels", "clean"), ("20% wrong labels", "noisy"))
    }


def _wider_pictures(evidence: Evidence) -> Sequence[Picture]:
    panels = {
        f"test error, {name}": (_WIDTH, {float(h): f"error@{labels}-h={h}" for h in _WIDTHS})
        for labels, name in (("clean", "true labels"), ("noisy", "20% wrong labels"))
    }
    return [along(evidence, "Test error along the width", "hidden units h", panels, (_ENTRY,), log_x=True)]


def _unit_capacity(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        name: evidence.contrast((_ENTRY, _WIDTH, f"width_exponent@{value}"), threshold=-0.5, under=True)
        for name, value in {"unit capacity": "unit_capacity", "unit impact": "unit_impact"}.items()
    }


def _teacher(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        task.partition("/")[2]: evidence.contrast((_ENTRY, task, "loss_ratio"), ratio=True, under=True)
        for task in _TEACHERS
    }


def _teacher_pictures(evidence: Evidence) -> Sequence[Picture]:
    return _beyond_pictures(evidence, _TEACHERS)


def _concept(evidence: Evidence) -> Mapping[str, Contrast]:
    share = "unexplained_share"
    pairs = {
        "three layers / tangent kernel": ("mlp", ("mlp", f"{share}@ntk-2")),
        "three / two layers": ("mlp", (_ENTRY, share)),
        "two layers / tangent kernel": (_ENTRY, (_ENTRY, f"{share}@ntk-1")),
        "two layers / last layer": (_ENTRY, (_ENTRY, f"{share}@last-layer")),
    }
    return {
        f"{task.rpartition('-')[2]}, {name}": evidence.contrast(
            (model, task, share), (other, task, value), ratio=True, under=True
        )
        for task in _CONCEPTS
        for name, (model, (other, value)) in pairs.items()
    }


def _concept_pictures(evidence: Evidence) -> Sequence[Picture]:
    return _beyond_pictures(evidence, _CONCEPTS)


def _beyond_pictures(evidence: Evidence, tasks: tuple[str, ...]) -> Sequence[Picture]:
    panels = {task.partition("/")[2]: (task, "loss_ratio") for task in tasks}
    models = (_ENTRY, "mlp", "ntk-mlp", "nngp-mlp", "rbf", "laplace", "linear-kernel")
    return [by_model(evidence, "Loss relative to the best kernel", panels, models, reference=1.0)]


PAPER = Paper(
    name="over-parameterization",
    short="Over-parameterization",
    title="The role of over-parametrization in generalization; learning beyond two layers and beyond NTK",
    authors="B. Neyshabur et al.; Y. Li, T. Ma, H. R. Zhang; Z. Allen-Zhu, Y. Li, Y. Liang",
    venue="ICLR 2019, COLT 2020, NeurIPS 2019",
    link="https://arxiv.org/abs/1805.12076",
    question="Why do wider networks generalize, and what do networks learn that no kernel does?",
    claims=(
        Claim(
            "Wider networks generalize better",
            "Test error falls with the width, far beyond the width at which training points are fitted.",
            "Neyshabur et al. 2019, figure 1",
            "Two-layer perceptrons of 4 to 512 units on 500 digits, with true labels and with a fifth of them wrong.",
            (_WIDTH,),
            _TWO,
            {},
            "test error at 16 units over that at 512, above 1 time",
            _wider_is_better,
            _wider_pictures,
        ),
        Claim(
            "Unit capacity falls with the width",
            "“We suggest a novel complexity measure based on unit-wise capacities”: unit capacity |u_i - u_i^0| and "
            "unit impact |v_i| of a unit fall with the width, faster than h to the -1/2.",
            "Neyshabur et al. 2019, abstract; section 2 and figures",
            "The same networks from 64 to 512 units, where all fit true labels, when cross-entropy comes down to 0.01; "
            "an exponent is the slope of the log of the mean over units in log width.",
            (_WIDTH,),
            _TWO,
            {},
            "exponent of the width, below -1/2",
            _unit_capacity,
        ),
        Claim(
            "Networks learn teachers that kernels do not",
            "“An over-parametrized two-layer neural network with ReLU activation, trained by gradient descent from "
            "random initialization, can provably learn the ground truth network with population loss at most o(1/d) "
            "…; any kernel method, including Neural Tangent Kernel, with a polynomial number of samples in d, has "
            "population loss at least Ω(1/d).”",
            "Li, Ma & Zhang 2020, abstract; theorems 1 and 2",
            "Uniform teachers in 8 and 16 dimensions, one recipe for all networks, ridge by leave-one-out for kernels.",
            _TEACHERS,
            _TWO,
            {},
            "test loss of the network over that of the best of six kernels, below 1 time",
            _teacher,
            _teacher_pictures,
        ),
        Claim(
            "Networks learn concept classes that kernels do not",
            "Three-layer networks learn targets composed of small networks better than two-layer ones, and those "
            "better than their tangent kernel and than training the last layer alone.",
            "Allen-Zhu, Li & Liang 2019, experiments, figure 1",
            "The two published targets, 1,000 points; on each the task fits the tangent kernels of both depths at "
            "infinite width, and the kernel of the random features for the last layer.",
            _CONCEPTS,
            {"mlp": "three-layer network", **_TWO},
            {},
            "unexplained share of the target over that of what it is compared with, below 1 time",
            _concept,
            _concept_pictures,
        ),
    ),
    released=(
        "The released code of unit capacity uses norms with slack terms and squares the ratio of norm and margin, so a "
        "negative margin looks positive; lebench reports that a margin is not positive and computes no bound.",
        "The released experiments on concept classes tune on test points; here nothing is chosen on test points.",
    ),
)
