"""MNIST, Fashion-MNIST and CIFAR-10, from files in their original formats.

A split draws the same number of training images of each class from the official training part, by the seed; the test
images are the first ones of each class in the official test part, the same for every seed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset, balanced_subset
from lebench.data.files import DataFile, Source
from lebench.data.formats import CIFAR_RECORD, cifar_images

_CLASSES = 10

_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

MNIST = Source(
    name="mnist",
    format="idx",
    folders=("mnist", ""),
    files=(
        DataFile(_TRAIN_IMAGES, (60000, 28, 28), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        DataFile(_TRAIN_LABELS, (60000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        DataFile(_TEST_IMAGES, (10000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        DataFile(_TEST_LABELS, (10000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    # The copies that PyTorch and TensorFlow keep; the original server often refuses to answer.
    urls=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
)

#: Its authors publish checksums of the archives only. In the folder itself the names would be those of MNIST.
FASHION_MNIST = Source(
    name="fashion-mnist",
    format="idx",
    folders=("fashion-mnist",),
    files=tuple(
        DataFile(name, shape, "", archive_sha256)
        for name, shape, archive_sha256 in (
            (_TRAIN_IMAGES, (60000, 28, 28), "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (_TRAIN_LABELS, (60000,), "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (_TEST_IMAGES, (10000, 28, 28), "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (_TEST_LABELS, (10000,), "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        )
    ),
    urls=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)

CIFAR_10 = Source(
    name="cifar-10",
    format="cifar",
    folders=("cifar-10-batches-bin", ""),
    files=tuple(
        DataFile(name, (10000, CIFAR_RECORD), sha256)
        for name, sha256 in (
            ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        )
    ),
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
)

#: The datasets that need files, by name.
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST, CIFAR_10)}


def load_idx(source: Source) -> tuple[NDArray[np.uint8], IntArray]:
    """Return all images (n, height, width, 1) and labels (n,) of a source in IDX format, training part first."""
    train_x, train_y, test_x, test_y = source.arrays()
    return np.concatenate([train_x, test_x])[..., np.newaxis], np.concatenate([train_y, test_y]).astype(np.int64)


def load_cifar(source: Source) -> tuple[NDArray[np.uint8], IntArray]:
    """Return all images (n, 32, 32, 3) and labels (n,) of batches of CIFAR-10, in the order of the source's files."""
    records = np.concatenate(source.arrays())
    return np.ascontiguousarray(cifar_images(records)), records[:, 0].astype(np.int64)


def draw(
    x: NDArray[np.uint8], y: IntArray, rng: np.random.Generator, *, official: int, train: int, test: int
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw training images of the official training part; the test images are the first of the official test part.

    Parameters
    ----------
    x : ndarray of shape (n, height, width, channels), uint8
        The official training part, then the official test part.
    y : ndarray of shape (n,), int64
        Labels 0 to 9.
    rng : numpy.random.Generator
        Draws the training images.
    official : int
        Size of the official training part.
    train, test : int
        Images of each class.

    Returns
    -------
    tuple
        Training images in [0, 1], their labels, test images and their labels, each class equally often.
    """
    chosen = balanced_subset(y[:official], _CLASSES * train, _CLASSES, rng)
    held = y[official:]
    first = np.sort(np.concatenate([np.flatnonzero(held == label)[:test] for label in range(_CLASSES)])) + official
    return x[chosen] / 255.0, y[chosen], x[first] / 255.0, y[first]


registry.datasets.register(
    "mnist",
    Dataset(
        name="mnist",
        summary="Handwritten digits, 28x28 grey, 10 classes; of each, 1,000 for training drawn per seed, 500 for test",
        licence="as published by Y. LeCun, C. Cortes and C. J. C. Burges, without a stated licence",
        citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition. "
        "Proceedings of the IEEE 86, 1998",
        version=1,
        input_shape=(28, 28, 1),
        class_names=tuple(str(d) for d in range(10)),
        load=partial(load_idx, MNIST),
        splitter=partial(draw, official=60000, train=1000, test=500),
    ),
    tags=("files",),
)

registry.datasets.register(
    "fashion-mnist",
    Dataset(
        name="fashion-mnist",
        summary="Clothing, 28x28 grey, 10 classes; of each, 1,000 for training drawn per seed, 500 for test",
        licence="MIT",
        citation="H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms. arXiv 1708.07747, 2017",
        version=1,
        input_shape=(28, 28, 1),
        class_names=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        load=partial(load_idx, FASHION_MNIST),
        splitter=partial(draw, official=60000, train=1000, test=500),
    ),
    tags=("files",),
)

registry.datasets.register(
    "cifar-10",
    Dataset(
        name="cifar-10",
        summary="Photographs, 32x32 in colour, 10 classes; of each, 1,900 for training drawn per seed, 500 for test",
        licence="as published by A. Krizhevsky, without a stated licence",
        citation="A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. Technical report, "
        "University of Toronto, 2009; the first two of its five training batches, and the test batch",
        version=1,
        input_shape=(32, 32, 3),
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        load=partial(load_cifar, CIFAR_10),
        # The two batches hold between 1,925 and 2,042 images of a class.
        splitter=partial(draw, official=20000, train=1900, test=500),
    ),
    tags=("files",),
)
