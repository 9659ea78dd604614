"""The collapse tasks on planted features, whose collapse is known in closed form."""

import numpy as np
import pytest

from lebench import registry
from lebench.capabilities import Checkpoint
from lebench.data.base import Split
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored

CLASSES = 10
NAMES = tuple(str(c) for c in range(CLASSES))
RHO = 2.0
_CENTRE = np.eye(CLASSES) - 1 / CLASSES
MEANS = RHO * _CENTRE / np.linalg.norm(_CENTRE[0])


def planted_split(per_class=2 * CLASSES, moved=0):
    """Inputs are the label and the number of the point; the labels of the test points are moved by so many classes."""
    y = np.tile(np.arange(CLASSES), per_class)
    x = np.column_stack([y, np.arange(len(y))]).astype(float)
    return Split(x, y, x, (y + moved) % CLASSES, NAMES)


class Features:
    """Simplex of class means with noise of deviation s on every axis, exactly; a head that may confuse two classes."""

    def __init__(self, s=0.0, confused=False, weights=MEANS):
        self.s = s
        self.weights = weights[[1, 0, *range(2, CLASSES)]] if confused else weights

    def features(self, x):
        label, index = x[:, 0].astype(int), (x[:, 1] // CLASSES).astype(int)
        noise = np.zeros((len(x), CLASSES))
        noise[np.arange(len(x)), (index // 2) % CLASSES] = self.s * np.sqrt(CLASSES) * np.where(index % 2, 1, -1)
        return MEANS[label] + noise

    def head(self):
        return self.weights, np.zeros(CLASSES)

    def predict(self, x):
        return self.features(x) @ self.weights.T


class Kernel:
    """The same points, known by their inner products only."""

    def __init__(self, *arguments):
        self._hidden = Features(*arguments)

    def gram(self, x1, x2):
        return self._hidden.features(x1) @ self._hidden.features(x2).T

    def predict(self, x):
        return self._hidden.predict(x)


class Trained:
    def __init__(self, course):
        self.course = course

    def checkpoints(self):
        return tuple(Checkpoint(time, lambda planted=planted: Features(*planted)) for time, *planted in self.course)


def score(name, fits):
    task = registry.tasks.get(name)
    scored = task.score(fits)
    values, artifacts = (scored.values, scored.artifacts) if isinstance(scored, Scored) else (scored, {})
    assert set(values) == set(task.metrics)
    return values, artifacts


def trajectory(course, split=None):
    return score("digits/trajectory", {"default": Fit(split or planted_split(), Trained(course), 0)})


#: Epoch, noise, and whether the head confuses two classes.
COURSE = ((0.0, 0.3, True), (3.0, 0.2, False), (9.0, 0.15, False), (30.0, 0.1, False))


def nc1(s):
    """science: isotropic noise on a simplex frame."""
    return s**2 * (CLASSES - 1) ** 2 / (CLASSES * RHO**2)


def test_nc1_falls_with_the_noise_after_the_training_error_vanishes():
    values, artifacts = trajectory(COURSE)
    assert values["terminal_ratio@nc1-train"] == pytest.approx((0.1 / 0.2) ** 2)
    assert values["terminal_ratio@nc1-test"] == pytest.approx(0.25)
    assert values["nc1_pinv_over_C@interpolation-train"] == pytest.approx(nc1(0.2))
    assert values["nc1_pinv_over_C@end-test"] == pytest.approx(nc1(0.1))
    assert values["nc3_selfduality@end-train"] == pytest.approx(0, abs=1e-12)
    assert values["ncc_accuracy@end-train"] == 1
    assert values["nc2_equinorm_weights@end"] == pytest.approx(0, abs=1e-12)
    assert list(artifacts["epochs"]) == [0, 3, 9, 30]
    assert artifacts["nc1_train"] == pytest.approx([nc1(s) for _, s, _ in COURSE])
    assert artifacts["error_train"] == pytest.approx([0.2, 0, 0, 0])
    # The confused head disagrees with the nearest centre on two classes of ten.
    assert artifacts["nc4_test"] == pytest.approx([0.2, 0, 0, 0])


def test_a_model_that_keeps_making_errors_has_no_terminal_phase():
    values, artifacts = trajectory([(time, s, True) for time, s, _ in COURSE])
    for name in (
        "terminal_ratio@nc1-train",
        "nc1_pinv_over_C@interpolation-train",
        "nc2_equinorm_weights@interpolation",
    ):
        assert values[name] == Missing("the training error never vanishes, it is at least 0.2")
    assert values["nc1_pinv_over_C@end-train"] == pytest.approx(nc1(0.1))
    assert artifacts["nc1_train"].shape == (4,)


def test_test_points_are_compared_with_the_centres_of_the_training_points():
    values, _ = trajectory(COURSE, planted_split(moved=1))
    assert values["ncc_accuracy@end-train"] == 1
    assert values["ncc_accuracy@end-test"] == 0
    assert values["nc4@end-test"] == 0
    # Features of test points are as concentrated as before, only under other names.
    assert values["nc1_pinv_over_C@end-test"] == pytest.approx(nc1(0.1))


def imbalanced(models):
    """The variants of the task on planted points, whose test points are balanced."""
    task, whole = registry.tasks.get("digits/imbalance"), planted_split(per_class=70)
    return {
        variant.name: Fit(variant.apply(whole, 0), model, 0)
        for variant, model in zip(task.variants, models, strict=True)
    }


def test_minority_classifiers_fall_together_as_planted():
    together = MEANS.copy()
    together[5:] = MEANS[5:].mean(axis=0)
    between = (MEANS + together) / 2
    fits = imbalanced([Features(weights=w) for w in (MEANS, between, together)])
    assert list(np.bincount(fits["R=25"].split.y_train)) == [50] * 5 + [2] * 5
    values, _ = score("digits/imbalance", fits)
    assert values["minority_cosine@R=1"] == pytest.approx(-1 / 9)
    assert values["minority_cosine@R=25"] == pytest.approx(1)
    # Rows m + d_c: with m = (sum of the five)/5 and d_c the half of what is left, cosines from inner products.
    squares = RHO**2 * (1 / 9)
    inner, own = squares + RHO**2 / 4 * (-1 / 9 - 1 / 9), squares + RHO**2 / 4 * (1 - 1 / 9)
    assert values["minority_cosine@R=5"] == pytest.approx(inner / own)
    # The class means stay where they are, and what the classifiers do costs the minority alone.
    for ratio in (1, 5, 25):
        assert values[f"minority_cosine@R={ratio}-means"] == pytest.approx(-1 / 9)
        assert values[f"nc1_pinv_over_C@R={ratio}"] == pytest.approx(0, abs=1e-12)
        assert values[f"accuracy@R={ratio}-majority"] == 1
    assert values["accuracy@R=1-minority"] == 1
    assert values["accuracy@R=25-minority"] == 0


def test_imbalance_of_a_kernel_machine_is_that_of_its_class_means():
    values, _ = score("digits/imbalance", imbalanced([Kernel()] * 3))
    assert values["minority_cosine@R=25-means"] == pytest.approx(-1 / 9)
    assert values["minority_cosine@R=25"] == Missing("a kernel machine has no last layer")
    assert values["nc2_equinorm@R=5"] == pytest.approx(0, abs=1e-7)


def mislabelled(wrong):
    """Of 90 points per class, so many carry each of the nine other labels; the first input is the label they carry."""
    clean = np.repeat(np.arange(CLASSES), 90)
    shift = np.tile(np.concatenate([np.repeat(np.arange(1, CLASSES), wrong), np.zeros(90 - 9 * wrong, int)]), CLASSES)
    given = (clean + shift) % CLASSES
    x = np.column_stack([given, np.zeros(len(given))]).astype(float)
    test = np.column_stack([clean, np.zeros(len(clean))]).astype(float)
    return Split(x, given, test, clean, NAMES, clean_train=clean if wrong else None)


@pytest.mark.parametrize("kind", [Features, Kernel])
def test_features_that_collapse_to_wrong_labels(kind):
    """With uniform noise p the clean means shrink by a = 1 - pC/(C-1): NC1 = (C-1)/C (1 - a^2)/a^2."""
    fits = {f"p={p}": Fit(mislabelled(wrong), kind(), 0) for p, wrong in ((0, 0), (0.2, 2), (0.4, 4))}
    values, _ = score("digits/label-noise", fits)
    assert values["nc1_pinv_over_C@p=0.4-noisy"] == pytest.approx(0, abs=1e-9)
    assert values["ncc_accuracy@p=0.4-noisy"] == 1
    assert values["error@p=0.4-train"] == 0
    for share in (0.2, 0.4):
        a = 1 - share * CLASSES / (CLASSES - 1)
        assert values[f"nc1_pinv_over_C@p={share}-clean"] == pytest.approx(0.9 * (1 - a**2) / a**2)
        assert values[f"ncc_accuracy@p={share}-clean"] == pytest.approx(1 - share)
        assert values[f"accuracy@p={share}"] == 1


def test_fits_are_shared_where_the_training_problem_is_the_same():
    variants = {
        (name, variant.name): variant.key
        for name in ("digits/imbalance", "digits/label-noise", "digits/trajectory", "digits/accuracy")
        for variant in registry.tasks.get(name).variants
    }
    assert variants["digits/imbalance", "R=1"] == variants["digits/label-noise", "p=0"]
    assert variants["digits/trajectory", "default"] == variants["digits/accuracy", "default"]
    assert len(set(variants.values())) == 6
