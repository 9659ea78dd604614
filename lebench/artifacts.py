"""Arrays that belong to a record: one compressed file without pickles, each array described by its checksum.

What is read may come from anybody, so nothing is unpacked that is larger than its description says.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench.errors import LebenchError
from lebench.records import Artifact

#: Bytes that the arrays of one record may have together, before compression.
LIMIT = 2_000_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: Arrays that one record may have.
_MEMBERS = 64
#: Bytes that the header of an array may have.
_HEADER = 1024
#: The header that numpy.save writes for a plain array of the kinds that are kept, version 1.0 of the format.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)\{'descr': '(?P<dtype><f4|<i4|\|u1)', 'fortran_order': False, "
    rb"'shape': \((?P<shape>(?:[0-9]{1,7},|[0-9]{1,7}(?:, [0-9]{1,7}){1,7})?)\), \} *\n",
    re.DOTALL,
)
#: Bytes of the fixed parts of a zip archive.
_MEMBER_HEADER, _DIRECTORY_HEADER, _END_OF_ARCHIVE = 30, 46, 22
#: The extra field by which NumPy prepares a member for more than four gigabytes.
_ZIP64 = 20
#: What the standard library raises for archives that are none.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


class ArtifactError(LebenchError):
    """Arrays that cannot be kept, or that are not the ones which were kept."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, Artifact]]:
    """Return the content of a file with the arrays, the same bytes for the same arrays, and their descriptions.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Finite numbers by names of lower-case letters, digits and underscores. Floating-point numbers are kept in
        single precision, bytes as they are, other whole numbers as int32.

    Raises
    ------
    ArtifactError
        If a name or a number is not allowed, or there is more than :data:`LIMIT`.
    """
    kept: dict[str, NDArray[Any]] = {}
    for name, array in sorted(arrays.items()):
        values = np.asarray(array)
        if not _NAME.fullmatch(name):
            raise ArtifactError(f"artifact {name!r}: a name has lower-case letters, digits and underscores")
        if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise ArtifactError(f"artifact {name!r} must hold finite numbers")
        kept[name] = np.ascontiguousarray(values, dtype=_stored(values.dtype))
    total = sum(array.nbytes for array in kept.values())
    if total > LIMIT:
        raise ArtifactError(f"the artifacts have {total:,} bytes together, at most {LIMIT:,} are kept")
    file = io.BytesIO()
    np.savez_compressed(file, **kept)  # type: ignore[arg-type]
    return file.getvalue(), {name: _describe(array) for name, array in kept.items()}


def unpack(content: bytes, described: Mapping[str, Artifact]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file.

    Parameters
    ----------
    content : bytes
        Of the file.
    described : mapping of str to Artifact
        What must be in it, from the record.

    Raises
    ------
    ArtifactError
        If the file is damaged or holds anything else.
    """
    total = sum(artifact.bytes for artifact in described.values())
    if total > LIMIT or len(described) > _MEMBERS:
        raise ArtifactError(
            f"{len(described):,} arrays of {total:,} bytes are described, at most {_MEMBERS} of {LIMIT:,} are kept"
        )
    if not all(_NAME.fullmatch(name) for name in described):
        raise ArtifactError("an array is described whose name has more than lower-case letters, digits and underscores")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [info.filename for info in members]
            if sorted(names) != sorted(f"{name}.npy" for name in described):
                raise ArtifactError(f"it does not hold just the arrays that are described: {', '.join(described)}")
            if (
                archive.comment
                or any(info.extra or info.comment for info in members)
                or _occupied(content, members) != len(content)
            ):
                raise ArtifactError("it holds more than arrays")
            arrays = {}
            for info in sorted(members, key=lambda info: info.filename):
                name = info.filename.removesuffix(".npy")
                _check_size(info, described[name])
                with archive.open(info) as member:
                    # Without a number, all that is compressed would be unpacked, whatever was declared.
                    arrays[name] = _array(name, member.read(info.file_size), described[name])
            return {name: arrays[name] for name in described}
    except _DAMAGE as error:
        raise ArtifactError(f"it is damaged: {' '.join(str(error).split())[:200]}") from error


def _occupied(content: bytes, members: list[zipfile.ZipInfo]) -> int:
    """Return how many bytes an archive of these members has that holds nothing else, no two in the same place."""
    size = _END_OF_ARCHIVE
    for info in members:
        start = info.header_offset
        name, extra = struct.unpack_from("<HH", content, start + _MEMBER_HEADER - 4)
        if extra > _ZIP64:
            raise ArtifactError("it holds more than arrays")
        size += _MEMBER_HEADER + name + extra + info.compress_size
        size += _DIRECTORY_HEADER + len(info.filename) + len(info.extra) + len(info.comment)
    return size


def _check_size(info: zipfile.ZipInfo, described: Artifact) -> None:
    # Other methods may ask for gigabytes before they unpack the first byte.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArtifactError(f"the array {info.filename[:-4]!r} is not stored as lebench stores arrays: its compression")
    if not 0 < info.file_size - described.bytes <= _HEADER:
        size = f"{info.file_size:,} bytes unpacked, not {described.bytes:,} and a header"
        raise ArtifactError(f"the array {info.filename[:-4]!r} has {size}")


def _array(name: str, raw: bytes, described: Artifact) -> NDArray[Any]:
    """Return the array in the bytes of a npy file, whose header is matched, not evaluated."""
    header = _NPY.match(raw)
    if header is None or len(header[0]) != 10 + int.from_bytes(header["length"], "little"):
        raise ArtifactError(f"the array {name!r} is not stored as lebench stores arrays")
    dtype = np.dtype(header["dtype"].decode())
    shape = tuple(int(length) for length in header["shape"].decode().replace(",", " ").split())
    content = raw[header.end() :]
    # A length that no number fills, beside a length of zero, would cost memory wherever the array meets another.
    if max(shape, default=0) > LIMIT or len(content) != dtype.itemsize * math.prod(shape):
        raise ArtifactError(f"the array {name!r} is not whole")
    array = np.frombuffer(content, dtype).reshape(shape)
    if _describe(array) != described:
        raise ArtifactError(f"the array {name!r} is not the one whose checksum the record has")
    return array


def _stored(dtype: np.dtype[Any]) -> str:
    if dtype == np.uint8:
        return "|u1"
    return "<f4" if dtype.kind == "f" else "<i4"


def _describe(array: NDArray[Any]) -> Artifact:
    return Artifact(
        sha256=hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
        shape=array.shape,
        dtype=array.dtype.str,
        bytes=array.nbytes,
    )
