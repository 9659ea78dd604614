"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: how they are declared and drawn; the official files where they are."""

import numpy as np
import pytest
import small_sets as small

from lebench import registry
from lebench.data.base import Variant
from lebench.data.files import VARIABLE, DataFile, Source
from lebench.data.images import SOURCES, draw, load_cifar, load_idx, whole
from lebench.errors import DataError, UnavailableDataError
from lebench.seeds import generator


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Images and labels of a small source in the format of MNIST."""
    small.write_digits(tmp_path)
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path))
    return load_idx(small.digit_source())


def drawn(digits, seed, train=3, test=2):
    return draw(*digits, generator(seed, "data"), official=small.TRAIN, train=train, test=test)


def test_images_in_idx_format_are_training_part_then_test_part(digits):
    x, y = digits
    assert x.shape == (100, 4, 3, 1)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    # Image i of a part shows 10 times its label plus i // 10.
    number = np.concatenate([np.arange(60) // 10, np.arange(40) // 10])
    np.testing.assert_array_equal(x[:, 2, 1, 0], 10 * y + number)


def test_batches_of_cifar_are_images_in_the_order_of_their_files(tmp_path, monkeypatch):
    for name, contents in small.photo_files().items():
        (tmp_path / name).write_bytes(contents)
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path))
    x, y = load_cifar(small.photo_source())
    assert (x.shape, x.flags.c_contiguous) == ((30, 32, 32, 3), True)
    np.testing.assert_array_equal(y, [*range(10), *range(10), *range(10)])
    record = np.frombuffer(small.photo_files()["test_batch.bin"], np.uint8)[3073 * 4 + 1 : 3073 * 5]
    # The second plane is green, row by row.
    np.testing.assert_array_equal(x[24, 5, :, 1], record[1024 + 5 * 32 : 1024 + 6 * 32])


def test_labels_of_cifar_100_are_the_fine_ones(tmp_path, monkeypatch):
    records = np.random.default_rng(0).integers(0, 256, (200, 3074), dtype=np.uint8)
    records[:, 0], records[:, 1] = np.arange(200) % 20, np.arange(200) % 100
    (tmp_path / "train.bin").write_bytes(records.tobytes())
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path))
    source = Source("small-100", "cifar", ("",), (DataFile("train.bin", records.shape, ""),), ())
    x, y = load_cifar(source)
    np.testing.assert_array_equal(y, np.arange(200) % 100)
    np.testing.assert_array_equal(x[7, 5, :, 2], records[7, 2 + 2048 + 5 * 32 : 2 + 2048 + 6 * 32])
    records[3, 1] = 100
    (tmp_path / "train.bin").write_bytes(records.tobytes())
    with pytest.raises(UnavailableDataError, match="it is no batch of CIFAR-100: it has a label 100"):
        load_cifar(source)


def test_a_part_may_have_all_test_images_and_the_whole_is_as_it_comes(digits):
    x, y = digits
    part = drawn(digits, 0, test=None)
    np.testing.assert_array_equal(part[2], x[small.TRAIN :] / 255)
    np.testing.assert_array_equal(part[3], y[small.TRAIN :])
    for found, expected in zip(
        whole(x, y, generator(5, "data"), official=small.TRAIN),
        (x[: small.TRAIN] / 255, y[: small.TRAIN], x[small.TRAIN :] / 255, y[small.TRAIN :]),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_split_is_balanced_and_its_training_images_are_of_the_training_part(digits):
    x_train, y_train, x_test, y_test = drawn(digits, 0)
    assert (x_train.shape, x_test.shape) == ((30, 4, 3, 1), (20, 4, 3, 1))
    assert x_train.dtype == np.float64
    assert set(np.bincount(y_train)) == {3}
    assert set(np.bincount(y_test)) == {2}
    # The test images are the first two of each class, numbers 0 and 1; every training image appears once.
    np.testing.assert_allclose(np.sort(x_test[:, 0, 0, 0] * 255 - 10 * y_test), np.repeat([0, 1], 10), atol=1e-12)
    assert len({tuple(image) for image in np.column_stack([x_train[:, 0, 0, 0], y_train])}) == 30
    np.testing.assert_allclose(x_train[:, 0, 0, 0] * 255 // 10, y_train)


def test_a_seed_draws_the_training_images_and_leaves_the_test_images(digits):
    first, again, other = drawn(digits, 0), drawn(digits, 0), drawn(digits, 1)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(np.sort(first[0], axis=0), np.sort(other[0], axis=0))
    np.testing.assert_array_equal(first[2], other[2])


def test_more_images_of_a_class_than_there_are_is_refused(digits):
    with pytest.raises(DataError, match="has 6 points, 7 are needed"):
        drawn(digits, 0, train=7)


@pytest.mark.parametrize("name", SOURCES)
def test_sources_name_each_file_once_with_a_checksum(name):
    source = SOURCES[name]
    assert registry.datasets.get(name).load.args == (source,)
    assert len({file.name for file in source.files}) == len(source.files)
    for file in source.files:
        assert len(file.sha256 or file.archive_sha256) == 64 or len(source.archive_md5) == 32
    assert all(url.startswith("http") for url in source.urls)


@pytest.mark.parametrize("name", SOURCES)
def test_listing_and_asking_for_a_dataset_need_no_files(name, monkeypatch, tmp_path):
    monkeypatch.setenv("LEBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("lebench.data.files.cache_folder", lambda: tmp_path)
    dataset = registry.datasets.get(name)
    assert len(set(dataset.class_names)) == (100 if name == "cifar-100" else 10)
    with pytest.raises(UnavailableDataError, match=f"'lebench data fetch {name}'"):
        _ = dataset.sha256


def official(name):
    dataset = registry.datasets.get(name)
    # A copy that has not loaded anything yet.
    dataset = type(dataset)(**{field: getattr(dataset, field) for field in dataset.__dataclass_fields__})
    try:
        _ = dataset.arrays
    except UnavailableDataError as error:
        pytest.skip(f"{error} ({VARIABLE})")
    return dataset


@pytest.mark.slow
def test_official_mnist():
    mnist = official("mnist")
    # Known of the set: class counts of the training part, and the first label, a five.
    assert np.bincount(mnist.arrays[1][:60000]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.arrays[1][:5].tolist() == [5, 0, 4, 1, 9]
    split = mnist.split(0)
    assert (split.x_train.shape, split.x_test.shape) == ((10000, 28, 28, 1), (5000, 28, 28, 1))
    # Before standardization the mean of MNIST is 0.1307 and its standard deviation 0.3081.
    raw = mnist.arrays[0][:60000] / 255.0
    assert (raw.mean(), raw.std()) == (pytest.approx(0.1307, abs=5e-5), pytest.approx(0.3081, abs=5e-5))
    # The protocol of He & Su needs 500 of each primary digit and 1,000 of an auxiliary one.
    merged = Variant(groups=((5,), (3, 8))).apply(split, 0)
    assert np.bincount(merged.y_train).tolist() == [1000, 2000]


@pytest.mark.slow
def test_official_cifar_10():
    cifar = official("cifar-10")
    assert np.bincount(cifar.arrays[1][20000:]).tolist() == [1000] * 10
    # The first image of the first batch is a frog, the first test image a cat.
    assert (cifar.arrays[1][0], cifar.arrays[1][20000]) == (6, 3)
    split = cifar.split(0)
    assert set(np.bincount(split.y_train)) == {1900}
    pair = Variant(groups=((4,), (5,)), n_train=2000).apply(split, 0)
    assert (pair.class_names, len(pair.x_train), len(pair.x_test)) == (("deer", "dog"), 2000, 1000)


@pytest.mark.slow
def test_official_images_in_full_and_five_thousand_of_them():
    for name, official_part in (("mnist", 60000), ("cifar-10", 50000)):
        full, part = official(f"{name}-full").split(3), official(f"{name}-5k").split(3)
        assert (len(full.x_train), len(full.x_test)) == (official_part, 10000)
        assert np.bincount(part.y_train).tolist() == [500] * 10
        np.testing.assert_array_equal(part.y_test, full.y_test)


@pytest.mark.slow
def test_official_fashion_mnist():
    fashion = official("fashion-mnist")
    assert np.bincount(fashion.arrays[1][:60000]).tolist() == [6000] * 10
