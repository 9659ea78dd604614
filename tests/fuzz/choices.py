"""What an input of the fuzzer chooses: values, texts, and where a document, an archive or some bytes are changed."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zipfile
from typing import Any

import atheris
import numpy as np
from loose import LOOSE

#: Values that are at the edge of what some reader can hold.
EDGES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**63), 2**64, 10**30, 0.0, -0.0, 0.5, 1e-320, 1e16, 1e307,
    -1.7e308, 1.7e308, "", " ", "0", "1e999", "nan", "\x00", "\x1b[2J", "\u202e", "\ud800", "e\u0301", "\uff21", "a\nb",
    "../secret", "/etc/passwd", "<script>", "{q}", "%s", "mlp[width=-1]", "linear[epochs=[[1]]]", "linear[lr='\\d']",
    "2026-01-01T00:00:00+00:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "https://[::1", [], {}, [[]],
    {"": ""}, [{}],
]  # fmt: skip
UNITS = ("-", "(", "[", "{", "a.", "[[", '"', "\\", "a", "\u0301", "=", ",", "\n", "\t", " ", '{"a":', "9", "//", "PK")


class Choices:
    """Choices of an input."""

    def __init__(self, content: bytes) -> None:
        self.data = atheris.FuzzedDataProvider(content)

    def below(self, count: int) -> int:
        return self.data.ConsumeIntInRange(0, count - 1) if count > 1 else 0

    def one_of(self, values: Any) -> Any:
        return values[self.below(len(values))]

    def text(self) -> str:
        """Return a text: any, one of a language's words, or one of those many times."""
        kind = self.below(3)
        if kind == 0:
            return self.data.ConsumeUnicode(self.below(40))
        unit = self.one_of(UNITS)
        return unit * (self.below(40) if kind == 1 else 2 ** self.below(15))

    def value(self, depth: int = 0) -> Any:
        kind = self.below(7)
        if kind < 2:
            return self.one_of(EDGES)
        if kind == 2:
            return self.data.ConsumeFloat()
        if kind == 3:
            return self.data.ConsumeInt(8)
        if kind == 4 and depth < 3:
            return [self.value(depth + 1) for _ in range(self.below(4))]
        if kind == 5 and depth < 3:
            return {self.text(): self.value(depth + 1) for _ in range(self.below(4))}
        return self.text()

    def document(self, document: Any) -> Any:
        """Return a document with another value, key or length in one place."""
        if isinstance(document, dict) and document and self.below(8):
            key = self.one_of(list(document))
            action = self.below(8)
            if action == 0:
                return {k: v for k, v in document.items() if k != key}
            if action == 1:
                return document | {self.text(): document[key]}
            if action == 2:
                many = 2 ** self.below(10)
                return document | {f"{key}{place}": document[key] for place in range(many)}
            return document | {key: self.document(document[key])}
        if isinstance(document, list) and document and self.below(4):
            place = self.below(len(document))
            if not self.below(4):
                return document * 2 ** self.below(7)
            return [*document[:place], self.document(document[place]), *document[place + 1 :]]
        if isinstance(document, str) and not self.below(3):
            place = self.below(len(document) + 1)
            return document[:place] + self.text() + document[place:]
        if isinstance(document, int | float) and not self.below(3):
            return document * self.one_of((-1, 1e-300, 1e300, 10**6)) + self.one_of((0, 1, 1e-9))
        return self.value()

    def bytes_(self, content: bytes) -> bytes:
        """Return bytes with some replaced, cut out, put in or doubled."""
        for _ in range(1 + self.below(4)):
            # The directory of an archive and the head of a file are where most readers can go wrong.
            reach = self.one_of((len(content), min(len(content), 200)))
            start = self.below(reach + 1)
            start = len(content) - start if self.below(2) else start
            end = min(len(content), start + self.one_of((0, 1, 2, 4, 8, self.below(200))))
            new = self.one_of((b"", b"\0", b"\xff" * 4, content[start:end] * 2, self.text().encode(*LOOSE), None))
            if new is None:
                new = self.data.ConsumeBytes(self.below(24))
            content = content[:start] + new + content[end:]
        return content

    def archive(self, arrays: dict[str, np.ndarray]) -> tuple[bytes, dict[str, Any] | None]:
        """Return an archive that lebench would not write, and a description that a forger would write to it."""
        members: dict[str, bytes] = {}
        described: dict[str, Any] = {}
        for name, array in arrays.items():
            array = self.array(array)
            name = self.text()[:60] if not self.below(8) else name
            raw = array.tobytes()
            head = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
            if not self.below(4):
                head = self.bytes_(head.encode()).decode("latin-1")
            padded = head + " " * (-(len(head) + 11) % 64) + "\n"
            members[f"{name}.npy"] = (
                b"\x93NUMPY\x01\x00"
                + struct.pack("<H", len(padded) & 0xFFFF)
                + padded.encode("latin-1", "replace")
                + raw
            )
            described[name] = {
                "sha256": hashlib.sha256(raw).hexdigest(),
                "shape": list(array.shape),
                "dtype": array.dtype.str,
                "bytes": array.nbytes,
            }
        file = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
            warnings.simplefilter("ignore")
            for name, content in members.items():
                info = zipfile.ZipInfo(name.encode(*LOOSE).decode("latin-1"))
                info.compress_type = self.one_of((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
                archive.writestr(info, content)
        content = file.getvalue()
        return content if self.below(3) else self.bytes_(content), described if self.below(4) else None

    def array(self, array: np.ndarray) -> np.ndarray:
        """Return an array with other numbers, another shape or another type."""
        kind = self.below(8)
        if kind == 0:
            return array.reshape(-1)
        if kind == 1:
            return array[: self.below(len(array) + 1)] if array.ndim else array
        if kind == 2:
            return array.astype(self.one_of(("<f4", "<i4", "|u1", ">f8", "<c8")), casting="unsafe")
        if kind == 3:
            return np.zeros([self.one_of((0, 1, 3, 2_000_000, 9_999_999)), 0, self.below(3)], array.dtype)
        if kind < 6 and array.size:
            changed = array.copy()
            flat = changed.reshape(-1)
            start = self.below(flat.size)
            new = np.frombuffer(self.data.ConsumeBytes(16).ljust(16, b"\xff"), array.dtype.newbyteorder("="))
            flat[start : start + len(new)] = new[: flat.size - start]
            return changed
        return array
