"""Messages from a process that may run anybody's code, over a pipe into which that code may write as well.

Each message is framed by its length and a checksum, so that foreign bytes are noticed and never taken for a message,
and is read without waiting, so that half a message holds nobody up.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import zlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

_HEAD = struct.Struct("!4sII")
_MAGIC = b"LEB\x01"
#: Bytes of the largest message: the arrays and the recording of a record, as text.
_LIMIT = 32_000_000
_CHUNK = 1 << 16
#: Chunks that are read before other processes have their turn.
_CHUNKS = 256


class DamagedError(Exception):
    """What was read is no message of lebench's."""


class Sender:
    """The end of the process that computes."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._owner, self._lock = connection, os.getpid(), threading.RLock()

    def ask(self) -> Any:
        """Wait for an object that the other end sends."""
        return self._connection.recv()

    def send(self, content: bytes) -> None:
        """Send a message, whole; a process that was forked from this one says nothing in its name.

        Raises
        ------
        OSError
            If nobody listens any more, or the pipe was closed on this side.
        """
        if os.getpid() != self._owner:
            return
        rest = memoryview(_HEAD.pack(_MAGIC, len(content), zlib.crc32(content)) + content)
        with self._lock:
            while rest:
                try:
                    rest = rest[os.write(self._connection.fileno(), rest) :]
                except BlockingIOError:
                    select.select([], [self._connection], [])


class Receiver:
    """The end of the process that supervises.

    Attributes
    ----------
    closed : bool
        Whether the other end was closed.
    """

    def __init__(self, connection: Connection) -> None:
        self.closed = False
        self._connection, self._read = connection, bytearray()

    def messages(self) -> Iterator[bytes]:
        """Yield the messages that are complete, without waiting for more.

        Raises
        ------
        DamagedError
            If something else was written into the pipe.
        """
        for _ in range(_CHUNKS):
            if self.closed or not self._connection.poll():
                break
            try:
                chunk = os.read(self._connection.fileno(), _CHUNK)
            except OSError:
                chunk = b""
            self.closed = not chunk
            self._read += chunk
        while len(self._read) >= _HEAD.size:
            magic, length, checksum = _HEAD.unpack_from(self._read)
            if magic != _MAGIC or length > _LIMIT:
                raise DamagedError
            if len(self._read) < _HEAD.size + length:
                break
            content = bytes(self._read[_HEAD.size : _HEAD.size + length])
            if zlib.crc32(content) != checksum:
                raise DamagedError
            del self._read[: _HEAD.size + length]
            yield content
