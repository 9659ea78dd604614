"""The three phenomena that Neurashed is to explain (Su 2021), in it and in networks.

Which features survive batches of which size, what is left of an input in the end, and how one input's step moves others
of its sub-class and class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from lebench import metrics
from lebench.arrays import FloatArray
from lebench.capabilities import offers
from lebench.data.base import Split, Variant
from lebench.data.feature_graph import GROUPS
from lebench.dynamics import Rule
from lebench.errors import DataError
from lebench.tasks.base import Fit, Scored, Scores, Values, declare, declared, or_missing
from lebench.tasks.facts import ELASTICITY, Derived, KnownAnswer, Relation, Share, at_least, test

_PAPER = "Su 2021, Neurashed"
_POINTS = 400
#: Inputs in a batch; the last is all of them.
_BATCHES = (1, 8, 32, _POINTS)
_MODELS = ("neurashed", "mlp", "linear", "deep-linear", "permuted-labels")


def _variant(batch: int) -> Variant:
    """Return training on batches of a size: the same rate of plain gradient descent for all, at least 500 steps."""
    recipe = (
        ("batch_size", batch),
        ("epochs", 5),
        ("min_steps", 500),
        ("lr", 0.01),
        ("optimizer", "sgd"),
        ("momentum", 0.0),
        ("weight_decay", 5e-4),
        ("schedule", "constant"),
    )
    return Variant("B=full" if batch == _POINTS else f"B={batch}", groups=GROUPS, recipe=recipe)


def firing_frequency(split: Split, batch: int) -> FloatArray:
    """Return in which share of the steps that could inhibit it each node fires, in expectation, of shape (d,).

    A node fires in a batch if it does for one of its inputs, and can be inhibited if one of them is of a class below
    which it lies; inputs are drawn with replacement, or are all of them.

    Parameters
    ----------
    split : Split
        Its training points; a node fires above its mean.
    batch : int
        Inputs in a batch.
    """
    patterns = split.x_train > split.x_train.mean(axis=0)
    if batch >= len(patterns):
        return np.asarray(patterns.any(axis=0), dtype=np.float64)
    counts = np.bincount(split.y_train, minlength=split.classes) / len(patterns)
    below = np.stack([patterns[split.y_train == c].any(axis=0) for c in range(split.classes)])
    fires = 1 - (1 - patterns.mean(axis=0)) ** batch
    reached = 1 - (1 - counts @ below) ** batch
    return np.asarray(np.divide(fires, reached, out=np.zeros_like(fires), where=reached > 0))


def node_effects(fitted: Any, split: Split) -> FloatArray:
    """Return how far features move, in the mean over training points, when a node that fires is silenced, (d,).

    Of a graph of one level that is the node's amplification. The scores would not do: they grow with the classes.

    Parameters
    ----------
    fitted : object
        Offers ``features``.
    split : Split
        Its training points; a node is silenced by giving it the lowest value it has.
    """
    x = split.x_train
    patterns, silent = x > x.mean(axis=0), x.min(axis=0)
    points, nodes = np.nonzero(patterns)
    without = x[points]
    without[np.arange(len(points)), nodes] = silent[nodes]
    moved = np.linalg.norm(fitted.features(without) - fitted.features(x)[points], axis=1)
    counts = np.maximum(patterns.sum(axis=0), 1)
    return np.asarray(np.bincount(nodes, moved, minlength=x.shape[1]) / counts)


def score_regularization(fits: Mapping[str, Fit]) -> Scored:
    """Measure which nodes gain influence on the features, at each batch size."""
    values: Values = {}
    arrays: dict[str, FloatArray] = {}
    shares: dict[str, float] = {}
    for batch, (name, fit) in zip(_BATCHES, fits.items(), strict=True):
        before = node_effects(fit.fitted.checkpoints()[0].fitted, fit.split)
        after, frequency = node_effects(fit.fitted, fit.split), firing_frequency(fit.split, batch)
        shares[name] = metrics.surviving_share(before, after)
        values[f"surviving_share@{name}"] = shares[name]
        values[f"survival_rank@{name}"] = or_missing(partial(metrics.survival_rank, before, after, frequency))
        values[f"survival_agreement@{name}"] = metrics.survival_agreement(
            before, after, frequency, _survival_threshold(fit.fitted)
        )
        values[f"accuracy@{name}"] = metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
        label = name.removeprefix("B=")
        arrays |= {f"effect_before_{label}": before, f"effect_{label}": after, f"frequency_{label}": frequency}
    values["sparsity_gain"] = metrics.sparsity_gain(shares["B=1"], shares["B=full"])
    return Scored(values, arrays)


def _survival_threshold(fitted: Any) -> float:
    """Return the threshold of the model's own factors, and for one that has none that of the paper's."""
    found = fitted.diagnostics() if offers(fitted, "diagnostics") else {}
    return float(found.get("survival_threshold", Rule().survival_threshold))


_SIZES = tuple(_variant(batch).name for batch in _BATCHES)

declare(
    declared(
        name="neurashed/implicit-regularization",
        track="generalization",
        summary="Trained on small batches, does a model strengthen the features that many inputs share?",
        reference=f"{_PAPER}: implicit regularization",
        dataset="feature-graph",
        needs=("predict", "features", "checkpoints"),
        primary="survival_rank@B=1",
        metrics=(
            "sparsity_gain",
            *(
                f"{name}@{size}"
                for name in ("survival_rank", "surviving_share", "survival_agreement", "accuracy")
                for size in _SIZES
            ),
        ),
        score=score_regularization,
        facts=(
            Share(test, ("accuracy@{variant}",)),
            Derived(
                "sparsity_gain",
                metrics.sparsity_gain,
                ("surviving_share@B=1", "surviving_share@B=full"),
                "the gain of single inputs over all at once",
            ),
        ),
        baselines=_MODELS,
        variants=tuple(map(_variant, _BATCHES)),
    ),
    "neurashed",
    "dynamics",
)

#: Digits to which states are rounded.
_RESOLUTIONS = (1, 2)
_MOMENTS = ("start", "peak", "end")


def contribution_shares(features: FloatArray) -> FloatArray:
    """Return what passes up of each input: absolute features relative to their sum, (n, p); zeros stay zeros."""
    size = np.abs(features)
    total = size.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(size, total, out=np.zeros_like(size), where=total > 0))


def score_bottleneck(fits: Mapping[str, Fit]) -> Scored:
    """Follow what the features say about the input, rounded and not, over training."""
    (fit,) = fits.values()
    split, kept = fit.split, fit.fitted.checkpoints()
    states = [contribution_shares(moment.fitted.features(split.x_test)) for moment in kept]
    values: Values = {}
    arrays = {"epochs": np.array([moment.time for moment in kept])}
    for decimals in (*_RESOLUTIONS, None):
        course = np.array([metrics.state_information(state, decimals) for state in states])
        suffix = "raw" if decimals is None else f"digits={decimals}"
        arrays[f"information_{'raw' if decimals is None else decimals}"] = course
        for moment, value in zip(_MOMENTS, (course[0], course.max(), course[-1]), strict=True):
            values[f"state_information@{moment}-{suffix}"] = float(value)
        if decimals is not None:
            values[f"excess_information@{suffix}"] = metrics.excess_information(states[-1], split.y_test, decimals)
    values["accuracy"] = metrics.accuracy(fit.fitted.predict(split.x_test), split.y_test)
    return Scored(values, arrays)


_SUFFIXES = (*(f"digits={decimals}" for decimals in _RESOLUTIONS), "raw")

declare(
    declared(
        name="neurashed/bottleneck",
        track="collapse",
        summary="Trained on single inputs, do the features lose what they say about the input beyond its class?",
        reference=f"{_PAPER}: information bottleneck; the rounding is ours, without which nothing is lost",
        dataset="feature-graph",
        needs=("predict", "features", "checkpoints"),
        primary="excess_information@digits=2",
        metrics=(
            *(f"excess_information@digits={decimals}" for decimals in _RESOLUTIONS),
            *(f"state_information@{moment}-{suffix}" for suffix in _SUFFIXES for moment in _MOMENTS),
            "accuracy",
        ),
        score=score_bottleneck,
        facts=(
            Share(test, ("accuracy",)),
            # Information about the input that the label does not have is information about the input.
            Relation(
                ("state_information@end-{q}", "excess_information@{q}"),
                at_least,
                "is smaller than the excess information, which is a part of it",
            ),
            *(
                Relation(
                    ("state_information@peak-{q}", f"state_information@{moment}-{{q}}"),
                    at_least,
                    f"is smaller than the information at the {moment}",
                )
                for moment in ("start", "end")
            ),
        ),
        known=(
            KnownAnswer(
                "excess_information@digits=2",
                0.0,
                "a state that has only the label left",
                "what is left of the input beyond the label is nothing",
                ("neurashed",),
            ),
        ),
        baselines=_MODELS,
        variants=(_variant(1),),
    ),
    "neurashed",
    "dynamics",
)


def score_elasticity(fits: Mapping[str, Fit]) -> Scores:
    """Measure similarity within sub-classes, between those of a class and between classes, over training."""
    (fit,) = fits.values()
    split = fit.split
    fine = split.fine_test
    if fine is None:
        raise DataError("the sub-classes of the points are not known: the task needs a variant with groups")
    values: Values = {}
    moments = {"start": fit.fitted.checkpoints()[0].fitted, "end": fit.fitted}
    for moment, fitted in moments.items():
        similarity = fitted.similarity(split.x_test, split.y_test, split.x_test)
        same, alike = np.equal.outer(fine, fine), np.equal.outer(split.y_test, split.y_test)
        values[f"within_class_similarity@{moment}"] = metrics.within_class_similarity(similarity, split.y_test)
        values[f"between_class_similarity@{moment}"] = metrics.between_class_similarity(similarity, split.y_test)
        values[f"elasticity_ratio@{moment}"] = metrics.elasticity_ratio(similarity, split.y_test)
        np.fill_diagonal(same, False)
        inner, outer = float(similarity[same].mean()), float(similarity[alike & np.not_equal.outer(fine, fine)].mean())
        values[f"within_class_similarity@{moment}-subclasses"] = inner
        values[f"between_class_similarity@{moment}-subclasses"] = outer
        values[f"elasticity_difference@{moment}-subclasses"] = inner - outer
    return values


declare(
    declared(
        name="neurashed/elasticity",
        track="elasticity",
        summary="Does a step on an input move its own sub-class more than its class, and that more than others?",
        reference=f"{_PAPER}: local elasticity",
        dataset="feature-graph",
        needs=("similarity", "checkpoints"),
        primary="elasticity_ratio@end",
        metrics=tuple(
            f"{name}@{moment}{part}"
            for name, part in (
                ("elasticity_ratio", ""),
                ("within_class_similarity", ""),
                ("between_class_similarity", ""),
                ("within_class_similarity", "-subclasses"),
                ("between_class_similarity", "-subclasses"),
                ("elasticity_difference", "-subclasses"),
            )
            for moment in ("start", "end")
        ),
        score=score_elasticity,
        facts=(
            *ELASTICITY,
            *(
                Derived(
                    f"elasticity_difference@{moment}-subclasses",
                    lambda within, between: within - between,
                    (f"within_class_similarity@{moment}-subclasses", f"between_class_similarity@{moment}-subclasses"),
                    "the difference of the similarities within and between sub-classes",
                )
                for moment in ("start", "end")
            ),
        ),
        baselines=_MODELS,
        variants=(_variant(32),),
    ),
    "neurashed",
    "dynamics",
)
