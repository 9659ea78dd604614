"""Arrays that belong to a record: one compressed file without pickles, each array described by its checksum.

What is read may come from anybody, so nothing is unpacked that is larger than its description says.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
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
#: Bytes that the header of an array may have.
_HEADER = 1024
_DTYPES = ("<f4", "<i4", "|u1")


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
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if len(sizes) != len(archive.infolist()) or sorted(sizes) != sorted(f"{name}.npy" for name in described):
                raise ArtifactError(f"it holds {', '.join(sorted(sizes)) or 'nothing'}, not {', '.join(described)}")
            arrays = {}
            for name, artifact in described.items():
                # No more is read than the record promises, whatever the archive holds.
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = _array(name, member.read(min(artifact.bytes, LIMIT) + _HEADER), artifact)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArtifactError(f"it is damaged: {error}") from error
    return arrays


def _array(name: str, raw: bytes, described: Artifact) -> NDArray[Any]:
    """Return the array in the bytes of a npy file, whose header is not trusted with an allocation."""
    file = io.BytesIO(raw)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("its version is not 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise ArtifactError(f"the array {name!r} is damaged: {error}") from error
    content = raw[file.tell() :]
    if fortran or dtype.str not in _DTYPES or len(content) != dtype.itemsize * math.prod(shape):
        raise ArtifactError(f"the array {name!r} is not stored as lebench stores arrays, or not whole")
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
