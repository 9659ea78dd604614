"""Entries that are what they claim, and entries that were tampered with: each gets its verdict."""

import io
import os
import zipfile

import numpy as np
import pytest

from lebench.artifacts import pack, unpack
from lebench.board import EntryInfo, read_entry, write_entry
from lebench.cli import verifying
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.rescoring import Limits
from lebench.runner.store import Store
from lebench.verify import recompute, validate

MODEL = "linear[epochs=3,min_steps=0]"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Records of two tasks and two seeds, by a real run, with their files."""
    store = Store(tmp_path_factory.mktemp("run") / "results")
    plan = make_plan(["digits/accuracy", "digits/elasticity"], [MODEL], [0, 1])
    records = execute(plan, store, jobs=1).records
    recordings = {record.cell.key: store.recording(record) for record in records}
    return records, {record.cell.key: store.artifacts(record) for record in records}, recordings


@pytest.fixture
def write(made, tmp_path):
    """A function that writes an entry of the records, changed and sealed again as a forger would."""
    info = EntryInfo(name="mine", model=MODEL, authors=["A. Author"], lebench="0.1.0", command="lebench run")

    def write(change=lambda record: {}, recordings=None):
        records = [record.model_copy(update=change(record)).sealed() for record in made[0]]
        arrays, own = (
            {r.cell.key: content[old.cell.key] for r, old in zip(records, made[0], strict=True)}
            for content in (made[1], recordings or made[2])
        )
        return write_entry(tmp_path, "mine", records, info, arrays, own).folder

    return write


def lines(folder):
    return "\n".join(str(violation) for violation in validate(folder))


def test_a_real_entry_is_valid_and_recomputed(write):
    folder = write()
    assert lines(folder) == ""
    checked = list(recompute(read_entry(folder)))
    assert [(each.record.cell.task, each.record.cell.seed, each.differs) for each in checked] == [
        (task, seed, "") for seed in (0, 1) for task in ("digits/accuracy", "digits/elasticity")
    ]


def accuracy(value, **others):
    def change(record):
        if record.cell.task != "digits/accuracy":
            return {}
        return {"metrics": record.metrics | {"accuracy": value, "error": 1 - value, "generalization_gap": 0.0} | others}

    return change


def test_a_tampered_metric_is_found_by_recomputing(write):
    folder = write(accuracy(447 / 450))
    assert lines(folder) == ""
    assert "accuracy is claimed as 0.993333, recomputed as" in next(recompute(read_entry(folder))).differs


def test_a_tampered_prediction_is_found(write, made):
    folder = write()
    entry = read_entry(folder)
    record = next(r for r in entry.records if r.recorded)
    arrays = unpack(made[2][record.cell.key], record.recorded)
    answers = arrays["recorded_answers"].copy()
    answers[1, :2000] = 0
    changed, described = pack(arrays | {"recorded_answers": answers})
    entry.recording_path(record).write_bytes(changed)
    assert "is not the one whose checksum the record has" in lines(folder)

    # The forger who also seals the record with the new predictions is found by what they score.
    folder = write(
        lambda old: {"artifacts": old.artifacts | described} if old.cell == record.cell else {},
        made[2] | {record.cell.key: changed},
    )
    assert lines(folder) == ""
    assert next(recompute(read_entry(folder))).differs


def test_what_is_left_where_an_entry_takes_too_long_is_said(write, capsys):
    folder = write()
    recorded = sum(bool(record.recorded) for record in read_entry(folder).records)
    checked = verifying.check(folder, limits=Limits(entry_s=0))
    said = capsys.readouterr().out.splitlines()
    assert (checked.holds, checked.recomputed) == (True, ())
    assert "0 of 0 records with a recording agree" in said[1]
    assert said[2].startswith(f"{recorded} recordings were not computed again: those before took 0 CPU seconds")


def cell(**changes):
    return lambda record: {"cell": record.cell.model_copy(update=changes)} if record.cell.seed == 0 else {}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (accuracy(1.5), "outside of its bounds from 0 to 1"),
        (accuracy(1.7e308), "outside of its bounds from 0 to 1"),
        (accuracy(0.9999), "no multiple of 1/450"),
        (accuracy(0.9, error=0.2), "accuracy: does not add up to one"),
        (accuracy(0.5, log_loss=0.1), "log_loss: is smaller than the error allows"),
        (accuracy(0.9, unknown=1.0), "metrics: are not those of the task"),
        (lambda record: {"cost": None}, "cost: is missing"),
        (lambda record: {"track": "collapse"}, "dataset or track are not those of the task"),
        (
            lambda record: (
                {"cell": record.cell.model_copy(update={"task": "digits/<script>"})}
                if (record.cell.task, record.cell.seed) == ("digits/accuracy", 0)
                else {}
            ),
            "there is no such task",
        ),
        (cell(task_version=9), "version 9 of digits/accuracy is none yet, today's is 1"),
        (cell(dataset_sha256="0" * 64), "other data"),
        (cell(seed=2**53 - 1), "seed: is larger than 1,000,000"),
        (cell(seed=7), "has the seeds 1, 7: they must begin at 0 and leave none out"),
    ],
)
def test_a_broken_invariant_is_one_line(write, change, line):
    found = lines(write(change))
    assert line in found
    assert all(each.startswith("records.jsonl: ") for each in found.splitlines())


def test_a_label_that_python_cannot_parse_is_refused_before_it_is_parsed(write):
    label = f"linear[epochs={'-' * 3000}1]"
    found = lines(write(lambda record: {"label": label}))
    assert "label: has 3,016 characters, at most 200 are allowed" in found


def test_an_environment_that_makes_every_record_large_is_refused(write):
    packages = {f"package-{number}": "1" for number in range(300)}
    found = lines(write(lambda record: {"environment": record.environment.model_copy(update={"packages": packages})}))
    assert "environments.json: content: the document under" in found
    assert "bytes, at most 5,000 are allowed" in found


def _pickle(folder):
    path = next((folder / "artifacts").glob("*.npz"))
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, file.getvalue())


def _zip_bomb(folder):
    path = next((folder / "artifacts").glob("*.npz"))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, bytes(50_000_000))


def _rewrite(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (_pickle, "the array"),
        (_zip_bomb, "the array"),
        (lambda folder: (folder / "more.py").write_text("x"), "more.py: name: does not belong to an entry"),
        (lambda folder: (folder / "artifacts" / "..npz").write_text("x"), "is not the name of a file of arrays"),
        (lambda folder: (folder / "artifacts" / f"{0:016}.npz").write_text("x"), "belongs to no record"),
        (lambda folder: (folder / "entry.toml").unlink(), "entry.toml: name: is missing"),
        (_rewrite("entry.toml", lambda text: text + b"#" * 20_000), "entry.toml: size: has"),
        (
            _rewrite("entry.toml", lambda text: text.replace(b"\n", b"\r\n")),
            "entry.toml: content: has carriage returns",
        ),
        (
            _rewrite("entry.toml", lambda text: text.replace(b'"mine"', b'"../mine"')),
            "a name has at most 80 lower-case letters",
        ),
        (
            _rewrite("records.jsonl", lambda text: b'{"label":"a",' + text[1:]),
            "line 1: not a record of this version (has the key",
        ),
        (_rewrite("records.jsonl", lambda text: b"[" * 200_000), "line 1: not a record of this version (is nested too"),
        (_rewrite("environments.json", lambda text: b"[" * 200_000), "environments.json: content: not a table"),
        (
            _rewrite("records.jsonl", lambda text: text.replace(b'"seed":0', b'"seed":1e999')),
            "1e999 is not a finite number",
        ),
    ],
)
def test_hostile_files_are_refused(write, damage, line):
    folder = write()
    damage(folder)
    assert line in lines(folder)


def test_code_of_a_model_is_text_that_is_not_run(write, tmp_path):
    folder, ran = write(), tmp_path / "ran"
    plugin = folder / "plugin.py"
    plugin.write_text(f"open({str(ran)!r}, 'w')\n")
    assert lines(folder) == ""
    assert [each.differs for each in recompute(read_entry(folder))] == [""] * 4
    assert not ran.exists()
    unseen = "plugin.py: line 1: has a character that cannot be seen"
    for text, said in (
        (b"a = 1\r\n", unseen),
        (b"\xff\xfe", "plugin.py: byte 1: is not UTF-8"),
        (b"a = 1  # \xe2\x80\xae hidden\n", unseen),
        (b"\0", unseen),
    ):
        plugin.write_bytes(text)
        assert lines(folder).startswith(said)
    plugin.write_text("#" * 100_001)
    assert lines(folder) == "plugin.py: size: has 100,001 bytes, at most 100,000 are allowed"
    plugin.unlink()
    plugin.symlink_to("/etc/passwd")
    assert lines(folder) == "plugin.py: type: is not a regular file"


def test_a_folder_of_code_is_text_and_data_of_some_size(write):
    folder = write()
    (folder / "plugin/pack").mkdir(parents=True)
    (folder / "plugin/pack/__init__.py").write_text("a = 1\n")
    (folder / "plugin/pack/w.npz").write_bytes(b"0")
    assert lines(folder).startswith("entry.toml: plugin: must name a file or package in the folder plugin")
    toml = folder / "entry.toml"
    toml.write_text(toml.read_text().replace("\nbackend", '\nplugin = "pack"\nbackend'))
    assert lines(folder) == ""
    cases = [
        ("pack/x.so", b"", "plugin/pack/x.so: name: does not belong to code that can be read; remove it"),
        ("pack/.hidden", b"", "plugin/pack/.hidden: name: does not belong to code that can be read; remove it"),
        ("pack/nul.py", b"", "plugin/pack/nul.py: name: is that of another file or of a device on some systems"),
        ("pack/w.", b"", "plugin/pack/w.: name: is that of another file"),
        ("pack/large.npz", b"0" * 1_000_001, "plugin/pack/large.npz: size: has 1,000,001 bytes"),
        ("pack/large.py", b"#" * 100_001, "plugin/pack/large.py: size: has 100,001 bytes"),
        ("bad.py", b"\0", "plugin/bad.py: line 1: has a character that cannot be seen"),
    ]
    if not (folder / "PLUGIN").exists():
        cases.append(("pack/W.npz", b"", "plugin/pack/w.npz: name: is that of another file"))
    for name, content, said in cases:
        (folder / "plugin" / name).write_bytes(content)
        assert said in lines(folder)
        (folder / "plugin" / name).unlink()
    (folder / "plugin/link").symlink_to("/etc")
    assert "plugin/link: type: is not a regular file" in lines(folder)
    (folder / "plugin/link").unlink()
    for number in range(100):
        (folder / f"plugin/f{number}").write_text("")
    assert "plugin: size: has more than 100 files" in lines(folder)


def test_no_file_outside_the_entry_is_read(write, tmp_path):
    folder = write()
    outside = tmp_path / "outside"
    (folder / "entry.toml").rename(outside)
    (folder / "entry.toml").symlink_to(outside)
    assert "entry.toml: type: is not a regular file" in lines(folder)
    (folder / "entry.toml").unlink()
    os.mkfifo(folder / "entry.toml")
    assert "entry.toml: type: is not a regular file" in lines(folder)
    (tmp_path / "link").symlink_to(folder)
    assert "link: type: is not a folder" in lines(tmp_path / "link")
