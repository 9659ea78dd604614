"""Tasks on label-aware kernels: planted kernels whose answer is known, the controls, and what cannot be measured."""

import numpy as np
import pytest

from lebench import registry
from lebench.board import mean_interval
from lebench.data.base import Split
from lebench.metrics.base import Missing
from lebench.models.spec import build_model
from lebench.tasks.base import Fit, NotFitted
from lebench.tasks.label_aware import PAPER_PAIRS, label_aware_task, pairs, score, sizes
from lebench.testing import check_task

NAMES = [item.name for item in registry.tasks.items() if "lantk" in item.tags]


def split_of(n_test=60, n_train=40):
    """Return points that show their number; the classes of the test points alternate, those of training come in two."""
    y_train, y_test = np.arange(n_train) // 2 % 2, np.arange(n_test) % 2
    x = np.arange(n_train + n_test, dtype=float)[:, None]
    return Split(x[:n_train], y_train, x[n_train:], y_test, ("a", "b"))


class Planted:
    """A kernel with one value within classes and another between them, each point scaled by its own factor."""

    def __init__(self, split, within=0.3, between=0.2):
        self.labels = np.concatenate([split.y_train, split.y_test])
        self.within, self.between = within, between
        self.asked = []

    def predict(self, x):
        self.asked = x[:, 0].astype(int)
        scores = np.eye(2)[self.labels[self.asked]]
        return scores[:, ::-1] if len(x) == 1 else scores

    def gram(self, x1, x2):
        i, j = x1[:, 0].astype(int), x2[:, 0].astype(int)
        same = np.equal.outer(self.labels[i], self.labels[j])
        block = np.where(np.equal.outer(i, j), 1.0, np.where(same, self.within, self.between))
        return block * np.outer(1 + i, 1 + j)


def test_the_ratio_is_that_of_the_blocks_whatever_the_scale_of_a_point():
    split = split_of()
    values = score({"one": Fit(split, Planted(split), 0), "two": Fit(split, Planted(split, 0.6, 0.2), 0)})
    # p / (p + q): normalized by the kernel's own diagonal on both sides, the diagonal left out.
    assert values["elasticity_ratio@one"] == pytest.approx(0.6, rel=1e-12)
    assert values["elasticity_ratio@one-train"] == pytest.approx(0.6, rel=1e-12)
    assert values["elasticity_ratio@two"] == pytest.approx(0.75, rel=1e-12)
    assert values["elasticity_ratio@mean"] == pytest.approx(0.675, rel=1e-12)
    assert values["elasticity_ratio@mean-train"] == pytest.approx(0.675, rel=1e-12)
    assert values["elasticity_difference@mean"] == pytest.approx((0.1 + 0.4) / 2, rel=1e-12)
    assert values["accuracy@mean"] == 1
    assert isinstance(values["label_ratio@one"], Missing)


def test_the_test_points_are_the_first_of_each_class():
    split = split_of(n_test=1500)
    planted = Planted(split)
    score({"pair": Fit(split, planted, 0)})
    np.testing.assert_array_equal(planted.asked, 40 + np.arange(1000))


def test_what_has_no_kernel_or_no_ratio_or_no_training_is_missing_with_the_reason():
    split = split_of()

    class Predictor:
        predict = Planted(split).predict

    values = score({"bare": Fit(split, Predictor(), 0)})
    assert values["accuracy@mean"] == 1
    assert "no kernel" in values["elasticity_ratio@mean"].reason
    cancelling = score({"opposite": Fit(split, Planted(split, 0.2, -0.2), 0)})
    assert "sum to zero" in cancelling["elasticity_ratio@mean"].reason
    assert cancelling["elasticity_difference@mean"] == pytest.approx(0.4)
    diverged = score({"one": Fit(split, Planted(split), 0), "two": Fit(split, NotFitted("it diverged"), 0)})
    assert diverged["accuracy@two"] == diverged["accuracy@mean"] == Missing("it diverged")
    assert diverged["accuracy@one"] == 1


def fits(task, spec, seed):
    split, model = registry.datasets.get(task.dataset).split(seed), build_model(spec).model
    parts = {variant.name: variant.apply(split, seed) for variant in task.variants}
    return {name: Fit(part, model.fit(part, seed), seed) for name, part in parts.items()}


def test_permuted_labels_inside_the_label_kernel_gain_nothing():
    """The control: against the kernel without labels, paired over seeds, the interval contains 0."""
    task = registry.tasks.get("lantk/digits-pairs")
    gains = {"accuracy@mean": [], "elasticity_difference@mean": []}
    for seed in range(5):
        base, permuted = (task.score(fits(task, m, seed)) for m in ("ntk-mlp", "lantk-hr-mlp[permuted=true]"))
        for value, gained in gains.items():
            gained.append(permuted[value] - base[value])
        assert permuted["label_ratio@3-8"] >= 0
        assert permuted["smallest_eigenvalue@3-8"] > 0
    for gained in gains.values():
        assert not mean_interval(gained).excludes_zero


def test_a_kernel_with_the_test_labels_has_accuracy_one():
    task = registry.tasks.get("lantk/digits-pairs")
    values = task.score(fits(task, "leak-kernel", 0))
    assert {values[f"accuracy@{variant.name}"] for variant in task.variants} == {1.0}


def test_a_kernel_without_labels_is_bitwise_the_same_under_two_labellings_and_a_label_aware_one_is_not():
    task = registry.tasks.get("kernel/label-systems")
    plain, aware = (task.score(fits(task, model, 0)) for model in ("ntk-mlp", "lantk-hr-mlp"))
    # Both exactly: the change is a difference of equal numbers, and the two labellings exchange own and other.
    assert plain["kernel_change@systems"] == 0
    assert plain["label_following@mean"] == 0
    assert aware["kernel_change@systems"] > 0.01
    assert min(aware["label_following@first"], aware["label_following@second"]) > 0.01
    assert isinstance(plain["label_ratio@first"], Missing)
    assert aware["label_ratio@first"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_declarations_hold_and_the_splits_have_the_points(name):
    assert check_task(name) == []
    task = registry.tasks.get(name)
    if task.dataset in ("cifar-10", "mnist"):
        of_a_class = 1900 if task.dataset == "cifar-10" else 1000
        for variant in task.variants:
            classes = 10 if variant.groups is None else 2
            assert classes * of_a_class >= variant.n_train


def test_the_pairs_are_those_of_the_paper():
    names = registry.datasets.get("cifar-10").class_names
    for pair, (negative, positive) in PAPER_PAIRS.items():
        assert pair == f"{names[negative]}-{names[positive]}"


def test_another_size_is_one_call(own_registries):
    made = label_aware_task("mine/pairs", "Ours", "digits", pairs({"3-8": (3, 8)}, 50))
    assert registry.tasks.get("mine/pairs") is made
    assert check_task(made) == []
    assert made.variants[0].groups == ((3,), (8,))
    assert sizes([10, 20], (3, 8))[1].groups == ((3,), (8,))
