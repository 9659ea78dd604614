"""Results folders merged by copying: nothing that is there is changed, whatever is copied in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lebench.errors import LebenchError
from lebench.runner.current import Current, current
from lebench.runner.record_files import ARRAYS, LOGS, RECORDS, write_whole
from lebench.runner.store import Store


@dataclass(frozen=True)
class Merged:
    """What a folder holds after others were copied into it.

    Attributes
    ----------
    folder : Path
        The folder.
    records, new : int
        Its records, and those that it did not have before.
    current : Current
        Which of them are to be used, see :func:`lebench.runner.current.current`.
    """

    folder: Path
    records: int
    new: int
    current: Current


def merge(folders: Sequence[str | Path], into: str | Path) -> Merged:
    """Copy the records of some results folders, with their arrays and logs, into another.

    Parameters
    ----------
    folders : sequence of path
        Where the records are; nothing is changed there.
    into : path
        Where they go; it need not exist.

    Raises
    ------
    LebenchError
        If a folder has no results, or there is no room; what was copied until then is whole.
    """
    sources = [Store(folder) for folder in folders]
    for source in sources:
        if not source.labels():
            raise LebenchError(f"there are no results in {str(source.folder)!r}")
    target = Store(into)
    target.prepare()
    before = target.count()
    for source in sources:
        if not source.folder.samefile(target.folder):
            try:
                _copy(source, target)
            except OSError as error:
                what = f"cannot copy {str(source.folder)!r} into {str(target.folder)!r}"
                raise LebenchError(f"{what}: {error.strerror or error}") from error
    after = target.count()
    return Merged(target.folder, after, after - before, current(target.load()))


def _copy(source: Store, target: Store) -> None:
    # Arrays first, so that no record lacks its own.
    for name in (ARRAYS, LOGS):
        for path in _files(source.folder / name):
            there = target.folder / name / path.name
            if not there.exists():
                there.parent.mkdir(exist_ok=True)
                write_whole(there, path.read_bytes())
    for path in _files(source.folder / RECORDS):
        _copy_records(path, target.folder / RECORDS / path.name)
    # A folder of schema 1 has a file a record: they become lines of one more file, as they are.
    for record, line in source.of_own_files():
        if record.checksum not in target.checksums([record.cell.key])[record.cell.key]:
            arrays, recording, log = source.artifacts(record), source.recording(record), source.log(record)
            target.put_line(record, line.rstrip(b"\n") + b"\n", log, arrays, recording)
    target.sync()


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _copy_records(path: Path, target: Path) -> None:
    """Copy a file of records; where one of that name is, the longer stays, and if neither begins the other, both."""
    content = path.read_bytes()
    there = target.read_bytes() if target.exists() else b""
    if there.startswith(content):
        return
    if not content.startswith(there):
        target = target.with_stem(f"{target.stem}-{hashlib.sha256(content).hexdigest()[:8]}")
    write_whole(target, content)
