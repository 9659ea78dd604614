"""What passes through the pipe between a guest and who asks it: names, numbers, texts and arrays; never objects.

A message is eight bytes of length, that many bytes of JSON, and the bytes of the arrays that the JSON describes.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lebench.errors import LebenchError

_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 1_000_000
_LARGEST_ARRAY_RANK = 8
_DTYPES = {name: np.dtype(name) for name in ("<f8", "<i8")}


class WireError(LebenchError):
    """A message is not one, or larger than what was asked for can be."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes
    ----------
    kind : str
        What it asks for or answers.
    values : mapping
        What JSON can hold.
    arrays : mapping of str to ndarray
        float64 or int64.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def encode(message: Message) -> list[bytes | memoryview]:
    """Return a message as it goes through the pipe: floating-point arrays as float64, whole numbers as int64."""
    arrays = {name: _plain(array) for name, array in message.arrays.items()}
    described = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps({"kind": message.kind, "values": dict(message.values), "arrays": described}).encode()
    bodies = [array.data.cast("B") for array in arrays.values() if array.size]
    return [_LENGTH.pack(len(header)), header, *bodies]


def send(pipe: BinaryIO, message: Message) -> None:
    """Write a message."""
    write(pipe, encode(message))


def write(pipe: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
    """Write what :func:`encode` returned."""
    for part in parts:
        pipe.write(part)
    pipe.flush()


def receive(pipe: BinaryIO, most_bytes: int) -> Message:
    """Read a message.

    Parameters
    ----------
    pipe : binary file
        Where from.
    most_bytes : int
        What its arrays may have together; nothing is set aside for more.

    Raises
    ------
    EOFError
        If the other side has ended.
    WireError
        If it is no message, or too large.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    if length > _LARGEST_HEADER:
        raise WireError("the header of a message is too large")
    try:
        header = json.loads(_exactly(pipe, length))
        kind, values, described = header["kind"], header["values"], header["arrays"]
        if not (isinstance(kind, str) and isinstance(values, dict) and isinstance(described, list)):
            raise WireError("a message has fields of the wrong kind")
        shapes = [_described(*each) for each in described]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError("a message is damaged") from error
    room = most_bytes
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape in shapes:
        size = dtype.itemsize * math.prod(shape)
        room -= size
        if room < 0:
            raise WireError(f"the array {name[:40]!r} of shape {shape} is larger than what was asked for can be")
        arrays[name] = np.frombuffer(_exactly(pipe, size), dtype).reshape(shape)
    return Message(kind, values, arrays)


def _described(name: object, dtype: object, shape: object) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not (isinstance(name, str) and dtype in _DTYPES and isinstance(shape, list)):
        raise WireError("an array of a message is described wrongly")
    if len(shape) > _LARGEST_ARRAY_RANK or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise WireError("an array of a message has an impossible shape")
    return name, _DTYPES[str(dtype)], tuple(shape)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(array)
    return np.ascontiguousarray(array, "<i8" if array.dtype.kind in "iub" else "<f8").reshape(array.shape)


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = pipe.read(min(count, 2**24))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
