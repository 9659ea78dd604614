"""Readers of the formats in which image sets are distributed: IDX and the binary versions of CIFAR-10 and CIFAR-100.

Both are strict: what is not exactly as expected is refused with its cause. Neither can run code, as a pickle can.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lebench.errors import DataError

_PIXELS = 3 * 32 * 32
#: Bytes of one record: the label, of CIFAR-100 a coarse one before it; then 1,024 red, green and blue values each, row
#: by row.
CIFAR_10_RECORD, CIFAR_100_RECORD = 1 + _PIXELS, 2 + _PIXELS

_UNSIGNED_BYTE = 0x08


def idx_length(shape: tuple[int, ...]) -> int:
    """Return the bytes of an IDX file of unsigned bytes: magic number, one 32-bit size per dimension, values."""
    return 4 + 4 * len(shape) + math.prod(shape)


def read_idx(contents: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes.

    Parameters
    ----------
    contents : bytes
        The file, decompressed: two zero bytes, the type of the values, the number of dimensions, each dimension as a
        big-endian 32-bit integer, then the values.
    shape : tuple of int
        The dimensions that it must have.

    Returns
    -------
    ndarray of `shape`, uint8
        A view of `contents`, read-only.

    Raises
    ------
    DataError
        If it is no such file, or has other dimensions or another length.
    """
    if len(contents) < 4 or contents[:2] != b"\0\0":
        raise DataError(f"it is no IDX file: it begins with {contents[:4].hex(' ') or 'nothing'}, not with 00 00 08")
    if contents[2] != _UNSIGNED_BYTE:
        raise DataError(f"its values are of type 0x{contents[2]:02x}, unsigned bytes (0x08) are expected")
    start = 4 + 4 * contents[3]
    if len(contents) < start:
        raise DataError(f"it is cut short after {len(contents)} bytes, within its header")
    found = tuple(int(size) for size in np.frombuffer(contents[4:start], ">u4"))
    if found != shape:
        raise DataError(f"its dimensions are {_times(found)}, {_times(shape)} are expected")
    _check_length(contents, idx_length(shape))
    return np.frombuffer(contents, np.uint8, offset=start).reshape(shape)


def read_cifar(contents: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the records in a batch of the binary version of CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    contents : bytes
        The file: records of 3,073 or 3,074 bytes.
    shape : tuple of int
        ``(records, 3073)`` or ``(records, 3074)``.

    Returns
    -------
    ndarray of `shape`, uint8
        A view of `contents`, read-only.

    Raises
    ------
    DataError
        If the length is another or a label is out of range.
    """
    _check_length(contents, math.prod(shape))
    records = np.frombuffer(contents, np.uint8).reshape(shape)
    name, last = ("CIFAR-10", 9) if shape[1] == CIFAR_10_RECORD else ("CIFAR-100", 99)
    if (highest := int(cifar_labels(records).max())) > last:
        raise DataError(f"it is no batch of {name}: it has a label {highest}, they are from 0 to {last}")
    return records


def cifar_labels(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels (n,) from records (n, 3073), fine ones from records (n, 3074)."""
    return records[:, -_PIXELS - 1]


def cifar_images(records: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (n, 32, 32, 3) from records (n, 3073) or (n, 3074)."""
    return records[:, -_PIXELS:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _check_length(contents: bytes, expected: int) -> None:
    if len(contents) < expected:
        raise DataError(f"it is cut short: {len(contents):,} of {expected:,} bytes")
    if len(contents) > expected:
        raise DataError(f"it is longer than the {expected:,} bytes that are expected")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "none"
