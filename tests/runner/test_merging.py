"""Merging: what is copied in any order is the same, and what contradicts itself is named."""

import random
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from stored import DESCRIBED, SCHEMA_1, content, make, put_as_schema_1

from lebench.errors import LebenchError
from lebench.runner.current import current
from lebench.runner.merging import merge
from lebench.runner.migrations import read_record
from lebench.runner.store import Store

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture
def filled(tmp_path):
    """Make a folder with some records; return its path."""

    def fill(name, *records, **files):
        store = Store(tmp_path / name)
        store.prepare()
        for record in records:
            store.put(record, **files)
        return store.folder

    return fill


@contextmanager
def file_size_limit(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_any_number_of_merges_give_the_same(tmp_path, filled, seed):
    draw = random.Random(seed)
    made = [make(seed=draw.randint(0, 3), value=draw.choice([0.1, 0.9]), finished=draw.randint(1, 9)) for _ in range(6)]
    folders = [filled(name, *draw.sample(made, 3)) for name in "abc"]
    expected = current({r.checksum: r for folder in folders for r in Store(folder).load()}.values())
    before = [content(folder) for folder in folders]
    for name in ("once", "again"):
        draw.shuffle(folders)
        merged = [merge([folder], tmp_path / name) for folder in [*folders, folders[0]]][-1]
        assert merged.current == expected
        assert merged.new == 0
    merged = merge(folders, folders[1])
    assert merged.current == expected
    assert merged.records == len({record.checksum for folder in folders for record in Store(folder).load()})
    for folder, files in zip(sorted(folders), before, strict=True):
        # Nothing is changed where it comes from, nothing is lost where it goes.
        assert files.items() <= content(folder).items()


def test_conflict_is_named_until_a_forced_record_replaces_both_whatever_the_clocks(tmp_path, filled):
    one, other = make(value=0.1, finished=5), make(value=0.9, finished=6)
    found = merge([filled("a", one), filled("b", other)], tmp_path / "all").current
    assert found.records == ()
    assert len(found.conflicts) == 1
    assert "mlp[width=4] on digits/accuracy, torch, seed 3" in found.notes[0]
    assert "--force" in found.notes[0]
    forced = make(value=0.9, finished=1, replaces=(one.checksum, other.checksum))
    for name, folders in (("x", "cab"), ("y", "bac")):
        filled("c", forced)
        found = merge([tmp_path / each for each in folders], tmp_path / name).current
        assert (found.records, found.conflicts) == ((forced,), ())


def test_equal_values_are_no_conflict(tmp_path, filled):
    early, late = make(finished=1), make(finished=2)
    found = merge([filled("a", late), filled("b", early)], tmp_path / "all").current
    assert (found.records, found.conflicts) == ((late,), ())


def test_no_copy_shortens_another(tmp_path, filled):
    """A folder that was copied while its run went on, merged with what the run has made since."""
    store = Store(tmp_path / "a")
    for seed in (0, 1):
        store.put(make(seed=seed))
    shutil.copytree(store.folder, tmp_path / "early")
    store.put(make(seed=2))
    whole = Store(store.folder).load()
    assert len(whole) == 3
    assert merge([tmp_path / "early"], store.folder).new == 0
    assert Store(store.folder).load() == whole
    assert merge([store.folder], tmp_path / "early").new == 1
    assert Store(tmp_path / "early").load() == whole
    (path,) = (tmp_path / "early/records").iterdir()
    assert path.read_bytes() == next((store.folder / "records").iterdir()).read_bytes()


def test_files_of_one_name_that_differ_are_both_kept(tmp_path, filled):
    folder = filled("a", make(seed=0), make(seed=1))
    shutil.copytree(folder, tmp_path / "b")
    (path,) = (tmp_path / "b/records").iterdir()
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    for _ in range(2):
        assert merge([tmp_path / "b"], folder).new == 0
    assert len(list((folder / "records").iterdir())) == 2


def test_arrays_and_logs_come_along(tmp_path, filled):
    good, failed = make(artifacts=DESCRIBED), make("failed", seed=4)
    merge([filled("a", good, arrays=b"arrays"), filled("b", failed, log="Traceback")], tmp_path / "all")
    store = Store(tmp_path / "all")
    assert store.artifacts(good) == b"arrays"
    assert store.log(failed) == b"Traceback"


def test_folder_with_a_file_a_record_becomes_one_of_lines(tmp_path, filled):
    for document in SCHEMA_1:
        put_as_schema_1(tmp_path / "old", document, npz=b"arrays", recording_npz=b"recording", log=b"log")
    for new in (len(SCHEMA_1), 0):
        merged = merge([tmp_path / "old"], filled("new", make(seed=9)))
        assert (merged.records, merged.new) == (len(SCHEMA_1) + 1, new)
    store = Store(tmp_path / "new")
    for record in map(read_record, SCHEMA_1):
        assert record in store.load(keys=[record.cell.key])
        assert store.recording(record) == (b"recording" if record.recorded else b"")
        assert store.log(record) == b"log"
    folders = {path.parent.name for path in store.folder.rglob("*") if path.is_file()}
    assert folders == {"new", "records", "arrays", "logs"}


def test_folders_without_results_are_named(tmp_path, filled):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(LebenchError, match=f"there are no results in '.*{name}'"):
            merge([filled("a", make()), tmp_path / name], tmp_path / "all")
        assert not (tmp_path / "all").exists()


def test_full_disk_leaves_nothing_half_copied(tmp_path, filled):
    folder = filled("a", *(make(seed=seed) for seed in range(20)))
    there = filled("b", make(seed=30))
    before = content(there)
    with file_size_limit(5000), pytest.raises(LebenchError, match=r"cannot copy '.*a' into '.*b': File too large"):
        merge([folder], there)
    assert content(there) == before
    assert merge([folder], there).records == 21


def test_command_says_what_there_is_and_returns_1_for_conflicts(tmp_path, filled, monkeypatch, capsys):
    from lebench.cli import merging

    monkeypatch.chdir(tmp_path)
    a, b = filled("a", make(value=0.1)), filled("b", make(value=0.9), make(seed=5, model_version=0))
    assert merging.merge([a, b], tmp_path / "all") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'all'} has 3 records, 3 of them new"
    assert (
        lines[1]
        == "1 record is outdated and left out: mlp: made by code from before versions, today's is version 1 (1)"
    )
    assert lines[2].startswith("mlp[width=4] on digits/accuracy, torch, seed 3: records of")
    # Without --into, the last is where the others go.
    assert merging.merge([a, filled("c", make(seed=7))], None) == 0
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'c'} has 2 records, 1 of them new"]
    with pytest.raises(LebenchError, match="name the folders to merge into 'a'"):
        merging.merge([a.relative_to(tmp_path)], None)


RUN = """
import sys
import lebench
frame = lebench.run(sys.argv[1], "toy/accuracy", seeds=1, results=sys.argv[2], plugins=[sys.argv[3]], jobs=1)
print(list(frame["value"]))
"""


def test_values_are_those_of_the_code_that_runs_whatever_was_copied_over_the_folder(tmp_path, workshop):
    """A plug-in is run, changed and run elsewhere, changed back; then the first folder is copied over the second."""
    plugin = tmp_path / "mine.py"
    text = TOY.read_text()
    answer = "return -np.linalg.norm("
    assert answer in text

    def run(folder, sign):
        plugin.write_text(text.replace(answer, f"return {sign}np.linalg.norm("))
        command = [sys.executable, "-c", RUN, workshop.spec(), str(tmp_path / folder), str(plugin)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.split("\n")[0]

    first = run("a", "+")
    assert run("b", "-") != first
    fits = len(workshop.fits())
    shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
    assert run("b", "+") == first
    assert len(workshop.fits()) == fits
