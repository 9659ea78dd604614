"""Training on GeoMNIST and CIFAR-10 as a locally elastic differential equation describes it.

Runs of single-sample steps at a constant rate without momentum and weight decay, as in Zhang, Wang & Su 2021. Their
rate of 0.005 is for pixels from 0 to 1; of standardized pixels, whose squares sum to more, a smaller one moves the
scores as far. Where the paper averages over 100 runs of which each logs one point at a time, here the class means of
50 training points are followed in three runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lebench import metrics
from lebench.arrays import FloatArray
from lebench.capabilities import Trajectory, offers
from lebench.data.base import Split, Variant
from lebench.dynamics import estimate_impacts, solve_le_ode, window_rates
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored, Scores, Task, Values, declare, declared, or_missing
from lebench.tasks.facts import Derived, KnownAnswer, Share, test

_PAPER = "Zhang, Wang & Su 2021"
_MODELS: tuple[Literal["I", "L"], ...] = ("I", "L")


@dataclass(frozen=True)
class Problem:
    """A dataset, three of its classes, and the learning rate at which a point's step moves its scores as in the paper.

    Attributes
    ----------
    dataset : str
        Registered name.
    lr : float
        Learning rate.
    groups : tuple of tuple of int, optional
        The classes; by default all.
    baselines : tuple of str
        See :class:`~lebench.tasks.base.Task`.
    """

    dataset: str
    lr: float
    groups: tuple[tuple[int, ...], ...] | None = None
    baselines: tuple[str, ...] = ()

    def steps(self, epochs: int, record_steps: int = 0) -> tuple[tuple[str, str | int | float], ...]:
        """Return the changes of a recipe that make it one of single-sample steps."""
        return (
            ("lr", self.lr),
            ("epochs", epochs),
            ("record_steps", record_steps),
            ("batch_size", 1),
            ("optimizer", "sgd"),
            ("momentum", 0.0),
            ("weight_decay", 0.0),
            ("loss", "cross_entropy"),
            ("schedule", "constant"),
            ("min_steps", 0),
        )

    def runs(self, count: int) -> tuple[Variant, ...]:
        """Return runs over 100 points of each class, which 9,600 steps see 32 times each."""
        recipe = self.steps(epochs=32, record_steps=100)
        return tuple(
            Variant(f"run {number}", n_train=300, groups=self.groups, repetition=number, recipe=recipe)
            for number in range(count)
        )


#: The squares of standardized pixels sum to 1,024 and 3,072, those of the paper's pictures to about 200.
PROBLEMS = (
    Problem("geomnist", 0.001, baselines=("mlp", "linear", "deep-linear", "lenet")),
    Problem("cifar-10", 0.0003, ((0,), (1,), (2,)), ("linear",)),
)


def of_both(question: str, variants: Callable[[Problem], tuple[Variant, ...]], **common: Any) -> Iterator[Task]:
    """Yield a task of each problem, which has in common with the other what is declared."""
    for problem in PROBLEMS:
        of_problem: Any = {"dataset": problem.dataset, "baselines": problem.baselines, "variants": variants(problem)}
        yield declared(name=f"{problem.dataset}/{question}", **of_problem, **common)


#: An imitation begins when the class means have left where they happened to be at initialization, in epochs.
_BEGIN = 1.0


def class_courses(course: Trajectory, split: Split) -> FloatArray:
    """Return the mean scores of the followed points of each class over training, of shape (T, C, C).

    Raises
    ------
    DataError
        If no point of a class was followed.
    """
    labels = split.y_train[course.probe]
    counts = np.bincount(labels, minlength=split.classes)
    if not counts.all():
        raise DataError(f"no point of class {split.class_names[int(np.argmin(counts))]} was followed in training")
    return np.stack([course.scores[:, labels == c].mean(axis=1) for c in range(split.classes)], axis=1)


def _courses(fits: Mapping[str, Fit]) -> tuple[FloatArray, FloatArray]:
    """Return times (T,), and class means of each run (runs, T, C, C)."""
    recorded = [(fit.fitted.trajectory(), fit.split) for fit in fits.values()]
    return recorded[0][0].times, np.stack([class_courses(course, split) for course, split in recorded])


def tail(times: FloatArray, integral: FloatArray, windows: int = 4) -> float | Missing:
    """Return the tail index of the impact with this integral, from its means in windows of doubling length."""

    def slope() -> float:
        moments, rates = window_rates(times, integral, windows)
        return metrics.tail_index(rates, moments, tail=1.0)

    return or_missing(slope)


def score_dynamics(fits: Mapping[str, Fit]) -> Scored:
    """Estimate integrated impacts from the class means, averaged over runs, and how fast impacts fall in the end."""
    times, runs = _courses(fits)
    means = runs.mean(axis=0)
    values: Values = {}
    arrays = {"epochs": times}
    for model in _MODELS:
        try:
            intra, inter = estimate_impacts(means, model, method="norms")
        except DataError as problem:
            reason = Missing(str(problem))
            values |= {name: reason for name in _DYNAMICS if name.endswith(model)}
            continue
        arrays |= {f"intra_{model.lower()}": intra, f"inter_{model.lower()}": inter}
        values[f"impact_difference@{model}"] = metrics.impact_difference(intra, inter)
        values[f"integrated_impact@intra-{model}"] = metrics.integrated_impact(intra)
        values[f"integrated_impact@inter-{model}"] = metrics.integrated_impact(inter)
        values[f"le_alpha_beta_gap@{model}"] = or_missing(lambda a=intra, b=inter: metrics.le_alpha_beta_gap(a, b))  # type: ignore[misc]
        values[f"tail_index@difference-{model}"] = tail(times, intra - inter)
        values[f"tail_index@intra-{model}"] = tail(times, intra)
        values[f"tail_index@inter-{model}"] = tail(times, inter)
    return Scored(values, arrays)


_DYNAMICS = tuple(
    f"{name}{model}"
    for model in _MODELS
    for name in (
        "impact_difference@",
        "integrated_impact@intra-",
        "integrated_impact@inter-",
        "le_alpha_beta_gap@",
        "tail_index@difference-",
        "tail_index@intra-",
        "tail_index@inter-",
    )
)

for _task in of_both(
    "dynamics",
    lambda problem: problem.runs(3),
    track="elasticity",
    summary="How much more does training on a class move itself than the others, and how fast does that end?",
    reference=f"{_PAPER}, LE-ODE: A and B from class means of logits",
    needs=("trajectory",),
    primary="impact_difference@I",
    metrics=_DYNAMICS,
    score=score_dynamics,
    facts=tuple(
        Derived(
            f"impact_difference@{model}",
            lambda intra, inter: intra - inter,
            (f"integrated_impact@intra-{model}", f"integrated_impact@inter-{model}"),
            "the difference of the impacts",
        )
        for model in _MODELS
    ),
):
    declare(_task, _task.dataset, "dynamics")


def score_imitation(fits: Mapping[str, Fit]) -> Scores:
    """Imitate each run by the LE-ODE with the impacts of the others, from its own class means after the first epoch.

    ``copied`` takes the course of the others itself for the run: what an imitation has to beat.
    """
    times, runs = _courses(fits)
    begin = int(np.searchsorted(times, _BEGIN))
    errors: dict[str, list[float]] = {"copied": [], **{model: [] for model in _MODELS}}
    reasons: dict[str, Missing] = {}
    for number, run in enumerate(runs):
        genuine, others = run[begin:], np.delete(runs, number, axis=0).mean(axis=0)[begin:]
        errors["copied"].append(metrics.imitation_error(genuine, others))
        for model in _MODELS:
            try:
                impacts = estimate_impacts(others, model, method="norms")
            except DataError as problem:
                reasons[model] = Missing(str(problem))
                continue
            imitated = solve_le_ode(genuine[0], impacts.intra, impacts.inter, model)
            errors[model].append(metrics.imitation_error(genuine, imitated))
    return {f"imitation_error@{name}": reasons.get(name) or float(np.mean(found)) for name, found in errors.items()}


for _task in of_both(
    "imitation",
    lambda problem: problem.runs(3),
    track="elasticity",
    summary="Fitted to two runs of training, how far from a third is a locally elastic differential equation?",
    reference=f"{_PAPER}: simulated against genuine dynamics, there by eye",
    needs=("trajectory",),
    primary="imitation_error@L",
    metrics=("imitation_error@L", "imitation_error@I", "imitation_error@copied"),
    score=score_imitation,
):
    declare(_task, _task.dataset, "dynamics")

_OF_SCORES = ("nc2_equiangular", "nc2_equinorm", "nc1_pinv_over_C")


def score_collapse(fits: Mapping[str, Fit]) -> Scored:
    """Measure how close the class means of scores and features are to the simplex that the L-model ends in."""
    (fit,) = fits.values()
    fitted, split = fit.fitted, fit.split
    train, test = fitted.predict(split.x_train), fitted.predict(split.x_test)
    found = metrics.collapse(train, split.y_train)
    values: Values = {f"{name}@scores": found[name] for name in _OF_SCORES}
    if offers(fitted, "features"):
        of_features = metrics.collapse(fitted.features(split.x_train), split.y_train)
    else:
        of_features = dict.fromkeys(_OF_SCORES, Missing("the model has no features"))
    values |= {f"{name}@features": of_features[name] for name in _OF_SCORES}
    for part, scores, labels in (("train", train, split.y_train), ("test", test, split.y_test)):
        values[f"separation@{part}"] = or_missing(lambda s=scores, y=labels: metrics.separation(s, y))  # type: ignore[misc]
    values["accuracy"] = metrics.accuracy(test, split.y_test)
    course = fitted.trajectory()
    means = class_courses(course, split)
    angles = [or_missing(lambda m=moment: _angle_gap(m)) for moment in means]  # type: ignore[misc]
    kept = {} if any(isinstance(a, Missing) for a in angles) else {"nc2_equiangular": np.array(angles)}
    return Scored(values, {"epochs": course.times, **kept})


def _angle_gap(means: FloatArray) -> float:
    return metrics.nc2_equiangular(means, np.arange(len(means)))


for _task in of_both(
    "simplex",
    lambda problem: problem.runs(1),
    track="collapse",
    summary="Do the class means of the scores end in the simplex that the L-model predicts?",
    reference=f"{_PAPER}, L-model: class means tend to the directions e_k - 1/K, an equiangular tight frame",
    needs=("predict", "trajectory"),
    primary="nc2_equiangular@scores",
    metrics=(
        *(f"{name}@{of}" for of in ("scores", "features") for name in _OF_SCORES),
        "separation@train",
        "separation@test",
        "accuracy",
    ),
    score=score_collapse,
    facts=(Share(test, ("accuracy",)),),
    known=(
        KnownAnswer(
            "nc2_equiangular@scores",
            0.0,
            "the L-model of the locally elastic equation",
            "its class means end in a simplex (Zhang, Wang & Su 2021)",
        ),
    ),
):
    declare(_task, _task.dataset, "dynamics")
