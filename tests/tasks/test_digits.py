"""The default tasks on planted fits, whose scores are known."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Split
from lebench.metrics.base import Missing
from lebench.tasks.base import TRACKS, Fit, Scored, metric_of

CLASSES = 10
NAMES = tuple(str(c) for c in range(CLASSES))


def planted_split(per_class=70, classes=CLASSES):
    """Inputs whose first coordinate is the label: a planted model can read it."""
    y = np.tile(np.arange(classes), per_class)
    x = np.column_stack([y, np.arange(len(y))]).astype(float)
    return Split(x, y, x, y, NAMES[:classes])


class Oracle:
    """Knows the label, with similarities 0.9 within and 0.1 between the values of the first coordinate."""

    def __init__(self, wrong_from=CLASSES):
        self.wrong_from = wrong_from

    def predict(self, x):
        label = x[:, 0].astype(int)
        return np.eye(CLASSES)[np.where(label >= self.wrong_from, (label + 1) % CLASSES, label)]

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        same = sources[:, :1] == targets[None, :, 0]
        return np.where(same, 0.9, 0.1)


def score(name, fits):
    task = registry.tasks.get(name)
    scored = task.score(fits)
    values = scored.values if isinstance(scored, Scored) else scored
    assert set(values) == set(task.metrics)
    assert task.primary in task.metrics
    return values


def artifacts(name, fits):
    return registry.tasks.get(name).score(fits).artifacts


@pytest.mark.parametrize("name", registry.tasks.select(["*"]))
def test_a_task_is_complete(name):
    task = registry.tasks.get(name)
    assert task.track in TRACKS
    assert task.dataset in registry.datasets
    assert task.reference
    for metric in task.metrics:
        assert metric_of(metric) in registry.metrics
    assert registry.metrics.get(metric_of(task.primary)).direction in ("higher", "lower")
    assert len({variant.name for variant in task.variants}) == len(task.variants)


def test_accuracy_of_a_model_that_misses_two_classes_of_ten():
    values = score("digits/accuracy", {"default": Fit(planted_split(), Oracle(wrong_from=8), 0)})
    assert values["accuracy"] == pytest.approx(0.8)
    assert values["error"] == pytest.approx(0.2)
    assert values["generalization_gap"] == 0
    assert isinstance(values["log_loss"], Missing)


def test_small_n_averages_over_the_sizes():
    fits = {
        f"n={n}": Fit(planted_split(), Oracle(wrong), 0)
        for n, wrong in zip((50, 100, 200, 500), (4, 6, 8, 10), strict=True)
    }
    values = score("digits/small-n", fits)
    assert values["accuracy@n=200"] == pytest.approx(0.8)
    assert values["accuracy@mean"] == pytest.approx(0.7)


def test_elasticity_of_a_block_similarity():
    values = score("digits/elasticity", {"default": Fit(planted_split(), Oracle(), 0)})
    assert values["elasticity_ratio"] == pytest.approx(0.9)
    assert values["within_class_similarity"] == pytest.approx(0.9)
    assert values["elasticity_difference"] == pytest.approx(0.8)


def test_the_similarity_behind_the_elasticity_is_kept_sorted_by_class():
    kept = artifacts("digits/elasticity", {"default": Fit(planted_split(), Oracle(), 0)})
    assert list(kept["labels"]) == [c for c in range(CLASSES) for _ in range(10)]
    assert np.array_equal(kept["similarity"], np.kron(np.where(np.eye(CLASSES), 0.9, 0.1), np.ones((10, 10))))


def test_clustering_finds_the_hidden_digits_of_a_block_similarity():
    fits = {}
    for name in ("5v8", "4v9", "3v5"):
        split = planted_split(classes=4)
        merged = Split(
            split.x_train,
            (split.y_train > 1).astype(np.int64),
            split.x_test,
            (split.y_test > 1).astype(np.int64),
            ("aux", "primary"),
            split.y_train,
            split.y_test,
        )
        fits[name] = Fit(merged, Oracle(), 0)
    values = score("digits/clustering", fits)
    assert values["adjusted_rand_index@mean"] == pytest.approx(1)
    assert values["clustering_accuracy_corrected@mean"] == pytest.approx(1)
    # The second coordinate of the inputs is far larger than the label and says nothing of it.
    assert abs(values["adjusted_rand_index@pixels"]) < 0.1
    kept = artifacts("digits/clustering", fits)
    assert list(kept["labels"]) == [5] * 60 + [8] * 60
    assert np.array_equal(kept["similarity"], np.kron([[0.9, 0.1], [0.1, 0.9]], np.ones((60, 60))))


class Simplex:
    """Features at a simplex frame with isotropic noise that averages to zero exactly: +s and -s on each axis."""

    s, rho = 0.3, 2.0

    def __init__(self):
        center = np.eye(CLASSES) - 1 / CLASSES
        self.means = self.rho * center / np.linalg.norm(center[0])

    def features(self, x):
        label, index = x[:, 0].astype(int), (x[:, 1] // CLASSES).astype(int)
        noise = np.zeros((len(x), CLASSES))
        # Over 2 C points of a class, each axis gets +a and -a once: variance a^2 / C on every axis.
        noise[np.arange(len(x)), (index // 2) % CLASSES] = self.s * np.sqrt(CLASSES) * np.where(index % 2, 1, -1)
        return self.means[label] + noise

    def head(self):
        return self.means, np.zeros(CLASSES)


class SimplexKernel:
    def gram(self, x1, x2):
        return Simplex().features(x1) @ Simplex().features(x2).T


def test_collapse_of_a_noisy_simplex_from_features_and_from_the_gram_matrix():
    """science: NC1 = s^2 (C - 1)^2 / (C rho^2), CDNV = p s^2 (C - 1) / (2 C rho^2), quotient = p s^2 / rho^2."""
    split = planted_split(per_class=2 * CLASSES)
    expected = {
        "nc1_pinv_over_C@train": 0.09 * 81 / (10 * 4),
        "cdnv@train": 10 * 0.09 * 9 / (20 * 4),
        "nc1_quotient@test": 10 * 0.09 / 4,
        "nc2_equinorm@train": 0.0,
        "nc2_equiangular@test": 0.0,
    }
    features = score("digits/collapse", {"default": Fit(split, Simplex(), 0)})
    gram = score("digits/collapse", {"default": Fit(split, SimplexKernel(), 0)})
    for name, value in expected.items():
        assert features[name] == pytest.approx(value, abs=1e-9)
        assert gram[name] == pytest.approx(value, abs=1e-7)
    assert features["nc3_selfduality@train"] == pytest.approx(0, abs=1e-12)
    assert isinstance(gram["nc4@train"], Missing)


def test_the_class_means_behind_collapse_are_kept():
    """The axes of a simplex of ten are degenerate, but each holds a ninth of the variance of the means."""
    split = planted_split(per_class=40)
    for model in (Simplex(), SimplexKernel()):
        kept = artifacts("digits/collapse", {"default": Fit(split, model, 0)})
        assert kept["means"].shape == (CLASSES, 3)
        assert kept["points"].shape == (300, 3)
        assert kept["shares"] == pytest.approx(np.full(3, 1 / 9))
        assert np.square(kept["means"]).sum() == pytest.approx(CLASSES * 2.0**2 / 3)
        assert kept["cosines"][0, 1] == pytest.approx(-1 / 9)
        assert len(set(kept["labels"])) == CLASSES
