"""Clustering of two digits that were trained as one class, by similarities and by what needs no such training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import metrics
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import offers
from lebench.data.base import Split, Variant, balanced_subset
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.seeds import generator, stream
from lebench.tasks.base import Fit, NotFitted, Scored, Scores, Task, Values, declare, declared, or_missing
from lebench.tasks.baselines import LADDER, STANDARD
from lebench.tasks.facts import Derived, KnownAnswer, Share, mean_of, test
from lebench.tasks.questions import DIGITS, Data, question

#: Primary pair and auxiliary classes, from He & Su 2020, section 3.
_PAIRS: dict[str, tuple[tuple[int, ...], tuple[int, int]]] = {
    "5v8": ((9, 3), (5, 8)),
    "4v9": ((5, 7), (4, 9)),
    "3v5": ((8, 9), (3, 5)),
}
#: Training points per digit that are clustered.
_CLUSTER_POINTS = 60


@dataclass(frozen=True)
class _Primary:
    """Points of the primary class: inputs, training labels (all 1) and hidden digits (0 or 1)."""

    x: FloatArray
    y: IntArray
    hidden: IntArray
    seed: int

    def score(self, assignment: IntArray) -> float:
        return metrics.adjusted_rand_index(self.hidden, assignment)

    def kmeans(self, rows: FloatArray) -> IntArray:
        return metrics.cluster_kmeans(rows, k=2, seed=self.seed)

    def sorted(self, similarity: FloatArray, digits: tuple[int, int]) -> dict[str, NDArray[Any]]:
        """Return the arrays of a picture: similarities sorted by the hidden digit, and the digits."""
        order = np.argsort(self.hidden, kind="stable")
        return {"similarity": similarity[np.ix_(order, order)], "labels": np.asarray(digits)[self.hidden[order]]}


def _primary(split: Split, seed: int, per_digit: int) -> _Primary:
    assert split.fine_train is not None, "the variants of these tasks merge digits"
    primary = np.flatnonzero(split.y_train == 1)
    _, hidden = np.unique(split.fine_train[primary], return_inverse=True)
    chosen = balanced_subset(hidden.astype(np.int64), 2 * per_digit, 2, generator(seed, "probe"))
    points = primary[chosen]
    return _Primary(split.x_train[points], split.y_train[points], hidden[chosen].astype(np.int64), seed)


def _digits(name: str) -> tuple[int, int]:
    """Return the two classes of a variant such as ``"5v8"``."""
    first, second = map(int, name.split("v"))
    return first, second


def _no_clusters(value: str) -> tuple[KnownAnswer, ...]:
    why = "of labels and clusters that are independent the adjusted Rand index is 0 in the mean (Hubert & Arabie 1985)"
    of = "features that are independent of the input"
    return (KnownAnswer(value, 0.0, of, why, ("random-features",), "is about", 0.03),)


def score_clustering(fits: Mapping[str, Fit]) -> Scored:
    """Cluster points of two digits that share a label by their similarities, and compare with the digits."""
    found: dict[str, list[float]] = {"adjusted_rand_index": [], "clustering_accuracy_corrected": [], "pixels": []}
    values: Values = {}
    artifacts: dict[str, NDArray[Any]] = {}
    for name, fit in fits.items():
        primary = _primary(fit.split, fit.seed, _CLUSTER_POINTS)
        similarity = _relative(fit.fitted, primary)
        assignment = primary.kmeans(similarity)
        found["adjusted_rand_index"].append(primary.score(assignment))
        found["clustering_accuracy_corrected"].append(metrics.clustering_accuracy_corrected(primary.hidden, assignment))
        found["pixels"].append(primary.score(primary.kmeans(_flat(primary.x))))
        values[f"adjusted_rand_index@{name}"] = found["adjusted_rand_index"][-1]
        if not artifacts:
            artifacts = primary.sorted(similarity, _digits(name))
    values |= {
        "adjusted_rand_index@mean": float(np.mean(found["adjusted_rand_index"])),
        "clustering_accuracy_corrected@mean": float(np.mean(found["clustering_accuracy_corrected"])),
        "adjusted_rand_index@pixels": float(np.mean(found["pixels"])),
    }
    return Scored(values, artifacts)


def _pairs(data: Data) -> dict[str, tuple[tuple[int, ...], tuple[int, int]]]:
    """Return the pairs of He & Su where there are ten classes, and of others two that follow each other."""
    if data.classes == DIGITS.classes:
        return _PAIRS
    return {"2v3": ((0, 1), (2, 3))}


def _groups(data: Data) -> tuple[tuple[tuple[int, ...], tuple[int, int]], ...]:
    return tuple(_pairs(data).values())


@question("clustering", baselines=LADDER, classes=4, per_class=_CLUSTER_POINTS)
def _ask_clustering(data: Data) -> Task:
    pairs = _pairs(data)
    return declared(
        track="elasticity",
        summary="Do similarities reveal two classes that were trained as one?",
        reference="He & Su 2020, section 3: k-means on the symmetrized relative similarity",
        needs=("similarity",),
        primary="adjusted_rand_index@mean",
        metrics=(
            "adjusted_rand_index@mean",
            "clustering_accuracy_corrected@mean",
            *(f"adjusted_rand_index@{name}" for name in pairs),
            "adjusted_rand_index@pixels",
        ),
        score=score_clustering,
        facts=(mean_of("adjusted_rand_index@mean", tuple(f"adjusted_rand_index@{name}" for name in pairs), "pairs"),),
        known=_no_clusters("adjusted_rand_index@mean"),
        variants=tuple(Variant(name, groups=groups) for name, groups in pairs.items()),
    )


def _flat(x: FloatArray) -> FloatArray:
    return x.reshape(len(x), -1)


def _relative(fitted: Any, primary: _Primary) -> FloatArray:
    return metrics.symmetrize(fitted.similarity(primary.x, primary.y, primary.x, kind="relative"))


def _by_similarity(fitted: Any, primary: _Primary, name: str) -> Values:
    """Cluster by both similarities; what cannot be clustered is missing with the reason.

    A step moves nothing if the units of a network are dead, as they may be after training at a large learning rate.
    """
    values: Values = {}
    try:
        assignment = primary.kmeans(_relative(fitted, primary))
        values[f"adjusted_rand_index@{name}"] = primary.score(assignment)
        values[f"clustering_accuracy_corrected@{name}"] = metrics.clustering_accuracy_corrected(
            primary.hidden, assignment
        )
    except DataError as error:
        values |= dict.fromkeys(_relative_values(name), Missing(str(error)))
    try:
        kernel = metrics.symmetrize(fitted.similarity(primary.x, primary.y, primary.x, kind="kernel"))
        found = metrics.cluster_kernel_kmeans(kernel, k=2, seed=primary.seed)
        values[f"adjusted_rand_index@kernel-{name}"] = primary.score(found.assignment)
    except DataError as error:
        values[f"adjusted_rand_index@kernel-{name}"] = Missing(str(error))
    return values


def _relative_values(name: str) -> tuple[str, str]:
    return f"adjusted_rand_index@{name}", f"clustering_accuracy_corrected@{name}"


#: Hidden units of the autoencoder; the middle layer is the code.
_AUTOENCODER = (64, 10, 64)
_AUTOENCODER_EPOCHS = 100
#: Of the published PCA, or a quarter of the pixels where that is fewer.
_COMPONENTS = 100

_BASELINES = tuple(f"adjusted_rand_index@{name}" for name in ("pixels", "pca", "autoencoder", "features"))


def _baselines(split: Split, fitted: Any, primary: _Primary) -> Values:
    """Cluster by what needs no similarity: pixels, principal components, codes of an autoencoder, features."""
    values: Values = {
        "adjusted_rand_index@pixels": primary.score(primary.kmeans(_flat(primary.x))),
        "adjusted_rand_index@pca": primary.score(primary.kmeans(_components(_flat(split.x_train), _flat(primary.x)))),
        "adjusted_rand_index@autoencoder": primary.score(primary.kmeans(_codes(split, primary))),
    }
    if isinstance(fitted, NotFitted):
        values["adjusted_rand_index@features"] = Missing(fitted.reason)
    elif offers(fitted, "features"):
        values["adjusted_rand_index@features"] = or_missing(
            lambda: primary.score(primary.kmeans(fitted.features(primary.x)))
        )
    else:
        values["adjusted_rand_index@features"] = Missing("the model has no features")
    return values


def _components(rows: FloatArray, points: FloatArray) -> FloatArray:
    from sklearn.decomposition import PCA

    n, d = rows.shape
    projected: FloatArray = PCA(min(_COMPONENTS, n, max(1, d // 4)), svd_solver="full").fit(rows).transform(points)
    return projected


def _codes(split: Split, primary: _Primary) -> FloatArray:
    """Return the codes of the points under an autoencoder that was trained on all training inputs, without labels."""
    from sklearn.neural_network import MLPRegressor

    rows = _flat(split.x_train)
    # Its own generator, which goes on from epoch to epoch: a seed would shuffle every epoch in the same way.
    random = np.random.RandomState(stream(primary.seed, "init").generate_state(1))
    autoencoder = MLPRegressor(hidden_layer_sizes=_AUTOENCODER, activation="tanh", batch_size=32, random_state=random)
    for _ in range(_AUTOENCODER_EPOCHS):
        autoencoder.partial_fit(rows, rows)
    codes = _flat(primary.x)
    middle = _AUTOENCODER.index(min(_AUTOENCODER)) + 1
    for weights, bias in zip(autoencoder.coefs_[:middle], autoencoder.intercepts_[:middle], strict=True):
        codes = np.tanh(codes @ weights + bias)
    return codes


#: Factors of the recipe's learning rate, which is meant for cross-entropy with momentum.
_RATES = ("x0.03", "x0.1", "x0.2", "x0.5", "x1", "x3")
#: The rate that ranks: the largest of the grid at which every registered network trains.
_RANKING_RATE = "x0.1"
#: He & Su train by plain SGD at a constant rate; the number of epochs is ours.
_PLAIN_SGD: tuple[tuple[str, str | int | float], ...] = (
    ("loss", "mse"),
    ("momentum", 0.0),
    ("weight_decay", 0.0),
    ("schedule", "constant"),
    ("batch_size", 50),
    ("epochs", 50),
    ("min_steps", 0),
)


def score_learning_rates(fits: Mapping[str, Fit]) -> Scores:
    """Cluster at every learning rate by both similarities, summarize over rates, and compare with the baselines."""
    ranking = fits[_RANKING_RATE]
    primary = _primary(ranking.split, ranking.seed, _CLUSTER_POINTS)
    values: Values = {}
    for rate, fit in fits.items():
        if isinstance(fit.fitted, NotFitted):
            values |= dict.fromkeys(_values_at(rate), Missing(fit.fitted.reason))
        else:
            values |= _by_similarity(fit.fitted, primary, rate)
            values[f"accuracy@{rate}"] = metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
    for kind in ("", "kernel-"):
        found = [values[f"adjusted_rand_index@{kind}{rate}"] for rate in fits]
        values |= _over_rates([value for value in found if not isinstance(value, Missing)], kind)
    return values | _baselines(ranking.split, ranking.fitted, primary)


def _over_rates(found: list[float], kind: str) -> Values:
    names = (f"adjusted_rand_index@{kind}best", f"adjusted_rand_index@{kind}worst", f"spread@{kind}rates")
    if len(found) < 2:
        return dict.fromkeys(names, Missing("fewer than two learning rates have a value"))
    return dict(zip(names, (max(found), min(found), metrics.spread(np.array(found))), strict=True))


def _values_at(rate: str) -> tuple[str, ...]:
    return (*_relative_values(rate), f"adjusted_rand_index@kernel-{rate}", f"accuracy@{rate}")


@question("learning-rate", classes=4, per_class=_CLUSTER_POINTS, formerly={"digits": "clustering/learning-rate"})
def _ask_learning_rate(data: Data) -> Task:
    return declared(
        track="elasticity",
        summary="Two classes trained as one: how much does what similarities reveal depend on the learning rate?",
        reference="He & Su 2020, section 3: 5 and 8 against 9 and 3, mse, plain SGD, batches of 50. Ours: digits of "
        "scikit-learn, 60 + 60 points clustered, 50 epochs, all networks, and rates relative to their recipes. "
        f"{_RANKING_RATE} ranks, fixed beforehand; the best rate would be chosen by the hidden digits",
        needs=("similarity", "predict"),
        primary=f"adjusted_rand_index@{_RANKING_RATE}",
        metrics=(
            *(f"adjusted_rand_index@{rate}" for rate in _RATES),
            "adjusted_rand_index@best",
            "adjusted_rand_index@worst",
            "spread@rates",
            *(f"adjusted_rand_index@kernel-{rate}" for rate in _RATES),
            "adjusted_rand_index@kernel-best",
            "adjusted_rand_index@kernel-worst",
            "spread@kernel-rates",
            *(f"clustering_accuracy_corrected@{rate}" for rate in _RATES),
            *(f"accuracy@{rate}" for rate in _RATES),
            *_BASELINES,
        ),
        score=score_learning_rates,
        facts=(
            Share(test, ("accuracy@{variant}",)),
            *(
                Derived(
                    name.format(kind),
                    how,
                    tuple(f"adjusted_rand_index@{kind}{rate}" for rate in _RATES),
                    what,
                    partial=True,
                )
                for kind in ("", "kernel-")
                for name, how, what in (
                    ("adjusted_rand_index@{}best", lambda *found: max(found), "the largest over learning rates"),
                    ("adjusted_rand_index@{}worst", lambda *found: min(found), "the smallest over learning rates"),
                    (
                        "spread@{}rates",
                        lambda *found: max(found) - min(found),
                        "the difference of the best and the worst",
                    ),
                )
            ),
        ),
        variants=tuple(
            Variant(rate, groups=_groups(data)[0], recipe=(*_PLAIN_SGD, ("lr", rate)), may_fail=True) for rate in _RATES
        ),
    )


#: Training images of four digits: five batches, so that no network needs more than its 500 updates.
_MNIST_IMAGES = 320
_MNIST_POINTS = 50


def score_mnist(fits: Mapping[str, Fit]) -> Scored:
    """Cluster images of two digits that share a label by both similarities, and compare with the baselines."""
    ((name, fit),) = fits.items()
    primary = _primary(fit.split, fit.seed, _MNIST_POINTS)
    if isinstance(fit.fitted, NotFitted):
        missing = dict.fromkeys((*_mnist_values(name), "accuracy"), Missing(fit.fitted.reason))
        return Scored(missing | _baselines(fit.split, fit.fitted, primary), {})
    values = _by_similarity(fit.fitted, primary, name) | _baselines(fit.split, fit.fitted, primary)
    values["accuracy"] = metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
    if isinstance(values[f"adjusted_rand_index@{name}"], Missing):
        return Scored(values, {})
    return Scored(values, primary.sorted(_relative(fit.fitted, primary), _PAIRS[name][1]))


def _mnist_values(name: str) -> tuple[str, ...]:
    return (*_relative_values(name), f"adjusted_rand_index@kernel-{name}")


declare(
    declared(
        name="mnist/clustering-5v8",
        track="elasticity",
        summary="Do similarities reveal the 5 and the 8 of MNIST that were trained as one class against 9 and 3?",
        reference="He & Su 2020, section 3. Ours, for a laptop: 320 training images instead of 2,000, 50 + 50 points "
        "clustered instead of 500 + 500, and each model's own recipe (cross-entropy) instead of theirs",
        dataset="mnist",
        needs=("similarity", "predict"),
        primary="adjusted_rand_index@5v8",
        metrics=(*_mnist_values("5v8"), "accuracy", *_BASELINES),
        score=score_mnist,
        facts=(Share(test, ("accuracy",)),),
        known=_no_clusters("adjusted_rand_index@5v8"),
        baselines=STANDARD,
        variants=(Variant("5v8", n_train=_MNIST_IMAGES, groups=_PAIRS["5v8"], may_fail=True),),
    ),
    "elasticity",
)
