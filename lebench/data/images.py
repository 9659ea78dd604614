"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, from files in their original formats, in full and in parts.

A split of a part draws the same number of training images of each class from the official training part, by the seed;
its test images are the first ones of each class in the official test part, or all, the same for every seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset, balanced_subset
from lebench.data.files import DataFile, Source
from lebench.data.formats import CIFAR_10_RECORD, CIFAR_100_RECORD, cifar_images, cifar_labels

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

_BATCHES = (
    ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
)
_TEST_BATCH = ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")


def _cifar_10(name: str, batches: int) -> Source:
    return Source(
        name=name,
        format="cifar",
        folders=("cifar-10-batches-bin", ""),
        files=tuple(DataFile(file, (10000, CIFAR_10_RECORD), sha) for file, sha in (*_BATCHES[:batches], _TEST_BATCH)),
        urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
    )


CIFAR_10 = _cifar_10("cifar-10", batches=2)
CIFAR_10_FULL = _cifar_10("cifar-10-full", batches=5)
#: Its author publishes the checksum of the archive only.
CIFAR_100 = Source(
    name="cifar-100",
    format="cifar",
    folders=("cifar-100-binary",),
    files=(DataFile("train.bin", (50000, CIFAR_100_RECORD), ""), DataFile("test.bin", (10000, CIFAR_100_RECORD), "")),
    urls=("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
    archive_md5="03b5dce01913d631647c71ecec9e9cb8",
)

#: The datasets that need files of their own, by name.
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST, CIFAR_10, CIFAR_10_FULL, CIFAR_100)}


def load_idx(source: Source) -> tuple[NDArray[np.uint8], IntArray]:
    """Return all images (n, height, width, 1) and labels (n,) of a source in IDX format, training part first."""
    train_x, train_y, test_x, test_y = source.arrays()
    return np.concatenate([train_x, test_x])[..., np.newaxis], np.concatenate([train_y, test_y]).astype(np.int64)


def load_cifar(source: Source) -> tuple[NDArray[np.uint8], IntArray]:
    """Return all images (n, 32, 32, 3) and fine labels (n,) of batches of CIFAR, in the order of the source's files."""
    records = np.concatenate(source.arrays())
    return np.ascontiguousarray(cifar_images(records)), cifar_labels(records).astype(np.int64)


def draw(
    x: NDArray[np.uint8], y: IntArray, rng: np.random.Generator, *, official: int, train: int, test: int | None
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw training images of the official training part; test images are of the official test part.

    Parameters
    ----------
    x : ndarray of shape (n, height, width, channels), uint8
        The official training part, then the official test part.
    y : ndarray of shape (n,), int64
        Labels from 0.
    rng : numpy.random.Generator
        Draws the training images.
    official : int
        Size of the official training part.
    train : int
        Training images of each class.
    test : int or None
        Test images of each class, the first ones; None for all that there are.

    Returns
    -------
    tuple
        Training images in [0, 1], their labels, test images and their labels.
    """
    classes = int(y.max()) + 1
    chosen = balanced_subset(y[:official], classes * train, classes, rng)
    held = y[official:]
    first = np.arange(len(held))
    if test is not None:
        first = np.sort(np.concatenate([np.flatnonzero(held == label)[:test] for label in range(classes)]))
    return x[chosen] / 255.0, y[chosen], x[first + official] / 255.0, held[first]


def whole(
    x: NDArray[np.uint8], y: IntArray, rng: np.random.Generator, *, official: int
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Return the official split, in its order and the same for every seed; as :func:`draw` otherwise."""
    return x[:official] / 255.0, y[:official], x[official:] / 255.0, y[official:]


@dataclass(frozen=True)
class _Images:
    """What the forms of one set of images have in common."""

    name: str
    what: str
    source: Source
    load: Callable[[Source], tuple[NDArray[np.uint8], IntArray]]
    official: int
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    licence: str
    citation: str

    def register(
        self, form: str, size: str, train: int | None, test: int | None = None, epochs: str | None = None
    ) -> None:
        """Register a form: of each class `train` images for training and `test` for test; None is all.

        Networks are trained for `epochs` times as many epochs as on digits.
        """
        name = f"{self.name}{form}"
        splitter = partial(whole, official=self.official)
        if train is not None:
            splitter = partial(draw, official=self.official, train=train, test=test)
        dataset = Dataset(
            name=name,
            summary=f"{self.what}, {len(self.class_names)} classes; {size}",
            licence=self.licence,
            citation=self.citation,
            version=1,
            input_shape=self.shape,
            class_names=self.class_names,
            load=partial(self.load, self.source),
            splitter=splitter,
            recipe=() if epochs is None else (("epochs", epochs),),
        )
        registry.datasets.register(name, dataset, tags=("files",))


_DIGITS = _Images(
    name="mnist",
    what="Handwritten digits, 28x28 grey",
    source=MNIST,
    load=load_idx,
    official=60000,
    shape=(28, 28, 1),
    class_names=tuple(str(d) for d in range(10)),
    licence="as published by Y. LeCun, C. Cortes and C. J. C. Burges, without a stated licence",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86, 1998",
)
_CLOTHES = _Images(
    name="fashion-mnist",
    what="Clothing, 28x28 grey",
    source=FASHION_MNIST,
    load=load_idx,
    official=60000,
    shape=(28, 28, 1),
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
    licence="MIT",
    citation="H. Xiao, K. Rasul, R. Vollgraf. Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
    "Learning Algorithms. arXiv 1708.07747, 2017",
)
_PHOTOGRAPHS = _Images(
    name="cifar-10",
    what="Photographs, 32x32 in colour",
    source=CIFAR_10_FULL,
    load=load_cifar,
    official=50000,
    shape=(32, 32, 3),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    licence="as published by A. Krizhevsky, without a stated licence",
    citation="A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. Technical report, "
    "University of Toronto, 2009",
)
_OF_100_KINDS = replace(
    _PHOTOGRAPHS,
    name="cifar-100",
    source=CIFAR_100,
    class_names=tuple(Path(__file__).with_name("cifar_100_classes.txt").read_text(encoding="utf-8").split()),
)

_FEW = "of each, {} for training drawn per seed, 500 for test"
_FIVE_THOUSAND = "of each, 500 for training drawn per seed; all 10,000 test images"
for _images in (_DIGITS, _CLOTHES):
    _images.register("", _FEW.format("1,000"), train=1000, test=500)
_FIRST_BATCHES = f"{_PHOTOGRAPHS.citation}; the first two of its five training batches, and the test batch"
# They hold between 1,925 and 2,042 images of a class.
replace(_PHOTOGRAPHS, official=20000, citation=_FIRST_BATCHES, source=CIFAR_10).register(
    "", _FEW.format("1,900"), train=1900, test=500
)
for _images in (_DIGITS, _CLOTHES, _PHOTOGRAPHS):
    # 15 and 10 epochs of the recipes for digits, which have 100; those of the named networks are for all photographs.
    _images.register("-5k", _FIVE_THOUSAND, train=500, epochs="x0.15")
    whole_epochs = None if _images is _PHOTOGRAPHS else "x0.1"
    _images.register(
        "-full", f"all {_images.official:,} training and all 10,000 test images", train=None, epochs=whole_epochs
    )
_OF_100_KINDS.register("", "all 50,000 training and all 10,000 test images", train=None)
