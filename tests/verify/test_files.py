"""Files that an entry may have: hard links and crowds of files are refused before one of them is opened."""

import os

import pytest

from lebench.board.entries import LARGEST, LARGEST_ARTIFACT
from lebench.verify.files import check_files


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of an entry, all of them empty."""
    folder = tmp_path / "mine"
    (folder / "artifacts").mkdir(parents=True)
    for name in LARGEST:
        (folder / name).touch()
    return folder


def said(folder):
    return [str(violation) for violation in check_files(folder)]


def test_files_are_looked_at_and_not_read(folder):
    assert said(folder) == []


@pytest.mark.parametrize("name", ["entry.toml", "records.jsonl", "plugin.py", "artifacts/0123456789abcdef.npz"])
def test_a_hard_link_is_refused(folder, tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("somebody else's")
    (folder / name).unlink(missing_ok=True)
    os.link(outside, folder / name)
    assert said(folder) == [f"{name}: type: is a hard link; copy the file"]
    outside.unlink()
    assert said(folder) == []


def test_thousands_of_files_are_one_line(folder):
    arrays = folder / "artifacts"
    for number in range(1000):
        (arrays / f"{number:016x}.npz").touch()
    assert said(folder) == []
    (arrays / f"{1000:016x}.npz").touch()
    assert said(folder) == ["artifacts: size: has more than 1,000 files"]
    for number in range(3000):
        (folder / f"more-{number}").touch()
    assert said(folder) == ["mine: size: has more than 1,000 files"]


def test_arrays_have_a_size_together(folder):
    for number in range(2):
        with (folder / "artifacts" / f"{number:016x}.npz").open("wb") as file:
            # Without blocks on the disk.
            file.truncate(LARGEST_ARTIFACT)
    assert said(folder) == ["artifacts: size: has 4,000,000 bytes, at most 3,000,000 are allowed"]
    os.truncate(folder / "artifacts" / f"{0:016x}.npz", LARGEST_ARTIFACT + 1)
    assert said(folder)[0] == "artifacts/0000000000000000.npz: size: has 2,000,001 bytes, at most 2,000,000 are allowed"
