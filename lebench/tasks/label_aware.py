"""Label-aware kernels on real images: accuracy and elasticity of a model beside its kernel and its network.

The protocol of Chen, He & Su 2020: pairs of classes of CIFAR-10, and all ten classes, at several training sizes; here
also pairs of MNIST and of the small digits. How the points are drawn, the same for every model of a seed:

- **Training points**: class-balanced from the training part of the split, drawn by the seed. Inputs are standardized
  with the mean and standard deviation of that whole part, which includes other images and other classes. The paper
  takes all 10,000 images of a pair and scales pixels to [-1, 1].
- **Test points**: the first of each class of the test part of the split, at most 1,000 in all; for MNIST and CIFAR-10
  these are the first images of the official test part, the same for every seed. The paper takes all 2,000 of a pair.
- **Elasticity** is that of the kernel of the model (``gram``; of a network its empirical tangent kernel after training)
  between the first 20 test points of each class of a pair, or 10 of each of ten classes, normalized by the square roots
  of the same kernel's diagonal on both sides, the diagonal left out. The same is measured between as many training
  points.

Where a model lies between its kernel and its network is computed from the records of all three, paired by seed, see
:mod:`lebench.board.between`: so no network is trained again to score a kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lebench import metrics, registry
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import offers
from lebench.data.base import Dataset, Split, Variant
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, NotFitted, Scores, Task, Values, declare, declared, or_missing
from lebench.tasks.baselines import ADAM, CONVOLUTIONAL, HIERARCHY, LABEL_AWARE, TRAINED
from lebench.tasks.elasticity import SYSTEMS, factors
from lebench.tasks.facts import KERNELS, LABEL_BLIND, KnownAnswer, Share, chance, labellings, mean_of, test

#: Points at most whose predictions are scored, and points between which the kernel is looked at.
_TEST_POINTS, _PROBES_OF_A_PAIR, _PROBES = 1000, 20, 10
_MEASURES = ("accuracy", "elasticity_ratio", "elasticity_difference", "elasticity_ratio-train")
_DIAGNOSTICS = (
    "relative_ridge",
    "relative_ridge-inverse",
    "smallest_eigenvalue",
    "label_ratio",
    "label_weight",
    "kernel_standard_error",
)


def _first_of_each(y: IntArray, classes: int, count: int) -> IntArray:
    """Return the indices of the first points of each class."""
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:count] for label in range(classes)]))


def _tested(split: Split) -> int:
    """Return the number of test points whose predictions are scored."""
    return len(_first_of_each(split.y_test, split.classes, _TEST_POINTS // split.classes))


def _elasticity(fit: Fit, x: FloatArray, y: IntArray) -> Values:
    """Return ratio and difference of the normalized kernel between points, or why there is none."""
    if not offers(fit.fitted, "gram"):
        return dict.fromkeys(("ratio", "difference"), Missing("the model has no kernel"))
    try:
        kernel = metrics.normalize(fit.fitted.gram(x, x))
    except DataError as error:
        return dict.fromkeys(("ratio", "difference"), Missing(str(error)))
    difference = metrics.elasticity_difference(kernel, y)
    return {"ratio": or_missing(lambda: metrics.elasticity_ratio(kernel, y)), "difference": difference}


def _measured(fit: Fit) -> Values:
    """Return the measures of one fit, and what was chosen when it was made."""
    if isinstance(fit.fitted, NotFitted):
        return dict.fromkeys((*_MEASURES, *_DIAGNOSTICS), Missing(fit.fitted.reason))
    split = fit.split
    tested = _first_of_each(split.y_test, split.classes, _TEST_POINTS // split.classes)
    values: Values = {"accuracy": metrics.accuracy(fit.fitted.predict(split.x_test[tested]), split.y_test[tested])}
    count = _PROBES_OF_A_PAIR if split.classes == 2 else _PROBES
    for suffix, x, y in (("", split.x_test, split.y_test), ("-train", split.x_train, split.y_train)):
        probe = _first_of_each(y, split.classes, count)
        elasticity = _elasticity(fit, x[probe], y[probe])
        values[f"elasticity_ratio{suffix}"] = elasticity["ratio"]
        if not suffix:
            values["elasticity_difference"] = elasticity["difference"]
    return values | _diagnostics(fit)


def _diagnostics(fit: Fit) -> Values:
    found = fit.fitted.diagnostics() if offers(fit.fitted, "diagnostics") else {}
    reason = Missing("nothing of the kind was chosen in fitting this model")
    return {name: found.get(name.replace("-", "@"), reason) for name in _DIAGNOSTICS}


def _qualified(measure: str, name: str) -> str:
    """Return the recorded name: the part after a dash belongs to the qualifier."""
    metric, dash, rest = measure.partition("-")
    return f"{metric}@{name}{dash}{rest}"


def score(fits: Mapping[str, Fit]) -> Scores:
    """Score accuracy and elasticity of each variant and their means, and report what was chosen in fitting."""
    of_variant = {name: _measured(fit) for name, fit in fits.items()}
    values = {_qualified(m, name): value for name, measured in of_variant.items() for m, value in measured.items()}
    for measure in _MEASURES:
        column = [measured[measure] for measured in of_variant.values()]
        known = [value for value in column if not isinstance(value, Missing)]
        missing = [value for value in column if isinstance(value, Missing)]
        values[_qualified(measure, "mean")] = missing[0] if missing else float(np.mean(known))
    return values


def label_aware_task(
    name: str,
    summary: str,
    dataset: str,
    variants: Iterable[Variant],
    *,
    tags: tuple[str, ...] = ("lantk",),
    baselines: tuple[str, ...] = (),
) -> Task:
    """Register a task with this protocol and return it; for another size or other pairs than those registered here.

    Parameters
    ----------
    name : str
        ``"family/question"``.
    summary : str
        The question in one line.
    dataset : str
        Registered name.
    variants : iterable of Variant
        Pairs of classes, or training sizes; see :func:`pairs` and :func:`sizes`. The task ranks by the mean of the
        accuracy over them.
    tags : tuple of str
        To select it by.
    baselines : tuple of str
        See :class:`~lebench.tasks.base.Task`.

    Examples
    --------
    In a plug-in, three more pairs at another size::

        from lebench.tasks.label_aware import label_aware_task, pairs

        label_aware_task(
            "mine/cifar-pairs",
            "As in the paper, at n = 1000",
            "cifar-10",
            pairs({"deer-dog": (4, 5), "cat-frog": (3, 6), "bird-deer": (2, 4)}, 1000),
        )
    """
    chosen = tuple(variants)
    names = [variant.name for variant in chosen]
    found: Dataset = registry.datasets.get(dataset)
    (classes,) = {len(variant.groups or found.class_names) for variant in chosen}
    task = declared(
        name=name,
        track="generalization",
        summary=summary,
        reference="Chen, He & Su 2020, section 4; the sizes, and how points are drawn, are ours",
        dataset=dataset,
        needs=("predict",),
        primary="accuracy@mean",
        metrics=(
            *(_qualified(measure, "mean") for measure in _MEASURES),
            *(_qualified(measure, name) for measure in (*_MEASURES, *_DIAGNOSTICS) for name in names),
        ),
        score=score,
        facts=(
            Share(_tested, ("accuracy@{variant}",)),
            *(
                mean_of(_qualified(measure, "mean"), tuple(_qualified(measure, each) for each in names), "variants")
                for measure in _MEASURES
            ),
        ),
        known=chance("accuracy@mean", classes, 0.1 if classes == 2 else 0.05),
        baselines=baselines,
        variants=chosen,
    )
    return declare(task, *tags)


def pairs(classes: Mapping[str, tuple[int, int]], n: int) -> tuple[Variant, ...]:
    """Return a variant for each pair of classes, the first of which gets the label 0, with n training points in all."""
    return tuple(
        Variant(name, n_train=n, groups=((negative,), (positive,)), may_fail=True)
        for name, (negative, positive) in classes.items()
    )


def sizes(numbers: Iterable[int], pair: tuple[int, int] | None = None) -> tuple[Variant, ...]:
    """Return a variant for each number of training points, of all classes or of a pair."""
    groups = None if pair is None else ((pair[0],), (pair[1],))
    return tuple(Variant(f"n={n}", n_train=n, groups=groups, may_fail=True) for n in numbers)


#: The columns of table 1 of the paper, in the numbering of CIFAR-10.
PAPER_PAIRS = {"deer-dog": (4, 5), "cat-deer": (3, 4), "cat-frog": (3, 6), "deer-frog": (4, 6), "bird-frog": (2, 6)}

label_aware_task(
    "lantk/cifar-pairs",
    "Is a label-aware kernel between its kernel and its network on two pairs of photographs, 200 for training?",
    "cifar-10",
    pairs({name: PAPER_PAIRS[name] for name in ("deer-dog", "cat-frog")}, 200),
    baselines=(*LABEL_AWARE, *CONVOLUTIONAL, "lantk-hr-cnn[permuted=true]", ADAM),
)
label_aware_task(
    "lantk/cifar-pairs-large",
    "The same on the five pairs of the paper with all 3,800 images of a pair that the split has",
    "cifar-10",
    pairs(PAPER_PAIRS, 3800),
    tags=("lantk", "large"),
)
label_aware_task(
    "lantk/cifar-multiclass",
    "The same on all ten classes of photographs, 500 for training",
    "cifar-10",
    sizes([500]),
    baselines=(*LABEL_AWARE, *CONVOLUTIONAL, ADAM),
)
label_aware_task(
    "lantk/cifar-multiclass-large",
    "The same on all ten classes, with the training sizes of the paper that the split has",
    "cifar-10",
    sizes([2000, 5000, 10000]),
    tags=("lantk", "large"),
)
label_aware_task(
    "lantk/cifar-curve",
    "How do kernel, label-aware kernel and network grow with the number of photographs of deer and dogs?",
    "cifar-10",
    sizes([100, 200, 400, 800], PAPER_PAIRS["deer-dog"]),
    baselines=(*LABEL_AWARE, ADAM),
)
label_aware_task(
    "lantk/mnist-pairs",
    "Is a label-aware kernel between its kernel and its network on two pairs of handwritten digits, 100 for training?",
    "mnist",
    pairs({"4-9": (4, 9), "3-8": (3, 8)}, 100),
    baselines=(*LABEL_AWARE, HIERARCHY, *CONVOLUTIONAL, ADAM),
)
label_aware_task(
    "lantk/digits-pairs",
    "The same on four pairs of small digits, 20 for training",
    "digits",
    pairs({"3-8": (3, 8), "4-9": (4, 9), "1-8": (1, 8), "5-9": (5, 9)}, 20),
    baselines=(*TRAINED, *LABEL_AWARE, HIERARCHY, *CONVOLUTIONAL),
)
label_aware_task(
    "lantk/digits-curve",
    "How do kernel, label-aware kernel and network grow with the number of small digits of ten classes?",
    "digits",
    sizes([50, 100, 200, 400]),
    baselines=(*TRAINED, *LABEL_AWARE, HIERARCHY, *CONVOLUTIONAL),
)


def score_label_systems(fits: Mapping[str, Fit]) -> Scores:
    """Compare the kernels that a model has after training on one and on the other labelling of the same points."""
    values: Values = {}
    kernels, followed = [], []
    for name, fit in fits.items():
        x, y = fit.split.x_test, fit.split.y_test
        own, other = factors(fit.split, name)
        kernels.append(fit.fitted.gram(x, x))
        kernel = metrics.normalize(kernels[-1])
        followed.append(metrics.label_following(kernel, own, other))
        values |= {
            f"label_following@{name}": followed[-1],
            f"elasticity_difference@{name}-own": metrics.elasticity_difference(kernel, own),
            f"elasticity_difference@{name}-other": metrics.elasticity_difference(kernel, other),
            f"accuracy@{name}": metrics.accuracy(fit.fitted.predict(x), y),
        }
        values |= {_qualified(measure, name): value for measure, value in _diagnostics(fit).items()}
    values["label_following@mean"] = sum(followed) / 2
    # Exactly 0 for a kernel that knows no labels: the two are the same numbers, bit by bit.
    values["kernel_change@systems"] = metrics.kernel_change(*kernels)
    return values


declare(
    declared(
        name="kernel/label-systems",
        track="elasticity",
        summary="Does the kernel of a model follow the one of two labellings of the same points that it was fitted to?",
        reference="Chen, He & Su 2020: label systems; on planted factors instead of photographs",
        dataset="two-factor",
        needs=("predict", "gram"),
        primary="label_following@mean",
        metrics=(
            *(f"label_following@{name}" for name in ("mean", *SYSTEMS)),
            "kernel_change@systems",
            *(f"elasticity_difference@{name}-{whose}" for name in SYSTEMS for whose in ("own", "other")),
            *(f"accuracy@{name}" for name in SYSTEMS),
            *(_qualified(diagnostic, name) for diagnostic in _DIAGNOSTICS for name in SYSTEMS),
        ),
        score=score_label_systems,
        facts=(Share(test, ("accuracy@{variant}",)), labellings()),
        known=(
            *LABEL_BLIND,
            KnownAnswer(
                "kernel_change@systems",
                0.0,
                "a kernel that knows no labels",
                "its matrices under both labellings are the same, bit by bit",
                KERNELS,
                "is",
                0.0,
            ),
        ),
        baselines=(*TRAINED, *LABEL_AWARE, HIERARCHY),
        variants=tuple(Variant(name, groups=groups) for name, groups in SYSTEMS.items()),
    ),
    "kernel",
    "lantk",
)
