"""IDX and CIFAR-10 files: read exactly, or refused with the cause."""

import struct

import numpy as np
import pytest

from lebench.data.formats import CIFAR_10_RECORD, cifar_images, idx_length, read_cifar, read_idx
from lebench.errors import DataError


def idx(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)


def test_an_idx_file_gives_back_the_array():
    contents = idx(IMAGES)
    assert len(contents) == idx_length(IMAGES.shape) == 4 + 12 + 24
    np.testing.assert_array_equal(read_idx(contents, (4, 3, 2)), IMAGES)
    labels = np.array([3, 1, 2], dtype=np.uint8)
    np.testing.assert_array_equal(read_idx(idx(labels), (3,)), labels)
    # The training labels of MNIST have 60,008 bytes, the images 47,040,016.
    assert (idx_length((60000,)), idx_length((60000, 28, 28))) == (60_008, 47_040_016)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "it is no IDX file: it begins with nothing, not with 00 00 08"),
        (b"<html>404</html>", "it is no IDX file: it begins with 3c 68 74 6d"),
        (b"\0\0\x0d\3" + idx(IMAGES)[4:], r"its values are of type 0x0d, unsigned bytes \(0x08\) are expected"),
        (idx(IMAGES)[:9], "it is cut short after 9 bytes, within its header"),
        (idx(IMAGES.reshape(4, 6)), "its dimensions are 4 x 6, 4 x 3 x 2 are expected"),
        (idx(IMAGES[:3]), "its dimensions are 3 x 3 x 2, 4 x 3 x 2 are expected"),
        (idx(IMAGES)[:-1], "it is cut short: 39 of 40 bytes"),
        (idx(IMAGES) + b"\0", "it is longer than the 40 bytes that are expected"),
    ],
)
def test_what_is_no_such_idx_file_is_refused_with_the_cause(contents, message):
    with pytest.raises(DataError, match=message):
        read_idx(contents, IMAGES.shape)


def test_a_cifar_record_is_a_label_and_three_planes_of_rows():
    image = np.arange(32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    planes = b"".join(image[:, :, channel].tobytes() for channel in range(3))
    records = read_cifar(b"\7" + planes + b"\2" + planes, (2, CIFAR_10_RECORD))
    assert records[:, 0].tolist() == [7, 2]
    np.testing.assert_array_equal(cifar_images(records)[1], image)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (bytes(CIFAR_10_RECORD), "it is cut short: 3,073 of 6,146 bytes"),
        (bytes(3 * CIFAR_10_RECORD), "it is longer than the 6,146 bytes"),
        (b"\xff" * 2 * CIFAR_10_RECORD, "it is no batch of CIFAR-10: it has a label 255"),
    ],
)
def test_what_is_no_batch_of_cifar_is_refused_with_the_cause(contents, message):
    with pytest.raises(DataError, match=message):
        read_cifar(contents, (2, CIFAR_10_RECORD))
