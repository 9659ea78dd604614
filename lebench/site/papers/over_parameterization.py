"""Neyshabur et al. 2019; Li, Ma & Zhang 2020; Allen-Zhu, Li & Liang 2019: width, capacity, and beyond kernels."""

from __future__ import annotations

from lebench.board import entry_name
from lebench.site.papers.base import Claim, Evidence, Finding, Paper, across, short_of, sign, told
from lebench.site.papers.figures import along, by_model

_TWO_LAYERS = "mlp[depth=1]"
_ENTRY = entry_name(_TWO_LAYERS)
_WIDTHS = (4, 8, 12, 16, 32, 64, 128, 256, 512)
_CAPACITIES = {
    "unit capacity": "capacity_unit",
    "bound by units": "unit_bound",
    "Frobenius norms": "capacity_frobenius",
    "spectral and (1,2) norms": "capacity_spectral_l1",
    "number of parameters": "capacity_parameters",
}
_TEACHERS = ("overparam/teacher-8", "overparam/teacher-16")
_CONCEPTS = ("overparam/concept-sin", "overparam/concept-tanh")


def _wider_is_better(evidence: Evidence) -> Finding:
    task = "overparam/width"
    gain = {
        labels: evidence.difference((_ENTRY, task, f"error@{labels}-h=16"), (_ENTRY, task, f"error@{labels}-h=512"))
        for labels in ("clean", "noisy")
    }
    panels = {
        f"test error, {name}": (task, {float(h): f"error@{labels}-h={h}" for h in _WIDTHS})
        for labels, name in (("clean", "true labels"), ("noisy", "20% wrong labels"))
    }
    return Finding(
        across(*(sign(estimate) for estimate in gain.values())),
        f"From 16 to 512 units the test error falls by {told(gain['clean'])} with true labels and by "
        f"{told(gain['noisy'])} with a fifth of them wrong.",
        [along(evidence, "Test error along the width", "hidden units h", panels, (_ENTRY,), log_x=True)],
    )


def _unit_capacity(evidence: Evidence) -> Finding:
    task = "overparam/width"
    exponents = {name: evidence.mean(_ENTRY, task, f"width_exponent@{value}") for name, value in _CAPACITIES.items()}
    panels = {name: (task, f"width_exponent@{value}") for name, value in _CAPACITIES.items()}
    return Finding(
        sign(short_of(0.0, exponents["unit capacity"])),
        "With the width h the capacities grow as h to the power of "
        f"{', '.join(f'{told(e)} ({name})' for name, e in exponents.items())}.",
        [by_model(evidence, "Exponent of the width", panels, (_ENTRY,), reference=0.0)],
    )


def _beyond(evidence: Evidence, tasks: tuple[str, ...]) -> Finding:
    value = "loss_ratio"
    below = {task: short_of(1.0, evidence.mean(_ENTRY, task, value)) for task in tasks}
    ratios = {task.partition("/")[2]: evidence.mean(_ENTRY, task, value) for task in tasks}
    panels = {task.partition("/")[2]: (task, value) for task in tasks}
    return Finding(
        across(*(sign(estimate) for estimate in below.values())),
        "The test loss of a network with one hidden layer, relative to that of the best kernel, is "
        f"{', '.join(f'{told(e)} on {name}' for name, e in ratios.items())}.",
        [
            by_model(
                evidence,
                "Loss relative to the best kernel",
                panels,
                (_ENTRY, "mlp", "ntk-mlp", "nngp-mlp", "rbf", "laplace", "linear-kernel"),
                reference=1.0,
            )
        ],
    )


def _teacher(evidence: Evidence) -> Finding:
    return _beyond(evidence, _TEACHERS)


def _concept(evidence: Evidence) -> Finding:
    return _beyond(evidence, _CONCEPTS)


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
            ("overparam/width",),
            (_TWO_LAYERS,),
            _wider_is_better,
        ),
        Claim(
            "Unit capacity falls with the width",
            "Capacity measured by unit, relative to initialization, decreases with the width; earlier norms grow.",
            "Neyshabur et al. 2019, section 2 and figures",
            "The same networks from 64 to 512 units, where all fit true labels; an exponent is the slope of log "
            "capacity in log width. Unit capacity is the sixth of the measures that the paper compares, with the "
            "square root of h as a term; the bound is its first theorem, without that term, divided by the margin at "
            "the 5th percentile.",
            ("overparam/width",),
            (_TWO_LAYERS,),
            _unit_capacity,
        ),
        Claim(
            "Networks learn teachers that kernels do not",
            "A two-layer network trained by gradient descent learns a ReLU teacher to a loss o(1/d); kernels cannot.",
            "Li, Ma & Zhang 2020, theorems 1 and 2",
            "Uniform teachers in 8 and 16 dimensions, one recipe for all networks, ridge by leave-one-out for kernels. "
            "In 32 dimensions, which are no task, the recipe's 6,000 steps are too few: d times the loss is 0.0092 "
            "after them and 0.00004 after 96,000, as many passes over the points as in 8 dimensions; "
            "the kernel has 0.044.",
            _TEACHERS,
            (_TWO_LAYERS, "mlp", "ntk-mlp", "rbf"),
            _teacher,
        ),
        Claim(
            "Networks learn concept classes that kernels do not",
            "Networks learn targets composed of small networks from few samples, better than their tangent kernels.",
            "Allen-Zhu, Li & Liang 2019, experiments",
            "The two published targets, 1,000 points; our kernels are of infinite width.",
            _CONCEPTS,
            (_TWO_LAYERS, "mlp", "ntk-mlp", "rbf"),
            _concept,
        ),
    ),
    released=(
        "The released code of unit capacity uses norms with slack terms and squares the ratio of norm and margin, so a "
        "negative margin looks positive; lebench reports that a margin is not positive and computes no bound.",
        "The released experiments on concept classes tune on test points; here nothing is chosen on test points.",
    ),
)
