"""How a recording is written: the questions that a score asked, and the answers in as few bits as the score needs.

A recording is two arrays. ``recorded_answers``, bytes of shape (3, N): the numbers of all answers one after another,
as the upper three bytes of their single precision, rounded to nearest: 16 significant bits, a relative error of at
most 2^-16, or fewer bits and zeros, which compression removes. ``recorded_calls``, int32 of shape (number of calls,
8): four words of the sha256 of the question, then what kind of answer it got and up to three lengths of its shape. Of
a symmetric matrix only the upper triangle is written, or a factor F (n, r) of F F^T; of scores at many points what
counts of them (:mod:`lebench.runner.decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lebench.errors import LebenchError
from lebench.records import RECORDED
from lebench.runner.decisions import scores_again

#: Numbers that the answers of one record may have together; a record with more has no recording.
LIMIT = 600_000
#: Dimensions that one answer may have.
DIMENSIONS = 3
#: Numbers that what is written in fewer may have together, kernels as factors and scores as classes.
RESTORED_LIMIT = 10_000_000
#: Significant bits that a recording may keep of each number, the fewest first.
BITS = (8, 10, 12, 14, 16)

# Kinds of answers: 0 and more are the number of dimensions of an array.
REFUSED = -1
OFFERS = -2
NOT_FITTED = -3
SYMMETRIC = -4
FACTOR = -5
DECIDED = -6

_CALLS, _ANSWERS = f"{RECORDED}calls", f"{RECORDED}answers"


class RecordingError(LebenchError):
    """A recording from which a score cannot be computed again."""


def written(
    rows: Mapping[bytes, tuple[int, ...]], answers: Mapping[bytes, NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """Return a recording, nothing if there is none.

    Parameters
    ----------
    rows : mapping of bytes to tuple of int
        By the key of a question of 16 bytes: the kind of its answer and three lengths.
    answers : mapping of bytes to ndarray of float32
        Those that are arrays. Of a symmetric one the upper triangle, see :func:`upper_triangle`.
    """
    if not rows:
        return {}
    calls = [[*np.frombuffer(key, "<i4"), *row] for key, row in rows.items()]
    numbers = np.concatenate([np.zeros(0, "f4"), *(answers[key].ravel() for key in rows if key in answers)])
    return {_CALLS: np.array(calls, dtype=np.int32), _ANSWERS: _to_bytes(numbers, max(BITS))}


def rounded(arrays: Mapping[str, NDArray[Any]], bits: int) -> dict[str, NDArray[Any]]:
    """Return a recording whose numbers have only so many significant bits, rounded to nearest."""
    return {**arrays, _ANSWERS: _to_bytes(_from_bytes(arrays[_ANSWERS]).astype("<f4"), bits)}


def keeps_classes(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a recording keeps answers as classes, from which shares of right ones come out exactly."""
    return any(kind == DECIDED for _, kind, _ in parts(arrays))


def read(arrays: Mapping[str, NDArray[Any]]) -> dict[bytes, tuple[int, NDArray[Any]]]:
    """Return the kind of each answer and the answer, by the key of its question.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As :func:`written` returned them. They may come from anybody.

    Raises
    ------
    RecordingError
        If they are not a recording.
    """
    found: dict[bytes, tuple[int, NDArray[Any]]] = {}
    restored = 0
    for (key, kind, lengths), answer in parts(arrays).items():
        if SYMMETRIC < kind < 0:
            found[key] = kind, np.array(lengths[0])
        elif kind == SYMMETRIC:
            found[key] = 2, from_triangle(answer, lengths[0])
        elif kind == FACTOR:
            restored = _within_limit(restored + lengths[0] ** 2)
            factor = answer.reshape(lengths[:2])
            found[key] = 2, factor @ factor.T
        elif kind == DECIDED:
            restored = _within_limit(restored + lengths[0] * lengths[1])
            try:
                found[key] = 2, scores_again(answer.reshape(lengths[2], lengths[0]), lengths[1])
            except ValueError as error:
                raise RecordingError(f"the scores of the recording are damaged: {error}") from error
        else:
            found[key] = kind, answer.reshape(lengths[:kind])
    return found


def _within_limit(restored: int) -> int:
    if restored > RESTORED_LIMIT:
        raise RecordingError(f"what the recording keeps in fewer has more than {RESTORED_LIMIT:,} numbers")
    return restored


def parts(arrays: Mapping[str, NDArray[Any]]) -> dict[tuple[bytes, int, tuple[int, ...]], NDArray[np.float64]]:
    """Return the numbers of each answer (n,) as they are written, by key of its question, kind and lengths.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As :func:`written` returned them. They may come from anybody.

    Raises
    ------
    RecordingError
        If they are not a recording.
    """
    try:
        calls, answers = arrays[_CALLS], arrays[_ANSWERS]
    except KeyError:
        raise RecordingError("there is no recording") from None
    if (calls.dtype.str, calls.ndim, calls.shape[1:]) != ("<i4", 2, (5 + DIMENSIONS,)):
        raise RecordingError("the calls of the recording are not a table of eight columns")
    if (answers.dtype.str, answers.ndim, answers.shape[:1]) != ("|u1", 2, (3,)):
        raise RecordingError("the answers of the recording are not three rows of bytes")
    numbers = _from_bytes(answers)
    if not np.isfinite(numbers).all():
        raise RecordingError("an answer of the recording is not finite")
    found: dict[tuple[bytes, int, tuple[int, ...]], NDArray[np.float64]] = {}
    keys: set[bytes] = set()
    at = 0
    for row in calls:
        key, kind, lengths = row[:4].tobytes(), int(row[4]), tuple(int(length) for length in row[5:])
        if key in keys or not DECIDED <= kind <= DIMENSIONS or min(lengths) < 0:
            raise RecordingError("a call of the recording is damaged or there twice")
        keys.add(key)
        if SYMMETRIC < kind < 0:
            found[key, kind, lengths] = numbers[:0]
            continue
        shape = lengths[::2] if kind == DECIDED else lengths[: 2 if kind == FACTOR else max(kind, 0)]
        size = lengths[0] * (lengths[0] + 1) // 2 if kind == SYMMETRIC else 1
        for length in shape:
            size *= length
        if kind == DECIDED and lengths[2] not in (1, 5):
            raise RecordingError("scores of the recording have neither one nor five numbers a point")
        # A length beyond the limit may stand beside a zero, and a score would multiply it with itself.
        if size > len(numbers) - at or max(lengths) > LIMIT:
            raise RecordingError("the recording has fewer numbers than its calls need")
        found[key, kind, lengths] = numbers[at : at + size]
        at += size
    if at != len(numbers):
        raise RecordingError("the recording has more numbers than its calls need")
    return found


def is_symmetric(array: NDArray[Any]) -> bool:
    """Return whether an array is a matrix that equals its transpose but for rounding far below what is kept."""
    if array.ndim != 2 or not array.shape[0] == array.shape[1] > 1:
        return False
    numbers = array.astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is not finite is not symmetric, and is refused elsewhere
        return bool(np.abs(numbers - numbers.T).max() <= 2.0**-30 * np.abs(numbers).max())


def upper_triangle(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the upper triangle of a matrix (n, n) with its diagonal, row by row: (n (n + 1) / 2,)."""
    return matrix[np.triu_indices(len(matrix))]


def from_triangle(triangle: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the symmetric matrix (n, n) with an upper triangle."""
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n)] = triangle
    return matrix + np.triu(matrix, 1).T


def _to_bytes(numbers: NDArray[np.float32], bits: int) -> NDArray[np.uint8]:
    """Return the upper three bytes of each number (N,), rounded to so many significant bits, as rows (3, N)."""
    words = np.ascontiguousarray(numbers, dtype="<f4").view("<u4").astype(np.uint64)
    # Single precision has 24 significant bits, of which the first is not written.
    half, kept = 1 << 23 - bits, -1 << 24 - bits & 0x7FFFFFFF
    # Rounding up the largest numbers would make them infinite.
    size = np.minimum((words & 0x7FFFFFFF) + half, 0x7F7FFFFF) & kept
    words = size | words & 0x80000000
    return np.stack([(words >> shift & 0xFF).astype(np.uint8) for shift in (24, 16, 8)])


def _from_bytes(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    upper, middle, lower = rows.astype("<u4")
    words = upper << np.uint32(24) | middle << np.uint32(16) | lower << np.uint32(8)
    return cast(NDArray[np.float64], words.astype("<u4").view("<f4").astype(np.float64))
