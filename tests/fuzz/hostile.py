"""Entries that a forger would write: a valid one, of which an input changes a part."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from choices import LOOSE, Choices
from start import Start, key_of, sealed, written


def build(start: Start, choices: Choices, folder: Path, secret: Path) -> None:
    """Write a changed entry into a folder; some of its files may lead to a secret outside of it."""
    info, records, packed = dict(start.info), [dict(each) for each in start.records], dict(start.packed)
    what = choices.below(10)
    if what in (0, 1):
        info = choices.document(info)
        if not isinstance(info, dict):
            info = {"x": info}
    elif what in (2, 3, 4):
        for _ in range(1 + choices.below(3)):
            place = choices.below(len(records))
            records[place] = choices.document(records[place])
            if choices.below(10):
                records[place] = sealed(records[place])
        if not choices.below(6):
            records = choices.document(records)
            records = records if isinstance(records, list) else [records]
        if choices.below(2) and isinstance(records[0] if records else None, dict):
            info["model"] = records[0].get("label", "")
    elif what in (5, 6):
        key = choices.one_of(sorted(packed))
        packed[key], described = choices.archive(start.arrays[key])
        if described is not None:
            kept = {
                name: each
                for name, each in records[key[0]]["artifacts"].items()
                if name.startswith("recorded_") != bool(key[1])
            }
            records[key[0]] = sealed(records[key[0]] | {"artifacts": kept | described})
    elif what == 7:
        key = choices.one_of(sorted(packed))
        packed[key] = choices.bytes_(packed[key])
    documents_ = written(info, records)
    if what == 8:
        name = choices.one_of(sorted(documents_))
        documents_[name] = choices.bytes_(documents_[name])
    for name, content in documents_.items():
        (folder / name).write_bytes(content)
    (folder / "artifacts").mkdir()
    for (place, kind), content in packed.items():
        if place < len(records):
            (folder / "artifacts" / f"{key_of(records[place])}{kind}.npz").write_bytes(content)
    if what == 9:
        strange(choices, folder, secret)
    elif not choices.below(6):
        document = choices.document(start.verified)
        text = json.dumps(document, ensure_ascii=False).encode(*LOOSE)
        (folder / "verification.json").write_bytes(text if choices.below(2) else choices.bytes_(start.verification))


def strange(choices: Choices, folder: Path, secret: Path) -> None:
    """Put something that is no plain file, or has a name of its own, into an entry."""
    where = choices.one_of((folder, folder / "artifacts"))
    known = sorted(path.name for path in where.iterdir())
    known += ["plugin.py", "verification.json", "artifacts", "x", "0" * 16 + ".npz"]
    name = choices.one_of((*known, None)) or choices.text()[:80]
    raw = name.encode(*LOOSE).replace(b"/", b"_").replace(b"\0", b"_")[:200]
    if raw in (b"", b".", b".."):
        return
    path = Path(os.fsdecode(os.fsencode(where) + b"/" + raw))
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    kind = choices.below(7)
    if kind == 0:
        path.symlink_to(secret)
    elif kind == 1:
        path.symlink_to(choices.one_of((secret.parent, folder, path, Path("/dev/zero"))))
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        os.link(secret, path)
    elif kind == 4:
        path.mkdir()
        (path / "inner").write_text("x")
    else:
        path.write_bytes(choices.text().encode(*LOOSE))
