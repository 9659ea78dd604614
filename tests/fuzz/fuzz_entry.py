"""Coverage-guided fuzzing of what reads a submission: ``make fuzz`` (Linux; needs the extra ``fuzz``).

Each input is a list of choices: which part of a valid entry is changed, and how. A change of a record is sealed again,
as a forger would, so that it gets past the checksums. Then everything that reads an entry reads it, in a folder in
memory. An input is a crash if any of this ends in an exception, if a message is not one printable line, if a file is
read or written outside of where that belongs, if a process is started, or if it costs too much time or memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import sys
import sysconfig
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What is imported here is not traced: numpy and its like would take minutes.
import atheris
import numpy as np
import pandas  # noqa: F401
import pydantic  # noqa: F401
import rfc8785
import scipy.stats  # noqa: F401
import sklearn.model_selection  # noqa: F401

# Tasks, datasets and models are imported when they are used, so they are not traced either.
with atheris.instrument_imports(include=["lebench"]):
    from lebench import artifacts
    from lebench.board import documents, entries, verification
    from lebench.errors import LebenchError
    from lebench.verify import submission, validation
    from lebench.verify.recomputation import recompute
    from lebench.verify.rerun import draw, make_verification

ROOT = Path(__file__).resolve().parents[2]
#: CPU seconds and bytes that one input may cost.
SECONDS, BYTES = 5.0, 400_000_000
#: Memory of the whole process.
LARGEST_MB = 2048
TASKS = ("digits/accuracy", "digits/collapse", "kernel/gap")
NAME = "linear"
#: Values that are at the edge of what some reader can hold.
EDGES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**63), 2**64, 10**30, 0.0, -0.0, 0.5, 1e-320, 1e16, 1e307,
    -1.7e308, 1.7e308, "", " ", "0", "1e999", "nan", "\x00", "\x1b[2J", "\u202e", "\ud800", "e\u0301", "\uff21", "a\nb",
    "../secret", "/etc/passwd", "<script>", "{q}", "%s", "mlp[width=-1]", "linear[epochs=[[1]]]", "linear[lr='\\d']",
    "2026-01-01T00:00:00+00:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "https://[::1", [], {}, [[]],
    {"": ""}, [{}],
]  # fmt: skip
UNITS = ("-", "(", "[", "{", "a.", "[[", '"', "\\", "a", "\u0301", "=", ",", "\n", "\t", " ", '{"a":', "9", "//", "PK")

seen: list[str] = []
case: Path | None = None


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note files that are opened or changed where they should not be, and processes that are started."""
    if case is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int):
            return
        where = absolute(path)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        inside = where.startswith(f"{tempfile.tempdir}/") if writes else where.startswith(ALLOWED)
        if not inside:
            seen.append(f"{where} is opened")
        if os.path.islink(where) and not flags & os.O_NOFOLLOW:
            seen.append(f"{where} is a link that is followed")
    elif event in CHANGES and not absolute(arguments[0]).startswith(f"{tempfile.tempdir}/"):
        seen.append(f"{event} of {arguments[0]!r}")
    elif event in STARTS:
        seen.append(f"{event} {arguments!r}")


def absolute(path: Any) -> str:
    # A relative path is one below an open folder: shutil removes temporary folders like that.
    return os.path.abspath(os.path.join(str(tempfile.tempdir), os.fsdecode(path)))


CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink"}
STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
}


class Seed:
    """A valid entry in memory: its description, its records with their environments in them, and its arrays."""

    def __init__(self) -> None:
        made = entries.read_entry(ROOT / "leaderboard/entries" / NAME)
        self.info = made.info.model_dump(mode="json", by_alias=True)
        self.records: list[dict[str, Any]] = []
        self.arrays: dict[tuple[int, str], dict[str, np.ndarray]] = {}
        for record in made.records:
            if record.cell.task not in TASKS or record.cell.seed:
                continue
            params, fingerprint, precision = validation._configured(record.label, record.cell.backend)
            now = {
                "task_fingerprint": validation._fingerprint(record.cell.task),
                "params": params,
                "model_fingerprint": fingerprint,
                "precision": precision,
            }
            record = record.model_copy(update={"cell": record.cell.model_copy(update=now)})
            old = made.records[[r.cell.task == record.cell.task and not r.cell.seed for r in made.records].index(True)]
            place = len(self.records)
            for kind, arrays in (("", made.artifacts(old)), (".recording", made.recording(old))):
                if arrays:
                    self.arrays[place, kind] = arrays
            self.records.append(record.model_dump(mode="json", by_alias=True))
        self.packed = {key: artifacts.pack(arrays)[0] for key, arrays in self.arrays.items()}


def sealed(record: Any) -> Any:
    """Return a document with the checksum of its content, as far as it has one."""
    try:
        content = {key: value for key, value in record.items() if key != "checksum"}
        return content | {"checksum": hashlib.sha256(rfc8785.dumps(content)).hexdigest()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return record


def key_of(record: Any) -> str:
    try:
        return hashlib.sha256(rfc8785.dumps(record["cell"])).hexdigest()[:16]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "0" * 16


def written(info: Any, records: list[Any]) -> dict[str, bytes]:
    """Return the documents of an entry as lebench writes them, for content that it would not write."""
    shared: dict[str, dict[str, Any]] = {"environments": {}, "sources": {}}
    lines = []
    for record in records:
        if isinstance(record, dict):
            record = dict(record)
            for field in ("environment", "source"):
                try:
                    digest = hashlib.sha256(rfc8785.dumps(record[field])).hexdigest()
                    shared[f"{field}s"][digest] = record[field]
                    record[field] = digest
                except (ValueError, TypeError, KeyError, RecursionError):
                    pass
        lines.append(dumped(record))
    return {
        "entry.toml": "".join(f"{key} = {dumped(value, None)}\n" for key, value in info.items()).encode(*LOOSE),
        "environments.json": (json.dumps(shared, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(*LOOSE),
        "records.jsonl": ("\n".join(lines) + "\n").encode(*LOOSE),
    }


LOOSE = ("utf-8", "surrogatepass")


def dumped(value: Any, separators: tuple[str, str] | None = (",", ":")) -> str:
    return json.dumps(value, ensure_ascii=False, separators=separators)


class Changes:
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
        path = case_folder() / "made.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            for name, content in members.items():
                info = zipfile.ZipInfo(name.encode(*LOOSE).decode("latin-1"))
                info.compress_type = self.one_of((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
                archive.writestr(info, content)
        content = path.read_bytes()
        path.unlink()
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


def case_folder() -> Path:
    return Path(str(tempfile.tempdir))


def build(changes: Changes, folder: Path) -> None:
    """Write a changed entry into a folder."""
    info, records, packed = dict(START.info), [dict(each) for each in START.records], dict(START.packed)
    what = changes.below(10)
    if what in (0, 1):
        info = changes.document(info)
        if not isinstance(info, dict):
            info = {"x": info}
    elif what in (2, 3, 4):
        for _ in range(1 + changes.below(3)):
            place = changes.below(len(records))
            records[place] = changes.document(records[place])
            if changes.below(10):
                records[place] = sealed(records[place])
        if not changes.below(6):
            records = changes.document(records)
            records = records if isinstance(records, list) else [records]
        if changes.below(2) and isinstance(records[0] if records else None, dict):
            info["model"] = records[0].get("label", "")
    elif what in (5, 6):
        key = changes.one_of(sorted(packed))
        packed[key], described = changes.archive(START.arrays[key])
        if described is not None:
            kept = {
                name: each
                for name, each in records[key[0]]["artifacts"].items()
                if name.startswith("recorded_") != bool(key[1])
            }
            records[key[0]] = sealed(records[key[0]] | {"artifacts": kept | described})
    elif what == 7:
        key = changes.one_of(sorted(packed))
        packed[key] = changes.bytes_(packed[key])
    documents_ = written(info, records)
    if what == 8:
        name = changes.one_of(sorted(documents_))
        documents_[name] = changes.bytes_(documents_[name])
    for name, content in documents_.items():
        (folder / name).write_bytes(content)
    (folder / "artifacts").mkdir()
    for (place, kind), content in packed.items():
        if place < len(records):
            (folder / "artifacts" / f"{key_of(records[place])}{kind}.npz").write_bytes(content)
    if what == 9:
        strange(changes, folder)
    elif not changes.below(6):
        document = changes.document(START.verified)
        text = json.dumps(document, ensure_ascii=False).encode(*LOOSE)
        (folder / "verification.json").write_bytes(text if changes.below(2) else changes.bytes_(START.verification))


def strange(changes: Changes, folder: Path) -> None:
    """Put something that is no plain file, or has a name of its own, into an entry."""
    where = changes.one_of((folder, folder / "artifacts"))
    known = sorted(path.name for path in where.iterdir())
    known += ["plugin.py", "verification.json", "artifacts", "x", "0" * 16 + ".npz"]
    name = changes.one_of((*known, None)) or changes.text()[:80]
    raw = name.encode(*LOOSE).replace(b"/", b"_").replace(b"\0", b"_")[:200]
    if raw in (b"", b".", b".."):
        return
    path = Path(os.fsdecode(os.fsencode(where) + b"/" + raw))
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    kind = changes.below(7)
    if kind == 0:
        path.symlink_to(SECRET)
    elif kind == 1:
        path.symlink_to(changes.one_of((SECRET.parent, folder, path, Path("/dev/zero"))))
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        os.link(SECRET, path)
    elif kind == 4:
        path.mkdir()
        (path / "inner").write_text("x")
    else:
        path.write_bytes(changes.text().encode(*LOOSE))


def lines(folder: Path, other: Path) -> Iterator[str]:
    """Yield everything that reading an entry says."""
    for main in (None, submission.Base("main", other, None, "leaderboard/entries")):
        for violation in validation.validate(folder, main):
            yield str(violation)
    # The board reads what has been validated, but must not break on anything else.
    try:
        entry = entries.read_entry(folder)
        yield verification.verified(entry).reason
        found = list(recompute(entry))
        for each in found:
            yield documents.printable(each.differs)
        draw(entry, 2, "seed")
        make_verification(entry, found)
    except LebenchError as error:
        documents.printable(str(error))


def parse(changes: Changes) -> None:
    """Read a text as a document."""
    reader: Callable[[str], Any] = changes.one_of((documents.parse_json, documents.parse_toml, documents.printable))
    text = "".join(changes.text() for _ in range(changes.below(8)))[:20_000]
    try:
        reader(text)
    except documents.DocumentError as error:
        if not str(error).isprintable():
            raise AssertionError(f"not a printable line: {error!r}") from error


def one_input(content: bytes) -> None:
    """Build what an input says, read it, and look at what that did."""
    global case
    changes = Changes(content)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    if not changes.below(8):
        parse(changes)
    else:
        folder = FOLDER / "in" / NAME
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(changes, folder)
        held = contents(folder)
        began = time.process_time()
        seen.clear()
        case = folder
        try:
            for line in lines(folder, FOLDER / "main"):
                assert line.isprintable(), f"not a printable line: {line!r}"
        finally:
            case = None
        assert not seen, seen
        assert held == contents(folder), "the entry has been changed"
        assert not os.listdir(FOLDER / "scratch"), "temporary files are left"
    spent = time.process_time() - began
    assert spent < SECONDS, f"{spent:.1f} s"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < BYTES, f"{grown:,} bytes"
    for cached in (validation._configured, validation._fingerprint):
        if cached.cache_info().currsize > 200:
            cached.cache_clear()


def contents(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of all that is below a folder."""
    return sorted(
        (str(path), (about := path.lstat()).st_size, about.st_mtime_ns) for path in folder.rglob("*")
    )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as temporary:
        FOLDER = Path(temporary)
        for part in ("scratch", "in", "main", "main/other", "corpus"):
            (FOLDER / part).mkdir()
        tempfile.tempdir = str(FOLDER / "scratch")
        SECRET = FOLDER / "secret"
        SECRET.write_text("secret")
        ALLOWED = tuple(
            f"{path}/"
            for path in (
                FOLDER / "in" / NAME, FOLDER / "main", FOLDER / "scratch", ROOT / "lebench",
                *{*sysconfig.get_paths().values(), *(path for path in sys.path if "site-packages" in path)},
            )
        )  # fmt: skip
        START = Seed()
        START.verification = b"{}"
        START.verified = {}
        folder = FOLDER / "in" / NAME
        folder.mkdir()
        for name, content in written(START.info, [sealed(each) for each in START.records]).items():
            (folder / name).write_bytes(content)
        (folder / "artifacts").mkdir()
        for (place, kind), content in START.packed.items():
            (folder / "artifacts" / f"{key_of(START.records[place])}{kind}.npz").write_bytes(content)
        found = validation.validate(folder)
        assert not found, f"the entry to begin with is not valid: {[str(each) for each in found]}"
        START.records = [sealed(each) for each in START.records]
        entry = entries.read_entry(folder)
        verification.write_verification(entry, make_verification(entry, list(recompute(entry)), seed="seed"))
        START.verification = (folder / "verification.json").read_bytes()
        START.verified = json.loads(START.verification)
        for name in ("linear", "other"):
            shutil.copytree(folder, FOLDER / "main" / name, dirs_exist_ok=True)
        list(lines(folder, FOLDER / "main"))
        sys.addaudithook(watch)
        warnings.simplefilter("ignore")
        options = ["-timeout=120", f"-rss_limit_mb={LARGEST_MB}", "-len_control=0", "-max_len=1000", *sys.argv[1:]]
        if all(option.startswith("-") or os.path.isdir(option) for option in options):
            # Inputs to begin with; those of one byte would take hours to grow.
            rng = random.Random(0)
            for place in range(300):
                (FOLDER / "corpus" / str(place)).write_bytes(rng.randbytes(rng.choice((40, 100, 400))))
            options.append(str(FOLDER / "corpus"))
        atheris.Setup([sys.argv[0], *options], one_input)
        atheris.Fuzz()
