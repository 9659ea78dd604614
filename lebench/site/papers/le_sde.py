"""Zhang, Wang & Su 2021: imitating training by locally elastic stochastic differential equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures import Picture
from lebench.site.papers.base import Claim, Contrast, Evidence, Paper
from lebench.site.papers.figures import along, by_model

_SHOWN = ("mlp", "lenet", "resnet-nf", "deep-linear", "linear", "permuted-labels")
_SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8)
#: Of three classes: from this share of wrong labels on, the true label is no longer the most likely one.
_TRANSITION = 2 / 3
#: A crossing farther from it than this is another one, in shares of wrong labels.
_MARGIN = 0.1
_LENET = {"lenet": "LeNet"}


def _impacts(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        f"{kind}-model": evidence.contrast(("lenet", "geomnist/dynamics", f"impact_difference@{kind}"))
        for kind in ("I", "L")
    }


def _impacts_pictures(evidence: Evidence) -> Sequence[Picture]:
    task = "geomnist/dynamics"
    panels = {
        "A - B, I-model": (task, "impact_difference@I"),
        "A - B, L-model": (task, "impact_difference@L"),
        "A, within classes (I-model)": (task, "integrated_impact@intra-I"),
        "B, between classes (I-model)": (task, "integrated_impact@inter-I"),
    }
    return [by_model(evidence, "Integrated impacts at the end of training", panels, _SHOWN, reference=0.0)]


def _imitation(evidence: Evidence) -> Mapping[str, Contrast]:
    task, error = "geomnist/imitation", "imitation_error@{}"
    return {
        f"{name}": evidence.contrast(("lenet", task, error.format(other)), ("lenet", task, error.format("L")))
        for name, other in (("than the I-model", "I"), ("than another run", "copied"))
    }


def _imitation_pictures(evidence: Evidence) -> Sequence[Picture]:
    task, error = "geomnist/imitation", "imitation_error@{}"
    panels = {
        "L-model": (task, error.format("L")),
        "I-model": (task, error.format("I")),
        "another run, copied": (task, error.format("copied")),
    }
    return [by_model(evidence, "Error of the imitation on held-out runs", panels, _SHOWN, reference=0.0)]


def _transition(evidence: Evidence) -> Mapping[str, Contrast]:
    crossing = ("lenet", "geomnist/noise-transition", "noise_crossing")
    return {
        "not below": evidence.contrast(crossing, threshold=_TRANSITION - _MARGIN),
        "not above": evidence.contrast(crossing, threshold=_TRANSITION + _MARGIN, under=True),
    }


def _transition_pictures(evidence: Evidence) -> Sequence[Picture]:
    task = "geomnist/noise-transition"
    panels = {
        "accuracy on true labels": (task, {p: f"accuracy@p={p:g}" for p in _SHARES}),
        "loss on true labels": (task, {p: f"log_loss@p={p:g}" for p in _SHARES}),
        "tail index": (task, {p: f"tail_index@p={p:g}" for p in _SHARES}),
    }
    return [along(evidence, "With wrong labels in training", "share of wrong labels p", panels, _SHOWN)]


#: Mean deviation of cosines below which we call angles those of the simplex.
_COLLAPSED = 0.1


def _collapse(evidence: Evidence) -> Mapping[str, Contrast]:
    return {
        "lenet": evidence.contrast(
            ("lenet", "geomnist/simplex", "nc2_equiangular@scores"), threshold=_COLLAPSED, under=True
        )
    }


def _collapse_pictures(evidence: Evidence) -> Sequence[Picture]:
    task = "geomnist/simplex"
    panels = {
        "differing angles, scores": (task, "nc2_equiangular@scores"),
        "differing angles, features": (task, "nc2_equiangular@features"),
        "separation of test points": (task, "separation@test"),
    }
    return [by_model(evidence, "How far from the simplex", panels, _SHOWN, reference=0.0)]


_RUNS = (
    "GeoMNIST with rotation and size drawn independently; 9,600 single-sample steps, class means of 50 points in three "
    "runs, where the paper averages over 100 runs that each log one point at a time."
)

PAPER = Paper(
    name="le-sde",
    short="Locally elastic dynamics",
    title="Imitating Deep Learning Dynamics via Locally Elastic Stochastic Differential Equations",
    authors="J. Zhang, H. Wang, W. J. Su",
    venue="NeurIPS 2021",
    link="https://arxiv.org/abs/2110.05960",
    question="Do two numbers, the impact of a class on itself and on the others, describe how training moves features?",
    claims=(
        Claim(
            "A class moves itself more than the others",
            "“The impact is more significant on samples from the same class as the input”: the intra-class impact "
            "alpha exceeds the inter-class impact beta.",
            "abstract; definition of local elasticity; figures of the estimates",
            f"{_RUNS} Integrated impacts A and B by estimators that give back exact courses to 1e-9.",
            ("geomnist/dynamics",),
            _LENET,
            {},
            "integrated intra-class minus inter-class impact at the end of training",
            _impacts,
            _impacts_pictures,
        ),
        Claim(
            "The equation imitates training",
            "Simulated with the estimated impacts, the L-model follows the genuine dynamics, better than the I-model.",
            "section on simulations, there by eye",
            f"{_RUNS} Fitted to two runs and scored on the third, beside what an imitation has to beat: taking the two "
            "runs themselves for the third.",
            ("geomnist/imitation",),
            _LENET,
            {},
            "error on runs that it was not fitted to, of what the L-model is compared with minus its own",
            _imitation,
            _imitation_pictures,
        ),
        Claim(
            "Wrong labels: a transition at (K - 1)/K",
            "With a share p of wrong labels, three classes cease to be separable at p = 2/3.",
            "section on label corruption",
            "GeoMNIST, 400 training points of each class, seven shares; the crossing of chance is interpolated. "
            "Pixels are standardized; by the paper's protocol, with pixels from 0 to 1, networks have hardly begun to "
            "learn after 10,000 steps where many labels are wrong, and the crossing comes earlier.",
            ("geomnist/noise-transition",),
            _LENET,
            {},
            f"share of wrong labels at which the accuracy on true labels crosses chance, within {_MARGIN:g} of 2/3",
            _transition,
            _transition_pictures,
        ),
        Claim(
            "The L-model collapses",
            "“In the presence of local elasticity, an analysis of our SDEs shows that the emergence of a simple "
            "geometric structure called the neural collapse of the features”: class means end in a simplex.",
            "abstract; section on neural collapse",
            f"{_RUNS} NC2 of the scores at the end; 9,600 steps are far from the limit of the equation.",
            ("geomnist/simplex",),
            _LENET,
            {},
            f"mean deviation of the cosines of class means from the simplex's, below {_COLLAPSED:g}",
            _collapse,
            _collapse_pictures,
        ),
    ),
    released=(
        "The released estimator of the L-model keeps a component of the class means that the model leaves alone: on "
        "exact courses it returns 1.446 and -2.107 for 1.730 and -0.380. It is our negative control.",
        "The released tail index is off by log(1 - r)/log t and tends to 1 for all r above 1; lebench takes the slope.",
        "The released generator makes rotation and size linear in the same index, and draws new images for every p; "
        "the dataset geomnist-confounded has the former, and no task is ranked on it.",
    ),
)
