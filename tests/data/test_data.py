"""Datasets, splits, variants and seeds."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Split, Variant, balanced_subset
from lebench.errors import DataError
from lebench.seeds import STREAMS, generator


@pytest.fixture(scope="module")
def digits():
    return registry.datasets.get("digits")


def test_digits_are_those_of_scikit_learn(digits):
    from sklearn.datasets import load_digits

    x, _ = digits.arrays
    assert x.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(x[..., 0] * 16, load_digits().images)
    # The checksum pins the arrays: who changes them has to raise the version.
    assert digits.sha256 == "476a02db0be7989d265048230e31fa81a8de9ba3177e80b0efe12de1777db89c"
    assert digits.version == 1


def test_the_split_is_stratified_and_keeps_every_image_once(digits):
    split = digits.split(0)
    assert (len(split.x_train), len(split.x_test)) == (1347, 450)
    share = 450 / 1797
    for label in range(10):
        total = (digits.arrays[1] == label).sum()
        assert abs((split.y_test == label).sum() - share * total) < 1
    # Standardization is one affine map for all pixels, so the images can be recovered up to scale.
    both = np.concatenate([split.x_train, split.x_test]).reshape(1797, -1)
    raw = digits.arrays[0].reshape(1797, -1)
    scale = np.ptp(raw) / np.ptp(both)
    found = np.rint((both - both.min()) * scale * 16).astype(int)
    assert sorted(map(tuple, found)) == sorted(map(tuple, np.rint(raw * 16).astype(int)))


def test_inputs_are_standardized_with_training_statistics_only(digits):
    split = digits.split(1)
    assert split.x_train.mean() == pytest.approx(0, abs=1e-12)
    assert split.x_train.std() == pytest.approx(1)
    assert abs(split.x_test.mean()) > 1e-6


def test_a_seed_fixes_the_split_and_another_changes_it(digits):
    np.testing.assert_array_equal(digits.split(3).x_test, digits.split(3).x_test)
    assert not np.array_equal(digits.split(3).y_test, digits.split(4).y_test)


def test_a_pair_of_digits_is_a_binary_dataset(digits):
    pair = registry.datasets.get("digits-3v8")
    x, y = pair.arrays
    np.testing.assert_array_equal(x[y == 1], digits.arrays[0][digits.arrays[1] == 8])
    assert pair.class_names == ("3", "8")
    assert pair.sha256 != digits.sha256
    assert len([n for n in registry.datasets.names() if n.startswith("digits-")]) == 45


def test_the_streams_of_a_seed_are_independent():
    draws = {axis: tuple(generator(0, axis).integers(2**32, size=4)) for axis in STREAMS}
    assert len(set(draws.values())) == len(STREAMS)
    assert tuple(generator(1, "data").integers(2**32, size=4)) not in draws.values()


def test_a_small_variant_is_balanced_and_keeps_the_test_points(digits):
    split = digits.split(0)
    small = Variant("n=55", n_train=55).apply(split, 0)
    counts = np.bincount(small.y_train)
    assert counts.sum() == 55
    assert set(counts) == {5, 6}
    np.testing.assert_array_equal(small.x_test, split.x_test)
    again = Variant("another name", n_train=55).apply(split, 0)
    np.testing.assert_array_equal(small.x_train, again.x_train)


def test_a_variant_merges_classes_and_remembers_the_fine_labels(digits):
    merged = Variant("pair", groups=((9, 3), (5, 8))).apply(digits.split(0), 0)
    assert merged.class_names == ("9+3", "5+8")
    assert set(merged.fine_train[merged.y_train == 1]) == {5, 8}
    assert set(merged.fine_test[merged.y_test == 0]) == {3, 9}
    assert len(merged.x_train) == len(merged.y_train) == len(merged.fine_train)


@pytest.mark.parametrize("groups", [((0, 1), (10,)), ((0,), (-1,)), ((0, 1), (1, 2))])
def test_groups_of_classes_that_do_not_exist_or_twice_are_refused(digits, groups):
    with pytest.raises(DataError, match="each class at most once, by a number from 0 to 9"):
        Variant("wrong", groups=groups).apply(digits.split(0), 0)


def test_permuted_labels_keep_their_counts(digits):
    split = digits.split(0)
    permuted = Variant("control", permute_labels=True).apply(split, 0)
    np.testing.assert_array_equal(np.bincount(permuted.y_train), np.bincount(split.y_train))
    # Each label keeps its place with probability about 1/10.
    assert (permuted.y_train == split.y_train).mean() == pytest.approx(0.1, abs=0.05)


def test_label_noise_replaces_an_exact_share_by_other_classes_and_is_nested(digits):
    split = digits.split(0)
    wrong = {}
    for share in (0.2, 0.5):
        noisy = Variant("noise", n_train=500, label_noise=share).apply(split, 0)
        clean = Variant("clean", n_train=500).apply(split, 0)
        np.testing.assert_array_equal(noisy.x_train, clean.x_train)
        np.testing.assert_array_equal(noisy.clean_train, clean.y_train)
        np.testing.assert_array_equal(noisy.y_test, split.y_test)
        wrong[share] = set(np.flatnonzero(noisy.y_train != clean.y_train))
        assert len(wrong[share]) == round(share * 500)
        assert set(noisy.y_train) == set(range(10))
    assert wrong[0.2] < wrong[0.5]


def test_imbalance_thins_the_second_half_of_the_classes(digits):
    split = Variant("r=10", n_train=500, imbalance=10).apply(digits.split(0), 0)
    assert np.bincount(split.y_train).tolist() == [50] * 5 + [5] * 5
    assert np.bincount(Variant("r=1e9", n_train=500, imbalance=1e9).apply(digits.split(0), 0).y_train)[9] == 1


def test_leaving_out_a_point_keeps_the_others_in_order(digits):
    whole = Variant("whole", n_train=30).apply(digits.split(0), 0)
    without = Variant("without", n_train=30, leave_out=7).apply(digits.split(0), 0)
    np.testing.assert_array_equal(without.x_train, np.delete(whole.x_train, 7, axis=0))
    np.testing.assert_array_equal(without.y_train, np.delete(whole.y_train, 7))
    assert (without.removed, whole.removed) == (7, None)


def test_a_repetition_has_the_same_points_and_another_seed_for_training(digits):
    split = digits.split(0)
    first, second = Variant("0", n_train=30), Variant("1", n_train=30, repetition=1)
    np.testing.assert_array_equal(first.apply(split, 0).x_train, second.apply(split, 0).x_train)
    assert first.key != second.key
    seeds = [Variant("v", repetition=r).fit_seed(seed) for seed in range(20) for r in range(20)]
    assert len(set(seeds)) == 400
    assert seeds[::20] == list(range(20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_noise": 1.5}, "between 0 and 1"),
        ({"imbalance": 0.5}, "at least 1"),
        ({"leave_out": 1347}, "no training"),
    ],
)
def test_variants_without_sense(digits, changes, message):
    with pytest.raises(DataError, match=message):
        Variant("v", **changes).apply(digits.split(0), 0)


def test_too_small_a_subset_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="at least one per class"):
        balanced_subset(np.arange(10), 5, 10, rng)
    with pytest.raises(DataError, match="class 0 has 1 points, 2 are needed"):
        balanced_subset(np.arange(10), 20, 10, rng)


def test_a_split_knows_its_shapes():
    split = Split(np.zeros((4, 8, 8, 1)), np.array([0, 1, 0, 1]), np.zeros((2, 8, 8, 1)), np.array([0, 1]), ("a", "b"))
    assert split.classes == 2
    assert split.input_shape == (8, 8, 1)
    assert split.fine_train is None
